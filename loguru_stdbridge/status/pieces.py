"""What the writer hands over of each write, for those who watch the receiver.

Loaded by every receiver; the rest of what shows it, only by one that is watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol


class Piece(NamedTuple):
    """Records of one sender that were written by one write, one for each line."""

    sender: str | None
    """``None``: of stock clients."""

    rows: Sequence[Any]
    """All of them rendered rows as they came, or all :class:`~..record.row.Row`."""

    size: int
    """About how many bytes they take."""

    has_gaps: bool = False
    """Whether ``None`` may stand for a record that the sink leaves out."""


class Watcher(Protocol):
    """What the writer shows its records to."""

    def note_write(self, seconds: float) -> None:
        """Note how long a write of the sink took."""

    def show(self, pieces: Sequence[Piece]) -> None:
        """Show records whose lines are in the file now."""


class Watchers:
    """Shows everything to each of several watchers."""

    def __init__(self, watchers: Sequence[Watcher]) -> None:
        self._watchers = watchers

    def note_write(self, seconds: float) -> None:
        """Note how long a write of the sink took."""
        for watcher in self._watchers:
            watcher.note_write(seconds)

    def show(self, pieces: Sequence[Piece]) -> None:
        """Show records whose lines are in the file now."""
        for watcher in self._watchers:
            watcher.show(pieces)


def split_pieces(pieces: Sequence[Piece], count: int) -> tuple[list[Piece], list[Piece]]:
    """Split pieces behind their first ``count`` records; return both parts."""
    before: list[Piece] = []
    behind: list[Piece] = []
    for piece in pieces:
        rows = piece.rows
        taken = min(count, len(rows))
        count -= taken
        share = piece.size * taken // max(len(rows), 1)
        if taken:
            before.append(piece._replace(rows=rows[:taken], size=share))
        if taken < len(rows):
            behind.append(piece._replace(rows=rows[taken:], size=piece.size - share))
    return before, behind
