"""One connection from the worker to a receiver: connect, send, receive, leave. No threads here.

Owns the socket. Nothing here blocks but the look-up of a host's name: the sender waits on a
selector of its own, and a peer that does not answer or read holds up nothing but its own records.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import time
from typing import Any

from ..addresses import Address
from ..system.host import host_facts
from ..system.peers import place_of, user_at, users_listening_at
from ..system.runtime import (
    AF_UNIX,
    Entrance,
    log_socket_name,
    read_entrance,
    runtime_directories,
    shared_directory,
    short_path,
)
from ..system.users import own_users
from ..system.wakeup import move_socket

CONNECT_TIMEOUT = 5.0  # seconds; loopback answers at once, a lost host never

_READ_SIZE = 65536
_CONNECTING = (0, errno.EINPROGRESS, errno.EWOULDBLOCK)
_MSG_EOR = getattr(socket, "MSG_EOR", 0)
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)  # a program may have given SIGPIPE its default back
"""Ends a segment with the frame, where the platform has it: the logging cookbook's receiver drops
the connection when a ``recv(4)`` gives it a part of the length prefix. Measured with one burst down
one connection: 33,000 to 275,000 of 360,000 records without, 840,000 of 840,000 with."""


def make_entrance_proof(entrance: Any) -> Any:
    """Return the worker's side of the proof at an entrance; ``None`` for another address.

    :func:`prepare_to_resolve` has loaded it.
    """
    if not isinstance(entrance, Entrance):
        return None
    from ..system.gate import EntranceProof

    return EntranceProof(entrance)


Target = tuple[int, Any]  # address family, socket address


def prepare_to_resolve(address: Address) -> None:
    """Import what a connection to ``address`` needs: no thread of ours imports anything.

    A fork while another thread imports a module leaves the child with half a module for good.
    """
    if address.scheme == "log" and AF_UNIX is None:
        from ..system import gate  # noqa: F401
    with contextlib.suppress(UnicodeError):  # said when it is looked up
        _encode(address.host)


def _encode(host: str) -> bytes:
    """Return a host's name as bytes: of a text ``getaddrinfo`` looks up the codec in any case."""
    return host.encode("ascii" if host.isascii() else "idna")


def targets(address: Address, trusted: set[int] | None = None) -> list[Target]:
    """What to connect to for ``address``, in order. Raises ``OSError`` for an unknown host.

    ``trusted``: see :class:`Transport`.
    """
    if address.scheme == "log":
        name = log_socket_name(address.path, host_facts().network)
        users = sorted(own_users() if trusted is None else trusted, reverse=True)
        shared = [found for user in users for found in [shared_directory(user)] if found]
        directories = [*runtime_directories(beside=address.path), *shared]
        paths = [os.path.join(directory, name) for directory in directories]
        paths = [path for path in paths if os.path.exists(path)]
        if not paths:
            raise FileNotFoundError(errno.ENOENT, "no receiver of this log is running")
        if AF_UNIX is None:
            entrances = [entrance for path in paths if (entrance := read_entrance(path))]
            return [(socket.AF_INET, entrance) for entrance in entrances]
        return [(AF_UNIX, path) for path in paths]
    if address.scheme == "unix":
        if AF_UNIX is None:
            raise OSError(f"this platform has no Unix sockets: cannot reach {address}")
        return [(AF_UNIX, address.path)]
    if address.host == "localhost":
        # RFC 6761: always loopback. A child that is forked while another thread looks a name up
        # may wait for the C library's lock for ever; so the usual name needs no look-up.
        loopback = [(socket.AF_INET, ("127.0.0.1", address.port))]
        return [*loopback, (socket.AF_INET6, ("::1", address.port, 0, 0))]
    found = socket.getaddrinfo(_encode(address.host), address.port, type=socket.SOCK_STREAM)
    return [(family, sockaddr) for family, _, _, _, sockaddr in found]


