"""Where clients come from: hosts, networks, and users of this machine."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from loguru_stdbridge.receiver.connection import Connection
from loguru_stdbridge.receiver.origins import find_origins


class Remote:
    """A socket whose other end is elsewhere."""

    def __init__(self, host, own="192.0.2.1"):
        self.host, self.own = host, own

    def getpeername(self):
        if self.host is None:
            raise OSError("not connected")
        return (self.host, 5)

    def getsockname(self):
        return (self.own, 9020)


class Client:
    origin = None

    def __init__(self, remote):
        self.socket = remote


@pytest.mark.parametrize(
    ("host", "same", "other"),
    [
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"),
        ("fe80::1%eth0", "fe80::1", "fec0::1"),
    ],
)
def test_hosts_of_one_network_are_one_origin(host, same, other):
    """A host of IPv4 is an origin; of IPv6 the network is, since a host has as many as it likes."""
    clients = [Client(Remote(each)) for each in (host, same, other)]
    find_origins(clients)
    assert clients[0].origin == clients[1].origin != clients[2].origin


def test_a_client_that_has_gone_has_an_origin_too():
    """The decision goes on although one of the clients has gone."""
    gone = Client(Remote(None))
    find_origins([gone])
    assert gone.origin is not None


@pytest.mark.parametrize("family", ["tcp", "unix"])
def test_a_client_of_this_machine_is_known_by_its_user(family):
    """A user has one share at a Unix socket and on loopback."""
    with contextlib.ExitStack() as opened:
        if family == "unix":
            own, client = socket.socketpair()
        else:
            listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
            client = socket.create_connection(listener.getsockname())
            own = listener.accept()[0]
        opened.enter_context(client)
        connection = Connection(opened.enter_context(own), "a client", 100)
        find_origins([connection])
        assert connection.origin in (("user", os.getuid()), ("host", "127.0.0.1"))
