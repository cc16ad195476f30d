"""Cuts a stream of bytes into frames, as ``logging.handlers.SocketHandler`` writes them.

A frame is a 4-byte big-endian length and as many bytes of payload. Sans-IO: bytes in, payloads
out. No sockets, threads or clocks here.

The decoder keeps the bytes that have come, and allocates nothing for a length that was only
claimed. The cost of a frame grows with its bytes, however the stream is cut.
"""

from __future__ import annotations

import struct

from ..exceptions import FrameError
from ..record.row import Buffer

HEADER = struct.Struct(">L")
"""The length prefix of :meth:`logging.handlers.SocketHandler.makePickle`."""

MAX_PAYLOAD = 24 * 1024 * 1024
"""Bytes of the largest payload that is taken. A row is a third of it at most (``row.MAX_ROW``), and
a hello holds its row twice. A stock client's record beyond it is a mistake or an attack."""


def encode_frame(payload: Buffer) -> bytes:
    """Make the frame of one payload. Raises :class:`FrameError` beyond 2**32 - 1 bytes."""
    length = len(payload)
    if length > 0xFFFFFFFF:
        raise FrameError(f"a payload of {length} bytes does not fit a 4-byte length prefix")
    return b"".join((HEADER.pack(length), payload))


class FrameDecoder:
    """Decodes one stream of frames, however it is cut."""

    __slots__ = ("_buffer", "_max_payload", "_need")

    def __init__(self, max_payload: int = MAX_PAYLOAD) -> None:
        self._max_payload = max_payload
        self._buffer = bytearray()
        self._need = 0  # bytes of the first frame, header included; 0: not known yet

    @property
    def pending_bytes(self) -> int:
        """Return how many bytes are held of a frame that is not complete."""
        return len(self._buffer)

    def feed(self, data: Buffer) -> list[bytes]:
        """Take bytes of the stream; return the payloads that they complete, in order.

        Raises :class:`FrameError` as soon as a length prefix is beyond the limit. The error has the
        payloads before that prefix, as ``completed``. No boundary of a frame is known after it, so
        the connection must be closed.
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
        """Note the end of the stream. Raises :class:`FrameError` inside a frame."""
        held = len(self._buffer)
        if held:
            needed = f"of {self._need}" if self._need else "of a length prefix of 4"
            raise FrameError(f"the stream ended inside a frame: {held} bytes came {needed}")
