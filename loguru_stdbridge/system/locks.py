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


class _HeldLocks:
    """Owns the descriptors of the locks that this process holds."""

    def __init__(self) -> None:
        self.descriptors: set[int] = set()

    def after_fork_in_child(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


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
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | (os.O_CREAT if create else 0)
    with block_forks():
        descriptor = os.open(path, flags, 0o600)
        try:
            taken = lock_file(descriptor) and is_file_at(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if taken:
            _held.descriptors.add(descriptor)
            return descriptor
        os.close(descriptor)
        return None


def let_go(descriptor: int) -> None:
    """Release a lock of :func:`take_lock`. In a forked child this does nothing."""
    with block_forks():
        if descriptor in _held.descriptors:
            _held.descriptors.discard(descriptor)
            if sys.platform != "win32":
                # Closing alone would leave the lock to a child that has not closed its copy yet.
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
