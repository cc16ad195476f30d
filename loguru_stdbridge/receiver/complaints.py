"""What the receiver tells its operator: on stderr, never into its sink, never in a flood.

Owns the rate: a complaint of one kind about one host is told once, then at most once a minute with
the number of those left out; of all hosts and kinds together a hundred are told in a minute. No
peer can grow the table that this takes, and none can make the operator's terminal do anything: what
is not printable is escaped.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from typing import Callable

from ..record.values import printable

INTERVAL = 60.0
"""Seconds between two complaints of the same kind about the same host."""

MAX_TOLD = 100
"""Complaints told in an interval, whoever they are about: hosts and processes can be many."""

MAX_KINDS = 1000
"""Kinds remembered; a peer that makes up new ones is told of again, no more."""


def to_stderr(text: str) -> None:
    """Write one line to stderr, whatever it holds; never raises."""
    try:
        sys.stderr.write(f"loguru_stdbridge.receiver: {printable(text)}\n")
        sys.stderr.flush()
    except Exception:  # stderr is closed, or a full pipe: the log itself must go on
        return


class Complaints:
    """Tells of refused input, rate-limited by host and kind."""

    def __init__(
        self,
        report: Callable[[str], None] = to_stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._clock = clock
        self._told: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._interval_at = float("-inf")
        self._in_interval = 0
        self._unnamed = 0
        self.total = 0

    def complain(self, peer: str, kind: str, detail: str) -> None:
        """Note that ``peer`` sent something that was refused: ``kind`` is a fixed word."""
        self.total += 1
        host = peer.rpartition(":")[0] or peer  # it may come from another port each time
        key = (host, kind)
        now = self._clock()
        told_at, left_out = self._told.get(key, (float("-inf"), 0))
        if now - told_at < INTERVAL:
            self._told[key] = (told_at, left_out + 1)
            return
        self._told[key] = (now, 0)
        self._told.move_to_end(key)
        if len(self._told) > MAX_KINDS:
            self._told.popitem(last=False)
        if now - self._interval_at >= INTERVAL:
            self._interval_at, self._in_interval = now, 0
        self._in_interval += 1
        if self._in_interval > MAX_TOLD:
            self._unnamed += 1
            return
        more = f" ({left_out} more of this kind since the last message)" if left_out else ""
        if self._unnamed:
            more += f" (and {self._unnamed} of other clients, who were too many to name)"
            self._unnamed = 0
        self._report(f"refused from {peer}: {detail[:300]}{more}")
