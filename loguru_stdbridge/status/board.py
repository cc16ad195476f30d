"""What the receiver's loop notes for those who watch it: records written, times, the last rounds.

The loop calls; it never waits and never looks into a record. One thread reads
(:mod:`~loguru_stdbridge.status.listener`). No sockets here.

Why no lock is needed
---------------------
The loop appends at one end of :attr:`Board.fresh`, and the reader takes from the other. Each of
these is one step of the interpreter. Where nobody reads, the loop also takes the oldest away, so
that what is kept stays within :data:`MAX_ROWS_KEPT` and :data:`MAX_BYTES_KEPT`. Records have
numbers, so the reader sees how many it has missed. Counts are only ever added to, by the loop.

Why a record is never shown before it is in the file
----------------------------------------------------
The writer hands its records over after the write of their lines has succeeded, and of a write that
failed half-way only those whose lines are in the file.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Sequence
from itertools import accumulate
from operator import itemgetter
from typing import Any, Callable, NamedTuple

from ..record.row import DEFAULT_LEVEL_NO, Row
from .pieces import Piece
from .state import ReceiverState

MAX_ROWS_KEPT = 5000
"""Records that are kept for viewers who come later."""

MAX_BYTES_KEPT = 8 * 1024 * 1024
"""Characters of their lines, with 64 for each."""

MAX_LEVELS = 40
"""Names of levels that are counted apart; a peer says its level in its own words."""

MAX_LEVEL_NAME = 40
"""Characters of a level's name that is counted."""

OTHER_LEVELS = "other"

SAMPLE = 64
"""Of so many records of a piece, the delay of one is measured; of each piece that of one."""

FEW = 40
"""Records of a piece up to which a loop counts them faster than a :class:`Counter`."""

MAX_DELAYS = 5000
"""Delays that wait for the reader's look, once a second."""

PICTURE_TIMEOUT = 1.0
"""Seconds to wait for the loop's picture of itself. A loop that takes longer shows its last one."""

STUCK_AFTER = 5.0
"""Seconds after which a loop that has not turned is taken to be stuck. It turns once a second."""

_ERROR_NO = 40


class Chunk(NamedTuple):
    """A piece, with the number of its first record and the time of its write."""

    first: int
    written_at: float  # seconds since the epoch
    sender: str | None
    rows: Sequence[Any]
    size: int

    @property
    def last(self) -> int:
        """The number of its last record."""
        return self.first + len(self.rows) - 1


