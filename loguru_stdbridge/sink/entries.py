"""Packs and reads the entries of a ledger.

This module owns the layout of the ledger's file, the search for whole entries, and what is done
with a ledger that is damaged. When each entry is written, and why that is enough, is told in
:mod:`ledger`.

Why damage is told from a kill
------------------------------
A kill leaves at most a prefix of one entry, at the end. Any other entry that fails its checksum is
damage. Damage is told, and a copy of the ledger is kept. The entries behind it are looked for and
count, because the number of a sender only ever grows. The log file is not touched for damage.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple

from ..system.files import free_damaged_name, pread, set_aside
from .files import FileId, NamedFile

MAGIC = b"LSBLEDG\1"
ENTRY = struct.Struct("<IIII")  # length, checksum, kind, lines written of the intent before
ALL_LINES = 0xFFFFFFFF
SNAPSHOT, INTENT, SETTLED, FILE, ROTATING, RETIRED, LOG_ID = range(1, 8)
_HEADER = re.compile(rb"(?=.{8}[\x01-\x07]\0\0\0.{4})", re.DOTALL)  # what ENTRY may look like
RETIREMENT = struct.Struct("<16sI")  # sender, time in seconds since the epoch
STRANGER = bytes(16)
"""The key of every client that has no sender id."""

_INTENT_HEAD = struct.Struct("<QQQIII")  # device, inode, offset, checksum, runs, lines
_RUN = struct.Struct("<16sQI")  # sender, first number, how many
_SENDER = struct.Struct("<16sQII")  # sender, last number, times of its last record and retirement
_FILE_HEAD = struct.Struct("<QQ")  # device, inode


class SenderState:
    """What a ledger holds of one sender."""

    __slots__ = ("last", "retired", "seen")

    def __init__(self, last: int, seen: int, retired: int) -> None:
        self.last = last
        """The highest number that is written."""
        self.seen = seen
        """When its last record was written, in seconds since the epoch."""
        self.retired = retired
        """When it said goodbye, in seconds since the epoch; 0: it has not."""


class Intent(NamedTuple):
    """A block of lines that is about to be written."""

    file: FileId
    offset: int
    crc: int  # of the whole block
    runs: Sequence[tuple[bytes, int, int]]  # sender, first number, how many
    lengths: Sequence[int]  # bytes of each record's text
    checks: bytes  # of each line: see recovery.pack_checks; empty in a ledger of version 0.1


def sender_key(sender: str | None) -> bytes:
    """Return the 16 bytes that stand for a sender in the ledger."""
    return STRANGER if sender is None else bytes.fromhex(sender)


def _checksum(kind: int, lines_written: int, body: bytes | memoryview) -> int:
    """Return the checksum of an entry. The constant keeps zeros from passing for an empty entry."""
    return zlib.crc32(body, kind ^ lines_written ^ 0x4C53424C)


def make_entry(kind: int, lines_written: int, body: bytes) -> bytes:
    """Pack an entry; ``lines_written`` tells of the intent before it."""
    checksum = _checksum(kind, lines_written, body)
    return ENTRY.pack(len(body), checksum, kind, lines_written) + body


def pack_file(named: NamedFile) -> bytes:
    """Pack the body of a FILE or ROTATING entry."""
    return _FILE_HEAD.pack(*named.id) + os.fsencode(named.path)


def read_file(body: bytes) -> NamedFile:
    """Read the body of a FILE or ROTATING entry."""
    file = FileId(*_FILE_HEAD.unpack_from(body))
    return NamedFile(file, os.fsdecode(body[_FILE_HEAD.size :]))


def make_snapshot(
    log_id: str,
    senders: Mapping[bytes, SenderState],
    file: NamedFile | None,
    *,
    is_rotating: bool,
) -> bytes:
    """Pack a whole ledger: what is known of the log, of each sender and of the file."""
    body = b"".join(
        _SENDER.pack(key, state.last, state.seen, state.retired) for key, state in senders.items()
    )
    data = MAGIC + make_entry(LOG_ID, ALL_LINES, bytes.fromhex(log_id))
    data += make_entry(SNAPSHOT, ALL_LINES, body)
    if file is not None:
        data += make_entry(ROTATING if is_rotating else FILE, ALL_LINES, pack_file(file))
    return data


def read_senders(body: bytes) -> Iterator[tuple[bytes, SenderState]]:
    """Read the body of a SNAPSHOT entry."""
    for key, last, seen, retired in _SENDER.iter_unpack(body):
        yield key, SenderState(last, seen, retired)


def end_of_entry(data: bytes, position: int) -> int | None:
    """Return where the entry at ``position`` ends, or ``None`` where it is not whole."""
    if len(data) - position < ENTRY.size:
        return None
    length, crc, kind, lines_written = ENTRY.unpack_from(data, position)
    start = position + ENTRY.size
    end = start + length
    if end > len(data):
        return None
    with memoryview(data) as view:
        return int(end) if _checksum(kind, lines_written, view[start:end]) == crc else None


def find_next_entry(data: bytes, position: int) -> int | None:
    """Return where the next whole entry begins. It may be slow: it is called after damage only."""
    for match in _HEADER.finditer(data, position):
        if end_of_entry(data, match.start()) is not None:
            return match.start()
    return None


def is_torn(data: bytes, position: int) -> bool:
    """Return whether what is at ``position`` may be the beginning of an entry that a kill cut."""
    if len(data) - position < ENTRY.size:
        return True
    length = ENTRY.unpack_from(data, position)[0]
    return _HEADER.match(data, position) is not None and position + ENTRY.size + length > len(data)


def pack_intent(intent: Intent) -> bytes:
    """Pack the body of an INTENT entry."""
    return b"".join(
        [
            _INTENT_HEAD.pack(
                *intent.file, intent.offset, intent.crc, len(intent.runs), len(intent.lengths)
            ),
            *(_RUN.pack(*run) for run in intent.runs),
            array("I", intent.lengths).tobytes(),
            intent.checks,
        ]
    )


def read_intent(body: bytes) -> Intent:
    """Read the body of an INTENT entry."""
    device, inode, offset, crc, run_count, line_count = _INTENT_HEAD.unpack_from(body)
    runs_end = _INTENT_HEAD.size + run_count * _RUN.size
    runs = list(_RUN.iter_unpack(body[_INTENT_HEAD.size : runs_end]))
    lengths_end = runs_end + 4 * line_count
    lengths = array("I")
    lengths.frombytes(body[runs_end:lengths_end])
    return Intent(FileId(device, inode), offset, crc, runs, lengths, body[lengths_end:])


def read_all(descriptor: int) -> bytes:
    """Read a file from its first byte to its last."""
    chunks: list[bytes] = []
    size = 0
    while True:
        chunk = pread(descriptor, 1 << 20, size)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)


def set_ledger_aside(path: Path, data: bytes, report: Callable[[str], None]) -> None:
    """Rename a file that is no ledger of this version, and tell what follows from that."""
    aside = set_aside(str(path))
    report(
        f"{path} begins with {data[:8]!r} instead of {MAGIC!r}: it is damaged, or the ledger of "
        f"another version. It is kept as {aside}, and a new ledger is begun. What is in the log "
        "file already is not known: records that workers hold unacknowledged may be written twice"
    )


def keep_damaged_copy(
    path: Path, data: bytes, position: int, report: Callable[[str], None]
) -> None:
    """Copy a ledger that is damaged at ``position``, and tell what follows from that."""
    try:
        aside = free_damaged_name(str(path))
        Path(aside).write_bytes(data)
        kept = f"a copy is kept as {aside}"
    except OSError as error:
        kept = f"a copy could not be kept ({error})"
    report(
        f"{path} is damaged at byte {position} of {len(data)}; {kept}. The entries that can be "
        "read are used: records that workers hold unacknowledged may be written twice"
    )
