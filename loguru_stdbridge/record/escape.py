r"""Show control characters and line breaks of a record as text: for sinks with ``escape``.

Whoever logs a text of a stranger's puts into the file what the stranger has chosen: a line break
and behind it a line that looks like a record of its own, or a sequence that a terminal obeys when
somebody reads the file there. With ``escape`` every record begins at the beginning of a line, and
nothing else does. A backslash stays as it is, so ``\n`` in the file may also be those two letters.

A traceback keeps its lines, for it is read by people. Each of them is indented, so that none looks
like the beginning of a record.
"""

from __future__ import annotations

import datetime
from typing import Any

from .row import FLAG_RAW, Row
from .values import show

MAX_ESCAPE_DEPTH = 20
"""Levels of containers in ``extra``; what lies deeper is shown as one text."""

_INDENT = "    "
_HARMFUL = (
    *(code for code in range(0x20) if code != 0x09),  # a tab obeys nobody
    *range(0x7F, 0xA0),
    0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A),  # breaks, directions
)  # fmt: skip
_NAMED = {0x0A: "\\n", 0x0D: "\\r"}
_TABLE = {
    code: _NAMED.get(code, f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
    for code in _HARMFUL
}
_PLAIN = (int, float, complex, bool, type(None), datetime.date, datetime.time, datetime.timedelta)


def escape(text: str) -> str:
    r"""Return ``text`` with ``\n``, ``\x1b`` and the like in the place of those characters."""
    return text if text.isprintable() else text.translate(_TABLE)


def escape_row(row: Row) -> Row:
    """Return a row none of whose texts breaks a line or speaks to a terminal."""
    exception = row.exception
    return row._replace(
        zone=row.zone and escape(row.zone),
        level_name=escape(row.level_name),
        level_icon=escape(row.level_icon),
        message=_escape_message(row),
        name=row.name and escape(row.name),
        function=escape(row.function),
        file_name=escape(row.file_name),
        file_path=escape(row.file_path),
        module=escape(row.module),
        process_name=escape(row.process_name),
        thread_name=escape(row.thread_name),
        exception=None if exception is None else list(map(_escape_traceback, exception)),
        extra={_key(key): _escape_value(value, 0) for key, value in row.extra.items()},
        colors=None,  # they are about the text as it was
        more=row.more and {_key(key): _escape_value(value, 0) for key, value in row.more.items()},
    )


def _escape_message(row: Row) -> str:
    text = row.message
    if row.flags & FLAG_RAW and text.endswith("\n"):  # it is the line's own end
        return f"{escape(text[:-1])}\n"
    return escape(text)


def _escape_traceback(part: Any) -> Any:
    if not isinstance(part, str):
        return part
    lines = part.split("\n")
    if len(lines) == 1:
        return escape(part)
    return "\n".join(f"{_INDENT}{escape(line)}" if line else line for line in lines)


def _key(key: Any) -> Any:
    return escape(key) if isinstance(key, str) else key


def _escape_value(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return escape(str.__str__(value))
    if isinstance(value, _PLAIN):
        return value
    if depth < MAX_ESCAPE_DEPTH:
        if isinstance(value, dict):
            return {_key(key): _escape_value(part, depth + 1) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            parts = (_escape_value(part, depth + 1) for part in value)
            return list(parts) if isinstance(value, list) else tuple(parts)
    text = show(value, str)
    return value if text.isprintable() else escape(text)
