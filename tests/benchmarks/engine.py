"""Measure the way through a stream of NATS beside the direct one: speed, delay, a backlog.

One server, on this machine: on two cores its processor time is a part of what is measured. The way
is worker, receiver, server, receiver, file; the time ends when the last line is in the file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from loguru import logger

from loguru_stdbridge import install_bridge

from .figure import Figure, Options, Sample, Samples, at_least, at_most, percentile, table
from .lines import count_lines
from .workers import Workers, memory, processor_seconds

_CASES = ("direct", "stream", "direct, whole", "stream, whole", "delay", "backlog")
_FORMAT = "{time:YYYY-MM-DDTHH:mm:ss.SSSSSSZZ} | {level} | {message}"
_DELAYED = 500  # records of the delay, at 100 a second


class Engine(Figure):
    name = "engine"
    title = "Through a stream of NATS"

    def cases(self, options: Options) -> list[str]:
        return list(_CASES)

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        way = _Way(directory, is_direct=case.startswith("direct"), is_whole="whole" in case)
        try:
            if case == "delay":
                return way.measure_delay()
            if case == "backlog":
                return way.measure_backlog(options)
            return way.measure_speed(options)
        finally:
            way.close()

    def report(self, samples: Samples, options: Options) -> str:
        rows = []
        for case in ("direct", "stream", "direct, whole", "stream, whole", "backlog"):
            flaws = [f"{sum(samples.column(case, kind)):.0f}" for kind in ("lost", "doubled")]
            rate = samples.cells(case, "records_per_second", ",.0f")
            rows.append([case, *rate, *samples.cells(case, "cpu_us_per_record", ".1f"), *flaws])
        head = ["", "records/s", "least", "most", "cpu us", "least", "most", "lost", "doubled"]
        verdicts = [
            at_least(
                f"stream{case}, beside the direct way",
                samples.ratio(f"stream{case}", f"direct{case}", "records_per_second"),
                0.6,
            )
            for case in ("", ", whole")
        ]
        verdicts.append(
            at_least(
                "a backlog beside the live rate",
                samples.ratio("backlog", "stream", "records_per_second"),
                1.0,
            )
        )
        for which in ("sender", "reader"):
            found = samples.median("backlog", f"{which}_megabytes")
            verdicts.append(at_most(f"memory of the {which} with a backlog, MB", found, 100, ".0f"))
        delays = ", ".join(
            f"{name} {samples.median('delay', name):.1f} ms" for name in ("median", "p99")
        )
        return "\n".join(
            [table(head, rows), "", f"  delay at 100 records a second: {delays}", *verdicts]
        )


class _Way:
    """The processes of one case."""

    def __init__(self, directory: Path, *, is_direct: bool, is_whole: bool) -> None:
        from tests.support.engine import EngineServer  # needs the client of NATS

        self.directory = directory
        self.sink = directory / "app.log"
        self.address = f"unix://{directory}/socket"
        self.receivers: list[subprocess.Popen[bytes]] = []
        os.environ["LOGURU_STDBRIDGE_SPOOL_DIR"] = str(directory / "spool")
        self._server = None
        render = ("--render", "receiver") if is_whole else ()
        if is_direct:
            self._start("reader", self.sink, "--format", _FORMAT, *render, "--listen", self.address)
            return
        self._server = EngineServer(directory / "server").start()
        stream = self._server.address("logs")
        words = () if is_whole else ("--format", _FORMAT)
        self._start(
            "sender", stream, *words, "--listen", self.address, "--nats-create", "max_age=7d"
        )
        self._reader = (self.sink, "--format", _FORMAT, "--spool-dir", directory / "other",
                        "--listen", stream, "--nats-create", "max_age=7d")  # fmt: skip
        self._start("reader", *self._reader)

    def _start(self, name: str, *arguments: object) -> None:
        ready = self.directory / f"ready-{name}"
        with open(self.directory / f"{name}.txt", "ab") as stderr:
            self.receivers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "loguru_stdbridge.receiver", *map(str, arguments),
                     "--ready-file", str(ready)],
                    stderr=stderr,
                )
            )  # fmt: skip
        while not ready.exists():
            time.sleep(0.01)

    def _log(self, options: Options) -> float:
        """Have the workers log and wait until the next receiver has it all; return their seconds."""

        def work(index: int) -> None:
            logger.remove()
            bridge = install_bridge(self.address, spool_limit=1 << 30)
            for number in range(options.records):
                logger.info("worker {} number {} end", index, number)
            bridge.flush(600)

        return Workers(options.workers, work).join()

    def _await_lines(self, count: int) -> None:
        """Wait until so many lines are in the file: by its size, which costs nothing to ask."""
        while not self.sink.exists() or self._lines() < count:
            time.sleep(0.01)

    def _lines(self) -> int:
        size = os.stat(self.sink).st_size
        if size == getattr(self, "_seen", -1):
            return self._counted
        with open(self.sink, "rb") as file:
            file.seek(getattr(self, "_seen", 0))
            new = file.read(size - getattr(self, "_seen", 0))
        self._counted = getattr(self, "_counted", 0) + new.count(b"\n")
        self._seen = size
        return self._counted

    def measure_speed(self, options: Options) -> Sample:
        pids = self._pids()
        before, began = processor_seconds(pids), time.monotonic()
        used = self._log(options)
        records = options.workers * options.records
        self._await_lines(records)
        seconds = time.monotonic() - began
        cpu = processor_seconds(pids) - before + used
        counted = count_lines([self.sink], [options.records] * options.workers)
        return {
            "records_per_second": records / seconds,
            "cpu_us_per_record": cpu / records * 1e6,
            **counted,
        }

    def measure_backlog(self, options: Options) -> Sample:
        """Log while the reader is away, then measure how it catches up."""
        reader = self.receivers.pop()
        reader.send_signal(signal.SIGTERM)
        reader.wait()
        each = options.backlog // options.workers
        self._log(Options(workers=options.workers, records=each))
        began = time.monotonic()
        self._start("reader", *self._reader)
        records = each * options.workers
        self._await_lines(records)
        seconds = time.monotonic() - began
        cpu = processor_seconds([self.receivers[-1].pid]) - time.process_time()
        counted = count_lines([self.sink], [each] * options.workers)
        sender, reader = self.receivers
        return {
            "records_per_second": records / seconds,
            "cpu_us_per_record": cpu / records * 1e6,
            "sender_megabytes": memory(sender.pid)["VmHWM"] / 1000,
            "reader_megabytes": memory(reader.pid)["VmHWM"] / 1000,
            **counted,
        }

    def measure_delay(self) -> Sample:
        """Log a hundred records a second, and see when each line is in the file."""
        logger.remove()
        bridge = install_bridge(self.address)
        delays = []
        logger.info("first")
        self._await_lines(1)
        for number in range(_DELAYED):
            began = time.monotonic()
            logger.info("record {}", number)
            while self._lines() < number + 2:
                time.sleep(0.0002)
            delays.append(time.monotonic() - began)
            time.sleep(max(0.01 - delays[-1], 0.0))
        bridge.close(10)
        delays.sort()
        return {"median": percentile(delays, 0.5) * 1e3, "p99": percentile(delays, 0.99) * 1e3}

    def _pids(self) -> list[int]:
        server = [] if self._server is None else [self._server.process.pid]
        return [*server, *(receiver.pid for receiver in self.receivers)]

    def close(self) -> None:
        for receiver in self.receivers:
            receiver.kill()
            receiver.wait()
        if self._server is not None:
            self._server.kill()
