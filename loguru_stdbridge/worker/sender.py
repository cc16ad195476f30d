"""The sender thread: drain the journal into the receiver, in order, until it is acknowledged.

Owns the conversation with the receiver. It holds no record of its own: what is not acknowledged is
in the journal, so whatever ends this thread, the connection or the process loses nothing.

Why a record is written once
----------------------------
``_sent`` is where the reading of the journal stands, the journal's ``first`` what is not
acknowledged. A new connection starts again from ``first``; the greeting says what the receiver
holds already, and the sequence numbers make the rest harmless (:mod:`protocol`). The journal gives
space back only for an acknowledgement, which the receiver sends after the file has the lines.
Numbers that were given up are told, after the greeting, where they would have come.

Why nobody waits
----------------
The socket never blocks. The thread sleeps on a selector over the socket and a wake-up socket. A log
call wakes it only when it is asleep (:mod:`worker.journal`); while records flow it sends what has
gathered every few milliseconds, so it takes the interpreter's lock seldom and briefly.
"""

from __future__ import annotations

import contextlib
import errno
import math
import selectors
import socket
import sys
import threading
import time
from typing import Any, Callable, Optional

from ..addresses import Address
from ..exceptions import JournalError, PeerError
from ..protocol import Acknowledged, Greeting, Refusal, SenderConnection
from ..segments import Batch, Gap
from .transport import CONNECT_TIMEOUT, Backoff, Transport, targets

BATCH_BYTES = 128 * 1024
"""Bytes of rows in one frame. Bounds the lists and dicts of a frame (``rows.MAX_CONTAINERS``)."""

PACE = 0.005
"""Seconds between two frames that are not full. The first record after a pause goes at once; while
they flow, each frame costs this process as much as the log calls of ten records."""

BUSY_ROWS = 32
BUSY_PACE = 0.02
"""The same after a frame of so many rows: at thousands a second, fewer and larger frames save the
worker 2 % of its processor time, and the receiver as much again."""

GREETING_TIMEOUT = 2.0
"""Seconds of silence after the hello that mean a stock receiver."""

_STOCK_GREETING_TIMEOUT = 0.2  # once an address has shown itself to be stock


