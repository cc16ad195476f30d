"""From one process to one receiver: a journal and the sender that empties it.

Owns their life: made at the first record, made anew in a forked child, left in order at exit. What
logs (handlers, the loguru sink) hands rows in and knows nothing of the rest.

One channel for all
-------------------
Handlers, bridges and loggers that arrive by pickle share the channel of their options
(:mod:`~loguru_stdbridge.worker.base_channel`): one journal, one thread, one connection, and records
in the order of the log calls. Each is noted as a user while it lives. A user that is closed lets
the channel go without waiting; where it was the last one, the sender ends when all is delivered. A
handler that takes its place before that, as with ``dictConfig``, goes on with the same journal.

Forks
-----
A child must not touch the parent's journal, connection or locks, and its sender thread does not
exist. So after a fork the child drops them all (closes its copies of the descriptors, writes
nothing) and makes its own at its first record: a new sender id, a new journal, a new thread. A lock
that some thread of the parent held at the fork is never asked for again in the child. Nothing is
made in the fork hook itself: most children never log, and many call ``exec``.

Exit
----
``atexit`` gives the sender a bounded time to deliver what was logged until then. A journal that is
empty is removed. Any other stays open: a record logged after that (by a thread that is still
running, by a ``__del__`` at shutdown) comes behind those that are in it, and when the process is
gone it is an orphan, which whoever can deliver it adopts. Where it was removed, such a record opens
a new one, with a thread where the interpreter still allows one, and is adopted where not.
"""

from __future__ import annotations

import atexit
import math
import threading
import time
import weakref
from threading import get_ident
from typing import TYPE_CHECKING, Callable

from ..exceptions import JournalError
from ..spool.directory import default_spool_dir, make_spool_dir
from ..spool.journal import Journal
from ..spool.proof import prepare_to_prove
from ..system.forks import drop_in_children, notice_fork, process_mark
from .base_channel import BaseChannel, share_channel
from .far_sinks import FarSinks
from .options import ChannelOptions
from .pipeline import Pipeline, report
from .totals import OWN, Totals, is_dropped
from .transport import Target, Transport, prepare_to_resolve

if TYPE_CHECKING:
    pass

EXIT_TIMEOUT = 2.0
"""Seconds that the end of the process waits for the receiver, where it can be reached or was just
started."""

OWN_ALLOWANCE = 1000
"""Records that the sender's own thread may log beyond as many as all others. The garbage collector
runs in it, too, and a ``__del__`` may log; a patched socket that logs would feed itself for
ever."""


class _SectionDepth(threading.local):
    depth = 0
    """Sections that this thread is in. Counted: greenlets may share it, and leave in any order."""


