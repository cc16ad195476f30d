"""The base of a figure: its cases, its measurement, and its table with a verdict on each target."""

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
    """The choices of the command line."""

    runs: int = 5
    workers: int = 4
    records: int = 20_000  # per worker
    peers: Sequence[str] = ()  # that the throughput compares; empty: all
    calls: int = 20_000  # timed log calls
    backlog: int = 1_000_000  # records, all workers together
    rotation_size: int = 100  # megabytes
    render: str = "worker"  # who renders the lines, in the figures that do not compare both ways

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Samples(dict[str, list[Sample]]):
    """The samples of a figure by case, in the order of the runs."""

    def column(self, case: str, measure: str) -> list[float]:
        """Return one measure of every run; empty if the case was not measured."""
        return [sample[measure] for sample in self.get(case, ())]

    def median(self, case: str, measure: str) -> float:
        """Return the median of a measure; NaN if the case was not measured."""
        found = self.column(case, measure)
        return statistics.median(found) if found else math.nan

    def ratio(self, case: str, base: str, measure: str) -> float:
        """Return the median of ``case`` divided by the median of ``base``."""
        return self.median(case, measure) / self.median(base, measure)

    def cells(self, case: str, measure: str, form: str) -> list[str]:
        """Return the median, the least and the most as cells of a table."""
        found = self.column(case, measure)
        if not found:
            return ["-", "-", "-"]
        return [format(f(found), form) for f in (statistics.median, min, max)]

    def by_measure(self) -> dict[str, dict[str, list[float]]]:
        """Return a list of values per case and measure, for the JSON."""
        return {
            case: {measure: [sample[measure] for sample in taken] for measure in taken[0]}
            for case, taken in self.items()
            if taken
        }


class Figure:
    """One question with its cases and targets. Each module of a figure has one subclass."""

    name = ""
    title = ""

    def cases(self, options: Options) -> list[str]:
        """Return the names of the cases, in the order of a round."""
        raise NotImplementedError

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        """Take one sample of a case. Runs in a fresh process with an empty directory on disk."""
        raise NotImplementedError

    def report(self, samples: Samples, options: Options) -> str:
        """Return the table and the verdicts as text."""
        raise NotImplementedError


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that ``share`` (0 to 1) of a sorted sequence does not exceed."""
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a plain-text table: the first column aligned left, the others right."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = []
    for row in [head, ["-" * width for width in widths], *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def at_most(what: str, found: float, limit: float, form: str = ".2f") -> str:
    """Return a line that says whether a value met its upper limit."""
    return _verdict(found <= limit, what, found, f"at most {limit:{form}}", form)


def at_least(what: str, found: float, limit: float, form: str = ".2f") -> str:
    """Return a line that says whether a value met its lower limit."""
    return _verdict(found >= limit, what, found, f"at least {limit:{form}}", form)


def _verdict(met: bool, what: str, found: float, asked: str, form: str) -> str:
    if math.isnan(found):
        return f"         {what}: not measured in this run"
    return f"  {'met   ' if met else 'MISSED'} {what}: {found:{form}}, target {asked}"
