"""The signals of a system: which there are, whom they reach, and the end of a console.

Why Windows hands nothing on
----------------------------
What is typed at a console, and what a program sends to a group of it (``CTRL_C_EVENT``,
``CTRL_BREAK_EVENT``), reaches every process there, so the receiver's command, too. There is no
signal for one process. Whoever ends one there ends it at once (``TerminateProcess``), as ``kill
-9`` does.

Why a thread of ours takes no signals
-------------------------------------
A signal for a process goes to any thread that does not block it. A program may block one in its own
threads and wait for it (``signal.sigwait``). A thread of ours that did not block it would get it
instead, and what the signal does by default would be the program's end. The same holds for SIGPIPE
where the program has put its default back. A thread starts with the mask of the one that starts it,
so there is no instant without it. Faults (SIGSEGV and the like) stay as they are: they are the
thread's own, and :mod:`faulthandler` shows them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Callable

STOP_SIGNALS = ("SIGTERM", "SIGINT", "SIGBREAK")
"""Names of the signals that ask a program for its end. The last one is Windows' alone."""

REACH_EVERYBODY = sys.platform == "win32"
"""Whether each signal reaches all processes of the console."""

CAN_WAIT_FOR_SIGNALS = hasattr(signal, "pthread_sigmask")
"""Whether a process can block a signal and ask for it later."""

TELLS_OF_CHILDREN = hasattr(signal, "SIGCHLD")
"""Whether a signal tells that a child has ended."""

CONTINUE: int = getattr(signal, "SIGCONT", 0)
"""The signal that has a stopped process go on; 0 where there is none."""


_FAULTS = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP", "SIGSYS")


@contextlib.contextmanager
def signals_blocked(but: Iterable[str] = ()) -> Iterator[None]:
    """Block all signals within the context, where the system can; a child inherits that.

    ``but`` are the names of those that are not blocked.
    """
    if sys.platform == "win32" or not CAN_WAIT_FOR_SIGNALS:
        yield
        return
    free = {getattr(signal, name, None) for name in but}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - free)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def start_thread(thread: threading.Thread) -> None:
    """Start a thread that takes no signal of the program's. Raises as ``thread.start()`` does."""
    with signals_blocked(but=_FAULTS):
        thread.start()


def raise_if_from_handler(error: BaseException) -> None:
    """Raise ``error`` again if a signal handler of the program's has raised it.

    It is the program's own (a time limit, as a rule), and no failure of what it has interrupted.
    """
    handlers = map(signal.getsignal, signal.valid_signals())
    codes = {getattr(getattr(each, "__func__", each), "__code__", None) for each in handlers}
    codes.discard(None)
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code in codes:
            raise error
        traceback = traceback.tb_next


def ended_child() -> tuple[int, int] | None:
    """Return id and exit status of a child that has ended, and wait for it; ``None`` for none.

    The status is as :mod:`subprocess` tells it.
    """
    if sys.platform == "win32":  # there a thread waits for each process
        return None
    try:
        pid, status = os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return None
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


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
