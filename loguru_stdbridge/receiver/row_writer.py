"""Make the lines of a tee (:mod:`~loguru_stdbridge.receiver.tee`): a number and a row.

No sockets here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Callable

from ..record.fallback import fit_row
from ..record.row import FLAG_TAGGED, ROW_LENGTH, Row, encode_row
from ..record.sink_needs import UNKNOWN
from ..record.values import flatten_extra
from ..sink.replay import Rendered
from .writer import Writer


class RowReplay:
    """Makes the lines of a tee: a number, and the row."""

    line_format = None
    """No worker renders these lines, so it sends the whole record."""

    needs = UNKNOWN

    def __init__(self, last: int) -> None:
        """``last`` is the number of the last line that is there."""
        self.last = last
        self.on_written: Callable[[], None] = lambda: None
        """Called when lines have been written."""

    def render(self, row: Row) -> Rendered:
        """Return the line of a record, and nothing for functions that look at records."""
        return Rendered(self.render_text(row), {})

    def render_text(self, row: Row) -> str:
        """Return the line of a record."""
        extra, is_tagged = flatten_extra(row.extra)
        fields = list(row[:ROW_LENGTH])
        fields[0] = row.flags | FLAG_TAGGED if is_tagged else row.flags & ~FLAG_TAGGED
        fields[-1] = extra
        if row.more is not None or row.colors is not None:
            more = None if row.more is None else flatten_extra(row.more)[0]
            fields += [more, row.colors]
        return self._number(fit_row(encode_row(fields)))

    def line_of(self, fields: Sequence[Any]) -> str:
        """Return the line of a row's fields, as they came."""
        return self._number(encode_row(fields))

    def _number(self, row: bytes) -> str:
        self.last += 1
        return f"{self.last} {row.decode('utf-8', 'surrogatepass')}\n"


class RowWriter(Writer):
    """Writes rows as they came, where they are rows."""

    def __init__(self, replay: RowReplay, *args: Any, **options: Any) -> None:
        """See :class:`.Writer`."""
        super().__init__(replay, *args, **options)
        self._rows = replay

    def take_rows(self, sender: str, first: int, rows: Sequence[Any]) -> None:
        """Add rows, duplicates already removed, to the next write."""
        for number, fields in enumerate(rows, first):
            if type(fields) is not list:
                super().take_rows(sender, number, [fields])
                continue
            text = self._rows.line_of(fields)
            self._block(sender, number).texts.append(text)
            self._size += len(text) + 64

    def write(self) -> bool:
        """Write what is held, and wake the thread that sends it on."""
        had = bool(self)
        changed = super().write()
        if had:
            self._rows.on_written()
        return changed
