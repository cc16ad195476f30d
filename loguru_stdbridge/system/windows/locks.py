"""Locks of one byte far behind the end of a file: nobody else reads or writes there.

``LockFileEx`` locks bytes for one handle. A second handle of the same process conflicts, and the
lock goes with its process, however that ends. What is locked can be read and written by nobody
else, so the byte is one that no file has.
"""

from __future__ import annotations

import contextlib
import ctypes

from .kernel import ERROR_IO_PENDING, ERROR_LOCK_VIOLATION, error_of, function, handle_of
from .kernel import last_error as _last_error
from .kernel import place as _place

LOCKED_BYTE = 1 << 62
"""Where the byte is: no file is that long."""

_EXCLUSIVELY_AT_ONCE = 3
TAKE_NOW, LET_GO = 1, 2
"""What :func:`change_lock` does."""


def lock_descriptor(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; return whether it was free.

    Raises ``OSError`` for a file system that knows no locks.
    """
    at = _place(LOCKED_BYTE)
    if function("LockFileEx")(
        handle_of(descriptor), _EXCLUSIVELY_AT_ONCE, 0, 1, 0, ctypes.byref(at)
    ):
        return True
    code = _last_error()
    if code in (ERROR_LOCK_VIOLATION, ERROR_IO_PENDING):
        return False
    raise error_of(code)


def unlock_descriptor(descriptor: int) -> None:
    """Let the lock go. Windows does so too when the file is closed, but in its own time."""
    at = _place(LOCKED_BYTE)
    with contextlib.suppress(OSError):
        function("UnlockFileEx")(handle_of(descriptor), 0, 1, 0, ctypes.byref(at))


def change_lock(descriptor: int, operation: int) -> int:
    """Do ``TAKE_NOW`` or ``LET_GO``; return 0 where that has worked at once, else -1."""
    if operation == LET_GO:
        unlock_descriptor(descriptor)
        return 0
    try:
        return 0 if lock_descriptor(descriptor) else -1
    except OSError:
        return -1
