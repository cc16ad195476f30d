"""Reads a finished line back into its parts, by the sink's format.

A worker sends plain lines finished (:mod:`~loguru_stdbridge.record.line_format`), so the receiver
has no fields of theirs but time and level. What does not fit the format is all message. Pure text:
no sockets, no files.

Why a hostile line costs no more than another
---------------------------------------------
No pattern is matched. Each field ends where the format's next literal text stands first, so a line
is gone through once, and only its first :data:`MAX_BEFORE_MESSAGE` characters.
"""

from __future__ import annotations

import re
import string
from typing import NamedTuple

from ..record.line_format import plain_format

MAX_BEFORE_MESSAGE = 2000
"""Characters of a line in which the message has to begin."""

_TRACEBACK = "Traceback (most recent call last):\n"
_TYPE = re.compile(r"[A-Za-z_][\w.]{0,200}")
_NUMBERS = frozenset(["line", "process", "process.id"])


class Parts(NamedTuple):
    """What a line says, as far as it could be read."""

    message: str
    logger: str = ""
    where: str = ""
    """Function and line."""

    pid: int = 0
    exception_type: str = ""
    exception: str = ""
    """The traceback's text."""


class LineSplitter:
    """Splits lines of one format."""

    def __init__(self, template: str | None) -> None:
        """``template`` is a format string of loguru's; ``None``: of another kind, nothing fits."""
        self._before, self._fields = ("", None) if template is None else _read_format(template)

    def split(self, line: str) -> Parts:
        """Return the parts of a line, which ends with a line break."""
        line = line.rstrip("\n")
        values = self._split_fields(line)
        message = line if values is None else values["message"]
        message, kind, traceback = split_traceback(message)
        if values is None:
            return Parts(message, exception_type=kind, exception=traceback)
        where = [values[name] for name in ("function", "line") if values.get(name)]
        pid = values.get("process") or values.get("process.id") or "0"
        return Parts(message, values.get("name", ""), ":".join(where), int(pid), kind, traceback)

    def _split_fields(self, line: str) -> dict[str, str] | None:
        if self._fields is None or not line.startswith(self._before):
            return None
        at = len(self._before)
        values = {}
        for name, literal in self._fields:
            end = line.find(literal, at, MAX_BEFORE_MESSAGE)
            if end < 0:
                return None
            value = values[name] = line[at:end].strip(" ")
            if name in _NUMBERS and not (value.isdecimal() and len(value) < 12):
                return None
            at = end + len(literal)
        values["message"] = line[at:]
        return values


def split_traceback(text: str) -> tuple[str, str, str]:
    """Return what stands before a traceback, the exception's type, and the traceback."""
    before, found, behind = f"\n{text}".partition(f"\n{_TRACEBACK}")
    if not found:
        return text, "", ""
    exception = f"{_TRACEBACK}{behind}".strip("\n")
    last = next((s for s in reversed(exception.split("\n")[-50:]) if s[:1].strip()), "")
    match = _TYPE.match(last)
    return before.strip("\n"), match.group() if match else "Exception", exception


def _read_format(template: str) -> tuple[str, list[tuple[str, str]] | None]:
    """Return the text in front, and the fields before the message with the text behind each.

    ``None`` for the fields where lines cannot be split: two fields have nothing between them, or
    something stands behind the message.
    """
    before, fields = "", []
    name = ""
    try:
        pieces = list(string.Formatter().parse(plain_format(template)))
    except ValueError:
        return "", None
    text = ""
    for index, (literal, field, specification, conversion) in enumerate(pieces):
        text += literal
        if field is None:
            continue
        if not name:
            before = text
        elif not text:
            return "", None
        else:
            fields.append((name, text))
        name, text = field, ""
        if field == "message":
            rest = "".join(str(part) for piece in pieces[index + 1 :] for part in piece if part)
            is_last = not specification and not conversion and not rest.replace("exception", "")
            return before, fields if is_last or not rest.strip("\n") else None
    return "", None
