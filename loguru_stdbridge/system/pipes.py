"""Pipes, terminals and devices that are written: open one, ask whether it takes something."""

from __future__ import annotations

import os
import select
import sys


def open_to_write(path: str) -> int:
    """Open a named pipe or a device for writing, without waiting for a reader.

    Raises ``OSError``.
    """
    flags = [getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY")]
    return os.open(path, os.O_WRONLY | sum(flags))


def never_wait(descriptor: int) -> None:
    """Have reads and writes of a pipe return at once. On Windows pipes are asked first instead."""
    if sys.platform != "win32":
        os.set_blocking(descriptor, False)


def is_writable(descriptor: int, timeout: float) -> bool:
    """Return whether something can be written within ``timeout`` seconds, without waiting.

    Where the system does not tell (Windows), a write may wait.
    """
    if sys.platform == "win32" or not hasattr(select, "poll"):
        return timeout > 0
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(max(timeout, 0) * 1000)) and timeout > 0
