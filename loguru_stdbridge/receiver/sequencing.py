"""Take each record of a sender once: check its number, drop duplicates, tell of what is missing.

Stands between what comes in (from clients, from orphaned journals) and the writer. No sockets here.

Why an error in the middle loses no record
------------------------------------------
A number counts as taken before its record is with the writer. Where the writer raises (for want of
memory, or by a bug of ours), nobody knows which records it has. So the sender is *in doubt*: it is
not greeted before the writer has written all that it holds. From then on the ledger alone says what
is there, and the sender sends the rest again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Callable

from ..exceptions import SequenceError
from ..record.stock import MARK, row_of_stock_fields
from ..record.stock_rows import StockRows
from ..wire.receiving import (
    GapReceived,
    KnownReceived,
    MarkedReceived,
    Sequencer,
    StrangerReceived,
)
from .any_writer import AnyWriter

MAX_REASONS = 20
"""Reasons that are counted apart: a sender says its reason in its own words."""


class SequencedWriter:
    """Hands records to the writer in the order of their numbers. Used by the receiver's loop."""

    def __init__(self, writer: AnyWriter, last_written: Callable[[str], int]) -> None:
        """``last_written`` gives the highest number of a sender that is in the file."""
        self._writer = writer
        self._sequencer = Sequencer(last_written)
        self._make_stock_row = StockRows().make
        self.duplicates = 0
        """Records that came a second time, since the start."""
        self.given_up: Counter[str] = Counter()
        """Records that their senders gave up before they could be delivered, by reason."""
        self.lost_by_sender: Counter[str] = Counter()
        """The same by sender, of those that something speaks for."""
        self._in_doubt: set[str] = set()

    def is_in_doubt(self, sender: str) -> bool:
        """Return whether a write of all that is held has to come before the next greeting."""
        return sender in self._in_doubt

    def greet(self, sender: str, base: int) -> int:
        """Begin with a sender that sends nothing below ``base``; return the last number held.

        Raises :class:`SequenceError` for a sender in doubt while the writer holds anything.
        """
        if sender in self._in_doubt:
            if self._writer:
                raise SequenceError(
                    f"not all that came of sender {sender[:8]} is written yet, after an error"
                )
            self._in_doubt.discard(sender)
            self._sequencer.forget(sender)
        return self._sequencer.greet(sender, base)

    def last(self, sender: str) -> int:
        """Return the highest number taken from ``sender``."""
        return self._sequencer.last(sender)

    def forget(self, sender: str) -> None:
        """Drop what is held of a sender: nothing speaks for it, and all that came is written."""
        self._in_doubt.discard(sender)
        self.lost_by_sender.pop(sender, None)
        self._sequencer.forget(sender)

    def take_rows(self, sender: str, first: int, rows: Sequence[Any]) -> None:
        """Take decoded rows ``first`` and on. Raises ``SequenceError`` if they do not follow."""
        skip = self._skip_duplicates(sender, first, len(rows))
        try:
            self._writer.take_rows(sender, first + skip, rows[skip:])
        except BaseException:
            self._in_doubt.add(sender)
            raise

    def take_marked(self, event: MarkedReceived) -> None:
        """Take a record whose sender took us for a stock receiver.

        It does not tell us what it leaves out, so a jump is no error: the log's readers learn of
        the missing records from a record of that sender.
        """
        self._sequencer.skip(event.sender, event.sequence - 1)
        if not self._skip_duplicates(event.sender, event.sequence, 1):
            fields = {key: value for key, value in event.fields.items() if key != MARK}
            try:
                row = row_of_stock_fields(fields, time.time(), event.size)
                self._writer.take(row, event.sender, event.sequence)
            except BaseException:
                self._in_doubt.add(event.sender)
                raise

    def take_stock(self, event: StrangerReceived) -> None:
        """Take a record of a stock client, which has no number."""
        self._writer.take(row_of_stock_fields(event.fields, time.time(), event.size), None, 0)

    def take_known(self, event: KnownReceived) -> None:
        """Take records of a stock client whose shape is known."""
        now, make = time.time(), self._make_stock_row
        self._writer.take_stock([make(fields, repeated, now) for fields, repeated in event.records])

    def take_gap(self, gap: GapReceived, origin: str) -> None:
        """Write how many records of a sender are missing; ``origin`` says whose they were."""
        missing = self._sequencer.skip(gap.sender, gap.last)
        if missing:
            reason = gap.reason
            if reason not in self.given_up and len(self.given_up) >= MAX_REASONS:
                reason = "other"
            self.given_up[reason] += missing
            self.lost_by_sender[gap.sender] += missing
            why = f"({origin}) were given up before they could be delivered: {gap.reason}"
            self._writer.take_gap(gap.sender, gap.last - missing + 1, gap.last, why)

    def _skip_duplicates(self, sender: str, first: int, count: int) -> int:
        skip = self._sequencer.admit(sender, first, count)
        self.duplicates += skip
        return skip
