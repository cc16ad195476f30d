"""The log file as this process has it open: is it still the one, how long is it, append, rotate.

Everything here happens with the log's common lock held.

Why no whole line is ever lost
------------------------------
A file is only ever appended to. Before each write the path is looked up. Where it names another
file than the open one, another process has rotated, and that file is opened. A rotation is one
rename. Between the rename and the new file nobody writes, since the lock is held; if the process is
killed there, the next one finds no file and makes it.

*A torn end.* A process that is killed in the middle of a write may leave the beginning of a line.
Nobody cuts it off: it might be the end of what another program has written. The next line begins
with a line break instead, where what others have written last does not end with one. What this
process itself could not write whole, on a full disk, is cut off again, since it is known to the
byte, and nobody can have written behind it.

*A descriptor that is another file's.* A program that becomes a daemon closes all descriptors, and
the system gives the numbers out again. Before each write it is looked whether the open file is
still ours (:mod:`~loguru_stdbridge.system.own_file`). If not, file and lock are opened anew, and
what has the number now is left alone.

Where the path depends on the time
----------------------------------
All processes have to write one file. So the lock file names it. Who rotates writes the new name
there, and so does the first program that comes when no other uses the log.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import time
from typing import Any, Callable, NamedTuple

from ..sink.archive import closing_directory
from ..sink.encoding import LineEncoder
from ..sink.internals import SinkPath, creation_time, note_creation_time, path_of_now
from ..system.common_lock import CommonLock
from ..system.files import file_key, open_file, pread
from ..system.forks import block_forks
from ..system.own_file import is_another_s, mark_ours
from ..system.short_calls import MAX_WRITE, NOWHERE, State, calls
from .conditions import Condition
from .options import Opener

NOTE = b"shared\n"
"""Begins the lock file's content while programs share the log: a receiver writes its number."""

_MODE = 0o666  # less the process's umask, as open() has it
_MOVES = 20
_CLOSED = -2  # the number of no file, not even of one that is not there


class FileSettings(NamedTuple):
    """What the log file is to be like."""

    sink: SinkPath
    encoder: LineEncoder
    condition: Condition
    moves_files: bool
    """Whether a rotated file moves into a work directory, to be compressed."""
    opener: Opener


