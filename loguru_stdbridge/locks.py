"""An exclusive lock on an open file that dies with its process. Nothing else here.

``flock`` where there is one: it belongs to the open file description, so a second open of the same
file conflicts even inside one process, and no stale lock can exist, however the process ended. A
forked child shares the description: it must close its copy (never unlock), or the lock lives on
with it.
"""

from __future__ import annotations

import os

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


def lock_file(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; returns whether it was free.

    Raises ``OSError`` for a file system that knows no locks.
    """
    if fcntl is None:
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def unlock_file(descriptor: int) -> None:
    """Let the lock go at once, for every copy of the descriptor; its owner's to do, never a child's.

    Closing alone leaves it for the moment that a child forked just now needs to close its copy.
    """
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_file_at(descriptor: int, path: str) -> bool:
    """Whether the open file is the one that ``path`` names now; a lock on a removed one is none."""
    try:
        ours, there = os.fstat(descriptor), os.stat(path)
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
