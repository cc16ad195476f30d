"""Admit clients: own the listeners and the connections, and have somebody leave where it is full.

Runs in the receiver's loop. What a client sends is :mod:`~loguru_stdbridge.receiver.server`'s, and
who leaves for whom is decided in :mod:`~loguru_stdbridge.receiver.places`.

When no descriptor is free
--------------------------
The kernel keeps a client that cannot be accepted, and the listener stays ready: a loop that tried
again at once would never sleep. So a client that can leave does, and if there is none the listeners
rest until the next look of the loop, a second later.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

from ..addresses import Address
from ..pickles.known import KnownShapes
from ..system.forks import block_forks
from ..system.limits import socket_limit
from ..system.peers import user_at
from ..system.supervisor import PassedSocket
from ..system.users import current_user, own_users
from ..wire.frames import MAX_PAYLOAD
from .connection import Connection, describe_peer
from .handshakes import Handshakes
from .limits import MAX_CONNECTIONS, Limits
from .listeners import Listener, listen
from .origins import find_origins
from .passed import PassedListener
from .places import Places, Standing
from .sharing import NOT_SHARED, SocketAccess

if TYPE_CHECKING:
    from .tls_connection import Certificates

MAX_ACCEPTED = 64
"""Clients accepted in one turn of the loop. Others are ready for it, too."""


class Admission:
    """The listeners, and the set of :attr:`connections`. Used by the receiver's one thread."""

    def __init__(
        self,
        addresses: Sequence[Address],
        selector: selectors.BaseSelector,
        *,
        limits: Limits,
        read_client: Callable[[Connection], None],
        dismiss: Callable[[Connection, str], None],
        report: Callable[[str], None],
        access: SocketAccess = NOT_SHARED,
        certificates: Certificates | None = None,
        passed: Sequence[PassedSocket] = (),
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` if one of them cannot be bound.

        The log's own socket may be missing where there is another; ``report`` is told.
        ``read_client`` takes what a client has sent; ``dismiss`` ends one, for the given reason.
        """
        self.connections: set[Connection] = set()
        self._known_shapes = KnownShapes()
        self._accepting = False
        self._is_short = False  # of descriptors or memory, when a client was to be accepted last
        self._selector = selector
        self._places: Places[Connection] = Places(
            min(limits.connections, _descriptors_left()), self._origin
        )
        self._read_client = read_client
        self._dismiss = dismiss
        self._report = report
        self._limits = limits
        self._certificates = certificates
        self.handshakes = Handshakes(selector, dismiss)
        self._listeners: list[Listener] = []
        try:
            for given in passed:
                self._listeners.append(PassedListener(given, self._admit, certificates))
            for address in addresses:
                try:
                    self._listeners.append(listen(address, self._admit, access, certificates))
                except OSError as error:
                    if address.scheme != "log" or len(addresses) + len(passed) == 1:
                        raise
                    report(f"{error}. Workers that name the log by its path do not find it.")
        except BaseException:
            self.close()
            raise
        self.accept(True)

    @property
    def addresses(self) -> list[Address]:
        """The addresses at which clients can connect."""
        return [listener.bound for listener in self._listeners]

    def accept(self, accepting: bool) -> None:
        """Accept new clients from now on, or leave them in the kernel's queue."""
        if accepting == self._accepting:
            return
        self._accepting = accepting
        for listener in self._listeners:
            if accepting:
                self._selector.register(listener, selectors.EVENT_READ)
            else:
                self._selector.unregister(listener)

    def accept_last(self) -> None:
        """Accept the clients that have connected already, and no more after them.

        One of them may have sent its records and closed.
        """
        if self._accepting:
            for listener in self._listeners:
                self.accept_from(listener, self._places.limit)
        self.accept(False)

    def accept_from(self, listener: Listener, most: int = MAX_ACCEPTED) -> None:
        """Accept the clients of a ready listener, as far as there are places."""
        if listener.certificates is not None:
            most = min(most, self.handshakes.room)
        self._accept_some(listener, most)
        self.handshakes.bound()

    def _accept_some(self, listener: Listener, most: int) -> None:
        while len(self.connections) < self._places.limit:
            if not most:
                return
            most -= 1
            before = len(self.connections)
            with block_forks():  # a child must not keep a connection that is not in the set yet
                listener.handle_request()
            if len(self.connections) == before:
                if listener.shortage is None:
                    return
                self._note_shortage(listener.shortage)
                break
            self._is_short = False
        self._make_room()

    def look_for_room(self) -> None:
        """Accept again if there are places; else end a client for those that may be waiting."""
        if not self._accepting:
            self.accept(len(self.connections) < self._places.limit)
            if not self._accepting:
                self._make_room()

    def classify(self, connection: Connection, standing: Standing) -> bool:
        """Note what a newcomer has shown itself to be; return whether it may stay."""
        connection.standing = standing
        if standing is Standing.WORKER:
            self._have_one_leave(
                lambda: self._places.for_worker(self.connections, time.monotonic()),
                "a worker of this user needs its place",
            )
            return True
        full = f"all {self._places.open_to_strangers} places for clients other than local workers"
        self._have_one_leave(
            lambda: self._places.for_stranger(connection, self.connections, time.monotonic()),
            f"{full} are taken, and another client has more right to this one",
            connection,
            f"{full} are taken by busy ones",
        )
        return not connection.ended

    def forget(self, connection: Connection) -> None:
        """Let go of a client that is about to be closed."""
        self.connections.discard(connection)
        self.handshakes.forget(connection)

    def read_certificates(self) -> list[Connection]:
        """Read the certificates again, if there are any; return the clients that are revoked."""
        certificates = self._certificates
        if certificates is None:
            return []
        certificates.read_again(self._report)
        return [c for c in self.connections if not c.ended and certificates.is_revoked(c)]

    def _admit(self, listener: Listener, client: socket.socket, address: Any) -> None:
        peer = describe_peer(client, address)
        if listener.certificates is None:
            connection = Connection(client, peer, MAX_PAYLOAD, self._known_shapes)
        else:
            connection = listener.certificates.make_connection(
                client, peer, MAX_PAYLOAD, self._known_shapes
            )
            self.handshakes.begin(connection)
        connection.watch(self._selector, selectors.EVENT_READ)
        self.connections.add(connection)
        self._refuse_unwelcome(listener, connection)

    def _refuse_unwelcome(self, listener: Listener, connection: Connection) -> None:
        """Dismiss a client of another user at a socket that is ours alone, and one too many."""
        if listener.is_private:
            user = user_at(connection.socket)
            if user is not None and user not in own_users():
                self._dismiss(
                    connection,
                    f"it is of user {user}, and the socket is for user {current_user()} and "
                    "root alone; --socket-mode opens it to others",
                )
                return
        most = self._limits.per_peer
        if most is not None:
            origin = self._origin(connection)
            same = sum(c.origin == origin for c in self.connections if not c.ended)
            if same > most:
                self._dismiss(
                    connection,
                    f"there are {most} clients of {' '.join(map(str, connection.origin or ()))} "
                    "already; --max-peer-connections says how many there may be",
                )

    def _make_room(self) -> None:
        """End a client for those that wait; accept nobody until it, or another, has gone."""
        if not any(connection.ended for connection in self.connections):
            self._have_one_leave(
                lambda: self._places.for_newcomer(self.connections, time.monotonic()),
                "it was silent, and a new client needs its place",
            )
        self.accept(False)

    def _have_one_leave(
        self,
        choose: Callable[[], Connection | None],
        reason: str,
        newcomer: Connection | None = None,
        newcomer_reason: str = "",
    ) -> None:
        """Dismiss the client that ``choose`` returns, if it still does when it has been read."""
        for _ in range(len(self.connections)):
            chosen = choose()
            if chosen is None:
                return
            if chosen is newcomer:
                self._dismiss(chosen, newcomer_reason)
                return
            if chosen.interest & selectors.EVENT_READ:
                self._read_client(chosen)  # bytes may have come in this turn of the loop
                if chosen.ended:
                    return
                if choose() is not chosen:
                    continue
            self._dismiss(chosen, reason)
            return

    def _origin(self, connection: Connection) -> object:
        if connection.origin is None:
            find_origins(self.connections)
        return connection.origin

    def _note_shortage(self, error: OSError) -> None:
        if not self._is_short:
            self._is_short = True
            self._report(
                f"cannot accept a client beside the {len(self.connections)} that are here "
                f"({error.strerror}); trying again every second. Raise the limit of open files "
                "(ulimit -n)"
            )

    def after_fork_in_child(self) -> None:
        """Close a child's copies. Nothing is unregistered or unlinked: the parent needs it."""
        for connection in self.connections:
            connection.close()
        for listener in self._listeners:
            listener.socket.close()

    def close(self) -> None:
        """Close every connection and every listener. May be called again."""
        for connection in self.connections:
            connection.watch(self._selector, 0)
            connection.close()
        self.connections.clear()
        self.accept(False)
        while self._listeners:  # once each: a Unix socket's path may be another receiver's later
            self._listeners.pop().server_close()


def _descriptors_left() -> int:
    """Return how many connections the process may open, with room for its files."""
    limit = socket_limit()
    return MAX_CONNECTIONS if limit is None else max(limit - 64, 8)
