"""The format of a journal's files, as pure functions over bytes. No files are opened here.

A journal is a directory ``<spool>/<sender id>/`` with

``lock``
    its owner holds the OS lock of this file (:mod:`system.locks`),
``meta``
    one block: the sender, the address of its receiver, ``acked`` (the highest number acknowledged)
    and ``given_up`` (the highest number that was given up: in the middle a missing number says as
    much, at the end only this does),
``0000000001.seg``, ...
    segments: records, each a header and the bytes of a row.

Why no torn record passes for a whole one
-----------------------------------------
The bytes of a record are stored first and its header last, into blocks that were zero. A kill
leaves a prefix of that in the page cache. So a record whose header is there is whole, and a record
without a header belongs to a call that had not returned. The checksum covers the bytes and the
lower half of the number, so neither a torn record nor other data passes for a record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from ..exceptions import JournalError
from ..record.row import Buffer

RECORD = struct.Struct("<IIQ")  # length of the row, checksum, sequence number
SEGMENT = struct.Struct("<8sQI")  # magic, number of the first record, checksum of both
SEGMENT_HEADER = 32
META = struct.Struct("<8sIIQQ32sQdH")  # magic, version, checksum, acked, given up, sender, ...
META_SIZE = 4096
_UPPER_AT = 12  # where the upper half of the number is in a record
NUMBER = struct.Struct("<Q")
ACKED_AT = 16
GIVEN_UP_AT = 24
"""Offsets in ``meta``, aligned to 8: eight bytes copied there are one store, so a kill leaves the
old number or the new one."""

FORMAT_VERSION = 2
"""Version 1 has no ``origin``; it is still read."""

_MAX_JUMP = 1 << 32
"""Between the numbers of two neighbouring records: the checksum covers the lower 32 bits only."""

_SEGMENT_MAGIC = b"LSBSEG\0\1"
_META_MAGIC = b"LSBMETA\0"
MAX_ORIGIN = 512  # bytes
MAX_ADDRESS = META_SIZE - META.size - MAX_ORIGIN  # bytes


class Gap(NamedTuple):
    """Consecutive numbers that were given up, and why."""

    first: int
    last: int
    reason: str


class Batch(NamedTuple):
    """Rows of the consecutive numbers ``first`` to ``last``, or one gap; or empty."""

    first: int
    rows: Sequence[bytes]
    last: int
    gap: Gap | None = None


class Meta(NamedTuple):
    """The content of the ``meta`` file."""

    sender_id: str
    address: str
    acked: int
    pid: int
    created: float
    given_up: int = 0
    origin: str = ""  # of the place where it was made: :func:`.belonging.describe_origin`


def checksum(row: Buffer, sequence: int) -> int:
    """Return the checksum of a record: of its bytes and the lower half of its number."""
    return zlib.crc32(row, sequence & 0xFFFFFFFF)


def encode_segment_header(first: int) -> bytes:
    """Return the first bytes of a segment whose first record has the number ``first``."""
    crc = zlib.crc32(struct.pack("<Q", first), zlib.crc32(_SEGMENT_MAGIC))
    return SEGMENT.pack(_SEGMENT_MAGIC, first, crc).ljust(SEGMENT_HEADER, b"\0")


def decode_segment_header(data: Buffer) -> int | None:
    """Return the number of a segment's first record; ``None`` for anything but such a header."""
    if len(data) < SEGMENT_HEADER:
        return None
    magic, first, _ = SEGMENT.unpack_from(data)
    if magic != _SEGMENT_MAGIC or bytes(data[:SEGMENT_HEADER]) != encode_segment_header(first):
        return None
    return int(first)


def encode_meta(meta: Meta, version: int = FORMAT_VERSION) -> bytes:
    """Return the ``meta`` file's bytes. Raises :class:`JournalError` for too long an address."""
    address = meta.address.encode("utf-8", "surrogateescape")
    if len(address) > MAX_ADDRESS:
        raise JournalError(f"the address has {len(address)} bytes; {MAX_ADDRESS} at most")
    origin = meta.origin.encode("utf-8")[:MAX_ORIGIN] if version > 1 else b""

    def pack(crc: int, acked: int, given_up: int) -> bytes:
        fields = META.pack(
            _META_MAGIC, version, crc, acked, given_up, meta.sender_id.encode("ascii"),
            meta.pid, meta.created, len(address),
        )  # fmt: skip
        return (fields + address + origin).ljust(META_SIZE, b"\0")

    return pack(zlib.crc32(pack(0, 0, 0)), meta.acked, meta.given_up)