class CurrentFile:
    """One process's view of a log's current file."""

    def __init__(self, settings: FileSettings, lock: CommonLock) -> None:
        self._settings = settings
        self._lock = lock
        self._descriptor = -1
        self._id = (-1, -1)
        self._number, self._major, self._minor = _CLOSED, 0, 0  # what the open file is known by
        self._look: Callable[[], State] = _look_nowhere
        self._end = -1  # where this process has written last, if that is the end of the file
        self._is_named_by_lock = settings.sink.file is None
        self._line_end = settings.encoder.encode("\n")
        self._note = NOTE
        self._reads = True
        self._text_file: Any = None  # for a rotation function of the user's
        self.condition = settings.condition
        """When to rotate this file."""
        self.path = settings.sink.file or ""
        self.size = 0
        """Bytes of the file, after :meth:`look`."""
        self.is_first = False
        """Whether no other program used the log when this one came."""
        self.is_due = False
        """Whether the condition has asked for a new file, which is not there yet."""
        self.under_way: tuple[int, bytes] | None = None
        """Where a write has begun, and its bytes, until somebody has noted that it is done."""

    def is_lost(self) -> bool:
        """Return whether somebody has closed our descriptor; the number may be another file's."""
        try:
            return self._descriptor >= 0 and is_another_s(self._descriptor)
        except OSError:
            return True

    def look(self) -> int:
        """Make sure that the current file is open, and return its size. Raises ``OSError``."""
        if self._descriptor < 0 or not self._is_current():
            self._open(self._find_path())
        return self.size

    def _is_current(self) -> bool:
        if self._is_named_by_lock and self._lock.read() != self._note:
            return False
        number, self.size, major, minor = self._look()
        return number == self._number and minor == self._minor and major == self._major

    def _find_path(self) -> str:
        if self._settings.sink.file is not None:
            return self._settings.sink.file
        self._note = self._lock.read()
        named = os.fsdecode(self._note[len(NOTE) :].rstrip(b"\n"))
        if self._note.startswith(NOTE) and named and not self.is_first:
            return named
        return self._new_path()

    def _new_path(self) -> str:
        """Return the path of a file that begins now."""
        if self._settings.sink.file is not None:
            return self._settings.sink.file
        return path_of_now(self._settings.sink.template)

    def _open(self, path: str, *, has_rotated: bool = False) -> None:
        self.close()
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with block_forks():
            self._descriptor = self._open_descriptor(path)
            status = os.fstat(self._descriptor)
            self._id = file_key(status)
            mark_ours(self._descriptor)
        self._number, self.size, self._major, self._minor = calls.state_of(status)
        self._look = calls.make_look(path)
        self.path, self._end, self.is_first = path, -1, False
        if not self.size:
            note_creation_time(path, time.time())
        if self._settings.sink.file is None:
            self._note = NOTE + os.fsencode(path) + b"\n"
            if self._lock.read() != self._note:
                self._lock.write(self._note)
        self.is_due = False
        if not has_rotated:
            self.condition = self._settings.condition.renew(path)

    def _open_descriptor(self, path: str) -> int:
        flags = os.O_APPEND | os.O_CREAT
        opener = self._settings.opener
        self._reads = True
        try:
            if opener is not None:
                return opener(path, flags | os.O_RDWR)
            return open_file(path, flags | os.O_RDWR, _MODE)
        except PermissionError:  # a file that one may write, and not read
            self._reads = False
            if opener is not None:
                return opener(path, flags | os.O_WRONLY)
            return open_file(path, flags | os.O_WRONLY, _MODE)

    def wants_rotation(self, text: str, position: int) -> bool:
        """Return whether a new file begins before ``text``, where the file has ``position`` bytes.

        Raises what a function of the user's raises.
        """
        if self.is_due:  # a condition by time says so only once
            self.is_due = False
            return True
        condition, file = self.condition, None
        if condition.has_function:
            if self._text_file is None:
                self._text_file = open(  # noqa: SIM115
                    self.path, "a+", encoding="utf8", errors="replace", opener=open_file
                )
            file = self._text_file
        return condition.holds(text, position, file)

    def append(self, lines: list[bytes]) -> tuple[int, OSError | None]:
        """Write lines behind the file's end, in one step.

        Return how many are in the file, and the error if that is not all.
        """
        data = lines[0] if len(lines) == 1 else b"".join(lines)
        lead = 0
        if self.size != self._end and self._is_torn():
            data, lead = self._line_end + data, len(self._line_end)
        self.under_way = self.size, data
        written = 0
        try:
            if len(data) <= MAX_WRITE:
                written = max(calls.write(self._descriptor, data, len(data)), 0)
            while written < len(data):  # the rest, or what is wrong with the file
                written += os.write(self._descriptor, data[written:])
        except OSError as error:
            count, kept = 0, lead
            for line in lines:
                if kept + len(line) > written:
                    break
                kept += len(line)
                count += 1
            self._cut(written, kept if count else 0)
            return count, error
        self.size += written
        self._end = self.size
        return len(lines), None

    def append_alone(self, text: str, data: bytes) -> bool:
        """Append one short line, if the file is current, goes on, and ends with a whole line.

        Return whether the line is in the file. Raises ``OSError``.
        """
        if self._is_named_by_lock and self._lock.read() != self._note:
            return False
        number, size, major, minor = self._look()
        if number != self._number or minor != self._minor or major != self._major:
            return False
        if is_another_s(self._descriptor):
            return False
        self.size = size
        limit = self.condition.size_limit
        if limit is not None:
            if size + len(text) > limit:
                return False
        elif self.condition.holds(text, size, None):
            self.is_due = True
            return False
        if size != self._end and self._is_torn():
            return False
        length = len(data)
        written = calls.write(self._descriptor, data, length)
        if written != length:
            self._cut(written, 0)
            return False
        self._end = self.size = size + length
        return True

    def _is_torn(self) -> bool:
        """Return whether the file ends in the middle of a line."""
        if not self.size or not self._reads:
            return False
        return pread(self._descriptor, 1, self.size - 1) != self._line_end[-1:]

    def _cut(self, written: int, kept: int) -> None:
        """Cut a write that failed back to whole lines, if it is still the end of the file."""
        self._end = -1
        with contextlib.suppress(OSError):  # the next line begins with a line break then
            if os.fstat(self._descriptor).st_size == self.size + written:
                os.ftruncate(self._descriptor, self.size + kept)
                self.size += kept

    def has_arrived(self) -> bool:
        """Return whether the write under way is in the file: something has raised in its middle."""
        if self.under_way is None:
            return False
        if not self._reads or self._descriptor < 0:  # nobody can tell
            return True
        offset, data = self.under_way
        return pread(self._descriptor, len(data), offset) == data

    def rotate(self) -> str:
        """Rename the file as loguru does, and begin a new one. Return the old one's path.

        Raises ``OSError``; then the file is as it was, or there is none.
        """
        old, new = self.path, self._new_path()
        target = _free_name(old) if new == old else old
        if self._settings.moves_files:
            target = self._move(old, target)
        elif target != old:
            os.rename(old, target)
        self._open(new, has_rotated=True)
        note_creation_time(new, time.time())
        return target

    def move_away(self) -> None:
        """Move the file into a work directory, at the end of the last program that uses it."""
        self.close()
        if os.path.exists(self.path):
            self._move(self.path, self.path)

    @staticmethod
    def _move(old: str, target: str) -> str:
        """Move the file into a new work directory; one that is empty may be removed meanwhile."""
        named, count = target, 1
        for _ in range(_MOVES):
            work = closing_directory(named)
            try:
                os.mkdir(work)
                os.rename(old, os.path.join(work, os.path.basename(named)))
                return named
            except FileExistsError:
                count += 1
                root, extension = os.path.splitext(target)
                named = f"{root}.{count}{extension}"
            except FileNotFoundError:
                if not os.path.exists(old):
                    raise
            except OSError:  # on Windows a program that does not share the file
                with contextlib.suppress(OSError):
                    os.rmdir(work)
                raise
        raise OSError(errno.EEXIST, "no free name for the rotated file", target)

    def close(self) -> None:
        """Close the file; the next look opens it."""
        descriptor, self._descriptor = self._descriptor, -1
        self._number = _CLOSED
        text_file, self._text_file = self._text_file, None
        with contextlib.suppress(OSError):
            if text_file is not None:
                text_file.close()
        self._close_ours(descriptor)

    def after_fork_in_child(self) -> None:
        """Close the child's copy, if it is still that."""
        descriptor, self._descriptor = self._descriptor, -1
        self._close_ours(descriptor)

    def _close_ours(self, descriptor: int) -> None:
        """Close a descriptor, if it is still the file's."""
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor) if descriptor >= 0 else None
            if status is not None and file_key(status) == self._id:
                os.close(descriptor)


def _free_name(path: str) -> str:
    """Return loguru's name for a rotated file: with the time when it was begun."""
    root, extension = os.path.splitext(path)
    begun = datetime.datetime.fromtimestamp(creation_time(path))
    dated = f"{root}.{begun:%Y-%m-%d_%H-%M-%S_%f}"
    name, count = f"{dated}{extension}", 1
    while os.path.lexists(name) or os.path.lexists(closing_directory(name)):
        count += 1
        name = f"{dated}.{count}{extension}"
    return name


def _look_nowhere() -> State:
    return NOWHERE
