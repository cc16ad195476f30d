"""What a journal holds: its segments, the rows at hand, the gaps, and where reading goes on.

Finds the rows behind a number, checks them, and saves what can be saved of a segment that is not
what was written. Which segments are made, and which are given up for want of room, is decided in
:mod:`spool.journal`, which also has the lock: only :meth:`Contents.read_rows` does without it. A
signal handler may raise between any two lines; each line leaves a state from which the next call
goes on.

Why no row is invented
----------------------
A row that comes from a file goes out only if the checksum of its record holds, which covers its
number too. Where it does not hold, or the file is shorter than what was written, the whole segment
is looked through (:meth:`Contents.save`): what is whole stays, rows that are still at hand take
their places, and the numbers that are left are a gap, told as ``damaged``. What is saved is written
into a new file, so that a kill does not take it, or kept in memory where no file takes it.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Callable, NamedTuple

from ..record.row import MAX_ROWS
from .at_hand import LARGE, RowsAtHand
from .gaps import Gaps
from .segment_file import NO_SEGMENT, Segment
from .segments import RECORD, RECORD_SIZE, Batch, checksum, encode_record, scan_segment

DAMAGED = "damaged"  # a segment's file is gone, or is not what was written


class RowsPlace(NamedTuple):
    """Where the rows behind a number are: from ``offset`` on, up to ``end``."""

    segment: Segment
    offset: int
    end: int


class Contents:
    """The records of one journal that are not acknowledged."""

    def __init__(self, gaps: Gaps, acked: int = 0, following: int = 1) -> None:
        """Hold nothing yet; ``following`` is the number of the next record."""
        self.gaps = gaps
        self.acked = acked
        self.segments: deque[Segment] = deque()
        self.position: tuple[int, int, Segment] = (0, following, NO_SEGMENT)
        """Tail of the active segment, next number, active segment."""
        self.at_hand = RowsAtHand(following)
        self._cursor: tuple[int, Segment | None, int] = (0, None, 0)
        """A number, and where the record behind it begins."""

    def nothing(self) -> Contents:
        """Return contents that hold nothing, and go on with the same figures."""
        return Contents(self.gaps, self.acked, self.position[1])

    @property
    def size_bytes(self) -> int:
        """Bytes to which all segments may grow."""
        return sum(segment.size for segment in self.segments)

    @property
    def memory_bytes(self) -> int:
        """The same of those in memory."""
        return sum(segment.size for segment in self.segments if segment.memory is not None)

    def end_of(self, segment: Segment) -> int:
        """Return the offset behind the last record of ``segment``."""
        return self.position[0] if segment is self.position[2] else segment.end

    def last_stored(self) -> int:
        """Return the number of the last record that was stored, or a higher one below the next."""
        return self.gaps.last_before(self.position[1] - 1)

    def keep(self, row: bytes) -> None:
        """Keep the row of the record that was stored last."""
        at_hand = self.at_hand
        at_hand.rows.append(row)
        if len(row) > LARGE or len(at_hand.rows) >= MAX_ROWS:
            at_hand.shorten(self.position[1])

    def end_active(self) -> None:
        """Write no more into the active segment; the next record needs another one."""
        tail, following, active = self.position
        if active is not NO_SEGMENT:
            active.cut(tail)
            active.last, active.end = self.last_stored(), tail
            self.position = (0, following, NO_SEGMENT)

    def drop_oldest(self, reason: str) -> None:
        """Give up the records of the oldest segment, and the segment."""
        oldest = self.segments[0]
        if oldest is self.position[2]:
            self.end_active()
        self.gaps.give_up(max(oldest.first, self.acked + 1), oldest.last, reason)
        oldest.release()
        self.segments.popleft()

    def settle(self, through: int) -> list[Segment]:
        """Note that everything up to ``through`` is acknowledged; return what is not needed."""
        self.acked = through
        self.gaps.settle(through)
        released: list[Segment] = []
        while self.segments and self.segments[0] is not self.position[2]:
            if self.segments[0].last > through:
                break
            released.append(self.segments.popleft())
        return released

    # -- reading

    def find(self, after: int, max_bytes: int) -> Batch | RowsPlace:
        """Return what is at hand behind number ``after``: rows, a gap, nothing; or where it is."""
        following = self.position[1]
        gap = self.gaps.at(after + 1) if self.gaps else None
        if gap is not None:
            return Batch(after + 1, (), after, gap)
        if after + 1 >= following:
            return Batch(after + 1, (), after)
        rows = self.at_hand.take(after, following, max_bytes)
        if rows:
            self._move_cursor()
            return Batch(after + 1, rows, after + len(rows))
        return self._place(after) or Batch(after + 1, (), after)

    def _move_cursor(self) -> None:
        """Let reading go on before the first row at hand, if that is in the active segment."""
        tail, _, active = self.position
        at_hand = self.at_hand
        if at_hand.first > active.first:
            size = sum(map(len, at_hand.rows)) + len(at_hand.rows) * RECORD_SIZE
            if active.start <= tail - size:
                self._cursor = (at_hand.first - 1, active, tail - size)

    def _place(self, after: int) -> RowsPlace | None:
        number, segment, offset = self._cursor
        if number != after or segment is None or segment not in self.segments:
            newest_first = reversed(self.segments)  # one with an end of 0 never came into use
            segment = next(
                (s for s in newest_first if s.first <= after + 1 and self.end_of(s)), None
            )
            if segment is None:  # acknowledged, or the journal is closed
                return None
            offset = segment.start
        while offset >= self.end_of(segment):  # read to its end: the next one
            if segment is not self.segments[0]:
                segment.close()
            index = self.segments.index(segment) + 1
            if index == len(self.segments):
                return None
            segment = self.segments[index]
            offset = segment.start
        return RowsPlace(segment, offset, self.end_of(segment))

    def read_rows(self, place: RowsPlace, after: int, max_bytes: int) -> Batch | None:
        """Return the rows behind ``after`` that go into one frame; ``None`` where they are damaged.

        Without the lock. The batch is empty where the numbers behind ``after`` were given up in
        this instant.
        """
        segment, offset, end = place
        rows: list[bytes] = []
        size, last = 0, after
        try:
            descriptor = segment.open_to_read()
        except OSError:
            return None
        try:
            while not rows and offset < end:
                data = _read_part(segment, descriptor, offset, end, max_bytes)
                at = 0
                while len(rows) < MAX_ROWS and at + RECORD_SIZE <= len(data):
                    length, crc, sequence = RECORD.unpack_from(data, at)
                    row = data[at + RECORD_SIZE : at + RECORD_SIZE + length]
                    if not length or len(row) != length or checksum(row, sequence) != crc:
                        break  # its rest was not read; or it is damaged
                    if sequence > after:
                        if sequence != last + 1:  # what is between was given up
                            break
                        if rows and size + length > max_bytes:
                            break
                        rows.append(row)
                        size += length
                        last = sequence
                    at += RECORD_SIZE + length
                if not at:
                    return None
                offset += at
        except OSError:
            return None
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        self._cursor = (last, segment, offset)
        return Batch(after + 1, rows, last)

    def rows_of_this_process(self, *, with_removed: bool) -> list[bytes]:
        """Return the rows of the segments that are in memory, or that somebody has removed."""
        return [
            row
            for segment in self.segments
            if segment.memory is not None or (with_removed and not segment.seems_intact(0))
            for number, row in _whole_rows(segment)
            if number > self.acked
        ]

    def rewind(self) -> None:
        """Write the active segment from its beginning again: all that is in it is acknowledged."""
        _, following, active = self.position
        active.cut(active.start)
        self._cursor = (0, None, 0)
        self.position = (active.start, following, active)

    # -- what is not what was written

    def save(
        self, segment: Segment, write_anew: Callable[[Segment, dict[int, bytes]], Segment]
    ) -> None:
        """Put what can be saved of ``segment`` in its place; give up the rest.

        ``write_anew(segment, rows)`` makes the other one, with those rows by number.
        """
        if segment not in self.segments:  # given up, or acknowledged, in this instant
            return
        if segment is self.position[2]:
            self.end_active()
        first, last = max(segment.first, self.acked + 1), segment.last
        rows = {n: row for n, row in _whole_rows(segment) if first <= n <= last}
        rows.update(self.at_hand.within(first, last, self.position[1]))
        expected = first
        for number in [*sorted(rows), last + 1]:
            if number > expected:
                self.gaps.give_up(expected, number - 1, DAMAGED)
            expected = number + 1
        saved = write_anew(segment, {number: rows[number] for number in sorted(rows)})
        self.segments[self.segments.index(segment)] = saved
        self._cursor = (0, None, 0)
        segment.close()


def _read_part(segment: Segment, descriptor: int, offset: int, end: int, max_bytes: int) -> bytes:
    """Return records from ``offset`` on, the first one whole if it is there."""
    size = min(max_bytes + MAX_ROWS * RECORD_SIZE, end - offset)
    data = segment.read(descriptor, size, offset)
    if len(data) >= RECORD_SIZE:
        whole = RECORD_SIZE + int(RECORD.unpack_from(data)[0])
        if len(data) < whole <= end - offset:
            data = segment.read(descriptor, whole, offset)
    return data


def _whole_rows(segment: Segment) -> list[tuple[int, bytes]]:
    data = segment.read_all()
    scan = scan_segment(data, segment.first)
    return [] if scan is None else [(n, data[start:end]) for n, start, end in scan.records]


def memory_of(segment: Segment, rows: dict[int, bytes]) -> Segment:
    """Return a segment in memory that has ``rows``, in the place of ``segment``."""
    saved = Segment.in_memory(segment.first, 0)
    for number, row in rows.items():
        saved.write(encode_record(row, number), saved.end)
        saved.end += RECORD_SIZE + len(row)
    saved.last, saved.size, saved.path = segment.last, saved.end, segment.path
    return saved
