"""Take the journals that dead workers of this machine left behind into the receiver's loop.

Owns the look-out for orphans and one adopted journal at a time. The loop takes a batch at a time,
as from a client. Numbers, ledger and sink treat the records like any others, so whatever the
worker's own connection still brings of them is a duplicate, and the other way round.

Only the lock of a journal says that its owner is dead (:mod:`~loguru_stdbridge.spool.orphans`).

Order of the steps
------------------
A batch is acknowledged in the journal after it is in the file. When all is written, the journal is
removed, and only then the sender is retired.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Callable

from ..addresses import Address
from ..spool.orphans import Orphan, OrphanFinder
from ..spool.segments import Batch

LOOK_INTERVAL = 0.5
"""Seconds between two looks at the spool directory."""

BATCH_BYTES = 256 * 1024


class OrphanIntake:
    """Lives in the receiver's loop: :meth:`adopt`, :meth:`read`, :meth:`written`, in turn."""

    def __init__(
        self,
        spool_dir: str,
        addresses: Sequence[Address],
        report: Callable[[str], None],
    ) -> None:
        """``addresses`` are those that the receiver is bound to."""
        self._addresses = addresses
        self._finder = OrphanFinder(spool_dir, self._serves, report)
        self._orphan: Orphan | None = None
        self._read = 0
        self.at_end = False
        """Whether the adopted journal has been read to its end."""
        self._candidates: Iterator[str] | None = None
        self._look_at = 0.0
        self._began = 0.0
        self.complete = 0.0
        """When the last look began that found nothing more to adopt (``time.monotonic``)."""

    @property
    def sender(self) -> str | None:
        """The sender whose journal is being delivered."""
        return None if self._orphan is None else self._orphan.sender_id

    @property
    def base(self) -> int:
        """The lowest number that the adopted journal holds."""
        assert self._orphan is not None
        return self._orphan.acked + 1

    @property
    def origin(self) -> str:
        """Whose journal it was, for messages."""
        assert self._orphan is not None
        return f"process {self._orphan.pid}, which has ended"

    def next_in(self) -> float:
        """Return the seconds until there may be something to do."""
        if self._orphan is not None:
            return 0.0
        return max(self._look_at - time.monotonic(), 0.0)

    def look_soon(self) -> None:
        """Look again in a moment: a client has gone, and its process may let its lock go next."""
        self._look_at = min(self._look_at, time.monotonic() + 0.02)

    def adopt(self) -> bool:
        """Take the next orphan that is meant for this receiver; return whether there is one."""
        if self._orphan is None and time.monotonic() >= self._look_at:
            if self._candidates is None:
                self._began = time.monotonic()
                self._candidates = iter(self._finder.paths())
            for path in self._candidates:
                orphan = self._orphan = self._finder.adopt(path)
                if orphan is not None:
                    self._read = orphan.acked
                    self.at_end = False
                    return True
            self._candidates = None
            self.complete = self._began
            self._look_at = time.monotonic() + LOOK_INTERVAL
        return self._orphan is not None

    def _serves(self, wanted: Address) -> bool:
        return any(address.serves(wanted) for address in self._addresses)

    def read(self) -> Batch:
        """Return the next batch of the adopted journal; an empty one at its end."""
        assert self._orphan is not None
        batch = self._orphan.read(self._read, BATCH_BYTES)
        self._read = batch.gap.last if batch.gap is not None else batch.last
        self.at_end = batch.gap is None and not batch.rows
        return batch

    def written(self, through: int) -> None:
        """Note in the journal that everything up to ``through`` is in the file."""
        assert self._orphan is not None
        self._orphan.acknowledge(min(through, self._read))

    def finish(self) -> None:
        """Remove the journal: it is delivered."""
        orphan, self._orphan = self._orphan, None
        assert orphan is not None
        self._finder.remove(orphan)

    def close(self) -> None:
        """Let go of what is not delivered: it stays an orphan."""
        if self._orphan is not None:
            self._orphan.release()
            self._orphan = None
