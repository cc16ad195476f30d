"""One log of this process that other processes write, too: lines in, the file at the far end.

Why each line is written once, in order
---------------------------------------
A thread puts its line into a queue. Then it waits for the process's own lock. Whoever gets that
takes the lock that all processes share, and writes everything that is in the queue, in one write. A
thread that gets the lock and finds its line written has nothing left to do. So one common lock
covers the lines of all threads that have waited for it, and a thread's lines keep their order,
since it logs the next one only after that.

*A log call in the middle of a log call* (a signal handler, a ``__del__``) finds that its own thread
has the lock. It leaves its line in the queue and returns; the outer call looks again before it
returns. So the common lock is never asked for twice by one thread.

*An exception in the middle*, of a signal handler, may leave it open whether a write has happened.
The bytes and their place are kept until the lines are marked as written, and the next one who has
the lock compares them with the file.

*A fork.* The child begins with an empty queue, new locks and nothing open; the lines under way are
the parent's. A call that was under way in the forking thread itself goes on in both processes. In
the child it finds that its state is not the log's any more, and leaves.

What happens where nothing can be written
-----------------------------------------
A lock that another process does not let go of is waited for, for a bounded time. Then, and where
the disk refuses the line, the line goes to stderr and is counted. The next line of this process
that gets into the file comes behind one that tells the number.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from typing import Any

from ..exceptions import LedgerHeldError
from ..sink.encoding import LineEncoder
from ..sink.internals import SinkPath
from ..system.common_lock import CommonLock
from ..system.file_systems import file_system_of, is_remote
from ..system.forks import drop_in_children, notice_fork, process_mark
from ..system.locks import LET_GO, TAKE_NOW
from ..system.own_file import SLOW
from ..system.short_calls import MAX_WRITE, calls
from ..system.stderr import tell_operator
from .chores import Chores
from .conditions import Condition
from .log_file import NOTE, FileSettings
from .options import LogOptions
from .turn import PLACE_CHECK, SPEAKER, Line, Turn, said_by

monotonic = time.monotonic

CLAIM_TIMEOUT = 1.0
"""Seconds that opening waits for a claim: another program may be looking, for a moment."""

MAX_LEFT = 10_000
"""Lines in the queue behind a thread that does not come back."""


class SharedLog:
    """A log of this process. Thread-safe, fork-safe, safe in signal handlers."""

    def __init__(self, sink: SinkPath, options: LogOptions) -> None:
        """Check the options and load what they need. Opens nothing."""
        calls.find()
        self.options = options
        self._sink = sink
        self._lock_path = str(sink.directory / f".{sink.name}.lock")
        encoder = LineEncoder(options.encoding, options.errors, options.newline)
        self._encode = encoder.encode
        condition = Condition(options.rotation)
        self.needs_record = condition.needs_record
        """Whether a line has to be a message of loguru's, with its record."""
        self._never_rotates = condition.never
        self._chores = Chores(
            sink, self._lock_path, options.compression, options.retention, self._report
        )
        self._settings = FileSettings(
            sink,
            encoder,
            condition,
            self._chores.moves_files,
            options.opener,
        )
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()
        self._turn = Turn(self._settings, self._lock_path, self.path)
        drop_in_children(self)

    @property
    def path(self) -> str:
        """The path that the log is called by in messages."""
        return self._sink.file or self._sink.template

    def after_fork_in_child(self) -> None:
        """Begin anew: what is open and under way is the parent's."""
        turn, self._turn = self._turn, Turn(self._settings, self._lock_path, self.path)
        turn.lock.forget()
        turn.file.after_fork_in_child()

    @property
    def is_inside(self) -> bool:
        """Whether this thread has the process's own lock: a line of its now waits for that call."""
        return bool(self._turn.mutex._is_owned())

    @property
    def dropped(self) -> int:
        """Lines of this process that went to stderr so far, since the file did not take them."""
        return self._turn.dropped

    # -- users ----------------------------------------------------------------------------------

    def add_user(self, user: object, *, opens: bool = False) -> None:
        """Note that ``user`` writes here, for as long as it lives or until its release.

        ``opens``: open the log now, and raise what :meth:`open` raises.
        """
        self._users.add(user)
        if opens:
            try:
                self.open()
            except BaseException:
                self.release(user)
                raise

    def release(self, user: object) -> None:
        """Note that ``user`` writes no more; the last one closes the file. Never raises."""
        self._users.discard(user)
        if not len(self._users):
            self.close()

    @property
    def is_used(self) -> bool:
        """Whether anybody writes here."""
        return bool(len(self._users))

    # -- opening and closing --------------------------------------------------------------------

    def open(self) -> None:
        """Open lock and file now, and finish what a killed process has left.

        Raises :class:`LedgerHeldError` where a receiver writes the file, and ``OSError``.
        """
        turn = self._turn
        with turn.mutex:
            if turn.lock.is_open:
                return
            self._open(turn)
            if self._take(turn):
                try:
                    turn.file.look()
                finally:
                    turn.lock.release()
            else:
                error = self._timeout_error(turn.lock)
                if isinstance(error, LedgerHeldError):  # else the first line waits, too
                    turn.lock.close()
                    raise error
        self._chores.finish_all()

    def _open(self, turn: Turn) -> None:
        directory = os.path.dirname(self._lock_path)
        os.makedirs(directory, exist_ok=True)
        _warn_of(directory)
        lock = turn.lock
        lock.open()
        turn.checked_at = -PLACE_CHECK  # so that the lock's first holder notes that it is shared
        try:
            turn.file.is_first = self._sink.file is None and lock.claim(alone=True)
            deadline = time.monotonic() + (0.0 if turn.is_refused else CLAIM_TIMEOUT)
            while not lock.claim():
                if time.monotonic() >= deadline:
                    turn.is_refused = True
                    raise self._held_error(lock)
                time.sleep(0.01)
            turn.is_refused = False
        except BaseException:
            lock.close()
            raise

    def _take(self, turn: Turn) -> bool:
        """Take the common lock; return whether that worked in time."""
        lock = turn.lock
        if turn.file.is_lost():  # and the lock, most likely
            self._open_anew(turn)
        if not lock.take(self.options.lock_timeout):
            return False
        now = monotonic()
        if now - turn.checked_at < PLACE_CHECK:
            return True
        turn.checked_at = now
        calls.look_up(now)
        if lock.is_in_place():
            if not lock.read().startswith(NOTE):
                lock.write(NOTE)
            return True
        self._open_anew(turn)  # somebody has removed it, or the whole directory
        return lock.take(self.options.lock_timeout)

    def _open_anew(self, turn: Turn) -> None:
        turn.lock.close()
        turn.file.close()
        self._open(turn)

    def _held_error(self, lock: CommonLock) -> LedgerHeldError:
        text = lock.read().decode("ascii", "replace").strip()
        holder = int(text) if text.isdigit() else None
        who = "a receiver" if holder is None else f"the receiver of process {holder}"
        return LedgerHeldError(
            f"{self.path} is written by {who}: send it the records by install_bridge() or a "
            "BridgeHandler, or end it first",
            holder,
        )

    def close(self) -> None:
        """Close the file, and let go of everything. A later line opens it again. Never raises.

        As in loguru, a file without a rotation is compressed now, and old files are removed; the
        last process does that.
        """
        if not process_mark[0]:
            notice_fork()
        turn = self._turn
        if turn.mutex._is_owned():  # in a signal handler: the process's end closes it
            return
        with turn.mutex, contextlib.suppress(Exception):
            self._drain(turn)
            lock = turn.lock
            ends = self._never_rotates and lock.is_open and self._has_chores()
            if ends and lock.take(self.options.lock_timeout):
                try:
                    if lock.claim(alone=True):
                        if self._chores.moves_files:
                            turn.file.move_away()
                        turn.rotated.append(turn.file.path)
                finally:
                    lock.release()
            turn.file.close()
            lock.close()
        self._run_chores(turn, current="")

    def _has_chores(self) -> bool:
        return self.options.compression is not None or self.options.retention is not None

    # -- a line ---------------------------------------------------------------------------------

    def write(self, text: str) -> None:
        """Write one line, or give it up and tell. Never raises for what the system refuses.

        ``text`` has its line's end; it is a message of loguru's where :attr:`needs_record` says so.
        """
        if not process_mark[0]:
            notice_fork()
        turn = self._turn
        mutex = turn.mutex
        is_inner = mutex._is_owned()
        if not is_inner:
            written = False
            try:  # a signal handler may raise as soon as the lock is taken
                written = (
                    mutex.acquire(False) and not turn.waiting and self._write_alone(turn, text)
                )
            finally:
                if mutex._is_owned():
                    mutex.release()
            if turn is not self._turn:  # a signal handler has forked: the parent writes the line
                return
            if written and not turn.is_reentered:
                return
            if written:
                self._write_waiting_lines(turn)
                return
        line = Line(text)
        turn.waiting.append(line)
        if is_inner:
            turn.is_reentered = True
            if len(turn.waiting) > MAX_LEFT:
                turn.give_up([line], f"{MAX_LEFT} lines wait already")
            return
        self._write_waiting_lines(turn, line)

    def _write_alone(self, turn: Turn, text: str) -> bool:
        """Write a line that no other waits beside, where nothing else is to be done.

        Return whether it is written. This is the short form of :meth:`_drain`, for most lines.
        """
        lock, file, now = turn.lock, turn.file, monotonic()
        if file.under_way is not None or turn.given_up or turn.rotate_after:
            return False
        if now - turn.checked_at >= PLACE_CHECK or file.condition.has_function:
            return False
        data = self._encode(text)
        if len(data) > MAX_WRITE:
            return False
        change_lock, descriptor = calls.change_lock, lock.descriptor
        try:
            if change_lock(descriptor, TAKE_NOW) or not file.append_alone(text, data):
                return False
        except (OSError, ValueError):  # the long form tells what is wrong
            return False
        finally:  # whether it is known to be taken or not: a signal handler may have raised
            change_lock(descriptor, LET_GO)
        if monotonic() - now > SLOW:
            calls.note_slow(now)
        return True

    def _write_waiting_lines(self, turn: Turn, line: Line | None = None) -> None:
        """Take the process's own lock and write what waits; ``line`` is this call's."""
        mutex = turn.mutex
        while True:
            try:
                if not mutex.acquire(timeout=self.options.lock_timeout):
                    if line is not None and len(turn.waiting) > MAX_LEFT:
                        turn.give_up([line], "a thread of this process does not come back")
                    return  # whoever has the lock finds the line
                if line is None or not line.is_done or turn.is_reentered:
                    self._drain(turn)
            finally:
                if mutex._is_owned():
                    mutex.release()
            if turn.rotated:
                self._run_chores(turn)
            if not turn.is_reentered or turn is not self._turn:
                return

    def _drain(self, turn: Turn) -> None:
        """Write what is in the queue. Called with the process's own lock held."""
        turn.is_reentered = False
        if turn is not self._turn or not (turn.waiting or turn.given_up):
            return
        try:
            if not turn.lock.is_open:
                self._open(turn)
            if not self._take(turn):
                raise self._timeout_error(turn.lock)
            if turn.file.under_way is not None:
                turn.settle()
            turn.write_waiting()
        except (OSError, ValueError, LedgerHeldError) as error:  # ValueError: closed by a fork
            if turn is self._turn:
                turn.give_up(turn.next_batch(), said_by(error))
        finally:
            with contextlib.suppress(OSError, ValueError):
                turn.lock.release()  # whether it is known to be taken or not

    def _timeout_error(self, lock: CommonLock) -> Exception:
        text = lock.read().strip()
        if text.isdigit():
            return self._held_error(lock)
        return TimeoutError(
            f"another process has held {self._lock_path} for {self.options.lock_timeout:g} s"
        )

    def _run_chores(self, turn: Turn, current: str | None = None) -> None:
        rotated = []
        with contextlib.suppress(IndexError):  # another thread may be quicker
            while turn.rotated:
                rotated.append(turn.rotated.popleft())
        if rotated:
            self._chores.run(rotated, turn.file.path if current is None else current)

    # -- what cannot be written -----------------------------------------------------------------

    def tell_at_exit(self) -> None:
        """Tell in the file what was given up, if it takes a line now. Never raises."""
        turn = self._turn
        if turn.given_up and turn.mutex.acquire(blocking=False):
            try:
                with contextlib.suppress(Exception):
                    if turn.lock.is_open and turn.lock.take(0.5):
                        try:
                            turn.write_waiting()
                        finally:
                            turn.lock.release()
            finally:
                turn.mutex.release()

    def _report(self, text: str) -> None:
        tell_operator(SPEAKER, text)


_warned: set[str] = set()


def _warn_of(directory: str) -> None:
    """Warn once of a file system on which each machine may grant its own locks."""
    file_system = file_system_of(directory)
    if is_remote(file_system) and directory not in _warned:
        _warned.add(directory)
        tell_operator(
            SPEAKER,
            f"{directory} is on {file_system}, where a lock may not hold for other machines, and "
            "lines may be lost at a rotation: write from one machine only, or have a receiver "
            "write the file and send it the records (install_bridge)",
        )
