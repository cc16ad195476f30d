"""The receiver's loop: clients in, lines to the sink, acknowledgements out. One thread, no other.

Owns the order of things. A round takes what the ready clients have sent, renders it, writes it with
one call of the sink (which notes the intent in the ledger, writes, and settles), and only then
acknowledges. So an acknowledgement never runs ahead of the file.

One thread for all clients costs 20 to 40 % less processor time than a thread each, makes the sink's
only writer plain to see, and needs no lock. What could stall it is bounded: bytes read from one
client in a turn, lines held before a write, incomplete frames of all clients together. Answers
need no bound: a client that does not read them has one greeting and one acknowledgement waiting.

What a client sends goes through decoders that refuse by exceptions of their own. Should one of them
raise another, it is that client who is let go, and its record is replaced by a notice; the loop and
all other clients go on.

While the sink fails (:mod:`writer`), clients that have said their hello, and strangers, are not
read from, so memory stays where it is and their records stay with them. A new client is read until
its hello and greeted, or it would take us for a stock receiver.
"""

from __future__ import annotations

import selectors
import time
from collections.abc import Sequence
from typing import Any, Callable

from ..addresses import Address
from ..exceptions import PeerError, RowError, SequenceError, SinkError
from ..record.row import decode_dense
from ..record.stock import MARK, row_of_stock_fields
from ..sink.ledger import Ledger
from ..sink.replay import Replay
from ..sink.rotating import RotatingSink
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
    Sequencer,
    StrangerReceived,
)
from .admission import MAX_CONNECTIONS, Admission
from .adoption import OrphanIntake
from .connection import Connection
from .reporting import RateLimitedReporter, to_stderr
from .writer import Writer

MAX_INCOMPLETE = 128 * 1024 * 1024
"""Bytes of incomplete frames held for all clients together; beyond it the largest is dropped at
once. They take up to 250 MB of memory, since what is given back is not always in one piece
(measured with 240 clients of 24 MB each)."""

FRAME_TIMEOUT = 60.0
"""Seconds that a client may take to complete a frame it has begun."""

_SWEEP = 1.0  # seconds between two looks at time-outs


