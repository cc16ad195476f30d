"""Delivers the journals that dead workers of this machine left behind.

Owns the look-out for orphans and one adopted journal at a time. It feeds the loop a batch at a
time, like a client; numbers, ledger and sink treat its records like any others, so whatever the
worker's connection still brings of them is a duplicate, and the other way round.

The journal's lock says that its owner is dead; nothing else does (:mod:`orphans`). A batch is
acknowledged in the journal after it is in the file. When all is, the journal is removed, and only
then is the sender noted as gone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Callable

from ..addresses import Address, parse_address
from ..exceptions import AddressError, JournalError
from ..spool.orphans import Orphan, journal_directories
from ..spool.segments import Batch

INTERVAL = 0.5
"""Seconds between two looks at the spool directory."""

BATCH_BYTES = 256 * 1024


class Adoption:
    """See the module's text. Lives in the receiver's loop."""

    def __init__(
        self,
        spool_dir: str,
        addresses: Sequence[Address],
        report: Callable[[str], None],
    ) -> None:
        self._spool_dir = spool_dir
        self._addresses = addresses
        self._report = report
        self._orphan: Orphan | None = None
        self._read = 0
        self.at_end = False
        """Whether the adopted journal has been read to its end."""
        self._candidates: Iterator[str] | None = None
        self._look_at = 0.0
        self._began = 0.0
        self.complete = 0.0
        """When the last look began that found nothing more to adopt (``time.monotonic``)."""
        self._told: list[str] = []

    @property
    def sender(self) -> str | None:
        """Whose journal is being delivered."""
        return None if self._orphan is None else self._orphan.sender_id

    @property
    def base(self) -> int:
        """The lowest number that the adopted journal holds."""
        assert self._orphan is not None
        return self._orphan.acked + 1

    @property
    def origin(self) -> str:
        """Whose it was, for messages."""
        assert self._orphan is not None
        return f"process {self._orphan.pid}, which has ended"

    def next_in(self) -> float:
        """Seconds until there may be something to do."""
        if self._orphan is not None:
            return 0.0
        return max(self._look_at - time.monotonic(), 0.0)

    def look_soon(self) -> None:
        """A client has gone: its process may have ended, and let its lock go in a moment."""
        self._look_at = min(self._look_at, time.monotonic() + 0.02)

    def adopt(self) -> bool:
        """Take the next orphan that is meant for this receiver; False where there is none."""
        if self._orphan is None and time.monotonic() >= self._look_at:
            if self._candidates is None:
                self._began = time.monotonic()
                self._candidates = iter(journal_directories(self._spool_dir))
            for path in self._candidates:
                if self._try(path):
                    return True
            self._candidates = None
            self.complete = self._began
            self._look_at = time.monotonic() + INTERVAL
        return self._orphan is not None

    def _try(self, path: str) -> bool:
        """Adopt the journal at ``path``; whether it was one for us."""
        try:
            orphan = Orphan.adopt(path)
        except JournalError as error:
            self._report(str(error))
            return False
        except OSError as error:
            self._tell_once(f"cannot adopt the journal {path}: {error}")
            return False
        if orphan is None:
            return False
        if not self._is_ours(orphan.address):
            orphan.release()
            return False
        self._orphan = orphan
        self._read = orphan.acked
        self.at_end = False
        return True

    def _is_ours(self, text: str) -> bool:
        try:
            wanted = parse_address(text)
        except AddressError:
            return False
        return any(address.serves(wanted) for address in self._addresses)

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told = [*self._told[-50:], text]
            self._report(text)

    def read(self) -> Batch:
        """The next batch of the adopted journal; empty at its end."""
        assert self._orphan is not None
        batch = self._orphan.read(self._read, BATCH_BYTES)
        self._read = batch.gap.last if batch.gap is not None else batch.last
        self.at_end = batch.gap is None and not batch.rows
        return batch

    def written(self, through: int) -> None:
        """Everything up to ``through`` is in the file."""
        assert self._orphan is not None
        self._orphan.acknowledge(min(through, self._read))

    def finish(self) -> None:
        """The journal is delivered: remove it."""
        orphan, self._orphan = self._orphan, None
        assert orphan is not None
        for path in orphan.remove():
            self._report(
                f"a segment of the journal of {orphan.sender_id[:8]} was damaged; what was whole "
                f"is delivered, the segment is kept at {path}"
            )

    def close(self) -> None:
        """Let go of what is not delivered: it is an orphan still."""
        if self._orphan is not None:
            self._orphan.release()
            self._orphan = None
