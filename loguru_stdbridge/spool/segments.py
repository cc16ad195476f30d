"""The format of a journal's files, as pure functions over bytes. No files are opened here.

A journal is a directory ``<spool>/<sender id>/`` with

``lock``
    its owner holds the OS lock of this file (:mod:`system.locks`), and of the others that it
    writes,
``meta``
    one block: the sender, the address of its receiver, and what changes in place: ``acked`` (the
    highest number acknowledged), ``given_up`` (the highest number that was given up: in the middle
    a missing number says as much, at the end only this does) and ``known`` (a number up to which
    records were stored at least),
``0000000001.seg``, ...
    segments: a header with the main part of ``meta``, so that each can be delivered without it,
    and records, each a header and the bytes of a row.

Why no torn record passes for a whole one
-----------------------------------------
A record is appended, header and row by one write. A kill leaves a prefix of that in the page cache,
so a record that the end of the file cuts off belongs to a call that had not returned. The checksum
covers the row and the lower half of the number, so neither a torn record nor other data passes for
a record. (Version 1 stored the row first and the header last, into blocks that were zero: there a
record without a header is torn.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from ..exceptions import JournalError, JournalVersionError
from ..record.row import Buffer

RECORD = struct.Struct("<IIQ")  # length of the row, checksum, sequence number
RECORD_SIZE = RECORD.size
_SEGMENT = struct.Struct("<8sQIH")  # magic, number of the first record, checksum, bytes of meta
SEGMENT_HEADER = 32
"""Bytes of the header of a segment, without the part of ``meta`` that follows it."""

META = struct.Struct("<8sIIQQ32sQdH")  # magic, version, checksum, acked, given up, sender, ...
META_SIZE = 4096
_UPPER_AT = 12  # where the upper half of the number is in a record
NUMBER = struct.Struct("<Q")
ACKED_AT = 16
GIVEN_UP_AT = 24
KNOWN_AT = META_SIZE - NUMBER.size
"""Offsets in ``meta`` of the numbers that change, aligned to 8: a write of eight bytes there is in
one page, so a kill leaves the old number or the new one."""

FORMAT_VERSION = 2
"""Version 1, which is still read, has no ``origin`` and no ``known``, and no ``meta`` in its
segments."""

_MAX_JUMP = 1 << 32
"""Between the numbers of two neighbouring records: the checksum covers the lower 32 bits only."""

_OLD_SEGMENT_MAGIC = b"LSBSEG\0\1"
_SEGMENT_MAGIC = b"LSBSEG\0\2"
_META_MAGIC = b"LSBMETA\0"
MAX_ORIGIN = 512  # bytes
MAX_ADDRESS = KNOWN_AT - META.size - MAX_ORIGIN  # bytes
_ZEROS = bytes(4096)


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
    known: int = 0
    version: int = FORMAT_VERSION


def checksum(row: Buffer, sequence: int) -> int:
    """Return the checksum of a record: of its bytes and the lower half of its number."""
    return zlib.crc32(row, sequence & 0xFFFFFFFF)


def encode_record(row: bytes, sequence: int) -> bytes:
    """Return the record of ``row``, as it is in a segment."""
    return RECORD.pack(len(row), checksum(row, sequence), sequence) + row


class SegmentHeader(NamedTuple):
    """What a segment says of itself."""

    first: int  # the number of its first record, or lower
    start: int  # offset of its first record
    meta: Meta | None = None  # as it was when the segment was begun; ``None`` in version 1


def encode_segment_header(first: int, meta: bytes = b"") -> bytes:
    """Return the first bytes of a segment whose first record has the number ``first``.

    ``meta`` is the journal's, by :func:`encode_meta_part`.
    """
    crc = zlib.crc32(meta, zlib.crc32(struct.pack("<Q", first), zlib.crc32(_SEGMENT_MAGIC)))
    fields = _SEGMENT.pack(_SEGMENT_MAGIC, first, crc, len(meta))
    return fields.ljust(SEGMENT_HEADER, b"\0") + meta


def decode_segment_header(data: Buffer) -> SegmentHeader | None:
    """Return what the header at the beginning of ``data`` says; ``None`` where it is none."""
    if len(data) < SEGMENT_HEADER:
        return None
    magic, first, _, length = _SEGMENT.unpack_from(data)
    head = bytes(data[:SEGMENT_HEADER])
    if magic == _OLD_SEGMENT_MAGIC:
        expected = zlib.crc32(head[8:16], zlib.crc32(_OLD_SEGMENT_MAGIC))
        return SegmentHeader(first, SEGMENT_HEADER) if head[16:] == _pad(expected) else None
    start = SEGMENT_HEADER + length
    meta = bytes(data[SEGMENT_HEADER:start])
    if len(meta) != length or head + meta != encode_segment_header(first, meta):
        return None
    try:
        return SegmentHeader(first, start, decode_meta(meta.ljust(META_SIZE, b"\0")))
    except JournalError:
        return SegmentHeader(first, start)


def is_torn_header(data: Buffer) -> bool:
    """Return whether ``data``, all of a file, ends inside the header that it begins with."""
    if len(data) < SEGMENT_HEADER:
        return bytes(data[: len(_SEGMENT_MAGIC)]) == _SEGMENT_MAGIC[: len(data)]
    magic, _, _, length = _SEGMENT.unpack_from(data)
    return bool(magic == _SEGMENT_MAGIC and len(data) < SEGMENT_HEADER + length)


def _pad(crc: int) -> bytes:
    return struct.pack("<I", crc).ljust(SEGMENT_HEADER - 16, b"\0")


def encode_meta(meta: Meta) -> bytes:
    """Return the ``meta`` file's bytes. Raises :class:`JournalError` for too long an address."""
    address = meta.address.encode("utf-8", "surrogateescape")
    if len(address) > MAX_ADDRESS:
        raise JournalError(f"the address has {len(address)} bytes; {MAX_ADDRESS} at most")
    origin = meta.origin.encode("utf-8")[:MAX_ORIGIN] if meta.version > 1 else b""

    def pack(crc: int, acked: int, given_up: int) -> bytearray:
        fields = META.pack(
            _META_MAGIC, meta.version, crc, acked, given_up, meta.sender_id.encode("ascii"),
            meta.pid, meta.created, len(address),
        )  # fmt: skip
        return bytearray((fields + address + origin).ljust(META_SIZE, b"\0"))

    data = pack(zlib.crc32(pack(0, 0, 0)), meta.acked, meta.given_up)
    if meta.version > 1:
        NUMBER.pack_into(data, KNOWN_AT, meta.known)
    return bytes(data)


