"""Blocks of finished lines, and what a rotation function is shown of them.

Owns the shape in which lines go to the sink, and the views by which a rotation function, loguru's
or the user's own, sees what is about to be written as if it were. Nothing is written here: a view
that must show the file itself has :mod:`sink` write first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, NamedTuple


class Block(NamedTuple):
    """Finished lines of one sender, with consecutive numbers from ``first`` on.

    An empty text advances the sender without a byte. ``records`` (for a rotation function of the
    user's own, which may look at them) are as many as the texts, or none.
    """

    sender: str | None  # 32 hex digits; None: strangers
    first: int
    texts: list[str]
    records: list[Mapping[str, Any]]

    def line(self, index: int) -> Block:
        """One of its lines."""
        end = index + 1
        return Block(
            self.sender, self.first + index, self.texts[index:end], self.records[index:end]
        )

    def rest(self, count: int) -> Block:
        """The block without its first ``count`` lines."""
        return Block(self.sender, self.first + count, self.texts[count:], self.records[count:])


class Message(str):
    """What a rotation function is given: the text, and the record as an attribute."""

    record: Mapping[str, Any]


class FileView:
    """The open file as a rotation function sees it: at its end, with what is about to be written.

    Anything but ``seek`` and ``tell`` goes to the real file, which has been written before.
    """

    def __init__(self, written_file: Callable[[], Any]) -> None:
        """``written_file`` writes the lines in hand and returns the open file."""
        self._written_file = written_file
        self.position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.position

    def tell(self) -> int:
        return self.position

    @property
    def name(self) -> str:
        return str(self._written_file().name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._written_file(), name)
