"""Bind the listening sockets, and hand accepted clients over to the receiver's loop.

``socketserver`` binds and accepts; it handles no request, since the loop serves all clients.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import socketserver
import time
from typing import TYPE_CHECKING, Any, Callable

from ..addresses import Address
from ..exceptions import ConfigurationError
from ..system.host import host_facts
from ..system.listening import claim_port, logs_written_by, process_listening_at, program_of
from ..system.live_file import LiveFile
from ..system.runtime import (
    AF_UNIX,
    Entrance,
    log_socket_name,
    runtime_directories,
    shared_directory,
)
from ..system.unix_sockets import bind_unix, remove_dead_socket
from ..system.users import real_user
from .sharing import NOT_SHARED, SocketAccess

if TYPE_CHECKING:
    from .tls_connection import Certificates

Accept = Callable[["Listener", Any, Any], None]

BACKLOG = 512
"""Connections that the kernel holds until they are accepted: 500 workers may start at once."""


OLD_SOCKET_AGE = 24 * 3600.0
"""Seconds after which a dead socket of another log is removed. A young
one may be about to listen."""


_SHORTAGES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener(socketserver.TCPServer):
    """Accepts TCP clients."""

    request_queue_size = BACKLOG
    is_private = False
    """Whether the clients are of this user and of root alone, where the system tells whose."""
    certificates: Certificates | None = None
    """With which clients are accepted, where they come by TLS."""
    timeout = 0  # handle_request() never waits: the loop knows when a client is there

    def __init__(self, address: Address, accept: Accept, access: SocketAccess) -> None:
        self._accept = accept
        self._access = access
        super().__init__(self._bind_to(address), socketserver.BaseRequestHandler)
        self.socket.setblocking(False)

    def server_bind(self) -> None:
        claim_port(self.socket)
        super().server_bind()

    def _bind_to(self, address: Address) -> Any:
        if ":" in address.host:
            self.address_family = socket.AF_INET6
        return (address.host, address.port)

    shortage: OSError | None = None
    """Why no client was accepted, if the process or the system is short of something."""

    def get_request(self) -> Any:
        """Accept a client."""
        self.shortage = None
        try:
            return super().get_request()
        except OSError as error:
            if error.errno in _SHORTAGES:
                self.shortage = error
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        self._accept(self, request, client_address)

    @property
    def bound(self) -> Address:
        """The address that is bound, with the port that the system chose for port 0."""
        host, port = self.socket.getsockname()[:2]
        return Address("tcp" if self.certificates is None else "tls", host=host, port=port)


class _UnixListener(Listener):
    address_family = AF_UNIX

    def __init__(self, address: Address, accept: Accept, access: SocketAccess) -> None:
        super().__init__(address, accept, access)
        self.is_private = not access.is_shared

    def _bind_to(self, address: Address) -> Any:
        self._path = address.path
        return address.path

    def server_bind(self) -> None:
        bind_unix(self.socket, self._path, self._access.mode, self._access.group)
        self.server_address = self._path  # type: ignore[assignment]

    def server_close(self) -> None:
        super().server_close()
        with contextlib.suppress(OSError):
            os.unlink(self._path)

    @property
    def bound(self) -> Address:
        return Address("unix", path=self._path)


class _LogListener(_UnixListener):
    """The log's own socket: whoever knows the log's path finds it (:mod:`system.runtime`)."""

    def _bind_to(self, address: Address) -> Any:
        directories = runtime_directories(make=True, beside=address.path)
        if self._access.is_shared:
            shared = shared_directory(real_user(), make=True)
            directories = [] if shared is None else [shared]
        if not directories:
            raise OSError(errno.EACCES, "no directory for sockets can be made that is ours alone")
        _remove_old_sockets(directories[0])
        self._log_path = address.path
        name = log_socket_name(address.path, host_facts().network)
        self._path = os.path.join(directories[0], name)
        return self._path

    @property
    def bound(self) -> Address:
        return Address("log", path=self._log_path)


class _PortListener(Listener):
    """The log's own port, where there are no Unix sockets (:mod:`system.gate`)."""

    def _bind_to(self, address: Address) -> Any:
        directories = runtime_directories(make=True, beside=address.path)
        if not directories:
            raise OSError(errno.EACCES, "no directory for ports can be made that is ours alone")
        _remove_old_notes(directories[0])
        self._log_path = address.path
        name = log_socket_name(address.path, host_facts().network)
        self._note = LiveFile(os.path.join(directories[0], name), is_public=False)
        return ("127.0.0.1", 0)

    def server_activate(self) -> None:
        from ..system.gate import TOKEN_SIZE, GuardedSocket

        super().server_activate()
        host, port = self.socket.getsockname()[:2]
        self._token = os.urandom(TOKEN_SIZE)
        self._guard = GuardedSocket
        self._note.remove_old()
        self._note.write(Entrance(host, port, self._token).to_text())

    def get_request(self) -> Any:
        client, address = super().get_request()
        return self._guard(client, self._token), address

    def server_close(self) -> None:
        super().server_close()
        self._note.remove()

    @property
    def bound(self) -> Address:
        return Address("log", path=self._log_path)


def _remove_old_notes(directory: str) -> None:
    """Remove the notes of receivers that were killed long ago; their logs may never come back."""
    before = time.time() - OLD_SOCKET_AGE
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(directory)):
            with contextlib.suppress(OSError):
                if entry.name.endswith(".port") and os.stat(entry.path).st_mtime < before:
                    LiveFile(entry.path).remove_old()


def _remove_old_sockets(directory: str) -> None:
    """Remove the sockets of receivers that were killed long ago; their logs may never come back."""
    before = time.time() - OLD_SOCKET_AGE
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(directory)):
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    remove_dead_socket(entry.path)


_KINDS = {
    "tcp": Listener,
    "tls": Listener,
    "unix": _UnixListener,
    "log": _PortListener if AF_UNIX is None else _LogListener,
}


def listen(
    address: Address,
    accept: Accept,
    access: SocketAccess = NOT_SHARED,
    certificates: Certificates | None = None,
) -> Listener:
    """Return a listener on ``address``.

    It calls ``accept(listener, socket, peer address)`` for each client. ``access`` says who may use
    a Unix socket; a ``tls://`` address needs ``certificates``.

    Raises ``OSError`` that names the address if it cannot be bound.
    """
    if address.scheme == "tls" and certificates is None:
        raise ConfigurationError(f"{address} needs a certificate: name it with --tls-cert")
    if address.scheme == "unix" and AF_UNIX is None:
        raise OSError(f"cannot listen on {address}: this platform has no Unix sockets")
    try:
        listener = _KINDS[address.scheme](address, accept, access)
        if address.scheme == "tls":
            listener.certificates = certificates
        return listener
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.EADDRINUSE:
            reason = _explain_use(address)
        raise OSError(error.errno, f"cannot listen on {address}: {reason}") from error


def _explain_use(address: Address) -> str:
    """Say who listens there already, and what to do."""
    other = "--listen (or address=)"
    if address.has_port:
        port = address.port + 1 if address.port < 65535 else 0
        other += f", as in {address.scheme}://{address.host}:{port}"
    pid = process_listening_at(port=address.port, path=address.path)
    if pid is None:
        return f"another process listens there already; name another address with {other}"
    logs = " and ".join(logs_written_by(pid))
    who = f", which writes {logs}" if logs else f" ({program_of(pid)})"
    return (
        f"process {pid}{who}, listens there already; end it, or name another address with {other}"
    )
