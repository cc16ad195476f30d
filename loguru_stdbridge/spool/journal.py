"""The journal: buffer, spool and crash safety of one process, in memory-mapped segments.

Owns the records between the log call and the acknowledgement. There is no second queue: log calls
append, the sender thread reads the same bytes and gives space back.

Why a record is safe when ``append`` returns
--------------------------------------------
It has been copied into a shared mapping of a file, so it is in the page cache, which a ``kill -9``
of this process does not touch. The row is stored first and its header last; where the process dies
in between, the header is missing and the call had not returned. Blocks are reserved before they are
mapped: storing into a hole of a full disk is SIGBUS, and logging would kill the application.
``_position`` (tail, next number, active segment) is one tuple, replaced by one store, so an
exception that a signal handler raises in the middle leaves the old state, and the next record
overwrites what was begun.

(CPython 3.8 and 3.9 can run a handler after any instruction, 3.10 and later after calls and in
loops only. So on the former one that raises can leave a ``with lock`` with the lock held, here as
in any other Python code; one that only logs cannot.)

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

Rows at hand
------------
The last rows are also kept as they are, until the sender reads them: to take them out of the
mapping one by one takes the interpreter's lock from the application for a microsecond each. It is
no second queue: what is not there, or cannot be known to be all there is (a row that went another
way, a call that an exception ended, so that their count does not match the numbers), is read from
the mapping. At most ``MAX_ROWS`` of them are kept, and none of more than ``_LARGE`` bytes.

Why no wake-up is missed
------------------------
The sender sets ``sender_waiting``, then looks for rows, then waits on its wake-up socket.
``append`` stores the row, then looks at ``sender_waiting``. Whichever of the two stores comes
first, the other side sees it: either the sender finds the row and does not wait, or ``append``
finds ``sender_waiting`` and writes to the socket, which stays readable until the wait.

Forks
-----
A child loses the lock at the fork (:mod:`system.locks`). :meth:`after_fork_in_child` drops the
mappings; it writes and unlinks nothing. A child that was forked inside ``append``, by a signal
handler, may go on to store the very bytes at the very place where its parent does.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple

from ..addresses import Address, LogName, parse_address
from ..exceptions import JournalError
from ..record.row import MAX_ROWS
from ..system.locks import let_go, take_lock
from .belonging import describe_origin, note_log
from .directory import make_spool_dir, remove_journal
from .gaps import Gaps
from .mapped import NO_SEGMENT, Segment
from .segments import (
    ACKED_AT,
    GIVEN_UP_AT,
    META_SIZE,
    NUMBER,
    RECORD,
    SEGMENT_HEADER,
    Batch,
    Meta,
    checksum,
    encode_meta,
)

DEFAULT_LIMIT = 256 * 1024 * 1024
"""Bytes on disk while the receiver is away: about a million records of 250 bytes."""

MEMORY_LIMIT = 32 * 1024 * 1024
"""The same for a journal in memory, which is the application's own."""

SEGMENT_SIZE = 1024 * 1024
REENTRANT = -1
"""What ``append`` returns for a row that the outer call will store."""

SPOOL_FULL = "spool_full"  # the limit is reached
TOO_LARGE = "too_large"  # the row is larger than the limit
NO_SPACE = "no_space"  # the disk has no room, or the directory cannot be written
DAMAGED = "damaged"  # a segment's file is gone or cannot be read
CLOSED = "closed"  # a journal in memory ended before they were acknowledged

NO_SPACE_PAUSE = 0.5
"""Seconds without another attempt to make a segment after one has failed: it costs a log call more
than all the rest, and the disk is still full."""

_LARGE = 1024
"""Bytes of a row that is not kept at hand: so all of them together have no more than a megabyte."""

_CLOSE, _CLOSE_AND_REMOVE = b"close", b"close and remove"  # in ``deferred``; no row is like them
_RECORD_SIZE = RECORD.size
_pack_record = RECORD.pack_into
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