class Channel(BaseChannel):
    """Rows in, the receiver's file at the far end. Thread- and fork-safe; ``emit`` never raises."""

    _pipeline: Pipeline | None = None  # of an instance only while it is open

    def __init__(self, options: ChannelOptions) -> None:
        """Raises :class:`JournalError` for a ``spool_dir`` that was named and cannot be used."""
        super().__init__(options)
        self.far_sinks = FarSinks()
        self._spool_dir = self._choose_spool_dir(options)
        self._lock = threading.RLock()
        self._inside = _SectionDepth()
        self._past = Totals()  # of the pipelines that are closed
        self._own = 0  # records out of the sender's thread
        self._leaving = False
        self._left_behind: list[Pipeline] = []  # whose journals have closed themselves
        self.far_sinks.begin(options, self._spool_dir)
        prepare_to_resolve(options.address)
        self._open_transport: Callable[[Target, set[int] | None], Transport] = Transport
        if options.tls is not None:
            from .tls_transport import TlsConnections  # nobody else loads ssl

            self._open_transport = TlsConnections(options.tls, options.address.host).open
        prepare_to_prove(self._spool_dir, options.address)
        _channels.add(self)
        drop_in_children(self)

    @staticmethod
    def _choose_spool_dir(options: ChannelOptions) -> str | None:
        spool_dir = options.spool_dir
        if spool_dir is False:
            return None
        try:
            if spool_dir is None:
                return make_spool_dir(default_spool_dir(options.address.log_path))
            return make_spool_dir(spool_dir)
        except JournalError as error:
            if spool_dir is not None:
                raise  # asked for by name: to go on without would be a promise broken in silence
            report(
                f"{error}. Records are kept in memory only: what is not delivered when this "
                "process is killed is lost. Name a directory with spool_dir=."
            )
            return None

    def is_inside(self) -> bool:
        """Whether this thread is inside the channel or its journal, and may hold their locks."""
        pipeline = self._pipeline
        return self._inside.depth > 0 or (pipeline is not None and pipeline.journal.is_inside)

    def emit(self, row: bytes) -> None:
        """Take one record. Never raises; waits only where ``when_full="block"`` asks for it."""
        while True:
            if not process_mark[0]:
                notice_fork()
            pipeline = self._pipeline or self._open()
            journal = pipeline.journal
            if pipeline.sender.ident == get_ident() and not self._admit_own(journal):
                return
            if journal.append(row) or not journal.closed:
                return  # taken, or given up and counted
            self._leave_behind(pipeline)  # or it is being closed by another thread: again

    def _admit_own(self, journal: Journal) -> bool:
        """Whether a record out of the sender's own work is taken; else it is counted."""
        self._own += 1
        if 2 * self._own <= OWN_ALLOWANCE + self._past.accepted + journal.next:
            return True
        self._past = self._past.add_drop(OWN)
        return False

    @property
    def closed(self) -> bool:
        """Whether the next record has to open the journal."""
        return self._pipeline is None or not process_mark[0]

    def open(self) -> None:
        """Make the journal and the sender, if they are not there: see :mod:`system.forks`."""
        if not process_mark[0]:
            notice_fork()
        self._open()

    def _open(self) -> Pipeline:
        inside = self._inside
        inside.depth += 1  # before this thread has the lock, and for longer
        try:
            with self._lock:
                pipeline = self._pipeline
                if pipeline is not None:
                    return pipeline
                pipeline = self._make_pipeline()
        finally:
            inside.depth -= 1
        pipeline.start()
        return pipeline

    def _make_pipeline(self) -> Pipeline:
        made: Pipeline | None = None
        try:
            made = Pipeline(
                self.options,
                self._spool_dir,
                on_row_after_close=self.emit,
                on_sink=self.far_sinks.learn,
                on_levels=self.far_sinks.obey,
                on_sender_end=self._sender_ended,
                on_fork_ahead=self._leave_to_adopters,
                open_transport=self._open_transport,
            )
            made.is_leaving = self._leaving
            # One step: a signal handler may log, and open, before and after it.
            pipeline: Pipeline = self.__dict__.setdefault("_pipeline", made)
        finally:
            if made is not None and self._pipeline is not made:
                made.journal.close(remove=True)
        return pipeline

    def _leave_behind(self, pipeline: Pipeline) -> None:
        """Have the next record open a journal, where this one has closed itself.

        Its sender ends when all that is in it is delivered.
        """
        inside = self._inside
        inside.depth += 1
        try:
            with self._lock:
                if pipeline is not self._pipeline:
                    return
                self._left_behind.append(pipeline)
                self.__dict__.pop("_pipeline", None)
        finally:
            inside.depth -= 1
        pipeline.sender.end_when_done()
        pipeline.start()

    def _forget(self, pipeline: Pipeline) -> bool:
        """Close a journal that was left behind; return whether nothing was pending."""
        with self._lock:
            if pipeline not in self._left_behind:  # another thread was quicker
                return True
            done = pipeline.journal.close(remove=True)
            past = self._past.add_pipeline(pipeline)._replace(connected=False)
            self._left_behind.remove(pipeline)
            self._past = past
        if pipeline.adoption is not None:
            pipeline.adoption.close(0.0)
        return done

    def _leave_to_adopters(self, pipeline: Pipeline) -> None:
        """In a log call before uWSGI's fork: no thread may be there, and after it nobody logs here.

        So the journal is an orphan at once, and a receiver or another worker delivers it.
        """
        if pipeline.journal.path is not None and self.__dict__.pop("_pipeline", None) is pipeline:
            pipeline.journal.close(remove=False)
            self._past = self._past.add_pipeline(pipeline)

    def add_user(self, user: object) -> None:
        """Note that ``user`` uses this channel, for as long as it lives or until its release."""
        super().add_user(user)
        pipeline = self._pipeline
        if pipeline is not None:
            pipeline.sender.stay()
        else:  # the receiver may be another one since it was used last
            self.far_sinks.begin(self.options, self._spool_dir)

    def retire(self) -> None:
        """Have the sender end when all is delivered, unless a user comes. Waits for nothing."""
        pipeline = self._pipeline
        if pipeline is not None:
            pipeline.sender.end_when_done()

    def _sender_ended(self, pipeline: Pipeline) -> None:
        """In the sender's thread, at its end."""
        if pipeline in self._left_behind:
            self._forget(pipeline)
            return
        if pipeline is not self._pipeline or pipeline.sender.ending.until < math.inf:
            return  # it is being closed
        retired = pipeline.sender.ending.is_called_for
        if retired and self._close_unused(pipeline):
            return
        pipeline.sender.stay()
        if pipeline.journal.pending:  # an error has ended it, or a record came at the end
            pipeline.start_again(at_once=retired)
            if retired and not len(self._users):
                pipeline.sender.end_when_done()

    def _close_unused(self, pipeline: Pipeline) -> bool:
        """Close the journal if nothing is in it and nobody uses it; return whether it is closed."""
        if not self._lock.acquire(blocking=False):  # who has the lock may wait for this thread
            return False
        try:
            if pipeline is not self._pipeline or pipeline.journal.pending or len(self._users):
                return False
            self.__dict__.pop("_pipeline", None)
            pipeline.journal.close(remove=True)
            self._past = self._past.add_pipeline(pipeline)._replace(connected=False)
        finally:
            self._lock.release()
        if pipeline.adoption is not None:
            pipeline.adoption.close(0.0)
        return True

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all that was logged so far is written; ``timeout`` in seconds.

        Returns whether it is. A record that was dropped never will be. Called where this thread may
        hold what the sender needs (by a signal handler in the middle of a log call), or by the
        sender's own work, it does not wait.
        """
        if not process_mark[0]:
            notice_fork()
        deadline = None if timeout is None else time.monotonic() + timeout
        for pipeline in self._open_pipelines():
            if deadline is not None:
                timeout = max(deadline - time.monotonic(), 0.0)
            if not pipeline.flush(timeout):
                return False
        dropped = (pipeline.journal.figures().dropped for pipeline in self._open_pipelines())
        return self._past.is_whole and not any(map(is_dropped, dropped))

    def _open_pipelines(self) -> list[Pipeline]:
        """Return what is open, the oldest first."""
        pipeline = self._pipeline
        return [*self._left_behind, *([] if pipeline is None else [pipeline])]

    def totals(self) -> Totals:
        """Return what :meth:`stats` returns, as what is light to load."""
        if not process_mark[0]:
            notice_fork()
        totals = self._past
        for pipeline in self._open_pipelines():
            totals = totals.add_pipeline(pipeline)
        return totals

    def close(self, timeout: float = EXIT_TIMEOUT, *, patient: bool = True) -> bool:
        """Deliver within ``timeout`` seconds and end; the channel opens again if it is used again.

        Without ``patient`` a receiver that is away is not waited for. Returns whether everything
        that was ever logged was delivered; what was not stays in the journal, on disk.
        """
        if not process_mark[0]:
            notice_fork()
        deadline = time.monotonic() + timeout
        done = True
        for old in list(self._left_behind):
            old.close(max(deadline - time.monotonic(), 0.0), patient=patient)
            done = self._forget(old) and done
        inside = self._inside
        inside.depth += 1
        try:
            with self._lock:
                pipeline = self._pipeline
                if pipeline is None:
                    return done and self._past.is_whole
                timeout = max(deadline - time.monotonic(), 0.0)
                done = pipeline.close(timeout, patient=patient) and done
                # Before the journal takes no more: who finds it closed asks for another.
                if self.__dict__.pop("_pipeline", None) is None:  # closed by a signal handler
                    return pipeline.journal.pending == 0
                done = pipeline.journal.close(remove=True, at_exit=self._leaving) and done
                if pipeline.journal.closed or pipeline.journal.closing:
                    self._past = self._past.add_pipeline(pipeline)._replace(connected=False)
                else:
                    self._pipeline = pipeline
        finally:
            inside.depth -= 1
        if pipeline.adoption is not None:
            pipeline.adoption.close(max(deadline - time.monotonic(), 0.0))
        return done and self._past.is_whole

    def leave(self) -> None:
        """The process ends: close, but for a journal that is not empty; see the module's text."""
        self._leaving = True
        pipeline = self._pipeline
        if pipeline is not None:
            pipeline.is_leaving = True
        self.close(EXIT_TIMEOUT, patient=False)

    def after_fork_in_child(self) -> None:
        """Drop what is the parent's; the child makes its own at its first record."""
        pipelines, self._left_behind = self._open_pipelines(), []
        self.__dict__.pop("_pipeline", None)
        self._lock = threading.RLock()
        self._inside = _SectionDepth()
        self._past = Totals()
        self._own = 0
        for pipeline in pipelines:
            pipeline.after_fork_in_child()


def channel_for(options: ChannelOptions) -> BaseChannel:
    """Return the channel of this process for these options."""
    if options.server:
        return share_channel(Channel, options)
    from .file_channel import FileChannel  # nobody else loads what writes files

    return share_channel(FileChannel, options)


_channels: weakref.WeakSet[Channel] = weakref.WeakSet()


def _at_exit() -> None:
    for channel in list(_channels):
        channel.leave()


atexit.register(_at_exit)