class Histogram:
    """Counts values by upper bounds, as Prometheus has it. One thread adds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[int]:
        """Return for each bound, and for infinity, how many values are not above it."""
        return list(accumulate(self.counts))


_DELAY_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
_BRIEF_BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5)

_level_of_rendered = itemgetter(3)
_level_of_whole = itemgetter(Row._fields.index("level_name"))


class Board:
    """What one receiver shows. The loop notes, one other thread reads."""

    def __init__(self) -> None:
        self.epoch = f"{int(time.time() * 1000):x}-{os.urandom(3).hex()}"
        """Names this receiver's run."""
        self.fresh: deque[Chunk] = deque()
        """Records that the reader has not taken, oldest first."""
        self._fresh_rows = 0
        self._fresh_bytes = 0
        self._taken_rows = 0  # by the reader
        self._taken_bytes = 0
        self.written = 0
        """Records shown so far; the number of the last one."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Records by source (``worker`` or ``stock``) and level."""
        self.errors = 0
        """Records of level ERROR and above."""
        self._level_numbers: dict[str, int] = {}
        self.write_delay = Histogram(_DELAY_BOUNDS)
        """Seconds from a record's own time to the end of its write."""
        self.write_time = Histogram(_BRIEF_BOUNDS)
        """Seconds of each write of the sink."""
        self.round_time = Histogram(_BRIEF_BOUNDS)
        """Seconds of each round of the loop: a client that is ready waits so long at most."""
        self.delays: list[float] = []
        """Delays since the reader took the list away."""
        self.turned_at = time.monotonic()
        """When the loop began or ended a round last."""
        self.is_watched = True
        """Whether somebody may look; the loop lets go of a board that nobody watches."""
        self.is_picture_wanted = False
        self._picture: ReceiverState | None = None
        self._picture_made = threading.Event()
        self._pictured_at = 0.0
        self._wake_loop: Callable[[], None] = lambda: None

    # -- the loop

    def attach(self, wake_loop: Callable[[], None]) -> None:
        """Say how the loop is woken, to make a picture of itself."""
        self._wake_loop = wake_loop

    def note_round(self, began: float) -> None:
        """Note that a round of the loop, which began at ``began`` (monotonic), has ended."""
        self.turned_at = now = time.monotonic()
        self.round_time.add(now - began)

    def note_write(self, seconds: float) -> None:
        """Note how long a write of the sink took."""
        self.write_time.add(seconds)

    def show(self, pieces: Sequence[Piece]) -> None:
        """Show records whose lines are in the file now."""
        now = time.time()
        for piece in pieces:
            rows = piece.rows
            if piece.has_gaps:
                rows = [row for row in rows if row is not None]
            if not rows:
                continue
            self._count(piece.sender, rows)
            self._measure(rows, now)
            self.fresh.append(Chunk(self.written + 1, now, piece.sender, rows, piece.size))
            self.written += len(rows)
            self._fresh_rows += len(rows)
            self._fresh_bytes += piece.size
        self._trim()

    def _count(self, sender: str | None, rows: Sequence[Any]) -> None:
        source = "stock" if sender is None else "worker"
        said_names = map(_level_of_whole if isinstance(rows[0], Row) else _level_of_rendered, rows)
        names: dict[Any, int] = {}
        try:
            if len(rows) > FEW:
                names = Counter(said_names)
            else:
                for said in said_names:
                    names[said] = names.get(said, 0) + 1
        except TypeError:  # a name that is no text
            names = Counter(level_of(row)[1] for row in rows)
        for said, count in names.items():
            name, number = said, self._level_numbers.get(said)
            if number is None:
                name, number = self._learn_level(said, rows)
            self.counts[source, name] += count
            if number >= _ERROR_NO:
                self.errors += count

    def _learn_level(self, name: Any, rows: Sequence[Any]) -> tuple[str, int]:
        """Return the name by which a level is counted, and its number."""
        levels = map(level_of, rows)
        number = next((no for no, its_name in levels if its_name == name), DEFAULT_LEVEL_NO)
        known = self._level_numbers
        if type(name) is not str or len(name) > MAX_LEVEL_NAME or len(known) >= MAX_LEVELS:
            return OTHER_LEVELS, number
        known[name] = number
        return name, number

    def _measure(self, rows: Sequence[Any], now: float) -> None:
        for row in rows[::SAMPLE]:
            delay = max(now - time_of(row, now), 0.0)
            self.write_delay.add(delay)
            if len(self.delays) < MAX_DELAYS:
                self.delays.append(delay)

    def _trim(self) -> None:
        """Take the oldest away where more is kept than viewers who come later are shown."""
        fresh = self.fresh
        while len(fresh) > 1:
            rows = self._fresh_rows - self._taken_rows
            size = self._fresh_bytes - self._taken_bytes
            oldest_rows = len(fresh[0].rows) if fresh else 0
            if rows - oldest_rows < MAX_ROWS_KEPT and size <= MAX_BYTES_KEPT:
                return
            try:
                oldest = fresh.popleft()
            except IndexError:  # the reader was quicker
                return
            self._fresh_rows -= len(oldest.rows)
            self._fresh_bytes -= oldest.size

    def put_picture(self, picture: ReceiverState) -> None:
        """Hand over the picture that was wanted."""
        self.is_picture_wanted = False
        self._picture = picture
        self._pictured_at = time.monotonic()
        self._picture_made.set()

    # -- the reader

    def take(self) -> list[Chunk]:
        """Take what is fresh, oldest first."""
        chunks: list[Chunk] = []
        while True:
            try:
                chunk = self.fresh.popleft()
            except IndexError:
                return chunks
            self._taken_rows += len(chunk.rows)
            self._taken_bytes += chunk.size
            chunks.append(chunk)

    def take_delays(self) -> list[float]:
        """Take the delays that were measured since the last call, sorted."""
        delays, self.delays = self.delays, []
        return sorted(delays)

    @property
    def is_turning(self) -> bool:
        """Whether the loop has turned lately."""
        return time.monotonic() - self.turned_at < STUCK_AFTER

    def end(self) -> None:
        """Say that nobody looks any more; whoever waits for a picture goes on."""
        self.is_watched = False
        self._picture_made.set()

    def picture(self, timeout: float = PICTURE_TIMEOUT) -> ReceiverState | None:
        """Return the loop's picture of itself, made now; the last one where it takes too long.

        ``None`` where it has made none yet.
        """
        self._picture_made.clear()
        self.is_picture_wanted = True
        self._wake_loop()
        if time.monotonic() - self.turned_at > 2 * PICTURE_TIMEOUT or not self.is_watched:
            timeout = 0.0  # it hangs, or has ended
        self._picture_made.wait(timeout)
        return self._picture

    @property
    def picture_age(self) -> float:
        """Seconds since the last picture was made."""
        return time.monotonic() - self._pictured_at


def level_of(row: Any) -> tuple[int, str]:
    """Return number and name of the level of a rendered row, or of a :class:`Row`."""
    if isinstance(row, Row):
        return row.level_no, row.level_name
    number, name = row[2], row[3]
    return number if type(number) is int else DEFAULT_LEVEL_NO, str(name)[:MAX_LEVEL_NAME]


def time_of(row: Any, default: float) -> float:
    """Return the time of a row in seconds since the epoch."""
    if isinstance(row, Row):
        return row.time
    nanoseconds = row[1]
    known = type(nanoseconds) is int and nanoseconds.bit_length() <= 64
    return nanoseconds / 1e9 if known else default
