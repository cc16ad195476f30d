"""Admit clients: own the listeners, bound the connections, choose who makes room for a new one.

Runs in the receiver's loop. What a client sends is :mod:`~loguru_stdbridge.receiver.server`'s.
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
"""Seconds of silence after which a client makes room for a new one, if there is none left. It is a
client of which no record was taken, or a worker of ours, which connects again when it has
records."""

MAX_CONNECTIONS = 1000
"""Clients served at a time, if the process may open that many files."""


class Admission:
    """The listeners, and the set of :attr:`connections`. Used by the receiver's one thread."""

    def __init__(
        self,
        addresses: Sequence[Address],
        selector: selectors.BaseSelector,
        *,
        limit: int,
        read_client: Callable[[Connection], None],
        evict: Callable[[Connection], None],
        report: Callable[[str], None],
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` if one of them cannot be bound.

        The log's own socket may be missing where there is another; ``report`` is told.
        ``read_client`` takes what a client has sent; ``evict`` ends one whose place is needed.
        """
        self.connections: set[Connection] = set()
        self._accepting = False
        self._selector = selector
        self._limit = min(limit, _descriptors_left())
        self._read_client = read_client
        self._evict = evict
        self._listeners: list[Any] = []
        try:
            for address in addresses:
                try:
                    self._listeners.append(listen(address, self._admit))
                except OSError as error:
                    if address.scheme != "log" or len(addresses) == 1:
                        raise
                    report(f"{error}. Workers that name the log by its path do not find it.")
        except BaseException:
            self.close()
            raise
        self.accept(True)

    @property
    def addresses(self) -> list[Address]:
        """The addresses at which clients can connect."""
        return [listener.bound for listener in self._listeners]

    def accept(self, accepting: bool) -> None:
        """Accept new clients from now on, or leave them in the kernel's queue."""
        if accepting == self._accepting:
            return
        self._accepting = accepting
        for listener in self._listeners:
            if accepting:
                self._selector.register(listener, selectors.EVENT_READ)
            else:
                self._selector.unregister(listener)

    def accept_last(self) -> None:
        """Accept the clients that have connected already, and no more after them.

        One of them may have sent its records and closed.
        """
        if self._accepting:
            for listener in self._listeners:
                self.accept_from(listener)
        self.accept(False)

    def accept_from(self, listener: Any) -> None:
        """Accept the clients of a ready listener, as far as there are places."""
        while len(self.connections) < self._limit:
            before = len(self.connections)
            with block_forks():  # a child must not keep a connection that is not in the set yet
                listener.handle_request()
            if len(self.connections) == before:
                return
        self._make_room()

    def look_for_room(self) -> None:
        """Accept again if there are places; else evict a client for those that may be waiting."""
        if not self._accepting:
            self.accept(len(self.connections) < self._limit)
            if not self._accepting:
                self._make_room()

    def _admit(self, client: socket.socket, address: Any) -> None:
        connection = Connection(client, describe_peer(client, address), MAX_PAYLOAD)
        self.connections.add(connection)
        connection.watch(self._selector, selectors.EVENT_READ)

    def _make_room(self) -> None:
        """Evict the client that has been silent for longest, among those that lose nothing."""
        free = [c for c in self.connections if not c.has_sent_record and not c.ended]
        for silent in sorted(free, key=lambda c: c.received_at):
            received_at = silent.received_at
            if time.monotonic() - received_at <= SILENT_TIMEOUT:
                break
            if silent.interest & selectors.EVENT_READ:
                self._read_client(silent)  # bytes may have come in this turn of the loop
            if silent.ended:
                return
            if silent.received_at == received_at:
                self._evict(silent)
                return
        self.accept(False)

    def after_fork_in_child(self) -> None:
        """Close a child's copies. Nothing is unregistered or unlinked: the parent needs it."""
        for shared in (*self.connections, *(listener.socket for listener in self._listeners)):
            shared.close()

    def close(self) -> None:
        """Close every connection and every listener."""
        for connection in self.connections:
            connection.watch(self._selector, 0)
            connection.close()
        self.connections.clear()
        self.accept(False)
        for listener in self._listeners:
            listener.server_close()


def _descriptors_left() -> int:
    """Return how many connections the process may open, with room for its files."""
    try:
        import resource  # POSIX only
    except ImportError:
        return MAX_CONNECTIONS
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(limit - 64, 8)
