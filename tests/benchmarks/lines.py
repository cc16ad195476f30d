"""Count the lines in the files: a fast loss cannot win."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from pathlib import Path
from typing import Any, Dict, Iterable

_LINE = re.compile(rb"worker (\d+) number (\d+) end$")


def message(style: str) -> str:
    """The text that every benchmark logs, with places for worker and number, for ``{}`` or ``%d``."""
    return f"worker {style} number {style} end"


def count_lines(files: Iterable[Path], workers: int, records: int) -> Dict[str, float]:
    """``lost``, ``doubled`` and ``torn`` among ``records`` lines of each of ``workers`` workers."""
    found: Any = Counter()
    torn = 0
    for path in files:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            for line in file:
                match = _LINE.search(line[:-1]) if line.endswith(b"\n") else None
                if match is None:
                    torn += 1
                else:
                    found[match.groups()] += 1
    expected = workers * records
    return {
        "lost": expected - len(found),
        "doubled": sum(found.values()) - len(found),
        "torn": torn,
    }


def flaws(sample: Dict[str, float]) -> int:
    return int(sum(abs(sample.get(kind, 0)) for kind in ("lost", "doubled", "torn")))
