"""The sender thread: drain the journal into the receiver, in order, until it is acknowledged.

Owns the thread: connecting, waiting, beginning again and ending; what is said over a connection is
:mod:`worker.conversation`'s. It holds no record of its own: what is not acknowledged is in the
journal, so whatever ends this thread, the connection or the process loses nothing.

Why a record is written once
----------------------------
A conversation reads the journal from the row after the last one that it has sent. The journal's
``first`` is the first row that is not acknowledged, and a new connection starts again from there.
The greeting says which rows the receiver already holds, and the sequence numbers make rows that are
sent again harmless (:mod:`wire.receiving`). The journal frees space only on an acknowledgement,
which the receiver sends when the lines are in the file. Numbers that the journal has discarded are
reported after the greeting, where their rows would have come.

Why nobody waits
----------------
The socket never blocks. The thread sleeps on a selector over the socket and a wake-up socket. A log
call wakes the thread only if it sleeps (:mod:`spool.journal`). While records flow, the thread sends
every few milliseconds what has gathered, so it takes the interpreter's lock seldom and briefly.

Forks
-----
A forked child has no sender thread. Under gevent the thread is a greenlet, and the child does have
it. When it runs there, it finds its sockets closed. It must touch nothing, and it must not end,
because to :mod:`threading` it is no thread of the child. So it waits there for ever.
"""

from __future__ import annotations

import errno
import math
import selectors
import sys
import threading
import time
from typing import Callable

from ..addresses import Address
from ..exceptions import PeerError
from ..system.wakeup import WakeUp
from ..wire.sending import Greeting
from .conversation import Conversation, JournalToSend
from .starting import ReceiverStarter
from .transport import CONNECT_TIMEOUT, Backoff, Transport, targets

STARTING_TIMEOUT = 10.0
"""Seconds without a receiver that are no news where one is being started."""

GREETING_TIMEOUT = 10.0
"""Seconds without a greeting after which the operator is told. A receiver that is stopped or busy
takes as long; the records wait."""


