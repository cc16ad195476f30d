"""Counts of the runs of a program side by side: which cells deviate, the table as text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .lines import KINDS, count, plain
from .running import Program


class Cell(NamedTuple):
    """The lines of one kind of one program."""

    wanted: tuple[int, ...]
    """How often each of its lines is to be in the file; no lines: the program has none."""
    file: tuple[int, ...]
    console: tuple[int, ...]
    """On the console with the bridge."""
    without: tuple[int, ...]
    """On the console without it."""
    reason: str = ""
    """Why the program has no such lines."""

    @property
    def deviates(self) -> bool:
        return self.file != self.wanted or self.console != self.without

    def __str__(self) -> str:
        """In the file, 1 for each where each event is there once; the lines on the console."""
        if self.reason:
            return "-"
        text = f"{_share(self.file, self.wanted)} {sum(self.console)}"
        if self.console != self.without:
            text += f"({sum(self.without)})"
        return f"!{text}" if self.deviates else text


def _share(found: Sequence[int], wanted: Sequence[int]) -> str:
    if tuple(found) == tuple(wanted):
        return "1"
    return "+".join(f"{have}/{want}" for have, want in zip(found, wanted)) if any(found) else "0"


class Row(NamedTuple):
    """One program."""

    name: str
    cells: dict[str, Cell]
    lost: dict[str, int]
    """Lines of the console that the bridge took away, less numbers, and how many of each."""
    added: dict[str, int]
    """Those that it put there."""
    failure: str = ""
    """Why there are no counts."""

    @property
    def deviates(self) -> bool:
        cells = any(cell.deviates for cell in self.cells.values())
        return bool(self.failure or self.lost or self.added or cells)

    def as_json(self) -> dict[str, Any]:
        cells = {kind: cell._asdict() for kind, cell in self.cells.items()}
        return {**self._asdict(), "cells": cells, "deviates": self.deviates}


def compare(
    program: Program, console: str, file: str, without: str, *, injected: bool = False
) -> Row:
    """The row of a program, from its texts; ``injected``: see :meth:`Program.lines`."""
    cells = {}
    for kind, lines in program.lines(injected=injected).items():
        if isinstance(lines, str):
            cells[kind] = Cell((), (), (), (), lines)
            continue
        found = [[count(line, text) for line in lines] for text in (file, console, without)]
        cells[kind] = Cell(tuple(line.times for line in lines), *map(tuple, found))
    before, after = plain(without, program.ignored), plain(console, program.ignored)
    return Row(program.name, cells, dict(before - after), dict(after - before))


def as_text(rows: Sequence[Row]) -> str:
    """The table: a program a line, a kind a column."""
    head = ["", *KINDS, "other lines"]
    body = [head]
    for row in rows:
        if row.failure:
            body.append([row.name, f"! {row.failure.splitlines()[0]}"])
            continue
        other = f"!-{sum(row.lost.values())} +{sum(row.added.values())}"
        same = not row.lost and not row.added
        body.append([row.name, *(str(row.cells[kind]) for kind in KINDS), "=" if same else other])
    widths = [
        max(len(cells[index]) for cells in body if len(cells) == len(head))
        for index in range(len(head))
    ]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(cells, widths)).rstrip()
        for cells in body
    ]
    return "\n".join(lines)


def reasons(rows: Sequence[Row]) -> str:
    """Why programs have none of some kinds: the documented exceptions."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for kind, cell in row.cells.items():
            if cell.reason:
                found.setdefault(cell.reason, []).append(f"{row.name} ({kind})")
    return "\n".join(f"- {reason}: {', '.join(who)}" for reason, who in found.items())
