"""Handlers of stdlib logging without a lock, for what is thread-safe by itself.

Why these handlers have no lock
-------------------------------
A thread that holds a handler's lock may wait for the lock of what the handler writes to, and a
signal handler that logs from inside there would wait for the handler's: both would wait for ever.
logging also gives a forked child new locks, and a lock that the forking thread holds can never be
let go there. The journal, the shared file and loguru have locks of their own, so a handler that
only hands records to them needs none.
"""

from __future__ import annotations

import logging
from typing import Any


class NoLock:
    """Stands where a handler has its lock."""

    def acquire(self, *args: Any) -> bool:
        return True

    def release(self) -> None:
        """Nothing is held."""

    def _is_owned(self) -> bool:  # as of a lock of Python's
        return False

    def __enter__(self) -> None:
        """Nothing is held."""

    def __exit__(self, *exc_info: object) -> None:
        """Nothing is held."""


class LocklessHandler(logging.Handler):
    """A handler without a lock; see the module's text."""

    def createLock(self) -> None:
        self.lock: Any = NoLock()
