"""Files that this process alone writes, at places that it chooses, without ever mapping them.

An :class:`OwnFile` turns what happens to a file or a disk into an ``OSError`` or a short count: no
state of either can end the application, as a mapped file would by SIGBUS. It also notices when its
descriptor has become somebody else's.

Which call writes
-----------------
``os.pwrite`` lets the interpreter's lock go for the microsecond that it takes. A thread that
computes takes the lock then, and the log call gets it back after a switch interval of 5 ms: beside
such a thread 1,125 log calls a second were made, and 8,573 with a call that keeps the lock (3 to 8
log calls of 1,000 took over a millisecond then, not 148). So the C library's ``pwrite`` is called
through ``ctypes.PyDLL``, which keeps it. It costs 0.3 microseconds more, without ``argtypes``:
those cost 0.5 more, and check only what is known here.

A call that keeps the lock stops all threads where the disk makes it wait: a writer is slowed down
there for up to 200 ms at a time. So a call that took longer than ``SLOW`` seconds is the last of
its kind for ``CALM`` seconds, and ``os.pwrite`` takes its place: only the log call waits then, as
it would with any file.

Where there is no ``ctypes``, no 64-bit ``off_t``, or no such function, ``os.pwrite`` is used, and
where there is no ``os.pwrite``, a seek and a write. ``ctypes`` takes 4 ms to import: that is done
when the first file is made, not when the package is.

How a descriptor is known to be ours
------------------------------------
A program that becomes a daemon closes every descriptor, and the system gives the numbers out again.
A row that is written by the old number would be written into the program's own file. So each file
is opened with ``O_NONBLOCK``. That means nothing for a regular file, and nobody else sets it for
one, so :func:`os.get_blocking` tells ours from all others. It takes 0.2 microseconds before each
write and does not let the interpreter's lock go; ``os.fstat`` takes 1.1 and does. Two of our own
files are told apart by a table. :meth:`OwnFile.is_intact` looks at device and inode too, where time
allows.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
import weakref
from typing import Any, Callable

from . import files
from .files import SAFELY, file_key, move_descriptor, open_file
from .forks import block_forks
from .locks import lock_file

SLOW = 0.02
"""Seconds of one write that mean that the disk makes writers wait. A log call that the system's
scheduler interrupts takes as long on a busy machine; that costs no more than ``os.pwrite`` does."""

CALM = 10.0
"""Seconds after such a write in which the interpreter's lock is let go."""

_FLAGS = os.O_RDWR | SAFELY
_MAX_OFFSET = (1 << 31) - 1  # an int of C, which a number becomes without argtypes

_monotonic = time.monotonic
_lock_free_until = 0.0  # monotonic seconds
_owners: dict[int, weakref.ref[OwnFile]] = {}  # by descriptor
_identities: dict[int, tuple[int, int]] = {}  # device and inode behind each descriptor


def mark_ours(descriptor: int) -> None:
    """Mark an open regular file as ours, as the module's text has it."""
    if sys.platform != "win32":
        os.set_blocking(descriptor, False)


_pwrite: Callable[[int, bytes, int], int] = getattr(os, "pwrite", files.pwrite)
_pread: Callable[[int, int, int], bytes] = getattr(os, "pread", files.pread)
if sys.platform != "win32":
    is_another_s = os.get_blocking
    """Return whether a descriptor that :func:`mark_ours` was given is another file's by now.

    Raises ``OSError`` for one that is closed."""
else:

    def is_another_s(descriptor: int) -> bool:  # nobody closes them all there
        return False


_locking_pwrite: Any = None  # keeps the interpreter's lock; None: not looked for, or not to be had
_looked_for = False


def _find_locking_pwrite(descriptor: int) -> None:
    """Look for the C library's ``pwrite``, once, and try it with a new and empty file."""
    global _locking_pwrite, _looked_for
    _looked_for = True
    if sys.maxsize <= _MAX_OFFSET:
        return
    try:
        with block_forks():  # a child that is forked meanwhile would have half a module for good
            function = files.find_locking_write()
        probe, at = b"probe", 5
        works = function(descriptor, probe, len(probe), at) == len(probe)
        if works and _pread(descriptor, 100, 0) == bytes(at) + probe:
            _locking_pwrite = function
        os.ftruncate(descriptor, 0)
    except Exception:  # whatever stands in the way of ctypes: the other call does
        pass


