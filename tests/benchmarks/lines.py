"""Count the lines in the files, so that a set-up that loses records cannot win."""

from __future__ import annotations

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

_LINE = re.compile(rb"worker (\d+) number (\d+) end\n\Z")


def message(style: str) -> str:
    """Return the text that every benchmark logs; ``style`` (``{}`` or ``%d``) marks its two values."""
    return f"worker {style} number {style} end"


def count_lines(
    files: Iterable[Path], expected: Sequence[int], others: bytes | None = None
) -> dict[str, float]:
    """Return how many lines are ``lost``, ``doubled`` and ``torn``.

    Worker ``i`` has logged ``expected[i]`` lines. Lines that end with ``others`` do not count.
    """
    found: Any = Counter()
    torn = 0
    for path in files:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rb") as file:
            for line in file:
                match = _LINE.search(line)
                if match is not None:
                    found[match.groups()] += 1
                elif others is None or not line.endswith(others):
                    torn += 1
    wanted = {(b"%d" % w, b"%d" % n) for w, count in enumerate(expected) for n in range(count)}
    strange = sum(count for line, count in found.items() if line not in wanted)
    return {
        "lost": len(wanted) - sum(line in wanted for line in found),
        "doubled": sum(count - 1 for line, count in found.items() if line in wanted),
        "torn": torn + strange,
    }


def flaws(sample: dict[str, float]) -> int:
    return int(sum(abs(sample.get(kind, 0)) for kind in ("lost", "doubled", "torn")))
