"""What a forked child must let go of at once. Nothing else here.

A child shares the descriptors of its parent: a lock lives on with it after the parent's death, and
a connection that the parent closes stays open, so that its peer waits for an end that never comes.
Whoever holds such things registers here and drops them in each child, through their own ``close``
where they are objects: a descriptor that is closed behind an object's back is closed by that object
a second time, when it is somebody else's.

Why :func:`block_forks` does not wait for ever
------------------------------------------
A fork takes our lock first and loguru's next, since what registers last comes first. A thread that
is inside a loguru sink holds loguru's; if it wanted ours then, both would wait for ever. The sink
opens what it needs before loguru takes its lock, but nobody can promise that for all locks of all
applications. So :func:`block_forks` waits for a bounded time: the fork that it waits for is held up
by its own caller then, and goes on when that is through.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Iterator
from typing import Any

_holders: weakref.WeakSet[Any] = weakref.WeakSet()
_lock = threading.RLock()
_PATIENCE = 0.5  # seconds; a fork that nobody holds up takes milliseconds


def drop_in_children(holder: Any) -> None:
    """Have ``holder.after_fork_in_child()`` called in every child from now on, while it lives."""
    _holders.add(holder)


@contextlib.contextmanager
def block_forks() -> Iterator[None]:
    """Keep forks of other threads waiting, while something is open that no holder knows yet."""
    lock = _lock
    taken = lock.acquire(timeout=_PATIENCE)
    try:
        yield
    finally:
        if taken:
            lock.release()


def _before() -> None:
    _lock.acquire()


def _after_in_parent() -> None:
    _lock.release()


def _after_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    for holder in list(_holders):
        holder.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child
    )
