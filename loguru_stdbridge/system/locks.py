"""Exclusive file locks that the system releases when their process dies.

Uses ``flock`` where there is one. It belongs to the open file description: a second open of the
same file conflicts even within one process, and no stale lock survives its owner, however that
ended.

Forks
-----
A child inherits the description. Its copy would keep the lock after the owner's death, and nobody
would learn of that. :func:`take_lock` records every descriptor, and each child closes them all at
the fork. It never unlocks: that would release the parent's lock. A fork waits while another thread
opens a lock file, so no descriptor goes unrecorded.
"""

from __future__ import annotations

import contextlib
import os
import sys

from .forks import block_forks, drop_in_children

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


LOCKS_ARE_ADVISORY = sys.platform != "win32"
"""Whether others can read and write a locked file."""


class _HeldLocks:
    """Owns the locks that this process holds: the file behind each descriptor.

    A program may close every descriptor, and the system gives the numbers out again. A number that
    is another file's by now is never closed here.
    """

    def __init__(self) -> None:
        self.files: dict[int, tuple[int, int]] = {}

    def take_out(self, descriptor: int) -> bool:
        """Forget a lock; return whether its descriptor is still that of the lock file."""
        file = self.files.pop(descriptor, None)
        return file is not None and file == _file_id(descriptor)

    def after_fork_in_child(self) -> None:
        for descriptor in list(self.files):
            if self.take_out(descriptor):
                os.close(descriptor)


def _file_id(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


_held = _HeldLocks()
drop_in_children(_held)


def lock_file(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; return whether it was free.

    Raises ``OSError`` for a file system that knows no locks.
    """
    if sys.platform == "win32":
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_file_at(descriptor: int, path: str) -> bool:
    """Return whether ``path`` still names the open file: else its lock protects nothing."""
    try:
        ours, there = os.fstat(descriptor), os.stat(path)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def take_lock(path: str, *, create: bool = False) -> int | None:
    """Open the file at ``path`` and take its lock, without waiting.

    Return the descriptor, for :func:`let_go`, or ``None`` where another process has the lock or the
    file was removed meanwhile. A forked child does not have the lock. Raises ``FileNotFoundError``
    where there is no file and ``create`` is false, and ``OSError`` on a file system without locks.
    """
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    flags |= os.O_CREAT if create else 0
    with block_forks():
        descriptor = os.open(path, flags, 0o600)
        try:
            taken = lock_file(descriptor) and is_file_at(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if taken:
            status = os.fstat(descriptor)
            _held.files[descriptor] = status.st_dev, status.st_ino
            return descriptor
        os.close(descriptor)
        return None


def is_locked(path: str) -> bool:
    """Return whether a process has the lock of the file at ``path``; False where there is none.

    Raises ``OSError`` for a file that cannot be opened, or a file system without locks.
    """
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)
    with block_forks():
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            return False
        try:
            return not lock_file(descriptor)
        finally:
            os.close(descriptor)


def is_held(descriptor: int) -> bool:
    """Return whether a lock of :func:`take_lock` is still this process's: nobody closed it."""
    file = _held.files.get(descriptor)
    return file is not None and file == _file_id(descriptor)


def let_go(descriptor: int) -> None:
    """Release a lock of :func:`take_lock`. In a forked child this does nothing."""
    with block_forks():
        if _held.take_out(descriptor):
            if sys.platform != "win32":
                # Closing alone would leave the lock to a child that has not closed its copy yet.
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
