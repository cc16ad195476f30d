"""What the receiver tells its operator: on stderr, never into its sink, never in a flood.

Owns the rate: a complaint of one kind about one peer is told once, then at most once a minute with
the number of those left out. No peer can grow the table that this takes.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from typing import Callable, Tuple

INTERVAL = 60.0
"""Seconds between two complaints of the same kind about the same peer."""

MAX_KINDS = 1000
"""Kinds remembered; a peer that makes up new ones is told of again, no more."""


def to_stderr(text: str) -> None:
    """Write one line to stderr, whatever it holds; never raises."""
    try:
        line = f"loguru_stdbridge.receiver: {text}\n"
        sys.stderr.write(line.encode("ascii", "backslashreplace").decode("ascii"))
        sys.stderr.flush()
    except Exception:  # stderr is closed, or a full pipe: the log itself must go on
        return


class Complaints:
    """Tells of refused input, rate-limited by peer and kind."""

    def __init__(
        self,
        report: Callable[[str], None] = to_stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._clock = clock
        self._told: "OrderedDict[Tuple[str, str], Tuple[float, int]]" = OrderedDict()
        self.total = 0

    def complain(self, peer: str, kind: str, detail: str) -> None:
        """Note that ``peer`` sent something that was refused: ``kind`` is a fixed word."""
        self.total += 1
        key = (peer, kind)
        now = self._clock()
        told_at, left_out = self._told.get(key, (float("-inf"), 0))
        if now - told_at < INTERVAL:
            self._told[key] = (told_at, left_out + 1)
            return
        self._told[key] = (now, 0)
        self._told.move_to_end(key)
        if len(self._told) > MAX_KINDS:
            self._told.popitem(last=False)
        more = f" ({left_out} more of this kind since the last message)" if left_out else ""
        self._report(f"refused from {peer}: {detail[:300]}{more}")
