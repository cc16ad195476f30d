"""The ledger: what is in the log file, per sender, across any death of the receiver.

Owns the file ``.NAME.ledger`` beside the sink (the dot keeps it out of loguru's retention) and the
lock file ``.NAME.lock``, whose OS lock makes this process the only writer of the sink.

Why a restart knows what was written
------------------------------------
Before a block of lines goes to the log file, its *intent* is appended here: which file (device and
inode), at which offset, whose records, how long each line is, a checksum. Then the block is
written, with plain writes of whole bytes in order, so that after a ``kill -9`` at any instant the
file holds a prefix of it behind the offset, and nothing else does, since nobody else writes.

* Killed before the intent was whole: the entry fails its checksum and is cut off; the block was
  not begun. Nobody was told that it is written: it comes again.
* Killed after the intent, before or in the middle of the block: the length of the file tells how
  many lines are whole. They count as written; a torn one is cut off, and it comes again.
* Killed after the block: all its lines are found whole. Nothing more had to be noted.
* An intent that is followed by another entry was settled; the entry says how many lines of it
  stand, where a full disk cut it short.
* A rotation begins only when every intent is settled, and says so first. Whatever step it is
  killed in, no line is in doubt; only the archive may have to be made (:mod:`archive`).

Only the last intent is ever compared with a file. The cost per block is one ``write``.

What a power cut leaves is not a prefix: for that there is ``fsync``; for damage, :mod:`entries`.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from ..exceptions import LedgerError, LedgerHeldError
from ..system.forks import block_forks, drop_in_children
from ..system.locks import is_file_at, let_go, take_lock
from .entries import (
    ALL,
    ENTRY,
    FILE,
    FILE_HEAD,
    GONE,
    INTENT,
    INTENT_HEAD,
    MAGIC,
    ROTATING,
    RUN,
    SENDER,
    SETTLED,
    SNAPSHOT,
    STRANGER,
    Intent,
    end_of_entry,
    is_torn,
    keep_damaged,
    key_of,
    make_entry,
    make_snapshot,
    next_entry,
    read_all,
    read_intent,
    recover,
    set_aside,
)
from .files import FileId, sync_directory
from .internals import SinkPath, read_sink_path

COMPACT_SIZE = 4 * 1024 * 1024
"""Bytes after which the ledger is written anew with only what is needed; at least twice that."""

FORGET_AFTER = 600.0
"""Seconds after a goodbye before a sender is forgotten: bytes of its dead connections may still be
on their way, and would pass for news."""

MAX_SENDERS = 50_000
"""Senders that are remembered after a compaction, those that wrote last: whoever can connect can
make up new ones. Forgetting one costs nothing but what it had written and not been told of."""

MAX_AGE = 30 * 24 * 3600.0
"""Seconds of silence after which a sender is forgotten without a goodbye."""

_CLOEXEC: int = getattr(os, "O_CLOEXEC", 0)
_POLL = 0.02  # seconds between two looks of a standby


class Ledger:
    """See the module's text. Used by the receiver's one thread."""

    def __init__(self, sink: SinkPath, report: Callable[[str], None]) -> None:
        self.path = sink.directory / f".{sink.name}.ledger"
        self._sink = sink.template
        self._lock = sink.directory / f".{sink.name}.lock"
        self._lock_descriptor = -1
        self._report = report
        self._last: dict[bytes, int] = {}
        self._seen: dict[bytes, int] = {}
        self._gone: dict[bytes, int] = {}
        self._outstanding: Intent | None = None
        self._stands = ALL  # lines that stand of the intent before the next entry
        self._file: tuple[FileId, str] | None = None
        self.interrupted: tuple[FileId, str] | None = None
        """The file whose rotation had begun and was not known to be over when the ledger opened."""
        self._durable = False
        self._descriptor = -1
        self._size = 0
        self._compact_at = COMPACT_SIZE

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        wait: Callable[[], bool] | None = None,
        report: Callable[[str], None] = lambda text: None,
    ) -> Ledger:
        """Become the only writer of the sink at ``path``, and learn what is in it.

        ``wait`` makes a standby: while another process is the writer it is called many times a
        second, and waiting goes on as long as it returns true. Raises :class:`LedgerHeldError`
        where another process is the writer, :class:`LedgerError` where the files cannot be made,
        :class:`ConfigurationError` for a path that loguru could not use.
        """
        ledger = cls(read_sink_path(path), report)
        drop_in_children(ledger)
        try:
            ledger.path.parent.mkdir(parents=True, exist_ok=True)
            ledger._take_lock(wait)
            ledger._open()
        except OSError as error:
            ledger._close_descriptors()
            raise LedgerError(f"cannot keep a ledger for {ledger._sink}: {error}") from error
        return ledger

    # -- what is asked of it

    def last(self, sender: str) -> int:
        """The highest number of ``sender`` (32 hex digits) that is written; 0 where unknown."""
        return self._last.get(bytes.fromhex(sender), 0)

    def __len__(self) -> int:
        """How many senders are remembered."""
        return len(self._last)

    # -- writing

    def use_file(self, file: FileId, path: str) -> None:
        """From now on the blocks go to this file."""
        if self._file != (file, path):
            self._append(FILE, FILE_HEAD.pack(*file) + os.fsencode(path))
            self._file = (file, path)

    def intend(
        self,
        offset: int,
        lines: Sequence[tuple[str | None, int, int]],
        lengths: Sequence[int],
        crc: int,
    ) -> None:
        """Note that ``lines`` go to the file at ``offset``.

        ``lines`` are runs of consecutive numbers: sender (``None``: a stranger), first number,
        count; ``lengths`` are the bytes of each line. Raises ``OSError``; then nothing may be
        written.
        """
        assert self._file is not None and self._outstanding is None
        runs = [(key_of(sender), first, count) for sender, first, count in lines]
        file = self._file[0]
        body = b"".join(
            [
                INTENT_HEAD.pack(*file, offset, crc, len(runs), len(lengths)),
                *(RUN.pack(*run) for run in runs),
                array("I", lengths).tobytes(),
            ]
        )
        self._append(INTENT, body)
        self._outstanding = Intent(file, offset, crc, runs, lengths)

    def settle(self, lines: int | None = None) -> None:
        """The first ``lines`` (``None``: all) of the block are in the file, the rest is not."""
        intent, self._outstanding = self._outstanding, None
        assert intent is not None
        self._apply(intent, len(intent.lengths) if lines is None else lines)
        self._stands = ALL if lines is None else lines
        if self._size > self._compact_at:
            self._compact()

    def rotating(self) -> None:
        """The file is about to be rotated; no line is in doubt."""
        assert self._file is not None
        self._append(ROTATING, FILE_HEAD.pack(*self._file[0]) + os.fsencode(self._file[1]))

    def retire_sender(self, sender: str) -> None:
        """``sender`` will never send again; it is forgotten after a while. Never raises."""
        key = bytes.fromhex(sender)
        if key in self._last and key not in self._gone:
            now = int(time.time())
            self._gone[key] = now
            with contextlib.suppress(OSError):  # then it is forgotten for its age
                self._append(GONE, key + struct.pack("<I", now))

    def make_durable(self) -> None:
        """A power cut is to be survived, too. Raises ``OSError``."""
        self._durable = True
        os.fsync(self._descriptor)
        sync_directory(self.path.parent)

    def sync(self) -> None:
        """Have the disk itself hold what was noted."""
        os.fdatasync(self._descriptor) if hasattr(os, "fdatasync") else os.fsync(self._descriptor)

    def close(self) -> None:
        """Note that nothing is in doubt, and let another writer in."""
        with contextlib.suppress(OSError):
            self._append(SETTLED, b"")
        self._close_descriptors()

    def keep_place(self) -> None:
        """Put ledger and lock back where someone removed them, with the log's directory perhaps.

        Raises :class:`LedgerHeldError` where another process has become the writer meanwhile.
        """
        if not is_file_at(self._lock_descriptor, str(self._lock)):
            lost = self._lock_descriptor
            with contextlib.suppress(OSError):  # no directory: it comes back with the next line
                self._take_lock(None)
                let_go(lost)
        if not is_file_at(self._descriptor, str(self.path)):
            self._compact()

    def after_fork_in_child(self) -> None:
        """It is the parent's: the lock is gone already (:mod:`locks`)."""
        self._lock_descriptor = -1
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        with block_forks():  # no child may meet a number that is closed, and another file's perhaps
            if self._descriptor >= 0:
                os.close(self._descriptor)
            let_go(self._lock_descriptor)
            self._descriptor = self._lock_descriptor = -1

    def _take_lock(self, wait: Callable[[], bool] | None) -> None:
        """Lock the lock file. The file stays for good: only its lock counts."""
        while True:
            descriptor = take_lock(str(self._lock), create=True)
            if descriptor is not None:
                self._lock_descriptor = descriptor
                with contextlib.suppress(OSError):  # it is there for messages only
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
                return
            text = ""
            with contextlib.suppress(OSError):
                text = self._lock.read_text("ascii", "replace").strip()
            holder = int(text) if text.isdigit() else None
            if wait is None or not wait():
                who = "another process" if holder is None else f"process {holder}"
                raise LedgerHeldError(f"{self._sink} is written by {who} already", holder)
            time.sleep(_POLL)

    def _append(self, kind: int, body: bytes) -> None:
        """One entry at the end, all of it or an ``OSError``."""
        data = make_entry(kind, self._stands, body)
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self._descriptor, data[written:], self._size + written)
        except OSError:
            # What was written of it must not stand behind the next, shorter entry: it would pass
            # for damage.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)
        self._stands = ALL

    def _apply(self, intent: Intent, lines: int) -> None:
        seen = int(time.time())
        for sender, first, count in intent.runs:
            taken = min(count, lines)
            if taken <= 0:
                return
            lines -= taken
            if sender != STRANGER:
                self._last[sender] = max(self._last.get(sender, 0), first + taken - 1)
                self._seen[sender] = seen
                self._gone.pop(sender, None)

    # -- at the start

    def _open(self) -> None:
        self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | _CLOEXEC, 0o600)
        data = read_all(self._descriptor)
        if MAGIC.startswith(data):  # a new one, or one that a kill cut short at its first byte
            os.pwrite(self._descriptor, MAGIC, 0)
            self._size = len(MAGIC)
            return
        if data[: len(MAGIC)] != MAGIC:
            old, self._descriptor = self._descriptor, -1
            os.close(old)
            set_aside(self.path, data, self._report)
            self._open()
            return
        damage = self._replay(data)
        if damage is not None:
            keep_damaged(self.path, data, damage, self._report)
        if self._outstanding is not None:
            named = self._sink if self._file is None else self._file[1]
            self._stands = recover(self._outstanding, named, self._report)
            self._apply(self._outstanding, self._stands)
            self._outstanding = None
        self._compact()

    def _replay(self, data: bytes) -> int | None:
        """Read every whole entry; the size stands behind the last. Returns where damage begins."""
        self._size = position = len(MAGIC)
        damage: int | None = None
        while position < len(data):
            end = end_of_entry(data, position)
            if end is None:
                resumed = next_entry(data, position + 1)
                if damage is None and (resumed is not None or not is_torn(data, position)):
                    damage = position
                if resumed is None:
                    break
                # How much of an intent before the damage stands is not known: nearly always all.
                self._settle_outstanding(ALL)
                position = resumed
                continue
            _, _, kind, stands = ENTRY.unpack_from(data, position)
            self._settle_outstanding(stands)
            self.interrupted = None
            self._replay_entry(kind, data[position + ENTRY.size : end])
            self._size = position = end
        return damage

    def _settle_outstanding(self, stands: int) -> None:
        if self._outstanding is not None:
            whole = len(self._outstanding.lengths) if stands == ALL else stands
            self._apply(self._outstanding, whole)
            self._outstanding = None

    def _replay_entry(self, kind: int, body: bytes) -> None:
        if kind == SNAPSHOT:
            for key, last, seen, gone in SENDER.iter_unpack(body):
                self._last[key], self._seen[key] = last, seen
                if gone:
                    self._gone[key] = gone
        elif kind == INTENT:
            self._outstanding = read_intent(body)
        elif kind in (FILE, ROTATING):
            file = FileId(*FILE_HEAD.unpack_from(body))
            named = (file, os.fsdecode(body[FILE_HEAD.size :]))
            self._file = named
            self.interrupted = named if kind == ROTATING else None
        elif kind == GONE:
            self._gone[body[:16]] = struct.unpack("<I", body[16:20])[0]

    def _compact(self) -> None:
        """Write the ledger anew with what is needed, and put it in the place of the old one."""
        now = time.time()
        kept = {
            key for key in self._last
            if now - self._seen.get(key, 0) < MAX_AGE
            and not (key in self._gone and now - self._gone[key] >= FORGET_AFTER)
        }  # fmt: skip
        if len(kept) > MAX_SENDERS:
            latest = sorted(kept, key=lambda key: (key not in self._gone, self._seen.get(key, 0)))
            kept = set(latest[-MAX_SENDERS:])
        self._last = {key: self._last[key] for key in kept}
        self._seen = {key: self._seen.get(key, 0) for key in kept}
        self._gone = {key: gone for key, gone in self._gone.items() if key in kept}
        data = make_snapshot(self._last, self._seen, self._gone, self._file, self.interrupted)
        partial = self.path.with_name(f"{self.path.name}.new")
        self._compact_at = self._size + COMPACT_SIZE  # where it fails: not again at once
        try:
            descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | _CLOEXEC, 0o600)
            try:
                if os.write(descriptor, data) != len(data):
                    raise OSError("a short write")
                if self._durable:
                    os.fsync(descriptor)
                os.replace(partial, self.path)
                if self._durable:
                    sync_directory(self.path.parent)
            except OSError:
                os.close(descriptor)
                raise
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            return  # a full disk: the old one is whole, and goes on
        old, self._descriptor, self._size = self._descriptor, descriptor, len(data)
        os.close(old)
        self._stands = ALL
        self._compact_at = max(COMPACT_SIZE, 2 * len(data))