class Receiver:
    """Serves one sink. ``serve`` runs in one thread; ``stop`` may be called from anywhere."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        replay: Replay,
        sink: RotatingSink,
        ledger: Ledger,
        report: Callable[[str], None] = to_stderr,
        max_connections: int = MAX_CONNECTIONS,
        rendering: bool = True,
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` where one of them cannot be bound.

        Without ``rendering`` no worker is told the line format: each record is rendered here.
        """
        self.adoption: OrphanIntake | None = None
        self._sink = sink
        self._ledger = ledger
        self.line_format = replay.line_format if rendering and not sink.needs_records else None
        format_id = "" if self.line_format is None else self.line_format.id
        self._writer = Writer(replay, sink, report, format_id=format_id)
        self._report = report
        self._reporter = RateLimitedReporter(report)
        self._sequencer = Sequencer(ledger.last)
        self._by_sender: dict[str, set[Connection]] = {}
        self._incomplete = 0  # bytes of incomplete frames, of all clients
        self._touched: set[Connection] = set()
        self._sweep_at = 0.0
        self._stop_by: float | None = None
        self._stopped_at = 0.0
        self._reopen = False
        self.duplicates = 0
        self._selector = selectors.DefaultSelector()
        self._wakeup = WakeUp()
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        try:
            self._admission = Admission(
                addresses,
                self._selector,
                limit=max_connections,
                hear=self._hear,
                send_away=self._send_away,
            )
        except BaseException:
            self._close_own()
            raise
        self._connections = self._admission.connections
        drop_in_children(self)

    def after_fork_in_child(self) -> None:
        """Close a child's copies: else the address stays taken and no client sees its end.

        Nothing is unregistered or unlinked, which would be done to the parent.
        """
        self._admission.after_fork_in_child()
        self._close_own()

    @property
    def addresses(self) -> list[Address]:
        """Where clients can connect."""
        return self._admission.addresses

    @property
    def records(self) -> int:
        """Lines that were written so far."""
        return self._writer.records

    @property
    def refused(self) -> int:
        """Payloads and connections that were refused so far."""
        return self._reporter.refusals

    # -- called from elsewhere

    def stop(self, grace: float = 5.0) -> None:
        """Stop accepting, take what clients have sent and left, end; ``grace`` seconds at most.

        Safe in signal handlers and from any thread.
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
        """Serve until :meth:`stop`; then close everything but the sink and the ledger."""
        try:
            while not self._finished():
                self._round()
        finally:
            self._close_all()

    def _finished(self) -> bool:
        if self._stop_by is None:
            return False
        self._admission.accept_last()
        if time.monotonic() >= self._stop_by:
            return True
        if self._writer or self._connections:
            return False
        # Workers that ended with us leave journals: one whole look after the stop.
        return self.adoption is None or self.adoption.complete > self._stopped_at

    def _round(self) -> None:
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
            else:
                self._admission.accept_from(target)
        if self._stop_by is not None and not ready:
            self._drop_idle()
            if self.adoption is not None and not self._connections:
                self.adoption.look_soon()
        adopting = not self._writer.failing and self._adopt()
        self._commit()
        if adopting:
            self._note_adopted()
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP
            self._sweep(now)

    def _pause(self) -> float:
        now = time.monotonic()
        until = self._sweep_at
        if self._writer.failing:
            until = min(until, self._writer.retry_at)
        if self._stop_by is not None:
            until = min(until, now + 0.05)
        if self.adoption is not None and not self._writer.failing:
            until = min(until, now + self.adoption.next_in())
        return max(until - now, 0.0)

    # -- clients

    def _hear(self, connection: Connection) -> None:
        self._serve_client(connection, selectors.EVENT_READ)

    def _send_away(self, silent: Connection) -> None:
        if silent.sender is None:
            self._reporter.report_refusal(
                silent.peer, "silent", "nothing to take for long, and its place is needed"
            )
        silent.ended = silent.refused = True
        self._touched.add(silent)

    def _serve_client(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            connection.flush()
            self._touched.add(connection)
        if events & selectors.EVENT_READ:
            pending = connection.protocol.pending_bytes
            try:
                for event in connection.receive():
                    self._take(connection, event)
                    if self._writer.full:
                        self._commit()
            except (RowError, SequenceError) as error:
                self._refuse(connection, "protocol", str(error), error)
            except Exception as error:  # a bug of ours: this client's, and nobody else's
                self._refuse(connection, "bug", f"a bug: {type(error).__name__}: {error}")
            self._incomplete += connection.protocol.pending_bytes - pending
            if self._incomplete > MAX_INCOMPLETE:
                self._drop_largest()
            if connection.ended:
                self._touched.add(connection)

    def _take(self, connection: Connection, event: Event) -> None:
        if isinstance(event, RowsReceived):
            skip = self._admit_rows(connection, event.sender, event.first, len(event.rows))
            self._writer.take_rows(event.sender, event.first + skip, event.rows[skip:])
        elif isinstance(event, StrangerReceived):
            connection.useful = True
            self._writer.take(row_of_stock_fields(event.fields, time.time()), None, 0)
        elif isinstance(event, MarkedReceived):
            # It took us for a stock receiver: what it leaves out it tells in a record, as here.
            self._sequencer.skip(event.sender, event.sequence - 1)
            if not self._admit_rows(connection, event.sender, event.sequence, 1):
                fields = {key: value for key, value in event.fields.items() if key != MARK}
                row = row_of_stock_fields(fields, time.time())
                self._writer.take(row, event.sender, event.sequence)
        elif isinstance(event, HelloReceived):
            self._end_earlier(event.sender, connection)
            last = self._sequencer.greet(event.sender, event.base)
            self._by_sender.setdefault(event.sender, set()).add(connection)
            connection.send(connection.protocol.greeting(last, self.line_format))
            self._touched.add(connection)
        elif isinstance(event, GapReceived):
            self._take_gap(event, connection.peer)
            self._touched.add(connection)
        elif isinstance(event, GoodbyeReceived):
            connection.goodbye = True
        elif isinstance(event, PayloadRefused):
            self._report_error(connection, event.error)
            if event.fatal:
                self._refuse(connection, "", str(event.error), event.error)

    def _end_earlier(self, sender: str, connection: Connection) -> None:
        """The owner speaks on ``connection`` now: what its earlier ones have brought is taken, and
        nothing after it. So what the greeting does not count never comes, but by this one."""
        for other in list(self._by_sender.get(sender, ())):
            if other is connection or other.ended:
                continue
            if other.opened > connection.opened:
                raise SequenceError(f"sender {sender[:8]} has a newer connection")
            heard = 0.0
            while other.interest & selectors.EVENT_READ and other.heard != heard:
                heard = other.heard
                self._hear(other)
            other.ended = other.refused = True
            self._touched.add(other)

    def _admit_rows(self, connection: Connection, sender: str, first: int, count: int) -> int:
        skip = self._sequencer.admit(sender, first, count)
        self.duplicates += skip
        self._touched.add(connection)
        return skip

    def _take_gap(self, gap: GapReceived, origin: str) -> None:
        """Tell the log's readers how many records are missing."""
        missing = self._sequencer.skip(gap.sender, gap.last)
        if missing:
            self._writer.take_notice(
                f"{missing} records of sender {gap.sender[:8]} ({origin}) were given up before "
                f"they could be delivered: {gap.reason}",
                gap.sender,
                gap.last,
            )

    # -- what dead workers left

    def _adopt(self) -> bool:
        """Take one batch of an orphaned journal; whether there was one."""
        adoption = self.adoption
        if adoption is None or not adoption.adopt():
            return False
        sender = adoption.sender
        assert sender is not None
        self._sequencer.greet(sender, adoption.base)
        batch = adoption.read()
        if batch.gap is not None:
            self._take_gap(GapReceived(sender, *batch.gap), adoption.origin)
        elif batch.rows:
            skip = self._sequencer.admit(sender, batch.first, len(batch.rows))
            self.duplicates += skip
            rows = [_decode(data) for data in batch.rows[skip:]]
            self._writer.take_rows(sender, batch.first + skip, rows)
        return True

    def _note_adopted(self) -> None:
        """After the write: what is in the file need not be in the journal."""
        adoption = self.adoption
        assert adoption is not None
        sender = adoption.sender
        if sender is None or self._writer:
            return
        adoption.written(self._sequencer.last(sender))
        if adoption.at_end:
            adoption.finish()
            self._ledger.retire_sender(sender)
            if sender not in self._by_sender:
                self._sequencer.forget(sender)

    # -- writing

    def _commit(self) -> None:
        """Write what is held; acknowledge; let go of clients that have ended."""
        if self._writer.write():  # who is read from, and told what, has changed
            self._touched.update(self._connections)
        touched, self._touched = self._touched, set()
        for connection in touched:
            if connection.sender is not None:  # it may have ended: half-closed, it still reads
                connection.acknowledge(self._ledger.last(connection.sender))
            if connection.ended and not self._writer:  # what is held may be its: it learns of it
                self._let_go(connection)
        for connection in touched & self._connections:
            self._watch(connection)

    def _watch(self, connection: Connection) -> None:
        waits = self._writer.failing and connection.frames
        reading = not connection.ended and not waits
        interest = selectors.EVENT_READ if reading else 0
        if connection.sending:
            interest |= selectors.EVENT_WRITE
        connection.watch(self._selector, interest)

    def _reopen_sink(self) -> None:
        try:
            self._sink.reopen()
        except (SinkError, OSError) as error:
            self._report(f"cannot reopen the sink: {error}")

    # -- leaving

    def _let_go(self, connection: Connection) -> None:
        if connection not in self._connections:
            return
        sender = connection.sender
        self._connections.discard(connection)
        self._incomplete -= connection.protocol.pending_bytes
        connection.watch(self._selector, 0)
        connection.close()
        own_end = not (connection.goodbye or connection.refused)
        if own_end and connection.protocol.pending_bytes:
            self._reporter.report_refusal(
                connection.peer, "truncated", "the connection ended inside a frame"
            )
        if sender is not None:
            speaking = self._by_sender.get(sender, set())
            speaking.discard(connection)
            if not speaking:
                self._by_sender.pop(sender, None)
                self._sequencer.forget(sender)
            if connection.goodbye:
                self._ledger.retire_sender(sender)
            if self.adoption is not None:
                self.adoption.look_soon()
        if self._stop_by is None:
            self._admission.accept(True)

    def _report_error(self, connection: Connection, error: PeerError) -> None:
        kind = getattr(error, "reason", type(error).__name__)
        self._reporter.report_refusal(connection.peer, kind, str(error))

    def _refuse(
        self, connection: Connection, kind: str, detail: str, error: PeerError | None = None
    ) -> None:
        if kind:
            self._reporter.report_refusal(connection.peer, kind, detail)
        if error is not None and connection.sender is not None:
            connection.send(connection.protocol.error(detail))
        connection.ended = connection.refused = True
        self._touched.add(connection)

    def _drop_idle(self) -> None:
        """Stopping, and a look found nothing to read: whoever has no part of a frame may go."""
        for connection in list(self._connections):
            if not connection.protocol.pending_bytes and not connection.sending:
                connection.ended = True
                self._touched.add(connection)

    def _sweep(self, now: float) -> None:
        for connection in list(self._connections):
            since = connection.frame_since
            if since is not None and now - since > FRAME_TIMEOUT:
                self._refuse(connection, "slow", f"a frame took over {FRAME_TIMEOUT:.0f} s")
        if self._stop_by is None:
            self._admission.look_for_room()

    def _drop_largest(self) -> None:
        """Incomplete frames take too much: who holds the most of it goes at once."""
        largest = max(self._connections, key=lambda c: c.protocol.pending_bytes)
        self._refuse(largest, "memory", f"incomplete frames of over {MAX_INCOMPLETE} bytes in all")
        self._incomplete -= largest.protocol.drop()

    def _close_all(self) -> None:
        if self.adoption is not None:
            self.adoption.close()
        self._admission.close()
        self._close_own()

    def _close_own(self) -> None:
        self._selector.close()
        self._wakeup.close()


def _decode(data: bytes) -> Any:
    """The fields of a journal's row; ``None`` for what is none."""
    try:
        return decode_dense(data)
    except RowError:
        return None
