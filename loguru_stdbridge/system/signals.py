"""The signals of a system: which there are, whom they reach, and the end of a console.

Why Windows hands nothing on
----------------------------
What is typed at a console, and what a program sends to a group of it (``CTRL_C_EVENT``,
``CTRL_BREAK_EVENT``), reaches every process there, so the receiver's command, too. There is no
signal for one process. Whoever ends one there ends it at once (``TerminateProcess``), as ``kill
-9`` does.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from typing import Callable

STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGBREAK")
"""Names of the signals that ask a program for its end. The last one is Windows' alone."""

REACH_EVERYBODY = os.name == "nt"
"""Whether each signal reaches all processes of the console."""

CAN_WAIT_FOR_SIGNALS = hasattr(signal, "pthread_sigmask")
"""Whether a process can block a signal and ask for it later."""

TELLS_OF_CHILDREN = hasattr(signal, "SIGCHLD")
"""Whether a signal tells that a child has ended."""


def signal_numbers(names: Iterable[str]) -> dict[str, int]:
    """Return the numbers of those signals that this system has."""
    numbers = {name: getattr(signal, name, None) for name in names}
    return {name: int(number) for name, number in numbers.items() if number is not None}


@contextlib.contextmanager
def console_end(on_end: Callable[[], None]) -> Iterator[None]:
    """Call ``on_end`` where the console is closed, or the user logs off, within the context.

    The system then waits for the end of the context, for some seconds, before it ends this process.
    Where a signal says so (SIGHUP), nothing is done here.
    """
    if not REACH_EVERYBODY:
        yield
        return
    from .windows.console import heed_console_end

    with heed_console_end(on_end):
        yield
