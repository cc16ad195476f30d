"""The format of the sink's lines, which the receiver tells and workers render by.

Owns which format strings may go over the wire, and their identity. No sockets and no loguru here.

Why rendering by a peer's format is safe
----------------------------------------
A format string can reach far: ``{process.__init__.__globals__}`` would show whatever the
application holds, and ``{message:>999999999}`` would take a gigabyte. So only plain fields of a
record pass, with the attributes that loguru documents and a short specification. The receiver
offers no other format, and the worker takes no other. ``extra`` is not among the fields: showing an
application's value may raise, or have no bound. A sink that shows ``extra`` gets whole records.
"""

from __future__ import annotations

import re
import string
import zlib
from typing import Any, NamedTuple

MAX_FORMAT = 1024
"""Characters of a format that workers may render by; the receiver renders by a longer one."""

MAX_PLACES = 50
"""Fields in a format, each with 999 columns at most. They bound what a line may cost a worker."""

MAX_REPEATED = 4
"""Times that one field may stand in a format. Each may hold a message of a megabyte."""

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
"""The markup that every loguru since 0.7.0 knows. One that refuses a tag would lose the record."""

_COARSE = frozenset("YMDHhmsSA-/:., T_|")
"""The parts of loguru's specifications for times that show nothing of the zone."""

_REACHING = r"\d{4}|c$"  # a wide column; ``c`` makes a character of a number, if there is one


class LineFormat(NamedTuple):
    """A text sink's ``format`` (a string) and the number of its ``level``, in loguru's words."""

    format: str
    level: int
    has_boxes: bool = True
    """Whether the sink's encoding has the characters that loguru draws tracebacks with."""

    @property
    def id(self) -> str:
        """Name this very format, as 16 hex digits; each line rendered by it carries them."""
        look = "" if self.has_boxes else "\0ascii"
        text = f"{self.level}\0{self.format}{look}".encode("utf-8", "surrogatepass")
        return f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Return the fields of a record that the format shows."""
        return _fields_of(self.format) or ()


def make_line_format(template: Any, level: Any, has_boxes: Any = True) -> LineFormat | None:
    """Return a sink's line format; ``None`` where only the receiver can render by it."""
    if type(template) is not str or type(level) is not int or len(template) > MAX_FORMAT:
        return None
    known = _KNOWN_TAGS.issuperset(re.findall(_TAG, template))
    if not known or _fields_of(template) is None:
        return None
    return LineFormat(template, level, bool(has_boxes))


def dump_line_format(line_format: LineFormat) -> list[Any]:
    """Return what :func:`make_line_format` takes, as earlier versions know it where they do."""
    return list(line_format if not line_format.has_boxes else line_format[:2])


def _fields_of(template: str) -> tuple[str, ...] | None:
    """Return the fields that a format shows, each once; ``None`` if it reaches too far."""
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
            literal = key == "time" and conversion is None  # its digits are no width
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
    """Return a format without its markup, which only its literal text has."""
    parts: list[str] = []
    for literal, name, specification, conversion in string.Formatter().parse(template):
        parts.append(re.sub(_TAG, "", literal).replace("{", "{{").replace("}", "}}"))
        if name is not None:
            parts.append(_field(name, specification, conversion))
    return "".join(parts)


def split_time(template: str) -> tuple[str, str, str] | None:
    """Split a plain format that begins with a time of whole milliseconds, without its zone.

    Return the text before the time, its specification, and the format of what follows; ``None`` for
    any other format.
    """
    before = ""
    for literal, name, specification, conversion in string.Formatter().parse(template):
        before += literal  # an escaped brace ends a part, so there may be several
        if name is None:
            continue
        if name != "time" or conversion or not specification or "SSSS" in specification:
            break
        if not _COARSE.issuperset(specification):
            break
        escaped = before.replace("{", "{{").replace("}", "}}")
        return before, specification, template[len(f"{escaped}{{time:{specification}}}") :]
    return None


def split_message(template: str) -> tuple[str, str] | None:
    """Split a plain format at ``{message}``, shown once and as it is, into two formats.

    Return what stands before it and what follows; ``None`` for any other format.
    """
    halves: list[list[str]] = [[]]
    for literal, name, specification, conversion in string.Formatter().parse(template):
        halves[-1].append(literal.replace("{", "{{").replace("}", "}}"))
        if name == "message" and not specification and not conversion:
            halves.append([])
        elif name == "message":
            return None
        elif name is not None:
            halves[-1].append(_field(name, specification, conversion))
    if len(halves) != 2:
        return None
    return "".join(halves[0]), "".join(halves[1])


def _field(name: str, specification: str | None, conversion: str | None) -> str:
    how = f"!{conversion}" if conversion else ""
    how += f":{specification}" if specification else ""
    return f"{{{name}{how}}}"