class Sender:
    """The thread that empties one journal. Started once, in the process that owns the journal."""

    def __init__(
        self,
        journal: JournalToSend,
        address: Address,
        *,
        report: Callable[[str], None],
        notice: Callable[[str], bytes],
        peer: str = "bridge",
        trusted_users: set[int] | None = None,
        starter: ReceiverStarter | None = None,
        on_greeting: Callable[[Greeting | None], None] = lambda greeting: None,
        on_end: Callable[[], None] = lambda: None,
        look: Callable[[str], float] | None = None,
        greeting_timeout: float = GREETING_TIMEOUT,
    ) -> None:
        """``report`` tells the operator (stderr), ``notice`` makes the row of a WARNING record.

        ``peer`` is ``"bridge"`` (wait for its greeting) or ``"stock"`` (wait for nothing).
        ``trusted_users`` may have a receiver on this machine; ``None``: see :class:`.Transport`.
        ``starter`` starts a receiver where none answers. ``look`` is called while the peer takes
        records, with what the peer has shown itself to be; it returns the seconds after which it
        wants to be called again. ``on_greeting`` is called on each connection with what the
        receiver greets with, or with ``None`` for a stock one; ``on_end`` at the end. All of them
        in the thread.
        """
        self.journal = journal
        self.address = address
        self.report = report
        self.notice = notice
        self.peer = peer
        """``"bridge"`` or ``"stock"``."""
        self._trusted_users = trusted_users
        self._starter = starter
        self.on_greeting = on_greeting
        self._on_end = on_end
        self._look = look
        self._look_at = 0.0
        self.greeting_timeout = greeting_timeout

        self.ident: int | None = None
        """The thread's identifier, by which its own log calls are known."""
        self.send_now = False
        """The next frame does not wait for its time."""
        self.connected = False
        self.unacknowledged = 0
        self._connections = 0
        self.greeted = False
        self.silence_told = False
        self._unreachable = False
        self._lost_at: float | None = None  # since when no receiver can be reached
        self._told_lost = False
        self._running = False
        self._is_parents = False  # this is a child, and the sender is not its own
        self._backoff = Backoff()
        self.closing_until: float | None = None
        self._closing_through = 0  # the last number that was there when the end was called for
        self._patient = True
        self._progress = threading.Condition()  # re-entrant: a signal handler may flush, too
        self._selector = selectors.DefaultSelector()
        self._interest = 0  # in the connection
        self._wakeup = WakeUp()
        self._selector.register(self._wakeup, selectors.EVENT_READ)
        journal.on_append = self._wakeup.wake
        journal.on_full = self.request_send
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
            self._closing_through = self.journal.next - 1
            self.closing_until = math.inf
        self._running = True
        try:
            self._thread.start()
        except RuntimeError:
            self._running = False
            raise

    # -- called by other threads

    def request_send(self) -> None:
        """What is there now goes at once: the room that it takes is needed."""
        if not self.send_now:  # else it is on its way, or nobody is there to take it
            self.send_now = True
            self._wakeup.wake()

    def flush(self, through: int, timeout: float | None) -> bool:
        """Wait until ``through`` is acknowledged, ``timeout`` seconds at most (``None``: ever)."""
        self.send_now = True
        self._wakeup.wake()
        with self._progress:
            return (
                self._progress.wait_for(
                    lambda: self.journal.first > through or not self._running, timeout
                )
                and self.journal.first > through
            )

    def close(self, timeout: float, *, patient: bool = True) -> bool:
        """Deliver what is there now within ``timeout`` seconds, take leave, end the thread.

        Without ``patient`` a receiver that cannot be reached is not waited for: the journal keeps
        what is left. Returns whether everything was delivered.
        """
        self._patient = patient
        self._closing_through = self.journal.next - 1
        self.closing_until = time.monotonic() + timeout
        self.send_now = True
        self._wakeup.wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout + 1.0)
        if self._thread.ident is None:  # it was never started
            self._close_sockets()
        return self.journal.first > self._closing_through

    def _close_sockets(self) -> None:
        self._selector.close()
        self._wakeup.close()

    def after_fork_in_child(self) -> None:
        """Close the parent's sockets in a child; its thread is gone, or stays where it is."""
        self._is_parents = True
        self._close_sockets()
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()

    # -- the thread

    _transport: Transport | None = None

    def _run(self) -> None:
        self.ident = self.journal.sender_thread_id = threading.get_ident()
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
    def known_peer(self) -> str | None:
        """``"bridge"`` once a receiver has greeted, ``"stock"``, or ``None`` while unknown."""
        return self.peer if self.greeted or self.peer == "stock" else None

    @property
    def reconnects(self) -> int:
        """Connections after the first one."""
        return max(self._connections - 1, 0)

    @property
    def closing(self) -> bool:
        return self.closing_until is not None

    @property
    def done(self) -> bool:
        """Whether the end was called for, and all that was there then is delivered."""
        return self.closing and self.journal.first > self._closing_through

    def out_of_time(self) -> bool:
        return self.closing_until is not None and time.monotonic() >= self.closing_until

    def _wait_for_rows(self) -> bool:
        """Sleep until there is something to deliver; False when the thread should end."""
        journal = self.journal
        while True:
            if self.out_of_time() or self.done:
                return False
            pause = self._backoff.remaining()
            if self.closing and self._unreachable and not self._patient:
                return False
            if journal.pending:
                if not pause:
                    return True
                self._sleep(pause)
            else:
                journal.sender_waiting = True
                if journal.pending == 0 and not self.closing:
                    self._sleep(None)
                journal.sender_waiting = False

    def _tell_trouble(self) -> None:
        trouble, self.journal.trouble = self.journal.trouble, None
        if trouble is not None:
            self.report(trouble)

    def look_around(self) -> float | None:
        """See whether there is something to adopt; returns the seconds until the next time."""
        if self._look is None or self.closing:
            return None
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + self._look(self.peer)
        return self._look_at - now

    def _sleep(self, timeout: float | None) -> None:
        self._tell_trouble()
        for key, _ in self._select(self._bounded(timeout)):
            if key.fileobj is self._wakeup:
                self._wakeup.drain()

    def _select(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready within ``timeout`` seconds."""
        ready = []
        try:
            ready = self._selector.select(timeout)
        except Exception:
            if not self._is_parents:
                raise
        if self._is_parents:
            threading.Event().wait()  # see the module's text
        return ready

    def wait(
        self,
        transport: Transport,
        interest: int,
        timeout: float | None,
        *,
        beyond_end: bool = False,
    ) -> bool:
        """Wait for the connection or a wake-up; returns whether there is something to read.

        ``interest`` is the selector's, ``timeout`` seconds, which end with the time that
        :meth:`close` gives, unless ``beyond_end``.
        """
        self._tell_trouble()
        if interest != self._interest:
            self._selector.modify(transport, interest)
            self._interest = interest
        readable = False
        for key, ready in self._select(timeout if beyond_end else self._bounded(timeout)):
            if key.fileobj is self._wakeup:
                self._wakeup.drain()
            elif ready & selectors.EVENT_READ:
                readable = True
        return readable

    def _bounded(self, timeout: float | None) -> float | None:
        """Return ``timeout``, cut to the seconds that :meth:`close` has left."""
        if self.closing_until is None or self.closing_until == math.inf:
            return timeout
        left = max(self.closing_until - time.monotonic(), 0.0)
        return left if timeout is None else min(timeout, left)

    def _attempt(self) -> None:
        """Connect, and converse until the connection ends."""
        try:
            transport = self._connect()
        except OSError as error:
            self._lost(error)
            self._start_receiver()
            return
        if self._starter is not None:
            self._starter.stop_waiting()
        self._connections += 1
        self.connected = True
        try:
            Conversation(self, transport).run()
        except (OSError, PeerError) as error:
            self._lost(error)
        finally:
            self.connected = False
            self._drop_transport()

    def _start_receiver(self) -> None:
        """Nobody answers: start a receiver, where that is ours to do."""
        if self._starter is not None:
            told = self._starter.start(time.monotonic())
            if told is not None:
                self.report(told)

    def _connect(self) -> Transport:
        """Connect to the first of the address's targets that takes it. Raises ``OSError``."""
        failure = OSError(f"{self.address} has no address")
        for target in targets(self.address):
            try:
                transport = self._transport = Transport(target, self._trusted_users)
                self._selector.register(transport, selectors.EVENT_WRITE)
                try:
                    self._await_connected(transport)
                    self._interest = selectors.EVENT_READ
                    self._selector.modify(transport, self._interest)
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
            if left <= 0 or self.out_of_time():
                raise OSError(errno.ETIMEDOUT, "the connection is not accepted")
            for key, _ in self._select(self._bounded(left)):
                if key.fileobj is transport:
                    transport.finish_connect()
                    return
                self._wakeup.drain()

    def _drop_transport(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            self._selector.unregister(transport)
            transport.close()

    def _lost(self, error: Exception) -> None:
        self._backoff.failed()
        if not self.journal.pending:
            return  # an idle connection has ended: nothing waits for it
        now = time.monotonic()
        if self._lost_at is None:
            self._lost_at = now
        # Where a receiver is being started, there is none for a moment, and nothing to tell.
        known = 0.0 if self._starter is None else STARTING_TIMEOUT
        if not self._told_lost and not self.closing and now - self._lost_at >= known:
            self._told_lost = True
            self.report(
                f"cannot deliver to {self.address} ({type(error).__name__}: {error}); records "
                "wait in the journal and are sent when it is back"
            )
        self._unreachable = True

    def delivering(self) -> None:
        """The peer takes records: an outage, if there was one, is over."""
        self._backoff.succeeded()
        self._unreachable = self._told_lost = False
        self._lost_at = None

    def acknowledge(self, through: int) -> None:
        self.journal.acknowledge(through)
        with self._progress:
            self._progress.notify_all()