def encode_meta_part(meta: Meta) -> bytes:
    """Return the part of ``meta`` that the header of a segment holds."""
    return encode_meta(meta._replace(known=0)).rstrip(b"\0")


def decode_meta(data: Buffer) -> Meta:
    """Decode a ``meta`` file. Raises :class:`JournalError` that says what is wrong with it."""
    if len(data) != META_SIZE:
        raise JournalError(f"its meta file has {len(data)} bytes, not {META_SIZE}")
    magic, version, _, acked, given_up, sender, pid, created, length = META.unpack_from(data)
    if magic != _META_MAGIC:
        raise JournalError(f"its meta file begins with {magic!r}, not with {_META_MAGIC!r}")
    if not version:
        raise JournalError("its meta file is damaged")
    if version > FORMAT_VERSION:
        raise JournalVersionError(
            f"its format is version {version}; this is version {FORMAT_VERSION}"
        )
    end = META.size + length
    part = bytes(data[: KNOWN_AT if version > 1 else META_SIZE]).ljust(META_SIZE, b"\0")
    try:
        address = part[META.size : end].decode("utf-8", "surrogateescape")
        origin = part[end:].rstrip(b"\0").decode("utf-8")
        meta = Meta(
            sender.decode("ascii"), address, acked, pid, created, given_up, origin, version=version
        )
        intact = encode_meta(meta) == part
    except (UnicodeDecodeError, JournalError):
        intact = False
    if not intact:
        raise JournalError("its meta file is damaged")
    if version == 1:
        return meta
    (known,) = NUMBER.unpack_from(data, KNOWN_AT)
    return meta._replace(known=known)


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


