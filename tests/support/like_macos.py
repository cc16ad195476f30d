"""Take from this process what Linux has and macOS has not, and give it what only macOS has.

To be imported before anything else of the package. It stands for the interface of macOS, not for
its kernel: what is left is done by Linux. ``FULL_SYNCS`` counts the calls that macOS alone knows.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
import select
import selectors
import signal
import socket
import subprocess  # noqa: F401 - it chooses by the platform, which is still the real one
import sys
from typing import Any, Callable

import loguru  # noqa: F401

FULL_SYNCS = [0]
_FULL_SYNC = 51  # as macOS numbers it
_MISSING = {
    fcntl: ("F_OFD_SETLK", "F_OFD_SETLKW", "F_OFD_GETLK"),
    os: ("fdatasync", "posix_fallocate", "SEEK_DATA", "SEEK_HOLE", "O_PATH", "O_TMPFILE"),
    select: ("epoll",),
    signal: ("sigtimedwait", "sigwaitinfo"),
    socket: ("SO_PEERCRED",),
}


def _without_proc(function: Callable[..., Any]) -> Callable[..., Any]:
    def asked(path: Any, *args: Any, **options: Any) -> Any:
        if str(path).startswith("/proc"):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return function(path, *args, **options)

    return asked


def _control(descriptor: int, command: int, *args: Any) -> Any:
    if command == _FULL_SYNC:
        FULL_SYNCS[0] += 1
        return os.fsync(descriptor)
    return _real_control(descriptor, command, *args)


def _spawn(*args: Any, setsid: bool = False, **options: Any) -> int:
    if setsid:
        raise NotImplementedError
    return _real_spawn(*args, **options)


_real_control, _real_spawn = fcntl.fcntl, os.posix_spawn
for _module, _names in _MISSING.items():
    for _name in _names:
        if hasattr(_module, _name):
            delattr(_module, _name)
fcntl.F_FULLFSYNC = _FULL_SYNC
fcntl.fcntl = _control
os.posix_spawn = _spawn
selectors.DefaultSelector = selectors.PollSelector  # kqueue, too, tells again what is still ready
builtins.open = _without_proc(open)
for _name in ("open", "listdir", "stat", "lstat", "readlink"):
    setattr(os, _name, _without_proc(getattr(os, _name)))
sys.platform = "darwin"
