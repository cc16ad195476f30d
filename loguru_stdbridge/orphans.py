"""Journals whose owner is dead: find them, adopt them, deliver them, remove them.

Shared by the receiver (which adopts those on its machine) and the worker (which adopts where the
receiver is elsewhere). Owns one adopted journal at a time; the delivery is the caller's.

Why no race can harm
--------------------
The OS lock alone decides, never a process id: a worker that is alive holds it, and it is gone with
the process however that ended. Adopting takes the same lock, so of two adopters one fails; after
taking it the adopter looks whether the file is still the one at that path, since another may have
delivered and removed it in between. What was delivered is stored in ``acked`` as it is confirmed:
an adopter that is killed half-way leaves an orphan that the next one takes up from there, and what
it had delivered without noting it is a duplicate that the sequence numbers reveal. ``meta`` is the
first file to go: without it a journal is empty or half-made and is only swept up.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Iterator, List, Optional, Tuple

from .exceptions import JournalError
from .locks import is_file_at, lock_file
from .segments import (
    ACKED,
    ACKED_AT,
    Batch,
    Meta,
    Scan,
    decode_meta,
    decode_segment_header,
    scan_segment,
)
from .spool import remove_journal

HALF_MADE_AGE = 60.0
"""Seconds after which a directory without a lock file is no journal in the making any more."""

_ID_LENGTH = 32


def journal_directories(spool_dir: Path) -> List[Path]:
    """Every journal of a spool directory, of living owners too."""
    try:
        entries = list(os.scandir(spool_dir))
    except OSError:
        return []
    return [
        Path(entry.path) for entry in entries
        if len(entry.name) == _ID_LENGTH and set(entry.name) <= set("0123456789abcdef")
    ]  # fmt: skip


def find_orphans(spool_dir: Path) -> Iterator["Orphan"]:
    """Adopt every orphan in turn; the caller releases or removes each before the next.

    A journal of which nothing is to be delivered is swept up here.
    """
    for path in journal_directories(spool_dir):
        with contextlib.suppress(OSError):
            orphan = Orphan.adopt(path)
            if orphan is not None:
                yield orphan


class Orphan:
    """An adopted journal. Its lock is held until :meth:`release` or :meth:`remove`."""

    def __init__(self, path: Path, meta: Meta, descriptor: int) -> None:
        self.path = path
        self.sender_id = meta.sender_id
        self.address = meta.address
        self.pid = meta.pid
        self.acked = meta.acked
        self.damaged: List[Path] = []
        """Segments that are kept aside because not all of them could be read."""
        self._descriptor = descriptor
        self._segments = self._list_segments()
        self._loaded: Optional[Tuple[int, bytes, Scan]] = None

    @classmethod
    def adopt(cls, path: Path) -> Optional["Orphan"]:
        """The orphan at ``path``, or ``None``: its owner lives, another adopts it, it is gone,
        or there was nothing to deliver and it is removed now.

        Raises :class:`JournalError` for one that cannot be read; it is kept aside, and the message
        says where.
        """
        lock = str(path / "lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
        except FileNotFoundError:
            with contextlib.suppress(OSError):
                if time.time() - os.stat(path).st_mtime > HALF_MADE_AGE:
                    os.rmdir(path)
            return None
        keep = False
        try:
            if not lock_file(descriptor) or not is_file_at(descriptor, lock):
                return None
            try:
                meta = decode_meta((path / "meta").read_bytes())
            except FileNotFoundError:  # half-made, or half-removed: nothing was ever in it
                remove_journal(path)
                return None
            except JournalError as error:
                aside = _set_aside(path)
                raise JournalError(f"the journal {path.name}: {error}; kept at {aside}") from error
            orphan = cls(path, meta, descriptor)
            keep = True
            return orphan
        finally:
            if not keep:
                os.close(descriptor)

    def _list_segments(self) -> List[Tuple[Optional[int], Path]]:
        """``(first number, path)`` of each segment, in order; ``None`` for a damaged header."""
        segments = []
        for path in sorted(self.path.glob("*.seg")):
            with open(path, "rb") as file:
                segments.append((decode_segment_header(file.read(64)), path))
        return segments

    def read(self, after: int, max_bytes: int) -> Batch:
        """The rows with numbers above ``after``, up to ``max_bytes``, one at least; or a gap.

        Empty where nothing is left.
        """
        wanted = after + 1
        for index in range(len(self._segments)):
            scan_and_data = self._load(index)
            if scan_and_data is None:
                continue
            data, scan = scan_and_data
            if not scan.records or scan.records[-1][0] < wanted:
                continue
            rows: List[bytes] = []
            size = 0
            first = last = 0
            for number, start, end in scan.records:
                if number < wanted:
                    continue
                if not rows and number > wanted:
                    reason = "damaged" if self.damaged else "spool_full"
                    return Batch(wanted, (), after, (wanted, number - 1, reason))
                if (rows and number != last + 1) or size >= max_bytes:
                    break
                first = first or number
                last = number
                rows.append(data[start:end])
                size += end - start
            return Batch(first, rows, last)
        return Batch(wanted, (), after)

    def _load(self, index: int) -> Optional[Tuple[bytes, Scan]]:
        if self._loaded is not None and self._loaded[0] == index:
            return self._loaded[1], self._loaded[2]
        first, path = self._segments[index]
        following = [number for number, _ in self._segments[index + 1 :] if number is not None]
        if first is not None and following and following[0] <= self.acked + 1:
            return None  # wholly acknowledged
        data = path.read_bytes()
        scan = scan_segment(data)
        if scan is None or scan.damaged:
            self._note_damage(path)
        elif following and (not scan.records or scan.records[-1][0] + 1 != following[0]):
            self._note_damage(path)  # its end is missing: the next one goes on further up
        if scan is None:
            scan = Scan([], True)
        self._loaded = (index, data, scan)
        return data, scan

    def _note_damage(self, path: Path) -> None:
        if path not in self.damaged:
            self.damaged.append(path)

    def acknowledge(self, through: int) -> None:
        """Note that everything up to ``through`` is delivered."""
        if through <= self.acked:
            return
        with open(self.path / "meta", "r+b") as file:
            file.seek(ACKED_AT)
            file.write(ACKED.pack(through))
        self.acked = through

    def remove(self) -> List[Path]:
        """All is delivered: remove it. Returns where its damaged segments are kept."""
        kept = []
        for path in self.damaged:
            aside = self.path.parent / f"damaged-{self.sender_id}-{path.name}"
            with contextlib.suppress(OSError):
                os.replace(path, aside)
                kept.append(aside)
        remove_journal(self.path)
        self.release()
        return kept

    def release(self) -> None:
        """Let it go as it is: an orphan still, for the next adopter."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _set_aside(path: Path) -> Path:
    aside = path.with_name(f"damaged-{path.name}")
    os.rename(path, aside)
    return aside
