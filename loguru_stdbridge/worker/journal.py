"""The journal: buffer, spool and crash safety of one process, in memory-mapped segments.

Owns the records between the log call and the acknowledgement. There is no second queue: log calls
append, the sender thread reads the same bytes and gives space back.

Why a record is safe when ``append`` returns
--------------------------------------------
It has been copied into a shared mapping of a file, so it is in the page cache, which a ``kill -9``
of this process does not touch. The row is stored first and its header last; where the process dies
in between, the header is missing and the call had not returned. Blocks are reserved before they are
mapped: storing into a hole of a full disk is SIGBUS, and logging would kill the application.
``_position`` (tail and next number) is one tuple, replaced by one store, so an exception that a
signal handler raises in the middle leaves the old state, and the next record overwrites what was
begun.

Why a log call inside a log call is safe
----------------------------------------
A signal handler or a ``__del__`` can log while its own thread is inside ``append``. A lock would
wait for itself; a re-entrant one would let the inner record into the middle of the outer. So each
thread has a flag, set *before* it asks for the lock and cleared *after* it has let it go: where the
flag is up, the row goes into ``_stash`` (a deque, whose append is atomic) and the outer call stores
it before it returns. An inner call that comes after the outer has emptied the stash and before the
flag is down would strand its row; so the stash is looked at once more when the flag is down, and an
inner call after that goes the ordinary way. The inner record is in memory only until then: a kill
in that instant loses it, the one exception to the rule above, some microseconds wide.

Why no wake-up is missed
------------------------
The sender sets ``asleep``, then looks for rows, then waits on its wake-up socket. ``append`` stores
the row, then looks at ``asleep``. Whichever of the two stores comes first, the other side sees it:
either the sender finds the row and does not wait, or ``append`` finds ``asleep`` and writes to the
socket, which stays readable until the wait.

Forks
-----
The lock file's description is shared with a child. :meth:`after_fork_in_child` closes the child's
copy and drops the mappings; it unlocks, writes and unlinks nothing.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import threading
import time
import uuid
import zlib
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Deque, Dict, Iterator, List, Optional, Tuple

from ..exceptions import JournalError
from ..locks import is_file_at, lock_file
from ..segments import (
    ACKED,
    ACKED_AT,
    META_SIZE,
    RECORD,
    SEGMENT_HEADER,
    Batch,
    Meta,
    checksum,
    encode_meta,
    encode_segment_header,
)
from ..spool import make_spool_dir, remove_journal

DEFAULT_LIMIT = 256 * 1024 * 1024
"""Bytes on disk while the receiver is away: about a million records of 250 bytes."""

MEMORY_LIMIT = 32 * 1024 * 1024
"""The same for a journal in memory, which is the application's own."""

SEGMENT_SIZE = 1024 * 1024
REENTRANT = -1
"""What ``append`` returns for a row that the outer call will store."""

SPOOL_FULL = "spool_full"
TOO_LARGE = "too_large"
NO_SPACE = "no_space"

_RECORD_SIZE = RECORD.size
_pack_record = RECORD.pack_into
_crc32 = zlib.crc32


class _Inside(threading.local):
    """Whether this thread is inside the journal."""

    now = False


@dataclass
class _Gap:
    """Numbers given up that the receiver has not confirmed."""

    first: int
    last: int
    reason: str
    counted: int  # how many of them count as dropped: all, until the receiver knows better
    told: bool = False


