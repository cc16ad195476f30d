"""Where the records of a journal go: into which segment, and which are given up for want of room.

Owns the limit, the policy for a journal that is full, and what happens when a file takes no more or
is no longer there. Who may call when is the business of :mod:`spool.journal`, whose lock is held in
every call here. A signal handler may raise between any two lines; each line leaves a state from
which the next call goes on.

Why a disk cannot stop the application
--------------------------------------
A file that does not take a record ends there, and the record goes into another one. After an error
that says "full" that one is in memory, and the next but one is tried in a file again. After any
other error the owner looks at its files first (:mod:`spool.owned`): descriptors that somebody
closed, and files that somebody removed, are made anew. Memory has a limit of its own; beyond it the
policy decides, as for a full journal.

Why a process that changes its user keeps its journal
-----------------------------------------------------
A server that is started as root and becomes another user may make no file in root's directory any
more, nor open one. What is open it may write and read as before. So the segment that is open grows
on, up to the limit of the whole journal, and is cut to nothing when all of it is acknowledged.
After a kill it is in the directory, and a receiver of root's delivers it. Another journal, where
the new user keeps them by default, would be looked for there by nobody but that user. It is begun
all the same where the open segment is full, or older ones are shut; those whoever may read them
delivers.
"""

from __future__ import annotations

import errno
import threading
import time
from typing import Callable

from ..exceptions import JournalError
from ..system.files import FULL
from ..system.users import current_user
from .contents import DAMAGED, Contents, memory_of
from .gaps import Gaps
from .owned import OwnedDirectory
from .segment_file import Segment
from .segments import GIVEN_UP_AT, RECORD_SIZE, SEGMENT_HEADER, encode_record

MEMORY_LIMIT = 32 * 1024 * 1024
"""Bytes of a journal in memory, or of the part of one that is: it is the application's own."""

SPOOL_FULL = "spool_full"  # the limit is reached
TOO_LARGE = "too_large"  # the row is larger than the limit
NO_SPACE = "no_space"  # the disk has no room, or the directory cannot be written

NO_SPACE_PAUSE = 0.5
"""Seconds without another attempt to make a segment after one has failed: it costs a log call more
than all the rest, and the disk is still full."""

_OPEN_SEGMENTS = 2
"""Segments whose files stay open in a backlog: the oldest, which is read, and the one in use."""

_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
"""Errors of a process that is another user than the one who made the directory."""


