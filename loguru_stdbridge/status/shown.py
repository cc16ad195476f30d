"""Makes of a written record what viewers are shown of it: bounded fields that JSON can hold.

Texts go out as they are: whoever shows them sees to it that they are only text. No sockets here.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..record.row import Row
from ..record.values import show
from .board import Chunk, level_of, time_of
from .lines import LineSplitter, split_traceback

MAX_MESSAGE_SHOWN = 4096
"""Characters of a message."""

MAX_TRACEBACK_SHOWN = 65536
"""Characters of a traceback."""

MAX_EXTRA_SHOWN = 40
"""Fields of ``extra``."""

MAX_VALUE_SHOWN = 1024
"""Characters of a field's value, or of any other text."""


class Showing:
    """Makes the shown form of records. ``programs`` has program and process id by sender."""

    def __init__(self, template: str | None) -> None:
        """``template`` is the sink's format."""
        self._splitter = LineSplitter(template)
        self.programs: dict[str, tuple[str, int]] = {}
        """By the first digits of a sender's id."""

    def show(self, chunk: Chunk, index: int) -> dict[str, Any]:
        """Return the fields of one record of a chunk."""
        row = chunk.rows[index]
        fields: dict[str, Any] = {"seq": chunk.first + index}
        if isinstance(row, Row):
            self._show_row(row, fields)
        else:
            self._show_line(row, chunk, fields)
        program, pid = self.programs.get((chunk.sender or "")[:8], ("", 0))
        fields["program"] = program or fields.get("program", "")
        fields["pid"] = fields["pid"] or pid
        message, text = fields["message"], fields.get("exception", {}).get("text", "")
        cut = max(len(message) - MAX_MESSAGE_SHOWN, 0) + max(len(text) - MAX_TRACEBACK_SHOWN, 0)
        if cut:
            fields["cut"] = cut
            fields["message"] = message[:MAX_MESSAGE_SHOWN]
            if text:
                fields["exception"]["text"] = text[-MAX_TRACEBACK_SHOWN:]  # its end says most
        return fields

    def _show_line(self, row: list[Any], chunk: Chunk, fields: dict[str, Any]) -> None:
        number, name = level_of(row)
        when = time_of(row, chunk.written_at)
        parts = self._splitter.split(row[5])
        fields.update(
            time=when,
            offset=offset_at(when),
            level=name,
            no=number,
            logger=parts.logger[:MAX_VALUE_SHOWN],
            where=parts.where[:MAX_VALUE_SHOWN],
            pid=parts.pid,
            thread="",
            message=parts.message,
        )
        if parts.exception:
            fields["exception"] = {"type": parts.exception_type, "text": parts.exception}

    def _show_row(self, row: Row, fields: dict[str, Any]) -> None:
        message, kind, traceback = row.message, "", ""
        if row.exception is not None and len(row.exception) > 2:
            kind, traceback = _text(row.exception[0]), str(row.exception[2]).strip("\n")
        elif row.flags & 1:
            message, kind, traceback = split_traceback(message.rstrip("\n"))
        fields.update(
            time=row.time,
            offset=row.offset,
            level=row.level_name[:MAX_VALUE_SHOWN],
            no=row.level_no,
            logger=(row.name or "")[:MAX_VALUE_SHOWN],
            where=f"{row.function}:{row.line}"[:MAX_VALUE_SHOWN] if row.function else "",
            program="" if row.process_name == "MainProcess" else row.process_name[:60],
            pid=row.process_id,
            thread=row.thread_name[:MAX_VALUE_SHOWN],
            message=message,
        )
        if kind or traceback:
            fields["exception"] = {"type": kind[:MAX_VALUE_SHOWN], "text": traceback}
        if row.extra:
            fields["extra"] = show_extra(row.extra)


def show_extra(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of ``extra``, so many at most, each within bounds."""
    shown = {}
    for name, value in list(extra.items())[:MAX_EXTRA_SHOWN]:
        simple = value is None or type(value) is bool
        if type(value) in (int, float):
            simple = abs(value) < 1 << 53  # a script can hold it; what is no number is not below
        shown[str(name)[:100]] = value if simple else _text(value)
    return shown


def _text(value: Any) -> str:
    return value if type(value) is str and len(value) <= MAX_VALUE_SHOWN else show(
        value, str, MAX_VALUE_SHOWN
    )  # fmt: skip


def offset_at(when: float) -> int:
    """Return the seconds from UTC of this machine's zone at a time."""
    try:
        return time.localtime(when).tm_gmtoff
    except (OverflowError, ValueError, OSError):
        return 0
