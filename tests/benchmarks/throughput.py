"""Measure how many records a second forked workers get into one rotated file at full speed.

The clock runs from before the fork until every line is in the files. The processor time that all
processes take meanwhile is noted too, for :mod:`cpu`.
"""

from __future__ import annotations

import time
from pathlib import Path

from .figure import Figure, Options, Sample, Samples, at_least, table
from .lines import count_lines, flaws
from .peers import (
    CONCURRENT,
    COOKBOOK,
    LIMIT,
    OURS,
    PEERS,
    RENDERED,
    REPLAY,
    SHARED,
    SHARED_STDLIB,
    STDLIB,
    STDLIB_LIMIT,
    STOCK,
    available,
)
from .workers import Workers, processor_seconds

_TARGETS = {  # least ratio to the best peer that keeps records, and to the limit
    REPLAY: (1.5, 0.5),
    RENDERED: (2.2, 0.75),
}
_STDLIB_TARGETS = {STDLIB_LIMIT: 0.9, CONCURRENT: 1.8}
"""Least ratio of stdlib logging through the bridge to those."""

_RATE = "records_per_second"


class Throughput(Figure):
    name = "throughput"
    title = "Throughput, records a second"

    def cases(self, options: Options) -> list[str]:
        return available(options.peers or PEERS)

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        peer = PEERS[case](directory, options)
        peer.start()
        pids = peer.pids
        before = processor_seconds(pids)
        start = time.perf_counter()
        workers = Workers(options.workers, peer.work)
        peer.forked()
        in_workers = workers.join()
        seconds = (peer.drain() or time.perf_counter()) - start
        beside = processor_seconds(pids) - before
        peer.stop()
        records = options.workers * options.records
        return {
            "seconds": seconds,
            "records_per_second": records / seconds,
            "cpu_us_per_record": (in_workers + beside) / records * 1e6,
            "workers_cpu_us_per_record": in_workers / records * 1e6,
            **count_lines(peer.files(), [options.records] * options.workers),
        }

    def report(self, samples: Samples, options: Options) -> str:
        rows = []
        for case in options.peers or PEERS:
            why = PEERS[case].missing() or ""
            counts = [
                f"{sum(samples.column(case, kind)):.0f}" for kind in ("lost", "doubled", "torn")
            ]
            ratio = f"{samples.ratio(case, LIMIT, _RATE):.2f}"
            numbers = [*samples.cells(case, _RATE, ",.0f"), ratio, *counts]
            rows.append(
                [PEERS[case].label, PEERS[case].keeps, *(["-"] * 7 if why else numbers), why]
            )
        head = ["", "record", "median", "min", "max", "of limit", "lost", "doubled", "torn", ""]
        return table(head, rows) + "\n\n" + "\n".join(self._verdicts(samples))

    def _verdicts(self, samples: Samples) -> list[str]:
        whole = [case for case in samples if not any(map(flaws, samples[case]))]
        others = [
            case
            for case in whole
            if case not in (LIMIT, STDLIB_LIMIT, STOCK, SHARED, SHARED_STDLIB, *OURS)
        ]
        found = []
        for case in (*OURS, STOCK):
            if case in samples and case not in whole:
                found.append(f"  MISSED {PEERS[case].label}: lines lost, doubled or torn")
        for peer, target in _STDLIB_TARGETS.items():
            if STDLIB in samples and peer in samples:
                ratio = samples.ratio(STDLIB, peer, _RATE)
                text = f"{PEERS[STDLIB].label}, over {PEERS[peer].label}"
                found.append(at_least(text, ratio, target))
        for case, (of_best, of_limit) in _TARGETS.items():
            if case not in samples:
                continue
            label = PEERS[case].label
            keeping = [name for name in others if PEERS[name].keeps == "yes"]
            for among, limit, what in ((keeping, of_best, "best peer that keeps records"),
                                       (others, 1.0, "best peer of all")):  # fmt: skip
                best = max(among, key=lambda name: samples.median(name, _RATE), default="")
                named = f" ({PEERS[best].label})" if best else ""
                ratio = samples.ratio(case, best, _RATE)
                found.append(at_least(f"{label}, over the {what}{named}", ratio, limit))
            ratio = samples.ratio(case, LIMIT, _RATE)
            found.append(at_least(f"{label}, of the limit", ratio, of_limit))
        if STOCK in samples and COOKBOOK in samples:
            ratio = samples.ratio(STOCK, COOKBOOK, _RATE)
            text = f"{PEERS[STOCK].label}, over {PEERS[COOKBOOK].label}"
            found.append(at_least(text, ratio, 2.0))
        return found
