"""What the receiver's clients send and are told: read, take, write, acknowledge, disconnect.

Lives in the receiver's loop (:mod:`~loguru_stdbridge.receiver.server`). Who may connect is
:mod:`~loguru_stdbridge.receiver.admission`'s.

Why no client harms another
---------------------------
The decoders refuse what a client sends by exceptions of their own. If one of them raises another
exception, that client alone is disconnected, and a notice takes the place of its record. What could
stall the loop is bounded: the bytes read from one client in a turn, the lines held before a write,
the incomplete frames of all clients together. Answers need no bound: a client that does not read
has one greeting and one acknowledgement waiting.

While the sink fails
--------------------
Clients that have sent a frame are not read (:mod:`~loguru_stdbridge.receiver.writer`). So memory
stays where it is, and their records stay with them. A new client is still read until its hello, and
greeted: without a greeting it would take the receiver for a stock one.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Callable, NamedTuple

from .._version import __version__
from ..addresses import Address, LogName
from ..exceptions import (
    OtherLogError,
    ProtocolVersionError,
    RowError,
    SequenceError,
)
from ..record.level_order import LevelOrder
from ..record.line_format import LineFormat
from ..record.sink_needs import SinkNeeds
from ..spool.proof import answer_nonce
from ..system.supervisor import PassedSocket
from ..system.versions import is_later_version
from ..wire.receiving import (
    ChallengeReceived,
    Event,
    GapReceived,
    GoodbyeReceived,
    HelloReceived,
    KnownReceived,
    MarkedReceived,
    PayloadRefused,
    RowsReceived,
    StrangerReceived,
)
from ..wire.sending import PROTOCOL_VERSION
from .admission import Admission
from .any_writer import AnyWriter
from .connection import Connection, LocalRequest
from .level_orders import LevelOrders, Whose
from .limits import Limits, Pace
from .outlets import Outlets
from .places import Standing
from .reporting import RateLimitedReporter
from .sequencing import SequencedWriter
from .sharing import SocketAccess

if TYPE_CHECKING:
    from .tls_connection import Certificates

MAX_INCOMPLETE = 128 * 1024 * 1024
"""Bytes of incomplete frames held for all clients together. Beyond it the client that holds most is
disconnected. These bytes take up to 250 MB of memory, since freed memory is not always in one piece
(measured with 240 clients of 24 MB each)."""

FRAME_TIMEOUT = 60.0
"""Seconds that a client may take to complete a frame it has begun."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds after which a client leaves whose TLS handshake is not finished."""

FAREWELL = 2.0
"""Seconds for which a client is heard out that has been told why TLS failed: a socket that is
closed with unread bytes may take the reason back."""

MAX_LAST_READS = 64
"""Reads of a connection whose sender has come anew: 16 MB, more than a kernel holds for it. Else a
sender that streams on would hold up the loop for ever."""


class Greeted(NamedTuple):
    """What a greeting tells, besides the number of the last record."""

    log: LogName
    line_format: LineFormat | None
    words: Mapping[str, str] | None
    spool_dir: str | None = None  # whose secret proves that the receiver has it
    needs: SinkNeeds | None = None


