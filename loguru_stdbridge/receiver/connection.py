"""One client of the receiver: its socket, what it says, what it is told. No threads here.

Owns the bytes in both directions. It writes to nobody who has not said a hello of ours: a stock
client never reads, and a socket closed with unread bytes resets the connection.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import Any

from ..wire.receiving import Event, ReceiverConnection

READ_SIZE = 256 * 1024
"""Bytes taken from one client before the next has its turn."""


class Connection:
    """A client, non-blocking. ``key`` is what the selector knows it by."""

    def __init__(self, client: socket.socket, peer: str, max_payload: int) -> None:
        client.setblocking(False)
        with contextlib.suppress(OSError):  # a Unix socket has no such option
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.socket = client
        self.peer = peer
        self.protocol = ReceiverConnection(max_payload)
        self.opened = time.monotonic()
        self.frame_since: float | None = None  # when the incomplete frame at the front began
        self.frames = 0
        self.heard = self.opened  # when bytes came last
        self.useful = False  # a stock client of which a record was taken: it may come with more
        self.interest = 0
        self.ended = False  # the client will send no more
        self.refused = False  # and it is we who end it
        self.told = 0  # highest number acknowledged on this connection
        self.goodbye = False
        self._out = bytearray()

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def sender(self) -> str | None:
        """The sender's id, once it has said its hello."""
        return self.protocol.sender

    @property
    def sending(self) -> bool:
        """Whether an answer waits for room in the socket."""
        return bool(self._out)

    def receive(self) -> list[Event]:
        """Read what is there, once. Sets ``ended`` at the end of the stream or a broken one."""
        try:
            data = self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError:
            self.ended = True
            return []
        if not data:
            self.ended = True
            return []
        self.heard = time.monotonic()
        events = self.protocol.receive(data)
        self.frames += len(events)
        if not self.protocol.pending_bytes:
            self.frame_since = None
        elif self.frame_since is None or events:
            self.frame_since = self.heard
        return events

    def send(self, data: bytes) -> None:
        """Send, or keep what the socket does not take now."""
        self._out += data
        self.flush()

    def flush(self) -> None:
        if self._out:
            try:
                del self._out[: self.socket.send(self._out)]
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._out.clear()
                self.ended = True

    def acknowledge(self, through: int) -> None:
        """Tell that everything up to ``through`` is written, if that is news.

        While an answer waits for room nothing is added to it: the next one tells it all.
        """
        if through > self.told and not self._out:
            self.told = through
            self.send(self.protocol.acknowledgement(through))

    def watch(self, selector: selectors.BaseSelector, interest: int, data: Any = None) -> None:
        """Have the selector wait for ``interest`` (0: for nothing)."""
        if interest == self.interest:
            return
        if not self.interest:
            selector.register(self, interest, data)
        elif not interest:
            selector.unregister(self)
        else:
            selector.modify(self, interest, data)
        self.interest = interest

    def close(self) -> None:
        self.socket.close()


def describe_peer(client: socket.socket, address: Any) -> str:
    """Who a client is, for messages: host and port, or the process behind a Unix socket."""
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    option = getattr(socket, "SO_PEERCRED", None)
    if option is not None:
        with contextlib.suppress(OSError):
            pid = int.from_bytes(client.getsockopt(socket.SOL_SOCKET, option, 12)[:4], "little")
            return f"process {pid}"
    return "a local process"
