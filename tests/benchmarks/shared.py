"""Compare the shared file, without a server, with concurrent-log-handler and with a direct file.

Three questions: the throughput of several processes, by each library; the cost of a log call where
nobody else writes; and the throughput of eight threads of one process. The lines are counted.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from loguru import logger

from loguru_stdbridge import SharedFileHandler, SharedFileSink

from .call import time_calls
from .figure import Figure, Options, Sample, Samples, at_least, at_most, table
from .lines import count_lines, message
from .peers import (
    CONCURRENT,
    LOGURU_CONCURRENT,
    PEERS,
    ROTATION,
    SHARED,
    SHARED_STDLIB,
    available,
)
from .throughput import Throughput

_THREADS = 8
_RATE = "records_per_second"
_CALLS = {"call-direct": "a call, direct loguru file", "call-shared": "a call, SharedFileSink"}
_OF_THREADS = {
    "threads-clh": "8 threads, concurrent-log-handler",
    "threads-shared": "8 threads, SharedFileHandler",
}


class Shared(Figure):
    name = "shared"
    title = "Without a server, records a second and microseconds a call"

    def cases(self, options: Options) -> list[str]:
        peers = available((LOGURU_CONCURRENT, SHARED, CONCURRENT, SHARED_STDLIB))
        threads = [case for case in _OF_THREADS if CONCURRENT in peers or case != "threads-clh"]
        return [*peers, *_CALLS, *threads]

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        if case in PEERS:
            return Throughput().measure(case, options, directory)
        sink = directory / "logs" / "app.log"
        sink.parent.mkdir()
        if case in _OF_THREADS:
            return _run_threads(case, options, sink)
        logger.remove()
        target: Any = sink
        if case == "call-shared":
            logger.add(SharedFileSink(sink, rotation=ROTATION))
        else:
            logger.add(target, rotation=ROTATION)
        return time_calls(options, "full")

    def report(self, samples: Samples, options: Options) -> str:
        rows = []
        for case in samples:
            label = _CALLS.get(case) or _OF_THREADS.get(case) or PEERS[case].label
            measure, form = ("own", ".1f") if case in _CALLS else (_RATE, ",.0f")
            counts = ["-"] * 3
            if case not in _CALLS:
                counts = [
                    f"{sum(samples.column(case, kind)):.0f}" for kind in ("lost", "doubled", "torn")
                ]
            rows.append([label, *samples.cells(case, measure, form), *counts])
        found = [
            at_least(f"{name}, over theirs", samples.ratio(ours, theirs, _RATE), target)
            for name, ours, theirs, target in (
                ("loguru", SHARED, LOGURU_CONCURRENT, 1.5),
                ("stdlib logging", SHARED_STDLIB, CONCURRENT, 1.3),
                ("threads of one process", "threads-shared", "threads-clh", 1.5),
            )
        ]
        call = samples.ratio("call-shared", "call-direct", "own")
        found.append(at_most("a log call without contention, times a direct file's", call, 1.25))
        head = ["", "median", "min", "max", "lost", "doubled", "torn"]
        return table(head, rows) + "\n\n" + "\n".join(found)


def _run_threads(case: str, options: Options, sink: Path) -> Sample:
    """Have threads of this process log as fast as they can."""
    options = replace(options, records=options.records // 2)
    if case == "threads-clh":
        from concurrent_log_handler import ConcurrentRotatingFileHandler

        handler = ConcurrentRotatingFileHandler(str(sink), "a", maxBytes=ROTATION, backupCount=1000)
    else:
        handler = SharedFileHandler(sink, rotation=ROTATION)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log = logging.getLogger("benchmark")
    log.propagate = False
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    text = message("%d")

    def work(index: int) -> None:
        for number in range(options.records):
            log.info(text, index, number)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(_THREADS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - start
    handler.close()
    files = list(sink.parent.glob("app*.log*"))
    return {
        _RATE: _THREADS * options.records / seconds,
        **count_lines(files, [options.records] * _THREADS),
    }
