"""Adopt a journal that a dead process left behind, read it, remove it.

Receiver and worker do the same here. Which orphans are theirs is :mod:`finder`'s business.

Why adoption is free of races
-----------------------------
Only an OS lock, never a process id, says whether an owner is alive: the lock goes with the process,
however that ends. Adopting takes the same lock, so one of two adopters fails. Another adopter may
just have delivered and removed the journal, so the winner checks that its lock file is still the
one at that path. Deliveries are stored in ``acked`` as they are confirmed. If an adopter is killed,
the next one resumes there, and the sequence numbers expose as duplicates what was delivered but not
stored. A delivered journal is removed in an order that a kill may interrupt
(:func:`.directory.remove_journal`).

Why no record is deleted with a damaged journal
-----------------------------------------------
The owner holds the locks of ``meta`` and of the segment that it writes, too. So it is known to be
dead even where somebody has removed ``lock``, or ``meta``, or both. Each segment holds the main
part of ``meta``: sender, address, origin. So each can be delivered, as far as it is whole, with
nothing else left. What is missing in between, and what ``meta`` knows of that is not there, is a
gap that is told. A segment with damage is kept aside after that, for whoever wants to look at it;
so is a journal of which nothing can be known.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from typing import Any

from ..addresses import LogName, parse_address
from ..exceptions import JournalError, JournalVersionError
from ..record.row import MAX_ROWS
from ..system.files import next_data, set_aside
from ..system.host import is_running
from ..system.locks import is_locked, let_go, take_lock
from .belonging import Origin, note_log, noted_log, read_origin
from .directory import remove_emptied, remove_journal
from .foreign import JournalPlace, open_journal_file
from .segments import (
    ACKED_AT,
    GIVEN_UP_AT,
    META_SIZE,
    NUMBER,
    Batch,
    Gap,
    Meta,
    Scan,
    SegmentHeader,
    decode_meta,
    decode_segment_header,
    encode_meta,
    is_torn_header,
    scan_segment,
)

_open: Any = partial(open, opener=open_journal_file)

HALF_MADE_AGE = 60.0
"""Seconds after which a directory without a lock file is taken for abandoned, not half made."""


class Orphan:
    """An adopted journal, locked until :meth:`release` or :meth:`remove`."""

    def __init__(
        self, path: str, meta: Meta, descriptor: int, place: JournalPlace | None = None
    ) -> None:
        """Use :meth:`adopt`."""
        place = JournalPlace(path) if place is None else place
        self.path = path
        self._place = place
        self.sender_id = os.path.basename(path)
        self.address = meta.address
        self.log = noted_log(place.path)
        self.pid = meta.pid
        self.created = meta.created
        self.acked = meta.acked
        self.is_noted = True
        """Whether all that was acknowledged is noted: else the next adopter delivers it again."""
        self.damaged: list[str] = []
        """Segments of which not everything could be read; :meth:`remove` keeps them aside."""
        self._origin = meta.origin
        self._given_up = meta.given_up
        self._descriptor = descriptor
        self._segments = _list_segments(place.path)
        self._loaded: tuple[int, bytes, Scan] | None = None
        # The highest number that it had, as far as it is known.
        self._highest = max(self.acked, meta.given_up, meta.known)

    @classmethod
    def adopt(cls, path: str) -> Orphan | None:
        """Lock and return the orphan at ``path``.

        Return ``None`` where its owner lives, another process adopts it or has removed it, or
        where it held nothing to deliver and is removed now. Raises :class:`JournalError` for a
        journal of which nothing can be known, and that is kept aside: the message says where.
        Raises :class:`JournalVersionError` for one of a later version, which stays where it is.
        """
        try:
            place = JournalPlace(path)
        except FileNotFoundError:  # another has removed it
            return None
        descriptor = orphan = None
        is_emptied = False
        try:
            descriptor = _take_over(place.path)
            if descriptor is None:
                return None
            meta = _find_meta(place.path, path)
            if meta is None:  # half made or half removed: nothing to deliver
                is_emptied = not remove_journal(place.path, path)
                return None
            orphan = cls(path, meta, descriptor, place)
            return orphan
        finally:
            if orphan is None:
                if descriptor is not None:
                    let_go(descriptor)
                if is_emptied:
                    remove_emptied(path)
                place.close()

    @property
    def origin(self) -> Origin:
        """Where it was made, and for what. Raises :class:`AddressError`."""
        return read_origin(parse_address(self.address), self._origin, self.log)

    def belong_to(self, log: LogName) -> None:
        """Note whose log it is, if that is not known: before a record of it is written there.

        An adopter that is killed has noted less than it has written. Only the ledger of that log
        knows how much, so the rest may never go to another one.
        """
        if self.log is None:
            self.log = log
            with contextlib.suppress(OSError):
                note_log(self._place.path, log)

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
        reason = "damaged" if self.damaged or last > self._given_up else "spool_full"
        return Batch(first, (), first - 1, Gap(first, last, reason))

    def _following(self, index: int) -> int | None:
        """Return the first number of the next segment with a readable header, or ``None``."""
        headers = (header for header, _ in self._segments[index + 1 :] if header is not None)
        return next((header.first for header in headers), None)

    def _load(self, index: int) -> tuple[bytes, Scan]:
        if self._loaded is not None and self._loaded[0] == index:
            return self._loaded[1], self._loaded[2]
        header, path = self._segments[index]
        data, scan = b"", None
        with contextlib.suppress(OSError):  # removed meanwhile, or a disk error
            data = _read_data(path)
            scan = scan_segment(data, self.acked + 1)
        if scan is None:
            scan = Scan([], True)
        elif not scan.damaged and index + 1 < len(self._segments):  # is the end missing?
            following = self._segments[index + 1][0]
            end = scan.records[-1][0] + 1 if scan.records else header and header.first
            if following is not None and following.first != end:
                # Its owner has noted what it gave up itself, of a segment that somebody cut, too.
                scan = Scan(scan.records, following.first > self._given_up + 1)
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
        # Else the next adopter delivers it again, and the numbers expose the duplicates.
        path = os.path.join(self._place.path, "meta")
        self.is_noted = False
        with contextlib.suppress(OSError), _open(path, "r+b", buffering=0) as file:
            file.seek(ACKED_AT)
            self.is_noted = file.write(NUMBER.pack(through)) == NUMBER.size

    def give_up(self) -> int:
        """Give up what is left, and return how many records that are. Raises ``OSError``.

        The journal stays, to tell whoever delivers it. What is noted is noted before a row goes.
        """
        last, told = self.last, max(self.acked, self._given_up)
        if last <= told and not self._segments:
            return 0
        path = os.path.join(self._place.path, "meta")
        with _open(path, "r+b", buffering=0) as file:
            file.seek(GIVEN_UP_AT)
            file.write(NUMBER.pack(last))
        for _, segment in self._segments:
            os.unlink(segment)
        return last - self.acked

    def remove(self) -> list[str]:
        """Remove the delivered journal; return the paths at which its damaged segments are kept."""
        kept = []
        for path in self.damaged:
            with contextlib.suppress(OSError):
                kept.append(set_aside(path, beside=f"{self.path}-{os.path.basename(path)}"))
        gone = remove_journal(self._place.path, self.path)
        self.release()
        if not gone:
            remove_emptied(self.path)
        return kept

    def release(self) -> None:
        """Unlock the journal as it is: an orphan still, for the next adopter."""
        let_go(self._descriptor)
        self._descriptor = -1
        self._place.close()


def _take_over(path: str) -> int | None:
    """Take the lock of a journal whose owner is dead; ``None`` where it is not, or not for us."""
    lock = os.path.join(path, "lock")
    try:
        descriptor = take_lock(lock)
    except FileNotFoundError:
        if not _is_abandoned(path):
            return None
        try:
            descriptor = take_lock(lock, create=True)
        except FileNotFoundError:  # another has removed it
            return None
    if descriptor is None:
        return None
    try:
        others = [os.path.join(path, "meta"), *_segment_paths(path)[-1:]]
        if not any(is_locked(other) for other in others):
            return descriptor
    except OSError:
        let_go(descriptor)
        raise
    let_go(descriptor)
    return None


def _is_abandoned(path: str) -> bool:
    """Return whether a directory without a lock file holds a dead owner's records.

    A directory that has been empty for long is removed.
    """
    try:
        names = os.listdir(path)
        age = time.time() - os.stat(path).st_mtime
        if not names and age > HALF_MADE_AGE:
            os.rmdir(path)
    except OSError:
        return False
    if "meta" not in names:
        return bool(names) and age > HALF_MADE_AGE
    try:
        meta = decode_meta(_read_data(os.path.join(path, "meta")))
    except (OSError, JournalError):
        return age > HALF_MADE_AGE
    return meta.version > 1 or not is_running(meta.pid)  # an owner of version 1 locks only "lock"


def _find_meta(path: str, named: str) -> Meta | None:
    """Return the ``meta`` of a locked journal, by its segments where the file is gone or damaged.

    ``named`` is the journal's path for messages. ``None`` where the journal holds nothing. Raises
    as :meth:`Orphan.adopt`.
    """
    file = os.path.join(path, "meta")
    trouble: JournalError
    try:
        return decode_meta(_read_data(file))
    except FileNotFoundError:
        trouble = JournalError("it has no meta file")
    except JournalVersionError as error:
        raise JournalVersionError(f"the journal {named}: {error}") from None
    except JournalError as error:
        trouble = error
    segments = _list_segments(path)
    if not segments and not os.path.exists(file):
        return None
    headers = [header for header, _ in reversed(segments) if header is not None]
    meta = next((header.meta for header in headers if header.meta is not None), None)
    if meta is None:
        aside = set_aside(named)
        raise JournalError(f"the journal {named}: {trouble}; kept at {aside}") from trouble
    # Else each adopter begins where this one does.
    with contextlib.suppress(OSError), _open(file, "wb") as anew:
        anew.write(encode_meta(meta))
    return meta


def _segment_paths(path: str) -> list[str]:
    names = sorted(name for name in os.listdir(path) if name.endswith(".seg"))
    return [os.path.join(path, name) for name in names]


def _list_segments(path: str) -> list[tuple[SegmentHeader | None, str]]:
    """Return the header and the path of each segment, in order; ``None`` for a damaged header.

    A segment that never came into use is left out: its owner may have gone on without it.
    """
    segments = []
    for segment in _segment_paths(path):
        with _open(segment, "rb") as file:
            data = file.read(META_SIZE)
        header = decode_segment_header(data)
        if not is_torn_header(data) and not _is_unused(segment, header):
            segments.append((header, segment))
    return segments


def _is_unused(path: str, header: SegmentHeader | None) -> bool:
    """Return whether nothing is in a segment but zeros behind its header."""
    with _open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if header is None and _next_data(file.fileno(), 0, size) >= size:
            return True  # of zeros, as a power cut leaves it: it is not read at all
        file.seek(0 if header is None else header.start)
        while True:
            block = file.read(1 << 16)
            if not block:
                return True
            if block.strip(b"\0"):
                return False


def _next_data(descriptor: int, offset: int, size: int) -> int:
    """Return the offset of the next byte that a sparse file really has; ``size`` for none."""
    found = next_data(descriptor, offset)
    return size if found is None else found


def _read_data(path: str) -> bytes:
    """Read a file; of its holes only some zeros, which are not more than the hole has."""
    chunks = []
    with _open(path, "rb", buffering=0) as file:
        descriptor = file.fileno()
        size, offset = os.fstat(descriptor).st_size, 0
        while offset < size:
            begin = _next_data(descriptor, offset, size)
            chunks.append(bytes(min(begin - offset, META_SIZE)))
            file.seek(begin)
            chunk = file.read(1 << 20)
            if not chunk:
                break
            chunks.append(chunk)
            offset = begin + len(chunk)
    return b"".join(chunks)
