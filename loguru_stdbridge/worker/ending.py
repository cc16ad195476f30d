"""When a sender ends: after what was there, after some seconds, or without a receiver."""

from __future__ import annotations

import math
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
