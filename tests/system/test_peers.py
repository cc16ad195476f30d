"""A program finds out which user is at the other end of a local connection."""

from __future__ import annotations

import contextlib
import os
import socket
import sys

import pytest

from loguru_stdbridge.system.peers import (
    plain_host,
    user_at,
    users_listening_at,
    users_of_clients,
)
from loguru_stdbridge.system.users import own_users
from tests.support.processes import start_python

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc tells it on Linux")
OTHER_USER = 1234


@contextlib.contextmanager
def listening(address, family=socket.AF_INET):
    """A socket of this process that listens; its port."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen()
        yield listener.getsockname()[1] if family != socket.AF_UNIX else 0


@linux
@pytest.mark.parametrize(
    ("bound", "family", "asked"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("0.0.0.0", socket.AF_INET, "127.0.0.1"),
        ("::1", socket.AF_INET6, "::1"),
        ("::", socket.AF_INET6, "127.0.0.1"),
        ("::ffff:127.0.0.1", socket.AF_INET6, "127.0.0.1"),
    ],
)
def test_the_user_of_a_listener_is_found(bound, family, asked):
    """The listening user is found for IPv4, for IPv6, and for sockets bound to every address."""
    with listening((bound, 0), family) as port:
        assert users_listening_at(asked, port) == {os.getuid()}


@linux
def test_a_listener_of_another_address_does_not_count():
    """A listener of another loopback address does not count: it cannot take the connection."""
    with listening(("127.0.0.2", 0)) as port:
        assert users_listening_at("127.0.0.1", port) is None
        assert users_listening_at("127.0.0.2", port) == {os.getuid()}


@linux
@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
def test_a_listener_of_another_user_is_told_from_ours():
    """A process of another user that took the port is not among the trusted users."""
    code = (
        f"import os, socket, sys; os.setuid({OTHER_USER}); "
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); "
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    process = start_python(code, stdin=True)
    try:
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)):  # nobody has accepted it
            assert users_listening_at("127.0.0.1", port) == {OTHER_USER}
        assert OTHER_USER not in own_users()
    finally:
        process.communicate()


def test_where_nobody_listens_nothing_is_known():
    """A free port has no users, nor has a host that is no number."""
    with listening(("127.0.0.1", 0)) as port:
        pass
    assert users_listening_at("127.0.0.1", port) is None
    assert users_listening_at("localhost", port) is None


@linux
def test_the_user_behind_a_unix_socket_is_found(tmp_path, monkeypatch):
    """The user who called ``listen()`` on a Unix socket is known before anybody accepts."""
    monkeypatch.chdir(tmp_path)  # a short path
    with listening("s", socket.AF_UNIX), socket.socket(socket.AF_UNIX) as client:
        client.connect("s")
        assert user_at(client) == os.getuid()


def test_a_connection_that_tells_no_user_is_not_known():
    """A TCP socket has no credentials, and asking for them raises nothing."""
    with listening(("127.0.0.1", 0)) as port, socket.create_connection(("127.0.0.1", port)) as it:
        assert user_at(it) is None


@linux
@pytest.mark.parametrize(
    ("bound", "family", "target"),
    [
        ("127.0.0.1", socket.AF_INET, "127.0.0.1"),
        ("::1", socket.AF_INET6, "::1"),
        ("::", socket.AF_INET6, "127.0.0.1"),
    ],
)
def test_the_users_of_clients_are_found(bound, family, target):
    """The client of a connection on loopback is known by its host and port, as the receiver's end
    of the connection shows them."""
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((bound, 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert users_of_clients(port) == {}
        with socket.create_connection((target, port)):
            accepted, peer = listener.accept()
            with accepted:
                assert users_of_clients(port) == {(plain_host(peer[0]), peer[1]): os.getuid()}


@linux
@pytest.mark.skipif(os.getuid() != 0, reason="only root can start a process of another user")
def test_a_client_of_another_user_is_told_from_ours():
    """Two users on one host are two."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(30)
        port = listener.getsockname()[1]
        code = (
            f"import os, socket, sys; os.setuid({OTHER_USER}); "
            f"s = socket.socket(); s.connect(('127.0.0.1', {port})); sys.stdin.read()"
        )
        process = start_python(code, stdin=True)
        try:
            with socket.create_connection(("127.0.0.1", port)):
                accepted = [listener.accept()[0] for _ in range(2)]
                users = users_of_clients(port)
                for connection in accepted:
                    connection.close()
                assert sorted(users.values()) == [os.getuid(), OTHER_USER]
        finally:
            process.communicate()


def test_a_host_is_written_in_one_way():
    """IPv4 that IPv6 maps is IPv4, a zone is not part of the host, and a name stays as it is."""
    assert plain_host("::ffff:127.0.0.1") == plain_host("127.0.0.1") == "127.0.0.1"
    assert plain_host("fe80::1%eth0") == "fe80::1"
    assert plain_host("localhost") == "localhost"
