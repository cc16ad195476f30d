"""An outage of the receiver: its length, the next attempt, and what the operator knows of it."""

from __future__ import annotations

import math
import time
from typing import Callable

from ..addresses import Address
from .transport import Backoff

STARTING_PAUSE = 0.1
"""Seconds between two attempts where a receiver is started if none is there: one that fails costs
50 microseconds, and who waits for the end of a short program waits for the receiver's start."""

STARTING_TIMEOUT = 10.0
"""Seconds without a receiver that are no news where one is being started."""

FAILURE_PAUSE = 60.0
"""Seconds between two messages that the sender's thread has failed."""


class Outage:
    """The attempts that have failed since a receiver was last reached. For the sender's thread."""

    def __init__(
        self,
        address: Address,
        report: Callable[[str], None],
        *,
        is_ended_by_us: bool,
    ) -> None:
        """``is_ended_by_us``: this process starts a receiver where there is none."""
        self._address = address
        self._report = report
        self._silence = STARTING_TIMEOUT if is_ended_by_us else 0.0
        self._backoff = Backoff(maximum=STARTING_PAUSE) if is_ended_by_us else Backoff()
        self.is_on = False
        """Whether the last attempt has failed while records were waiting."""
        self._since: float | None = None
        self._is_told = False
        self._failure_told_at = -math.inf

    def pause(self) -> float:
        """Return the seconds until the next attempt; 0 where it is due."""
        return self._backoff.remaining()

    def note_failure(self, error: Exception, *, waiting: bool, tell: bool) -> None:
        """Note that an attempt has failed, or a connection has ended.

        Where no records are ``waiting``, an idle connection has ended, and it is no outage.
        """
        self._backoff.failed()
        if not waiting:
            return
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if tell and not self._is_told and now - self._since >= self._silence:
            self._is_told = True
            self._report(
                f"cannot deliver to {self._address} ({type(error).__name__}: {error}); records "
                "wait in the journal and are sent when it is back"
            )
        self.is_on = True

    def note_own_failure(self, error: BaseException, *, tell: bool = True) -> None:
        """Note an error that is no receiver's: it has ended the thread's work."""
        self._backoff.failed()
        now = time.monotonic()
        if tell and now - self._failure_told_at >= FAILURE_PAUSE:
            self._failure_told_at = now
            self._report(
                f"the thread that sends records to {self._address} has failed "
                f"({type(error).__name__}: {error}); it begins again, and no record is lost"
            )

    def end(self) -> None:
        """Note that the receiver takes records."""
        self._backoff.succeeded()
        self.is_on = self._is_told = False
        self._since = None
