"""Blocks of finished lines, and the file as a rotation function sees it.

A rotation function, loguru's or the user's, is asked about lines that are not written yet. The
views here show it the file as if they were. Nothing is written here: where a function looks at the
file itself, the view has :mod:`rotating` write first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Protocol


class Block(NamedTuple):
    """Finished lines of one sender, with consecutive numbers from ``first`` on.

    An empty text advances the sender without a byte. ``records`` has one record for each text where
    a rotation function of the user's may look at them; else it is empty.
    """

    sender: str | None  # 32 hex digits; None: strangers
    first: int
    texts: list[str]
    records: list[Mapping[str, Any]]

    def line(self, index: int) -> Block:
        """Return a block of one of the lines."""
        end = index + 1
        return Block(
            self.sender, self.first + index, self.texts[index:end], self.records[index:end]
        )

    def rest(self, count: int) -> Block:
        """Return the block without its first ``count`` lines."""
        return Block(self.sender, self.first + count, self.texts[count:], self.records[count:])


class Sink(Protocol):
    """What a receiver writes lines to."""

    @property
    def path(self) -> str:
        """What it is called in messages."""

    @property
    def needs_records(self) -> bool:
        """Whether the blocks need the records of their lines."""

    bytes_written: int
    """Bytes that were written so far."""

    rotations: int
    """Rotations so far."""

    size_limit: int | None
    """Bytes at which it is rotated; ``None`` where no size decides."""

    def write(self, blocks: Sequence[Block]) -> int:
        """Write lines in order, settle them in the ledger, return how many they were.

        Raises :class:`SinkError` where not all could be written.
        """

    def reopen(self) -> None:
        """Close the file and open what is at its path now. Raises :class:`SinkError`."""

    def close(self) -> None:
        """Close the file. Never raises."""


class Message(str):
    """A line as loguru hands it to a rotation function: with its record as an attribute."""

    record: Mapping[str, Any]


class FileView:
    """The open log file, as if the lines before the one in question were written.

    ``seek`` and ``tell`` answer from :attr:`position`. Anything else goes to the real file, after
    those lines have really been written.
    """

    def __init__(self, written_file: Callable[[], Any]) -> None:
        """``written_file`` writes the lines in hand and returns the open file."""
        self._written_file = written_file
        self.position = 0
        """Bytes of the file and of the lines before the one in question."""

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.position

    def tell(self) -> int:
        return self.position

    @property
    def name(self) -> str:
        return str(self._written_file().name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._written_file(), name)