def scan_segment(data: Buffer, first: int | None = None) -> Scan | None:
    """Find every whole record of a segment, beyond holes too.

    Where the segment's own header is wrong, records of the numbers from ``first`` on are looked
    for; return ``None`` if there are none, or if ``first`` is ``None``. A hole between whole
    records is damage. Bytes behind the last whole record are a torn tail, left by a call that had
    not returned; they are damage only where they begin with a header of the next number and are all
    that it speaks of. A segment with nothing behind its header is not damaged: its owner died while
    it made it.
    """
    header = decode_segment_header(data)
    if header is not None:
        expected, offset, damaged = header.first, header.start, False
    elif _next_non_zero(data, 0) == len(data):
        return Scan([], False)
    elif first is None:
        return None
    else:
        expected, offset, damaged = first, 0, True
    records: list[tuple[int, int, int]] = []
    while True:
        found = record_at(data, offset)
        if found is None or not expected <= found[0] < expected + _MAX_JUMP:
            resumed = _resume(data, offset, expected)
            if resumed is None:
                if header is None and not records:
                    return None
                return Scan(records, damaged or _has_header(data, offset, expected))
            damaged, offset = True, resumed
            continue
        sequence, end = found
        records.append((sequence, offset + RECORD.size, end))
        expected, offset = sequence + 1, end


def _has_header(data: Buffer, offset: int, expected: int) -> bool:
    if offset + RECORD.size > len(data):
        return False
    length, _, sequence = RECORD.unpack_from(data, offset)
    return bool(sequence == expected and offset + RECORD.size + length <= len(data))


def _resume(data: Buffer, offset: int, expected: int) -> int | None:
    """Return where the next whole record of a higher number begins, or ``None``.

    The search is for the upper half of its number, which no text contains: all but a few offsets
    are passed at the speed of ``bytes.find``. Zeros, which are all an upper half like any other,
    are passed a page at a time.
    """
    upper = expected >> 32
    # The next half only where it is near: nobody gives up 2**31 records in a row.
    halves = [upper] if (expected + 1) >> 31 == upper << 1 else [upper, upper + 1]
    found = (_find_record(data, offset + 1, expected, half) for half in halves)
    return min((candidate for candidate in found if candidate is not None), default=None)


def _find_record(data: Buffer, offset: int, expected: int, upper: int) -> int | None:
    if not isinstance(data, (bytes, bytearray)):
        data = bytes(data)
    wanted = struct.pack("<I", upper)
    at = data.find(wanted, offset + _UPPER_AT)
    while at >= 0:
        candidate = at - _UPPER_AT
        begin = _next_non_zero(data, candidate)  # of a record whose length is not zero
        if begin >= candidate + 4:
            at = data.find(wanted, begin - 3 + _UPPER_AT)
            continue
        found = record_at(data, candidate)
        if found is not None and expected <= found[0] < expected + _MAX_JUMP:
            return candidate
        at = data.find(wanted, at + 1)
    return None


def _next_non_zero(data: Buffer, offset: int) -> int:
    """Return the offset of the next byte that is not zero, or the length of ``data``."""
    size = len(data)
    while offset < size:
        block = bytes(data[offset : offset + len(_ZEROS)])
        if block != _ZEROS[: len(block)]:
            return offset + len(block) - len(block.lstrip(b"\0"))
        offset += len(block)
    return size
