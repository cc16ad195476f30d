"""The journal: the records of one process from the log call to the receiver's acknowledgement.

It is buffer, spool and crash safety in one. There is no second queue: log calls append to segment
files, the sender's thread reads them and gives space back.

Why a record is safe when ``append`` returns
--------------------------------------------
It has been written to a file, so it is in the page cache, which a ``kill -9`` of this process does
not touch. Header and row are one write at a known place; where the process dies in the middle of
it, the file ends inside the record, and the call had not returned. Where the file does not take it,
the segment ends before it, and the record goes into another one, in a file or in memory. The
position (tail, next number, active segment) is one tuple, replaced by one store after the write. So
an exception that a signal handler raises in the middle leaves the old position, and the next record
overwrites what was begun.

(CPython 3.9 can run a handler after any instruction, 3.10 and later after calls and in loops only.
So on 3.9 a handler that raises can leave a ``with lock`` with the lock held, here as in any other
Python code; one that only logs cannot.)

Why no file can end the application
-----------------------------------
No file is mapped. Whatever happens to a file, a disk or a descriptor is an ``OSError`` or a short
count, and both are dealt with where they appear (:mod:`system.own_file`,
:mod:`spool.segment_file`). The rows that are still at hand are saved from a disk that fails
(:meth:`Contents.save`).

Why a log call inside a log call is safe
----------------------------------------
A signal handler or a ``__del__`` can log while its own thread is inside ``append``. A lock would
wait for itself; a re-entrant one would let the inner record into the middle of the outer. So each
thread has a flag, set *before* it asks for the lock and cleared *after* it has let it go: where the
flag is up, the row goes into the thread's ``deferred``, and the outer call stores it before it
returns. ``deferred`` is looked at when the flag is down, so no inner call can come too late: one
after that goes the ordinary way. The inner record is in memory only until then: a kill in that
instant loses it, the one exception to the rule above, some microseconds wide. Where the journal is
closed when ``deferred`` is looked at, the row goes to ``on_row_after_close``, the channel's
``emit``.

Why every record given up is told
---------------------------------
It gets its number like any other, and the numbers given up are gaps in the row of numbers. So the
receiver cannot be told of what comes after without being told of the gap, and who adopts the
journal of a killed process sees it too: in the middle as a jump, at the end by ``given_up``. How
many of them count as dropped: :mod:`spool.gaps`.

Why no wake-up is missed
------------------------
The sender sets ``sender_waiting``, then looks for rows, then waits on its wake-up socket.
``append`` stores the row, then looks at ``sender_waiting``. Whichever of the two stores comes
first, the other side sees it: either the sender finds the row and does not wait, or ``append``
finds ``sender_waiting`` and writes to the socket, which stays readable until the wait.

Forks
-----
A child loses the lock at the fork (:mod:`system.locks`). :meth:`after_fork_in_child` closes the
child's copies of the files; it writes and unlinks nothing. What a child that was forked inside
``append``, by a signal handler, is in the middle of storing, its parent stores.
"""

from __future__ import annotations

import contextlib
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from typing import Callable, NamedTuple

from ..addresses import LogName, parse_address
from ..exceptions import JournalError
from ..record.row import MAX_ROWS
from .at_hand import LARGE
from .contents import RowsPlace
from .directory import make_spool_dir
from .owned import STALE, OwnedDirectory, new_sender_id
from .segments import ACKED_AT, KNOWN_AT, RECORD, RECORD_SIZE, Batch
from .storage import MEMORY_LIMIT, Storage

DEFAULT_LIMIT = 256 * 1024 * 1024
"""Bytes on disk while the receiver is away: about a million records of 250 bytes."""

SEGMENT_SIZE = 1024 * 1024
"""Bytes to which a segment grows."""

REENTRANT = -1
"""What ``append`` returns for a row that the outer call will store."""

CLOSED = "closed"  # the reason of rows in memory that were not acknowledged when it was closed

UPKEEP_INTERVAL = 2.0
"""Seconds between two looks of the owner at its files."""

_CLOSE, _CLOSE_AND_REMOVE = b"close", b"close and remove"  # in ``deferred``; no row is like them
_pack_record = RECORD.pack
_crc32 = zlib.crc32


class _ThreadState:
    """Whether a thread is inside the journal, and what it has logged there."""

    __slots__ = ("deferred", "inside")

    def __init__(self) -> None:
        self.inside = False
        self.deferred: deque[bytes] = deque()


class _ThreadLocal(threading.local):
    """A thread's own object: to look that up costs as much as five of its attributes.

    No ``__init__`` makes it: a log call in the middle of that would find neither it nor another.
    """

    state: _ThreadState | None = None


class Figures(NamedTuple):
    """Records of a journal. What was accepted is acknowledged, pending or dropped."""

    accepted: int
    acknowledged: int
    pending: int
    dropped: dict[str, int]  # by reason