class OwnFile:
    """One open file. Its user sees to it that no two threads write or close it at a time.

    An exception of a signal handler's may come between the making of a file and the place where it
    is kept. Such a file is closed when the next one is made. (A ``__del__`` would do that at once,
    and swallow the exceptions of signal handlers that run in it.)
    """

    __slots__ = ("__weakref__", "_identity", "_mark", "descriptor", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = -1
        status = os.fstat(descriptor)
        self._identity = file_key(status)
        _identities[descriptor] = self._identity
        self._mark = _owners[descriptor] = weakref.ref(self)
        self.descriptor = descriptor

    @classmethod
    def make(cls, path: str) -> OwnFile:
        """Make a new file (mode 0600) and lock it. Raises ``OSError``, and leaves nothing then."""
        file = cls._open(path, _FLAGS | os.O_CREAT | os.O_EXCL)
        if not _looked_for:
            _find_locking_pwrite(file.descriptor)
        return file

    @classmethod
    def reopen(cls, path: str) -> OwnFile:
        """Open and lock an existing file. Raises ``OSError``, also where another has the lock."""
        return cls._open(path, _FLAGS)

    @classmethod
    def _open(cls, path: str, flags: int) -> OwnFile:
        _close_forgotten()
        with block_forks():  # else a child may keep a copy, and the lock with it
            descriptor = open_file(path, flags)
            try:
                try:
                    if not lock_file(descriptor):
                        raise OSError(errno.EAGAIN, "another process has locked it", path)
                except OSError as error:
                    if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL):
                        raise
                return cls(path, descriptor)
            except BaseException:
                os.close(descriptor)
                if flags & os.O_CREAT:
                    with contextlib.suppress(OSError):
                        os.unlink(path)
                raise

    def write(self, data: bytes, offset: int) -> int:
        """Write ``data`` at ``offset``; return how many bytes the file took.

        Raises ``OSError`` where it takes none, and where the descriptor is not ours any more.
        """
        global _lock_free_until
        descriptor = self.descriptor
        if is_another_s(descriptor) or _owners.get(descriptor) is not self._mark:
            raise OSError(errno.EBADF, "its descriptor was closed, and is another file's now")
        started = _monotonic()
        if _locking_pwrite is None or started < _lock_free_until or offset > _MAX_OFFSET:
            count = _pwrite(descriptor, data, offset)
        else:
            count = _locking_pwrite(descriptor, data, len(data), offset)
            if count < 0:
                count = _pwrite(descriptor, data, offset)  # raises what was wrong
        if _monotonic() - started > SLOW:
            _lock_free_until = started + CALM
        return count

    def read(self, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes at ``offset``. Raises ``OSError``."""
        return _pread(self.descriptor, size, offset)

    def cut(self, size: int) -> None:
        """Cut the file to ``size`` bytes, as far as it can be."""
        with contextlib.suppress(OSError):
            if self.is_ours():
                os.ftruncate(self.descriptor, size)

    def is_ours(self) -> bool:
        """Return whether the descriptor is still that of this file."""
        return self._status() is not None

    def is_intact(self, size: int = 0) -> bool:
        """Return whether descriptor and path are this file's, and it has ``size`` bytes."""
        status = self._status()
        if status is None or status.st_size < size:
            return False
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return file_key(there) == self._identity

    def is_linked(self, size: int = 0) -> bool:
        """Return whether the descriptor is this file's, and it has a name and ``size`` bytes."""
        status = self._status()
        return status is not None and status.st_nlink > 0 and status.st_size >= size

    def has(self, descriptor: int) -> bool:
        """Return whether ``descriptor`` is one of this file."""
        return _has_identity(descriptor, self._identity)

    def duplicate(self) -> int:
        """Return another descriptor of this file. Raises ``OSError``."""
        if not self.is_ours():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return fd if (fd := os.dup(self.descriptor)) > 2 else move_descriptor(fd)

    def _status(self) -> os.stat_result | None:
        try:
            status = os.fstat(self.descriptor)
        except OSError:
            return None
        same = file_key(status) == self._identity
        return status if same and _owners.get(self.descriptor) is self._mark else None

    def close(self) -> None:
        """Close the descriptor, unless it is another file's by now. The lock goes with it."""
        descriptor = self.descriptor
        if _owners.get(descriptor) is not self._mark:
            self.descriptor = -1
            return
        ours = _has_identity(descriptor, self._identity)
        self.descriptor = -1
        _close(descriptor, ours, self._mark)


def _close(descriptor: int, ours: bool, mark: weakref.ref[OwnFile]) -> None:
    """Close a descriptor if it is still ours, and forget it.

    Once it is closed, another thread may get its number for a file of its own: that one's mark
    stays. No function is called between the look and the removal, so no thread comes in between.
    """
    if ours:
        try:
            os.close(descriptor)
        except OSError:  # closed by another thread in this instant
            pass
    try:
        if _owners[descriptor] is mark:
            del _owners[descriptor]
    except KeyError:
        pass


def _close_forgotten() -> None:
    """Close the files that were made and are kept nowhere."""
    for descriptor, owner in list(_owners.items()):
        if owner() is None:
            _close(descriptor, _has_identity(descriptor, _identities[descriptor]), owner)


def _has_identity(descriptor: int, identity: tuple[int, int]) -> bool:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return False
    return file_key(status) == identity


def open_to_read(path: str) -> int:
    """Open the file at ``path`` for reading, without waiting and without following a link."""
    return open_file(path, os.O_RDONLY | SAFELY)


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Read up to ``size`` bytes at ``offset``. Raises ``OSError``."""
    return _pread(descriptor, size, offset)


def freshen(path: str, older_than: float) -> None:
    """Set the times of ``path`` to now where it was changed ``older_than`` seconds ago."""
    with contextlib.suppress(OSError):
        if abs(time.time() - os.stat(path).st_mtime) > older_than:
            os.utime(path)
