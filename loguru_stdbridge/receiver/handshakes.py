"""Take the TLS handshakes of the receiver's clients in turn, two milliseconds in each round.

Runs in the receiver's loop. Owns which handshakes are not finished, and which of them wait in line.

Why a thousand handshakes delay nobody's records
------------------------------------------------
A step of a handshake costs a signature, about a millisecond. A client whose step is due stands in
line, and the selector does not look at it meanwhile: else each round would get all of them from the
system, only to leave most. A round takes those that have waited longest, for
:data:`HANDSHAKE_BUDGET` seconds, after everything else. Where :data:`MAX_IN_LINE` stand in line,
no further client of TLS is accepted: the kernel keeps it. So whoever begins handshakes at any rate
gets the same share of a round, for accepting them, too.

A handshake that stalls stands in no line. Beyond :data:`MAX_HANDSHAKES` that are not finished the
oldest whose client is silent is ended. So handshakes that stall keep nobody out.
"""

from __future__ import annotations

import selectors
import time
from typing import Callable

from .connection import Connection

HANDSHAKE_BUDGET = 0.002
"""Seconds of a round that go to TLS handshakes, after everything else."""

MAX_IN_LINE = 4
"""Clients whose next step is due. While there are so many, no other is accepted by TLS."""

MAX_HANDSHAKES = 200
"""TLS handshakes that are not finished. Beyond it the oldest of them whose client is silent leaves,
so handshakes that stall keep nobody out."""


class Handshakes:
    """The handshakes that are not finished. For one thread."""

    def __init__(
        self, selector: selectors.BaseSelector, dismiss: Callable[[Connection, str], None]
    ) -> None:
        """``dismiss`` ends a client, for the given reason."""
        self._selector = selector
        self._dismiss = dismiss
        self._unfinished: dict[Connection, None] = {}  # the oldest first
        self._line: dict[Connection, None] = {}  # the one that has waited longest first

    @property
    def are_due(self) -> bool:
        """Whether one could go on at once."""
        return bool(self._line)

    @property
    def room(self) -> int:
        """How many more clients may be accepted now."""
        return max(MAX_IN_LINE - len(self._line), 0)

    def begin(self, connection: Connection) -> None:
        """Note a client that was accepted."""
        self._unfinished[connection] = None

    def forget(self, connection: Connection) -> None:
        """Let go of a client that is not there any more."""
        self._unfinished.pop(connection, None)
        self._line.pop(connection, None)

    def stand_in_line(self, connection: Connection) -> None:
        """Have a client wait, of which bytes have come or to which some can be sent."""
        connection.watch(self._selector, 0)
        self._line[connection] = None

    def take_turn(self, serve: Callable[[Connection, int], None]) -> None:
        """Serve those that have waited longest, as long as a round may."""
        if not self._line:
            return
        until = time.monotonic() + HANDSHAKE_BUDGET
        for connection in list(self._line):
            if self._line.pop(connection, connection) is connection:  # it has gone meanwhile
                continue
            if not connection.ended:
                serve(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
            if not connection.is_shaking_hands:
                self._unfinished.pop(connection, None)
            if time.monotonic() >= until:
                return

    def bound(self) -> None:
        """End the oldest handshakes of which too many are not finished."""
        excess = len(self._unfinished) - MAX_HANDSHAKES
        for connection in list(self._unfinished) if excess > 0 else ():
            if connection in self._line or connection.has_unread():
                continue
            del self._unfinished[connection]
            self._dismiss(
                connection, f"its TLS handshake stalled, and {MAX_HANDSHAKES} newer ones have begun"
            )
            excess -= 1
            if not excess:
                return
