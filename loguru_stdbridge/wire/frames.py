"""Length-prefix framing, as ``logging.handlers.SocketHandler`` writes it.

A frame is a 4-byte big-endian length and that many bytes of payload. Sans-IO: bytes in, payloads
out. No sockets, threads or clocks here.

The decoder never allocates for a length that was only claimed: it keeps the chunks that have come,
and joins them once. The cost of a frame grows with its bytes, however they are cut.
"""

from __future__ import annotations

import struct
from typing import Union

from ..exceptions import FrameError

HEADER = struct.Struct(">L")
"""The length prefix of :meth:`logging.handlers.SocketHandler.makePickle`."""

MAX_PAYLOAD = 24 * 1024 * 1024
"""Largest payload taken, in bytes. A row of ours is a third of it at most (``row.MAX_ROW``), a
hello holds it twice; a stock client's record beyond it is a mistake or an attack."""

Buffer = Union[bytes, bytearray, memoryview]


def encode_frame(payload: Buffer) -> bytes:
    """The frame for one payload. Raises :class:`FrameError` beyond 2**32 - 1 bytes."""
    length = len(payload)
    if length > 0xFFFFFFFF:
        raise FrameError(f"a payload of {length} bytes does not fit a 4-byte length prefix")
    return b"".join((HEADER.pack(length), payload))


class FrameDecoder:
    """Incremental decoder of one stream of frames.

    ``feed`` takes whatever a read gave and returns the payloads that are complete by now.
    ``pending_bytes`` is what is held of an incomplete frame.
    """

    __slots__ = ("_buffer", "_max_payload", "_need")

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self._max_payload = max_payload
        self._buffer = bytearray()
        self._need = 0  # bytes of the frame at the front, header included; 0: not known yet

    @property
    def pending_bytes(self) -> int:
        """Bytes held of a frame that is not complete."""
        return len(self._buffer)

    def feed(self, data: Buffer) -> list[bytes]:
        """Take bytes of the stream; return the payloads completed by them, in order.

        Raises :class:`FrameError` as soon as a length prefix is beyond the limit; the stream has
        no frame boundary after that, so the connection must be closed. The payloads before the
        bad prefix are on the error, as ``completed``.
        """
        buffer = self._buffer
        buffer += data
        size = len(buffer)
        if size < self._need or size < 4:
            return []
        payloads: list[bytes] = []
        position = 0
        header_at = HEADER.unpack_from
        with memoryview(buffer) as view:
            while size - position >= 4:
                (length,) = header_at(view, position)
                if length > self._max_payload:
                    raise FrameError(
                        f"a frame of {length} bytes is beyond the limit of {self._max_payload}",
                        completed=payloads,
                    )
                end = position + 4 + length
                if end > size:
                    self._need = 4 + length
                    break
                payloads.append(bytes(view[position + 4 : end]))
                position = end
            else:
                self._need = 0
        del buffer[:position]
        return payloads

    def end(self) -> None:
        """Say that the stream has ended. Raises :class:`FrameError` inside a frame."""
        held = len(self._buffer)
        if held:
            needed = f"of {self._need}" if self._need else "of a length prefix of 4"
            raise FrameError(f"the stream ended inside a frame: {held} bytes came {needed}")
