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
It ends the process, or takes something away, where it is called at the wrong time. So it is called
only where all of this holds:

* Python was not told of the fork (:mod:`~loguru_stdbridge.system.forks` knows), and the function is
  not at work already: what it runs may log.
* This is the child's one thread, and the parent had more. Else nothing is wrong yet, or another
  thread of the child would be forgotten.
* This is the process's one interpreter. The function ends all others, and the process where it is
  not called in the main one.
* The thread is in no handler of logging's or loguru's, nor in an import: the function makes their
  locks anew, and who holds one would fail to let it go. That a lost thread holds the lock of
  imports is no hindrance before 3.13; there the function could not let it go.
* The Python is one on which it was tried, and no debug or free-threaded build: those check more.

It is called before anything that lets the interpreter's lock go, with :mod:`ctypes`, which keeps
the lock, and only where that is loaded: to import it would let the lock go. Programs' functions for
children may complain that those for before the fork have not run (loguru's let locks go that nobody
has taken). Nobody is told of that.

What it cannot help
-------------------
Where a thread had waited for over 5 ms at the fork, it has asked for the lock. The child lets that
go before its next instruction, and no code of ours has run by then (1 of 900 children of a parent
that connects, on a machine with 60 processes that compute).
"""

from __future__ import annotations

import sys
import threading
from typing import Any

try:
    import _imp
except ImportError:  # another Python
    _imp = None  # type: ignore[assignment]

_IS_KNOWN = (
    sys.implementation.name == "cpython"
    and sys.version_info < (3, 14)
    and not getattr(sys, "abiflags", "")
)
_THREADS_FIELD = 17
"""Of ``/proc/self/stat``: the number of threads, counted from the field after the name."""

_is_reviving = False


def revive_interpreter() -> None:
    """Have the interpreter know of a fork that it was not told of. Never raises."""
    global _is_reviving
    ctypes: Any = sys.modules.get("ctypes")
    if not _IS_KNOWN or ctypes is None or _is_reviving or not _has_lost_threads():
        return
    try:
        library = ctypes.pythonapi
        if (
            _count_threads(ctypes, library) != 1
            or not _is_only_interpreter(ctypes, library)
            or _is_inside_lock(sys._getframe())
        ):
            return
        revive = library["PyOS_AfterFork_Child"]
        revive.restype = None
        if sys.version_info >= (3, 13):  # it lets the lock of imports go
            if _imp.lock_held():
                return
            _imp.acquire_lock()
    except Exception:  # what this system does not have, it does without
        return
    hook, sys.unraisablehook = sys.unraisablehook, _ignore
    _is_reviving = True
    try:
        revive()
    finally:
        _is_reviving = False
        sys.unraisablehook = hook


def _has_lost_threads() -> bool:
    """Return whether threading knows of more than one thread. Its functions ask for a lock."""
    known: Any = threading
    return len(known._active) + len(known._limbo) > 1


def _count_threads(ctypes: Any, library: Any) -> int:
    """Return how many threads this process has; 0 where it cannot be known."""
    text = ctypes.create_string_buffer(1024)
    descriptor = library["open"](b"/proc/self/stat", 0)
    if descriptor < 0:
        return 0
    length = library["read"](descriptor, text, len(text))
    library["close"](descriptor)
    fields = text.raw[: max(length, 0)].rpartition(b")")[2].split()
    return int(fields[_THREADS_FIELD]) if len(fields) > _THREADS_FIELD else 0


def _is_only_interpreter(ctypes: Any, library: Any) -> bool:
    first, following = library["PyInterpreterState_Head"], library["PyInterpreterState_Next"]
    first.restype = following.restype = ctypes.c_void_p
    following.argtypes = [ctypes.c_void_p]
    return not following(first())


def _is_inside_lock(frame: Any) -> bool:
    """Return whether a caller may hold a lock that is made anew for children."""
    while frame is not None:
        name, module = frame.f_code.co_name, frame.f_globals.get("__name__")
        if module == "importlib._bootstrap":
            return True
        if name == "handle" and module == "logging":
            held = getattr(frame.f_locals.get("self"), "lock", None)  # a logger has none
            if held is not None and held._is_owned():
                return True
        elif (name, module) == ("emit", "loguru._handler") and "str_record" in frame.f_locals:
            return True  # it takes the lock when it has made that
        frame = frame.f_back
    lock: Any = getattr(sys.modules.get("logging"), "_lock", None)
    return lock is not None and bool(lock._is_owned())


def _ignore(unraisable: object) -> None:
    """Say nothing of an error in a function that a program has registered for children."""
