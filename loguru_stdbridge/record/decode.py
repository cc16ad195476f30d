"""Turns JSON that came over the wire back into the values of ``extra``.

Owns what each tag of :mod:`record.values` becomes. No sockets, files or clocks here, and nothing
that the JSON names is called or imported. A value that was shown by its texts becomes a
:class:`RemoteValue`, or a subclass of its builtin that prints as those texts.

Reading never fails: a tagged value that cannot be read becomes a :class:`RemoteValue` that says so.
Reading costs no more than the size of the JSON allows, whoever wrote it: depth, digits and
exponents are bounded, and so are members that collide.
"""

from __future__ import annotations

import datetime
import decimal
import math
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Callable

from .values import (
    MAX_DECIMAL_DIGITS,
    MAX_DEPTH,
    MAX_INT_BITS,
    PLAIN_TYPES,
    TAG,
    bounded_text,
    is_bounded_decimal,
    show,
    writer_of,
)

MAX_COLLISIONS = 16
"""Members of a set, or keys of a dict, that may have the same hash. Hashes of numbers are not
randomised: a set of 60,000 chosen integers takes minutes to make, and one of 256 wide tuples a
second. Honest values hardly collide: -1 and -2 do, and tuples that differ by them only."""


class RemoteValue:
    """Stands for a value of another process; shows the texts it had there. Inert."""

    __slots__ = ("_repr", "_str", "formats")

    def __init__(self, repr_text: str, str_text: str | None = None) -> None:
        self._repr = repr_text
        self._str = repr_text if str_text is None else str_text
        self.formats: dict[str, str] = {}
        """Its texts by specification, as its own class has formatted it."""

    def __repr__(self) -> str:
        return self._repr

    def __str__(self) -> str:
        return self._str

    def __format__(self, spec: str) -> str:
        known = self.formats.get(spec)
        return _format(self._str, spec) if known is None else known

    def __reduce__(self) -> Any:
        """Copy and pickle it as its text: no other process needs to know this class."""
        return str, (self._str,)


def _format(text: str, spec: str) -> str:
    try:
        return format(text, spec)
    except ValueError:  # the specification is for a number or a time; this is a text by now
        return text


def _remote_class(base: type[Any]) -> type[Any]:
    def __repr__(self: Any) -> str:
        return str(self.shown_repr)

    def __str__(self: Any) -> str:
        return str(self.shown_str)

    def __format__(self: Any, spec: str) -> str:
        known = self.formats.get(spec)
        return _format(self.shown_str, spec) if known is None else known

    methods = {"__repr__": __repr__, "__str__": __str__, "__format__": __format__}
    return type(f"Remote{base.__name__.title()}", (base,), {**methods, "__module__": __name__})


_REMOTE_CLASSES: dict[str, type[Any]] = {
    base.__name__: _remote_class(base)
    for base in (str, int, float, list, tuple, dict, set, frozenset, bytes)
}


def restore(value: Any, depth: int = 0) -> Any:
    """Make the value of its JSON form. Never raises for anything that the JSON decoder makes."""
    if depth > 3 * MAX_DEPTH:
        return RemoteValue("<too deep>")
    kind = type(value)
    if kind is list:
        return [restore(item, depth + 1) for item in value]
    if kind is dict:
        if TAG not in value:
            return {key: restore(item, depth + 1) for key, item in value.items()}
        try:
            tag, content = value[TAG]
            return _READERS[tag](content, depth + 1)
        except (KeyError, ValueError, TypeError, ArithmeticError, AttributeError):
            return _unreadable(value[TAG])
    return value


def _unreadable(tagged: Any) -> RemoteValue:
    """Show a tagged value that cannot be read, at a cost that does not grow with its nesting."""
    parts = tagged if type(tagged) is list else [tagged]
    texts = [bounded_text(part, 200) for part in parts[:2] if type(part) is str]
    return RemoteValue(f"<unreadable {' '.join(texts) or 'value'}>")


def _read_sequence(kind: type[Any]) -> Callable[[Any, int], Any]:
    def read(content: Any, depth: int) -> Any:
        return kind(restore(_typed(content, list), depth))

    return read


def _typed(value: Any, *kinds: type[Any]) -> Any:
    if type(value) not in kinds:
        raise TypeError(type(value).__name__)
    return value


def _read_dict(content: Any, depth: int) -> Any:
    pairs = [(restore(key, depth), restore(item, depth)) for key, item in _typed(content, list)]
    keys = _hashable([key for key, _ in pairs])
    if many_collide(keys):
        return RemoteValue(f"<dict of {len(keys)} whose keys collide>")
    return dict(zip(keys, [item for _, item in pairs]))


