"""The receiver's loop: read clients, write their lines, acknowledge. One thread for all clients.

Owns the order of things. A round reads what the ready clients have sent, renders it, writes it with
one call of each sink (which notes the intent in the ledger, writes, and settles), and only then
acknowledges. So an acknowledgement never runs ahead of the file.

Why one thread is right
-----------------------
One thread for all clients costs 20 to 40 % less processor time than a thread each, makes the sink's
only writer plain to see, and needs no lock. What could stall it is bounded: the bytes read from one
client in a turn, the lines held before a write, the incomplete frames of all clients together
(:mod:`~loguru_stdbridge.receiver.clients`).
"""

from __future__ import annotations

import contextlib
import math
import selectors
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from ..addresses import Address, LogName
from ..record.level_order import LevelOrder
from ..sink_words import show_handlers
from ..status.pieces import Watcher, Watchers
from ..status.state import ReceiverState
from ..system.forks import drop_in_children
from ..system.supervisor import PassedSocket, Supervisor
from ..system.wakeup import WakeUp
from .adoption import OrphanIntake
from .any_writer import AnyWriter
from .clients import Clients, Greeted
from .connection import Connection
from .dump import describe_state
from .level_orders import Whose
from .limits import DEFAULT_LIMITS, Limits
from .listeners import Listener
from .outlets import Outlets
from .picture import Painter
from .reporting import RateLimitedReporter, to_stderr
from .sequencing import SequencedWriter
from .sharing import NOT_SHARED, SocketAccess

if TYPE_CHECKING:
    from ..status.board import Board  # loaded only by a receiver that is watched
    from .engine_source import EngineSource  # loaded only by one that reads a stream
    from .ordering import OrderedWriter
    from .tls_connection import Certificates

OnRequest = Callable[[socket.socket, bytes], "Board | None"]

FIRST_CLIENT_TIMEOUT = 5.0
"""Seconds that a receiver waits for its first client before it may end by itself: the worker that
has started it comes in a moment, but not at once."""

_SWEEP_INTERVAL = 1.0  # seconds between two looks at time-outs


