"""Measure the processor time of all processes together per record, against a direct file's.

The runs are those of :mod:`throughput`. They count the time of the workers, the receiver and the
parent, from before the fork to the last line. If both figures are chosen, they share their samples.
"""

from __future__ import annotations

from .figure import Options, Samples, at_most, table
from .peers import LIMIT, OURS, PEERS, available
from .throughput import Throughput

_COST = "cpu_us_per_record"


class Cpu(Throughput):
    name = "cpu"
    title = "Processor time, microseconds a record, all processes together"

    def cases(self, options: Options) -> list[str]:
        return available((LIMIT, *OURS))

    def report(self, samples: Samples, options: Options) -> str:
        rows = [
            [
                PEERS[case].label,
                *samples.cells(case, _COST, ".1f"),
                f"{samples.ratio(case, LIMIT, _COST):.2f}",
                *samples.cells(case, "workers_cpu_us_per_record", ".1f")[:1],
            ]
            for case in samples
        ]
        found = [
            at_most(
                f"{PEERS[case].label}, times the limit's", samples.ratio(case, LIMIT, _COST), 2.0
            )
            for case in OURS
            if case in samples
        ]
        return (
            table(["", "median", "min", "max", "times", "in workers"], rows)
            + "\n\n"
            + "\n".join(found)
        )
