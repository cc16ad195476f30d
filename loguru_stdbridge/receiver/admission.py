"""Who is connected: the listeners, the places, and whose place a new client gets.

Owns the set of connections and its limit. What a client says is :mod:`receiver.server`'s, in whose
loop this runs.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any, Callable

from ..addresses import Address
from ..system.forks import block_forks
from ..wire.frames import MAX_PAYLOAD
from .connection import Connection, describe_peer
from .listeners import listen

SILENT_TIMEOUT = 10.0
"""Seconds of silence after which a client makes room for a new one, where there is none left: one
of which nothing was ever taken, or a worker of ours, which connects again when it has records."""

MAX_CONNECTIONS = 1000


class Admission:
    """See the module's text."""

    def __init__(
        self,
        addresses: Sequence[Address],
        selector: selectors.BaseSelector,
        *,
        limit: int,
        hear: Callable[[Connection], None],
        send_away: Callable[[Connection], None],
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` where one of them cannot be bound.

        ``hear`` takes what a client has sent, ``send_away`` ends one whose place is needed.
        """
        self.connections: set[Connection] = set()
        self._accepting = False
        self._selector = selector
        self._limit = min(limit, _descriptors_left())
        self._hear = hear
        self._send_away = send_away
        self._listeners: list[Any] = []
        try:
            for address in addresses:
                self._listeners.append(listen(address, self._admit))
        except BaseException:
            self.close()
            raise
        self.accept(True)

    @property
    def addresses(self) -> list[Address]:
        """Where clients can connect."""
        return [listener.bound for listener in self._listeners]

    def accept(self, accepting: bool) -> None:
        """Take new clients, or leave them in the kernel's queue."""
        if accepting == self._accepting:
            return
        self._accepting = accepting
        for listener in self._listeners:
            if accepting:
                self._selector.register(listener, selectors.EVENT_READ)
            else:
                self._selector.unregister(listener)

    def accept_last(self) -> None:
        """Take who has connected already, and perhaps gone since; nobody after that."""
        if self._accepting:
            for listener in self._listeners:
                self.accept_from(listener)
        self.accept(False)

    def accept_from(self, listener: Any) -> None:
        """The listener is ready: take its clients, as far as there are places."""
        while len(self.connections) < self._limit:
            before = len(self.connections)
            with block_forks():  # a child must not keep a connection that is not in the set yet
                listener.handle_request()
            if len(self.connections) == before:
                return
        self._make_room()

    def look_for_room(self) -> None:
        """Clients may be waiting for a place: accept again, or have somebody leave for them."""
        if not self._accepting:
            self.accept(len(self.connections) < self._limit)
            if not self._accepting:
                self._make_room()

    def _admit(self, client: socket.socket, address: Any) -> None:
        connection = Connection(client, describe_peer(client, address), MAX_PAYLOAD)
        self.connections.add(connection)
        connection.watch(self._selector, selectors.EVENT_READ)

    def _make_room(self) -> None:
        """At the limit: who has been silent for long goes, if he loses nothing by it."""
        free = [c for c in self.connections if not c.useful and not c.ended]
        for silent in sorted(free, key=lambda c: c.heard):
            heard = silent.heard
            if time.monotonic() - heard <= SILENT_TIMEOUT:
                break
            if silent.interest & selectors.EVENT_READ:
                self._hear(silent)  # it may have spoken in this turn
            if silent.ended:
                return
            if silent.heard == heard:
                self._send_away(silent)
                return
        self.accept(False)

    def after_fork_in_child(self) -> None:
        """Close a child's copies; nothing is unregistered or unlinked, which the parent needs."""
        for shared in (*self.connections, *(listener.socket for listener in self._listeners)):
            shared.close()

    def close(self) -> None:
        for connection in self.connections:
            connection.watch(self._selector, 0)
            connection.close()
        self.connections.clear()
        self.accept(False)
        for listener in self._listeners:
            listener.server_close()


def _descriptors_left() -> int:
    """Connections that the process may open, with room for its files."""
    try:
        import resource  # POSIX only
    except ImportError:
        return MAX_CONNECTIONS
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(limit - 64, 8)
