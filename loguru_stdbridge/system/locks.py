"""An exclusive lock on an open file that dies with its process. Nothing else here.

``flock`` where there is one: it belongs to the open file description, so a second open of the same
file conflicts even inside one process, and no stale lock can exist, however the process ended.

Forks
-----
A forked child shares the description, so its copy would keep the lock for as long as the child
lives, and nobody would learn that the owner has died. :func:`take_lock` notes every descriptor, and
the child closes them all at the fork (it never unlocks: that would unlock the parent's). A fork
waits for an opening that is under way in another thread, or that descriptor would escape the note.
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


class _Held:
    """The descriptors of the locks that this process holds."""

    def __init__(self) -> None:
        self.descriptors: set[int] = set()

    def after_fork_in_child(self) -> None:
        while self.descriptors:
            os.close(self.descriptors.pop())


_held = _Held()
drop_in_children(_held)


def lock_file(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; returns whether it was free.

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
    """Whether the open file is the one that ``path`` names now; a lock on a removed one is none."""
    try:
        ours, there = os.fstat(descriptor), os.stat(path)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def take_lock(path: str, *, create: bool = False) -> int | None:
    """Open the file at ``path`` and take its lock, without waiting.

    Returns the descriptor, for :func:`let_go`; ``None`` where another has the lock or the file was
    removed meanwhile. A forked child has it no more. Raises ``FileNotFoundError`` where there is
    none and ``create`` is false, and ``OSError`` for a file system that knows no locks.
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
    """Give a lock of :func:`take_lock` back. Nothing happens in a child that never had it."""
    with block_forks():
        if descriptor in _held.descriptors:
            _held.descriptors.discard(descriptor)
            if sys.platform != "win32":
                # Closing alone would leave it to a child that has not closed its copy yet.
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)
