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
A forked child has no sender thread. Under gevent it has: a greenlet, whose sockets are closed.
It must not end, because to :mod:`threading` it is no thread of the child. So it waits for ever.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from typing import Callable

from ..addresses import Address
from ..exceptions import PeerError
from ..record.level_order import LevelOrder
from ..spool.proof import ReceiverProof
from ..system.signals import start_thread
from ..system.wakeup import WakeUp
from ..wire.sending import Greeting
from .connecting import Connector
from .conversation import Conversation, JournalToSend
from .ending import NO_END, Ending, end_if_last, has_ended
from .outage import Outage
from .starting import ReceiverStarter
from .stock_proof import StockProof
from .transport import Target, Transport
from .waiting import READ, DescriptorsLostError, Waiter

IDLE_INTERVAL = 1.0
"""Seconds that the thread sleeps at most while nothing happens. An exception that a signal handler
raises in a log call can lose its wake-up; then the thread finds the record by itself."""

GREETING_TIMEOUT = 10.0
"""Seconds without a greeting after which the operator is told; the records wait."""


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
        proof: ReceiverProof | None = None,
        starter: ReceiverStarter | None = None,
        on_lost: Callable[[], None] = lambda: None,
        on_greeting: Callable[[Greeting | None], None] = lambda greeting: None,
        on_levels: Callable[[tuple[LevelOrder, ...] | None], float] = lambda orders: IDLE_INTERVAL,
        on_end: Callable[[], None] = lambda: None,
        look: Callable[[str], float] | None = None,
        greeting_timeout: float = GREETING_TIMEOUT,
        open_transport: Callable[[Target, set[int] | None], Transport] = Transport,
    ) -> None:
        """``report`` tells the operator (stderr), ``notice`` makes the row of a WARNING record.

        ``peer`` is ``"bridge"`` (wait for its greeting) or ``"stock"`` (wait for nothing).
        ``trusted_users`` may have a receiver on this machine; ``None``: see :class:`.Transport`.
        ``proof`` is asked for where the system does not tell whose the receiver is. ``starter``
        starts a receiver where none answers. ``look`` is called while the peer takes records, with
        what the peer has shown itself to be; it returns the seconds until the next call.
        ``on_greeting`` is called on each connection with what the receiver greets with, or with
        ``None`` for a stock one; ``on_lost`` where none can be reached; ``on_end`` at the end. All
        of them in the thread. ``on_levels`` is told of levels that are wanted, or ``None`` to end
        what has expired; it returns the seconds until the next end. ``open_transport`` connects.
        """
        self.journal = journal
        self.address = address
        self.report = report
        self.notice = notice
        self.peer = peer
        """``"bridge"`` or ``"stock"``."""
        self.proof = proof
        self._connector = Connector(address, trusted_users, starter, report, open_transport)
        self._on_lost = on_lost
        self.on_greeting = on_greeting
        self.on_levels = on_levels
        self._on_end = on_end
        self._look, self._look_at = look, 0.0
        self.greeting_timeout = greeting_timeout
        self.ident: int | None = None
        """The thread's identifier, by which its own log calls are known."""
        self.send_now = False
        """The next frame does not wait for its time."""
        self.connected = False
        self.unacknowledged = 0
        self.stock_proof = StockProof()
        self._connections = 0
        self.greeted = False
        self.silence_told = False
        self._is_begun = False  # until the thread has ended
        self._outage = Outage(address, report, is_ended_by_us=starter is not None)
        self._is_parents = False  # this is a child, and the sender is not its own
        self.ending = NO_END
        self._progress = threading.Condition()  # re-entrant: a signal handler may flush, too
        self._thread: threading.Thread | None = None

    _wakeup: WakeUp | None = None  # of an instance while it is to be woken
    _waiter: Waiter | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread is there, or will be in an instant. A tracer may end it at once."""
        return self._is_begun and not has_ended(self._thread)

    def start(self, *, until_empty: bool = False) -> None:
        """Start the thread, unless it runs.

        Raises ``RuntimeError`` where no thread can be started or the interpreter is shutting down,
        and ``OSError`` where the process may open no more files. Then nothing of it is left, and it
        may be called again. With ``until_empty`` the thread ends by itself: when all is delivered,
        or when the peer is lost.
        """
        if self.is_running:
            return
        if sys.is_finalizing():  # before 3.12 the start would wait for the thread for ever
            raise RuntimeError("the interpreter is shutting down")
        if until_empty:
            self.ending = Ending(self.journal.next - 1, patient=False)
        thread = threading.Thread(target=self._run, name="loguru_stdbridge-sender", daemon=True)
        self._make_wakeup()
        try:
            self._thread, self._is_begun = thread, True
            start_thread(thread)
        except BaseException:
            if not thread.is_alive():  # else a signal handler has raised, and the thread has begun
                self._is_begun = False
                self._close_wakeup()
            raise

    def _make_wakeup(self) -> None:
        made: WakeUp | None = None
        try:
            if self._wakeup is None:
                made = WakeUp()
                self.__dict__.setdefault("_wakeup", made)
        finally:
            if made is not None and self._wakeup is not made:
                made.close()  # another thread or a signal handler was quicker
        wakeup = self._wakeup
        assert wakeup is not None
        self.journal.on_append = wakeup.wake
        self.journal.on_full = self.request_send

    def _close_wakeup(self) -> None:
        wakeup = self.__dict__.pop("_wakeup", None)
        if wakeup is not None:
            wakeup.close()

    # -- called by other threads

    def _wake(self) -> None:
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.wake()

    def request_send(self) -> None:
        """What is there now goes at once: the room that it takes is needed."""
        if not self.send_now:  # else it is on its way, or nobody is there to take it
            self.send_now = True
            self._wake()

    def flush(self, through: int, timeout: float | None) -> bool:
        """Wait until ``through`` is written, ``timeout`` seconds at most (``None``: for ever).

        Returns whether it is: acknowledged, or shown to be read by a stock receiver.
        """
        if self.peer == "stock":
            self.stock_proof.ask(through)
        self.send_now = True
        self._wake()
        with self._progress:
            self._progress.wait_for(lambda: self._is_decided(through), timeout)
        return self._is_written(through)

    def _is_decided(self, through: int) -> bool:
        """Return whether waiting changes nothing."""
        return self._is_written(through) or self.stock_proof.is_uncertain or not self.is_running

    def _is_written(self, through: int) -> bool:
        """Return whether the receiver has everything up to ``through``, as far as it tells."""
        tells = self.peer == "bridge" or self.greeted
        return self.journal.first > through and (tells or self.stock_proof.is_given(through))

    def close(self, timeout: float, *, patient: bool = True) -> bool:
        """Deliver what is there now within ``timeout`` seconds, take leave, end the thread.

        Without ``patient`` a receiver that cannot be reached is not waited for: the journal keeps
        what is left. Returns whether everything was delivered.
        """
        through = self.journal.next - 1
        self.ending = Ending(through, time.monotonic() + timeout, patient)
        self.send_now = True
        self._wake()
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(timeout + 1.0)
        return self._is_written(through)

    def end_when_done(self) -> None:
        """Have the thread end when all is delivered, however long that takes."""
        self.ending = Ending(self.journal.next - 1)
        self._wake()

    def stay(self) -> None:
        """Take back what :meth:`end_when_done` has said, unless the thread has ended."""
        if self.ending.until == math.inf:
            self.ending = NO_END

    def after_fork_in_child(self) -> None:
        """Close the parent's sockets in a child; its thread is gone, or stays where it is."""
        self._is_parents = True
        waiter = self._waiter
        if waiter is not None:
            waiter.close()
        self._close_wakeup()

    # -- the thread

    def _run(self) -> None:
        me = object()
        if self.__dict__.setdefault("_running_as", me) is not me:
            return  # another attempt to start was interrupted, and its thread runs
        try:
            self._thread, self._is_begun = threading.current_thread(), True
            self.ident = self.journal.sender_thread_id = threading.get_ident()
            while not self._work():
                pass
        except BaseException as error:
            if not self._is_parents:
                self._outage.note_own_failure(error)
        finally:
            self.ident = self.journal.sender_thread_id = None
            self._connector.close(is_left=self.journal.pending > 0)
            self._close_wakeup()
            self.__dict__.pop("_running_as", None)
            self._is_begun = False  # before the thread has ended: a flush would wait on
            self._on_end()
            self.tell_progress()

    def _work(self) -> bool:
        """Deliver until the end; return False where an error of ours has ended that."""
        self._rest_if_parents()
        try:
            self._make_wakeup()
            assert self._wakeup is not None
            self._waiter = Waiter(self._wakeup)
            while self._wait_for_rows():
                try:
                    self._attempt()
                except DescriptorsLostError:
                    raise
                except Exception as error:  # a bug of ours: told, and the records stay safe
                    self._lost(error)
            return True
        except Exception as error:
            self._outage.note_own_failure(error, tell=not self._is_parents)
        finally:
            waiter, self._waiter = self._waiter, None
            if waiter is not None:
                waiter.close()
        self._rest_if_parents()
        threading.Event().wait(self.ending.bound(self._outage.pause()))
        return self.ending.is_over() or not self.ending.patient

    def _abandon(self) -> None:
        """Close nothing: the numbers of our descriptors may be the application's by now."""
        waiter, self._waiter = self._waiter, None
        self.__dict__.pop("_wakeup", None)
        if waiter is not None:
            waiter.abandon()

    @property
    def known_peer(self) -> str | None:
        """``"bridge"`` once a receiver has greeted, ``"stock"``, or ``None`` while unknown."""
        return self.peer if self.greeted or self.peer == "stock" else None

    @property
    def reconnects(self) -> int:
        """Connections after the first one."""
        return max(self._connections - 1, 0)

    @property
    def done(self) -> bool:
        """Whether the end was called for, and all that was there then is delivered."""
        return self.journal.first > self.ending.through

    def _wait_for_rows(self) -> bool:
        """Sleep until there is something to deliver; False when the thread should end."""
        journal = self.journal
        while True:
            if self.ending.is_over() or self.done:
                return False
            pause = self._outage.pause()
            is_away = self._outage.is_on and not self._connector.expects_receiver
            if is_away and not self.ending.patient:
                return False
            if journal.pending:
                if not pause:
                    return True
                self._sleep(pause)
            else:
                if self._connector.misses_receiver and not pause:
                    self._stay_connected()
                journal.sender_waiting = True
                if journal.pending == 0 and not self.ending.is_called_for:
                    self._sleep(IDLE_INTERVAL)
                journal.sender_waiting = False

    def _look_after_others(self) -> None:
        """Tell the journal's trouble; wait for the child by which a receiver was started."""
        self.ending = end_if_last(self.ending, self.journal.next - 1)
        self._connector.look_after_children()
        trouble, self.journal.trouble = self.journal.trouble, None
        if trouble is not None:
            self.report(trouble)

    def look_around(self) -> float:
        """See whether there is something to adopt; return the seconds until the next look."""
        now, until = time.monotonic(), min(self.on_levels(None), IDLE_INTERVAL)
        if self._look is None or self.ending.is_called_for:
            return until
        if now >= self._look_at:
            self._look_at = now + self._look(self.peer)
        return min(self._look_at - now, until)

    def _sleep(self, timeout: float | None) -> None:
        self._look_after_others()
        self._wait(self.ending.bound(timeout))

    def _wait(self, timeout: float | None) -> int:
        """Wait for the connection or a wake-up; return what the connection is ready for."""
        until_look = self.journal.look_after()
        timeout = until_look if timeout is None else min(timeout, until_look)
        waiter, events = self._waiter, 0
        try:
            if waiter is not None:  # else it is the parent's
                events = waiter.wait(timeout)
        except DescriptorsLostError:
            if not self._is_parents:
                self._abandon()  # at once: whoever handles the error closes nothing either
                raise
        except Exception:
            if not self._is_parents:
                raise
        self._rest_if_parents()
        return events

    def _rest_if_parents(self) -> None:
        """In a child, the parent's greenlet waits for ever: see the module's text."""
        if self._is_parents:
            threading.Event().wait()

    def wait(
        self,
        interest: int,
        timeout: float | None,
        *,
        beyond_end: bool = False,
    ) -> bool:
        """Wait for the connection or a wake-up; return whether there is something to read.

        ``interest`` is :mod:`worker.waiting`'s, ``timeout`` seconds, which end with the time that
        :meth:`close` gives, unless ``beyond_end``.
        """
        self._look_after_others()
        assert self._waiter is not None
        self._waiter.watch(interest)
        return bool(self._wait(timeout if beyond_end else self.ending.bound(timeout)) & READ)

    def _attempt(self) -> None:
        """Connect, and converse until the connection ends."""
        waiter = self._waiter
        assert waiter is not None
        try:
            transport = self._connect(waiter)
            self._connections += 1
            self.connected = True
            Conversation(self, transport).run()
        except (OSError, PeerError) as error:
            self._connector.note_lost()
            self._lost(error)
        finally:
            self.connected = False
            self.on_levels(())
            if self._waiter is not None:  # else it was abandoned
                waiter.drop()

    def _stay_connected(self) -> None:
        """While nothing waits here, hold a connection, by whose end the receiver's is noticed.

        A receiver that is killed may have left records of processes that have ended: where the
        last one has gone, another one is started for them.
        """
        waiter, journal = self._waiter, self.journal
        assert waiter is not None
        try:
            transport = self._connect(waiter)
            self._outage.end()
            while not self.ending.is_called_for:
                journal.sender_waiting = True
                if journal.pending:
                    break
                if self.wait(READ, IDLE_INTERVAL) and transport.receive() is not None:
                    raise ConnectionResetError("the receiver has ended the connection")
        except OSError as error:
            self._connector.note_lost()
            self._lost(error)
        finally:
            journal.sender_waiting = False
            if self._waiter is not None:  # else it was abandoned
                self._waiter.drop()

    def _connect(self, waiter: Waiter) -> Transport:
        return self._connector.connect(waiter, self._wait, lambda: self.ending)

    def _lost(self, error: Exception) -> None:
        waiting = self.journal.pending > 0
        self._outage.note_failure(error, waiting=waiting, tell=not self.ending.is_called_for)
        self._on_lost()

    def delivering(self) -> None:
        """The peer takes records: an outage, if there was one, is over."""
        self._outage.end()

    def acknowledge(self, through: int) -> None:
        self.journal.acknowledge(through)
        self.tell_progress()

    def tell_progress(self) -> None:
        """Have those who wait for a flush look how far it is."""
        with self._progress:
            self._progress.notify_all()
