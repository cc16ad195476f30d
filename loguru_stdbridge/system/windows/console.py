"""The end of a console on Windows: the window is closed, the user logs off, the machine goes down.

Why the handler waits
---------------------
Windows ends the process when its handlers have returned, and after some seconds in any case. Python
turns these events into ``SIGBREAK`` and returns at once: no handler of Python's own would run. So a
handler of ours comes before it, and returns when the program has ended in order. If that takes too
long, nothing is lost: what was not acknowledged is in the journals, as after a kill.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from typing import Any, Callable

from .kernel import function

CLOSE_EVENT, LOGOFF_EVENT, SHUTDOWN_EVENT = 2, 5, 6
CONSOLE_PATIENCE = 4.5
"""Seconds to wait for the end. Windows itself waits for five."""


@contextlib.contextmanager
def heed_console_end(on_end: Callable[[], None]) -> Iterator[None]:
    """See :func:`system.signals.console_end`."""
    over = threading.Event()
    handler = make_handler(on_end, over)
    kind: Any = vars(ctypes)["WINFUNCTYPE"](ctypes.c_int, ctypes.c_uint32)
    routine = kind(handler)
    pointer = ctypes.cast(routine, ctypes.c_void_p)
    function("SetConsoleCtrlHandler")(pointer, 1)
    try:
        yield
    finally:
        function("SetConsoleCtrlHandler")(pointer, 0)
        over.set()


def make_handler(
    on_end: Callable[[], None], over: threading.Event, patience: float = CONSOLE_PATIENCE
) -> Callable[[int], int]:
    """Return a handler: it returns 1 for an event that it has dealt with, else 0."""

    def handler(event: int) -> int:
        if event not in (CLOSE_EVENT, LOGOFF_EVENT, SHUTDOWN_EVENT):
            return 0
        on_end()
        over.wait(patience)
        return 1

    return handler
