"""Make this process nobody's: the receiver that a worker has started outlives that worker.

Owns the steps, in an order that leaves no instant in which another process depends on this one.

Why each step is needed
-----------------------
* The fork ends the process that the worker has started as soon as the receiver has begun, so the
  worker has no child that lives on. The session makes signals of the worker's terminal pass this
  process by.
* The standard streams lead nowhere. A process that holds its parent's stdout makes whoever reads
  that to its end wait: ``subprocess.run(capture_output=True)``, a shell's ``$(...)``, ``ssh``.
* All other descriptors that came along are closed, for the same reason.
* The working directory is ``/``: a file system that is in use cannot be unmounted. The umask stays
  the starter's, since the log file is the starter's.

Where there is no fork (Windows), a process does not end with its parent, has its own console if it
is started so, and inherits only what it is given (:mod:`~loguru_stdbridge.system.spawning`). So
this process goes on itself, and lets go of the worker's pipe once it has told how it began.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Callable

_MAX_DESCRIPTORS = 65536
"""How far to look for descriptors where the system's limit is higher, or not known."""

HAS_BEGUN = b"\0"
"""What a receiver tells that has begun and goes on in the process that the worker has started."""

_MAX_REASON = 3000
"""Bytes of a reason why the receiver could not begin: one write to a pipe."""


def detach() -> Callable[[int, str], None]:
    """Let go of the parent, its session, its terminal, its files and its directory.

    Returns in the new process only. The process that the worker has started waits: the function
    that is returned ends it with a given exit status, by which the worker learns whether the
    receiver could begin. It writes the given text, the reason, to the stderr that the worker gave
    it. Every file that is open before this call is closed.
    """
    if sys.platform == "win32" or not hasattr(os, "fork"):
        os.chdir(os.path.join(os.path.splitdrive(sys.executable)[0], os.sep))
        return _tell_and_close
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        told = _read_to_end(reader)  # empty where the receiver has died before it could tell
        with contextlib.suppress(OSError):
            os.write(2, told[1:])
        os._exit(told[0] if told else 1)
    os.setsid()
    os.dup2(writer, 3)
    os.chdir("/")
    for number in range(3):
        _open_nothing_as(number)
    os.closerange(4, _descriptor_limit())

    def tell_status(status: int, text: str = "") -> None:
        with contextlib.suppress(OSError):  # somebody has killed the one that waits
            os.write(3, bytes([status]) + text.encode("utf-8", "replace")[:_MAX_REASON])
        os.close(3)

    return tell_status


def _tell_and_close(status: int, text: str = "") -> None:
    """Tell the reason on stderr, the worker's pipe, and let go of it."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode("utf-8", "replace")[:_MAX_REASON] if status else HAS_BEGUN)
    with contextlib.suppress(OSError):
        _open_nothing_as(2)


def _open_nothing_as(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null != number:
        os.dup2(null, number)
        os.close(null)


def _read_to_end(descriptor: int) -> bytes:
    data = b""
    while True:
        chunk = os.read(descriptor, 65536)
        if not chunk:
            return data
        data += chunk


def _descriptor_limit() -> int:
    limit = 0
    if sys.platform != "win32":
        with contextlib.suppress(AttributeError, OSError, ValueError):
            limit = os.sysconf("SC_OPEN_MAX")
    return min(limit, _MAX_DESCRIPTORS) if limit > 0 else _MAX_DESCRIPTORS