class Journal(Storage):
    """The journal of one process. ``append`` is for any thread, the rest for the sender's."""

    def __init__(
        self,
        disk: OwnedDirectory | None,
        address: str,
        *,
        limit: int,
        segment_size: int,
        when_full: str,
        block_timeout: float,
    ) -> None:
        """Keep records in the directory ``disk``, or in memory for ``None``."""
        self._threads = _ThreadLocal()
        super().__init__(
            disk,
            limit=limit,
            segment_size=segment_size,
            when_full=when_full,
            block_timeout=block_timeout,
        )
        self.sender_id = new_sender_id() if disk is None else disk.sender_id
        named = parse_address(address)
        self.log = LogName(named.path) if named.scheme == "log" else None
        """The log that the records belong to; ``None`` until a receiver has told it."""
        self.on_append: Callable[[], None] = lambda: None
        self.on_row_after_close: Callable[[bytes], None] = lambda row: None
        """Takes a row that was accepted where this journal was closed before it was stored."""
        self.sender_waiting = False
        self.closing = False  # as soon as the log call is over that it was closed in the middle of
        self._look_at = time.monotonic() + UPKEEP_INTERVAL

    @classmethod
    def create(
        cls,
        spool_dir: str | None,
        address: str,
        *,
        limit: int | None = None,
        segment_size: int = SEGMENT_SIZE,
        when_full: str = "drop_oldest",
        block_timeout: float = 10.0,
    ) -> Journal:
        """Make a journal in a directory of its own in ``spool_dir``, or in memory for ``None``.

        ``limit`` and ``segment_size`` are bytes, ``block_timeout`` seconds. Raises
        :class:`JournalError` where the directory cannot be made.
        """
        disk = None
        if spool_dir is not None:
            spool_dir = make_spool_dir(spool_dir)
            try:
                disk = OwnedDirectory.make(spool_dir, parse_address(address))
            except OSError as error:
                raise JournalError(f"cannot make a journal in {spool_dir}: {error}") from error
        return cls(
            disk,
            address,
            limit=limit or (MEMORY_LIMIT if disk is None else DEFAULT_LIMIT),
            segment_size=segment_size,
            when_full=when_full,
            block_timeout=block_timeout,
        )

    def belong_to(self, log: LogName) -> None:
        """Note that a receiver has taken the records for ``log``: they never go to another."""
        if log != self.log:
            self.log = log
            if self._disk is not None:
                self._disk.note_log(log)

    @property
    def is_inside(self) -> bool:
        """Whether this thread is inside the journal, and may hold its lock."""
        return self._state().inside

    def _state(self) -> _ThreadState:
        return self._threads.state or self._make_state()

    def _make_state(self) -> _ThreadState:
        made: _ThreadState = self._threads.__dict__.setdefault("state", _ThreadState())
        return made

    def _defer(self, row: bytes) -> None:
        self._state().deferred.append(row)

    def figures(self) -> Figures:
        """Return how many records were accepted, and what became of them."""
        if self.is_inside:  # asked out of the middle of a log call: as it is
            return self._figures()
        with self._section():
            return self._figures()

    def _figures(self) -> Figures:
        accepted = self.next - 1
        given_up, dropped = self._contents.gaps.figures()
        pending = self.pending - given_up
        return Figures(accepted, accepted - pending - sum(dropped.values()), pending, dropped)

    # -- the application's side

    def append(self, row: bytes) -> int:
        """Take one row; return its number, 0 if it was given up, or ``REENTRANT``.

        Never raises; waits only with ``when_full="block"``. 0 from a ``closed`` journal: it was
        not taken.
        """
        state = self._threads.state or self._make_state()
        if state.inside:
            state.deferred.append(row)
            return REENTRANT
        state.inside = True
        try:
            with self._lock:
                if self.sender_waiting:
                    self._look_briefly()
                contents = self._contents
                tail, number, segment = contents.position
                size = len(row)
                end = tail + RECORD_SIZE + size
                # What _store does, with nothing in the way: half the cost.
                if end <= segment.size and segment.write(
                    _pack_record(size, _crc32(row, number & 0xFFFFFFFF), number) + row, tail
                ):
                    contents.position = (end, number + 1, segment)
                    kept = contents.at_hand.rows
                    kept.append(row)
                    if size > LARGE or len(kept) >= MAX_ROWS:
                        contents.at_hand.shorten(number + 1)
                else:
                    number = self._store(row)
        finally:
            state.inside = False
            if state.deferred:
                self._store_deferred()
            if self.sender_waiting:
                self.sender_waiting = False
                self.on_append()
        return number

    @contextlib.contextmanager
    def _section(self) -> Iterator[None]:
        """The lock for all other calls, in which a signal handler or a ``__del__`` may log too."""
        state = self._state()
        state.inside = True
        try:
            with self._lock:
                yield
        finally:
            state.inside = False
            if state.deferred:
                self._store_deferred()
                if self.sender_waiting:
                    self.sender_waiting = False
                    self.on_append()

    def _store_deferred(self) -> None:
        """Store what re-entrant calls of this thread have left; flag down."""
        state = self._state()
        while state.deferred:
            left: bytes | None = None
            state.inside = True
            try:
                with self._lock:
                    if not state.deferred:  # another such call was quicker, with the flag down
                        return
                    row = state.deferred[0]
                    if row is _CLOSE or row is _CLOSE_AND_REMOVE:
                        self._close(row is _CLOSE_AND_REMOVE)
                    elif self.closed:
                        left = row
                    elif self._when_full == "block" and not self._may_store(len(row)):
                        return  # it is kept: after the next acknowledgement there is room
                    else:
                        left = self._store_late(row)
                    state.deferred.popleft()
            finally:
                state.inside = False
            if left is not None:
                self.on_row_after_close(left)

    def _store_late(self, row: bytes) -> bytes | None:
        """Store a deferred row; return it where the journal was closed by that attempt."""
        return row if not self._store(row) and self.closed else None

    # -- the owner's look at its files

    def look_after(self) -> float:
        """See that the files are there, this process's, and fresh; return the seconds until then.

        Called by the sender's thread, often: it looks every ``UPKEEP_INTERVAL`` seconds.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + UPKEEP_INTERVAL
            self._look()
        return self._look_at - now

    def _look(self) -> None:
        with self._section():
            disk, contents = self._disk, self._contents
            if disk is None or self.closed:
                return
            held = [(segment, contents.end_of(segment)) for segment in contents.segments]
            disk.note(KNOWN_AT, contents.last_stored())
        if self._is_another_user():
            if not all(segment.is_open for segment, _ in held):
                with self._section():
                    self._hand_over_backlog()
            return
        # Outside the lock: a log call does not wait for the file system.
        if not (disk.is_intact() and all(segment.is_intact(end) for segment, end in held)):
            with self._section():
                self._put_right()
        disk.freshen()
        for segment, _ in held:
            segment.freshen(STALE)

    def _hand_over_backlog(self) -> None:
        """Leave the journal to who may open its older segments, which this process may not."""
        self._hand_over(f"this process may not read {self.path} any more; who may delivers it")

    def _look_briefly(self) -> None:
        """See, where the sender sleeps, that nobody has removed or cut the active segment."""
        tail, _, active = self._contents.position
        if not active.seems_intact(tail):
            self._put_right()

    # -- the sender's side

    def read(self, after: int, max_bytes: int) -> Batch:
        """Return the rows with numbers above ``after``, as many as go into one frame, or a gap.

        A frame takes one row, or several of ``max_bytes`` at most. The batch is empty where nothing
        is there.
        """
        while True:
            with self._section():
                contents = self._contents
                found = contents.find(after, max_bytes)
            if not isinstance(found, RowsPlace):
                return found
            batch = contents.read_rows(found, after, max_bytes)
            if batch is not None:
                return batch
            with self._section():
                if self._contents is not contents:
                    continue
                if self._is_another_user() and not found.segment.is_open:
                    self._hand_over_backlog()
                else:
                    self._save(found.segment)

    def tell(self, first: int, last: int) -> None:
        """Note that the receiver is being told that ``first`` to ``last``, of a gap, never come."""
        with self._section():
            self._contents.gaps.tell(first, last)

    def acknowledge(self, through: int) -> None:
        """Give back everything up to ``through``; noted, so that an adopter knows it too."""
        through = min(through, self.next - 1)
        if through <= self._contents.acked:
            return
        with self._section():
            if self._disk is not None:
                self._disk.note(ACKED_AT, through)
            released = self._contents.settle(through)
            if self._grows_on and through == self.next - 1:
                self._contents.rewind()
            if released:
                self._room.notify_all()
        for segment in released:  # outside the lock: a log call never waits for the file system
            segment.release()

    # -- the end

    def close(self, *, remove: bool, at_exit: bool = False) -> bool:
        """Take no more rows and let the lock go; return whether nothing was pending.

        With ``remove``, a journal that has nothing pending is removed; any other is an orphan now.
        What is pending in memory is given up. ``at_exit`` leaves a journal that is not empty, and
        on disk, as it is: what is still logged comes behind, and the end of the process does the
        rest. Called by a signal handler in the middle of a log call, it is done when that has
        stored its row.
        """
        if self.is_inside:
            self.closing = True
            self._state().deferred.append(_CLOSE_AND_REMOVE if remove else _CLOSE)
            return False
        with self._section():
            on_disk = all(segment.memory is None for segment in self._contents.segments)
            if at_exit and self.pending and on_disk and not self.closed:
                return False
            return self._close(remove)

    def _close(self, remove: bool) -> bool:
        empty = self.pending == 0
        disk, contents = self._disk, self._contents
        contents.end_active()
        for segment in contents.segments:
            if segment.memory is not None:
                contents.gaps.give_up(max(segment.first, self.first), segment.last, CLOSED)
        self.closed = True
        self._let_go_of_contents(contents.acked)
        self._room.notify_all()
        if disk is not None:
            if remove and empty:
                disk.remove()
            disk.release()
        return empty

    def after_fork_in_child(self) -> None:
        """Let go of the parent's journal in a child: nothing is written, unlocked or unlinked."""
        self.closed = True
        self._threads = _ThreadLocal()  # what this thread has left is the parent's to store
        contents, disk = self._contents, self._disk
        self._contents, self._disk = contents.nothing(), None
        for segment in contents.segments:
            segment.leave_to_parent()
        if disk is not None:
            disk.after_fork_in_child()
