"""The functions of Windows that Python has no name for, and the errors that they raise.

Why ``ctypes``
--------------
Python's own ``open`` on Windows lets nobody rename or remove a file while it is open, and writes at
the file's one position. So two processes of ours would be in each other's way, and a signal handler
that logs in the middle of a log call would write into the other's place. ``CreateFileW`` and
``WriteFile`` know better. :mod:`ctypes` is a part of Python; ``_winapi`` would do too, but is
private, and reads names of files in the code page of the system before Python 3.12.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_ctypes: Any = ctypes  # half of it is there on Windows alone

ERROR_HANDLE_EOF = 38
ERROR_LOCK_VIOLATION = 33
ERROR_IO_PENDING = 997
INVALID_HANDLE = ctypes.c_void_p(-1).value


class Overlapped(ctypes.Structure):
    """A place in a file, as ``OVERLAPPED`` says it."""

    _fields_ = (
        ("internal", ctypes.c_void_p),
        ("internal_high", ctypes.c_void_p),
        ("offset_low", ctypes.c_uint32),
        ("offset_high", ctypes.c_uint32),
        ("event", ctypes.c_void_p),
    )


def place(offset: int) -> Overlapped:
    """Return the place ``offset`` bytes from the beginning."""
    return Overlapped(None, None, offset & 0xFFFFFFFF, offset >> 32, None)


_HANDLE, _DWORD, _WIDE_TEXT, _POINTER = (
    ctypes.c_void_p,
    ctypes.c_uint32,
    ctypes.c_wchar_p,
    ctypes.c_void_p,
)

_DECLARED: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "CreateFileW": (
        _HANDLE,
        (_WIDE_TEXT, _DWORD, _DWORD, _POINTER, _DWORD, _DWORD, _HANDLE),
    ),
    "WriteFile": (ctypes.c_int, (_HANDLE, ctypes.c_char_p, _DWORD, _POINTER, _POINTER)),
    "ReadFile": (ctypes.c_int, (_HANDLE, _POINTER, _DWORD, _POINTER, _POINTER)),
    "LockFileEx": (ctypes.c_int, (_HANDLE, _DWORD, _DWORD, _DWORD, _DWORD, _POINTER)),
    "UnlockFileEx": (ctypes.c_int, (_HANDLE, _DWORD, _DWORD, _DWORD, _POINTER)),
    "OpenProcess": (_HANDLE, (_DWORD, ctypes.c_int, _DWORD)),
    "WaitForSingleObject": (_DWORD, (_HANDLE, _DWORD)),
    "CloseHandle": (ctypes.c_int, (_HANDLE,)),
    "SetConsoleCtrlHandler": (ctypes.c_int, (_POINTER, ctypes.c_int)),
}

_found: dict[tuple[str, bool], Any] = {}


def function(name: str, *, keeps_lock: bool = False) -> Any:
    """Return a function of ``kernel32``; with ``keeps_lock`` one that keeps the interpreter's lock.

    Raises ``AttributeError`` where there is none.
    """
    found = _found.get((name, keeps_lock))
    if found is None:
        kind = _ctypes.PyDLL if keeps_lock else _ctypes.WinDLL
        found = getattr(kind("kernel32", use_last_error=True), name)
        found.restype, found.argtypes = _DECLARED[name]
        _found[name, keeps_lock] = found
    return found


def last_error() -> int:
    """Return the error of the last function of this thread."""
    return int(_ctypes.get_last_error())


def error_of(code: int, path: str | None = None) -> OSError:
    """Return the exception for an error of Windows; Python chooses its class and ``errno``."""
    return OSError(0, _ctypes.FormatError(code).strip(), path, code)


def handle_of(descriptor: int) -> int:
    """Return the handle of Windows behind a descriptor of Python's. Raises ``OSError``."""
    return int(_msvcrt().get_osfhandle(descriptor))


def descriptor_of(handle: int, flags: int) -> int:
    """Return a descriptor for a handle; who closes it closes the handle."""
    return int(_msvcrt().open_osfhandle(handle, flags))


def _msvcrt() -> Any:
    found = sys.modules.get("msvcrt")
    if found is None:  # it is built in: nothing is read from a file
        found = __import__("msvcrt")
    return found
