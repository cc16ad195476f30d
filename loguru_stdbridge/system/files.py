"""Files, with one meaning on every system: open, write at a place, replace, identify, sync.

Why not the functions of :mod:`os`
----------------------------------
On POSIX they are what is needed, and most of what is here hands on to them. On Windows an open file
cannot be renamed or removed, nothing is written at a place in one call, a text file has other ends
of lines, and a directory cannot be opened (:mod:`~loguru_stdbridge.system.windows.files`). On macOS
``fsync`` leaves the data in the memory of the disk. So whoever opens a file that another process of
ours may see does it here.

Why nothing of ours is 0, 1 or 2
--------------------------------
A program may run with a standard stream closed: by ``2>&-`` in a shell, or as a daemon. The system
gives the lowest free number to what is opened next. A journal at number 2 would get what the
program writes to its stderr. A daemon that opens ``/dev/null``, which is 0 then, and copies 0 to 1
and 2, would copy ours. So what is opened there is moved to a higher number at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from typing import Any

fcntl_module: Any = None
with contextlib.suppress(ImportError):  # Windows has none
    import fcntl as fcntl_module

SAFELY: int = (
    getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
)
"""Flags for a file that a stranger may have exchanged: no link is followed, no pipe waited for."""

NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
"""The flag by which no link is followed, where there is one."""

DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)
"""The flag by which nothing but a directory is opened, where one can be."""

FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""Errors of a file that takes no more, and of which all that was written can be read."""

_EVERY_FILE: int = (
    getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOINHERIT", 0)
)
_FULL_SYNC: int | None = getattr(fcntl_module, "F_FULLFSYNC", None)
_FIRST_FREE = 3  # the lowest number that is no standard stream's
_BLOCK = 512  # bytes that ``st_blocks`` counts in

Status = Any
"""What :func:`os.stat` returns, or something that looks like it."""


def move_descriptor(descriptor: int) -> int:
    """Return ``descriptor``, or its new number if it had a standard stream's.

    Raises ``OSError``, with the descriptor closed, where the process may open no more files.
    """
    if descriptor >= _FIRST_FREE or fcntl_module is None:
        return descriptor
    try:
        moved: int = fcntl_module.fcntl(descriptor, fcntl_module.F_DUPFD_CLOEXEC, _FIRST_FREE)
    finally:
        os.close(descriptor)
    return moved


if sys.platform == "win32":
    from .windows.files import (
        REMOVAL_PATIENCE,
        file_key,
        find_locking_write,
        open_file,
        pread,
        pwrite,
        recover_replaced,
        replace_file,
    )
else:
    REMOVAL_PATIENCE = 0.0
    """Seconds that a directory may take to go, in which files were that somebody has open."""

    def open_file(path: str, flags: int, mode: int = 0o600) -> int:
        """Open a file as :func:`os.open` does: in binary, and closed in programs that are started.

        Others may rename and remove it meanwhile. It gets no standard stream's number. Raises
        ``OSError``.
        """
        # In one line: a signal handler that raises comes between two, and would lose the number.
        return fd if (fd := os.open(path, flags | _EVERY_FILE, mode)) > 2 else move_descriptor(fd)

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        """Write ``data`` at ``offset``; return how many bytes were taken. Raises ``OSError``."""
        return os.pwrite(descriptor, data, offset)

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes at ``offset``. Raises ``OSError``."""
        return os.pread(descriptor, size, offset)

    def replace_file(source: str, target: str) -> None:
        """Rename ``source`` to ``target``, in the place of a file that may be open.

        Raises ``OSError``.
        """
        os.replace(source, target)

    def recover_replaced(path: str) -> None:
        """Put right what a kill in the middle of :func:`replace_file` has left. Raises nothing."""

    def find_locking_write() -> Any:
        """Return a function that writes at an offset and keeps the interpreter's lock meanwhile.

        It takes descriptor, bytes, their number and the offset, and returns -1 for an error. Raises
        any exception where there is none.
        """
        import ctypes

        found = ctypes.PyDLL(None).pwrite
        found.restype = ctypes.c_ssize_t
        return found

    def file_key(status: Status) -> tuple[int, int]:
        """Return what the system knows a file by, whatever its name: two numbers of 64 bits."""
        return status.st_dev, status.st_ino


def size_on_disk(status: Status) -> int:
    """Return the bytes that a file takes on disk; its length where the system does not tell."""
    blocks: int | None = getattr(status, "st_blocks", None)
    return status.st_size if blocks is None else blocks * _BLOCK


def next_data(descriptor: int, offset: int) -> int | None:
    """Return the offset of the next byte that a sparse file really has; ``None`` for none.

    It is ``offset`` itself where the system does not tell.
    """
    if not hasattr(os, "SEEK_DATA"):
        return offset
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as error:
        return None if error.errno == errno.ENXIO else offset


def let_others_read(descriptor: int) -> None:
    """Let every user read the file, as it is the rule for files of a program."""
    if hasattr(os, "fchmod"):
        with contextlib.suppress(NotImplementedError):
            os.fchmod(descriptor, 0o644)


def sync_file(descriptor: int) -> None:
    """Wait until the disk itself holds a file. Raises ``OSError``."""
    if _FULL_SYNC is not None:
        try:
            fcntl_module.fcntl(descriptor, _FULL_SYNC)
            return
        except OSError:  # a file system that knows only the other
            pass
    os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """Wait until the disk holds what is in a file; its times may be old. Raises ``OSError``."""
    if _FULL_SYNC is None and hasattr(os, "fdatasync"):
        os.fdatasync(descriptor)
    else:
        sync_file(descriptor)


def sync_directory(directory: str | os.PathLike[str]) -> None:
    """Wait until the disk itself holds the names in a directory; a new file's is not there yet.

    On Windows a directory cannot be opened, and NTFS keeps the names in its own journal. Raises
    ``OSError``.
    """
    if not DIRECTORY:
        return
    descriptor = os.open(directory or ".", os.O_RDONLY | DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # a file system that cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- damaged ones


def free_damaged_name(path: str) -> str:
    """Return ``path`` with ``.damaged-``, the time in seconds and a count: a name not yet taken."""
    stem = f"{path}.damaged-{int(time.time())}"
    count = 1
    while os.path.lexists(f"{stem}-{count}"):
        count += 1
    return f"{stem}-{count}"


def set_aside(path: str, *, beside: str | None = None) -> str:
    """Keep a damaged file or directory for a human to look at, under a name that says what it is.

    The name is beside ``path``, or beside ``beside``; it is returned. Raises ``OSError`` where it
    cannot be renamed.
    """
    aside = free_damaged_name(path if beside is None else beside)
    os.rename(path, aside)
    return aside