def _hashable(keys: Sequence[Any]) -> list[Any]:
    """Show those keys or members that only their own class could hash."""
    found = []
    for key in keys:
        try:
            hash(key)
            found.append(key)
        except TypeError:
            found.append(RemoteValue(show(key)))
    return found


def many_collide(keys: Sequence[Any]) -> bool:
    """Return whether a set or dict of these keys would take more time than their size allows.

    Looks at the hashes only, in linear time. Distinct hashes hardly collide among themselves.
    """
    if len(keys) <= MAX_COLLISIONS:
        return False
    return max(Counter(map(hash, keys)).values()) > MAX_COLLISIONS


def _read_int(content: Any, depth: int) -> int:
    if len(_typed(content, str)) > MAX_INT_BITS // 4 + 8:
        raise ValueError("too many digits")
    return int(content, 16)


def _read_zone(zone: Any) -> datetime.tzinfo | None:
    if zone is None:
        return None
    seconds, name = zone
    return make_timezone(_typed(seconds, int, float), name)


def _read_datetime(content: Any, depth: int) -> datetime.datetime:
    text, zone, fold = content
    value = datetime.datetime.fromisoformat(_typed(text, str))
    return value.replace(tzinfo=_read_zone(zone), fold=_typed(fold, int))


def _read_time(content: Any, depth: int) -> datetime.time:
    text, fold = content
    return datetime.time.fromisoformat(_typed(text, str)).replace(fold=_typed(fold, int))


def _read_decimal(content: Any, depth: int) -> decimal.Decimal:
    if len(_typed(content, str)) > 2 * MAX_DECIMAL_DIGITS:
        raise ValueError("too many digits")
    value = decimal.Decimal(content)
    if not is_bounded_decimal(value):
        raise ValueError("exponent out of range")
    return value


def _read_uuid(content: Any, depth: int) -> Any:
    uuid = sys.modules.get("uuid")  # a receiver has it; values.writer_of says why a worker may not
    if uuid is None:  # an adopted journal's: a worker's thread imports nothing
        return RemoteValue(f"UUID({_typed(content, str)!r})", content)
    return uuid.UUID(content)


def _read_as(content: Any, depth: int) -> Any:
    kind, base, repr_text, str_text = content
    repr_text = _typed(repr_text, str)
    str_text = repr_text if str_text is None else _typed(str_text, str)
    if kind == "object":
        return RemoteValue(repr_text, str_text)
    plain = restore(base, depth)
    if isinstance(plain, RemoteValue):  # its keys collide, or it is an integer beyond the bound
        return RemoteValue(repr_text, str_text)
    if kind in ("set", "frozenset"):
        plain = _hashable(_typed(plain, list))
        if many_collide(plain):
            return RemoteValue(repr_text, str_text)
    shown = _REMOTE_CLASSES[kind](plain)
    shown.shown_repr = repr_text
    shown.shown_str = str_text
    shown.formats = {}
    return shown


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "tuple": _read_sequence(tuple),
    "dict": _read_dict,
    "int": _read_int,
    "bytes": lambda content, depth: content.encode("latin-1"),
    "bytearray": lambda content, depth: bytearray(content.encode("latin-1")),
    "complex": lambda content, depth: complex(*content),
    "datetime": _read_datetime,
    "date": lambda content, depth: datetime.date.fromisoformat(content),
    "time": _read_time,
    "timedelta": lambda content, depth: datetime.timedelta(*content),
    "decimal": _read_decimal,
    "uuid": _read_uuid,
    "as": _read_as,
}


def make_timezone(seconds: float, name: str | None) -> datetime.timezone:
    """Make a zone of a fixed offset. Raises ``ValueError`` for a day or more, and for NaN."""
    if not math.isfinite(seconds):
        raise ValueError("the offset is not finite")
    offset = datetime.timedelta(seconds=seconds)
    if not offset and name == "UTC":
        return datetime.timezone.utc
    if type(name) is str:
        return datetime.timezone(offset, name)
    return datetime.timezone(offset)


def plain(value: Any) -> Any:
    """Replace every :class:`RemoteValue` by its text and every subclass by its builtin.

    Any receiver can load a pickle of the result: it names no class of ours or the application's.
    """
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind(plain(item) for item in value)
    if kind is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    if kind in PLAIN_TYPES or kind is str or writer_of(kind) is not None:
        return value
    for base in (dict, list, tuple, set, frozenset):
        if isinstance(value, base):
            return plain(base(value))
    if isinstance(value, str):
        return str.__str__(value)
    return str(value)
