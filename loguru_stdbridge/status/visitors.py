"""One connection to the status listener: what it has asked, and what waits for it."""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any, Callable, Protocol

from .requests import Gate, Request


class Visitor:
    """One connection. Times are of ``time.monotonic``."""

    def __init__(self, connection: socket.socket, gate: Gate, *, is_trusted: bool) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.gate = gate
        self.is_trusted = is_trusted
        self.received = b""
        self.request: Request | None = None
        self.out = bytearray()
        self.more: Callable[[], bytes] | None = None
        """Gives the next part of a long answer; empty at its end."""
        self.file: Any = None
        """What a long answer is read from; closed when the visitor leaves."""
        self.feed: Any = None
        """What a viewer is sent (``events``), until it leaves."""
        self.moved_at = time.monotonic()
        """When it has sent or read something last, or nothing waited for it."""
        self.is_leaving = False
        """Whether all is sent, and its end is waited for."""
        self.interest = selectors.EVENT_READ

    def fileno(self) -> int:
        """Return the descriptor that a selector watches."""
        return self.socket.fileno()

    def answer(self, data: bytes) -> None:
        """Have bytes sent."""
        if not self.out:
            self.moved_at = time.monotonic()
        self.out += data


class Answerer(Protocol):
    """Decides what requests get."""

    def answer(self, visitor: Visitor, request: Request) -> None:
        """Answer a request by :meth:`Visitor.answer`, or set ``more`` or ``feed``."""

    def turn(self, visitors: Sequence[Visitor], until: float) -> float | None:
        """Feed the viewers, until a monotonic time at most.

        Return the seconds until it wants the next turn, or ``None`` where nobody watches."""

    def close(self) -> None:
        """Let go of what is open."""
