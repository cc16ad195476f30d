"""What a forked child must let go of at once: locks, connections, listening sockets.

A child shares the descriptors of its parent. A lock lives on with its copy after the parent's
death, and a connection that the parent closes stays open, so that its peer waits for an end that
never comes. Each object that holds such a thing registers here with :func:`drop_in_children` and
drops it in each child. It drops by its own ``close``: a descriptor that is closed behind an
object's back is closed by that object a second time, when the number is another file's.

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
import threading
import weakref
from collections.abc import Iterator
from typing import Any

_holders: weakref.WeakSet[Any] = weakref.WeakSet()
_fork_lock = threading.RLock()
_FORK_TIMEOUT = 0.5  # seconds; a fork that nobody holds up takes milliseconds


def drop_in_children(holder: Any) -> None:
    """Call ``holder.after_fork_in_child()`` in every child from now on, while ``holder`` lives."""
    _holders.add(holder)


@contextlib.contextmanager
def block_forks() -> Iterator[None]:
    """Keep forks of other threads waiting while something is open that is not registered yet."""
    lock = _fork_lock
    taken = lock.acquire(timeout=_FORK_TIMEOUT)
    try:
        yield
    finally:
        if taken:
            lock.release()


def _before_fork() -> None:
    _fork_lock.acquire()


def _after_fork_in_parent() -> None:
    _fork_lock.release()


def _drop_all_in_child() -> None:
    global _fork_lock
    _fork_lock = threading.RLock()
    for holder in list(_holders):
        holder.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_drop_all_in_child,
    )
