"""The receiver's loop: read clients, write their lines, acknowledge. One thread for all clients.

Owns the order of things. A round reads what the ready clients have sent, renders it, writes it with
one call of the sink (which notes the intent in the ledger, writes, and settles), and only then
acknowledges. So an acknowledgement never runs ahead of the file.

Why one thread is right
-----------------------
One thread for all clients costs 20 to 40 % less processor time than a thread each, makes the sink's
only writer plain to see, and needs no lock. What could stall it is bounded: the bytes read from one
client in a turn, the lines held before a write, the incomplete frames of all clients together.
Answers need no bound: a client that does not read has one greeting and one acknowledgement waiting.

Why no client harms another
---------------------------
The decoders refuse what a client sends by exceptions of their own. If one of them raises another
exception, that client alone is disconnected, and a notice takes the place of its record.

While the sink fails
--------------------
Clients that have sent a frame are not read (:mod:`~loguru_stdbridge.receiver.writer`). So memory
stays where it is, and their records stay with them. A new client is still read until its hello, and
greeted: without a greeting it would take the receiver for a stock one.
"""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Mapping, Sequence
from typing import Callable

from .._version import __version__
from ..addresses import Address, LogName
from ..exceptions import OtherLogError, PeerError, RowError, SequenceError, SinkError
from ..sink.blocks import Sink
from ..sink.ledger import Ledger
from ..sink.replay import Replay
from ..system.forks import drop_in_children
from ..system.wakeup import WakeUp
from ..wire.receiving import (
    Event,
    GapReceived,
    GoodbyeReceived,
    HelloReceived,
    MarkedReceived,
    PayloadRefused,
    RowsReceived,
    StrangerReceived,
)
from .admission import MAX_CONNECTIONS, Admission
from .adoption import OrphanIntake
from .connection import Connection
from .listeners import Listener
from .places import Standing
from .reporting import RateLimitedReporter, to_stderr
from .sequencing import SequencedWriter
from .writer import Writer

MAX_INCOMPLETE = 128 * 1024 * 1024
"""Bytes of incomplete frames held for all clients together. Beyond it the client that holds most is
disconnected. These bytes take up to 250 MB of memory, since freed memory is not always in one piece
(measured with 240 clients of 24 MB each)."""

FRAME_TIMEOUT = 60.0
"""Seconds that a client may take to complete a frame it has begun."""

_SWEEP_INTERVAL = 1.0  # seconds between two looks at time-outs


