"""Reads single keys of a terminal, where the system gives them one at a time."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import time
from collections.abc import Iterator

try:
    import termios
    import tty
except ImportError:  # Windows
    HAS_KEYS = False
else:
    HAS_KEYS = True
"""Whether keys can be read: else :func:`read_key` waits, and finds none."""


@contextlib.contextmanager
def keys_at_once() -> Iterator[None]:
    """Have the terminal of stdin give each key at once, and show none, while the context lasts."""
    if sys.platform == "win32" or not HAS_KEYS:
        yield
        return
    descriptor = sys.stdin.fileno()
    earlier = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, earlier)


def read_key(timeout: float) -> str:
    """Return the next key; empty where none comes within ``timeout`` seconds."""
    if not HAS_KEYS:
        time.sleep(timeout)
        return ""
    ready, _, _ = select.select([sys.stdin], [], [], timeout)
    return os.read(sys.stdin.fileno(), 1).decode("ascii", "replace") if ready else ""
