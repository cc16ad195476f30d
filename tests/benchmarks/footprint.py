"""Measure start-up, the memory of a worker, the memory of the receiver, and what ``--inject`` costs.

Start-up runs in fresh processes, from after ``import loguru`` to the return of ``install_bridge()``,
and to the return of the first log call, which makes the journal and the thread. A worker's memory is
its private pages (the journal's pages among them) after 20,000 records, once with the bridge and once
with a direct file. The receiver's memory is the most that it took while 256 connected workers logged.
``--inject`` is measured by the processor time of processes that never log, with it and without, in
turn.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from loguru import logger

from loguru_stdbridge.system.startup import inject
from tests.support.processes import ReceiverProcess

from .bridges import connected_workers, start_receiver, stop
from .figure import Figure, Options, Sample, Samples, at_most, table
from .lines import message
from .workers import memory

_STARTS = 15  # fresh processes for a sample
_CONNECTIONS = 256
_RECORDS_OF_EACH = 200

_START = """
import sys, time
import loguru
start, processor = time.perf_counter(), time.process_time()
from loguru_stdbridge import install_bridge
bridge = install_bridge(sys.argv[1])
installed, used = time.perf_counter() - start, time.process_time() - processor
loguru.logger.remove(0)
loguru.logger.info("first")
print(installed, used, time.perf_counter() - start)
"""

_MEMORY = """
import sys
from loguru import logger
kind, target, records = sys.argv[1], sys.argv[2], int(sys.argv[3])
logger.remove()
if kind == "direct":
    logger.add(target, rotation=5_000_000)
else:
    from loguru_stdbridge import install_bridge
    bridge = install_bridge(target)
for number in range(records):
    logger.info("worker {} number {} end", 0, number)
    if kind != "direct" and number % 1000 == 999:
        bridge.flush(60)
found = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
smaps = dict(line.split(":", 1) for line in open("/proc/self/smaps_rollup") if ":" in line)
kilobytes = lambda text: int(text.split()[0])
own = kilobytes(smaps["Private_Clean"]) + kilobytes(smaps["Private_Dirty"])
print(own / 1024, kilobytes(found["RssAnon"]) / 1024, kilobytes(found["VmRSS"]) / 1024)
"""


class Footprint(Figure):
    name = "footprint"
    title = "Footprint"

    def cases(self, options: Options) -> list[str]:
        return ["start", "memory-direct", "memory-ours", "receiver", "inject"]

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        sink = directory / "logs" / "app.log"
        if case == "inject":
            return _injected(str(sink))
        if case == "memory-direct":
            return _memory("direct", str(directory / "direct.log"), options)
        receiver = start_receiver(sink, options)
        try:
            if case == "memory-ours":
                return _memory("ours", receiver.address, options)
            if case == "start":
                return _starts(receiver.address)
            return _connections(receiver)
        finally:
            stop(receiver)

    def report(self, samples: Samples, options: Options) -> str:
        shown = [
            ("start", "install_ms", "install_bridge(), milliseconds"),
            ("start", "install_cpu_ms", "of it processor time"),
            ("start", "first_call_ms", "with the first log call"),
            ("memory-direct", "own_mb", "a worker with a direct file, MB of its own"),
            ("memory-ours", "own_mb", "a worker with the bridge"),
            ("receiver", "rss_mb", f"the receiver with {_CONNECTIONS} connections, MB"),
            ("receiver", "most_mb", "the most that it ever had"),
            ("inject", "added_ms", "--inject, a process that never logs, milliseconds"),
        ]
        rows = [[label, *samples.cells(case, measure, ".1f")] for case, measure, label in shown]
        added = samples.median("memory-ours", "own_mb") - samples.median("memory-direct", "own_mb")
        return "\n".join([
            table(["", "median", "min", "max"], rows),
            "",
            at_most("added to start-up, milliseconds", samples.median("start", "install_ms"), 30.0, ".1f"),
            at_most("added to a worker, MB", added, 10.0, ".1f"),
            at_most(f"receiver with {_CONNECTIONS} connections, MB",
                    samples.median("receiver", "most_mb"), 64.0, ".1f"),
            at_most("--inject, a process that never logs, milliseconds",
                    samples.median("inject", "added_ms"), 2.0, ".1f"),
        ])  # fmt: skip


def _run(code: str, *arguments: str) -> list[float]:
    """Run ``code`` in a fresh process and return the numbers that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, check=True
    )
    return [float(word) for word in done.stdout.split()]


def _starts(address: str) -> Sample:
    taken = [_run(_START, address) for _ in range(_STARTS)]
    names = ("install_ms", "install_cpu_ms", "first_call_ms")
    return {name: statistics.median(found) * 1000 for name, found in zip(names, zip(*taken))}


def _injected(sink: str) -> Sample:
    plain = {**os.environ, "LOGURU_STDBRIDGE_ADDRESS": f"log://{sink}"}
    taken = [(_processor_time(plain), _processor_time(inject(plain))) for _ in range(_STARTS)]
    without, having = (statistics.median(found) for found in zip(*taken))
    return {"added_ms": (having - without) * 1000}


def _processor_time(environment: dict[str, str]) -> float:
    """Return the seconds of processor time of a Python process that does nothing."""
    process = subprocess.Popen([sys.executable, "-c", "pass"], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def _memory(kind: str, target: str, options: Options) -> Sample:
    own, anonymous, resident = _run(_MEMORY, kind, target, str(options.records))
    return {"own_mb": own, "anonymous_mb": anonymous, "rss_mb": resident}


def _connections(receiver: ReceiverProcess) -> Sample:
    def log(index: int) -> None:
        for number in range(_RECORDS_OF_EACH):
            logger.info(message("{}"), index, number)

    found: dict[str, int] = {}
    pid = receiver.process.pid
    connected_workers(receiver, _CONNECTIONS, log, look=lambda: found.update(memory(pid)))
    return {"rss_mb": found["VmRSS"] / 1024, "most_mb": found["VmHWM"] / 1024}
