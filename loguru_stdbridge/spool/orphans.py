"""Find the journals that dead processes left behind, adopt them, read them, remove them.

The receiver adopts the orphans of its machine; a worker adopts where the receiver is elsewhere.
Each brings the rule whose journal it is, and delivers what it adopts; all else is the same for both
and is here.

Why adoption is free of races
-----------------------------
Only the OS lock, never a process id, says whether an owner is alive: the lock goes with the
process, however that ends. Adopting takes the same lock, so one of two adopters fails. Another
adopter may just have delivered and removed the journal, so the winner checks that its lock file is
still the one at that path. Deliveries are stored in ``acked`` as they are confirmed. If an adopter
is killed, the next one resumes there, and the sequence numbers expose as duplicates what was
delivered but not stored. ``meta`` is deleted first: a journal without it is empty or incomplete,
and is only cleaned up.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Callable

from ..addresses import parse_address
from ..exceptions import AddressError, JournalError
from ..record.row import MAX_ROWS
from ..system.damaged import set_aside
from ..system.locks import let_go, take_lock
from .belonging import Origin, noted_log, read_origin
from .directory import remove_journal
from .segments import (
    ACKED_AT,
    NUMBER,
    SEGMENT_HEADER,
    Batch,
    Gap,
    Meta,
    Scan,
    decode_meta,
    decode_segment_header,
    scan_segment,
)

HALF_MADE_AGE = 60.0
"""Seconds after which a directory without a lock file is taken for abandoned, not half made."""

_ID_LENGTH = 32

_MAX_REMEMBERED = 50
"""Troubles that a finder remembers, each of which it tells once."""


def journal_directories(spool_dir: str) -> list[str]:
    """Return the directory of every journal of a spool, those of living owners too."""
    try:
        entries = list(os.scandir(spool_dir))
    except OSError:
        return []
    return [
        entry.path for entry in entries
        if len(entry.name) == _ID_LENGTH and set(entry.name) <= set("0123456789abcdef")
    ]  # fmt: skip


class Orphan:
    """An adopted journal, locked until :meth:`release` or :meth:`remove`."""

    def __init__(self, path: str, meta: Meta, descriptor: int) -> None:
        self.path = path
        self.sender_id = meta.sender_id
        self.address = meta.address
        self.log = noted_log(path)
        self._origin = meta.origin
        self.pid = meta.pid
        self.created = meta.created
        self.acked = meta.acked
        self.given_up = meta.given_up
        self.damaged: list[str] = []
        """Segments of which not everything could be read; :meth:`remove` keeps them aside."""
        self._descriptor = descriptor
        self._segments = self._list_segments()
        self._loaded: tuple[int, bytes, Scan] | None = None
        self._highest = max(self.acked, self.given_up)  # highest number that it had

    @classmethod
    def adopt(cls, path: str) -> Orphan | None:
        """Lock and return the orphan at ``path``.

        Return ``None`` where its owner lives, another process adopts it or has removed it, or
        where it held nothing to deliver and is removed now. Raises :class:`JournalError` for a
        journal that cannot be read; it is kept aside, and the message says where.
        """
        try:
            descriptor = take_lock(os.path.join(path, "lock"))
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                if time.time() - os.stat(path).st_mtime > HALF_MADE_AGE:
                    os.rmdir(path)
            return None
        if descriptor is None:
            return None
        orphan = None
        try:
            try:
                meta = decode_meta(_read_file(os.path.join(path, "meta")))
            except FileNotFoundError:  # half made or half removed: nothing to deliver
                remove_journal(path)
                return None
            except JournalError as error:
                aside = set_aside(path)
                name = os.path.basename(path)
                raise JournalError(f"the journal {name}: {error}; kept at {aside}") from error
            orphan = cls(path, meta, descriptor)
            return orphan
        finally:
            if orphan is None:
                let_go(descriptor)

    @property
    def origin(self) -> Origin:
        """Where it was made, and for what. Raises :class:`AddressError`."""
        return read_origin(parse_address(self.address), self._origin, self.log)

    def _list_segments(self) -> list[tuple[int | None, str]]:
        """Return ``(first number, path)`` of each segment, in order; ``None`` for a damaged header.

        A segment that never came into use is left out: its owner may have gone on without it.
        """
        segments = []
        names = sorted(name for name in os.listdir(self.path) if name.endswith(".seg"))
        for path in (os.path.join(self.path, name) for name in names):
            with open(path, "rb") as file:
                header, record = file.read(SEGMENT_HEADER), file.read(SEGMENT_HEADER)
                first = decode_segment_header(header)
                unused = first is not None or not header.strip(b"\0")
                if unused and not record.strip(b"\0") and not file.read().strip(b"\0"):
                    continue
                segments.append((first, path))
        return segments

    @property
    def last(self) -> int:
        """The highest number that it had; ``acked`` where there is nothing to deliver."""
        for index in reversed(range(len(self._segments))):
            if self._load(index)[1].records:
                break
        return self._highest

    def read(self, after: int, max_bytes: int) -> Batch:
        """Return the rows with numbers above ``after`` that fit into one frame, or a gap.

        The batch is empty at the end of the journal.
        """
        wanted = after + 1
        for index in range(len(self._segments)):
            following = self._following(index)
            if following is not None and following <= wanted:
                continue
            data, scan = self._load(index)
            if not scan.records or scan.records[-1][0] < wanted:
                continue
            rows: list[bytes] = []
            size = 0
            first = last = 0
            for number, start, end in scan.records:
                if number < wanted:
                    continue
                if not rows and number > wanted:
                    return self._gap(wanted, number - 1)
                full = size + end - start > max_bytes or len(rows) >= MAX_ROWS
                if rows and (full or number != last + 1):
                    break
                first = first or number
                last = number
                rows.append(data[start:end])
                size += end - start
            return Batch(first, rows, last)
        if wanted <= self._highest:  # given up, or its file has gone since
            return self._gap(wanted, self._highest)
        return Batch(wanted, (), after)

    def _gap(self, first: int, last: int) -> Batch:
        reason = "damaged" if self.damaged else "spool_full"
        return Batch(first, (), first - 1, Gap(first, last, reason))

    def _following(self, index: int) -> int | None:
        """Return the first number of the next segment with a readable header, or ``None``."""
        numbers = (number for number, _ in self._segments[index + 1 :] if number is not None)
        return next(numbers, None)

    def _load(self, index: int) -> tuple[bytes, Scan]:
        if self._loaded is not None and self._loaded[0] == index:
            return self._loaded[1], self._loaded[2]
        first, path = self._segments[index]
        data, scan = b"", None
        with contextlib.suppress(OSError):  # removed meanwhile, or a disk error
            data = _read_file(path)
            scan = scan_segment(data)
        if scan is None:
            scan = Scan([], True)
        elif not scan.damaged and index + 1 < len(self._segments):  # is the end missing?
            end = scan.records[-1][0] + 1 if scan.records else first
            scan = Scan(scan.records, self._segments[index + 1][0] not in (end, None))
        if scan.damaged and path not in self.damaged:
            self.damaged.append(path)
        if scan.records:
            self._highest = max(self._highest, scan.records[-1][0])
        self._loaded = (index, data, scan)
        return data, scan

    def acknowledge(self, through: int) -> None:
        """Store that everything up to ``through`` is delivered."""
        if through <= self.acked:
            return
        self.acked = through
        try:
            with open(os.path.join(self.path, "meta"), "r+b") as file:
                file.seek(ACKED_AT)
                file.write(NUMBER.pack(through))
        except OSError:
            pass  # the next adopter delivers it again, and the numbers expose the duplicates

    def remove(self) -> list[str]:
        """Remove the delivered journal; return the paths at which its damaged segments are kept."""
        kept = []
        for path in self.damaged:
            with contextlib.suppress(OSError):
                kept.append(set_aside(path, beside=f"{self.path}-{os.path.basename(path)}"))
        remove_journal(self.path)
        self.release()
        return kept

    def release(self) -> None:
        """Unlock the journal as it is: an orphan still, for the next adopter."""
        let_go(self._descriptor)
        self._descriptor = -1


class OrphanFinder:
    """Adopts orphans that one program may deliver. What is wrong with one harms no other."""

    def __init__(
        self, spool_dir: str, is_ours: Callable[[Origin], bool], report: Callable[[str], None]
    ) -> None:
        """``is_ours`` says whether a journal of this origin may be delivered here; ``report``
        tells the operator. ``on_other``, while it is set, is called with each orphan that is not
        ours to deliver, before it is released."""
        self._spool_dir = spool_dir
        self._is_ours = is_ours
        self._report = report
        self.on_other: Callable[[Orphan], None] | None = None
        self._told: list[str] = []

    def paths(self) -> list[str]:
        """Return the directory of every journal, those of living owners included."""
        return journal_directories(self._spool_dir)

    def has_journal(self, sender_id: str) -> bool:
        """Return whether a journal of that sender is there, whoever has it."""
        return os.path.isdir(os.path.join(self._spool_dir, sender_id))

    def adopt(self, path: str) -> Orphan | None:
        """Adopt the journal at ``path``; ``None`` if it has an owner or is not ours to deliver."""
        try:
            orphan = Orphan.adopt(path)
        except JournalError as error:  # it is set aside: nobody meets it again
            self._report(str(error))
            return None
        except OSError as error:
            self._tell_once(f"cannot adopt the journal {path}: {error}")
            return None
        if orphan is None:
            return None
        with contextlib.suppress(AddressError):
            if self._is_ours(orphan.origin):
                return orphan
            if self.on_other is not None:
                self.on_other(orphan)
        orphan.release()
        return None

    def remove(self, orphan: Orphan) -> None:
        """Remove a delivered journal; tell where the segments are that could not be read whole."""
        for path in orphan.remove():
            self._report(
                f"a segment of the journal of {orphan.sender_id[:8]} was damaged; what was whole "
                f"is delivered, the segment is kept at {path}"
            )

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told = [*self._told[-_MAX_REMEMBERED:], text]
            self._report(text)


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
