"""Remembers which records are in the log file, even when the receiver is killed while it writes.

The ledger is the file ``.NAME.ledger`` beside the log file; the dot keeps it out of loguru's
retention. It holds the highest record number of each sender that is in the log file, and a random
id by which journals know the log. :mod:`only_writer` keeps every other receiver from the log.

Why a restart knows what was written
------------------------------------
Before a block of lines goes to the log file, an *intent* is appended to the ledger. It says which
file (device and inode), at which offset, whose records, how long each record is, and a checksum of
each line. Then the block is appended, with plain writes of whole bytes in order. So after a
``kill -9`` at any instant, the file holds a prefix of the block behind the offset. Another program
may have appended lines of its own before it, behind it or in between: nobody can keep it from that.

* Killed before the intent was whole: the entry fails its checksum and is cut off. The block was not
  begun. No sender was told that it is written, so the senders send it again.
* Killed after the intent, before or in the middle of the block: the records whose lines are found
  in the file, by their checksums, count as written. A torn line is cut off, and its sender sends it
  again. What another program has appended is left alone (:mod:`recovery`).
* Killed after the block: all its lines are found. Nothing more had to be noted.
* An intent with another entry behind it is settled. That entry says how many lines of the intent
  were written, for the case that a full disk cut the block short.
* A rotation begins only when every intent is settled, and is noted first. Whatever step of it is
  killed, no line is in doubt; only the archive may have to be made (:mod:`archive`).

So only the last intent is ever compared with a file. The cost is one ``write`` for each block.

What a power cut leaves is not a prefix: against that there is ``fsync``. Damage is the subject of
:mod:`entries`.
"""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Callable

from ..exceptions import LedgerError
from ..system.files import (
    open_file,
    pwrite,
    recover_replaced,
    replace_file,
    sync_data,
    sync_directory,
    sync_file,
)
from ..system.forks import block_forks, drop_in_children
from ..system.locks import is_file_at
from .entries import (
    ALL_LINES,
    ENTRY,
    FILE,
    INTENT,
    LOG_ID,
    MAGIC,
    RETIRED,
    RETIREMENT,
    ROTATING,
    SETTLED,
    SNAPSHOT,
    STRANGER,
    Intent,
    SenderState,
    end_of_entry,
    find_next_entry,
    is_torn,
    keep_damaged_copy,
    make_entry,
    make_snapshot,
    pack_file,
    pack_intent,
    read_all,
    read_file,
    read_intent,
    read_senders,
    sender_key,
    set_ledger_aside,
)
from .files import STREAM, FileId, NamedFile
from .internals import SinkPath, read_sink_path
from .only_writer import OnlyWriter
from .recovery import count_whole_records, pack_checks

COMPACT_SIZE = 4 * 1024 * 1024
"""Bytes that the ledger grows by before it is rewritten with only what is needed. A ledger that
stays larger than that is rewritten when it has doubled."""

FORGET_AFTER = 600.0
"""Seconds after a goodbye before a sender is forgotten. Until then, bytes of its closed connections
may still arrive, and would be taken for new records."""

MAX_SENDERS = 50_000
"""Senders that a rewritten ledger keeps, those that wrote last. Anybody who can connect can invent
senders. A forgotten sender may write again what it wrote and was not told of; nothing else."""

MAX_SILENCE = 30 * 24 * 3600.0
"""Seconds without a record after which a sender is forgotten even without a goodbye."""

PLACE_CHECK_INTERVAL = 5.0
"""Seconds after which a write checks that ledger and lock file are still in their place."""


