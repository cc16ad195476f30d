"""What a figure is: cases, a measure that runs in a process of its own, a table with verdicts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Sample = dict[str, float]


@dataclass(frozen=True)
class Options:
    """What the command line chose."""

    runs: int = 5
    workers: int = 4
    records: int = 20_000  # per worker
    peers: Sequence[str] = ()  # of the throughput; empty: all
    calls: int = 20_000  # timed log calls
    backlog: int = 1_000_000  # records, all workers together
    rotation_size: int = 100  # megabytes
    render: str = "worker"  # where ours renders lines, in the figures that do not compare the two

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Samples(dict[str, list[Sample]]):
    """The samples of a figure: by case, each in the order of the runs."""

    def column(self, case: str, measure: str) -> list[float]:
        """One measure over the runs; empty where the case was not measured."""
        return [sample[measure] for sample in self.get(case, ())]

    def median(self, case: str, measure: str) -> float:
        """NaN where the case was not measured."""
        found = self.column(case, measure)
        return statistics.median(found) if found else math.nan

    def ratio(self, case: str, base: str, measure: str) -> float:
        """The median of ``case`` over that of ``base``."""
        return self.median(case, measure) / self.median(base, measure)

    def cells(self, case: str, measure: str, form: str) -> list[str]:
        """Median, least and most, as cells of a table."""
        found = self.column(case, measure)
        if not found:
            return ["-", "-", "-"]
        return [format(f(found), form) for f in (statistics.median, min, max)]

    def by_measure(self) -> dict[str, dict[str, list[float]]]:
        """For the JSON: a list per case and measure."""
        return {
            case: {measure: [sample[measure] for sample in taken] for measure in taken[0]}
            for case, taken in self.items()
            if taken
        }


class Figure:
    """One question of the issue with its targets. A subclass per module."""

    name = ""
    title = ""

    def cases(self, options: Options) -> list[str]:
        """What is compared, in the order of a round."""
        raise NotImplementedError

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        """One sample of one case. Runs in a fresh process, with an empty directory on disk."""
        raise NotImplementedError

    def report(self, samples: Samples, options: Options) -> str:
        """The table and the verdicts."""
        raise NotImplementedError


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that ``share`` (0 to 1) of a sorted sequence does not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Plain text; the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def at_most(what: str, found: float, limit: float, form: str = ".2f") -> str:
    """One target: what was found, what was asked, and whether it was met."""
    return _verdict(found <= limit, what, found, f"at most {limit:{form}}", form)


def at_least(what: str, found: float, limit: float, form: str = ".2f") -> str:
    """The same for a target from below."""
    return _verdict(found >= limit, what, found, f"at least {limit:{form}}", form)


def _verdict(met: bool, what: str, found: float, asked: str, form: str) -> str:
    if math.isnan(found):
        return f"         {what}: not measured in this run"
    return f"  {'met   ' if met else 'MISSED'} {what}: {found:{form}}, target {asked}"
