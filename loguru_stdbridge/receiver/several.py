"""Writes each record to several sinks, once to each of them.

Stands where a receiver of one sink has its :class:`~.writer.Writer`, in front of one writer for
each sink. No sockets here.

Why one sink's failure doubles nothing in another
-------------------------------------------------
Each sink has a ledger of its own. It knows for each sender the last number that is settled in *its*
file: the record's line is there, or the sink's level or filter leaves the record out, or a notice
says that it was given up. A writer takes the numbers of a sender in order, and keeps what its sink
has not taken. So all numbers up to that one are settled there, and none behind it is.

* *Acknowledged* is the lowest of these numbers. So a worker keeps a record until all sinks have it.
* *A kill* between the write of one sink and that of the next, or in the middle of one, leaves the
  ledgers with different numbers. The next receiver greets with the lowest one, so the worker sends
  again whatever a sink lacks. Each writer drops the numbers that its own ledger has.
* *A sink that fails* (its disk is full) holds what it has not taken, and tries again. The others
  have written theirs. Meanwhile the server reads no more records
  (:mod:`~loguru_stdbridge.receiver.writer`), so what is held stays bounded. Killed in that state,
  it is the case above.
* *What is held* is in no ledger yet. It does not come again: the sequencer admits a number once,
  and forgets a sender only when no writer holds anything.
* *A sink that is new* has a ledger that knows nobody. It begins with what workers still hold.
* *A sink that is no file* keeps its promise of "at most once": its ledger counts the piece that was
  in hand at a kill as written (:mod:`~loguru_stdbridge.sink.streams`).

A gap is told to each sink with the count of the records that this very sink lacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Callable, Union

from ..record.row import Row
from ..status.pieces import Watcher
from .writer import Writer

if TYPE_CHECKING:
    from .engine_writer import EngineWriter  # loaded only by a receiver with such a sink

OneWriter = Union[Writer, "EngineWriter"]


class SeveralWriters:
    """Does what a writer does, for several sinks. Used by the receiver's one thread."""

    late = 0
    """None: only what is sorted by time can come too late."""

    def __init__(self, writers: Sequence[tuple[OneWriter, Callable[[str], int]]]) -> None:
        """Each writer comes with the look-up of a sender's last number in its sink's ledger."""
        self._writers = writers

    def __bool__(self) -> bool:
        """Whether any of them holds anything."""
        return any(writer for writer, _ in self._writers)

    def holds(self, sender: str | None) -> bool:
        """Return whether one of them may hold a record of ``sender``."""
        return any(writer.holds(sender) for writer, _ in self._writers)

    def take_settled(self) -> Iterable[str]:
        """Return the senders of whom something was settled since the last call."""
        return {sender for writer, _ in self._writers for sender in writer.take_settled()}

    @property
    def writers(self) -> list[OneWriter]:
        """Return the writer of each sink, in their order."""
        return [writer for writer, _ in self._writers]

    def show_to(self, board: Watcher | None) -> None:
        """Show ``board`` each record that the first sink has written: it is the log."""
        self._writers[0][0].show_to(board)

    @property
    def full(self) -> bool:
        """Whether one holds so much that a write should come next."""
        return any(writer.full for writer, _ in self._writers)

    @property
    def failing(self) -> bool:
        """Whether a sink did not take what it was given last."""
        return any(writer.failing for writer, _ in self._writers)

    @property
    def retry_at(self) -> float:
        """Monotonic time of the next attempt, where one failed."""
        return min((writer.retry_at for writer, _ in self._writers if writer.failing), default=0.0)

    @property
    def records(self) -> int:
        """Records that were written so far, by the sink that has most of them."""
        return max(writer.records for writer, _ in self._writers)

    def take_rows(self, sender: str, first: int, rows: Sequence[Any]) -> None:
        """Add rows to the next write of each sink that lacks them."""
        for writer, last_settled in self._writers:
            settled = max(last_settled(sender) + 1 - first, 0)
            writer.take_rows(sender, first + settled, rows[settled:] if settled else rows)

    def take_gap(self, sender: str, first: int, last: int, why: str) -> None:
        """Tell each sink how many of the records from ``first`` to ``last`` it lacks for good."""
        for writer, last_settled in self._writers:
            lacking = max(last_settled(sender) + 1, first)
            if lacking <= last:
                writer.take_gap(sender, lacking, last, why)

    def take(self, row: Row, sender: str | None, sequence: int) -> None:
        """Render one record for each sink that lacks it; ``sender`` is ``None`` for a stock
        client's, which has no number."""
        for writer, last_settled in self._writers:
            if sender is None or sequence > last_settled(sender):
                writer.take(row, sender, sequence)

    def take_stock(self, rows: Sequence[Row]) -> None:
        """Render records of stock clients, one behind the other, for each sink."""
        for writer, _ in self._writers:
            writer.take_stock(rows)

    def write(self) -> bool:
        """Write what is held to each sink, if it is time. Never raises.

        Return whether every client is concerned: a sink failed, or works again.
        """
        changes = [writer.write() for writer, _ in self._writers]  # each of them, whatever fails
        return any(changes)