class Sender:
    """The thread that empties one journal. Started once, in the process that owns the journal."""

    def __init__(
        self,
        journal: Any,
        address: Address,
        *,
        report: Callable[[str], None],
        notice: Callable[[str], bytes],
        peer: str = "auto",
        on_greeting: Callable[[Optional[Greeting]], None] = lambda greeting: None,
        on_end: Callable[[], None] = lambda: None,
        look: Optional[Callable[[str], float]] = None,
        greeting_timeout: float = GREETING_TIMEOUT,
    ) -> None:
        """``report`` tells the operator (stderr), ``notice`` makes the row of a WARNING record.

        ``peer`` is ``"bridge"`` (a receiver of ours for certain: wait for its greeting),
        ``"stock"`` (never wait) or ``"auto"``. ``look`` is called while the peer takes records,
        with what the peer has shown itself to be; it returns the seconds after which it wants to be
        called again. ``on_greeting`` is called on each connection with what the receiver greets
        with, or with ``None`` for a stock one; ``on_end`` at the end. All of them in the thread.
        """
        self._journal = journal
        self._address = address
        self._report = report
        self._notice = notice
        self._peer = peer
        self._on_greeting = on_greeting
        self._on_end = on_end
        self._look = look
        self._look_at = 0.0
        self._greeting_timeout = greeting_timeout

        self.ident: Optional[int] = None
        """The thread's identifier, by which its own log calls are known."""
        self.connected = False
        self.reconnects = 0
        self.unacknowledged = 0
        self._connections = 0
        self._stock_seen = False
        self._unreachable = False
        self._running = False
        self._backoff = Backoff()
        self._closing_until: Optional[float] = None
        self._closing_through = 0  # the last number that was there when the end was called for
        self._patient = True
        self._progress = threading.Condition()  # re-entrant: a signal handler may flush, too
        self._selector = selectors.DefaultSelector()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        journal.on_append = self._wake
        self._thread = threading.Thread(
            target=self._run, name="loguru_stdbridge-sender", daemon=True
        )

    def start(self, *, until_empty: bool = False) -> None:
        """Start the thread. Raises ``RuntimeError`` where the interpreter is shutting down.

        With ``until_empty`` it ends by itself: when all is delivered, or when the peer is lost.
        """
        if sys.is_finalizing():  # before 3.12 the start would wait for the thread for ever
            raise RuntimeError("the interpreter is shutting down")
        if until_empty:
            self._patient = False
            self._closing_through = self._journal.next - 1
            self._closing_until = math.inf
        self._running = True
        try:
            self._thread.start()
        except RuntimeError:
            self._running = False
            raise

    @property
    def peer(self) -> Optional[str]:
        """``"bridge"``, ``"stock"``, or ``None`` while it is not known."""
        return None if self._peer == "auto" else self._peer

    # -- called by other threads

    def _wake(self) -> None:
        try:  # in a log call: no ``contextlib.suppress``, which is three calls more
            self._wake_writer.send(b"\0")
        except OSError:  # full: it is being woken already; closed: too late
            pass

    def flush(self, through: int, timeout: Optional[float]) -> bool:
        """Wait until ``through`` is acknowledged, ``timeout`` seconds at most (``None``: ever)."""
        with self._progress:
            return self._progress.wait_for(
                lambda: self._journal.first > through or not self._running, timeout
            ) and bool(self._journal.first > through)

    def close(self, timeout: float, *, patient: bool = True) -> bool:
        """Deliver what is there now within ``timeout`` seconds, take leave, end the thread.

        Without ``patient`` a receiver that cannot be reached is not waited for: the journal keeps
        what is left. Returns whether everything was delivered.
        """
        self._patient = patient
        self._closing_through = self._journal.next - 1
        self._closing_until = time.monotonic() + timeout
        self._wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout + 1.0)
        if self._thread.ident is None:  # it was never started
            self._close_sockets()
        return bool(self._journal.first > self._closing_through)

    def _close_sockets(self) -> None:
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def after_fork_in_child(self) -> None:
        """Close the parent's sockets in a child; the thread does not exist there."""
        self._close_sockets()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    # -- the thread

    _transport: Optional[Transport] = None

    def _run(self) -> None:
        self.ident = self._journal.emptied_by = threading.get_ident()
        try:
            while self._wait_for_rows():
                try:
                    self._attempt()
                except Exception as error:  # a bug of ours: told, and the records stay safe
                    self._lost(error)
        finally:
            self._close_sockets()
            self._on_end()
            with self._progress:
                self._running = False  # the thread is still alive here, and a flush would wait on
                self._progress.notify_all()

    @property
    def _closing(self) -> bool:
        return self._closing_until is not None

    @property
    def _done(self) -> bool:
        """Whether the end was called for, and all that was there then is delivered."""
        return self._closing and bool(self._journal.first > self._closing_through)

    def _out_of_time(self) -> bool:
        return self._closing_until is not None and time.monotonic() >= self._closing_until

    def _wait_for_rows(self) -> bool:
        """Sleep until there is something to deliver; False when the thread should end."""
        journal = self._journal
        while True:
            if self._out_of_time() or self._done:
                return False
            pause = self._backoff.remaining()
            if self._closing and self._unreachable and not self._patient:
                return False
            if journal.pending:
                if not pause:
                    return True
                self._sleep(pause)
            else:
                journal.asleep = True
                if journal.pending == 0 and not self._closing:
                    self._sleep(None)
                journal.asleep = False

    def _tell_trouble(self) -> None:
        trouble, self._journal.trouble = self._journal.trouble, None
        if trouble is not None:
            self._report(trouble)

    def _look_around(self) -> Optional[float]:
        """See whether there is something to adopt; returns the seconds until the next time."""
        if self._look is None or self._closing:
            return None
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._look("bridge" if self._peer == "bridge" else "stock")
        return self._look_at - now

    def _sleep(self, timeout: Optional[float]) -> None:
        self._tell_trouble()
        for key, _ in self._selector.select(self._bounded(timeout)):
            if key.fileobj is self._wake_reader:
                self._drain_wakes()

    def _bounded(self, timeout: Optional[float]) -> Optional[float]:
        """``timeout``, but not beyond the end that :meth:`close` has set."""
        if self._closing_until is None or self._closing_until == math.inf:
            return timeout
        left = max(self._closing_until - time.monotonic(), 0.0)
        return left if timeout is None else min(timeout, left)

    def _drain_wakes(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_reader.recv(4096)

    def _attempt(self) -> None:
        """One connection, from connect to its end."""
        try:
            transport = self._connect()
        except OSError as error:
            self._lost(error)
            return
        self._connections += 1
        self.reconnects = self._connections - 1
        self.connected = True
        try:
            _Conversation(self, transport).run()
        except (OSError, PeerError) as error:
            self._lost(error)
        finally:
            self.connected = False
            self._drop_transport()

    def _connect(self) -> Transport:
        """Connect to the first of the address's targets that takes it. Raises ``OSError``."""
        failure = OSError(f"{self._address} has no address")
        for target in targets(self._address):
            try:
                transport = self._transport = Transport(target)
                self._selector.register(transport, selectors.EVENT_WRITE)
                try:
                    self._await_connected(transport)
                    self._selector.modify(transport, selectors.EVENT_READ)
                    return transport
                except BaseException:
                    self._drop_transport()
                    raise
            except OSError as error:
                failure = error
        raise failure

    def _await_connected(self, transport: Transport) -> None:
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or self._out_of_time():
                raise OSError(errno.ETIMEDOUT, "the connection is not accepted")
            for key, _ in self._selector.select(self._bounded(left)):
                if key.fileobj is transport:
                    transport.finish_connect()
                    return
                self._drain_wakes()

    def _drop_transport(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            self._selector.unregister(transport)
            transport.close()

    def _lost(self, error: Exception) -> None:
        self._backoff.failed()
        if not self._journal.pending:
            return  # an idle connection has ended: nothing waits for it
        if not self._unreachable and not self._closing:
            self._report(
                f"cannot deliver to {self._address} ({type(error).__name__}: {error}); records "
                "wait in the journal and are sent when it is back"
            )
        self._unreachable = True

    def _delivering(self) -> None:
        """The peer takes records: an outage, if there was one, is over."""
        self._backoff.succeeded()
        self._unreachable = False

    def _acknowledge(self, through: int) -> None:
        self._journal.acknowledge(through)
        with self._progress:
            self._progress.notify_all()


class _Conversation:
    """What is said over one connection. Lives in the sender thread."""

    def __init__(self, sender: Sender, transport: Transport) -> None:
        self._sender = sender
        self._transport = transport
        self._journal = sender._journal
        self._connection = SenderConnection(self._journal.sender_id)
        self._out = memoryview(b"")
        self._sent = 0  # highest number put into a frame on this connection
        self._gap: Optional[Gap] = None  # what the hello told to a stock receiver
        self._next_frame_at = 0.0
        self._interest = selectors.EVENT_READ

    def run(self) -> None:
        self._hello()
        greeted = self._await_greeting()
        while greeted is None:  # a peer known to be ours that is stopped or busy
            greeted = self._await_greeting()
        if greeted:
            self._deliver()
        else:
            self._deliver_to_stock()

    # -- the hello

    def _hello(self) -> None:
        first = self._journal.first
        batch: Batch = self._journal.read(first - 1, 1)
        self._gap = batch.gap
        if batch.gap is not None:
            self._sent = first - 1
            row, number = self._notice_of(batch.gap), batch.gap[1]
            frame = self._connection.hello(row, number, first, notice=True)
        elif batch.rows:
            self._sent = first
            frame = self._connection.hello(batch.rows[0], first, first)
        else:
            raise JournalError(f"record {first} is not in the journal")
        self._out = memoryview(frame)

    def _notice_of(self, gap: Gap) -> bytes:
        first, last, reason = gap
        return self._sender._notice(f"{last - first + 1} records were given up: {reason}")

    def _await_greeting(self) -> Optional[bool]:
        """True: greeted. False: a stock peer. None: not yet, and it is known to be ours."""
        sender = self._sender
        timeout = _STOCK_GREETING_TIMEOUT if sender._stock_seen else sender._greeting_timeout
        deadline = time.monotonic() + (0.0 if sender._peer == "stock" else timeout)
        while True:
            self._flush_out()
            left = deadline - time.monotonic()
            if self._greeted():
                return True
            if left <= 0 and not self._out:
                break
            if sender._out_of_time():
                raise OSError("no greeting before the end")
            self._wait(max(left, 0.01))
        if sender._peer == "bridge":
            return None
        if not sender._stock_seen and sender._peer != "stock":
            sender._report(
                f"{sender._address} does not greet: taken for a stock receiver, "
                "records are delivered without acknowledgement"
            )
        sender._stock_seen = True
        return False

    def _greeted(self) -> bool:
        return self._connection.greeting is not None

    # -- to a receiver of ours

    def _deliver(self) -> None:
        sender, journal = self._sender, self._journal
        sender._peer = "bridge"
        greeting = self._connection.greeting
        assert greeting is not None
        self._sent = max(self._sent, greeting.last)
        sender._delivering()
        while True:
            if not self._out and time.monotonic() >= self._next_frame_at:
                self._next_frame()
            self._flush_out()
            if sender._out_of_time():
                break
            until_look = sender._look_around()
            if self._out:
                self._wait(until_look)
            elif sender._done:
                break
            elif journal.next - 1 > self._sent:
                self._wait(max(self._next_frame_at - time.monotonic(), 0.0))
            else:
                journal.asleep = True
                if journal.next - 1 <= self._sent and not sender._done:
                    self._wait(until_look)
                journal.asleep = False
        self._leave()

    def _next_frame(self) -> None:
        batch: Batch = self._journal.read(self._sent, BATCH_BYTES)
        if batch.gap is not None:
            first, last, reason = batch.gap
            self._journal.tell(first, last)
            self._out = memoryview(self._connection.gap(first, last, reason))
            self._sent = last
        elif batch.rows:
            self._out = memoryview(self._connection.rows(batch.first, batch.rows))
            self._sent = batch.last
            if len(self._out) < BATCH_BYTES // 2:
                busy = len(batch.rows) >= BUSY_ROWS
                self._next_frame_at = time.monotonic() + (BUSY_PACE if busy else PACE)

    def _leave(self) -> None:
        """Say goodbye where all is delivered; read what the receiver still says, then close."""
        sender = self._sender
        if self._journal.pending == 0 and not self._out:
            self._out = memoryview(self._connection.goodbye(self._sent))
            self._flush_out()
        self._transport.finish()
        deadline = time.monotonic() + 0.5
        if sender._closing_until is not None and sender._closing_until != math.inf:
            deadline = max(deadline, sender._closing_until)
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:  # ends by the end of the stream
                self._wait(deadline - time.monotonic())

    # -- to a stock receiver

    def _deliver_to_stock(self) -> None:
        """Deliver as ``SocketHandler`` does: what the kernel took counts as delivered.

        The peer is still listened to: a receiver of ours that greets late is taken at its word.
        """
        sender, journal = self._sender, self._journal
        sender._delivering()
        sender._on_greeting(None)
        if self._gap is not None:
            self._gap_taken_by_stock(self._gap)
        else:
            self._taken_by_stock(self._sent)
        while not self._greeted():
            if sender._done or sender._out_of_time():
                self._transport.finish()
                return
            until_look = sender._look_around()
            self._wait(0)  # a peer that has gone is noticed before it is written to, not after
            if self._greeted():  # just now
                break
            batch: Batch = journal.read(self._sent, BATCH_BYTES)
            if batch.gap is not None:
                self._send_to_stock(self._notice_of(batch.gap), batch.gap[1])
                self._gap_taken_by_stock(batch.gap)
            for number, row in enumerate(batch.rows, batch.first):
                self._send_to_stock(row, number)
                self._taken_by_stock(number)
            if not batch.rows and batch.gap is None:
                journal.asleep = True
                if journal.next - 1 <= self._sent and not sender._closing:
                    self._wait(until_look)
                journal.asleep = False
        self._deliver()

    def _send_to_stock(self, row: Any, number: int) -> None:
        self._out = memoryview(self._connection.stock(row, number))
        while self._out:
            self._flush_out(end_of_record=True)
            if self._out:
                if self._sender._out_of_time():
                    raise OSError("the peer does not read")
                self._wait(None)

    def _taken_by_stock(self, number: int) -> None:
        self._sender.unacknowledged += 1
        self._sent = number
        self._sender._acknowledge(number)

    def _gap_taken_by_stock(self, gap: Gap) -> None:
        self._journal.tell(gap[0], gap[1])
        self._sent = gap[1]
        self._sender._acknowledge(gap[1])

    # -- bytes

    def _flush_out(self, *, end_of_record: bool = False) -> None:
        while self._out:
            count = self._transport.send(self._out, end_of_record=end_of_record)
            if not count:
                return
            self._out = self._out[count:]

    def _wait(self, timeout: Optional[float]) -> None:
        """Wait for the socket or a wake-up; take answers. Raises ``OSError`` at end of stream."""
        sender = self._sender
        sender._tell_trouble()
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._out else 0)
        if interest != self._interest:
            sender._selector.modify(self._transport, interest)
            self._interest = interest
        for key, ready in sender._selector.select(sender._bounded(timeout)):
            if key.fileobj is sender._wake_reader:
                sender._drain_wakes()
            elif ready & selectors.EVENT_READ:
                data = self._transport.receive()
                if data == b"":
                    raise ConnectionResetError("the receiver closed the connection")
                if data:
                    self._take(data)

    def _take(self, data: bytes) -> None:
        for answer in self._connection.receive(data):
            if isinstance(answer, Acknowledged):
                self._sender._acknowledge(answer.through)
            elif isinstance(answer, Refusal):
                raise PeerError(f"the receiver refuses: {answer.reason}")
            else:
                assert isinstance(answer, Greeting)
                if answer.last >= self._journal.next:
                    raise PeerError(f"it greets with record {answer.last}, which was never sent")
                self._sender._on_greeting(answer)  # before an acknowledgement lets a flush return
