"""What a forked child must let go of at once. Nothing else here.

A child shares the descriptors of its parent: a lock lives on with it after the parent's death, and
a connection that the parent closes stays open, so that its peer waits for an end that never comes.
Whoever holds such things registers here and drops them in each child, through their own ``close``
where they are objects: a descriptor that is closed behind an object's back is closed by that object
a second time, when it is somebody else's.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Any, Iterator

_holders: "weakref.WeakSet[Any]" = weakref.WeakSet()
_lock = threading.RLock()


def drop_in_children(holder: Any) -> None:
    """Have ``holder.after_fork_in_child()`` called in every child from now on, while it lives."""
    _holders.add(holder)


@contextlib.contextmanager
def no_fork() -> Iterator[None]:
    """Keep forks of other threads waiting, while something is open that no holder knows yet."""
    with _lock:
        yield


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