class Receiver:
    """Serves one log. :meth:`serve` runs in one thread; :meth:`stop` may be called anywhere."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        outlets: Outlets,
        log: LogName,
        report: Callable[[str], None] = to_stderr,
        limits: Limits = DEFAULT_LIMITS,
        linger: float | None = None,
        words: Mapping[str, str] | None = None,
        spool_dir: str | None = None,
        access: SocketAccess = NOT_SHARED,
        board: Board | None = None,
        certificates: Certificates | None = None,
        on_request: OnRequest | None = None,
        console: Watcher | None = None,
        passed: Sequence[PassedSocket] = (),
        supervisor: Supervisor | None = None,
        order: float | None = None,
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` if one of them cannot be bound.

        ``log`` names what it writes: a worker whose records belong to another is refused. ``words``
        are the sinks' options, told to workers that may have asked for others. ``linger`` is the
        seconds after which it ends without a client; ``None``: never. ``spool_dir`` is the
        directory of which workers may want a proof (:mod:`spool.proof`). ``access`` says who
        may use the Unix sockets. ``board`` is shown what happens. ``certificates`` are for
        ``tls://`` addresses. ``on_request`` answers HTTP requests at Unix sockets, and may return
        another board. ``console`` is shown the records, too. ``passed`` are sockets that listen
        already. ``supervisor`` is told how the loop is. ``order`` is the seconds for which records
        are held to be sorted by their own time.
        """
        self.orphans: OrphanIntake | None = None
        self.sources: list[EngineSource] = []
        """Streams of an engine whose records it takes."""
        self._outlets = outlets
        self._linger = linger
        self._needed_at = time.monotonic()
        self._had_client = False
        self._writer: AnyWriter = outlets.make_writer(report, self._count_unreadable)
        self._ordered: OrderedWriter | None = None
        if order is not None:
            from .ordering import OrderedWriter as Ordered  # loaded only where it is asked for

            self._writer = self._ordered = Ordered(self._writer, order)
        self._records = SequencedWriter(self._writer, outlets.last)
        self._report = report
        self._reporter = RateLimitedReporter(report)
        self._painter = Painter(
            log.path,
            writer=self._writer,
            records=self._records,
            reporter=self._reporter,
            spool_dir=spool_dir,
        )
        self._board: Board | None = None
        self._console = console
        self._on_request = on_request
        self._sweep_at = 0.0
        self._next_rest = math.inf  # when a client that was too fast may go on
        self._stop_by: float | None = None
        self._stopped_at = 0.0
        self._supervisor = Supervisor() if supervisor is None else supervisor
        self._calls: deque[Callable[[], None]] = deque()
        with contextlib.ExitStack() as opened:
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._wakeup = WakeUp()
            opened.callback(self._wakeup.close)
            self._selector.register(self._wakeup, selectors.EVENT_READ)
            self._clients = Clients(
                addresses,
                self._selector,
                records=self._records,
                writer=self._writer,
                outlets=outlets,
                reporter=self._reporter,
                greeted=Greeted(log, outlets.line_format, words, spool_dir, outlets.needs),
                limits=limits,
                has_journal=self._has_journal,
                on_sender_gone=self._look_for_orphans,
                report=report,
                access=access,
                certificates=certificates,
                on_request=None if on_request is None else self._take_request,
                passed=passed,
            )
            opened.pop_all()  # it is whole: close() has it now
        self._show_to(board)
        outlets.start(self.wake)
        drop_in_children(self)

    def after_fork_in_child(self) -> None:
        """Close a child's copies: else the address stays taken, and no client sees its end.

        Nothing is unregistered or unlinked: that would be done to the parent.
        """
        self._clients.admission.after_fork_in_child()
        self._close_own()

    @property
    def addresses(self) -> list[Address]:
        """The addresses at which clients can connect."""
        return self._clients.admission.addresses

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
        if self._ordered is not None:
            self._ordered.is_ending = True
        self._wakeup.wake()

    def call(self, function: Callable[[], None]) -> None:
        """Have the loop call ``function``. Safe in signal handlers and threads."""
        self._calls.append(function)
        self._wakeup.wake()

    def wake(self) -> None:
        """Have the loop make a round. Safe in signal handlers and threads."""
        self._wakeup.wake()

    def reopen(self) -> None:
        """In the loop: open the sinks' files anew, as after an outside rotation."""
        self._outlets.reopen(self._report)

    def change_sinks(self, handlers: Sequence[Mapping[str, Any]]) -> None:
        """In the loop: have the sinks follow other options. Raises what they are refused with."""
        self._clients.commit()  # what is held was rendered as it came
        self._outlets.change(handlers, self._report)
        outlets = self._outlets
        self._clients.change_format(outlets.line_format, outlets.needs, show_handlers(handlers))

    def order_level(self, whose: Whose, order: LevelOrder) -> int:
        """In the loop: have workers send records of lower levels for a while; return how many."""
        return self._clients.order_level(whose, order)

    def read_certificates(self) -> None:
        """In the loop: read the certificates again; new clients are accepted with them."""
        self._clients.read_certificates()

    def dump(self) -> None:
        """In the loop: tell the operator the whole state."""
        for line in describe_state(self.picture()):
            self._report(line)

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
        for source in self.sources:
            source.close()
        self._clients.admission.close()
        self._close_own()

    def _is_finished(self) -> bool:
        if self._stop_by is None:
            return False
        self._clients.are_last = True
        self._clients.admission.accept_last()
        if time.monotonic() >= self._stop_by:
            return True
        if self._writer or self._clients:
            return False
        # Workers that ended with us leave journals: one whole look after the stop.
        return self.orphans is None or self.orphans.complete > self._stopped_at

    def _run_round(self) -> None:
        ready = self._selector.select(self._pause())
        board = self._board
        began = 0.0 if board is None else time.monotonic()
        while self._calls:
            self._make_call(self._calls.popleft())
        handshakes = self._clients.admission.handshakes
        for key, events in ready:
            target = key.fileobj
            if isinstance(target, Connection):
                if target.is_shaking_hands:
                    handshakes.stand_in_line(target)
                else:
                    self._clients.serve(target, events)
            elif target is self._wakeup:
                self._wakeup.drain()
            elif isinstance(target, Listener):
                self._clients.admission.accept_from(target)
        handshakes.take_turn(self._clients.serve)
        if self._stop_by is not None and not ready and not handshakes.are_due:
            self._clients.end_idle()
            if not self._clients:
                self._look_for_orphans()
        orphans = None if self._writer.failing else self.orphans
        took_orphan = orphans is not None and orphans.take_batch(self._records)
        if not self._writer.failing and self._stop_by is None:
            for source in self.sources:
                source.take_batch(self._records)
        self._next_rest = self._clients.end_rests(time.monotonic())
        self._clients.commit()
        if took_orphan:
            self._note_orphan_written()
        now = time.monotonic()
        for source in self.sources:
            source.note_written(self._outlets, now)
        self._supervisor.feed(now)
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_INTERVAL
            self._clients.sweep(now)
            if self._supervisor.is_there:
                self._supervisor.status(self._status_line())
            if self._stop_by is None:
                self._end_if_not_needed(now)
        if board is not None:
            board.note_round(began or time.monotonic())
            if not board.is_watched:
                self._show_to(None)
            if board.is_picture_wanted:
                board.put_picture(self.picture())

    def _show_to(self, board: Board | None) -> None:
        """Show ``board`` from now on what happens; ``None``: nobody."""
        self._board = board
        watchers = [watcher for watcher in (board, self._console) if watcher is not None]
        several = Watchers(watchers) if len(watchers) > 1 else None
        self._writer.show_to(several or next(iter(watchers), None))
        if board is not None:
            board.attach(self._wakeup.wake)
            self._wakeup.wake()  # a picture may have been asked for before

    def _take_request(self, connection: socket.socket, received: bytes) -> None:
        assert self._on_request is not None
        board = self._on_request(connection, received)
        if board is not self._board:
            self._show_to(board)

    def _make_call(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:  # a bug of ours ends no receiver
            self._report(f"a bug: {type(error).__name__}: {error}")

    def picture(self) -> ReceiverState:
        """Return its state at this instant. To be called in its own thread alone."""
        admission = self._clients.admission
        return self._painter.paint(
            admission.addresses, admission.connections, is_ending=self._stop_by is not None
        )

    def _pause(self) -> float:
        """Return the seconds until the next round has something to do, if no client has."""
        if self._clients.admission.handshakes.are_due:
            return 0.0
        now = time.monotonic()
        until = min(self._sweep_at, self._next_rest, now + self._supervisor.pause(now))
        if self._writer.failing:
            until = min(until, self._writer.retry_at)
        elif self.orphans is not None:
            until = min(until, now + self.orphans.next_in())
        if not self._writer.failing and self._stop_by is None:
            for source in self.sources:
                until = min(until, now + source.next_in(now))
        if self._ordered is not None:
            until = min(until, now + self._ordered.next_in())
        if self._stop_by is not None:
            until = min(until, now + 0.05)
        return max(until - now, 0.0)

    # -- orphans, and the rest

    def _status_line(self) -> str:
        counts, clients = self.counts, len(self._clients.admission.connections)
        what = "the sink fails" if self._writer.failing else "writing"
        return f"{what}: {counts['records']} records, {clients} clients"

    def _has_journal(self, sender: str) -> bool:
        return self.orphans is not None and self.orphans.has_journal(sender)

    def _look_for_orphans(self) -> None:
        if self.orphans is not None:
            self.orphans.look_soon()

    def _note_orphan_written(self) -> None:
        if self.orphans is None or self._writer.holds(self.orphans.sender):
            return
        sender = self.orphans.note_written(self._records)
        if sender is not None:
            self._outlets.retire_sender(sender)
            if not self._clients.is_connected(sender):
                self._records.forget(sender)

    def _count_unreadable(self, sender: str, text: str) -> None:
        self._reporter.report_refusal(f"sender {sender[:8]}", "unreadable record", text)

    def _end_if_not_needed(self, now: float) -> None:
        """Stop after ``linger`` seconds without a client, once a look has found no orphan.

        Where a worker has a later version of this package, stop without waiting: the next worker
        starts the later one.
        """
        orphans = self.orphans
        looked = orphans is None or orphans.complete > self._needed_at
        if self._clients or self._writer or (orphans is not None and orphans.is_busy):
            self._needed_at = now
            self._had_client = self._had_client or bool(self._clients)
        elif self._linger is not None and looked:
            linger = 0.0 if self._clients.has_met_newer else self._linger
            if not self._had_client:
                linger = max(linger, FIRST_CLIENT_TIMEOUT)
            if now - self._needed_at >= linger:
                self.stop()

    def _close_own(self) -> None:
        self._selector.close()
        self._wakeup.close()
