"""The last rows of a journal, kept in memory too, until the sender reads them.

To take rows out of a file one by one takes the interpreter's lock from the application for a
microsecond each. So the rows that were stored last are also kept as they are. They serve again
where the file or the disk behind them is lost.

This is no second queue. The rows are in the journal, and what is not here is read from there. The
caller holds the journal's lock.
"""

from __future__ import annotations

from ..record.row import MAX_ROWS

LARGE = 1024
"""Bytes of a row that is not kept here: all rows together then have no more than a megabyte."""


class RowsAtHand:
    """Rows of consecutive numbers, the last one that of the last record.

    The caller compares that last number with its own before each use (:meth:`agree`): a call that
    an exception ended in the middle may have stored a record and not have kept its row.
    """

    __slots__ = ("first", "rows")

    def __init__(self, first: int) -> None:
        self.first = first  # the number of rows[0], or of the next row
        self.rows: list[bytes] = []

    def agree(self, following: int) -> bool:
        """Keep the rows if ``following`` is the number after the last one; else forget them."""
        if self.first + len(self.rows) == following:
            return True
        self.rows, self.first = [], following
        return False

    def shorten(self, following: int) -> None:
        """Forget a large row with all before it, or the older half of too many."""
        rows = self.rows
        if not rows or len(rows[-1]) > LARGE:
            self.rows, self.first = [], following
        elif len(rows) >= MAX_ROWS:
            keep = MAX_ROWS // 2
            self.rows, self.first = rows[-keep:], following - keep

    def take(self, after: int, following: int, max_bytes: int) -> list[bytes]:
        """Take out the rows above ``after`` that go into one frame; keep those behind them.

        Return none where the row of ``after + 1`` is not here.
        """
        if not self.agree(following) or not self.first <= after + 1 < following:
            return []
        begin = after + 1 - self.first
        rows = self.rows[begin : begin + MAX_ROWS]
        size = sum(map(len, rows))
        while size > max_bytes and len(rows) > 1:
            size -= len(rows.pop())
        self.rows, self.first = self.rows[begin + len(rows) :], after + 1 + len(rows)
        return rows

    def within(self, first: int, last: int, following: int) -> dict[int, bytes]:
        """Return the rows of the numbers ``first`` to ``last`` that are here."""
        if not self.agree(following):
            return {}
        begin = max(first, self.first)
        rows = self.rows[begin - self.first : max(last + 1 - self.first, 0)]
        return dict(enumerate(rows, begin))
