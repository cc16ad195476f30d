"""Make the interpreter whole in a child that was forked without its knowledge, by C code.

Why a child needs it
--------------------
Other threads of the parent are not in the child, but their traces are: a thread that waited for the
interpreter's lock at the fork is still counted as waiting. To let the lock go, the child signals to
the waiters, and the C library then waits for that one to leave: for ever. It meets any child of a
program with threads, with this package or without (1 to 3 of 20 children beside one busy thread,
CPython 3.9 to 3.13). Python has a function for it, which C code should call after a fork:
``PyOS_AfterFork_Child``. It makes the lock anew, forgets the threads, and runs what programs have
registered for children.

Why it is safe here
-------------------
It is called only where this is the child's one thread, and the parent had more; else nothing is
wrong yet, or another thread of the child would be forgotten. It is called before anything that lets
the interpreter's lock go, with :mod:`ctypes`, which keeps the lock, and only where that is loaded:
to import it would let the lock go. From 3.13 on it expects the import lock to be held; where a lost
thread holds that, nothing can be done. Programs' functions for children may complain that those for
before the fork have not run (loguru's let locks go that nobody has taken). Nobody is told of that.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

try:
    import _imp
except ImportError:  # another Python
    _imp = None  # type: ignore[assignment]

_THREADS_FIELD = 17
"""Of ``/proc/self/stat``: the number of threads, counted from the field after the name."""


def revive_interpreter() -> None:
    """Have the interpreter know of a fork that it was not told of. Never raises."""
    ctypes: Any = sys.modules.get("ctypes")
    try:
        if ctypes is None or not _has_lost_threads() or _count_threads(ctypes) != 1:
            return
        revive = ctypes.pythonapi.PyOS_AfterFork_Child
        revive.restype = None
        if sys.version_info >= (3, 13):
            if _imp.lock_held():
                return
            _imp.acquire_lock()  # the function lets it go
    except Exception:  # what this Python does not have, it does without
        return
    hook, sys.unraisablehook = sys.unraisablehook, _ignore
    try:
        revive()
    finally:
        sys.unraisablehook = hook


def _has_lost_threads() -> bool:
    """Return whether threading knows of more than one thread. Its functions ask for a lock."""
    known: Any = threading
    return len(known._active) + len(known._limbo) > 1


def _count_threads(ctypes: Any) -> int:
    """Return how many threads this process has; 0 where it cannot be known."""
    libc = ctypes.pythonapi
    text = ctypes.create_string_buffer(1024)
    descriptor = libc.open(b"/proc/self/stat", 0)
    if descriptor < 0:
        return 0
    length = libc.read(descriptor, text, len(text))
    libc.close(descriptor)
    fields = text.raw[: max(length, 0)].rpartition(b")")[2].split()
    return int(fields[_THREADS_FIELD]) if len(fields) > _THREADS_FIELD else 0


def _ignore(unraisable: object) -> None:
    """Say nothing of an error in a function that a program has registered for children."""
