"""The entries of a ledger, as they stand in its file.

Owns their layout, the search for whole ones, and what a kill or damage asks for: the last intent
held against its log file, a damaged ledger kept aside. When which entry is written, and why that
is enough, is :mod:`ledger`'s.

A ledger that is damaged
------------------------
A kill leaves at most a prefix of one entry, at the end. Any other entry that fails its checksum is
damage: it is told, the ledger is kept aside, and the entries behind it are looked for and count,
since a sender's number only ever grows. The log file is not touched for it.
"""

from __future__ import annotations

import os
import re
import struct
import time
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, NamedTuple

from .files import FileId, find_file

MAGIC = b"LSBLEDG\1"
ENTRY = struct.Struct("<IIII")  # length, checksum, type, lines that stand of the intent before
ALL = 0xFFFFFFFF
SNAPSHOT, INTENT, SETTLED, FILE, ROTATING, GONE = range(1, 7)
_HEADER = re.compile(rb"(?=.{8}[\x01-\x06]\0\0\0.{4})", re.DOTALL)  # what ENTRY may look like
SENDER = struct.Struct("<16sQII")  # id, last, seen, gone (seconds since the epoch, 0: not gone)
INTENT_HEAD = struct.Struct("<QQQIII")  # device, inode, offset, checksum, runs, lines
RUN = struct.Struct("<16sQI")  # sender (zeros: a stranger), first number, count
FILE_HEAD = struct.Struct("<QQ")
STRANGER = bytes(16)

Run = tuple[bytes, int, int]  # sender, first number, count


class Intent(NamedTuple):
    file: FileId
    offset: int
    crc: int
    runs: Sequence[Run]
    lengths: Sequence[int]


def _checksum(kind: int, stands: int, body: bytes | memoryview) -> int:
    """Of an entry; the constant keeps a run of zeros from passing for an empty one."""
    return zlib.crc32(body, kind ^ stands ^ 0x4C53424C)


def make_entry(kind: int, stands: int, body: bytes) -> bytes:
    return ENTRY.pack(len(body), _checksum(kind, stands, body), kind, stands) + body


def key_of(sender: str | None) -> bytes:
    return STRANGER if sender is None else bytes.fromhex(sender)


def make_snapshot(
    last: dict[bytes, int],
    seen: dict[bytes, int],
    gone: dict[bytes, int],
    file: tuple[FileId, str] | None,
    interrupted: tuple[FileId, str] | None,
) -> bytes:
    """A whole ledger, of what is remembered of each sender and of the file."""
    body = b"".join(
        SENDER.pack(key, number, seen[key], gone.get(key, 0)) for key, number in last.items()
    )
    entries = [(SNAPSHOT, body)]
    if file is not None:
        kind = FILE if interrupted is None else ROTATING
        named = interrupted or file
        entries.append((kind, FILE_HEAD.pack(*named[0]) + os.fsencode(named[1])))
    return MAGIC + b"".join(make_entry(kind, ALL, body) for kind, body in entries)


def end_of_entry(data: bytes, position: int) -> int | None:
    """Where the whole entry at ``position`` ends, or ``None``."""
    if len(data) - position < ENTRY.size:
        return None
    length, crc, kind, stands = ENTRY.unpack_from(data, position)
    start = position + ENTRY.size
    end = start + length
    if end > len(data):
        return None
    with memoryview(data) as view:
        return int(end) if _checksum(kind, stands, view[start:end]) == crc else None


def next_entry(data: bytes, position: int) -> int | None:
    """Where the next whole entry begins; only after damage, so it may be slow."""
    for match in _HEADER.finditer(data, position):
        if end_of_entry(data, match.start()) is not None:
            return match.start()
    return None


def is_torn(data: bytes, position: int) -> bool:
    """Whether what ends the ledger may be the beginning of an entry, as a kill leaves it."""
    if len(data) - position < ENTRY.size:
        return True
    length = ENTRY.unpack_from(data, position)[0]
    return _HEADER.match(data, position) is not None and position + ENTRY.size + length > len(data)


def read_intent(body: bytes) -> Intent:
    device, inode, offset, crc, run_count, line_count = INTENT_HEAD.unpack_from(body)
    at = INTENT_HEAD.size
    end = at + run_count * RUN.size
    lengths = array("I")
    lengths.frombytes(body[end : end + 4 * line_count])
    return Intent(FileId(device, inode), offset, crc, list(RUN.iter_unpack(body[at:end])), lengths)


def read_all(descriptor: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        chunk = os.pread(descriptor, 1 << 20, size)
        if not chunk:
            return b"".join(chunks)
        chunks.append(chunk)
        size += len(chunk)


def _aside(path: Path) -> Path:
    """A free name for a damaged ledger."""
    now, count = int(time.time()), 1
    while True:
        aside = path.with_name(f"{path.name}.damaged-{now}-{count}")
        if not aside.exists():
            return aside
        count += 1


def set_aside(path: Path, data: bytes, report: Callable[[str], None]) -> None:
    """A ledger of another version, or none: kept, told, and a new one begun."""
    aside = _aside(path)
    os.replace(path, aside)
    report(
        f"{path} begins with {data[:8]!r} and not with {MAGIC!r}: it is damaged or of "
        f"another version; kept as {aside}, a new one is begun. What senders had written is "
        "not known: what they hold unacknowledged may be written twice"
    )


def keep_damaged(path: Path, data: bytes, position: int, report: Callable[[str], None]) -> None:
    """What could be read counts; the rest is kept and told."""
    aside = _aside(path)
    try:
        aside.write_bytes(data)
        kept = f"kept as {aside}"
    except OSError as error:
        kept = f"it could not be kept ({error})"
    report(
        f"{path} is damaged at byte {position} of {len(data)}; {kept}. What could be read "
        "of it is used: some of what senders hold unacknowledged may be written twice"
    )


def recover(intent: Intent, named: str, report: Callable[[str], None]) -> int:
    """How many lines of the last intent are whole in the file; a torn one is cut off."""
    path = find_file(intent.file, named)
    if path is None:
        report(
            f"{named} is gone, or is another file now, and its last lines with it: what was "
            "not acknowledged of them is written again"
        )
        return 0
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        total = sum(intent.lengths)
        if size >= intent.offset + total:
            file.seek(intent.offset)
            if zlib.crc32(file.read(total)) == intent.crc:
                return len(intent.lengths)
            report(
                f"{path} was changed by someone else behind byte {intent.offset}: what was not "
                "acknowledged of its last lines is written again"
            )
            return 0
        whole = 0
        end = intent.offset
        for length in intent.lengths:
            if end + length > size:
                break
            end += length
            whole += 1
        if end < size:
            file.truncate(end)
        return whole if size >= intent.offset else 0
