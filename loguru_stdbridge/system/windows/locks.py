"""Locks of single bytes far behind the end of a file: nobody else reads or writes there.

``LockFileEx`` locks bytes for one handle. A second handle of the same process conflicts, and the
lock goes with its process, however that ends. What is locked can be read and written by nobody
else, so the bytes are such as no file has.

A directory has no bytes. What locks it is a byte of the log's lock file, chosen by the directory's
name: two directories with one byte wait for each other, which does no harm.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import zlib

from .kernel import ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, error_of, function, handle_of
from .kernel import last_error as _last_error
from .kernel import place as _place

LOCKED_BYTE = 1 << 62
"""Where the byte is: no file is that long."""

_DIRECTORIES = 1 << 61  # the first byte of 2**32 for directories
_AT_ONCE, _EXCLUSIVELY = 1, 2
TAKE_NOW, LET_GO = 1, 2
"""What :func:`change_lock` does."""


def lock_descriptor(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; return whether it was free.

    Raises ``OSError`` for a file system that knows no locks.
    """
    return _take_byte(descriptor, LOCKED_BYTE, alone=True)


def _take_byte(descriptor: int, offset: int, *, alone: bool) -> bool:
    at, flags = _place(offset), _AT_ONCE | (_EXCLUSIVELY if alone else 0)
    if function("LockFileEx")(handle_of(descriptor), flags, 0, 1, 0, ctypes.byref(at)):
        return True
    code = _last_error()
    if code in (ERROR_LOCK_VIOLATION, ERROR_IO_PENDING):
        return False
    raise error_of(code)


def unlock_descriptor(descriptor: int) -> None:
    """Let the lock go. Windows does so too when the file is closed, but in its own time."""
    _unlock_byte(descriptor, LOCKED_BYTE)


def _unlock_byte(descriptor: int, offset: int) -> None:
    at = _place(offset)
    with contextlib.suppress(OSError):
        function("UnlockFileEx")(handle_of(descriptor), 0, 1, 0, ctypes.byref(at))


def lock_byte(descriptor: int, offset: int, *, alone: bool) -> bool:
    """Lock a byte together with others or alone, in the place of an earlier lock of it.

    Return whether nobody's lock forbids it. The earlier lock is gone in any case.
    """
    _unlock_byte(descriptor, offset)
    try:
        return _take_byte(descriptor, offset, alone=alone)
    except OSError:  # a file system without locks
        return True


def lock_directory(path: str, descriptor: int) -> bool:
    """Take the lock of a directory, by the log's lock file; return whether it was free.

    Raises ``FileNotFoundError`` where there is no directory.
    """
    os.stat(path)
    name = os.path.normcase(os.path.basename(path))
    byte = _DIRECTORIES + zlib.crc32(name.encode("utf-8", "surrogatepass"))
    if not _take_byte(descriptor, byte, alone=True):
        return False
    return os.path.isdir(path)  # else somebody has removed it meanwhile


def change_lock(descriptor: int, operation: int) -> int:
    """Do ``TAKE_NOW`` or ``LET_GO``; return 0 where that has worked at once, else -1."""
    if operation == LET_GO:
        unlock_descriptor(descriptor)
        return 0
    try:
        return 0 if lock_descriptor(descriptor) else -1
    except OSError:
        return -1
