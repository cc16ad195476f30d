"""The exceptions that the package raises: one tree under ``StdbridgeError``.

A ``PeerError`` says that the other side of a connection sent something wrong. Every other class
says what is wrong on this side. No log call ever raises one of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class StdbridgeError(Exception):
    """The root: catches every error that this package raises on purpose."""


class AddressError(StdbridgeError, ValueError):
    """An address that cannot be read; the message shows it and the forms that can."""


class ConfigurationError(StdbridgeError, ValueError):
    """An option whose value cannot be used; the message shows the value and the way out."""


class PeerError(StdbridgeError):
    """The peer sent something that breaks a rule or a limit."""


class FrameError(PeerError):
    """A frame whose length prefix is beyond the limit, or a stream that ends inside a frame.

    ``completed`` holds the payloads that the same bytes completed before the bad frame.
    """

    def __init__(self, message: str, completed: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.completed = completed


class PayloadError(PeerError):
    """A pickled payload that is refused.

    ``reason`` is a short fixed word (``"too_deep"``, ``"opcode"``, ...), fit for counting.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class RowError(PeerError):
    """A dense frame or a row that breaks the rules of the dense dialect."""


class SequenceError(PeerError):
    """A sequence number that jumps over records which the sender has not reported as given up."""


class OtherLogError(PeerError):
    """A worker and a receiver met that serve two logs; the records wait for their own."""


class ProtocolVersionError(PeerError):
    """A worker and a receiver met that speak different versions of the protocol.

    ``version`` is the peer's.
    """

    def __init__(self, message: str, version: int) -> None:
        super().__init__(message)
        self.version = version


class TlsError(PeerError, OSError):
    """A TLS connection that could not be made, or that broke; the message says on whose account."""


class JournalError(StdbridgeError):
    """A journal that cannot be made, opened or trusted."""


class JournalVersionError(JournalError):
    """A journal of a later version of this package, which alone can read it."""


class LedgerError(StdbridgeError):
    """A ledger that cannot be made, opened or trusted."""


class LedgerHeldError(LedgerError):
    """Another receiver is the writer of this sink; ``holder`` is its process id, where known."""

    def __init__(self, message: str, holder: int | None = None) -> None:
        super().__init__(message)
        self.holder = holder


class FurtherSinkHeldError(LedgerHeldError):
    """Another log's receiver writes a file that is to be one of this log's sinks, too."""


class SinkError(StdbridgeError):
    """The sink could not take records; the cause is the ``OSError`` behind it.

    ``written`` is how many of the lines, from the first, are in the file all the same.
    """

    def __init__(self, message: str, written: int = 0) -> None:
        super().__init__(message)
        self.written = written
