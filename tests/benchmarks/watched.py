"""Measure what the status listener costs: without it, with it, with a viewer, with a stopped one.

The viewer is the program ``tail``, which reads what it is sent and prints it nowhere. The stopped one
is the same under SIGSTOP from before the first record.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from loguru import logger

from .bridges import FIRST, connected_workers, start_receiver, stop
from .figure import Figure, Options, Sample, Samples, at_least, at_most, table
from .lines import count_lines

_CASES = ("unwatched", "listener", "viewer", "stopped")
_TAIL = "import sys; from loguru_stdbridge.__main__ import main; main(['tail', *sys.argv[1:]])"
_LIMIT = 1.03


class Watched(Figure):
    name = "watched"
    title = "What it costs to be watched"

    def cases(self, options: Options) -> list[str]:
        return list(_CASES)

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        sink, shown = directory / "app.log", directory / "status"
        extra = () if case == "unwatched" else ("--status", f"unix://{shown}")
        receiver = start_receiver(sink, options, *extra)
        tail = None
        if case in ("viewer", "stopped"):
            tail = subprocess.Popen(
                [sys.executable, "-c", _TAIL, f"unix://{shown}", "-n", "0"],
                stdout=subprocess.DEVNULL,
            )
            _await_viewer(shown)
            if case == "stopped":
                os.kill(tail.pid, signal.SIGSTOP)

        def log(index: int) -> None:
            for number in range(options.records):
                logger.info("worker {} number {} end", index, number)

        found = connected_workers(receiver, options.workers, log)
        if tail is not None:
            tail.kill()
            tail.wait()
        stop(receiver)
        records = options.workers * options.records
        counted = count_lines([sink], [options.records] * options.workers, others=FIRST)
        return {
            "records_per_second": records / found["seconds"],
            "cpu_us_per_record": found["cpu_seconds"] / records * 1e6,
            **counted,
        }

    def report(self, samples: Samples, options: Options) -> str:
        rows = []
        for case in samples:
            flaws = [f"{sum(samples.column(case, kind)):.0f}" for kind in ("lost", "doubled")]
            rate = samples.cells(case, "records_per_second", ",.0f")
            rows.append([case, *rate, *samples.cells(case, "cpu_us_per_record", ".2f"), *flaws])
        head = ["", "records/s", "least", "most", "cpu us", "least", "most", "lost", "doubled"]
        verdicts = []
        for case in _CASES[1:]:
            rate = samples.ratio(case, _CASES[0], "records_per_second")
            cpu = samples.ratio(case, _CASES[0], "cpu_us_per_record")
            verdicts.append(at_least(f"{case}, records a second", rate, 1 / _LIMIT, ".3f"))
            verdicts.append(at_most(f"{case}, processor time", cpu, _LIMIT, ".3f"))
        return "\n".join([table(head, rows), "", *verdicts])


def _await_viewer(path: Path) -> None:
    """Wait until the receiver has a viewer."""
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(10)
            client.connect(str(path))
            client.sendall(b"GET /status.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            data = b""
            while part := client.recv(65536):
                data += part
        if b'"viewers": 1' in data:
            return