class Receiver:
    """Serves one sink. :meth:`serve` runs in one thread; :meth:`stop` may be called anywhere."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        replay: Replay,
        sink: Sink,
        ledger: Ledger,
        log: LogName,
        report: Callable[[str], None] = to_stderr,
        max_connections: int = MAX_CONNECTIONS,
        linger: float | None = None,
        words: Mapping[str, str] | None = None,
        rendering: bool = True,
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` if one of them cannot be bound.

        ``log`` names what the sink writes: a worker whose records belong to another is refused.
        ``words`` are the sink's options, told to workers that may have asked for others.
        ``linger`` is the seconds after which it ends without a client; ``None``: never.
        Without ``rendering`` no worker is told the line format: each record is rendered here.
        """
        self.orphans: OrphanIntake | None = None
        self._sink = sink
        self._ledger = ledger
        self._log = log
        self._linger = linger
        self._words = words
        self._needed_at = time.monotonic()
        self.line_format = replay.line_format if rendering and not sink.needs_records else None
        format_id = "" if self.line_format is None else self.line_format.id
        self._writer = Writer(
            replay, sink, report, format_id=format_id, on_unreadable=self._count_unreadable
        )
        self._records = SequencedWriter(self._writer, ledger.last)
        self._report = report
        self._reporter = RateLimitedReporter(report)
        self._by_sender: dict[str, set[Connection]] = {}
        self._incomplete = 0  # bytes of incomplete frames, of all clients
        self._touched: set[Connection] = set()
        self._sweep_at = 0.0
        self._stop_by: float | None = None
        self._stopped_at = 0.0
        self._reopen = False
        with contextlib.ExitStack() as opened:
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._wakeup = WakeUp()
            opened.callback(self._wakeup.close)
            self._selector.register(self._wakeup, selectors.EVENT_READ)
            self._admission = Admission(
                addresses,
                self._selector,
                limit=max_connections,
                read_client=self._read_client,
                dismiss=self._dismiss,
                report=report,
            )
            opened.pop_all()  # it is whole: close() has it now
        self._connections = self._admission.connections
        drop_in_children(self)

    def after_fork_in_child(self) -> None:
        """Close a child's copies: else the address stays taken, and no client sees its end.

        Nothing is unregistered or unlinked: that would be done to the parent.
        """
        self._admission.after_fork_in_child()
        self._close_own()

    @property
    def addresses(self) -> list[Address]:
        """The addresses at which clients can connect."""
        return self._admission.addresses

    @property
    def counts(self) -> dict[str, int]:
        """Records written, duplicates dropped, input refused, since the start."""
        return {
            "records": self._writer.records,
            "duplicates": self._records.duplicates,
            "refused": self._reporter.refusals,
        }

    # -- called from elsewhere

    def stop(self, grace: float = 5.0) -> None:
        """Accept nobody new, take what clients have sent and left, end.

        ``grace`` is the most seconds that this may take. Safe in signal handlers and threads.
        """
        self._stopped_at = time.monotonic()
        self._stop_by = self._stopped_at + grace
        self._wakeup.wake()

    def reopen(self) -> None:
        """Open the sink's file anew, as after an outside rotation. Safe in signal handlers."""
        self._reopen = True
        self._wakeup.wake()

    # -- the loop

    def serve(self) -> None:
        """Serve until :meth:`stop`; then close."""
        try:
            while not self._is_finished():
                self._run_round()
        finally:
            self.close()

    def close(self) -> None:
        """Close everything but the sink and the ledger. May be called again."""
        if self.orphans is not None:
            self.orphans.close()
        self._admission.close()
        self._close_own()

    def _is_finished(self) -> bool:
        if self._stop_by is None:
            return False
        self._admission.accept_last()
        if time.monotonic() >= self._stop_by:
            return True
        if self._writer or self._connections:
            return False
        # Workers that ended with us leave journals: one whole look after the stop.
        return self.orphans is None or self.orphans.complete > self._stopped_at

    def _run_round(self) -> None:
        ready = self._selector.select(self._pause())
        if self._reopen:
            self._reopen = False
            self._reopen_sink()
        for key, events in ready:
            target = key.fileobj
            if isinstance(target, Connection):
                self._serve_client(target, events)
            elif target is self._wakeup:
                self._wakeup.drain()
            elif isinstance(target, Listener):
                self._admission.accept_from(target)
        if self._stop_by is not None and not ready:
            self._end_idle_clients()
            if self.orphans is not None and not self._connections:
                self.orphans.look_soon()
        orphans = None if self._writer.failing else self.orphans
        took_orphan = orphans is not None and orphans.take_batch(self._records)
        self._commit()
        if took_orphan:
            self._note_orphan_written()
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_INTERVAL
            self._sweep(now)

    def _pause(self) -> float:
        """Return the seconds until the next round has something to do, if no client has."""
        now = time.monotonic()
        until = self._sweep_at
        if self._writer.failing:
            until = min(until, self._writer.retry_at)
        elif self.orphans is not None:
            until = min(until, now + self.orphans.next_in())
        if self._stop_by is not None:
            until = min(until, now + 0.05)
        return max(until - now, 0.0)

    # -- clients

    def _serve_client(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            connection.flush()
            self._touched.add(connection)
        if events & selectors.EVENT_READ:
            self._read_client(connection)

    def _read_client(self, connection: Connection) -> None:
        """Read once from a client, and take what it has sent."""
        self._touched.add(connection)
        pending = connection.protocol.pending_bytes
        try:
            for event in connection.receive():
                self._take(connection, event)
                if connection.refused and connection.sender is not None:
                    break  # it sends again what it was not acknowledged
                if self._writer.full:
                    self._commit()
                    self._touched.add(connection)
        except (OtherLogError, RowError, SequenceError) as error:
            self._refuse(connection, "protocol", str(error), answer=True)
        except Exception as error:  # a bug of ours: this client alone suffers
            self._refuse(connection, "bug", f"a bug: {type(error).__name__}: {error}")
        self._incomplete += connection.protocol.pending_bytes - pending
        if self._incomplete > MAX_INCOMPLETE:
            self._drop_largest()

    def _take(self, connection: Connection, event: Event) -> None:
        if isinstance(event, RowsReceived):
            self._records.take_rows(event.sender, event.first, event.rows)
        elif isinstance(event, StrangerReceived):
            self._records.take_stock(event)
            if connection.standing is Standing.NEWCOMER:
                self._admission.classify(connection, Standing.STRANGER)
        elif isinstance(event, MarkedReceived):
            self._records.take_marked(event)
        elif isinstance(event, HelloReceived):
            if event.log is not None and not self._log.is_same(event.log):
                raise OtherLogError(
                    f"this receiver writes {self._log.path!r}; the records of sender "
                    f"{event.sender[:8]} belong to {event.log.path!r} and wait for its receiver"
                )
            is_local = self.orphans is not None and self.orphans.has_journal(event.sender)
            standing = Standing.WORKER if is_local else Standing.STRANGER
            if not self._admission.classify(connection, standing):
                return
            self._end_earlier(event.sender, connection)
            last = self._records.greet(event.sender, event.base)
            self._by_sender.setdefault(event.sender, set()).add(connection)
            connection.send(
                connection.protocol.greeting(
                    last, self.line_format, self._log, self._words, __version__
                )
            )
            connection.is_greeted = True
        elif isinstance(event, GapReceived):
            self._records.take_gap(event, connection.peer)
        elif isinstance(event, GoodbyeReceived):
            connection.said_goodbye = True
        elif isinstance(event, PayloadRefused):
            kind, detail = _kind(event.error), str(event.error)
            if event.fatal:
                self._refuse(connection, kind, detail, answer=True)
            else:
                self._reporter.report_refusal(connection.peer, kind, detail)

    def _end_earlier(self, sender: str, connection: Connection) -> None:
        """End the sender's earlier connections, now that it has said hello on ``connection``.

        What they have brought is taken first, and nothing after that. So a record that the greeting
        does not count comes on the new connection only.
        """
        for other in list(self._by_sender.get(sender, ())):
            if other is connection or other.ended:
                continue
            if other.opened_at > connection.opened_at:
                raise SequenceError(f"sender {sender[:8]} has a newer connection")
            received_at = 0.0
            while other.interest & selectors.EVENT_READ and other.received_at != received_at:
                received_at = other.received_at
                self._read_client(other)
            self._end(other)

    # -- writing

    def _commit(self) -> None:
        """Write what is held, acknowledge it, let go of clients that have ended."""
        if self._writer.write():  # it has begun or ceased to fail: that concerns every client
            self._touched.update(self._connections)
        touched, self._touched = self._touched, set()
        for connection in touched:
            if connection.is_greeted:  # an ended one may be half-closed, and still read
                connection.acknowledge(self._ledger.last(str(connection.sender)))
            if connection.ended and not self._writer:  # else its records may wait for the sink
                self._let_go(connection)
        for connection in touched & self._connections:
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        must_wait = self._writer.failing and connection.has_sent_frame
        interest = 0 if connection.ended or must_wait else selectors.EVENT_READ
        if connection.sending:
            interest |= selectors.EVENT_WRITE
        connection.watch(self._selector, interest)

    def _note_orphan_written(self) -> None:
        if self._writer or self.orphans is None:  # what it holds may be the orphan's
            return
        sender = self.orphans.note_written(self._records)
        if sender is not None:
            self._ledger.retire_sender(sender)
            if sender not in self._by_sender:
                self._records.forget(sender)

    def _reopen_sink(self) -> None:
        try:
            self._sink.reopen()
        except (SinkError, OSError) as error:
            self._report(f"cannot reopen the sink: {error}")

    # -- leaving

    def _end(self, connection: Connection) -> None:
        """Have the next write let go of ``connection``; nothing more is read from it."""
        connection.ended = connection.refused = True
        self._touched.add(connection)

    def _let_go(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        sender = connection.sender
        self._connections.discard(connection)
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
                self._ledger.retire_sender(sender)
            if self.orphans is not None:
                self.orphans.look_soon()
        if self._stop_by is None:
            self._admission.accept(True)

    def _count_unreadable(self, sender: str, text: str) -> None:
        self._reporter.report_refusal(f"sender {sender[:8]}", "unreadable record", text)

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

    def _end_idle_clients(self) -> None:
        """While stopping, end every client of which no part of a frame is here."""
        for connection in list(self._connections):
            if not connection.protocol.pending_bytes and not connection.sending:
                connection.ended = True
                self._touched.add(connection)

    def _sweep(self, now: float) -> None:
        for connection in list(self._connections):
            began_at = connection.frame_began_at
            if began_at is not None and now - began_at > FRAME_TIMEOUT:
                self._refuse(connection, "slow", f"a frame took over {FRAME_TIMEOUT:.0f} s")
        if self._stop_by is None:
            self._admission.look_for_room()
            self._end_if_not_needed(now)

    def _end_if_not_needed(self, now: float) -> None:
        """Stop after ``linger`` seconds without a client, once a look has found no orphan."""
        orphans = self.orphans
        looked = orphans is None or orphans.complete > self._needed_at
        if self._connections or self._writer or (orphans is not None and orphans.is_busy):
            self._needed_at = now
        elif self._linger is not None and looked and now - self._needed_at >= self._linger:
            self.stop()

    def _drop_largest(self) -> None:
        """Disconnect the client that holds most of the incomplete frames."""
        largest = max(self._connections, key=lambda c: c.protocol.pending_bytes)
        self._refuse(largest, "memory", f"incomplete frames of over {MAX_INCOMPLETE} bytes in all")
        self._incomplete -= largest.protocol.drop()

    def _close_own(self) -> None:
        self._selector.close()
        self._wakeup.close()


def _kind(error: PeerError) -> str:
    """Return a fixed word for an error, by which its messages are rated."""
    return str(getattr(error, "reason", type(error).__name__))