class Ledger:
    """The ledger of one log file. Used by the receiver's one thread."""

    def __init__(self, sink: SinkPath, report: Callable[[str], None]) -> None:
        """Use :meth:`open` instead."""
        self.path = sink.directory / f".{sink.name}.ledger"
        self._sink = sink.file or sink.template
        self.log_id = os.urandom(16).hex()
        """The log's identity, 32 hex digits, made once with the ledger and kept in it.

        A ledger of a version that knew no ids gets one when it is opened.
        """
        self._only_writer = OnlyWriter(sink)
        self._check_at = 0.0
        self._report = report
        self._senders: dict[bytes, SenderState] = {}
        self._unsettled: Intent | None = None
        self._lines_written = ALL_LINES  # of the intent before the entry that comes next
        self._file: NamedFile | None = None
        self._is_rotating = False  # whether the last entry says that a rotation has begun
        self.may_be_torn = False
        """Whether an earlier process was killed while it wrote to a stream, in a line perhaps."""
        self._durable = False
        self._descriptor = -1
        self._size = 0
        self._compact_at = COMPACT_SIZE

    @classmethod
    def open(
        cls,
        path: str | Path | SinkPath,
        *,
        wait: Callable[[], bool] | None = None,
        report: Callable[[str], None] = lambda text: None,
    ) -> Ledger:
        """Become the only writer of the log file at ``path``, and learn what is in it.

        ``wait`` makes a standby: while another process is the writer, ``wait`` is called many times
        a second, and the standby goes on waiting as long as it returns true. Raises
        :class:`LedgerHeldError` where another process is the writer, :class:`LedgerError` where the
        files cannot be made, :class:`ConfigurationError` for a path that loguru could not use.
        """
        ledger = cls(path if isinstance(path, SinkPath) else read_sink_path(path), report)
        drop_in_children(ledger)
        try:
            ledger.path.parent.mkdir(parents=True, exist_ok=True)
            ledger._only_writer.become(wait)
            ledger._open()
        except OSError as error:
            ledger._close_descriptors()
            raise LedgerError(f"cannot keep a ledger for {ledger._sink}: {error}") from error
        return ledger

    # -- what is known

    def last(self, sender: str) -> int:
        """Return the highest written number of ``sender`` (32 hex digits); 0 where unknown."""
        state = self._senders.get(bytes.fromhex(sender))
        return 0 if state is None else state.last

    def __len__(self) -> int:
        """Return how many senders are remembered."""
        return len(self._senders)

    @property
    def interrupted_rotation(self) -> NamedFile | None:
        """The file whose rotation had begun, and was not known to be over, in an earlier process.

        ``None`` from the first entry on that this process writes.
        """
        return self._file if self._is_rotating else None

    # -- writing

    def use_file(self, file: FileId, path: str) -> None:
        """Note that the blocks go to this file from now on, which is open at ``path``.

        Called before each block. Raises ``OSError``, and :class:`LedgerHeldError` where another
        receiver writes the file, or has taken the place of this one.
        """
        now = time.monotonic()
        if not self.is_locked(file) or now >= self._check_at:
            self._check_at = now + PLACE_CHECK_INTERVAL
            self.restore_files()
            self._only_writer.lock_log(file, path)
        if self._file != (file, path):
            named = NamedFile(file, path)
            self._append(FILE, pack_file(named))
            self._file = named

    def intend(
        self,
        offset: int,
        runs: Sequence[tuple[str | None, int, int]],
        lengths: Sequence[int],
        block: bytes,
    ) -> None:
        """Note that ``block`` is about to be written behind ``offset``, the file's size.

        Each run of ``runs`` is consecutive numbers of a sender: the sender (``None``: a stranger),
        the first number, how many. ``lengths`` are the bytes of each record. Raises ``OSError``;
        then nothing may be written.
        """
        assert self._file is not None and self._unsettled is None
        keyed_runs = [(sender_key(sender), first, count) for sender, first, count in runs]
        crc, checks = zlib.crc32(block), pack_checks(block)
        intent = Intent(self._file.id, offset, crc, keyed_runs, lengths, checks)
        self._append(INTENT, pack_intent(intent))
        self._unsettled = intent

    def settle(self, lines_written: int | None = None) -> None:
        """Note that the first ``lines_written`` lines (``None``: all) of the block are in the file.

        The lines behind them are not.
        """
        intent, self._unsettled = self._unsettled, None
        assert intent is not None
        self._count(intent, len(intent.lengths) if lines_written is None else lines_written)
        self._lines_written = ALL_LINES if lines_written is None else lines_written
        if self._size > self._compact_at:
            self._compact()

    def note_rotation(self) -> None:
        """Note that the file is about to be rotated, with no line in doubt. Raises ``OSError``."""
        assert self._file is not None
        self._append(ROTATING, pack_file(self._file))

    def retire_sender(self, sender: str) -> None:
        """Note that ``sender`` will never send again; it is forgotten later. Never raises."""
        key = bytes.fromhex(sender)
        state = self._senders.get(key)
        if state is not None and not state.retired:
            state.retired = int(time.time())
            with contextlib.suppress(OSError):  # MAX_SILENCE will do
                self._append(RETIRED, RETIREMENT.pack(key, state.retired))

    def note_settled(self) -> None:
        """Note that no line is in doubt. Raises ``OSError``.

        A file needs no such note before the end: a restart finds its lines. A stream does.
        """
        self._append(SETTLED, b"")

    def make_durable(self) -> None:
        """Have the ledger survive a power cut, too. Raises ``OSError``."""
        self._durable = True
        sync_file(self._descriptor)
        sync_directory(self.path.parent)

    def sync(self) -> None:
        """Wait until the disk itself holds what was noted. Raises ``OSError``."""
        sync_data(self._descriptor)

    def close(self) -> None:
        """Note that nothing is in doubt, and let go of the lock. Never raises."""
        with contextlib.suppress(OSError):
            self.note_settled()
        self._close_descriptors()

    def restore_files(self) -> None:
        """Make ledger and lock file anew where somebody removed them.

        Where their directory is missing, a later call does it. Raises :class:`LedgerHeldError`
        where another process has become the writer meanwhile.
        """
        self._only_writer.restore_lock_file()
        if not is_file_at(self._descriptor, str(self.path)):
            self._compact(empty_old=True)

    def is_locked(self, file: FileId) -> bool:
        """Return whether this process is known to be the only writer of the file."""
        return self._only_writer.has_locked(file)

    def after_fork_in_child(self) -> None:
        """Close the child's copy; :mod:`system.locks` has closed those of the locks already."""
        self._only_writer.after_fork_in_child()
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        # A child that is forked between the close and the -1 would close somebody else's file.
        with block_forks():
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self._descriptor = -1
            self._only_writer.release()

    def _append(self, kind: int, body: bytes) -> None:
        """Write one entry at the end, all of it, or raise ``OSError``."""
        data = make_entry(kind, self._lines_written, body)
        written = 0
        try:
            while written < len(data):
                written += pwrite(self._descriptor, data[written:], self._size + written)
        except OSError:
            # A part of this entry behind the next, shorter one would be taken for damage.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += len(data)
        self._lines_written = ALL_LINES
        self._is_rotating = kind == ROTATING

    def _count(self, intent: Intent, lines_written: int) -> None:
        """Count the first lines of a block as written, each for its sender."""
        now = int(time.time())
        for key, first, count in intent.runs:
            taken = min(count, lines_written)
            if taken <= 0:
                return
            lines_written -= taken
            if key != STRANGER:
                state = self._senders.get(key)
                if state is None:
                    state = self._senders[key] = SenderState(0, 0, 0)
                state.last = max(state.last, first + taken - 1)
                state.seen = now
                state.retired = 0

    # -- at the start

    def _open(self) -> None:
        recover_replaced(str(self.path))
        self._descriptor = open_file(str(self.path), os.O_RDWR | os.O_CREAT)
        data = read_all(self._descriptor)
        if MAGIC.startswith(data):  # it is new, or a kill cut it short in its first bytes
            pwrite(self._descriptor, MAGIC, 0)
            self._size = len(MAGIC)
            self._append(LOG_ID, bytes.fromhex(self.log_id))
            return
        if data[: len(MAGIC)] != MAGIC:
            old, self._descriptor = self._descriptor, -1
            os.close(old)
            set_ledger_aside(self.path, data, self._report)
            self._open()
            return
        damage = self._replay(data)
        if damage is not None:
            keep_damaged_copy(self.path, data, damage, self._report)
        if self._unsettled is not None:
            named = self._sink if self._file is None else self._file.path
            self.may_be_torn = self._unsettled.file == STREAM
            self._lines_written = count_whole_records(self._unsettled, named, self._report)
            self._settle_earlier(self._lines_written)
        self._compact()

    def _replay(self, data: bytes) -> int | None:
        """Read every whole entry, and set the size to the end of the last one.

        Return where damage begins, or ``None``.
        """
        self._size = position = len(MAGIC)
        damage: int | None = None
        while position < len(data):
            end = end_of_entry(data, position)
            if end is None:
                resumed = find_next_entry(data, position + 1)
                if damage is None and (resumed is not None or not is_torn(data, position)):
                    damage = position
                if resumed is None:
                    break
                # The damaged entry said how much of the intent was written: nearly always all.
                self._settle_earlier(ALL_LINES)
                position = resumed
                continue
            _, _, kind, lines_written = ENTRY.unpack_from(data, position)
            self._settle_earlier(lines_written)
            self._replay_entry(kind, data[position + ENTRY.size : end])
            self._size = position = end
        return damage

    def _settle_earlier(self, lines_written: int) -> None:
        """Settle an intent of an earlier process, where there is one."""
        intent, self._unsettled = self._unsettled, None
        if intent is not None:
            self._count(
                intent, len(intent.lengths) if lines_written == ALL_LINES else lines_written
            )

    def _replay_entry(self, kind: int, body: bytes) -> None:
        self._is_rotating = kind == ROTATING
        if kind == SNAPSHOT:
            self._senders.update(read_senders(body))
        elif kind == INTENT:
            self._unsettled = read_intent(body)
        elif kind in (FILE, ROTATING):
            self._file = read_file(body)
        elif kind == LOG_ID:
            self.log_id = body.hex()
        elif kind == RETIRED:
            key, retired = RETIREMENT.unpack_from(body)
            if key in self._senders:
                self._senders[key].retired = retired

    def _compact(self, *, empty_old: bool = False) -> None:
        """Replace the ledger by one that holds only what is needed.

        With ``empty_old`` the old one is emptied, wherever it is now.
        """
        self._forget_senders()
        data = make_snapshot(self.log_id, self._senders, self._file, is_rotating=self._is_rotating)
        partial = f"{self.path}.new"
        self._compact_at = self._size + COMPACT_SIZE  # where it fails: not again at once
        try:
            descriptor = open_file(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            try:
                if os.write(descriptor, data) != len(data):
                    raise OSError("a short write")
                if self._durable:
                    sync_file(descriptor)
                replace_file(partial, str(self.path))
                if self._durable:
                    sync_directory(self.path.parent)
            except OSError:
                os.close(descriptor)
                raise
        except OSError:  # a full disk: the old ledger is whole, and goes on
            with contextlib.suppress(OSError):
                os.unlink(partial)
            return
        old, self._descriptor, self._size = self._descriptor, descriptor, len(data)
        if empty_old:
            with contextlib.suppress(OSError):
                os.ftruncate(old, 0)
        os.close(old)
        self._lines_written = ALL_LINES
        self._compact_at = max(COMPACT_SIZE, 2 * len(data))

    def _forget_senders(self) -> None:
        """Drop the senders that are retired or silent for long, and the oldest of too many."""
        now = time.time()
        kept = [
            (key, state) for key, state in self._senders.items()
            if now - state.seen < MAX_SILENCE
            and not (state.retired and now - state.retired >= FORGET_AFTER)
        ]  # fmt: skip
        if len(kept) > MAX_SENDERS:
            kept.sort(key=lambda item: (not item[1].retired, item[1].seen))
            del kept[:-MAX_SENDERS]
        self._senders = dict(kept)
