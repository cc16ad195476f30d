"""The messages of a stream: frames of one sender, behind a line that says whose they are.

Sans-IO: no sockets, threads or clocks here.

A message is the line ``stdbridge 1 SENDER FIRST LAST OFFSET TOTAL``, a newline, and a piece of the
sender's frames (:mod:`~loguru_stdbridge.wire.frames`), as they would go over a socket after the
greeting. Most pieces are whole: ``OFFSET`` is 0, and the piece has ``TOTAL`` bytes. A record beyond
what the server takes in one message goes in several. ``FIRST`` and ``LAST`` are the numbers of the
first and the last record; a goodbye alone has the number behind the last one twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..exceptions import FrameError
from ..wire.frames import MAX_PAYLOAD
from ..wire.payloads import MAX_SEQUENCE

MESSAGE_VERSION = 1

MESSAGE_FRAMES = 128 * 1024
"""Bytes of frames that are put into one message, unless one frame has more."""

HEAD_ROOM = 128
"""Bytes of the line before the frames, at most."""

_HEAD = re.compile(
    rb"stdbridge (\d{1,4}) ([0-9a-f]{32}) (\d{1,17}) (\d{1,17}) (\d{1,9}) (\d{1,9})\n"
)


class MessagePiece(NamedTuple):
    """A message that was read: a part of a sender's frames, or all of them."""

    sender: str
    first: int
    """The number of the first record in the frames."""
    last: int
    """The number of the last one."""
    offset: int
    total: int
    """Bytes of the frames."""
    data: bytes

    @property
    def is_whole(self) -> bool:
        """Whether it needs no other piece."""
        return len(self.data) == self.total


def make_messages(sender: str, first: int, last: int, frames: bytes, limit: int) -> Iterator[bytes]:
    """Yield the messages that carry ``frames``; none has over ``limit`` bytes."""
    step = limit - HEAD_ROOM
    for offset in range(0, len(frames), step):
        head = f"stdbridge {MESSAGE_VERSION} {sender} {first} {last} {offset} {len(frames)}\n"
        yield head.encode() + frames[offset : offset + step]


def read_message(message: bytes) -> MessagePiece:
    """Read a message. Raises :class:`FrameError` for one that is none of ours."""
    head = _HEAD.match(message)
    if head is None:
        raise FrameError(f"a message that is none of a receiver's: it begins {message[:40]!r}")
    version, first, last, offset, total = (int(head[index]) for index in (1, 3, 4, 5, 6))
    if version != MESSAGE_VERSION:
        raise FrameError(
            f"a message of version {version}, and this receiver reads version {MESSAGE_VERSION}: "
            "install one version of loguru_stdbridge at both ends of the stream"
        )
    data = message[head.end() :]
    if not 0 < first <= last < MAX_SEQUENCE or not data or offset + len(data) > total:
        raise FrameError("a message whose numbers do not fit its bytes")
    if total > MAX_PAYLOAD + MESSAGE_FRAMES:
        raise FrameError(f"frames of {total} bytes, {MAX_PAYLOAD + MESSAGE_FRAMES} at most")
    return MessagePiece(head[2].decode(), first, last, offset, total, data)


class _Group:
    """The pieces that have come of some frames, and the messages that brought them."""

    def __init__(self) -> None:
        self.parts: dict[int, bytes] = {}
        self.numbers: list[int] = []


class PieceStore:
    """Puts pieces together. A piece may come twice, and in any order."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, int, int, int], _Group] = {}

    @property
    def size(self) -> int:
        """Return how many bytes are held."""
        return sum(len(part) for group in self._groups.values() for part in group.parts.values())

    def add(self, piece: MessagePiece, number: int) -> tuple[bytes, list[int]] | None:
        """Take a piece that message ``number`` has brought.

        Return all the frames when they are complete, and the numbers of their messages.
        """
        key = (piece.sender, piece.first, piece.last, piece.total)
        group = self._groups.setdefault(key, _Group())
        group.numbers.append(number)
        group.parts[piece.offset] = piece.data
        frames, end = [], 0
        for offset in sorted(group.parts):
            if offset > end:
                return None
            frames.append(group.parts[offset][end - offset :])
            end = max(end, offset + len(group.parts[offset]))
        if end < piece.total:
            return None
        del self._groups[key]
        return b"".join(frames), group.numbers

    def drop_through(self, sender: str, last: int) -> list[int]:
        """Drop what has come by other ways: a sender's records up to ``last``.

        Return the numbers of the messages.
        """
        if not self._groups:
            return []
        keys = [key for key in self._groups if key[0] == sender and key[2] <= last]
        return [number for key in keys for number in self._groups.pop(key).numbers]

    def drop_largest(self) -> list[int]:
        """Drop the largest group; return the numbers of its messages."""
        key = max(self._groups, key=lambda key: sum(map(len, self._groups[key].parts.values())))
        return self._groups.pop(key).numbers
