"""A worker's connections under TLS. Loaded for ``tls://`` addresses only, before any thread starts.

The certificate says whose the receiver is, so nothing else is asked about that: neither the user
who listens on this machine, nor the proof by the spool's secret.
"""

from __future__ import annotations

import contextlib
import selectors
import socket

from ..exceptions import ConfigurationError, TlsError
from ..system.tls import TlsStream, make_client_context
from ..system.tls_files import TlsFiles
from .transport import Target, Transport


class TlsConnections:
    """Opens connections with one set of certificate files."""

    def __init__(self, files: TlsFiles, host: str) -> None:
        """Raises :class:`ConfigurationError` if the files cannot be used."""
        self._files = files
        self._hostname = files.hostname or host
        self._state = files.state()
        self._context = make_client_context(files)

    def open(self, target: Target, trusted: set[int] | None) -> Transport:
        """Begin to connect. Certificates that have changed are read again: they live for days."""
        state = self._files.state()
        if state != self._state:
            with contextlib.suppress(ConfigurationError):  # half written, perhaps: the next time
                self._context = make_client_context(self._files)
                self._state = state
        return TlsTransport(target, trusted, TlsStream(self._context, self._hostname))


class TlsTransport(Transport):
    """A transport whose bytes are encrypted."""

    handshake = "secured by TLS"

    def __init__(self, target: Target, trusted: set[int] | None, stream: TlsStream) -> None:
        super().__init__(target, trusted)
        self._stream = stream
        self._unsent = b""
        self._encrypted = 0  # bytes that the caller has been told nothing of yet
        self._plain = b""

    def _check_listener(self, peer: object) -> None:
        self.is_listener_known = True  # its certificate will tell

    def shake_hands(self) -> int:
        if self._stream.is_open:
            self._flush()
            return selectors.EVENT_WRITE if self._unsent else 0
        data = super().receive()
        if data == b"":
            heard = "in the middle of" if self._stream.has_heard else "instead of beginning"
            raise TlsError(
                f"the receiver ended the connection {heard} the TLS handshake; it may speak no TLS "
                "at this port (tcp://)"
            )
        self._plain += self._feed(data or b"")
        if self._unsent:
            return selectors.EVENT_WRITE
        return 0 if self._stream.is_open else selectors.EVENT_READ

    def _feed(self, data: bytes) -> bytes:
        try:
            plain = self._stream.feed(data)
        except TlsError:
            with contextlib.suppress(OSError):
                self._flush()  # it tells the receiver
            raise
        self._flush()
        return plain

    def _flush(self) -> None:
        self._unsent += self._stream.take_outgoing()
        while self._unsent:
            count = super().send(memoryview(self._unsent))
            if not count:
                return
            self._unsent = self._unsent[count:]

    def send(self, data: memoryview, *, end_of_record: bool = False) -> int:
        """Send ``data``, or what of it makes one record of TLS.

        Where the kernel takes a part of that record only, nothing counts as sent: the caller comes
        again with the same data, and the rest of the record is sent then.
        """
        if not self._encrypted:
            self._encrypted = self._stream.write(data)
        self._flush()
        if self._unsent:
            return 0
        count, self._encrypted = self._encrypted, 0
        return count

    def receive(self) -> bytes | None:
        plain, self._plain = self._plain, b""
        if not plain:
            data = super().receive()
            if not data:
                return data
            plain = self._feed(data)
        if plain:
            return plain
        return b"" if self._stream.has_ended else None

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            if not self._unsent:
                self._stream.end()
                self._flush()
            self._socket.shutdown(socket.SHUT_WR)
