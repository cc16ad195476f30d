"""Files on Windows: opened so that others may rename and remove them, written at a place.

Why others do not stop us
-------------------------
* A file that is opened here may be renamed and removed meanwhile, by this process or another one of
  ours (``FILE_SHARE_DELETE``).
* A program that opens a file of ours without that (an editor, a virus scanner, ``tail``) keeps it
  where it is until it closes it. Whoever renames or removes a file here is told by an ``OSError``
  and tries again later. A scanner looks at a new file for a moment: :func:`replace_file` waits for
  that long.
* A file that is open cannot be replaced. It can be renamed. So :func:`replace_file` renames it
  first, and a kill in between leaves it under another name, where :func:`recover_replaced` finds
  it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from typing import Any

from .kernel import (
    ERROR_HANDLE_EOF,
    INVALID_HANDLE,
    descriptor_of,
    error_of,
    function,
    handle_of,
    last_error,
    place,
)

_GENERIC_READ, _GENERIC_WRITE = 0x80000000, 0x40000000
_SHARE_ALL = 7  # reading, writing, deletion
_CREATE_NEW, _CREATE_ALWAYS, _OPEN_EXISTING, _OPEN_ALWAYS, _TRUNCATE = 1, 2, 3, 4, 5
_NORMAL = 0x80
_ACCESS = {
    os.O_RDONLY: _GENERIC_READ,
    os.O_WRONLY: _GENERIC_WRITE,
    os.O_RDWR: _GENERIC_READ | _GENERIC_WRITE,
}

REPLACE_PATIENCE = 0.5
"""Seconds that a file which is to be renamed may be in use by somebody who does not share it."""

REMOVAL_PATIENCE = 1.0
"""Seconds until a file that was removed is gone: the last one who has it open closes it first."""

_REPLACED = ".replaced-"


def open_file(path: str, flags: int, mode: int = 0o600) -> int:
    """Open a file as :func:`os.open` does, in binary, shared with everybody. Raises ``OSError``."""
    handle = function("CreateFileW")(
        os.fspath(path),
        _ACCESS[flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)],
        _SHARE_ALL,
        None,
        disposition(flags),
        _NORMAL,
        None,
    )
    if handle in (None, INVALID_HANDLE):
        raise error_of(last_error(), path)
    kept = flags & (os.O_RDONLY | os.O_APPEND) | getattr(os, "O_NOINHERIT", 0)
    try:
        return descriptor_of(handle, kept)
    except BaseException:
        function("CloseHandle")(handle)
        raise


def disposition(flags: int) -> int:
    """Return what Windows is to do where the file is there, and where it is not."""
    if flags & os.O_CREAT:
        if flags & os.O_EXCL:
            return _CREATE_NEW
        return _CREATE_ALWAYS if flags & os.O_TRUNC else _OPEN_ALWAYS
    return _TRUNCATE if flags & os.O_TRUNC else _OPEN_EXISTING


def pwrite(descriptor: int, data: bytes, offset: int) -> int:
    """Write ``data`` at ``offset``, by one call; return how much was taken. Raises ``OSError``."""
    return _write(function("WriteFile"), descriptor, data, offset)


def find_locking_write() -> Any:
    """Return the same, with the interpreter's lock kept meanwhile: see :mod:`system.files`."""
    write = function("WriteFile", keeps_lock=True)

    def locking_write(descriptor: int, data: bytes, size: int, offset: int) -> int:
        try:
            return _write(write, descriptor, data, offset)
        except OSError:
            return -1

    return locking_write


def _write(write: Any, descriptor: int, data: bytes, offset: int) -> int:
    written = ctypes.c_uint32()
    at = place(offset)
    if not write(handle_of(descriptor), data, len(data), ctypes.byref(written), ctypes.byref(at)):
        raise error_of(last_error())
    return written.value


def pread(descriptor: int, size: int, offset: int) -> bytes:
    """Read up to ``size`` bytes at ``offset``. Raises ``OSError``."""
    buffer = ctypes.create_string_buffer(size)
    count = ctypes.c_uint32()
    at = place(offset)
    done = function("ReadFile")(
        handle_of(descriptor), buffer, size, ctypes.byref(count), ctypes.byref(at)
    )
    if not done and last_error() != ERROR_HANDLE_EOF:
        raise error_of(last_error())
    return buffer.raw[: count.value]


def file_key(status: os.stat_result) -> tuple[int, int]:
    """Return the file's number in 64 bits; of a file on ReFS, Python 3.12 tells 128.

    The number of the volume does not count: Python 3.12 tells another one than 3.11, and Wine none
    of a file that was renamed while it was open. What is compared is in one directory.
    """
    number = status.st_ino
    return 1, (number ^ number >> 64) & 0xFFFFFFFFFFFFFFFF


def replace_file(source: str, target: str, patience: float = REPLACE_PATIENCE) -> None:
    """Rename ``source`` to ``target``, in the place of one that is there and may be open.

    Raises ``OSError`` where somebody has one of them open, for over ``patience`` seconds, without
    letting others rename it.
    """
    until = time.monotonic() + patience
    while True:
        try:
            _replace_file(source, target)
            return
        except PermissionError:
            if time.monotonic() >= until:
                raise
        time.sleep(0.01)


def _replace_file(source: str, target: str) -> None:
    try:
        os.replace(source, target)
    except PermissionError:
        aside = f"{target}{_REPLACED}{os.urandom(4).hex()}"
        os.rename(target, aside)
        try:
            os.rename(source, target)
        except BaseException:
            os.rename(aside, target)
            raise
        with contextlib.suppress(OSError):
            os.unlink(aside)  # it goes when the last one closes it


def recover_replaced(path: str) -> None:
    """Put right what a kill in the middle of :func:`replace_file` has left. Raises nothing."""
    directory, name = os.path.split(path)
    with contextlib.suppress(OSError):
        for found in os.listdir(directory or "."):
            if found.startswith(f"{name}{_REPLACED}"):
                aside = os.path.join(directory, found)
                with contextlib.suppress(OSError):
                    if os.path.lexists(path):
                        os.unlink(aside)
                    else:
                        os.rename(aside, path)
