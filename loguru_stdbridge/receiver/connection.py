"""One client of the receiver: its socket, the bytes it has sent, the answers it waits for.

It writes to no client that has not said a hello of ours. A stock client never reads, and closing a
socket that holds unread bytes resets the connection, which throws away what is on its way. No
threads here.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from typing import Any, NamedTuple

from ..pickles.known import KnownShapes
from ..system.peers import place_of, process_at, user_at
from ..system.runtime import AF_UNIX
from ..system.users import own_users
from ..wire.receiving import Event, ReceiverConnection
from .limits import Pace
from .owners import Owner
from .places import Standing

READ_SIZE = 256 * 1024
"""Bytes taken from one client before the next has its turn."""


REQUESTS = (b"GET ", b"HEAD ", b"POST ")
"""How an HTTP request begins, for the receiver's status. As a length it is beyond any frame's."""


class LocalRequest(NamedTuple):
    """The client speaks HTTP: these are its first bytes."""

    received: bytes


class Connection:
    """A client, non-blocking. Times are of ``time.monotonic``."""

    def __init__(
        self,
        client: socket.socket,
        peer: str,
        max_payload: int,
        known: KnownShapes | None = None,
    ) -> None:
        """``peer`` says who the client is, for messages; ``max_payload`` is in bytes.

        ``known`` has the shapes of pickles that all clients share.
        """
        client.setblocking(False)
        with contextlib.suppress(OSError):  # a Unix socket has no such option
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.socket = client
        self.peer = peer
        self.protocol = ReceiverConnection(max_payload, known)
        self.opened_at = time.monotonic()
        self.received_at = self.opened_at
        """When bytes came last."""
        self.frame_began_at: float | None = None
        """When the incomplete frame at the front began; ``None`` if there is none."""
        self.has_sent_frame = False
        self.records = 0
        """Records that it has sent, duplicates included."""
        self.owner: Owner | None = None
        """The process that it is of; ``None`` until somebody has asked."""
        self.standing = Standing.NEWCOMER
        self.origin: tuple[str, object] | None = None
        """The host or user that it is of; ``None`` until somebody has asked."""
        self.fault: str | None = None
        """Why nothing of it can be read, if what carries its frames has failed."""
        self.pace: Pace | None = None
        """How fast it may go on, where there is a limit."""
        self.rests_until: float | None = None
        """Until when nothing more of it is read, where it has gone too fast."""
        self.ends_at: float | None = None
        """When it is ended at the latest, if it is only heard out."""
        self.ended = False
        """Whether nothing more is read from it: it has closed, or is about to be closed."""
        self.refused = False
        """Whether the receiver ends it, not the client."""
        self.is_greeted = False
        """Whether it has said a hello that was answered: only then it waits for answers."""
        self.said_goodbye = False
        self.takes_levels = False
        """Whether it can be told of least levels that an operator wants."""
        self.has_orders = False
        """Whether it was told of such levels, and not that they are over."""
        self.acknowledged_through = 0
        """The highest number acknowledged on this connection."""
        self.interest = 0
        """The selector's events that are waited for."""
        self._out = bytearray()

    def fileno(self) -> int:
        """Return the descriptor that a selector watches."""
        return self.socket.fileno()

    @property
    def sender(self) -> str | None:
        """The sender's id, once it has said its hello."""
        return self.protocol.sender

    @property
    def place(self) -> str:
        """Our address, as the client has reached it; "" where it has gone."""
        with contextlib.suppress(OSError):
            return place_of(self.socket.getsockname())
        return ""

    @property
    def sending(self) -> bool:
        """Whether an answer waits for room in the socket."""
        return bool(self._out)

    @property
    def is_shaking_hands(self) -> bool:
        """Whether what comes before the first frame is not done."""
        return False

    def receive(self) -> list[Event] | list[LocalRequest]:
        """Read once what is there. Sets ``ended`` at the end of the stream, or if it is broken."""
        data = self._read()
        if data is None:
            return []
        if not data:
            self.ended = True
            return []
        self.received_at = time.monotonic()
        if not self.has_sent_frame and data.startswith(REQUESTS) and self._may_request():
            return [LocalRequest(data)]
        events = self.protocol.receive(data)
        if events:
            self.has_sent_frame = True
        if not self.protocol.pending_bytes:
            self.frame_began_at = None
        elif self.frame_began_at is None or events:
            self.frame_began_at = self.received_at
        return events

    def has_unread(self) -> bool:
        """Return whether bytes, or the end of the stream, have come that were not read."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True
        return True

    def _read(self) -> bytes | None:
        """Return what has come; ``None`` for nothing yet, ``b""`` at the end."""
        try:
            return self.socket.recv(READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def _may_request(self) -> bool:
        """Return whether it is at a Unix socket, of this user or root, and sent nothing else."""
        if self.socket.family != AF_UNIX or self.protocol.pending_bytes:
            return False
        user = user_at(self.socket)
        return user is None or user in own_users()

    def send(self, data: bytes) -> None:
        """Send ``data``; what the socket does not take now is kept for :meth:`flush`."""
        self._out += data
        self.flush()

    def flush(self) -> None:
        """Send what is kept, as far as the socket takes it."""
        self._push(self._out)

    def _push(self, data: bytearray) -> None:
        """Send what the socket takes of ``data``, and remove it there."""
        if data:
            try:
                del data[: self.socket.send(data)]
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data.clear()
                self.ended = True

    def acknowledge(self, through: int) -> None:
        """Tell the sender that everything up to ``through`` is written, unless it knows.

        While an answer waits for room nothing is added: the next acknowledgement covers it all.
        """
        if through > self.acknowledged_through and not self.sending:
            self.acknowledged_through = through
            self.send(self.protocol.acknowledgement(through))

    def watch(self, selector: selectors.BaseSelector, interest: int) -> None:
        """Have the selector wait for the events in ``interest``; 0 is none."""
        if interest == self.interest:
            return
        if not self.interest:
            selector.register(self, interest)
        elif not interest:
            selector.unregister(self)
        else:
            selector.modify(self, interest)
        self.interest = interest

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()


def describe_peer(client: socket.socket, address: Any) -> str:
    """Return who a client is, for messages: host and port, or the process at a Unix socket."""
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    pid = process_at(client)
    return "a local process" if pid is None else f"process {pid}"
