"""Measure the time from the log call to the line in the file, at 100 records a second.

Each line holds the monotonic time of its call. An observer in another process reads the file every
0.1 milliseconds and notes when the line is there. The observer's own delay is measured too: in the
row ``observer`` the worker writes such lines with ``os.write``. The row ``direct`` is a direct loguru
file.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Callable

from loguru import logger

from .bridges import install, start_receiver, stop
from .figure import Figure, Options, Sample, Samples, at_most, percentile, table
from .peers import ROTATION
from .workers import fork, join

_RECORDS = 500
_WARM_UP = 50
_PAUSE = 0.01  # seconds: 100 records a second
_LOOK = 0.0001  # seconds between two reads of the observer
_STAMP = re.compile(rb"called at (\d+)\n")


class Delay(Figure):
    name = "delay"
    title = "Delay from the log call to the line in the file, milliseconds"

    def cases(self, options: Options) -> list[str]:
        return ["observer", "direct", "ours"]

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        sink = directory / "logs" / "app.log"
        sink.parent.mkdir(exist_ok=True)
        if case == "observer":
            descriptor = os.open(str(sink), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            return _observe(
                sink, lambda: _call(lambda text: os.write(descriptor, text.encode() + b"\n"))
            )
        if case == "direct":
            logger.remove()
            logger.add(sink, rotation=ROTATION)
            return _observe(sink, lambda: _call(logger.info))
        receiver = start_receiver(sink, options, "--rotation", str(ROTATION))

        def work() -> None:
            bridge = install(receiver.address)
            _call(logger.info)
            bridge.close(60)

        sample = _observe(sink, work)
        stop(receiver)
        return sample

    def report(self, samples: Samples, options: Options) -> str:
        labels = {
            "observer": "the observer's own (os.write)",
            "direct": "direct loguru file",
            "ours": "loguru_stdbridge",
        }
        rows = [
            [
                label,
                *samples.cells(case, "median_ms", ".2f"),
                *samples.cells(case, "p99_ms", ".2f"),
                samples.cells(case, "worst_ms", ".1f")[0],
            ]
            for case, label in labels.items()
        ]
        head = ["", "median", "min", "max", "99th", "min", "max", "worst"]
        return "\n".join([
            table(head, rows),
            "",
            at_most("median, milliseconds", samples.median("ours", "median_ms"), 2.0),
            at_most("99th percentile, milliseconds", samples.median("ours", "p99_ms"), 10.0),
        ])  # fmt: skip


def _call(log: Callable[[str], object]) -> None:
    for _ in range(_WARM_UP + _RECORDS):
        time.sleep(_PAUSE)
        log(f"called at {time.monotonic_ns()}")


def _observe(path: Path, work: Callable[[], None]) -> Sample:
    """Fork a worker that runs ``work``, and read the file until its last line is there."""
    worker = fork(work)
    while not path.exists():
        time.sleep(_LOOK)
    delays: list[float] = []
    rest = b""
    with open(path, "rb", buffering=0) as file:
        while len(delays) < _WARM_UP + _RECORDS:
            data = file.read()
            now = time.monotonic_ns()
            if not data:
                time.sleep(_LOOK)
                continue
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                match = _STAMP.search(line + b"\n")
                assert match is not None, line
                delays.append((now - int(match.group(1))) / 1e6)
    join(worker)
    ordered = sorted(delays[_WARM_UP:])
    return {
        "median_ms": percentile(ordered, 0.5),
        "p99_ms": percentile(ordered, 0.99),
        "worst_ms": ordered[-1],
    }