class Transport:
    """A non-blocking stream socket on its way to being connected."""

    handshake = "shown to be the log's by its token"
    """What :meth:`shake_hands` does, for a message that it has not been done."""

    def __init__(self, target: Target, trusted: set[int] | None = None) -> None:
        """Begin to connect. Raises ``OSError`` where that is refused at once.

        ``trusted`` are the users whose receiver may get records; ``None``: this one and root.
        """
        family, sockaddr = target
        self._trusted = own_users() if trusted is None else trusted
        self.is_listener_known = family == AF_UNIX
        """Whether the system has told whose receiver it is, or the socket's directory shows it."""
        self.place = ""
        """The receiver's address, as :func:`~loguru_stdbridge.system.peers.place_of` writes it."""
        self._entrance_proof = make_entrance_proof(sockaddr)
        self._socket = move_socket(socket.socket(family, socket.SOCK_STREAM))
        self._socket.setblocking(False)
        if family != AF_UNIX:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        try:
            if family == AF_UNIX:
                with short_path(sockaddr) as path:
                    status = self._socket.connect_ex(path)
            else:
                status = self._socket.connect_ex(sockaddr[:2] if self._entrance_proof else sockaddr)
            if status not in _CONNECTING:
                raise OSError(status, os.strerror(status))
        except BaseException:  # it raises by itself where the path of a Unix socket is too long
            self._socket.close()
            raise

    def finish_connect(self) -> None:
        """The socket is writable: look whether it is connected, and to whom.

        Raises ``OSError`` where it is not, and ``PermissionError`` where another user listens:
        whoever takes a local address while its receiver is away would read the records.
        """
        status = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status:
            raise OSError(status, os.strerror(status))
        peer = self._socket.getpeername()
        if self._socket.family != AF_UNIX:
            if self._socket.getsockname() == peer:
                # Nobody listens, and the port that the system chose for us is the one we call.
                raise ConnectionRefusedError(errno.ECONNREFUSED, "the socket met itself")
            self.place = place_of(peer)
        self._check_listener(peer)

    def _check_listener(self, peer: Any) -> None:
        """Raise ``PermissionError`` where another user listens at ``peer``."""
        if self._socket.family == AF_UNIX:
            user = user_at(self._socket)
            users = None if user is None else {user}
        else:
            local = peer[0].startswith("127.") or peer[0] == "::1"
            users = users_listening_at(*peer[:2]) if local else None
            self.is_listener_known = users is not None or self._entrance_proof is not None
        strangers = (users or set()) - self._trusted
        if strangers:
            raise PermissionError(
                errno.EACCES,
                f"user {min(strangers)} listens there; records go only to a receiver of user "
                f"{' or '.join(map(str, sorted(self._trusted)))} (name another one with "
                "receiver_user=)",
            )

    def shake_hands(self) -> int:
        """Go on with what comes before the first frame; return what the socket is to be ready for,
        in the selector's words. 0: there is nothing left to do.

        A log's own port asks for a proof, and gives one (:mod:`~loguru_stdbridge.system.gate`).
        Raises ``OSError`` where the proof is wrong.
        """
        proof = self._entrance_proof
        return 0 if proof is None or proof.go_on(self._socket) else selectors.EVENT_READ

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, data: memoryview, *, end_of_record: bool = False) -> int:
        """Send what the kernel takes at once; returns how many bytes that were, perhaps 0."""
        try:
            return self._socket.send(data, _NO_SIGNAL | (_MSG_EOR if end_of_record else 0))
        except (BlockingIOError, InterruptedError):
            return 0

    def receive(self) -> bytes | None:
        """What has come; ``None`` for nothing yet, ``b""`` at the end of the stream."""
        try:
            return self._socket.recv(_READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None

    def finish(self) -> None:
        """Say that nothing more will be sent; what the peer still sends can be read.

        A socket closed with unread bytes sends a reset, and the kernel throws away what was still
        to be sent (measured: 4.16 of 4.29 MB). So: finish, read to the end of stream, close.
        """
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._socket.close()

    def detach(self) -> None:
        """Let go of the socket without closing it: its number is another file's by now."""
        self._socket.detach()


def _spread() -> float:
    """Return a factor by chance, from 0.75 to 1.25. ``random`` takes a millisecond to import."""
    return 0.75 + int.from_bytes(os.urandom(2), "little") / 0x1FFFE


class Backoff:
    """Growing pauses between attempts, in the words of ``SocketHandler``.

    Its defaults (1 s, doubled up to 30 s) leave a restarted receiver without records for half a
    minute; a refused connection on loopback costs 50 microseconds. Spread by a quarter, so that
    many workers do not come back in step.
    """

    def __init__(self, start: float = 0.05, maximum: float = 2.0, factor: float = 2.0) -> None:
        self._start = start
        self._maximum = maximum
        self._factor = factor
        self._pause = 0.0
        self._until = 0.0

    def failed(self) -> None:
        """Note a failed attempt."""
        self._pause = min(max(self._pause * self._factor, self._start), self._maximum)
        self._until = time.monotonic() + self._pause * _spread()

    def succeeded(self) -> None:
        self._pause = self._until = 0.0

    def remaining(self) -> float:
        """Seconds until the next attempt is due; 0 where it is."""
        return max(self._until - time.monotonic(), 0.0)