class Clients:
    """Every client of one receiver. Used by the receiver's one thread."""

    def __init__(
        self,
        addresses: Sequence[Address],
        selector: selectors.BaseSelector,
        *,
        records: SequencedWriter,
        writer: AnyWriter,
        outlets: Outlets,
        reporter: RateLimitedReporter,
        greeted: Greeted,
        limits: Limits,
        has_journal: Callable[[str], bool],
        on_sender_gone: Callable[[], None],
        report: Callable[[str], None],
        access: SocketAccess,
        certificates: Certificates | None = None,
        on_request: Callable[[socket.socket, bytes], None] | None = None,
        passed: Sequence[PassedSocket] = (),
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` if one of them cannot be bound.

        ``has_journal`` says whether a sender is a worker of this machine. ``on_sender_gone`` is
        called when a connection of a sender has ended. ``on_request`` takes over a connection that
        speaks HTTP at a Unix socket.
        """
        self._selector = selector
        self._records = records
        self._writer = writer
        self._outlets = outlets
        self._last_settled = outlets.last
        self._reporter = reporter
        self._greeted = greeted
        self._has_journal = has_journal
        self._on_sender_gone = on_sender_gone
        self._on_request = on_request
        self._by_sender: dict[str, set[Connection]] = {}
        self._incomplete = 0  # bytes of incomplete frames, of all clients
        self._touched: set[Connection] = set()
        self._waiting: set[Connection] = set()  # ended, and the sink has not all of theirs
        self._limits = limits
        self._resting: set[Connection] = set()
        self._orders = LevelOrders(greeted.spool_dir)
        self.has_met_newer = False
        """Whether a worker has come whose package is later than this one."""
        self.are_last = False
        """Whether nobody is accepted any more."""
        self.admission = Admission(
            addresses,
            selector,
            limits=limits,
            read_client=self._read,
            dismiss=self._dismiss,
            report=report,
            access=access,
            certificates=certificates,
            passed=passed,
        )
        self._connections = self.admission.connections

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._connections)

    def is_connected(self, sender: str) -> bool:
        """Return whether a connection speaks for ``sender``."""
        return sender in self._by_sender

    def change_format(
        self,
        line_format: LineFormat | None,
        needs: SinkNeeds,
        words: Mapping[str, str] | None,
    ) -> None:
        """Tell workers how lines look from now on: those that are here, and those that come."""
        is_new = (line_format, needs) != (self._greeted.line_format, self._greeted.needs)
        self._greeted = self._greeted._replace(line_format=line_format, words=words, needs=needs)
        for connection in self._connections if is_new else ():
            if connection.is_greeted and not connection.ended:
                connection.send(connection.protocol.format_change(line_format, needs))
                self._touched.add(connection)

    def order_level(self, whose: Whose, order: LevelOrder) -> int:
        """Have workers send records of lower levels for a while; return how many were told."""
        told = self._orders.give(whose, order, self._connections)
        self._touched.update(told)
        return len(told)

    def read_certificates(self) -> None:
        """Read the certificates again; disconnect clients whose own has been revoked since."""
        for connection in self.admission.read_certificates():
            self._refuse(connection, "tls", "its certificate has been revoked", answer=True)

    # -- reading

    def serve(self, connection: Connection, events: int) -> None:
        """Serve a client that the selector calls ready for ``events``."""
        if events & selectors.EVENT_WRITE:
            connection.flush()
            self._touched.add(connection)
        if events & selectors.EVENT_READ:
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        """Read once from a client, and take what it has sent."""
        self._touched.add(connection)
        pending, records = connection.protocol.pending_bytes, connection.records
        try:
            for event in connection.receive():
                if isinstance(event, LocalRequest):
                    self._hand_over(connection, event.received)
                    return
                self._take(connection, event)
                if connection.refused and connection.sender is not None:
                    break  # it sends again what it was not acknowledged
                if self._writer.full:
                    self.commit()
                    self._touched.add(connection)
        except (OtherLogError, RowError, SequenceError) as error:
            self._refuse(connection, "protocol", str(error), answer=True)
        except Exception as error:  # a bug of ours: this client alone suffers
            self._refuse(connection, "bug", f"a bug: {type(error).__name__}: {error}")
        if connection.fault is not None and not connection.refused:
            connection.refused = True
            connection.ends_at = time.monotonic() + FAREWELL
            self._reporter.report_refusal(connection.peer, "tls", connection.fault)
        self._incomplete += connection.protocol.pending_bytes - pending
        if self._limits.rate is not None and connection.records > records:
            self._slow_down(connection, connection.records - records, self._limits.rate)
        if self._incomplete > MAX_INCOMPLETE:
            self._drop_largest()

    def _hand_over(self, connection: Connection, received: bytes) -> None:
        """Let go of a connection that speaks HTTP; somebody else answers it."""
        if self._on_request is None:
            self._refuse(connection, "http", "it speaks HTTP")
            return
        self._touched.discard(connection)
        self._connections.discard(connection)
        connection.watch(self._selector, 0)
        self._on_request(connection.socket, received)
        self.admission.accept(not self.are_last)

    def _slow_down(self, connection: Connection, count: int, rate: int) -> None:
        now = time.monotonic()
        if connection.pace is None:
            connection.pace = Pace(rate, now)
        pause = connection.pace.take(count, now)
        if pause and not self.are_last:
            connection.rests_until = now + pause
            self._resting.add(connection)

    def end_rests(self, now: float) -> float:
        """Go on with the clients that have rested; return when the next one has."""
        until = float("inf")
        for connection in list(self._resting):
            if connection.ended or self.are_last or now >= (connection.rests_until or 0.0):
                connection.rests_until = None
                self._resting.discard(connection)
                self._touched.add(connection)
            else:
                until = min(until, connection.rests_until or until)
        return until

    def _take(self, connection: Connection, event: Event) -> None:
        if isinstance(event, RowsReceived):
            connection.records += len(event.rows)
            self._records.take_rows(event.sender, event.first, event.rows)
        elif isinstance(event, KnownReceived):
            connection.records += len(event.records)
            self._records.take_known(event)
            if connection.standing is Standing.NEWCOMER:
                self.admission.classify(connection, Standing.STRANGER)
        elif isinstance(event, StrangerReceived):
            connection.records += 1
            self._records.take_stock(event)
            if connection.standing is Standing.NEWCOMER:
                self.admission.classify(connection, Standing.STRANGER)
        elif isinstance(event, MarkedReceived):
            connection.records += 1
            self._records.take_marked(event)
        elif isinstance(event, ChallengeReceived):
            connection.send(connection.protocol.proof(self._prove(connection, event.nonce)))
        elif isinstance(event, HelloReceived):
            if event.log is not None and not self._greeted.log.is_same(event.log):
                raise OtherLogError(
                    f"this receiver writes {self._greeted.log.path!r}; the records of sender "
                    f"{event.sender[:8]} belong to {event.log.path!r} and wait for its receiver"
                )
            if is_later_version(event.package, __version__):
                self.has_met_newer = True
            standing = Standing.WORKER if self._has_journal(event.sender) else Standing.STRANGER
            if not self.admission.classify(connection, standing):
                return
            self._end_earlier(event.sender, connection)
            if self._records.is_in_doubt(event.sender):
                self.commit()
                self._touched.add(connection)
            last = self._records.greet(event.sender, event.base)
            self._by_sender.setdefault(event.sender, set()).add(connection)
            log, line_format, words, _, needs = self._greeted
            proof = self._prove(connection, event.nonce) if event.nonce else ""
            connection.send(
                connection.protocol.greeting(
                    last, line_format, log, words, __version__, proof, needs
                )
            )
            connection.is_greeted = True
            self._orders.greet(connection, event.takes_levels)
        elif isinstance(event, GapReceived):
            self._records.take_gap(event, connection.peer)
        elif isinstance(event, GoodbyeReceived):
            connection.said_goodbye = True
        elif isinstance(event, PayloadRefused):
            detail = str(event.error)
            kind = str(getattr(event.error, "reason", type(event.error).__name__))
            if isinstance(event.error, ProtocolVersionError):
                self.has_met_newer |= event.error.version > PROTOCOL_VERSION
            if event.fatal:
                self._refuse(connection, kind, detail, answer=True)
            else:
                self._reporter.report_refusal(connection.peer, kind, detail)

    def _prove(self, connection: Connection, nonce: str) -> str:
        return answer_nonce(self._greeted.spool_dir, nonce, connection.place)

    def _end_earlier(self, sender: str, connection: Connection) -> None:
        """End the sender's earlier connections, now that it has said hello on ``connection``.

        What they have brought is taken first, within a bound, and nothing after that. So a record
        that the greeting does not count comes on the new connection only.
        """
        for other in list(self._by_sender.get(sender, ())):
            if other is connection or other.ended:
                continue
            if other.opened_at > connection.opened_at:
                raise SequenceError(f"sender {sender[:8]} has a newer connection")
            for _ in range(MAX_LAST_READS):
                received_at = other.received_at
                if not other.interest & selectors.EVENT_READ:
                    break
                self._read(other)
                if other.ended or other.received_at == received_at:
                    break
            self._end(other)

    # -- writing

    def commit(self) -> None:
        """Write what is held, acknowledge it, let go of clients that have ended."""
        if self._writer.write():  # it has begun or ceased to fail: that concerns every client
            self._touched.update(self._connections)
        for sender in self._writer.take_settled():
            self._touched.update(self._by_sender.get(sender, ()))
        touched, self._touched = self._touched | self._waiting, set()
        self._waiting.clear()
        for connection in touched:
            if connection.is_greeted:  # an ended one may be half-closed, and still read
                connection.acknowledge(self._last_settled(str(connection.sender)))
            if connection.ended:
                if self._writer.holds(connection.sender):  # its records wait for the sink
                    self._waiting.add(connection)
                else:
                    self._let_go(connection)
        for connection in touched & self._connections:
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        must_wait = self._writer.failing and connection.has_sent_frame
        must_wait = must_wait or connection.rests_until is not None
        interest = 0 if connection.ended or must_wait else selectors.EVENT_READ
        if connection.sending:
            interest |= selectors.EVENT_WRITE
        connection.watch(self._selector, interest)

    # -- leaving

    def _end(self, connection: Connection) -> None:
        """Have the next write let go of ``connection``; nothing more is read from it."""
        connection.ended = connection.refused = True
        self._touched.add(connection)

    def _let_go(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        sender = connection.sender
        self.admission.forget(connection)
        self._incomplete -= connection.protocol.pending_bytes
        connection.watch(self._selector, 0)
        connection.close()
        by_client = not (connection.said_goodbye or connection.refused)
        if by_client and connection.protocol.pending_bytes:
            self._reporter.report_refusal(
                connection.peer, "truncated", "the connection ended inside a frame"
            )
        if sender is not None:
            speaking = self._by_sender.get(sender, set())
            speaking.discard(connection)
            if not speaking:
                self._by_sender.pop(sender, None)
                self._records.forget(sender)
            if connection.said_goodbye:
                self._outlets.retire_sender(sender)
            self._on_sender_gone()
        if not self.are_last:
            self.admission.accept(True)

    def _refuse(
        self, connection: Connection, kind: str, detail: str, *, answer: bool = False
    ) -> None:
        """Disconnect a client and tell the operator why; with ``answer`` tell the client, too."""
        self._reporter.report_refusal(connection.peer, kind, detail)
        if answer and connection.sender is not None:
            connection.send(connection.protocol.error(detail))
        self._end(connection)

    def _dismiss(self, connection: Connection, reason: str) -> None:
        """Disconnect a client for another one's sake."""
        if connection.standing is Standing.WORKER:  # it loses nothing, and comes again
            self._end(connection)
        else:
            self._refuse(connection, "place", reason, answer=True)

    def end_idle(self) -> None:
        """While stopping, end every client of which no part of a frame is here."""
        for connection in list(self._connections):
            if not connection.protocol.pending_bytes and not connection.sending:
                connection.ended = True
                self._touched.add(connection)

    def sweep(self, now: float) -> None:
        """Disconnect clients that are too slow; see whether there is room for those that wait."""
        for connection in list(self._connections):
            began_at = connection.frame_began_at
            if began_at is not None and now - began_at > FRAME_TIMEOUT:
                self._refuse(
                    connection, "slow", f"only a part of a frame came within {FRAME_TIMEOUT:.0f} s"
                )
            elif connection.ends_at is not None and now >= connection.ends_at:
                self._end(connection)
            elif connection.is_shaking_hands and now - connection.opened_at > HANDSHAKE_TIMEOUT:
                self._refuse(
                    connection,
                    "handshake",
                    f"the TLS handshake was not finished within {HANDSHAKE_TIMEOUT:.0f} s",
                )
        if not self.are_last:
            self.admission.look_for_room()

    def _drop_largest(self) -> None:
        """Disconnect the client that holds most of the incomplete frames."""
        largest = max(self._connections, key=lambda c: c.protocol.pending_bytes)
        self._refuse(
            largest,
            "memory",
            f"the incomplete frames of all clients have over {MAX_INCOMPLETE} bytes, and this "
            "client has sent the most of them",
        )
        self._incomplete -= largest.protocol.drop()
