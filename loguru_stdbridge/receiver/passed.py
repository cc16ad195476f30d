"""Listens on sockets that were open when the process began: socket activation.

A service manager binds them, and keeps them over a restart of the receiver: no client is refused
meanwhile. The name of a socket says how it is spoken there: ``tls`` is TLS, any other is plain.
"""

from __future__ import annotations

import socket
import socketserver
from typing import TYPE_CHECKING

from ..addresses import Address
from ..exceptions import ConfigurationError
from ..system.runtime import AF_UNIX
from ..system.supervisor import PassedSocket
from .listeners import Accept, Listener

if TYPE_CHECKING:
    from .tls_connection import Certificates

TLS_NAME = "tls"
"""Name of a passed socket whose clients come by TLS."""


def address_of(passed: PassedSocket) -> Address:
    """Return where a passed socket listens.

    Raises :class:`ConfigurationError` for one that does not, or is none of ours.
    """
    named = f"the passed socket {passed.descriptor} ({passed.name or 'without a name'})"
    try:
        listener = socket.socket(fileno=passed.descriptor)
    except OSError as error:
        raise ConfigurationError(f"{named} is no socket: {error.strerror}") from error
    try:
        if listener.type != socket.SOCK_STREAM or not listener.getsockopt(
            socket.SOL_SOCKET, socket.SO_ACCEPTCONN
        ):
            raise ConfigurationError(f"{named} does not listen: use ListenStream= in its unit")
        place = listener.getsockname()
        if listener.family == AF_UNIX:
            return Address("unix", path=place if isinstance(place, str) else "")
        if listener.family not in (socket.AF_INET, socket.AF_INET6):
            raise ConfigurationError(f"{named} is neither TCP nor a Unix socket")
        scheme = "tls" if passed.name == TLS_NAME else "tcp"
        return Address(scheme, host=place[0], port=place[1])
    finally:
        listener.detach()


class PassedListener(Listener):
    """Accepts the clients of a passed socket. Its end closes it, and unlinks nothing."""

    def __init__(
        self, passed: PassedSocket, accept: Accept, certificates: Certificates | None
    ) -> None:
        address = address_of(passed)
        socketserver.BaseServer.__init__(self, address, socketserver.BaseRequestHandler)
        self._accept = accept
        self._place = address
        if address.scheme == "tls":
            self.certificates = certificates
        self.socket = socket.socket(fileno=passed.descriptor)
        self.socket.setblocking(False)

    @property
    def bound(self) -> Address:
        return self._place
