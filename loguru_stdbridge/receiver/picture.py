"""Makes the receiver's picture of itself (:mod:`~loguru_stdbridge.status.state`), in its loop."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterable

from .._version import __version__
from ..addresses import Address
from ..status.state import ReceiverState, SinkState, WorkerState
from .any_writer import AnyWriter
from .connection import Connection
from .owners import find_owner
from .reporting import RateLimitedReporter
from .row_writer import RowWriter
from .sequencing import SequencedWriter
from .several import OneWriter

MAX_WORKERS_SHOWN = 1000

_SHOWN_DIGITS = 8  # of a sender's 32: the rest is a secret


class Painter:
    """Knows where the state of one receiver is. Used by the receiver's one thread."""

    def __init__(
        self,
        log: str,
        *,
        writer: AnyWriter,
        records: SequencedWriter,
        reporter: RateLimitedReporter,
        spool_dir: str | None,
    ) -> None:
        self._log = log
        self._writer = writer
        self._records = records
        self._reporter = reporter
        self._spool_dir = spool_dir
        self._started = time.time()

    def paint(
        self,
        addresses: Iterable[Address],
        connections: Iterable[Connection],
        *,
        is_ending: bool,
    ) -> ReceiverState:
        """Make the picture. Never raises."""
        shown = [w for w in self._writer.writers if w.failing or not isinstance(w, RowWriter)]
        sinks = tuple(map(_look_at_sink, shown))
        clients = list(connections)
        workers = [c for c in clients if c.has_sent_frame and not c.ended][:MAX_WORKERS_SHOWN]
        return ReceiverState(
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._started,
            made=time.time(),
            log=self._log,
            sinks=sinks,
            addresses=tuple(map(str, addresses)),
            is_ending=is_ending,
            written=max(sink.records for sink in sinks),
            bytes=sum(sink.bytes for sink in sinks),
            duplicates=self._records.duplicates,
            refused=dict(self._reporter.refusals_by_kind),
            given_up=dict(self._records.given_up),
            held=max(writer.held for writer in self._writer.writers),
            connections=len(clients),
            workers=tuple(map(self._look_at_client, workers)),
            spool_dir=self._spool_dir,
            late=self._writer.late,
        )

    def _look_at_client(self, connection: Connection) -> WorkerState:
        sender = connection.sender
        if connection.owner is None:
            connection.owner = find_owner(connection.socket, sender, self._spool_dir)
        return WorkerState(
            id="" if sender is None else sender[:_SHOWN_DIGITS],
            program=connection.owner.program,
            pid=connection.owner.pid,
            peer=connection.peer,
            is_stock=sender is None,
            since=time.time() - (time.monotonic() - connection.opened_at),
            records=connection.records,
            lost=0 if sender is None else self._records.lost_by_sender[sender],
            backlog=None,
        )


def _look_at_sink(writer: OneWriter) -> SinkState:
    sink = writer.sink
    size = None
    with contextlib.suppress(OSError):
        size = os.stat(sink.path).st_size
    return SinkState(
        path=sink.path,
        is_writing=not writer.failing,
        trouble=writer.trouble,
        errors=writer.errors,
        records=writer.lines,
        bytes=sink.bytes_written,
        rotations=sink.rotations,
        size=size,
        limit=sink.size_limit,
    )
