"""Take the journals that dead workers of this machine left behind into the receiver's loop.

Owns the look-out for orphans and one adopted journal at a time. The loop takes a batch at a time,
as from a client. Numbers, ledger and sink treat the records like any others, so whatever the
worker's own connection still brings of them is a duplicate, and the other way round.

Only the lock of a journal says that its owner is dead (:mod:`~loguru_stdbridge.spool.orphans`).

Order of the steps
------------------
A batch is acknowledged in the journal after it is in the file. When all is written, the journal is
removed, and only then the sender is retired: a ledger that has forgotten a sender would have all of
its records written again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import Callable, NamedTuple

from ..addresses import Address, LogName
from ..exceptions import SequenceError
from ..record.row import decode_row
from ..spool.belonging import Origin, belongs
from ..spool.finder import OrphanFinder
from ..spool.orphans import Orphan
from ..wire.receiving import GapReceived
from .sequencing import SequencedWriter

LOOK_INTERVAL = 0.5
"""Seconds between two looks at the spool directory."""

BATCH_BYTES = 256 * 1024
"""Bytes of rows that the loop takes from an orphan in one round."""


class _Waiting(NamedTuple):
    """A journal that is another receiver's to deliver."""

    records: int
    pid: int
    created: float  # seconds since the epoch


class OrphanIntake:
    """Lives in the receiver's loop. Between :meth:`take_batch` and :meth:`note_written` the loop
    writes what was taken."""

    def __init__(
        self,
        spool_dir: str,
        addresses: Sequence[Address],
        log: LogName,
        report: Callable[[str], None],
    ) -> None:
        """``addresses`` are those that the receiver is bound to, ``log`` is what it writes."""
        self._addresses = addresses
        self._log = log
        self._finder = OrphanFinder(spool_dir, self._is_ours, report, looks_elsewhere=True)
        self._report = report
        self._others: dict[tuple[str, str], list[_Waiting]] = {}  # by log or address, and program
        self._finder.on_other = self._note_other
        self._orphan: Orphan | None = None
        self._read = 0
        self._at_end = False
        self._candidates: Iterator[str] | None = None
        self._look_at = 0.0
        self._began = 0.0
        self.complete = 0.0
        """When the last look began that found nothing more to adopt (``time.monotonic``)."""

    def has_journal(self, sender: str) -> bool:
        """Return whether the journal of ``sender`` is in this spool directory."""
        return self._finder.has_journal(sender)

    def next_in(self) -> float:
        """Return the seconds until there may be something to do."""
        if self._orphan is not None:
            return 3600.0 if self._at_end else 0.0  # its end waits for the sink, which wakes us
        return max(self._look_at - time.monotonic(), 0.0)

    @property
    def sender(self) -> str | None:
        """The sender of the orphan that is being delivered."""
        return None if self._orphan is None else self._orphan.sender_id

    @property
    def is_busy(self) -> bool:
        """Whether an orphan is being delivered."""
        return self._orphan is not None

    def look_soon(self) -> None:
        """Look again in a moment: a client has gone, and its process may let its lock go next."""
        self._look_at = min(self._look_at, time.monotonic() + 0.02)

    def take_batch(self, records: SequencedWriter) -> bool:
        """Hand the next batch of an orphan to ``records``; return whether there is an orphan."""
        if self._orphan is None:
            self._orphan = self._find()
        orphan = self._orphan
        if orphan is None:
            return False
        sender = orphan.sender_id
        try:
            records.greet(sender, orphan.acked + 1)
        except SequenceError:  # its owner's connection has ended by an error: after the next write
            return True
        batch = orphan.read(self._read, BATCH_BYTES)
        if batch.gap is not None:
            self._read = batch.gap.last
            origin = f"process {orphan.pid}, which has ended"
            records.take_gap(GapReceived(sender, *batch.gap), origin)
        elif batch.rows:
            self._read = batch.last
            records.take_rows(sender, batch.first, list(map(decode_row, batch.rows)))
        else:
            self._at_end = True
        return True

    def note_written(self, records: SequencedWriter) -> str | None:
        """Note in the journal that all that was taken is in the file.

        At its end, remove the journal and return its sender, which will send no more. ``None``
        where nothing could be noted or removed, so that it will be found, and delivered, again.
        """
        orphan = self._orphan
        if orphan is None:
            return None
        orphan.acknowledge(min(records.last(orphan.sender_id), self._read))
        if not self._at_end:
            return None
        self._orphan = None
        self._finder.remove(orphan)
        return orphan.sender_id if orphan.is_noted or not os.path.exists(orphan.path) else None

    def _find(self) -> Orphan | None:
        if time.monotonic() < self._look_at:
            return None
        if self._candidates is None:
            self._began = time.monotonic()
            self._candidates = iter(self._finder.paths())
        for path in self._candidates:
            orphan = self._finder.adopt(path)
            if orphan is not None:
                orphan.belong_to(self._log)
                self._read, self._at_end = orphan.acked, False
                return orphan
        self._candidates = None
        if self._finder.on_other is not None:  # the first look is over
            self._finder.on_other = None
            self._tell_others()
        self.complete = self._began
        self._look_at = time.monotonic() + LOOK_INTERVAL
        return None

    def _note_other(self, orphan: Orphan) -> None:
        origin, records = orphan.origin, orphan.last - orphan.acked
        if records:
            waiting = self._others.setdefault((origin.wanted, origin.program), [])
            waiting.append(_Waiting(records, orphan.pid, orphan.created))

    def _tell_others(self) -> None:
        """Tell what waits in the spool for another receiver: nobody else might ever tell it."""
        others, self._others = self._others, {}
        for (wanted, program), journals in others.items():
            records = sum(journal.records for journal in journals)
            since = min(journal.created for journal in journals)
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(since))
            processes = ", ".join(str(journal.pid) for journal in journals[:3])
            more = f" and {len(journals) - 3} more" if len(journals) > 3 else ""
            what = "1 record" if records == 1 else f"{records} records"
            self._report(
                f"the spool holds {what} for {wanted}, logged by {program or 'a program'} (process "
                f"{processes}{more}) since {when}: start the receiver of that log"
            )

    def _is_ours(self, origin: Origin) -> bool:
        return belongs(origin, self._log, self._serves)

    def _serves(self, wanted: Address) -> bool:
        return any(address.serves(wanted) for address in self._addresses)

    def close(self) -> None:
        """Let go of what is not delivered: it stays an orphan."""
        if self._orphan is not None:
            self._orphan.release()
            self._orphan = None
