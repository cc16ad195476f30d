"""When a sender ends: after what was there, after some seconds, or without a receiver.

Why a sender looks whether it is alone
--------------------------------------
A child that a thread has forked has no other thread. When that thread returns, Python ends nothing:
the system ends the process with its last thread. The sender's would be the last one, for ever. So
it ends there, too. What it cannot deliver then is in the journal.
"""

from __future__ import annotations

import math
import os
import threading
import time
from typing import NamedTuple


class Ending(NamedTuple):
    """What the end of a sender was called with. Replaced as a whole, so any thread may read it."""

    through: float
    """The last number that was there when the end was called for."""
    until: float = math.inf
    """The last moment, by ``time.monotonic()``."""
    patient: bool = True
    """Whether a receiver that cannot be reached is waited for."""

    @property
    def is_called_for(self) -> bool:
        """Whether the sender is to end at all."""
        return self.through < math.inf

    def is_over(self) -> bool:
        """Return whether the time is over."""
        return self.until < math.inf and time.monotonic() >= self.until

    def bound(self, timeout: float | None) -> float | None:
        """Return ``timeout``, cut to the seconds that are left."""
        if self.until == math.inf:
            return timeout
        left = max(self.until - time.monotonic(), 0.0)
        return left if timeout is None else min(timeout, left)


NO_END = Ending(through=math.inf)
"""Of a sender that goes on."""

LAST_TIMEOUT = 2.0
"""Seconds that the last thread of a process takes to deliver what is there."""

_MAIN_THREAD: type = getattr(threading, "_MainThread", threading.Thread)


def is_last_thread() -> bool:
    """Return whether the caller is the last thread of a child that a thread has forked."""
    if isinstance(threading.main_thread(), _MAIN_THREAD):
        return False
    if threading.get_native_id() == os.getpid():  # a greenlet of gevent's in the first thread
        return False
    me = threading.current_thread()
    return all(thread is me for thread in threading.enumerate())


def end_if_last(ending: Ending, through: int) -> Ending:
    """Return ``ending``, or that of a process's last thread: deliver up to ``through``, if soon."""
    if ending.is_called_for or not is_last_thread():
        return ending
    return Ending(through, time.monotonic() + LAST_TIMEOUT, patient=False)


def has_ended(thread: threading.Thread | None) -> bool:
    """Return whether a thread that has begun is there no more, however it ended."""
    return thread is not None and thread.ident is not None and not thread.is_alive()
