"""Measure how the cost of a record grows with the number of workers, its size and a backlog.

The cost is the processor time of all processes together per record. It begins when all workers are
connected, because starting 256 of them would be most of it. The backlog is what four workers log
while the receiver is away. Its clock starts when the receiver is back and has written a first line;
its rate is compared with that of four workers whose receiver was there all the time.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Callable

from loguru import logger

from tests.support.processes import log_files

from .bridges import FIRST, connected_workers, deliver, install, start_receiver, stop
from .figure import Figure, Options, Sample, Samples, at_least, at_most, table
from .lines import count_lines, flaws, message
from .workers import Gate, Workers, processor_seconds

_WORKERS = (1, 4, 16, 64, 256)
_SIZES = (100, 1_000, 10_000, 100_000)  # bytes of the message
_BYTES = 40_000_000  # upper limit for all messages of one size together
_COST = "cpu_us_per_record"
_RATE = "records_per_second"
_NOISE = 1.1  # factor by which two costs of a byte may differ and still count as equal


class Growth(Figure):
    name = "growth"
    title = "Growth"

    def cases(self, options: Options) -> list[str]:
        return [
            *(f"workers-{count}" for count in _WORKERS),
            *(f"size-{size}" for size in _SIZES),
            "live",
            "backlog",
        ]

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        kind, _, number = case.partition("-")
        if kind == "backlog":
            return _drain_backlog(options, directory)
        workers, size = options.workers, 0
        records = options.records
        if kind == "workers":
            workers = int(number)
            records = 2 * options.workers * options.records // workers
        elif kind == "size":
            size = int(number)
            records = min(records, _BYTES // size // workers)
        sink = directory / "logs" / "app.log"
        receiver = start_receiver(sink, options)
        taken = connected_workers(receiver, workers, _logging(records, size))
        stop(receiver)
        return _sample(taken, sink, workers, records)

    def report(self, samples: Samples, options: Options) -> str:
        rows, found = [], []
        for case in self.cases(options):
            kind, _, number = case.partition("-")
            label = {"workers": f"{number} workers", "size": f"{number} bytes"}.get(kind, case)
            rows.append([
                label,
                *samples.cells(case, _COST, ".1f"),
                *samples.cells(case, _RATE, ",.0f"),
                str(sum(map(flaws, samples[case]))),
            ])  # fmt: skip
        for count in _WORKERS:
            if count != 4:
                ratio = samples.ratio(f"workers-{count}", "workers-4", _COST)
                found.append(
                    at_most(f"{count} workers, cost of a record over that with 4", ratio, 1.3)
                )
        for smaller, larger in zip(_SIZES, _SIZES[1:]):
            ratio = samples.ratio(f"size-{larger}", f"size-{smaller}", _COST) * smaller / larger
            found.append(
                at_most(f"{larger} bytes, cost of a byte over that with {smaller}", ratio, _NOISE)
            )
        ratio = samples.ratio("backlog", "live", _RATE)
        found.append(
            at_least(f"a backlog of {options.backlog:,}, rate over the live rate", ratio, 1.0)
        )
        away = samples.cells("backlog", "waited", ".2f")[0]
        found.append(f"         (its first line came {away} s after the receiver was ready)")
        head = ["", "us/record", "min", "max", "records/s", "min", "max", "flaws"]
        return table(head, rows) + "\n\n" + "\n".join(found)


def _logging(records: int, size: int = 0) -> Callable[[int], None]:
    """Return what a worker runs: it logs ``records`` messages, padded to ``size`` bytes."""

    def log(index: int) -> None:
        info, text = logger.info, message("{}")
        if size:
            text = "x" * (size - len(text) - 4) + " " + text
        for number in range(records):
            info(text, index, number)

    return log


def _sample(taken: dict[str, float], sink: Path, workers: int, records: int) -> Sample:
    total = workers * records
    return {
        **taken,
        _COST: taken["cpu_seconds"] / total * 1e6,
        _RATE: total / taken["seconds"],
        **count_lines(log_files(sink), [records] * workers, others=FIRST),
    }


def _drain_backlog(options: Options, directory: Path) -> Sample:
    sink = directory / "logs" / "app.log"
    receiver = start_receiver(
        sink, options
    )  # chooses a port, and marks it as a bridge in the spool directory
    stop(receiver)
    records = options.backlog // options.workers
    log = _logging(records)
    logged, written = Gate(options.workers), Gate(options.workers)

    def work(index: int) -> None:
        bridge = install(receiver.address)
        log(index)
        logged.wait()
        deliver(bridge)
        written.wait()
        bridge.close(60)

    workers = Workers(options.workers, work)
    logged.await_ready()
    receiver.start()
    receiver.wait_ready()
    ready = time.perf_counter()
    logged.open()
    while not (sink.exists() and sink.stat().st_size):
        time.sleep(0.001)
    pids = [receiver.process.pid, *workers.pids]
    before, start = processor_seconds(pids), time.perf_counter()
    written.await_ready()
    taken = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": processor_seconds(pids) - before,
    }
    written.open()
    workers.join()
    stop(receiver)
    return {**_sample(taken, sink, options.workers, records), "waited": start - ready}
