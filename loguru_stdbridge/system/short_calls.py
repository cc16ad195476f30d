"""Take a lock, look at a file and append to it, without letting the interpreter's lock go.

Why not Python's own functions
------------------------------
They let the interpreter's lock go in each call, and another thread takes it: for a switch interval
of 5 ms where that thread computes, for as long as its own log call takes where it logs. Whoever
writes a shared file makes four such calls for a line, and has the lock of all processes meanwhile.
The C library's own functions, called through ``ctypes.PyDLL``, take no longer and keep the
interpreter's lock. So threads that log at the same time write one line after the other, as fast as
one thread does, and no process waits for a thread of another that computes.

A call that keeps the interpreter's lock stops all threads where the disk makes it wait. So a line
that took longer than ``SLOW`` is the last to be written so for ``CALM`` seconds
(:mod:`~loguru_stdbridge.system.own_file` has the reasons for both). The lock is asked for without
waiting, and the file's name is in memory.

Where there is no ``ctypes`` or no ``statx`` (it has the same form on every Linux), Python's own
functions take their places, and everything else is the same.
"""

from __future__ import annotations

import os
import struct
import sys
from typing import Any, Callable

from .files import file_key
from .forks import block_forks
from .locks import change_lock
from .own_file import CALM

State = tuple[int, int, int, int]
"""A file's number, its length, and two numbers of its device."""

NOWHERE: State = (-1, 0, -1, -1)
"""The state of a file that cannot be looked at."""

_HERE = -100  # AT_FDCWD: as open() has it
_OF_PLACE = 0x1000  # AT_EMPTY_PATH
_NUMBER_AND_SIZE = 0x300  # STATX_INO, STATX_SIZE
_STATX = struct.Struct("=QQ88xII")  # number, size; then the device's two numbers
_STATX_AT = 32
_STATX_SIZE = 256

MAX_WRITE = 1 << 16
"""Bytes of a write that is short: a length is an int of C here, and all threads wait for it."""


def _state_of(status: os.stat_result) -> State:
    device, number = file_key(status)
    return number, status.st_size, device, 0


def _statx_state_of(status: os.stat_result) -> State:
    if sys.platform == "win32":  # it has no such call
        return _state_of(status)
    device = status.st_dev
    return status.st_ino, status.st_size, os.major(device), os.minor(device)


def _write(descriptor: int, data: bytes, size: int) -> int:
    return os.write(descriptor, data)


class ShortCalls:
    """The calls of one process."""

    def __init__(self) -> None:
        self.change_lock: Callable[[int, int], int] = change_lock
        """Take an open file's lock or let it go; 0 where that has worked at once."""
        self.write: Callable[[int, bytes, int], int] = _write
        """Write up to ``MAX_WRITE`` bytes to an open file. Return how many were taken, or -1 for
        any error; may raise ``OSError``, too."""
        self.state_of: Callable[[os.stat_result], State] = _state_of
        """Return a file's state, as :meth:`make_look` has it."""
        self._short_write = _write
        self._statx: Any = None
        self._make_buffer: Any = None
        self._is_looked_for = False
        self._slow_until = 0.0

    def find(self) -> None:
        """Look for the C library's functions, once, and try them. Never raises."""
        if self._is_looked_for:
            return
        self._is_looked_for = True
        if sys.platform != "linux" or sys.maxsize <= 1 << 32:
            return
        try:
            with block_forks():  # else a child may have half a module for good
                import ctypes
            library = ctypes.PyDLL(None)
            library.write.restype = ctypes.c_ssize_t
            self._make_buffer = ctypes.create_string_buffer
            self._statx = library.statx
            if self.make_look("/")()[::2] != _statx_state_of(os.stat("/"))[::2]:
                self._statx = None
                return
        except Exception:  # whatever stands in the way of ctypes: Python's own functions do
            self._statx = None
            return
        self.state_of = _statx_state_of
        self.change_lock, self.write = library.flock, library.write
        self._short_write = library.write

    def make_look(self, file: str | int) -> Callable[[], State]:
        """Return a function that looks at the file at a path, or at an open one by its descriptor.

        One thread at a time may call it, but for what never changes of an open file.
        """
        if self._statx is None:

            def look() -> State:
                try:
                    return _state_of(os.stat(file))
                except OSError:
                    return NOWHERE

            return look
        statx, unpack = self._statx, _STATX.unpack_from
        buffer = self._make_buffer(_STATX_SIZE)
        if isinstance(file, int):
            place, name, flags = file, b"", _OF_PLACE
        else:
            place, name, flags = _HERE, os.fsencode(file), 0

        def look_short() -> State:
            if statx(place, name, flags, _NUMBER_AND_SIZE, buffer):
                return NOWHERE
            return unpack(buffer, _STATX_AT)

        return look_short

    def note_slow(self, now: float) -> None:
        """Let the interpreter's lock go in writes for a while: a line took long."""
        self._slow_until = now + CALM
        self.write = _write

    def look_up(self, now: float) -> None:
        """Keep the interpreter's lock in writes again, if no line has taken long for a while."""
        if self._slow_until and now >= self._slow_until:
            self._slow_until = 0.0
            self.write = self._short_write


calls = ShortCalls()
"""Those of this process."""
