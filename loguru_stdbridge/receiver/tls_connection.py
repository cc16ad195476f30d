"""Clients of the receiver that come by TLS. Loaded only where a ``tls://`` address is listened at.

Why a handshake never stands in the loop's way
----------------------------------------------
Nothing here waits: a handshake goes on when bytes of the client's have come, as everything does, in
its turn (:mod:`~loguru_stdbridge.receiver.handshakes`).

Why a refused client learns the reason
--------------------------------------
OpenSSL's alert tells it. A socket that is closed with unread bytes sends a reset, which may destroy
the alert on its way. So after a fault the alert is sent, the sending side is closed, and what still
comes is read and thrown away, until the client has gone or two seconds are over.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from ..exceptions import ConfigurationError, TlsError
from ..pickles.known import KnownShapes
from ..system.revocations import CertificateName, name_of_certificate, read_revoked
from ..system.tls import PLAIN_ANSWER, TlsStream, make_server_context
from ..system.tls_files import TlsFiles
from .connection import Connection


class Certificates:
    """What clients are accepted with; read from its files anew when it is told so."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises :class:`ConfigurationError` if the files cannot be used."""
        self.files = files
        self.context = make_server_context(files)
        self._revoked: frozenset[CertificateName] = frozenset()  # the context itself knows them

    def make_connection(
        self, client: socket.socket, peer: str, max_payload: int, known: KnownShapes | None
    ) -> TlsConnection:
        """Return the connection of a client that was accepted; see :class:`.Connection`."""
        return TlsConnection(client, peer, max_payload, known, self)

    def read_again(self, report: Callable[[str], None]) -> None:
        """Take the files as they are now; where they cannot be used, keep what there is.

        A connection that is there already stays, with the certificates that it has begun with,
        unless :meth:`is_revoked` says otherwise.
        """
        try:
            self.context = make_server_context(self.files)
            self._revoked = frozenset() if self.files.crl is None else read_revoked(self.files.crl)
        except (ConfigurationError, OSError) as error:
            report(f"{error}; the certificates that were read before are still in use")

    def is_revoked(self, connection: Connection) -> bool:
        """Return whether the list that was read last revokes a client's certificate."""
        return isinstance(connection, TlsConnection) and connection.certificate in self._revoked


class TlsConnection(Connection):
    """A client whose bytes are encrypted."""

    def __init__(
        self,
        client: socket.socket,
        peer: str,
        max_payload: int,
        known: KnownShapes | None,
        certificates: Certificates,
    ) -> None:
        super().__init__(client, peer, max_payload, known)
        self._certificates = certificates
        self._stream: TlsStream | None = None  # it has 30 kB: not before a byte has come
        self._encrypted = bytearray()
        self._shaking_hands = True

    @property
    def is_shaking_hands(self) -> bool:
        return self._shaking_hands

    @property
    def certificate(self) -> CertificateName | None:
        """Which certificate the client has shown, once its handshake is done."""
        if self._stream is None or self._shaking_hands:
            return None
        return name_of_certificate(self._stream.peer_certificate)

    @property
    def sending(self) -> bool:
        return bool(self._out or self._encrypted)

    def _read(self) -> bytes | None:
        data = super()._read()
        if data is None:
            return None
        if self.fault is not None:  # it has been told, and is read to its end
            return None if data else b""
        if not data:
            if self._shaking_hands and self._stream is not None:
                self.fault = "it ended the connection in the middle of the TLS handshake"
            return b""
        if self._stream is None:
            self._stream = TlsStream(self._certificates.context)
        stream = self._stream
        try:
            plain = stream.feed(data)
        except TlsError as error:
            self._break_off(stream, str(error))
            return None
        if self._shaking_hands and stream.is_open:
            self._shaking_hands = False
            if stream.peer_name:
                self.peer = f"{stream.peer_name[:64]} at {self.peer}"
        self.flush()
        if plain:
            return plain
        return b"" if stream.has_ended else None

    def _break_off(self, stream: TlsStream, fault: str) -> None:
        self.fault = fault
        self._out.clear()
        self._encrypted += stream.take_outgoing()
        if not self._encrypted and self._shaking_hands:
            self._encrypted += PLAIN_ANSWER
        self._push(self._encrypted)
        self._encrypted.clear()
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def flush(self) -> None:
        stream = self._stream
        if stream is None:
            return
        while self._out and self.fault is None:
            del self._out[: stream.write(self._out)]
        self._encrypted += stream.take_outgoing()
        self._push(self._encrypted)
