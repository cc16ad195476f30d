"""The figures as Prometheus text (exposition format 0.0.4). No sockets here.

Names follow the conventions: base units, ``_total`` for what only grows. A label's values are
bounded by whoever counts: kinds are fixed words, reasons and levels are so many at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from .board import Board, Histogram
from .state import ReceiverState

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_PREFIX = "loguru_stdbridge_"

Labels = Mapping[str, str]


def render_metrics(
    state: ReceiverState, board: Board, waiting: Mapping[str, tuple[int, int]]
) -> str:
    """Return the text. ``waiting`` has for each log the journals without an owner: how many, and
    their bytes."""
    page = _Page()
    page.add("info", "gauge", "The receiver.", [
        ({"version": state.version, "log": state.log, "host": state.host}, 1),
    ])  # fmt: skip
    page.add("start_time_seconds", "gauge", "When the receiver started, as a time of the epoch.",
             [({}, state.started)])  # fmt: skip
    page.add("ready", "gauge", "Whether the sinks take lines (1) or not (0).",
             [({}, int(state.is_ready))])  # fmt: skip
    sinks = [({"sink": sink.path or state.log}, sink) for sink in state.sinks]
    page.add("sink_records_written_total", "counter", "Records whose lines a sink has.",
             [(labels, sink.records) for labels, sink in sinks])  # fmt: skip
    page.add("sink_bytes_written_total", "counter", "Bytes of these lines.",
             [(labels, sink.bytes) for labels, sink in sinks])  # fmt: skip
    page.add("sink_rotations_total", "counter", "Rotations of a sink.",
             [(labels, sink.rotations) for labels, sink in sinks])  # fmt: skip
    page.add("sink_errors_total", "counter", "Writes of a sink that failed.",
             [(labels, sink.errors) for labels, sink in sinks])  # fmt: skip
    sizes = [(labels, sink.size) for labels, sink in sinks if sink.size is not None]
    page.add("sink_file_bytes", "gauge", "Size of the file that a sink writes.", sizes)
    page.add("records_written_total", "counter",
             "Records written to the log since it is watched, by source and level.",
             [({"source": source, "level": level}, count)
              for (source, level), count in sorted(board.counts.items())])  # fmt: skip
    page.add("duplicates_total", "counter", "Records that came a second time and were dropped.",
             [({}, state.duplicates)])  # fmt: skip
    page.add("late_records_total", "counter", "Records that came too late to be sorted (--order).",
             [({}, state.late)])  # fmt: skip
    page.add(
        "refused_total",
        "counter",
        "Input that broke a rule or a limit, by kind.",
        [({"kind": kind}, count) for kind, count in sorted(state.refused.items())],
    )
    page.add(
        "given_up_total",
        "counter",
        "Records that workers gave up before they could be delivered, by reason.",
        [({"reason": why}, count) for why, count in sorted(state.given_up.items())],
    )
    page.add("held_records", "gauge", "Records that a sink has not taken yet.", [({}, state.held)])
    told = [worker.backlog for worker in state.workers if worker.backlog is not None]
    page.add("backlog_records", "gauge",
             "Records that wait in the journals of the connected workers of this machine.",
             [({}, sum(told))])  # fmt: skip
    page.add("connections", "gauge", "Open connections.", [({}, state.connections)])
    kinds = Counter("stock" if worker.is_stock else "worker" for worker in state.workers)
    page.add("workers", "gauge", "Clients that have sent records, by kind.",
             [({"kind": kind}, kinds[kind]) for kind in ("worker", "stock")])  # fmt: skip
    journals = [({"log": log}, count) for log, (count, _) in sorted(waiting.items())]
    page.add(
        "journals_waiting",
        "gauge",
        "Journals that dead processes have left, by the log that they wait for.",
        journals,
    )
    page.add("journals_waiting_bytes", "gauge", "Bytes of these journals.",
             [({"log": log}, size) for log, (_, size) in sorted(waiting.items())])  # fmt: skip
    page.add_histogram(
        "write_delay_seconds",
        board.write_delay,
        "Time from a record's own to the end of its write; one record of 64.",
    )
    page.add_histogram("write_seconds", board.write_time, "Time of each write of the log.")
    page.add_histogram(
        "loop_delay_seconds",
        board.round_time,
        "Time of each round of the loop: a client waits so long at most.",
    )
    return page.text()


class _Page:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self, name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float | None]]
    ) -> None:
        self._lines += [f"# HELP {_PREFIX}{name} {text}", f"# TYPE {_PREFIX}{name} {kind}"]
        for labels, value in samples:
            self._lines.append(f"{_PREFIX}{name}{_show_labels(labels)} {value!r}")

    def add_histogram(self, name: str, histogram: Histogram, text: str) -> None:
        self._lines += [f"# HELP {_PREFIX}{name} {text}", f"# TYPE {_PREFIX}{name} histogram"]
        counts = histogram.cumulative()
        bounds: Sequence[str] = [*map(repr, map(float, histogram.bounds)), "+Inf"]
        for bound, count in zip(bounds, counts):
            self._lines.append(f'{_PREFIX}{name}_bucket{{le="{bound}"}} {count}')
        self._lines.append(f"{_PREFIX}{name}_sum {histogram.total!r}")
        self._lines.append(f"{_PREFIX}{name}_count {counts[-1]}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _show_labels(labels: Labels) -> str:
    if not labels:
        return ""
    shown = ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items())
    return f"{{{shown}}}"


def _escape(value: str) -> str:
    text = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
