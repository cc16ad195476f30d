"""Holds records back for a moment, and hands them on sorted by their own time: ``--order``.

Stands in front of the writer. No sockets here; used by the receiver's one thread.

Why nothing is lost, and each sender's order is kept
----------------------------------------------------
A record that is held is in no ledger, so its sender is not told that it is written, and sends it
again after a kill. A sender's records go on in the order of their numbers: a record counts as no
earlier than the one before it of the same sender, whatever its own clock said.

What the delay and the memory are bound by
------------------------------------------
A record is held until ``seconds`` have passed since its own time, and never longer than that after
it has come: a time in the future counts as now. Beyond :data:`MAX_ORDERED` no more is read from
clients until some of it was written, so the bound costs speed and not order. A record that comes
when others of a later time are written is *late*: it is written when it comes, and counted.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable, Sequence
from typing import Any, Callable

from ..record.row import FLAG_RENDERED, RENDERED_LENGTH, Row
from ..status.pieces import Watcher
from .several import OneWriter, SeveralWriters

MAX_ORDERED = 32 * 1024 * 1024
"""Bytes, about, of records that are held to be sorted."""

_ROW_SIZE = 1000  # bytes, about, of a row besides its message

_Entry = tuple[float, int, "str | None", int, Any, int]


class OrderedWriter:
    """Does what the writer behind it does, in the order of the records' own times."""

    def __init__(
        self,
        writer: OneWriter | SeveralWriters,
        seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``seconds`` is how long a record is held; ``clock`` gives those since the epoch."""
        self._writer = writer
        self._seconds = seconds
        self._clock = clock
        self._heap: list[_Entry] = []
        self._count = 0
        self._size = 0
        self._held: dict[str | None, list[Any]] = {}  # how many, and the latest time
        self._written_until = -math.inf
        self._settled: set[str] = set()
        self._was_failing = False
        self.late = 0
        """Records that came when others of a later time were written."""
        self.is_ending = False
        """Whether everything goes on at once."""

    def __bool__(self) -> bool:
        """Whether it holds anything."""
        return bool(self._heap) or bool(self._writer)

    def holds(self, sender: str | None) -> bool:
        """Return whether a record of ``sender`` may be among what is not written."""
        return sender in self._held or self._writer.holds(sender)

    def take_settled(self) -> Iterable[str]:
        """Return the senders of whom something was handed on since the last call."""
        settled, self._settled = self._settled, set()
        settled.update(self._writer.take_settled())
        return settled

    @property
    def writers(self) -> list[OneWriter]:
        """Return the writer of each sink, in their order."""
        return list(self._writer.writers)

    @property
    def records(self) -> int:
        """Records that were written so far."""
        return self._writer.records

    @property
    def full(self) -> bool:
        """Whether it holds so much that a write should come next."""
        return self._writer.full

    @property
    def failing(self) -> bool:
        """Whether no more is to be read from clients."""
        return self._writer.failing or self._size > MAX_ORDERED

    @property
    def retry_at(self) -> float:
        """Monotonic time of the next attempt, where one failed; else of the next write."""
        if self._writer.failing:
            return self._writer.retry_at
        return time.monotonic() + self.next_in()

    def next_in(self) -> float:
        """Return the seconds until a record is due."""
        if not self._heap:
            return math.inf
        return max(self._heap[0][0] + self._seconds - self._clock(), 0.0)

    def show_to(self, board: Watcher | None) -> None:
        """Show ``board`` from now on each record that is written."""
        self._writer.show_to(board)

    # -- records in

    def take_rows(self, sender: str, first: int, rows: Sequence[Any]) -> None:
        """Hold rows of a sender."""
        now = self._clock()
        for number, row in enumerate(rows, first):
            when, size = _time_of(row)
            self._hold(sender, number, row, when, size, now)

    def take(self, row: Row, sender: str | None, sequence: int) -> None:
        """Hold one record; ``sender`` is ``None`` for a stock client's."""
        self._hold(sender, sequence, row, row.time, _ROW_SIZE + len(row.message), self._clock())

    def take_stock(self, rows: Sequence[Row]) -> None:
        """Hold records of stock clients."""
        for row in rows:
            self.take(row, None, 0)

    def take_gap(self, sender: str, first: int, last: int, why: str) -> None:
        """Hold what is told of missing records: it stays between those around it."""
        now = self._clock()
        self._hold(sender, last, (first, last, why), now, _ROW_SIZE, now)

    def _hold(
        self, sender: str | None, number: int, what: Any, when: float, size: int, now: float
    ) -> None:
        lane = self._held.get(sender)
        if lane is None:
            lane = self._held[sender] = [0, -math.inf]
        when = min(when, now)
        if sender is not None:
            when = max(when, lane[1])
        lane[0] += 1
        lane[1] = when
        if when < self._written_until:
            self.late += 1
        self._count += 1
        self._size += size
        heapq.heappush(self._heap, (when, self._count, sender, number, what, size))

    # -- and on

    def write(self) -> bool:
        """Hand on what is due, and have it written. Never raises.

        Return whether every client is concerned.
        """
        due = math.inf if self.is_ending else self._clock() - self._seconds
        while self._heap and self._heap[0][0] <= due and not self._writer.failing:
            self._hand_on(due)
            if self._writer.full:
                self._writer.write()
        changed = self._writer.write()
        was_failing, self._was_failing = self._was_failing, self.failing
        return changed or was_failing != self._was_failing

    def _hand_on(self, due: float) -> None:
        """Hand on the first records that are due and of one sender."""
        when, _, sender, first, what, size = heapq.heappop(self._heap)
        run = [what]
        self._let_go(sender, when, size)
        while (
            self._heap
            and self._heap[0][0] <= due
            and self._heap[0][2] == sender
            and type(self._heap[0][4]) is type(what)
            and type(what) is not tuple
            and (sender is None or self._heap[0][3] == first + len(run))
            and len(run) < 1000
        ):
            when, _, _, _, following, size = heapq.heappop(self._heap)
            run.append(following)
            self._let_go(sender, when, size)
        if sender is None:
            self._writer.take_stock(run)
        elif type(what) is tuple:
            self._writer.take_gap(sender, *what)
        elif isinstance(what, Row):
            for number, row in enumerate(run, first):
                self._writer.take(row, sender, number)
        else:
            self._writer.take_rows(sender, first, run)

    def _let_go(self, sender: str | None, when: float, size: int) -> None:
        self._size -= size
        self._written_until = max(self._written_until, when)
        lane = self._held[sender]
        lane[0] -= 1
        if not lane[0]:
            del self._held[sender]
        if sender is not None:
            self._settled.add(sender)


def _time_of(row: Any) -> tuple[float, int]:
    """Return a row's own time, in seconds since the epoch, and about how many bytes it takes."""
    if type(row) is list and len(row) > 9:
        when = row[1]
        message = row[9]
    elif type(row) is list and len(row) == RENDERED_LENGTH and row[0] == FLAG_RENDERED:
        when = row[1] / 1e9 if type(row[1]) is int and row[1].bit_length() <= 64 else None
        message = row[5]
    else:
        return math.inf, _ROW_SIZE
    size = _ROW_SIZE + (len(message) if type(message) is str else 0)
    usable = type(when) in (int, float) and not (type(when) is float and math.isnan(when))
    return (float(when) if usable and abs(when) < 1e12 else math.inf), size
