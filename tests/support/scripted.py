"""Play a receiver move by move: it accepts, reads, answers and breaks off when the test says so."""

from __future__ import annotations

import logging
import pickle
import socket
import struct
from typing import Any

from loguru_stdbridge.addresses import Address
from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.wire.frames import MAX_PAYLOAD, FrameDecoder
from loguru_stdbridge.wire.receiving import HelloReceived, ReceiverConnection, RowsReceived

TIMEOUT = 30.0  # seconds, after which a test gives up waiting


def a_row(text: object, **fields: Any) -> bytes:
    """Return the row of a record with this message."""
    record = logging.makeLogRecord(
        {"msg": str(text), "name": "app", "levelname": "INFO", "levelno": 20, **fields}
    )
    return encode_logrecord(record, lambda name: ("i", None))


class ScriptedReceiver:
    """Listens on a free port of loopback and does only what the test tells it."""

    def __init__(self, port: int = 0, backlog: int = 16) -> None:
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(backlog)
        self.listener.settimeout(TIMEOUT)
        self.port = self.listener.getsockname()[1]
        self.address = Address("tcp", "127.0.0.1", self.port)
        self._clients: list[Client] = []

    def accept(self) -> Client:
        client = Client(self.listener.accept()[0])
        self._clients.append(client)
        return client

    def close(self) -> None:
        self.listener.close()
        for client in self._clients:
            client.close()

    def __enter__(self) -> ScriptedReceiver:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class Client:
    """One connection, read as a receiver of this package or as a stock one reads it."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(TIMEOUT)
        self.socket = connection
        self.protocol = ReceiverConnection(MAX_PAYLOAD)
        self._events: list[Any] = []
        self._frames = FrameDecoder()
        self._payloads: list[bytes] = []

    def event(self) -> Any:
        """Return the next event, or ``None`` at the end of the stream."""
        while not self._events:
            data = self.socket.recv(65536)
            if not data:
                return None
            self._events += self.protocol.receive(data)
        return self._events.pop(0)

    def hello(self, greet_with: int | None = None) -> HelloReceived:
        """Read the hello and greet with ``greet_with``, unless it is ``None``.

        The row in the hello, if there is one, is the next event.
        """
        event = self.event()
        assert isinstance(event, HelloReceived), event
        if greet_with is not None:
            self.socket.sendall(self.protocol.greeting(greet_with))
        return event

    def rows(self, through: int) -> dict[int, Any]:
        """Read rows up to number ``through``; fail if anything else comes."""
        found: dict[int, Any] = {}
        while through not in found:
            event = self.event()
            assert isinstance(event, RowsReceived), event
            found.update(enumerate(event.rows, event.first))
        return found

    def acknowledge(self, through: int) -> None:
        self.socket.sendall(self.protocol.acknowledgement(through))

    def record(self) -> logging.LogRecord | None:
        """Return the next record as a stock receiver reads it; ``None`` at the end of the stream."""
        while not self._payloads:
            data = self.socket.recv(65536)
            if not data:
                return None
            self._payloads += self._frames.feed(data)
        return logging.makeLogRecord(pickle.loads(self._payloads.pop(0)))

    def close(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()
