"""The format of the sink's lines, which the receiver tells and workers render by.

Owns which format strings may go over the wire, and their identity. Pure: no sockets, no loguru.

A worker renders by a format string that a peer gave it, and a format string can reach far:
``{process.__init__.__globals__}`` would show whatever the application holds,
``{message:>999999999}`` would take a gigabyte. So only plain fields of a record pass, with the
attributes that loguru documents and a short specification; the receiver offers, and the worker
takes, no other. ``extra`` is not among them: what an application hangs into it may raise, or have
no bound, when it is shown; a sink that shows it gets whole records.
"""

from __future__ import annotations

import re
import string
import zlib
from typing import Any, NamedTuple

MAX_FORMAT = 1024
"""Characters of a format that is offered; longer ones are rendered by the receiver."""

MAX_PLACES = 50
"""Fields in a format, each with 999 columns at most: what a line may cost the worker in vain."""

MAX_REPEATED = 4
"""Times that one field may stand there: each holds a whole message, which may be a megabyte."""

_ATTRIBUTES = {
    "file": ("", ".name", ".path"),
    "level": ("", ".name", ".no", ".icon"),
    "process": ("", ".id", ".name"),
    "thread": ("", ".id", ".name"),
}
_FIELDS = frozenset(
    ["elapsed", "exception", "file", "function", "level", "line", "message", "module", "name",
     "process", "thread", "time"]
)  # fmt: skip
_TAG = r"</?((?:[fb]g\s)?[^<>\s]*)>"
_COLORS = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white", *"krgyemcw"]
_LIGHT_COLORS = [f"light-{color}" if len(color) > 1 else f"l{color}" for color in _COLORS]
_FOREGROUNDS = [*_COLORS, *_LIGHT_COLORS]
_KNOWN_TAGS = frozenset(
    ["", "level", "lvl", *"bdnhilsuv", "bold", "dim", "normal", "hide", "italic", "blink",
     "strike", "underline", "reverse", *_FOREGROUNDS, *map(str.upper, _FOREGROUNDS)]
)  # fmt: skip
"""The markup that every loguru since 0.7.0 knows; another could refuse it, and lose the record."""

_COARSE = frozenset("YMDHhmsSA-/:., T_|")
"""Of a specification of loguru's for times: what shows nothing of the zone."""

_REACHING = r"\d{4}|c$"  # a wide column; a number as a character, which may be none


class LineFormat(NamedTuple):
    """How a text sink renders: loguru's ``format`` (a string) and the number of its ``level``."""

    format: str
    level: int

    @property
    def id(self) -> str:
        """Name this very format, as 16 hex digits; each line rendered by it carries them."""
        text = f"{self.level}\0{self.format}".encode("utf-8", "surrogatepass")
        return f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}"

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a record that the format shows."""
        return _fields_of(self.format) or ()


def make_line_format(template: Any, level: Any) -> LineFormat | None:
    """Return a sink's line format; ``None`` where only the receiver can render by it."""
    if type(template) is not str or type(level) is not int or len(template) > MAX_FORMAT:
        return None
    known = _KNOWN_TAGS.issuperset(re.findall(_TAG, template))
    return LineFormat(template, level) if known and _fields_of(template) is not None else None


def _fields_of(template: str) -> tuple[str, ...] | None:
    """The fields that a format shows, each once; ``None`` where it reaches further than it may."""
    found: list[str] = []
    places: list[str] = []
    try:
        for _, name, specification, conversion in string.Formatter().parse(template):
            if name is None:
                continue
            key, dot, attribute = name.partition(".")
            if key not in _FIELDS or "{" in (specification or ""):
                return None
            if conversion not in (None, "r", "s", "a"):
                return None
            if dot + attribute not in _ATTRIBUTES.get(key, ("",)):
                return None
            literal = key == "time" and conversion is None  # digits in it are digits, no width
            if not literal and re.search(_REACHING, specification or ""):
                return None
            places.append(key)
            if len(places) > MAX_PLACES or places.count(key) > MAX_REPEATED:
                return None
            if key not in found:
                found.append(key)
    except ValueError:
        return None
    return tuple(found)


def plain_format(template: str) -> str:
    """A format without its markup, which is in the literal text alone."""
    parts: list[str] = []
    for literal, name, specification, conversion in string.Formatter().parse(template):
        parts.append(re.sub(_TAG, "", literal).replace("{", "{{").replace("}", "}}"))
        if name is not None:
            how = f"!{conversion}" if conversion else ""
            how += f":{specification}" if specification else ""
            parts.append(f"{{{name}{how}}}")
    return "".join(parts)


def split_time(template: str) -> tuple[str, str, str] | None:
    """A plain format that begins with a time of whole milliseconds, without its zone.

    Returns the text before it, its specification, and the format of what follows; ``None`` for
    any other.
    """
    before = ""
    for literal, name, specification, conversion in string.Formatter().parse(template):
        before += literal  # each escaped brace ends a part of its own
        if name is None:
            continue
        if name != "time" or conversion or not specification or "SSSS" in specification:
            break
        if not _COARSE.issuperset(specification):
            break
        escaped = before.replace("{", "{{").replace("}", "}}")
        return before, specification, template[len(f"{escaped}{{time:{specification}}}") :]
    return None
