"""Deliver the journals of dead workers from a living one, where no receiver can reach them.

A receiver adopts the journals that it finds in the spool directory of its machine. If it is
elsewhere (on another machine, in a container, or with a spool directory of its own), the next
worker with the same address adopts them. It sends each over a connection of its own, under the
original sender id.

Owns the look-out and one adopted journal at a time. Only the OS lock decides who may adopt
(:mod:`~loguru_stdbridge.spool.orphans`). If a receiver could adopt a journal too, the worker leaves
it to that receiver for some seconds.
"""

from __future__ import annotations

import threading
import time
from typing import Callable

from ..addresses import Address, LogName
from ..spool.belonging import Origin, belongs
from ..spool.directory import until_turn
from ..spool.finder import OrphanFinder
from ..spool.orphans import Orphan
from ..spool.segments import Batch
from ..system.host import host_facts
from .conversation import JournalToSend
from .sender import Sender

INTERVAL = 10.0
"""Seconds between two looks of a process at the spool directory. All processes with one address
share ten looks in that time. A look tries every lock: hundreds of workers, or fifty new ones a
second, would do nothing else."""

RECEIVER_HEAD_START = 3.0
"""Seconds for which a worker leaves a journal to the receiver of this machine, which looks twice a
second."""


class AdoptedJournal(JournalToSend):
    """An orphan as a :class:`Sender` sees a journal: what it holds, and no more to come."""

    def __init__(self, orphan: Orphan) -> None:
        self._orphan = orphan
        self._last = orphan.last
        self.sender_id = orphan.sender_id
        self.log = orphan.log

    def belong_to(self, log: LogName) -> None:
        """Note the log of the receiver that has greeted: the rest never goes to another."""
        self._orphan.belong_to(log)

    @property
    def first(self) -> int:
        return self._orphan.acked + 1

    @property
    def next(self) -> int:
        return self._last + 1

    @property
    def pending(self) -> int:
        return self._last - self._orphan.acked

    @property
    def may_be_forgotten(self) -> bool:
        return not self.pending and self._orphan.is_noted

    def read(self, after: int, max_bytes: int) -> Batch:
        return self._orphan.read(after, max_bytes)

    def acknowledge(self, through: int) -> None:
        self._orphan.acknowledge(min(through, self._last))

    def tell(self, first: int, last: int) -> None:
        """Do nothing: figures are kept only for the own journal."""


class OrphanDelivery:
    """Delivers orphans one after the other. :meth:`look` is the own sender's thread's to call."""

    def __init__(
        self,
        spool_dir: str,
        address: Address,
        *,
        report: Callable[[str], None],
        make_sender: Callable[..., Sender],
    ) -> None:
        """``make_sender(journal, peer=..., on_end=...)`` makes an adopted journal's sender."""
        self._spool_dir = spool_dir
        self._address = address
        self.log: LogName | None = None
        """The log of the receiver that has greeted this process."""
        self._finder = OrphanFinder(spool_dir, self._is_ours, report)
        self._make_sender = make_sender
        self._seen: dict[str, float] = {}  # orphans, and when each was seen first
        self._skipped = 0  # looks that were another's
        self._lock = threading.Lock()
        self._sender: Sender | None = None
        self._closed = False

    def look(self, peer: str) -> float:
        """Adopt the next orphan, unless one is being delivered; return the seconds to wait.

        ``peer`` is what the receiver has shown itself to be.
        """
        with self._lock:
            if self._sender is not None or self._closed:
                return INTERVAL
            if not self._seen:  # else it is this one's to wait for
                left = until_turn(self._spool_dir, self._address, INTERVAL / 10)
                if left:
                    self._skipped += 1
                    return left if self._skipped == 1 else INTERVAL
            pause = INTERVAL
            head_start = RECEIVER_HEAD_START if self._address.is_local else 0.0
            paths = self._finder.paths()
            self._seen = {path: seen for path, seen in self._seen.items() if path in paths}
            for path in paths:
                orphan = self._finder.adopt(path)
                if orphan is None:
                    continue
                now = time.monotonic()
                left = self._seen.setdefault(path, now) + head_start - now
                if left <= 0 and self._deliver(orphan, peer):
                    return INTERVAL
                orphan.release()
                pause = min(pause, max(left, 0.0))
            return pause

    def _is_ours(self, origin: Origin) -> bool:
        if self.log is None:  # an older receiver, or a stock one: it tells no log
            here = not self._address.is_local or host_facts().is_same_host(origin.host)
            return origin.log is None and here and origin.address == self._address
        return belongs(origin, self.log, self._address.__eq__)

    def _deliver(self, orphan: Orphan, peer: str) -> bool:
        """Begin to deliver ``orphan``; return False if no thread can be started."""
        journal = AdoptedJournal(orphan)
        sender = self._sender = self._make_sender(
            journal, peer=peer, on_end=lambda: self._end(orphan, journal, peer)
        )
        try:
            sender.start(until_empty=True)
        except RuntimeError:  # the interpreter is shutting down
            self._sender = None
            sender.close(0)
            return False
        return True

    def _end(self, orphan: Orphan, journal: AdoptedJournal, peer: str) -> None:
        """End a delivery, in its own thread: all is delivered, or the receiver is lost."""
        delivered = not journal.pending
        if delivered:
            self._finder.remove(orphan)
        orphan.release()
        self._sender = None
        if delivered:
            self.look(peer)

    def close(self, timeout: float) -> None:
        """Let go of what is not delivered within ``timeout`` seconds: it stays an orphan."""
        deadline = time.monotonic() + timeout
        self._closed = True
        # A look that is under way may begin a delivery: wait for it, and end that one, too.
        if self._lock.acquire(timeout=timeout):
            self._lock.release()
        sender = self._sender
        if sender is not None:
            sender.close(max(deadline - time.monotonic(), 0.0), patient=False)

    def after_fork_in_child(self) -> None:
        """Close the child's copies of the sockets; all else is the parent's."""
        self._closed = True
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.after_fork_in_child()