class _Segment:
    """One mapped (or, in the middle of a backlog, unmapped) piece of the journal."""

    __slots__ = ("end", "first", "last", "map", "path", "size")

    def __init__(self, path: Optional[str], first: int, size: int) -> None:
        self.path = path
        self.first = first  # number of its first record
        self.last = 0  # number of its last record, once it is closed
        self.end = 0  # offset behind it, once it is closed
        self.size = size
        self.map: Optional[mmap.mmap] = None

    def mapped(self) -> mmap.mmap:
        """The mapping, made again where it was let go. Raises ``OSError``."""
        if self.map is None:
            assert self.path is not None
            descriptor = os.open(self.path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
            try:
                self.map = mmap.mmap(descriptor, self.size)
            finally:
                os.close(descriptor)
        return self.map

    def unmap(self) -> None:
        if self.path is not None:  # in memory the mapping is all there is
            self.map = None  # closed with its last reference: a reader may hold one


class Journal:
    """See the module's text. ``append`` may be called from anywhere; the rest is the sender's."""

    def __init__(
        self,
        directory: Optional[Path],
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
        self.asleep = False
        self.closed = False
        self.dropped: Dict[str, int] = {}
        self._lock_descriptor = lock_descriptor
        self._limit = limit
        self._segment_size = min(segment_size, limit // 2)
        self._when_full = when_full
        self._block_timeout = block_timeout
        self._inside = _Inside()
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._stash: Deque[bytes] = deque()
        self._segments: Deque[_Segment] = deque()
        self._gaps: List[_Gap] = []
        self._acked = 0
        self._bytes = 0
        self._index = 0
        self._position: Tuple[int, int] = (0, 1)  # tail of the active segment, next number
        self._end = 0  # size of the active segment
        self._map: Any = None
        self._cursor: Tuple[int, Optional[_Segment], int] = (0, None, 0)
        self._meta = self._make_meta(address)

    @classmethod
    def create(
        cls,
        spool_dir: Optional[Path],
        address: str,
        *,
        limit: Optional[int] = None,
        segment_size: int = SEGMENT_SIZE,
        when_full: str = "drop_oldest",
        block_timeout: float = 10.0,
    ) -> Journal:
        """A journal in a directory of its own in ``spool_dir``, or in memory for ``None``.

        ``limit`` and ``segment_size`` are bytes, ``block_timeout`` seconds. Raises
        :class:`JournalError` where the directory cannot be made.
        """
        options: Dict[str, Any] = {
            "segment_size": segment_size, "when_full": when_full, "block_timeout": block_timeout
        }  # fmt: skip
        if spool_dir is None:
            return cls(
                None, address, sender_id=uuid.uuid4().hex, lock_descriptor=-1,
                limit=limit or MEMORY_LIMIT, **options,
            )  # fmt: skip
        make_spool_dir(spool_dir)
        try:
            while True:
                sender_id = uuid.uuid4().hex
                directory = spool_dir / sender_id
                directory.mkdir(mode=0o700)
                descriptor = _own(directory)
                if descriptor is not None:
                    break  # else an adopter took the half-made one for an orphan: another
            return cls(
                directory, address, sender_id=sender_id, lock_descriptor=descriptor,
                limit=limit or DEFAULT_LIMIT, **options,
            )  # fmt: skip
        except OSError as error:
            raise JournalError(f"cannot make a journal in {spool_dir}: {error}") from error

    def _make_meta(self, address: str) -> Any:
        meta = encode_meta(Meta(self.sender_id, address, 0, os.getpid(), time.time()))
        if self.path is None:
            return bytearray(meta)
        partial = self.path / "meta.new"
        partial.write_bytes(meta)
        os.replace(partial, self.path / "meta")
        descriptor = os.open(self.path / "meta", os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        try:
            return mmap.mmap(descriptor, META_SIZE)
        finally:
            os.close(descriptor)

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
        """Records (and numbers given up) that are not acknowledged."""
        return self._position[1] - 1 - self._acked

    @property
    def accepted(self) -> int:
        """Records that were taken."""
        return self._position[1] - 1

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments."""
        return self._bytes

    # -- the application's side

    def append(self, row: bytes) -> int:
        """Take one row; returns its number, 0 if it was given up, or ``REENTRANT``.

        Never raises; waits only with ``when_full="block"``.
        """
        inside, stash = self._inside, self._stash
        if inside.now:
            stash.append(row)
            return REENTRANT
        inside.now = True
        try:
            with self._lock:
                tail, number = self._position
                end = tail + _RECORD_SIZE + len(row)
                if end <= self._end:  # what _store does, with nothing in the way: half the cost
                    target = self._map
                    target[tail + _RECORD_SIZE : end] = row
                    crc = _crc32(row, number & 0xFFFFFFFF)
                    _pack_record(target, tail, len(row), crc, number)
                    self._position = (end, number + 1)
                else:
                    number = self._store(row)
                while stash:
                    self._store(stash.popleft())
        finally:
            inside.now = False
        if stash:
            self._store_stash()
        if self.asleep:
            self.asleep = False
            self.on_append()
        return number

    @contextlib.contextmanager
    def _section(self) -> Iterator[None]:
        """The lock for the sender's side, where a ``__del__`` may log as well."""
        self._inside.now = True
        try:
            with self._lock:
                yield
        finally:
            self._inside.now = False
        if self._stash:
            self._store_stash()

    def _store_stash(self) -> None:
        """Store what re-entrant calls left; after a section of this thread, flag down."""
        while self._stash:
            self._inside.now = True
            try:
                with self._lock:
                    while self._stash:
                        self._store(self._stash.popleft())
            finally:
                self._inside.now = False

    def _store(self, row: bytes) -> int:
        tail, number = self._position
        start = tail + _RECORD_SIZE
        end = start + len(row)
        if end > self._end or self._map is None:
            if not self._roll(len(row)):
                return 0
            tail, number = self._position
            start = tail + _RECORD_SIZE
            end = start + len(row)
        target = self._map
        target[start:end] = row
        _pack_record(target, tail, len(row), checksum(row, number), number)
        self._position = (end, number + 1)
        return number

    def refuse(self, reason: str) -> None:
        """Count a record that is given up before it was taken."""
        if self._inside.now:  # the lock is this thread's already, or will be
            self._drop(reason)
            return
        with self._section():
            self._drop(reason)

    def _drop(self, reason: str, count: int = 1) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    # -- segments; with the lock

    def _roll(self, length: int) -> bool:
        """Begin a new segment with room for ``length``; False (and counted) where there is none."""
        if self.closed:
            return False
        size = max(self._segment_size, SEGMENT_HEADER + _RECORD_SIZE + length)
        if size > self._limit:
            self._drop(TOO_LARGE)
            return False
        if self._bytes + size > self._limit and not self._make_room(size):
            self._drop(SPOOL_FULL)
            return False
        first = self._position[1]
        segment = self._new_segment(first, size)
        while segment is None and self._when_full == "drop_oldest" and len(self._segments) > 1:
            self._drop_oldest()  # the disk is full: what it held of ours is given back
            segment = self._new_segment(first, size)
        if segment is None:
            self._drop(NO_SPACE)
            return False
        if self._segments:
            self._close_active()
        self._segments.append(segment)
        self._bytes += size
        self._map, self._end = segment.map, size
        self._position = (SEGMENT_HEADER, first)
        return True

    def _close_active(self) -> None:
        active = self._segments[-1]
        active.last, active.end = self._position[1] - 1, self._position[0]
        if len(self._segments) > 1:
            active.unmap()
        if active.last < active.first:  # it never took a record: too small for the first one
            self._segments.pop()
            self._release(active)

    def _new_segment(self, first: int, size: int) -> Optional[_Segment]:
        if self.path is None:
            segment = _Segment(None, first, size)
            segment.map = mmap.mmap(-1, size)
        else:
            self._index += 1
            segment = _Segment(str(self.path / f"{self._index:010d}.seg"), first, size)
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
            try:
                descriptor = os.open(segment.path, flags, 0o600)  # type: ignore[arg-type]
                try:
                    _reserve(descriptor, size)
                    segment.map = mmap.mmap(descriptor, size)
                finally:
                    os.close(descriptor)
            except (OSError, ValueError):
                with contextlib.suppress(OSError):
                    os.unlink(segment.path)  # type: ignore[arg-type]
                return None
        header = encode_segment_header(first)
        segment.map[: len(header)] = header
        return segment

    def _make_room(self, size: int) -> bool:
        if self._when_full == "drop_oldest":
            while self._bytes + size > self._limit and self._segments:
                self._drop_oldest()
        elif self._when_full == "block":
            self._room.wait_for(
                lambda: self._bytes + size <= self._limit or self.closed, self._block_timeout
            )
        return self._bytes + size <= self._limit and not self.closed

    def _drop_oldest(self) -> None:
        if len(self._segments) == 1:
            self._close_active()
            self._map, self._end = None, 0
            if not self._segments:
                return
        oldest = self._segments.popleft()
        first = max(oldest.first, self._acked + 1)
        if first <= oldest.last:
            self._add_gap(first, oldest.last, SPOOL_FULL)
        self._release(oldest)

    def _add_gap(self, first: int, last: int, reason: str) -> None:
        count = last - first + 1
        self._drop(reason, count)
        previous = self._gaps[-1] if self._gaps else None
        if previous is not None and previous.last == first - 1 and not previous.told:
            previous.last = last
            previous.counted += count
        else:
            self._gaps.append(_Gap(first, last, reason, count))

    def _release(self, segment: _Segment) -> None:
        self._bytes -= segment.size
        segment.map = None
        if segment.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(segment.path)

    # -- the sender's side

    def read(self, after: int, max_bytes: int) -> Batch:
        """The rows with numbers above ``after``, up to ``max_bytes`` of them, one at least.

        A gap comes as a batch of its own. Empty where nothing is there.
        """
        with self._section():
            found = self._find(after)
        if isinstance(found, Batch):
            return found
        segment, data, offset, number, end = found
        rows: List[bytes] = []
        size = 0
        first = number
        unpack = RECORD.unpack_from
        while offset < end and size < max_bytes:
            length, _, sequence = unpack(data, offset)
            start = offset + _RECORD_SIZE
            offset = start + length
            if sequence > after:
                if not rows:
                    first = sequence
                rows.append(data[start:offset])
                size += length
            number = sequence
        if not rows:
            return Batch(after + 1, (), after)
        self._cursor = (number, segment, offset)
        return Batch(first, rows, number)

    def _find(self, after: int) -> Any:
        """Where reading goes on after number ``after``; with the lock."""
        for gap in self._gaps:
            if gap.first <= after + 1 <= gap.last:
                gap.told = True
                return Batch(after + 1, (), after, (after + 1, gap.last, gap.reason))
        if after + 1 >= self._position[1]:
            return Batch(after + 1, (), after)
        number, segment, offset = self._cursor
        if number != after or segment is None or segment not in self._segments:
            segment = next((s for s in reversed(self._segments) if s.first <= after + 1), None)
            if segment is None:
                return Batch(after + 1, (), after)
            number, offset = segment.first - 1, SEGMENT_HEADER
        active = self._segments[-1]
        end = self._position[0] if segment is active else segment.end
        if offset >= end:  # read to its end: the next one
            position = self._segments.index(segment) + 1
            if segment is not self._segments[0]:
                segment.unmap()
            segment = self._segments[position]
            offset = SEGMENT_HEADER
            end = self._position[0] if segment is active else segment.end
        return segment, segment.mapped(), offset, number, end

    def acknowledge(self, through: int) -> None:
        """Give back everything up to ``through``; persisted, so that an adopter knows it too."""
        through = min(through, self._position[1] - 1)
        if through <= self._acked:
            return
        # Not with pack_into: it clears the field before it stores into it (segments.ACKED_AT).
        self._meta[ACKED_AT : ACKED_AT + ACKED.size] = ACKED.pack(through)
        released: List[_Segment] = []
        with self._section():
            self._acked = through
            self._gaps = [gap for gap in self._gaps if gap.last > through]
            while len(self._segments) > 1 and self._segments[0].last <= through:
                segment = self._segments.popleft()
                self._bytes -= segment.size
                released.append(segment)
            if released:
                self._room.notify_all()
        for segment in released:  # outside the lock: a log call never waits for the file system
            segment.map = None
            if segment.path is not None:
                with contextlib.suppress(OSError):
                    os.unlink(segment.path)

    def confirm_gap(self, last: int, missing: int) -> None:
        """Of the gap that ends with ``last``, only ``missing`` records had not arrived before."""
        with self._section():
            for gap in self._gaps:
                if gap.last == last:
                    self._drop(gap.reason, missing - gap.counted)
                    gap.counted = missing

    def close(self, *, remove: bool) -> bool:
        """Take no more rows and let the lock go; returns whether nothing was pending.

        With ``remove``, a journal that has nothing pending is removed; any other is an orphan now.
        """
        with self._lock:
            self.closed = True
            self._room.notify_all()
            self._map, self._end = None, 0
            empty = self.pending == 0
            segments, self._segments = list(self._segments), deque()
        for segment in segments:
            segment.map = None
        self._meta = None
        self._cursor = (0, None, 0)
        if self.path is not None:
            if remove and empty:
                remove_journal(self.path)
            os.close(self._lock_descriptor)
        return empty

    def after_fork_in_child(self) -> None:
        """Let go of the parent's journal in a child: nothing is written, unlocked or unlinked."""
        self.closed = True
        self._map = self._meta = None
        self._end = 0
        self._segments = deque()
        self._cursor = (0, None, 0)
        if self._lock_descriptor >= 0:
            os.close(self._lock_descriptor)


def _own(directory: Path) -> Optional[int]:
    """Lock a new journal's directory; ``None`` where an adopter was quicker."""
    path = str(directory / "lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except FileNotFoundError:  # the directory is gone
        return None
    if lock_file(descriptor) and is_file_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def _reserve(descriptor: int, size: int) -> None:
    """Give the file its blocks now. Raises ``OSError`` where there are none."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    block = bytes(65536)
    for start in range(0, size, len(block)):
        os.write(descriptor, block[: size - start])
