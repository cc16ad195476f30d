"""What a forked child must let go of at once: locks, connections, listening sockets.

A child shares the descriptors of its parent. A lock lives on with its copy after the parent's
death, and a connection that the parent closes stays open, so that its peer waits for an end that
never comes. Each object that holds such a thing registers here with :func:`drop_in_children` and
drops it in each child. It drops by its own ``close``: a descriptor that is closed behind an
object's back is closed by that object a second time, when the number is another file's.

Why every fork is noticed
-------------------------
C programs fork without telling Python (uWSGI does), so no hook runs. A log call looks at
:data:`process_mark`: a byte of a page that the system wipes in each child, however it was forked,
and that this module sets again when all holders have dropped what was the parent's. To read it
costs a tenth of what ``os.getpid()`` does (60 and 600 ns on a virtual machine), which is asked
where the system has no such pages.

Why ``block_forks`` does not wait for ever
------------------------------------------
A fork takes our lock first and loguru's next, since what registers last comes first. A thread that
is inside a loguru sink holds loguru's lock. If that thread then wanted ours, both would wait for
ever. The sink opens what it needs before loguru takes its lock, but nobody can promise that for all
locks of all applications. So :func:`block_forks` waits for a bounded time. The fork that it waits
for is held up by the waiting thread itself then, and goes on when that thread is through.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

from .interpreter import revive_interpreter

try:
    import mmap
except ImportError:  # some systems have none
    mmap = None  # type: ignore[assignment]

_MADV_WIPEONFORK = 18
"""Linux 4.14 and later; :mod:`mmap` does not name it."""


class _ProcessIdMark:
    """Stands for the page where there is none: it compares the process id."""

    def __init__(self) -> None:
        self._process = -1

    def __getitem__(self, index: int) -> int:
        return int(os.getpid() == self._process)

    def __setitem__(self, index: int, value: int) -> None:
        self._process = os.getpid()


def _make_mark() -> _ProcessIdMark | mmap.mmap | bytearray:
    if not hasattr(os, "fork"):  # no process is the child of a fork
        return bytearray(1)
    if sys.platform == "linux" and mmap is not None:
        page = mmap.mmap(-1, mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError, ValueError):
            page.madvise(_MADV_WIPEONFORK)
            return page
        page.close()
    return _ProcessIdMark()


process_mark = _make_mark()
"""``process_mark[0]`` is 0 in a forked child until :func:`notice_fork` has run there."""

process_mark[0] = 1

_holders: weakref.WeakSet[Any] = weakref.WeakSet()
_fork_lock = threading.RLock()
_FORK_TIMEOUT = 0.5  # seconds; a fork that nobody holds up takes milliseconds
_is_python_forking = False  # in the child, too, until its hook has run


def drop_in_children(holder: Any) -> None:
    """Call ``holder.after_fork_in_child()`` in every child from now on, while ``holder`` lives."""
    _holders.add(holder)


@contextlib.contextmanager
def block_forks() -> Iterator[None]:
    """Keep forks of other threads waiting while something is open that is not registered yet.

    A signal handler may raise as soon as the lock is taken, before anybody knows that it is. So a
    thread that has the lock already does not take it again, and one that may have it lets it go.
    """
    lock: Any = _fork_lock
    if lock._is_owned():
        yield
        return
    taken = False
    try:
        taken = lock.acquire(timeout=_FORK_TIMEOUT)
        yield
    finally:
        if taken or lock._is_owned():
            lock.release()


def _before_fork() -> None:
    global _is_python_forking
    _fork_lock.acquire()
    _is_python_forking = True


def _after_fork_in_parent() -> None:
    global _is_python_forking
    _is_python_forking = False
    _fork_lock.release()


def notice_fork() -> None:
    """Drop what is the parent's. To be called where :data:`process_mark` shows a child.

    The fork may have been one of which Python knows nothing.
    """
    if not _is_python_forking:
        revive_interpreter()
    if not process_mark[0]:
        _drop_all_in_child()


def _drop_all_in_child() -> None:
    global _fork_lock, _is_python_forking
    _fork_lock = threading.RLock()
    _is_python_forking = False
    for holder in list(_holders):
        if process_mark[0]:
            return  # a signal handler has logged meanwhile, and has done it all
        holder.after_fork_in_child()
    process_mark[0] = 1


def is_fork_ahead() -> bool:
    """Return whether this process is uWSGI's before its fork: its master, or what becomes a worker.

    It forks without Python's hooks, and while it does, no other thread may be there: one that holds
    the interpreter's lock at that instant leaves every child waiting for ever.
    """
    uwsgi: Any = sys.modules.get("uwsgi")
    if uwsgi is None and "uwsgi" in sys.builtin_module_names:
        uwsgi = __import__("uwsgi")
    try:
        return (
            uwsgi is not None
            and uwsgi.worker_id() == 0
            and uwsgi.mule_id() == 0
            and uwsgi.masterpid() in (0, os.getpid())
        )
    except AttributeError:  # a module that only has the name
        return False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_drop_all_in_child,
    )
