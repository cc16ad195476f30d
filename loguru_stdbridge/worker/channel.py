"""From one process to one receiver: a journal and the sender that empties it.

Owns their life: made at the first record, made anew in a forked child, left in order at exit. What
logs (handlers, the loguru sink) hands rows in and knows nothing of the rest.

Forks
-----
A child must not touch the parent's journal, connection or locks, and its sender thread does not
exist. So after a fork the child drops them all (closes its copies of the descriptors, writes
nothing) and makes its own at its first record: a new sender id, a new journal, a new thread. A lock
that some thread of the parent held at the fork is never asked for again in the child. Nothing is
made in the fork hook itself: most children never log, and many call ``exec``.

Exit
----
``atexit`` gives the sender a bounded time to deliver, then leaves the journal: empty, it is
removed; else it is an orphan, and whoever can deliver it adopts it. A record logged after that (by
a thread that is still running, by a ``__del__`` at shutdown) opens a new journal, with a thread
where the interpreter still allows one, and is adopted like any other where not.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import weakref
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import Any, Callable, Dict, Optional, Tuple, Union

from ..addresses import Address
from ..exceptions import JournalError
from ..protocol import Greeting
from ..spool import default_spool_dir, is_marked_peer, make_spool_dir, mark_peer
from ..styles import Style
from .journal import Journal
from .sender import Sender

EXIT_TIMEOUT = 2.0
"""Seconds that the end of the process waits for the receiver, where it can be reached at all."""

SENDER_LOOP = "sender_loop"


@dataclass(frozen=True)
class Stats:
    """What a bridge has done in this process so far."""

    accepted: int  # records taken from the application
    acknowledged: int  # of those, written at the far end (or taken by a stock peer's kernel)
    unacknowledged: int  # of those, taken by a stock peer's kernel, which is all it can tell
    pending: int  # in the journal
    dropped: Dict[str, int] = field(default_factory=dict)  # given up, by reason
    reconnects: int = 0
    connected: bool = False
    peer: Optional[str] = None  # "bridge", "stock", None while unknown


def report(text: str) -> None:
    """Tell the operator on stderr; the log itself is what may be out of order."""
    with contextlib.suppress(Exception):
        sys.__stderr__.write(f"loguru_stdbridge[{os.getpid()}]: {text}\n")  # type: ignore


class Channel:
    """Rows in; a receiver's file at the other end. Thread-safe, fork-safe, never raises in ``emit``."""

    def __init__(
        self,
        address: Address,
        *,
        notice: Callable[[str], bytes],
        make_rendering: Optional[Callable[[Optional[Style]], object]] = None,
        spool_dir: Union[str, Path, None, bool] = None,
        spool_limit: Optional[int] = None,
        when_full: str = "drop_oldest",
        block_timeout: float = 10.0,
        peer: str = "auto",
    ) -> None:
        """See :func:`loguru_stdbridge.install_bridge` for the options.

        ``notice`` makes the row of a WARNING record out of a text; ``make_rendering`` makes of the
        receiver's style what is found as ``rendering`` then. It is called in the sender's thread.
        """
        self.address = address
        self._arguments = {
            "notice": notice, "make_rendering": make_rendering, "spool_dir": spool_dir,
            "spool_limit": spool_limit, "when_full": when_full, "block_timeout": block_timeout,
            "peer": peer,
        }  # fmt: skip
        self.rendering: Any = None
        self._style: Optional[Style] = None
        self._make_rendering = make_rendering
        self._notice = notice
        self._peer = peer
        self._journal_options = {"when_full": when_full, "block_timeout": block_timeout}
        if spool_limit is not None:
            self._journal_options["limit"] = spool_limit
        self._spool_dir = self._choose_spool_dir(spool_dir)
        self._active: Optional[Tuple[Journal, Sender]] = None
        self._lock = threading.RLock()
        self._past = Stats(0, 0, 0, 0)
        self._from_sender = 0
        _channels.add(self)

    @staticmethod
    def _choose_spool_dir(spool_dir: Union[str, Path, None, bool]) -> Optional[Path]:
        if spool_dir is False:
            return None
        chosen = default_spool_dir() if spool_dir in (None, True) else Path(str(spool_dir))
        try:
            return make_spool_dir(chosen)
        except JournalError as error:
            if spool_dir not in (None, True):
                raise  # asked for by name: to go on without would be a promise broken in silence
            report(
                f"{error}. Records are kept in memory only: what is not delivered when this "
                "process is killed is lost. Name a directory with spool_dir=."
            )
            return None

    def emit(self, row: bytes) -> None:
        """Take one record. Never raises; waits only where ``when_full="block"`` asks for it."""
        while True:
            journal, sender = self._active or self._open()
            if sender.ident == get_ident() and self._feeds_itself(journal):
                return
            if journal.append(row) or not journal.closed:
                return  # taken, or given up and counted; else closed by another thread: again

    def _feeds_itself(self, journal: Journal) -> bool:
        """Whether a log call in the sender's thread is one too many; it is counted then.

        A ``__del__`` may run there and log, as anywhere. But a log call that each sending makes
        (a socket that is wrapped to log, a tracer) would never end.
        """
        self._from_sender += 1
        if self._from_sender <= 1000 + journal.accepted // 2:
            return False
        journal.refuse(SENDER_LOOP)
        return True

    def _open(self) -> Tuple[Journal, Sender]:
        with self._lock:
            if self._active is None:
                made = self._make()
                if self._active is None:
                    self._active = made
                else:  # a signal handler logged while this thread was in here, and was first
                    made[1].close(0)
                    made[0].close(remove=True)
            return self._active

    def _make(self) -> Tuple[Journal, Sender]:
        spool = self._spool_dir
        try:
            journal = Journal.create(spool, str(self.address), **self._journal_options)  # type: ignore
        except (JournalError, OSError) as error:
            report(f"{error}. Records are kept in memory only.")
            spool = None
            journal = Journal.create(None, str(self.address), **self._journal_options)  # type: ignore
        peer = self._peer
        directory = spool
        if directory is not None and peer == "auto" and is_marked_peer(directory, self.address):
            peer = "bridge"

        def greeted(greeting: Optional[Greeting]) -> None:
            if greeting is not None and directory is not None:
                mark_peer(directory, self.address)
            self._set_style(None if greeting is None else greeting.style)

        sender = Sender(
            journal,
            self.address,
            report=report,
            notice=self._notice,
            peer=peer,
            on_greeting=greeted,
        )
        # "can't start new thread" at shutdown: the journal is adopted after the end
        with contextlib.suppress(RuntimeError):
            sender.start()
        return journal, sender

    def _set_style(self, style: Optional[Style]) -> None:
        """The receiver of this connection renders in ``style``; ``None``: it takes whole records."""
        if style != self._style and self._make_rendering is not None:
            self._style = style
            self.rendering = self._make_rendering(style)

    def flush(self, timeout: Optional[float] = None) -> bool:
        """Wait until all that was logged so far is written; ``timeout`` in seconds."""
        active = self._active
        if active is None:
            return True
        return active[1].flush(active[0].next - 1, timeout)

    def stats(self) -> Stats:
        past, active = self._past, self._active
        if active is None:
            return past
        journal, sender = active
        dropped = dict(past.dropped)
        for reason, count in journal.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        pending = journal.pending
        return Stats(
            accepted=past.accepted + journal.accepted,
            acknowledged=past.acknowledged + journal.first - 1,
            unacknowledged=past.unacknowledged + sender.unacknowledged,
            pending=pending,
            dropped=dropped,
            reconnects=past.reconnects + sender.reconnects,
            connected=sender.connected,
            peer=sender.peer,
        )

    def close(self, timeout: float = EXIT_TIMEOUT, *, patient: bool = True) -> bool:
        """Deliver within ``timeout`` seconds and end; the channel opens again if it is used again.

        Without ``patient`` a receiver that is away is not waited for. Returns whether everything
        was delivered; what was not stays in the journal, on disk.
        """
        with self._lock:
            active = self._active
            if active is None:
                return True
            journal, sender = active
            done = sender.close(timeout, patient=patient)
            self._past, self._active = replace(self.stats(), connected=False), None
        journal.close(remove=True)
        return done

    def __reduce__(self) -> Any:
        """It goes to another process as its options; it has its own journal there."""
        return partial(Channel, self.address, **self._arguments), ()

    def after_fork_in_child(self) -> None:
        """Drop what is the parent's; the child makes its own at its first record."""
        active, self._active = self._active, None
        self._lock = threading.RLock()
        self._past = Stats(0, 0, 0, 0)
        if active is not None:
            journal, sender = active
            journal.after_fork_in_child()
            sender.after_fork_in_child()


_channels: "weakref.WeakSet[Channel]" = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for channel in list(_channels):
        channel.after_fork_in_child()


def _at_exit() -> None:
    for channel in list(_channels):
        channel.close(EXIT_TIMEOUT, patient=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
