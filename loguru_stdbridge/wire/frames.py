"""Cuts a stream of bytes into frames, as ``logging.handlers.SocketHandler`` writes them.

A frame is a 4-byte big-endian length and as many bytes of payload. Sans-IO: bytes in, payloads
out. No sockets, threads or clocks here.

The decoder keeps the bytes that have come, and allocates nothing for a length that was only
claimed. The cost of a frame grows with its bytes, however the stream is cut.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..exceptions import FrameError
from ..record.row import MAX_ROW, Buffer

HEADER = struct.Struct(">L")
"""The length prefix of :meth:`logging.handlers.SocketHandler.makePickle`."""

MAX_PAYLOAD = MAX_ROW + 128 * 1024
"""Bytes of the largest payload that is taken: of a worker's largest row, in a frame or a hello. A
record of a stock client may have as many. Three times as many were taken before; one frame of 23 MB
then cost 1.4 GB, and 7 seconds of all other clients."""

MAX_SKIPPED = 64 * 1024 * 1024
"""Bytes of a payload that a receiver reads past if it is too large to be taken. So a stock client
loses that record only, and not its connection with the records behind it. The first bytes of HTTP,
of TLS and of any text are larger lengths."""


def encode_frame(payload: Buffer) -> bytes:
    """Make the frame of one payload. Raises :class:`FrameError` beyond 2**32 - 1 bytes."""
    length = len(payload)
    if length > 0xFFFFFFFF:
        raise FrameError(f"a payload of {length} bytes does not fit a 4-byte length prefix")
    return b"".join((HEADER.pack(length), payload))


_TLS_RECORDS = (0x15030, 0x16030)
"""The first 20 bits of an alert and of a handshake of TLS. As a length it is 352 MB and more."""


def _describe_excess(length: int, limit: int) -> str:
    if length >> 12 in _TLS_RECORDS:
        return "these are bytes of TLS, and this end is plain: use tls:// at both ends, or at none"
    return f"a frame of {length} bytes is beyond the limit of {limit}"


class SkippedFrame(NamedTuple):
    """A frame that was beyond the limit; its bytes are read past and not kept."""

    length: int


class FrameDecoder:
    """Decodes one stream of frames, however it is cut."""

    __slots__ = ("_buffer", "_max_payload", "_max_skipped", "_need", "_skip")

    def __init__(self, max_payload: int = MAX_PAYLOAD, max_skipped: int = 0) -> None:
        """A frame beyond ``max_payload`` bytes is skipped if it has ``max_skipped`` at most."""
        self._max_payload = max_payload
        self._max_skipped = max_skipped
        self._buffer = bytearray()
        self._need = 0  # bytes of the first frame, header included; 0: not known yet
        self._skip = 0  # bytes of a skipped frame that are still to come

    @property
    def pending_bytes(self) -> int:
        """Return how many bytes are held of a frame that is not complete."""
        return len(self._buffer)

    def feed(self, data: Buffer) -> list[bytes | SkippedFrame]:
        """Take bytes of the stream; return the payloads that they complete, in order.

        A :class:`SkippedFrame` stands in the place of a payload, as soon as its length is known.
        Raises :class:`FrameError` for a length prefix beyond both limits. The error has the
        payloads before that prefix, as ``completed``. No boundary of a frame is known after it, so
        the connection must be closed.
        """
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = memoryview(data)[skipped:]
        buffer = self._buffer
        buffer += data
        size = len(buffer)
        if size < self._need or size < 4:
            return []
        payloads: list[bytes | SkippedFrame] = []
        position = 0
        header_at = HEADER.unpack_from
        with memoryview(buffer) as view:
            while size - position >= 4:
                (length,) = header_at(view, position)
                end = position + 4 + length
                if length > self._max_payload:
                    if length > self._max_skipped:
                        raise FrameError(
                            _describe_excess(length, self._max_payload), completed=payloads
                        )
                    payloads.append(SkippedFrame(length))
                    self._skip = max(end - size, 0)
                    position = min(end, size)
                    continue
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
        if self._skip:
            raise FrameError(f"the stream ended inside a frame: {self._skip} bytes did not come")
