"""TLS for one connection, bytes in and bytes out, and the contexts that certificate files give.

Sans-IO: no sockets here. Owns what TLS's own faults are called. Nothing imports this module before
a ``tls://`` address is used.

Why a client that never reads loses nothing
-------------------------------------------
A stock ``SocketHandler`` under TLS never reads its socket, and a socket that is closed with unread
bytes sends a reset, which destroys what is still on its way. In TLS 1.3 a server sends session
tickets after the handshake. So the receiver's context sends none: after the handshake no byte goes
to a client that has not spoken our dialect.
"""

from __future__ import annotations

import contextlib
import ssl

from ..exceptions import ConfigurationError, TlsError
from .tls_files import TlsFiles

READ_PLAIN = 16384  # bytes; no record of TLS has more
_HANDSHAKE, _ALERT = 0x16, 0x15  # types of a record, its first byte
_MAX_RECORD = 16384

PLAIN_ANSWER = bytes.fromhex("15030100020246")
"""A TLS alert: protocol version. A peer that speaks no TLS is told by it why it is refused."""

_WORDS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate, and one is asked for",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the other side asks for a certificate: name one",
    "TLSV1_ALERT_UNKNOWN_CA": "the other side does not know the CA of this side's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the other side finds this side's certificate expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the other side finds this side's certificate revoked",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the other side does not accept this side's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the other side does not accept this side's certificate, "
    "perhaps for its host name",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "the other side finds that this side's certificate is "
    "not for this use",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the other side ends the handshake: it may ask for a "
    "certificate, or for other ciphers",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the other side speaks another version of TLS (here: 1.2 and "
    "1.3), or none",
    "UNSUPPORTED_PROTOCOL": "the other side speaks another version of TLS (here: 1.2 and 1.3)",
    "NO_SHARED_CIPHER": "the two sides have no cipher in common",
}
"""What OpenSSL calls the faults of a handshake, and what they are."""


class TlsStream:
    """One side of a TLS connection. For one thread."""

    def __init__(self, context: ssl.SSLContext, hostname: str | None = None) -> None:
        """``hostname``: this is the client, and the server's certificate must have that name."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        is_server = hostname is None
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=is_server, server_hostname=hostname
        )
        self.is_open = False
        """Whether the handshake is finished at this side."""
        self.has_heard = False
        """Whether any byte of the peer's has come."""
        self.has_ended = False
        """Whether the peer has said that it sends nothing more."""

    @property
    def peer_name(self) -> str:
        """The common name in the peer's certificate; "" without one."""
        certificate = self._object.getpeercert() or {}
        for part in certificate.get("subject", ()):
            for pair in part:
                if pair[0] == "commonName":
                    return str(pair[1])
        return ""

    @property
    def peer_certificate(self) -> bytes:
        """The peer's certificate in DER; empty without one."""
        return self._object.getpeercert(binary_form=True) or b""

    def feed(self, data: bytes) -> bytes:
        """Take bytes of the peer's; return those that it meant, none of them during the handshake.

        Call it with no bytes to begin. Raises :class:`TlsError`; :meth:`take_outgoing` may have
        what tells the peer, then as well.
        """
        if data and not self.has_heard:
            self.has_heard = True
            if data[0] not in (_HANDSHAKE, _ALERT):
                raise TlsError("it sent plain bytes, and this end speaks TLS: use tls:// at both")
        self._incoming.write(data)
        parts = []
        try:
            if not self.is_open:
                self._object.do_handshake()
                self.is_open = True
            while not self.has_ended:
                part = self._object.read(READ_PLAIN)
                if part:
                    parts.append(part)
                else:
                    self.has_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.has_ended = True
        except ssl.SSLError as error:
            raise TlsError(_describe(error)) from error
        return b"".join(parts)

    def write(self, data: memoryview | bytes | bytearray) -> int:
        """Encrypt bytes of ``data``; return how many. They are in :meth:`take_outgoing`."""
        try:
            return self._object.write(data[:_MAX_RECORD])
        except ssl.SSLError as error:
            raise TlsError(_describe(error)) from error

    def end(self) -> None:
        """Say that nothing more is sent. What the peer still sends can be read."""
        with contextlib.suppress(ssl.SSLError):  # it wants the peer's own end, which may wait
            self._object.unwrap()

    def take_outgoing(self) -> bytes:
        """Return what has to go to the peer."""
        return self._outgoing.read()


def _describe(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message.rstrip('.')}"
    reason = str(error.reason or error)
    return _WORDS.get(reason, f"TLS: {reason.lower().replace('_', ' ')}")


def make_client_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what a worker connects with. Raises :class:`ConfigurationError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # it checks certificate and host name
    if files.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    _load(context, files)
    return context


def make_server_context(files: TlsFiles) -> ssl.SSLContext:
    """Return what a receiver accepts with. Raises :class:`ConfigurationError`."""
    if files.cert is None:
        raise ConfigurationError(
            "a tls:// address needs the receiver's certificate: name it with --tls-cert (tls_cert=)"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0  # see the module's text
    _load(context, files)
    if files.ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if files.cert is not None:
        named = f"tls_cert={files.cert!r}"
        if files.key is not None:
            named += f" with tls_key={files.key!r}"

        def refuse_password() -> str:
            raise ConfigurationError(
                f"{named}: the key is encrypted, and nobody is here to type its password; store "
                "it without one, readable for this user alone"
            )

        try:
            context.load_cert_chain(files.cert, files.key, refuse_password)
        except (OSError, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            raise ConfigurationError(f"{named}: {_why(error, 'certificate and key')}") from error
    for name, path, what in (("tls_ca", files.ca, "certificate"), ("tls_crl", files.crl, "list")):
        if path is not None:
            before = context.cert_store_stats()
            try:
                context.load_verify_locations(path)
            except (OSError, ValueError) as error:
                raise ConfigurationError(f"{name}={path!r}: {_why(error, what)}") from error
            if name == "tls_crl":
                if context.cert_store_stats()["crl"] == before["crl"]:
                    raise ConfigurationError(f"{name}={path!r}: there is no revocation list in it")
                context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _why(error: Exception, what: str) -> str:
    if isinstance(error, ssl.SSLError):
        reason = str(error.reason or error)
        if reason == "KEY_VALUES_MISMATCH":
            return "the key is another certificate's"
        return f"no {what} in PEM can be read there ({reason.lower().replace('_', ' ')})"
    return getattr(error, "strerror", None) or str(error)
