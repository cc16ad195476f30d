"""Figures over time: the last ten minutes, the rates of workers. No sockets here.

Each second the listener's thread has it look at the board.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from .board import Board
from .state import ReceiverState, WorkerState

POINT_SECONDS = 5
POINTS_KEPT = 120
"""Points of the charts: ten minutes."""

RATES_KEPT = 30
"""Seconds of a worker's rate that are shown."""

GONE_SHOWN = 60.0
"""Seconds for which a worker that has left is still shown."""


class Point(NamedTuple):
    """A part of the charts."""

    time: float  # its end, in seconds since the epoch
    rate: float  # records a second
    errors: int
    p99: float | None  # seconds; None: there was no record


class _Rates:
    def __init__(self, worker: WorkerState) -> None:
        self.worker = worker
        self.counted = worker.records
        self.rates: deque[int] = deque(maxlen=RATES_KEPT)
        self.seen_at = time.monotonic()


class History:
    """What has been since the receiver is watched. Used by one thread."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.points: deque[Point] = deque(maxlen=POINTS_KEPT)
        self._rates: deque[int] = deque([0], maxlen=POINT_SECONDS)
        self._errors: deque[int] = deque(maxlen=60)
        self._written, self._error_count = board.written, board.errors
        self._ticks = 0
        self._delays: list[float] = []
        self._p50: float | None = None
        self._p99: float | None = None
        self.last_record: float | None = None
        self._workers: dict[str, _Rates] = {}

    def tick(self) -> None:
        """Look at the board; to be called each second."""
        written, errors = self._board.written, self._board.errors
        self._rates.append(written - self._written)
        self._errors.append(errors - self._error_count)
        if written != self._written:
            self.last_record = time.time()
        self._written, self._error_count = written, errors
        delays = self._board.take_delays()
        self._p50, self._p99 = _quantile(delays, 0.5), _quantile(delays, 0.99)
        self._delays += delays
        self._ticks += 1
        if self._ticks % POINT_SECONDS == 0:
            self._delays.sort()
            point = Point(
                time.time(), sum(self._rates) / POINT_SECONDS,
                sum(list(self._errors)[-POINT_SECONDS:]), _quantile(self._delays, 0.99),
            )  # fmt: skip
            self.points.append(point)
            self._delays = []

    def figures(self, state: ReceiverState) -> dict[str, Any]:
        """Return the figures of now."""
        told = [worker.backlog for worker in state.workers if worker.backlog is not None]
        waiting = next((sink for sink in state.sinks if not sink.is_writing), None)
        condition = "ending" if state.is_ending else "ok" if waiting is None else "full"
        if state.is_standby:
            condition = "standby"
        return {
            "time": time.time(),
            "state": condition,
            "trouble": state.trouble,
            "rate": self._rates[-1],
            "errors": self._errors[-1] if self._errors else 0,
            "errors_minute": sum(self._errors),
            "p50": self._p50,
            "p99": self._p99,
            "backlog": sum(told) + state.held,
            "lost": sum(state.given_up.values()),
            "lost_why": _say_most(state.given_up),
            "written": state.written,
            "bytes": state.bytes,
            "duplicates": state.duplicates,
            "refused": sum(state.refused.values()),
            "refused_why": _say_most(state.refused),
            "last": self.last_record,
            "uptime": state.made - state.started,
        }

    def note_workers(self, state: ReceiverState) -> None:
        """Note what the workers have sent; to be called each second while somebody looks."""
        now = time.monotonic()
        for worker in state.workers:
            key = f"{worker.id} {worker.peer}"
            rates = self._workers.get(key)
            if rates is None or rates.worker.since > worker.since + 1:
                rates = self._workers[key] = _Rates(worker)
            rates.rates.append(worker.records - rates.counted)
            rates.worker, rates.counted, rates.seen_at = worker, worker.records, now
        for key, rates in list(self._workers.items()):
            if now - rates.seen_at > GONE_SHOWN:
                del self._workers[key]

    def workers(self) -> list[dict[str, Any]]:
        """Return the workers as they are shown."""
        now = time.monotonic()
        return [
            {
                "id": rates.worker.id,
                "program": rates.worker.program,
                "pid": rates.worker.pid,
                "peer": rates.worker.peer,
                "stock": rates.worker.is_stock,
                "since": rates.worker.since,
                "backlog": rates.worker.backlog,
                "lost": rates.worker.lost,
                "hist": list(rates.rates),
                "gone": now - rates.seen_at > 2.5,
            }
            for rates in self._workers.values()
        ]


def _quantile(ordered: Sequence[float], part: float) -> float | None:
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else None


def _say_most(counts: Any) -> str:
    """Return the most frequent of some reasons."""
    if not counts:
        return ""
    first = max(counts, key=counts.__getitem__)
    return first if len(counts) == 1 else f"{first} and {len(counts) - 1} more"
