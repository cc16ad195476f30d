"""Speak with a receiver as a worker does, for one sender, and wait for each answer.

Used by a program that has nothing else to do meanwhile. Owns one connection.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

from ..addresses import Address, LogName
from ..exceptions import PeerError
from ..system.unix_sockets import connect_unix
from ..wire.sending import Acknowledged, Greeting, Refusal, SenderConnection
from .finding import NobodyThereError, find_targets


class Delivery:
    """One sender's connection to a receiver."""

    def __init__(
        self, address: Address, sender_id: str, log: LogName | None, timeout: float
    ) -> None:
        """Connect. ``timeout`` is the seconds to wait for the connection and for each answer.

        Raises ``OSError``, or :class:`NobodyThereError` where a log has no receiver.
        """
        self._socket = _connect(address, timeout)
        self._connection = SenderConnection(sender_id, log)
        self._acknowledged = 0

    def greet(self, row: bytes, number: int, base: int) -> Greeting:
        """Say hello with a row, and return the greeting. Raises :class:`PeerError`, ``OSError``."""
        self._socket.sendall(self._connection.hello(row, number, base))
        self._wait(lambda: self._connection.greeting is not None)
        greeting = self._connection.greeting
        assert greeting is not None
        return greeting

    def send(self, first: int, rows: list[bytes]) -> None:
        """Send rows behind the greeting."""
        self._socket.sendall(self._connection.rows(first, rows))

    def give_up(self, first: int, last: int, reason: str) -> None:
        """Say that there are no rows of these numbers."""
        self._socket.sendall(self._connection.gap(first, last, reason))

    def wait_for(self, number: int) -> None:
        """Wait until all rows up to ``number`` are in the file."""
        self._wait(lambda: self._acknowledged >= number)

    def leave(self, last: int) -> None:
        """Say that nothing will ever come again, read to the end, and close."""
        with contextlib.suppress(OSError, PeerError):
            self._socket.sendall(self._connection.goodbye(last))
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(65536):
                pass
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _wait(self, is_done: Callable[[], bool]) -> None:
        while not is_done():
            data = self._socket.recv(65536)
            if not data:
                raise PeerError("the receiver has closed the connection without an answer")
            for answer in self._connection.receive(data):
                if isinstance(answer, Acknowledged):
                    self._acknowledged = answer.through
                elif isinstance(answer, Refusal):
                    raise PeerError(f"the receiver refuses: {answer.reason}")


def _connect(address: Address, timeout: float) -> socket.socket:
    if address.scheme == "tcp":
        return socket.create_connection((address.host, address.port), timeout)
    if address.scheme not in ("log", "unix"):
        raise NobodyThereError(f"{address}: use log:///path, unix:///path or tcp://host:port")
    paths = [target.path for target in find_targets(str(address))]
    trouble: OSError | None = None
    for path in paths:
        try:
            return connect_unix(path, timeout)
        except OSError as error:
            trouble = error
    raise NobodyThereError(f"no receiver answers at {address}: {trouble}")


def milliseconds_since(began: float) -> float:
    """Return the milliseconds since a time of ``time.perf_counter``."""
    return (time.perf_counter() - began) * 1000
