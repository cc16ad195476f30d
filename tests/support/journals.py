"""Journals for tests: made, filled, read back, and read as an adopter reads them."""

from __future__ import annotations

from pathlib import Path

from loguru_stdbridge.spool.journal import Figures, Journal
from loguru_stdbridge.spool.orphans import Orphan

ADDRESS = "tcp://127.0.0.1:9020"
SEGMENT = 4096
PER_SEGMENT = 7  # rows of 500 bytes in a segment


def row(number: int) -> bytes:
    """A row of 500 bytes that tells its number."""
    return b'["%06d%s"]' % (number, b"x" * 490)


def fill(journal: Journal, count: int) -> list[int]:
    """Append ``count`` rows, each with the number it gets; return the numbers taken."""
    taken = []
    for _ in range(count):
        expected = journal.next
        number = journal.append(row(expected))
        assert number in (expected, 0)
        if number:
            taken.append(number)
    return taken


def read_all(journal: Journal, max_bytes: int = 1200, after: int | None = None) -> list[object]:
    """Everything pending, or behind ``after``: numbers, and gaps as ``(first, last, reason)``."""
    found: list[object] = []
    after = journal.first - 1 if after is None else after
    while True:
        batch = journal.read(after, max_bytes)
        if batch.gap is not None:
            found.append(batch.gap)
            after = batch.gap.last
        elif batch.rows:
            assert batch.first == after + 1
            numbers = range(batch.first, batch.last + 1)
            assert [bytes(r) for r in batch.rows] == [row(n) for n in numbers]
            found += numbers
            after = batch.last
        else:
            assert after == journal.next - 1
            return found


def of_orphan(path: str | Path) -> list[object]:
    """The same of a journal whose owner is dead."""
    orphan = Orphan.adopt(str(path))
    assert orphan is not None
    found: list[object] = []
    after = orphan.acked
    while True:
        batch = orphan.read(after, 1200)
        if batch.gap is not None:
            found.append(batch.gap)
            after = batch.gap.last
        elif batch.rows:
            numbers = range(batch.first, batch.last + 1)
            assert list(batch.rows) == [row(n) for n in numbers]
            found += numbers
            after = batch.last
        else:
            assert orphan.damaged == []
            orphan.release()
            return found


def of_dead(journal: Journal) -> list[object]:
    """End a journal's life, and read it as an adopter does."""
    assert journal.path is not None
    journal.close(remove=False)
    return of_orphan(journal.path)


def strip(found: list[object]) -> list[object]:
    """What was read without the reasons of gaps, which an adopter cannot know."""
    return [item[:2] if isinstance(item, tuple) else item for item in found]


def balance(journal: Journal) -> Figures:
    """The figures, which must always agree."""
    figures = journal.figures()
    assert figures.accepted == figures.acknowledged + figures.pending + sum(
        figures.dropped.values()
    )
    assert min(figures[:3]) >= 0
    assert all(count > 0 for count in figures.dropped.values())
    return figures


def segment_files(journal: Journal) -> list[Path]:
    """The files of its segments, in order."""
    assert journal.path is not None
    return sorted(Path(journal.path).glob("*.seg"))
