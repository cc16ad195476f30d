"""Blocks of finished lines, and what a rotation function is shown of them.

Owns the shape in which lines go to the sink, and the views by which a rotation function, loguru's
or the user's own, sees what is about to be written as if it were. Nothing is written here: a view
that must show the file itself has :mod:`sink` write first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Mapping, NamedTuple, Optional

if TYPE_CHECKING:
    from .rotating import RotatingSink


class Block(NamedTuple):
    """Finished lines of one sender, with consecutive numbers from ``first`` on.

    An empty text advances the sender without a byte. ``records`` (for a rotation function of the
    user's own, which may look at them) are as many as the texts, or none.
    """

    sender: Optional[str]  # 32 hex digits; None: strangers
    first: int
    texts: List[str]
    records: List[Mapping[str, Any]]

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

    Anything but the usual questions writes the lines in hand first and asks the real file.
    """

    def __init__(self, sink: RotatingSink) -> None:
        self._sink = sink
        self.position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.position

    def tell(self) -> int:
        return self.position

    @property
    def name(self) -> str:
        self._sink._write_pending()  # whoever asks for it is about to look at the file itself
        return self._sink.path

    def __getattr__(self, name: str) -> Any:
        self._sink._write_pending()
        return getattr(self._sink._file, name)