def decode_meta(data: Buffer) -> Meta:
    """Decode a ``meta`` file. Raises :class:`JournalError` that says what is wrong with it."""
    if len(data) != META_SIZE:
        raise JournalError(f"its meta file has {len(data)} bytes, not {META_SIZE}")
    magic, version, _, acked, given_up, sender, pid, created, length = META.unpack_from(data)
    if magic != _META_MAGIC:
        raise JournalError(f"its meta file begins with {magic!r}, not with {_META_MAGIC!r}")
    if not 1 <= version <= FORMAT_VERSION:
        raise JournalError(f"its format is version {version}; this is version {FORMAT_VERSION}")
    end = META.size + length
    try:
        address = bytes(data[META.size : end]).decode("utf-8", "surrogateescape")
        origin = bytes(data[end:]).rstrip(b"\0").decode("utf-8")
        meta = Meta(sender.decode("ascii"), address, acked, pid, created, given_up, origin)
        intact = encode_meta(meta, version) == bytes(data)
    except (UnicodeDecodeError, JournalError):
        intact = False
    if not intact:
        raise JournalError("its meta file is damaged")
    return meta


def record_at(data: Buffer, offset: int) -> tuple[int, int] | None:
    """Return ``(sequence number, end offset)`` of the whole record at ``offset``, or ``None``."""
    start = offset + RECORD.size
    if start > len(data):
        return None
    length, crc, sequence = RECORD.unpack_from(data, offset)
    end = start + length
    if not length or end > len(data):
        return None
    with memoryview(data) as view:
        return (sequence, end) if checksum(view[start:end], sequence) == crc else None


class Scan(NamedTuple):
    """The whole records of a segment, as ``(number, start, end)`` of their rows."""

    records: list[tuple[int, int, int]]
    damaged: bool


def scan_segment(data: Buffer) -> Scan | None:
    """Find every whole record of a segment, beyond holes too.

    Return ``None`` where the segment's own header is wrong. A hole between whole records is damage.
    Bytes behind the last whole record are a torn tail, left by a call that had not returned; they
    are damage only where they begin with a header of the next number, since that is stored last. A
    segment with nothing behind its header is not damaged: its owner died while it made it.
    """
    first = decode_segment_header(data)
    if first is None:
        return None if any(bytes(data[SEGMENT_HEADER:])) else Scan([], False)
    records: list[tuple[int, int, int]] = []
    expected, offset, damaged = first, SEGMENT_HEADER, False
    used = b""
    while True:
        found = record_at(data, offset)
        if found is None or not expected <= found[0] < expected + _MAX_JUMP:
            used = used or bytes(data).rstrip(b"\0")
            resumed = _resume(used, offset, expected)
            if resumed is None:
                return Scan(records, damaged or _has_header(data, offset, expected))
            damaged, offset = True, resumed
            continue
        sequence, end = found
        records.append((sequence, offset + RECORD.size, end))
        expected, offset = sequence + 1, end


def _has_header(data: Buffer, offset: int, expected: int) -> bool:
    if offset + RECORD.size > len(data):
        return False
    return bool(RECORD.unpack_from(data, offset)[2] == expected)


def _resume(data: bytes, offset: int, expected: int) -> int | None:
    """Return where the next whole record of a higher number begins, or ``None``.

    The search is for the upper half of its number, which no text contains: all but a few offsets
    are passed at the speed of ``bytes.find``.
    """
    upper = expected >> 32
    # The next half only where it is near: nobody gives up 2**31 records in a row.
    halves = [upper] if (expected + 1) >> 31 == upper << 1 else [upper, upper + 1]
    found = (_find_record(data, offset + 1, expected, half) for half in halves)
    return min((candidate for candidate in found if candidate is not None), default=None)


def _find_record(data: bytes, offset: int, expected: int, upper: int) -> int | None:
    wanted = struct.pack("<I", upper)
    at = data.find(wanted, offset + _UPPER_AT)
    while at >= 0:
        candidate = at - _UPPER_AT
        found = record_at(data, candidate)
        if found is not None and expected < found[0] < expected + _MAX_JUMP:
            return candidate
        at = data.find(wanted, at + 1)
    return None
