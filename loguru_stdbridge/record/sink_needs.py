"""What a sink shows of a record that only its worker can make, and the least level it takes.

The receiver tells it with its greeting, and workers make it. Owns its form and its bounds. No
sockets and no loguru here.

Why obeying a peer is safe
--------------------------
A receiver can ask for no more than the record's own values and texts. A format's specification
could take a gigabyte (``{extra[x]:>999999999}``), or have an attribute shown that the record does
not show (``{extra[user].password}``). So values are named by keys alone, and a specification is
short and has no wide column.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import Any, NamedTuple, Union

PLAIN, PAINTED, ASCII, PAINTED_ASCII = "plain", "painted", "ascii", "painted ascii"
TRACEBACKS = (PLAIN, PAINTED, ASCII, PAINTED_ASCII)
"""The looks of a traceback: with colours or without, and drawn with the characters of boxes or with
those of ASCII, where the sink's encoding lacks the others."""

BOX_CHARACTERS = "\u2502\u2514"
"""What loguru draws tracebacks with, if the sink's encoding has it."""

MAX_VALUES_SHOWN = 50
"""Values that a format may ask workers to format. Each is a call of the application's code."""

MAX_SPECIFICATION = 100
"""Characters of a value's format specification."""

MAX_KEYS = 10
"""Keys from a record to a value."""

_LOGURU_S = frozenset(
    ["elapsed", "exception", "file", "function", "level", "line", "message", "module", "name",
     "process", "thread", "time"]
)  # fmt: skip

Keys = tuple[Union[str, int], ...]
"""The way from a record to a value: ``("extra", "user")``."""


class SinkNeeds(NamedTuple):
    """What the sinks of a receiver need of a worker's records."""

    level: int = 0
    """The least level that one of them takes."""

    tracebacks: tuple[str, ...] = (PLAIN,)
    """The looks of tracebacks that they show."""

    values: tuple[tuple[Keys, str], ...] = ()
    """Values that they show by a specification, each with the keys that lead to it."""

    @property
    def painted(self) -> bool:
        """Whether one of them shows colours."""
        return PAINTED in self.tracebacks or PAINTED_ASCII in self.tracebacks


UNKNOWN = SinkNeeds(0, TRACEBACKS)
"""What a worker makes before a receiver has told anything."""


def needs_of(template: Any, level: int, *, colorize: bool, encoding: Any) -> SinkNeeds:
    """Return what a sink needs that has these options, in loguru's words."""
    look = look_of(colorize=colorize, encoding=encoding)
    return SinkNeeds(level, (look,), _values_of(template) if type(template) is str else ())


def look_of(*, colorize: bool, encoding: Any) -> str:
    """Return how tracebacks look in a sink."""
    if has_boxes(encoding):
        return PAINTED if colorize else PLAIN
    return PAINTED_ASCII if colorize else ASCII


def has_boxes(encoding: Any) -> bool:
    """Return whether an encoding has the characters that loguru draws tracebacks with."""
    try:
        BOX_CHARACTERS.encode(encoding)
    except (UnicodeError, LookupError, TypeError):
        return False
    return True


def join_needs(needs: Iterable[SinkNeeds]) -> SinkNeeds:
    """Return what several sinks need together."""
    each = list(needs)
    looks = {look for one in each for look in one.tracebacks}
    values = dict.fromkeys(value for one in each for value in one.values)
    return SinkNeeds(
        min((one.level for one in each), default=0),
        tuple(look for look in TRACEBACKS if look in looks),
        tuple(values)[:MAX_VALUES_SHOWN],
    )


def dump_needs(needs: SinkNeeds) -> list[Any]:
    """Return the needs as JSON has them."""
    return [needs.level, list(needs.tracebacks), [[list(keys), how] for keys, how in needs.values]]


def load_needs(given: Any) -> SinkNeeds | None:
    """Return the needs that a receiver has told; ``None`` for what are none.

    What reaches too far is left out.
    """
    try:
        level, looks, values = given
        if type(level) is not int or not 0 <= level < 1 << 31:
            return None
        known = tuple(look for look in TRACEBACKS if look in looks)
        checked = [(tuple(keys), how) for keys, how in values[:MAX_VALUES_SHOWN]]
    except (TypeError, ValueError, KeyError):
        return None
    return SinkNeeds(level, known, tuple(value for value in checked if _is_modest(*value)))


def _is_modest(keys: tuple[Any, ...], how: Any) -> bool:
    if not 1 <= len(keys) <= MAX_KEYS or type(keys[0]) is not str or keys[0] in _LOGURU_S:
        return False
    if not all(type(key) in (str, int) for key in keys):
        return False
    if type(how) is not str or len(how) > MAX_SPECIFICATION or "{" in how:
        return False
    return not re.search(r"\d{4}", how)


def _values_of(template: str) -> tuple[tuple[Keys, str], ...]:
    """Return the values of ``extra``, or of a patcher, that a format shows; each once."""
    found: dict[tuple[Keys, str], None] = {}
    try:
        for _, name, specification, conversion in string.Formatter().parse(template):
            if name is None or conversion is not None:
                continue
            keys = _keys_of(name)
            if keys and _is_modest(keys, specification):
                found[keys, specification or ""] = None
    except ValueError:
        return ()
    return tuple(found)[:MAX_VALUES_SHOWN]


def _keys_of(name: str) -> Keys:
    """Return the keys of a format's field; none where it names an attribute."""
    root, *steps = re.split(r"\[([^\]]*)\]", name)
    if not root or "." in root or any(steps[1::2]):
        return ()
    return (root, *(int(step) if step.isdigit() else step for step in steps[::2]))


def find_value(record: Any, keys: Keys) -> Any:
    """Return the value to which keys lead. Raises what the way there raises."""
    value = record
    for key in keys:
        value = value[key]
    return value