class Storage:
    """The segments of one journal, and the room for more."""

    def __init__(
        self,
        disk: OwnedDirectory | None,
        *,
        limit: int,
        segment_size: int,
        when_full: str,
        block_timeout: float,
    ) -> None:
        """Store into the directory ``disk``, or in memory for ``None``."""
        self.path = None if disk is None else disk.path
        self.closed = False
        """Whether it takes no more rows: the caller puts them elsewhere."""
        self.trouble: str | None = None
        """What the operator should be told; the sender takes it away."""
        self.on_full: Callable[[], None] = lambda: None
        """Called when there is room for one segment at most. It must not wait."""
        self.sender_thread_id: int | None = None
        """Identifier of the sender's thread, which must not wait for room that it has to make."""
        self._disk = disk
        self._limit = limit
        self._segment_size = min(segment_size, limit // 2)
        self._when_full = when_full
        self._block_timeout = block_timeout
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._contents = Contents(Gaps(self._note_given_up))
        self._in_file = True  # where the last segment went
        self._file_failed = False  # the next segment goes into memory
        self._no_space_until = 0.0
        self._told = ""  # of what others do to the files
        self._grows_on = False  # the active segment, since no other can be made
        self._handed_over = False

    # -- figures

    @property
    def first(self) -> int:
        """The lowest number that is not acknowledged."""
        return self._contents.acked + 1

    @property
    def next(self) -> int:
        """The number that the next record gets."""
        return self._contents.position[1]

    @property
    def pending(self) -> int:
        """Numbers that are not acknowledged, those given up included: the sender's work."""
        return self._contents.position[1] - 1 - self._contents.acked

    @property
    def may_be_forgotten(self) -> bool:
        """Whether nobody will find a record in the files and deliver it again.

        Not where the disk did not take the last acknowledgement: it may be there again one day.
        """
        disk = self._disk
        return not (self.pending or self._handed_over) and (disk is None or disk.is_noted)

    @property
    def size_bytes(self) -> int:
        """Bytes to which all segments may grow."""
        return self._contents.size_bytes

    # -- a record

    def _store(self, row: bytes) -> int:
        """Store one row; return its number, or 0 if it was given up, or the journal is closed."""
        size, attempts = len(row), 0
        while True:
            contents = self._contents
            tail, number, segment = contents.position
            end = tail + RECORD_SIZE + size
            if end <= segment.size and segment.write(encode_record(row, number), tail):
                contents.position = (end, number + 1, segment)
                contents.keep(row)
                return number
            if segment.trouble is not None:
                attempts += 1
                self._write_failed(segment, may_try_again=attempts == 1)
            if not self._find_room(size):
                return 0

    # -- room

    def _find_room(self, length: int) -> bool:
        """Make the active segment one with room for ``length``; else give the row up: False."""
        if self.closed:
            return False
        # A call that an exception ended may have stored its record but not counted it. The next
        # record takes its number and its place; if that goes elsewhere, there would be two of it.
        tail, _, active = self._contents.position
        active.cut(tail)
        size = self._segment_size_for(length)
        if self._grows_on and self.size_bytes + size > self._limit:
            self._retire(f"the segment of {self.path} that user {current_user()} may write is full")
            return False
        if size > self._limit:
            return self._give_up(TOO_LARGE)
        room = self._limit - self.size_bytes
        if room < 2 * size:
            self.on_full()
        if room < size:
            if self._when_full == "drop_oldest":
                while self.size_bytes + size > self._limit:
                    self._contents.drop_oldest(SPOOL_FULL)
            elif self._when_full == "block":
                if not self._await_room(length):
                    return False
                if self._fits(length):  # in the segment that another call has begun
                    return True
            if self.size_bytes + size > self._limit:
                return self._give_up(SPOOL_FULL)
        return self._roll(size)

    def _segment_size_for(self, length: int) -> int:
        header = SEGMENT_HEADER if self._disk is None else self._disk.header_size
        return max(self._segment_size, header + RECORD_SIZE + length)

    def _fits(self, length: int) -> bool:
        tail, _, active = self._contents.position
        return tail + RECORD_SIZE + length <= active.size

    def _has_room(self, length: int) -> bool:
        """Whether a row fits into the active segment, or another segment would be taken."""
        size = self._segment_size_for(length)
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
        """Give up the next number; return False."""
        contents = self._contents
        tail, number, active = contents.position
        contents.gaps.give_up(number, number, reason)
        contents.position = (tail, number + 1, active)
        return False

    def _note_given_up(self, number: int) -> None:
        if self._disk is not None:
            self._disk.note(GIVEN_UP_AT, number)

    # -- segments

    def _roll(self, size: int) -> bool:
        """Begin a new segment of ``size`` bytes; else give the row up: False."""
        if time.monotonic() < self._no_space_until:
            return self._give_up(NO_SPACE)
        contents = self._contents
        segment = self._new_segment(size)
        while segment is None and self._when_full == "drop_oldest" and len(contents.segments) > 1:
            contents.drop_oldest(SPOOL_FULL)  # what it held of disk or memory is given back
            segment = self._new_segment(size)
        if self.closed:
            return False
        if segment is None:
            self._no_space_until = time.monotonic() + NO_SPACE_PAUSE
            return self._give_up(NO_SPACE)
        previous = contents.position[2]
        if segment is previous:  # it grows on
            return True
        contents.segments.append(segment)  # at once: its file is to be closed one day
        contents.end_active()
        contents.position = (segment.start, contents.position[1], segment)
        if len(contents.segments) > _OPEN_SEGMENTS and self._in_file:
            previous.close()  # else the other files may be gone, too
        self._room.notify_all()
        return True

    def _new_segment(self, size: int) -> Segment | None:
        """A segment in a file; in memory where that fails, up to ``MEMORY_LIMIT``; or ``None``."""
        contents, disk = self._contents, self._disk
        first = contents.last_stored() + 1
        if disk is not None:
            if not self._file_failed:
                try:
                    segment = self._new_file(disk, first, size)
                    self._in_file = True
                    return segment
                except OSError as error:
                    if error.errno is None:  # a signal handler's TimeoutError: the caller's
                        raise
                    if error.errno in _FORBIDDEN:
                        return self._grow_on(size, error)
                    if self.closed:
                        return None
                    self._tell_failed(error)
            if size + contents.memory_bytes > MEMORY_LIMIT:
                return None
        segment = Segment.in_memory(first, size)
        self._file_failed = False  # the one after it may go into a file again
        return segment

    def _new_file(self, disk: OwnedDirectory, first: int, size: int) -> Segment:
        try:
            return disk.new_segment(first, size)
        except FileNotFoundError:  # the directory is gone
            if not self._put_right():
                raise
            return disk.new_segment(first, size)

    def _grow_on(self, size: int, error: OSError) -> Segment | None:
        """Let the active segment grow by ``size`` bytes; else take no more rows: ``None``."""
        active, user = self._contents.position[2], current_user()
        if active.file is None or not active.file.is_ours():
            self._retire(f"user {user} cannot add to the journal {self.path} ({error})")
            return None
        active.size += size
        self._grows_on = True
        self._tell_once(
            f"user {user} cannot make files in the journal {self.path}: records go on in the file "
            "that is open there. What is left of them after a kill is delivered by a receiver, or "
            "another process, of the user to whom the journal belongs. A receiver with "
            "--spool-group GROUP lets this user have a journal of its own"
        )
        return active

    def _write_failed(self, segment: Segment, *, may_try_again: bool) -> None:
        """Go on after the active segment has ended before its time."""
        error, segment.trouble = segment.trouble, None
        assert error is not None
        self._file_failed = True
        if error.errno not in FULL:
            in_order = self._put_right()
            self._save(segment)  # of a disk that fails what is still at hand is saved now
            self._file_failed = not (in_order and may_try_again)  # or it was a descriptor only
        if self._file_failed and not self.closed:
            self._tell_failed(error)

    def _tell_failed(self, error: OSError) -> None:
        if self._in_file:
            self.trouble = (
                f"cannot add to the journal {self.path}: {error}. What is logged now is "
                "kept in memory, and is lost if this process is killed"
            )
        self._in_file = False

    # -- what others do to the files

    def _put_right(self) -> bool:
        """Put right what is wrong with the files; return whether the directory is in order."""
        disk, contents = self._disk, self._contents
        if disk is None:
            return False
        if self._is_another_user():
            self._hand_over(
                f"user {current_user()} cannot put the journal {self.path} of user {disk.user} "
                "right; who may read it delivers what is in it",
                with_removed=True,
            )
            return False
        failure: Exception | None = None
        was_intact = disk.is_intact()
        try:
            if not disk.regain():
                self._hand_over(
                    f"all descriptors of the journal {self.path} were closed, and another process "
                    "has adopted it and delivers what is in it"
                )
                return False
        except (OSError, JournalError) as error:
            failure = error
        if disk.acked > contents.acked:
            for segment in contents.settle(min(disk.acked, self.next - 1)):
                segment.release()
        before = self._count_damaged()
        wrong = [s for s in contents.segments if not s.is_intact(contents.end_of(s))]
        for segment in wrong:
            self._save(segment)
        lost = self._count_damaged() - before
        if wrong or not was_intact:
            self._tell_once(
                f"somebody has removed or changed files of the journal {self.path}, or closed "
                f"them: {lost or 'no'} records are gone"
                + ("" if failure is None else f"; they cannot be made again: {failure}")
            )
        return failure is None

    def _tell_once(self, text: str) -> None:
        if text != self._told:
            self._told = self.trouble = text

    def _save(self, segment: Segment) -> None:
        """Put what can be saved of ``segment`` in its place."""
        write_anew = memory_of if self._disk is None else self._disk.write_anew
        self._contents.save(segment, write_anew)

    def _count_damaged(self) -> int:
        return self._contents.gaps.figures()[1].get(DAMAGED, 0)

    def _is_another_user(self) -> bool:
        """Whether this process has changed its user, and may open no files there any more."""
        return self._disk is not None and self._disk.user != current_user()

    def _retire(self, why: str) -> None:
        """Take no more rows, since no file can be added any more; deliver what is there.

        Where not all of it can be read by this process, whoever may read it adopts it.
        """
        contents = self._contents
        contents.end_active()
        if all(segment.is_open for segment in contents.segments):
            self.closed = True
            self.trouble = f"{why}; records go on in another journal"
            self._room.notify_all()
        else:
            self._hand_over(f"{why}; who may read it delivers what is in it")

    def _hand_over(self, why: str, *, with_removed: bool = False) -> None:
        """Take no more rows, and leave what is in the files to whoever adopts them.

        What no adopter can find goes on in the caller's next journal: rows in memory, and with
        ``with_removed`` those in open files that somebody has removed.
        """
        disk, contents = self._disk, self._contents
        contents.end_active()
        self.closed = self._handed_over = True
        self.trouble = f"{why}; records go on in another journal"
        for row in contents.rows_of_this_process(with_removed=with_removed):
            self._defer(row)
        self._let_go_of_contents(acked=self.next - 1)
        if disk is not None:
            disk.release()
        self._room.notify_all()

    def _let_go_of_contents(self, acked: int) -> None:
        """Hold nothing any more; the figures stay."""
        contents = self._contents
        contents.end_active()
        held = list(contents.segments)
        contents.settle(acked)
        self._contents, self._disk = contents.nothing(), None
        for segment in held:
            segment.close()

    def _defer(self, row: bytes) -> None:
        """Have ``row`` stored as soon as the lock is free: see :mod:`spool.journal`."""
        raise NotImplementedError