class Journal:
    """See the module's text. ``append`` may be called from anywhere; the rest is the sender's."""

    def __init__(
        self,
        directory: str | None,
        address: str,
        *,
        sender_id: str,
        lock_descriptor: int,
        limit: int,
        segment_size: int,
        when_full: str,
        block_timeout: float,
    ) -> None:
        self.sender_id = sender_id
        self.path = directory
        self.on_append: Callable[[], None] = lambda: None
        self.on_full: Callable[[], None] = lambda: None
        """Called, with the lock, when there is room for one segment at most. It must not wait."""
        self.on_row_after_close: Callable[[bytes], None] = lambda row: None
        """Takes a re-entrant call's row where this journal was closed before it was stored."""
        self.sender_thread_id: int | None = None
        """Identifier of the sender's thread, which must not wait for room that it has to make."""
        self.trouble: str | None = None
        """What the operator should be told; the sender takes it away."""
        self.sender_waiting = False
        self.closed = False
        self.closing = False  # as soon as the log call is over that it was closed in the middle of
        self._lock_descriptor = lock_descriptor
        self._limit = limit
        self._segment_size = min(segment_size, limit // 2)
        self._when_full = when_full
        self._block_timeout = block_timeout
        self._threads = _ThreadLocal()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._gaps = Gaps(self._note_given_up)
        self._acked = 0
        self._index = 0
        self._in_file = True  # where the last segment went
        self._no_space_until = 0.0
        self._hold_nothing(1)
        named = parse_address(address)
        self.log = LogName(named.path) if named.scheme == "log" else None
        """The log that the records belong to; ``None`` until a receiver has told it."""
        self._meta: Any = self._make_meta(named)

    def _hold_nothing(self, number: int) -> None:
        """Let go of segments, rows at hand and ``meta``; ``number`` is the next one."""
        self._position: tuple[int, int, Segment] = (0, number, NO_SEGMENT)
        """Tail of the active segment, next number, active segment."""
        self._recent: list[bytes] = []
        self._recent_from: tuple[int, int, Segment] = self._position
        """The last rows, and the position before the first of them: see the module's text."""
        self._segments: deque[Segment] = deque()
        self._cursor: tuple[int, Segment | None, int] = (0, None, 0)
        self._meta = None

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
        """A journal in a directory of its own in ``spool_dir``, or in memory for ``None``.

        ``limit`` and ``segment_size`` are bytes, ``block_timeout`` seconds. Raises
        :class:`JournalError` where the directory cannot be made.
        """
        options: dict[str, Any] = {
            "segment_size": segment_size, "when_full": when_full, "block_timeout": block_timeout
        }  # fmt: skip
        if spool_dir is None:
            return cls(
                None, address, sender_id=new_sender_id(), lock_descriptor=-1,
                limit=limit or MEMORY_LIMIT, **options,
            )  # fmt: skip
        spool_dir = make_spool_dir(spool_dir)
        try:
            while True:
                sender_id = new_sender_id()
                directory = os.path.join(spool_dir, sender_id)
                os.mkdir(directory, 0o700)
                descriptor = _own(directory)
                if descriptor is not None:
                    break  # else an adopter took the half-made one for an orphan: another
            try:
                return cls(
                    directory, address, sender_id=sender_id, lock_descriptor=descriptor,
                    limit=limit or DEFAULT_LIMIT, **options,
                )  # fmt: skip
            except BaseException:
                remove_journal(directory)
                let_go(descriptor)
                raise
        except OSError as error:
            raise JournalError(f"cannot make a journal in {spool_dir}: {error}") from error

    def belong_to(self, log: LogName) -> None:
        """Note that a receiver has taken the records for ``log``: they never go to another."""
        if log == self.log:
            return
        self.log = log
        if self.path is not None:
            with contextlib.suppress(OSError):  # it is tried again at the next greeting
                note_log(self.path, log)

    def _make_meta(self, address: Address) -> Any:
        if self.path is None:
            return None
        meta = encode_meta(
            Meta(
                self.sender_id, str(address), 0, os.getpid(), time.time(),
                origin=describe_origin(address),
            )
        )  # fmt: skip
        path = os.path.join(self.path, "meta")
        # Not by open(), which may be gone at shutdown.
        flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(f"{path}.new", flags | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if os.write(descriptor, meta) != META_SIZE:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
        os.replace(f"{path}.new", path)
        descriptor = os.open(path, flags)
        try:
            return mmap.mmap(descriptor, META_SIZE)
        finally:
            os.close(descriptor)

    @property
    def is_inside(self) -> bool:
        """Whether this thread is inside the journal, and may hold its lock."""
        return self._state().inside

    def _state(self) -> _ThreadState:
        return self._threads.state or self._make_state()

    def _make_state(self) -> _ThreadState:
        made: _ThreadState = self._threads.__dict__.setdefault("state", _ThreadState())
        return made

    # -- figures

    @property
    def first(self) -> int:
        """The lowest number that is not acknowledged."""
        return self._acked + 1

    @property
    def next(self) -> int:
        """The number that the next record gets."""
        return self._position[1]

    @property
    def pending(self) -> int:
        """Numbers that are not acknowledged, those given up included: the sender's work."""
        return self._position[1] - 1 - self._acked

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return sum(segment.size for segment in self._segments)

    def figures(self) -> Figures:
        """How many records were accepted, and what became of them."""
        if self.is_inside:  # asked out of the middle of a log call: as it is
            return self._figures()
        with self._section():
            return self._figures()

    def _figures(self) -> Figures:
        accepted = self._position[1] - 1
        given_up, dropped = self._gaps.figures()
        pending = accepted - self._acked - given_up
        return Figures(accepted, accepted - pending - sum(dropped.values()), pending, dropped)

    # -- the application's side

    def append(self, row: bytes) -> int:
        """Take one row; returns its number, 0 if it was given up, or ``REENTRANT``.

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
                tail, number, segment = self._position
                size = len(row)
                start = tail + _RECORD_SIZE
                end = start + size
                if end <= segment.size:  # what _store does, with nothing in the way: half the cost
                    target = segment.map
                    target[start:end] = row
                    _pack_record(target, tail, size, _crc32(row, number & 0xFFFFFFFF), number)
                    self._position = (end, number + 1, segment)
                    recent = self._recent
                    recent.append(row)
                    if size > _LARGE or len(recent) >= MAX_ROWS:
                        recent.clear()
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
                    if self.closed:
                        left = row
                    elif row is _CLOSE or row is _CLOSE_AND_REMOVE:
                        self._close(row is _CLOSE_AND_REMOVE)
                    elif self._when_full == "block" and not self._may_store(len(row)):
                        return  # it is kept: after the next acknowledgement there is room
                    else:
                        self._store(row)
                    state.deferred.popleft()
            finally:
                state.inside = False
            if left is not None and left is not _CLOSE and left is not _CLOSE_AND_REMOVE:
                self.on_row_after_close(left)

    def _store(self, row: bytes) -> int:
        tail, number, segment = self._position
        start = tail + _RECORD_SIZE
        end = start + len(row)
        if end > segment.size:
            if not self._find_room(len(row)):
                return 0
            tail, number, segment = self._position
            start = tail + _RECORD_SIZE
            end = start + len(row)
        target = segment.map
        target[start:end] = row
        _pack_record(target, tail, len(row), checksum(row, number), number)
        self._position = (end, number + 1, segment)
        return number

    # -- room; with the lock. A signal handler may raise between any two of these lines: each
    # leaves a state from which the next call goes on.

    def _find_room(self, length: int) -> bool:
        """Make the active segment one with room for ``length``; else give the row up: False."""
        if self.closed:
            return False
        self._forget_begun()
        size = max(self._segment_size, SEGMENT_HEADER + _RECORD_SIZE + length)
        if size > self._limit:
            return self._give_up(TOO_LARGE)
        room = self._limit - self.size_bytes
        if room < 2 * size:
            self.on_full()
        if room < size:
            if self._when_full == "drop_oldest":
                while self.size_bytes + size > self._limit:
                    self._drop_oldest()
            elif self._when_full == "block":
                if not self._await_room(length):
                    return False
                if self._fits(length):  # in the segment that another call has begun
                    return True
            if self.size_bytes + size > self._limit:
                return self._give_up(SPOOL_FULL)
        return self._roll(size)

    def _forget_begun(self) -> None:
        """A call that an exception ended may have stored its record but not counted it.

        The next record takes its number and its place. If that goes elsewhere, there would be two
        of the number.
        """
        tail, _, active = self._position
        if tail + _RECORD_SIZE <= active.size:
            active.map[tail : tail + _RECORD_SIZE] = bytes(_RECORD_SIZE)

    def _fits(self, length: int) -> bool:
        tail, _, active = self._position
        return tail + _RECORD_SIZE + length <= active.size

    def _has_room(self, length: int) -> bool:
        """Whether a row fits into the active segment, or another segment would be taken."""
        size = max(self._segment_size, SEGMENT_HEADER + _RECORD_SIZE + length)
        return self._fits(length) or size > self._limit or self.size_bytes + size <= self._limit

    def _may_store(self, length: int) -> bool:
        """Whether this thread may wait for room, or need not."""
        return threading.get_ident() != self.sender_thread_id or self._has_room(length)

    def _await_room(self, length: int) -> bool:
        """Wait for it, for a bounded time; False where the journal was closed meanwhile."""
        if self._may_store(length):
            self._room.wait_for(lambda: self.closed or self._has_room(length), self._block_timeout)
        return not self.closed

    def _give_up(self, reason: str) -> bool:
        """The next number is given up; returns False."""
        tail, number, active = self._position
        self._gaps.give_up(number, number, reason)
        self._position = (tail, number + 1, active)
        return False

    def _last_stored(self) -> int:
        """The number of the last record that was stored and not acknowledged, or a higher one."""
        return self._gaps.last_before(self._position[1] - 1)

    def _note_given_up(self, number: int) -> None:
        if self._meta is not None:
            _note(self._meta, GIVEN_UP_AT, number)

    def _drop_oldest(self) -> None:
        oldest = self._segments[0]
        if oldest is self._position[2]:
            self._close_active()
            self._position = (0, self._position[1], NO_SEGMENT)
        self._gaps.give_up(max(oldest.first, self._acked + 1), oldest.last, SPOOL_FULL)
        oldest.release()
        self._segments.popleft()

    # -- segments; with the lock

    def _roll(self, size: int) -> bool:
        """Begin a new segment of ``size`` bytes; else give the row up: False."""
        if time.monotonic() < self._no_space_until:
            return self._give_up(NO_SPACE)
        segment = self._new_segment(size)
        while segment is None and self._when_full == "drop_oldest" and len(self._segments) > 1:
            self._drop_oldest()  # what it held of the disk or of memory is given back
            segment = self._new_segment(size)
        if segment is None:
            self._no_space_until = time.monotonic() + NO_SPACE_PAUSE
            return self._give_up(NO_SPACE)
        previous = self._position[2]
        if previous is not NO_SEGMENT:
            self._close_active()
        self._segments.append(segment)
        self._position = (SEGMENT_HEADER, self._position[1], segment)
        if len(self._segments) > 2 and self._in_file:  # else the other files may be gone, too
            previous.unmap()
        self._room.notify_all()
        return True

    def _close_active(self) -> None:
        active = self._position[2]
        active.last, active.end = self._last_stored(), self._position[0]

    def _new_segment(self, size: int) -> Segment | None:
        """A segment in a file; in memory where that fails, up to ``MEMORY_LIMIT``; or ``None``."""
        first = self._last_stored() + 1
        if self.path is not None:
            try:
                self._index += 1
                path = os.path.join(self.path, f"{self._index:010d}.seg")
                segment = Segment.in_file(path, first, size)
                self._in_file = True
                return segment
            except (OSError, ValueError) as error:
                if self._in_file:
                    self.trouble = (
                        f"cannot add to the journal {self.path}: {error}. What is logged now is "
                        "kept in memory, and is lost if this process is killed"
                    )
                self._in_file = False
            if size + sum(s.size for s in self._segments if s.path is None) > MEMORY_LIMIT:
                return None
        try:
            return Segment.in_memory(first, size)
        except OSError:
            return None

    # -- the sender's side

    def read(self, after: int, max_bytes: int) -> Batch:
        """The rows with numbers above ``after``, as many as go into one frame: one, or some of
        ``max_bytes`` at most.

        A gap comes as a batch of its own. Empty where nothing is there.
        """
        with self._section():
            rows = self._take_recent(after, max_bytes)
            if rows:
                return Batch(after + 1, rows, after + len(rows))
            found = self._find(after)
        if isinstance(found, Batch):
            return found
        segment, data, offset, end = found
        rows, size, last = [], 0, after
        unpack = RECORD.unpack_from
        while offset < end and len(rows) < MAX_ROWS:
            length, _, sequence = unpack(data, offset)
            start = offset + _RECORD_SIZE
            if sequence > after:
                if sequence != last + 1:  # what is between was given up
                    break
                if rows and size + length > max_bytes:
                    break
                rows.append(data[start : start + length])
                size += length
                last = sequence
            offset = start + length
        self._cursor = (last, segment, offset)
        return Batch(after + 1, rows, last)

    def _take_recent(self, after: int, max_bytes: int) -> list[bytes]:
        """The rows above ``after``, where they are at hand; with the lock."""
        rows, tail, number, segment = self._recent, *self._recent_from
        self._recent, self._recent_from = [], self._position
        end, following, active = self._position
        if (
            number != after + 1
            or number + len(rows) != following
            or segment is not active
            or end - tail > max_bytes
            or self._gaps
        ):
            return []
        self._cursor = (following - 1, segment, end)
        return rows

    def _find(self, after: int) -> Any:
        """Where reading goes on after number ``after``; with the lock."""
        while True:
            gap = self._gaps.at(after + 1)
            if gap is not None:
                return Batch(after + 1, (), after, gap)
            if after + 1 >= self._position[1]:
                return Batch(after + 1, (), after)
            number, segment, offset = self._cursor
            if number != after or segment is None or segment not in self._segments:
                segments = reversed(self._segments)  # an end of 0: it never came into use
                segment = next(
                    (s for s in segments if s.first <= after + 1 and self._end_of(s)), None
                )
                if segment is None:  # acknowledged, or the journal is closed
                    return Batch(after + 1, (), after)
                offset = SEGMENT_HEADER
            while offset >= self._end_of(segment):  # read to its end: the next one
                if segment is not self._segments[0]:
                    segment.unmap()
                segment = self._segments[self._segments.index(segment) + 1]
                offset = SEGMENT_HEADER
            try:
                return segment, segment.mapped(), offset, self._end_of(segment)
            except (OSError, ValueError):
                self._lose(segment)

    def _end_of(self, segment: Segment) -> int:
        return self._position[0] if segment is self._position[2] else segment.end

    def _lose(self, segment: Segment) -> None:
        """Its file is gone, or shorter than it was: nothing else can be done for its records."""
        self._gaps.give_up(max(segment.first, self._acked + 1), segment.last, DAMAGED)
        self._segments.remove(segment)
        segment.release()

    def tell(self, first: int, last: int) -> None:
        """The receiver is being told that ``first`` to ``last``, of a gap, never come."""
        with self._section():
            self._gaps.tell(first, last)

    def acknowledge(self, through: int) -> None:
        """Give back everything up to ``through``; persisted, so that an adopter knows it too."""
        through = min(through, self._position[1] - 1)
        if through <= self._acked:
            return
        released: list[Segment] = []
        with self._section():
            if self._meta is not None:
                _note(self._meta, ACKED_AT, through)
            self._acked = through
            self._gaps.settle(through)
            while self._segments and self._segments[0] is not self._position[2]:
                if self._segments[0].last > through:
                    break
                released.append(self._segments.popleft())
            if released:
                self._room.notify_all()
        for segment in released:  # outside the lock: a log call never waits for the file system
            segment.release()

    def close(self, *, remove: bool, at_exit: bool = False) -> bool:
        """Take no more rows and let the lock go; returns whether nothing was pending.

        With ``remove``, a journal that has nothing pending is removed; any other is an orphan now.
        What is pending in memory is given up. ``at_exit`` leaves a journal that is not empty, and
        on disk, as it is: what is still logged comes behind, and the end of the process does the
        rest. Called by a signal handler in the middle of a log
        call it is done when that has stored its row.
        """
        if self.is_inside:
            self.closing = True
            self._state().deferred.append(_CLOSE_AND_REMOVE if remove else _CLOSE)
            return False
        with self._section():
            if at_exit and self.pending and all(s.path is not None for s in self._segments):
                return False
            return self._close(remove)

    def _close(self, remove: bool) -> bool:
        empty = self.pending == 0
        if self._position[2] is not NO_SEGMENT:
            self._close_active()
        for segment in self._segments:
            if segment.path is None:
                self._gaps.give_up(max(segment.first, self.first), segment.last, CLOSED)
        self.closed = True
        self._hold_nothing(self._position[1])
        self._room.notify_all()
        if self.path is not None:
            if remove and empty:
                remove_journal(self.path)
            let_go(self._lock_descriptor)
            self._lock_descriptor = -1
        return empty

    def after_fork_in_child(self) -> None:
        """Let go of the parent's journal in a child: nothing is written, unlocked or unlinked."""
        self.closed = True
        self._hold_nothing(self._position[1])
        self._threads = _ThreadLocal()  # what this thread has left is the parent's to store


def new_sender_id() -> str:
    """128 random bits as hex digits. Who knows them can speak for the sender."""
    return os.urandom(16).hex()


def _own(directory: str) -> int | None:
    """Lock a new journal's directory; ``None`` where an adopter was quicker."""
    try:
        return take_lock(os.path.join(directory, "lock"), create=True)
    except FileNotFoundError:  # the directory is gone
        return None


def _note(meta: Any, at: int, number: int) -> None:
    """Store a number in ``meta``, whole at any instant: ``pack_into`` clears the place first."""
    meta[at : at + NUMBER.size] = NUMBER.pack(number)
