"""Reaches Unix sockets whose path is longer than an address takes (108 bytes on Linux).

A user's runtime directory, or a log's directory, may lie deep. Linux shows each open directory by a
short name of its own, by which a socket in it can be bound and connected to.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

MAX_SOCKET_PATH = 100
"""Bytes that an address takes everywhere: 108 on Linux and 104 on macOS, with the final zero."""

_OPEN_FILES = "/proc/self/fd"


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """Give a name for the socket at ``path`` that fits an address, where the system has one.

    The name is good within the context. Raises ``OSError`` where the directory cannot be opened.
    """
    directory, name = os.path.split(path)
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH or not os.path.isdir(_OPEN_FILES):
        yield path
        return
    flags = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(directory or ".", flags)
    try:
        yield f"{_OPEN_FILES}/{descriptor}/{name}"
    finally:
        os.close(descriptor)
