"""What a channel opens for its first record: a journal, and the sender that empties it.

Owns their start, and starting again what could not start or has ended. A journal without a sender
is safe: its rows wait, and each later record looks whether the sender can be started now.

Why nothing half made is left behind
------------------------------------
A sender owns no descriptor and no thread before it starts. So the journal is the only thing that
the making of a pipeline opens, and it is closed again where something else fails. Starting can fail
for want of descriptors, of threads or of memory, in an interpreter that allows no daemon threads,
and at shutdown. It can also be ended at any point by an exception of a signal handler. Whatever
happens, what is not running afterwards is tried again: ``sender_waiting`` stays set, so the next
log call calls :meth:`Pipeline.start_later` as it would wake a sleeping sender.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from threading import get_ident
from typing import Callable

from ..exceptions import JournalError
from ..record.level_order import LevelOrder
from ..record.line_format import LineFormat
from ..record.sink_needs import SinkNeeds
from ..spool.directory import default_spool_dir, note_sink
from ..spool.elsewhere import note_spool
from ..spool.journal import Journal
from ..spool.proof import ReceiverProof
from ..spool.total import keep_within
from ..system.forks import is_fork_ahead
from ..system.stderr import tell_operator
from ..system.users import own_users
from ..wire.sending import Greeting
from .adoption import OrphanDelivery
from .conversation import JournalToSend
from .levels import notice_row
from .options import ChannelOptions
from .sender import Sender
from .starting import ReceiverStarter
from .transport import Target, Transport

START_PAUSE = 0.5
"""Seconds between two attempts to start the sender. One that fails costs more than a log call."""


def report(text: str) -> None:
    """Tell the operator ``text``, whatever it holds. Never raises."""
    tell_operator(f"loguru_stdbridge[{os.getpid()}]", text)


class Pipeline:
    """One journal and its sender, in the process that made them."""

    def __init__(
        self,
        options: ChannelOptions,
        spool_dir: str | None,
        *,
        on_row_after_close: Callable[[bytes], None],
        on_sink: Callable[[LineFormat | None, SinkNeeds], None],
        on_levels: Callable[[tuple[LevelOrder, ...] | None], float],
        on_sender_end: Callable[[Pipeline], None],
        on_fork_ahead: Callable[[Pipeline], None],
        open_transport: Callable[[Target, set[int] | None], Transport] = Transport,
    ) -> None:
        """Make the journal, in memory where ``spool_dir`` is ``None`` or cannot be used.

        ``on_row_after_close`` takes a row that was accepted when the journal was closed.
        ``on_sink`` is told how the receiver of each connection writes lines and what its sinks
        need, ``on_levels`` of least levels that an operator wants, and ``on_sender_end`` that the
        sender has ended; all in the sender's thread.
        ``on_fork_ahead`` is called in each log call of a process that may start no thread before it
        forks. ``open_transport`` begins a connection to the receiver.
        """
        self._options = options
        self._spool_dir = spool_dir
        self._on_sink = on_sink
        self._on_sender_end = on_sender_end
        self._on_fork_ahead = on_fork_ahead
        self._open_transport = open_transport
        self._next_start = 0.0
        self._start_told = False
        self.is_leaving = False
        """Whether the process ends: whatever comes after that, no fork does."""
        self.adoption: OrphanDelivery | None = None
        self._starter: ReceiverStarter | None = None
        self._proof: ReceiverProof | None = None
        journal: Journal | None = None
        try:
            journal = self.journal = self._make_journal()
            if self._spool_dir is not None and options.spool_dir is not None:
                note_spool(self._spool_dir)  # it was named: else no receiver knows of it
            journal.on_row_after_close = on_row_after_close
            if self._spool_dir is not None:
                self.adoption = OrphanDelivery(
                    self._spool_dir, options.address, report=report, make_sender=self._make_sender
                )
            if options.sink is not None:
                self._starter = ReceiverStarter(options.sink, self._spool_dir)
            if options.peer == "bridge":
                self._proof = ReceiverProof.of(self._spool_dir, options.address)
            self.sender = self._make_sender(
                journal,
                starter=self._starter,
                on_lost=self._bound_the_spool,
                peer=options.peer,
                on_greeting=self._greeted,
                on_levels=on_levels,
                on_end=self._sender_ended,
                look=None if self.adoption is None else self.adoption.look,
            )
            self._wait_for_start()
        except BaseException:
            if journal is not None:
                journal.close(remove=True)
            raise

    def _make_journal(self) -> Journal:
        try:
            return self._make_journal_in(self._spool_dir)
        except (JournalError, OSError) as error:
            failure = error
        if self._options.spool_dir is None:  # it was the default of another user, perhaps
            with contextlib.suppress(JournalError, OSError):
                other = default_spool_dir(self._options.address.log_path)
                journal = self._make_journal_in(other)
                report(f"{failure}. Records are kept in {other}.")
                self._spool_dir = other
                return journal
        report(
            f"{failure}. Records are kept in memory only: what is not delivered when this process "
            "is killed is lost."
        )
        self._spool_dir = None
        return self._make_journal_in(None)

    def _make_journal_in(self, spool_dir: str | None) -> Journal:
        return Journal.create(
            spool_dir,
            str(self._options.address),
            limit=self._options.spool_limit,
            when_full=self._options.when_full,
            block_timeout=self._options.block_timeout,
        )

    def _make_sender(
        self,
        journal: JournalToSend,
        *,
        peer: str,
        on_end: Callable[[], None],
        starter: ReceiverStarter | None = None,
        on_lost: Callable[[], None] = lambda: None,
        on_greeting: Callable[[Greeting | None], None] = lambda greeting: None,
        on_levels: Callable[[tuple[LevelOrder, ...] | None], float] = lambda orders: math.inf,
        look: Callable[[str], float] | None = None,
    ) -> Sender:
        user = self._options.receiver_user
        return Sender(
            journal,
            self._options.address,
            report=report,
            notice=notice_row,
            peer=peer,
            trusted_users=None if user is None else own_users() | {user},
            proof=self._proof if peer == "bridge" else None,
            starter=starter,
            on_lost=on_lost,
            on_greeting=on_greeting,
            on_levels=on_levels,
            on_end=on_end,
            look=look,
            open_transport=self._open_transport,
        )

    def _bound_the_spool(self) -> None:
        """In the sender's thread: no receiver takes anything, so journals gather."""
        if self._spool_dir is not None:
            keep_within(self._spool_dir, self._options.spool_total, report)

    def _greeted(self, greeting: Greeting | None) -> None:
        """In the sender's thread: a receiver has greeted, or ``None`` for a stock one."""
        if self.adoption is not None and greeting is not None:
            self.adoption.log = greeting.log
        if self._starter is not None and greeting is not None:
            told = self._starter.compare(greeting.words, greeting.package)
            if told is not None:
                report(told)
        line_format = None if greeting is None else greeting.line_format
        needs = SinkNeeds() if greeting is None else greeting.needs
        if self._spool_dir is not None:
            noted = None if greeting is None else needs
            note_sink(self._spool_dir, self._options.address, line_format, noted)
        self._on_sink(line_format, needs)

    # -- the start

    def _wait_for_start(self) -> None:
        """Have the next log call start the sender."""
        self.journal.on_append = self.start_later
        self.journal.sender_waiting = True

    def start(self) -> bool:
        """Start the sender unless it runs; return whether it runs. Raises nothing of its own."""
        self._next_start = time.monotonic() + START_PAUSE
        if is_fork_ahead() and not self.is_leaving:
            self._wait_for_start()
            return False
        try:
            self.sender.start()
        except (RuntimeError, OSError, MemoryError) as error:
            if not self._start_told:
                self._start_told = True
                place = "memory; later records and a flush try again"
                if self.journal.path is not None:
                    place = (
                        "the journal; later records and a flush try again, and what is left at the "
                        "end of the process is delivered from there"
                    )
                report(
                    f"cannot start the thread that sends records to {self._options.address} "
                    f"({type(error).__name__}: {error}). Records wait in {place}"
                )
        finally:
            if not self.sender.is_running:
                self._wait_for_start()
        return self.sender.is_running

    def start_later(self) -> None:
        """In a log call that finds no sender: start it, but not too often."""
        if self.sender.is_running:
            return
        if is_fork_ahead() and not self.is_leaving:
            self._wait_for_start()
            self._on_fork_ahead(self)
        elif time.monotonic() < self._next_start:
            self._wait_for_start()
        else:
            self.start()

    def start_again(self, *, at_once: bool) -> None:
        """In the sender's thread, at its end: start another, after a pause unless ``at_once``."""
        if not at_once:
            threading.Event().wait(max(self._next_start - time.monotonic(), 0.0))
        self.start()

    def _sender_ended(self) -> None:
        self._wait_for_start()
        self._on_sender_end(self)

    def flush(self, timeout: float | None) -> bool:
        """Wait until all that is in the journal now is written; return whether it is.

        It does not wait where this thread may hold what the sender needs.
        """
        sender, through = self.sender, self.journal.next - 1
        if self.journal.is_inside or sender.ident == get_ident():
            timeout = 0.0
        elif not sender.is_running and self.journal.pending:
            self.start()
        return sender.flush(through, timeout)

    # -- the end

    def close(self, timeout: float, *, patient: bool) -> bool:
        """Deliver within ``timeout`` seconds and end the sender; return whether all is written.

        The journal stays open.
        """
        if self.journal.pending and not self.sender.is_running:
            self.start()
        return self.sender.close(timeout, patient=patient)

    def after_fork_in_child(self) -> None:
        """Drop what is the parent's."""
        with contextlib.suppress(OSError):
            self.journal.after_fork_in_child()
        self.sender.after_fork_in_child()
        if self._starter is not None:
            self._starter.after_fork_in_child()
        if self.adoption is not None:
            self.adoption.after_fork_in_child()
