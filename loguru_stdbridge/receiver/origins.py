"""Tell where the clients of the receiver come from: from a host, or from a user of this machine.

Clients share their places by origin (:mod:`~loguru_stdbridge.receiver.places`). A host of IPv6 has
a whole network of addresses (/64), so the network is the origin. A user of this machine is known at
a Unix socket, and on loopback where the system tells; where it does not, the host counts.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable

from ..system.peers import plain_host, user_at, users_of_clients
from .connection import Connection

_NETWORK_SIZE = 8  # bytes of an IPv6 address that are the network's


def find_origins(connections: Iterable[Connection]) -> None:
    """Set ``origin`` of each connection that has none. The system's tables are read once."""
    on_loopback: dict[int, list[tuple[Connection, str, int]]] = {}
    for connection in connections:
        if connection.origin is not None:
            continue
        try:
            peer, own = connection.socket.getpeername(), connection.socket.getsockname()
        except OSError:  # the client has gone
            connection.origin = ("gone", None)
            continue
        if not isinstance(peer, tuple):
            connection.origin = ("user", user_at(connection.socket))
            continue
        host = plain_host(peer[0])
        connection.origin = ("host", _network(host))
        if host == "::1" or host.startswith("127.") or host == plain_host(own[0]):
            on_loopback.setdefault(own[1], []).append((connection, host, peer[1]))
    for port, clients in on_loopback.items():
        users = users_of_clients(port)
        for connection, host, client_port in clients:
            user = users.get((host, client_port))
            if user is not None:
                connection.origin = ("user", user)


def _network(host: str) -> object:
    if ":" not in host:
        return host
    try:
        return socket.inet_pton(socket.AF_INET6, host)[:_NETWORK_SIZE]
    except OSError:
        return host
