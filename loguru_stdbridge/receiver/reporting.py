"""Tell the operator what the receiver refuses: on stderr, never in its log, never in a flood.

Owns the rate. What is refused of one kind from one host is told once, and then at most once a
minute with the number left out; all hosts and kinds together are told a hundred times a minute. No
peer can make the table behind this grow.
"""

from __future__ import annotations

import atexit
import time
from collections import Counter, OrderedDict
from typing import Any, Callable

from ..system.stderr import StderrThread

REPORT_INTERVAL = 60.0
"""Seconds between two messages about the same kind from the same host."""

MAX_REPORTS = 100
"""Messages in an interval, whoever they are about: hosts and processes can be many."""

MAX_KINDS = 1000
"""Pairs of host and kind that are remembered. A forgotten pair is told again, no more."""

STDERR_TIMEOUT = 1.0
"""Seconds that the end of the process waits for a stderr that takes nothing."""

MAX_DETAIL = 300  # characters of a message that a peer may have chosen


_stderr = StderrThread("loguru_stdbridge.receiver")


def to_stderr(text: str) -> None:
    """Tell the operator ``text``, whatever it holds. Never waits, never raises."""
    _stderr.tell(text)


def flush_stderr(timeout: float = STDERR_TIMEOUT) -> bool:
    """Wait until all is told, ``timeout`` seconds at most; return whether it is."""
    return _stderr.flush(timeout)


atexit.register(flush_stderr)


class RateLimitedReporter:
    """Counts every refusal, and tells of as many as an operator can read."""

    def __init__(
        self,
        report: Callable[[str], None] = to_stderr,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._report = report
        self._clock = clock
        self._last_reports: OrderedDict[tuple[str, str], tuple[float, int]] = OrderedDict()
        self._interval_start = float("-inf")
        self._reports_in_interval = 0
        self._unnamed = 0
        self.refusals = 0
        self.refusals_by_kind: Counter[str] = Counter()

    def report_refusal(self, peer: str, kind: str, detail: str) -> None:
        """Count that something from ``peer`` was refused, and tell if the rate allows it.

        ``kind`` is a fixed word; ``detail`` may hold what the peer sent.
        """
        self.refusals += 1
        self.refusals_by_kind[kind] += 1
        host = peer.rpartition(":")[0] or peer  # its port is another one each time
        key = (host, kind)
        now = self._clock()
        last_at, left_out = self._last_reports.get(key, (float("-inf"), 0))
        if now - last_at < REPORT_INTERVAL:
            self._last_reports[key] = (last_at, left_out + 1)
            return
        self._last_reports[key] = (now, 0)
        self._last_reports.move_to_end(key)
        if len(self._last_reports) > MAX_KINDS:
            self._last_reports.popitem(last=False)
        if now - self._interval_start >= REPORT_INTERVAL:
            self._interval_start, self._reports_in_interval = now, 0
        self._reports_in_interval += 1
        if self._reports_in_interval > MAX_REPORTS:
            self._unnamed += 1
            return
        more = f" ({left_out} more of this kind since the last message)" if left_out else ""
        if self._unnamed:
            more += f" (and {self._unnamed} of other clients, who were too many to name)"
            self._unnamed = 0
        self._report(f"refused from {peer}: {detail[:MAX_DETAIL]}{more}")


def report_to_file(logger: Any, path: str) -> Callable[[str], None]:
    """Return a function that writes each message to a small rotated file at ``path``.

    ``logger`` is a loguru logger that the receiver has for itself. What cannot be written is
    dropped: there is nobody to tell.
    """
    logger.add(
        path, format="{time:YYYY-MM-DD HH:mm:ss} {process} {message}", rotation="1 MB",
        retention=1, catch=True, delay=True, encoding="utf8", errors="backslashreplace",
    )  # fmt: skip

    def report(text: str) -> None:
        logger.info(text)

    return report
