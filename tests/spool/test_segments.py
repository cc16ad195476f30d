"""The journal's format: the layout pinned, and every way in which a file can be less than whole."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loguru_stdbridge.exceptions import JournalError
from loguru_stdbridge.spool import segments
from loguru_stdbridge.spool.segments import (
    ACKED_AT,
    FORMAT_VERSION,
    GIVEN_UP_AT,
    KNOWN_AT,
    MAX_ADDRESS,
    META_SIZE,
    NUMBER,
    RECORD,
    SEGMENT_HEADER,
    Meta,
    Scan,
    SegmentHeader,
    checksum,
    decode_meta,
    decode_segment_header,
    encode_meta,
    encode_meta_part,
    encode_segment_header,
    record_at,
    scan_segment,
)

SENDER = "0123456789abcdef" * 2
META = Meta(SENDER, "tcp://127.0.0.1:9020", 7, 4321, 1.5, 9)


def a_record(row, number):
    return RECORD.pack(len(row), checksum(row, number), number) + row


def a_segment(rows, first=1, size=4096):
    """A segment of ``rows``: a list of bytes, or a dict of numbers and bytes."""
    numbered = rows if isinstance(rows, dict) else dict(enumerate(rows, first))
    records = b"".join(a_record(row, number) for number, row in numbered.items())
    return bytearray((encode_segment_header(first) + records).ljust(size, b"\0"))


def rows_of(data, scan):
    return {number: bytes(data[start:end]) for number, start, end in scan.records}


ROWS = {5: b'["five"]', 6: b'["six", 6]', 7: b"[7]"}


def test_the_layout_is_pinned():
    """A journal may be adopted by another version: what is on disk does not change unnoticed."""
    crc = zlib.crc32(b"meta", zlib.crc32(struct.pack("<Q", 5), zlib.crc32(b"LSBSEG\0\2")))
    header = struct.pack("<8sQIH", b"LSBSEG\0\2", 5, crc, 4) + bytes(10) + b"meta"
    assert encode_segment_header(5, b"meta") == header
    row = b'["row"]'
    assert a_record(row, 5) == struct.pack("<IIQ", 7, zlib.crc32(row, 5), 5) + row
    meta = encode_meta(META)
    assert len(meta) == META_SIZE == 4096
    assert (meta[:8], struct.unpack_from("<I", meta, 8)) == (b"LSBMETA\0", (FORMAT_VERSION,))
    assert struct.unpack_from("<QQ", meta, ACKED_AT) == (7, 9)
    assert struct.unpack_from("<32sQdH", meta, 32) == (SENDER.encode(), 4321, 1.5, 20)
    assert meta[82:102] == b"tcp://127.0.0.1:9020"
    assert not meta[102:].strip(b"\0")


# -- meta


def test_a_meta_file_comes_back():
    """The numbers that its owner stores in place are read, and no part of the checksum."""
    data = bytearray(encode_meta(META))
    NUMBER.pack_into(data, ACKED_AT, 1 << 40)
    NUMBER.pack_into(data, GIVEN_UP_AT, (1 << 40) + 1)
    NUMBER.pack_into(data, KNOWN_AT, (1 << 40) + 2)
    numbers = {"acked": 1 << 40, "given_up": (1 << 40) + 1, "known": (1 << 40) + 2}
    assert decode_meta(data) == META._replace(**numbers)


def test_the_numbers_stored_in_place_are_aligned():
    """One store each: a kill leaves the old number or the new one."""
    assert ACKED_AT % 8 == GIVEN_UP_AT % 8 == KNOWN_AT % 8 == 0


@pytest.mark.parametrize("size", [0, 1, META_SIZE - 1, META_SIZE + 1])
def test_a_meta_file_of_a_wrong_size_is_refused(size):
    """The message says what it has and what it should have."""
    with pytest.raises(JournalError, match=f"{size} bytes, not {META_SIZE}"):
        decode_meta(encode_meta(META).ljust(META_SIZE + 1, b"\0")[:size])


def test_another_version_is_told_from_damage():
    """The message gives both versions."""
    data = bytearray(encode_meta(META))
    struct.pack_into("<I", data, 8, 7)
    with pytest.raises(JournalError, match="version 7; this is version 2"):
        decode_meta(data)


def test_what_is_no_meta_file_is_told():
    """Four kilobytes of something else."""
    with pytest.raises(JournalError, match="begins with b'xxxxxxxx', not with b'LSBMETA"):
        decode_meta(b"x" * META_SIZE)


def test_every_changed_byte_of_a_meta_file_is_noticed():
    """But for the three numbers, which change all the time."""
    data = encode_meta(META)
    for index in range(META_SIZE):
        changed = bytearray(data)
        changed[index] ^= 0x81
        if ACKED_AT <= index < GIVEN_UP_AT + 8 or index >= KNOWN_AT:
            decode_meta(changed)
        else:
            with pytest.raises(JournalError):
                decode_meta(changed)


def test_an_address_that_does_not_fit_is_refused():
    """The limit itself fits."""
    longest = "unix:///" + "x" * (MAX_ADDRESS - 8)
    assert decode_meta(encode_meta(META._replace(address=longest))).address == longest
    with pytest.raises(JournalError, match=f"{MAX_ADDRESS + 1} bytes; {MAX_ADDRESS} at most"):
        encode_meta(META._replace(address=longest + "x"))


def old_meta():
    """A meta file of version 1, byte by byte."""
    address = b"tcp://127.0.0.1:9020"

    def pack(crc, acked, given_up):
        fields = (b"LSBMETA\0", 1, crc, acked, given_up, SENDER.encode(), 4321, 1.5, len(address))
        return (struct.pack("<8sIIQQ32sQdH", *fields) + address).ljust(4096, b"\0")

    return pack(zlib.crc32(pack(0, 0, 0)), 7, 9)


def test_a_meta_file_of_version_1_is_read():
    """It was written by the version before, whose workers may have died meanwhile."""
    assert decode_meta(old_meta()) == META._replace(version=1)
    changed = bytearray(old_meta())
    changed[KNOWN_AT] ^= 1
    with pytest.raises(JournalError, match="damaged"):
        decode_meta(changed)


# -- segments


@pytest.mark.parametrize("data", [b"", b"x" * 31, bytes(64), encode_segment_header(5)[:31]])
def test_what_is_no_segment_header_is_none(data):
    """Too short, or something else."""
    assert decode_segment_header(data) is None
    assert scan_segment(data + b"x" * 2 * SEGMENT_HEADER) is None


def test_every_changed_byte_of_a_segment_header_is_noticed():
    """A wrong first number would give every record another one."""
    header = encode_segment_header(5)
    assert decode_segment_header(header) == SegmentHeader(5, 32)
    for index in range(SEGMENT_HEADER):
        changed = bytearray(header)
        changed[index] ^= 0x01
        assert decode_segment_header(changed) is None


def test_a_whole_segment():
    """Every record, and no damage; zeros behind it are room."""
    data = a_segment(ROWS, 5)
    scan = scan_segment(data)
    assert rows_of(data, scan) == ROWS
    assert not scan.damaged


def test_a_segment_of_version_1_is_read():
    """It has no part of the meta file."""
    crc = zlib.crc32(struct.pack("<Q", 5), zlib.crc32(b"LSBSEG\0\1"))
    header = struct.pack("<8sQI", b"LSBSEG\0\1", 5, crc).ljust(32, b"\0")
    data = (header + b"".join(a_record(row, number) for number, row in ROWS.items())).ljust(4096)
    assert decode_segment_header(data) == SegmentHeader(5, 32)
    assert rows_of(data, scan_segment(data)) == ROWS
    for index in range(32):
        changed = bytearray(header)
        changed[index] ^= 1
        assert decode_segment_header(changed) is None


def test_a_segment_says_whose_it_is():
    """It can be delivered where the meta file is gone, and begins with what was acknowledged then."""
    meta = META._replace(origin="[]", known=12)
    header = encode_segment_header(10, encode_meta_part(meta))
    found = decode_segment_header(header + a_record(b"[10]", 10))
    assert found == SegmentHeader(10, len(header), meta._replace(known=0))
    assert len(header) < 200


@pytest.mark.parametrize("cut", ["zeros", "gone"])
def test_a_segment_without_its_header(cut):
    """Somebody has cut it, and its owner went on: what is whole is found by its numbers."""
    data = a_segment({number: b'["%d"]' % number for number in range(5, 40)}, 5)
    at = scan_segment(data).records[10][1] - 16
    data = bytes(at) + data[at:] if cut == "zeros" else data[at:]
    assert scan_segment(data) is None
    scan = scan_segment(data, 5)
    assert scan.damaged
    assert list(rows_of(data, scan)) == list(range(15, 40))
    assert scan_segment(b"x" * 5000, 5) is None


def test_zeros_cost_nothing():
    """A power cut leaves megabytes of them, whole or behind the records that were written."""
    assert scan_segment(bytes(1 << 24)) == Scan([], False)
    data = a_segment({5: b"[5]"}, 5) + bytes(1 << 24) + a_record(b"[9]", 9)
    looked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "record_at", lambda *at: looked.append(at) or record_at(*at))
        assert rows_of(data, segments.scan_segment(data)) == {5: b"[5]", 9: b"[9]"}
    assert len(looked) < 50


def test_an_empty_segment():
    """It was begun and nothing was stored."""
    assert scan_segment(a_segment([], 5)) == Scan([], False)


def test_a_full_segment():
    """The last record ends with the file."""
    data = a_segment(ROWS, 5, 0)
    assert rows_of(data, scan_segment(data)) == ROWS


def test_numbers_may_be_left_out():
    """What was given up has a number and no record: that is no damage."""
    rows = {7: b"[7]", 8: b"[8]", 100: b"[100]"}
    data = a_segment(rows, 5)
    scan = scan_segment(data)
    assert rows_of(data, scan) == rows
    assert not scan.damaged


def test_a_kill_in_the_middle_of_the_last_record_at_every_byte():
    """Header and row are one write: the file ends inside them, and no damage is seen."""
    before, last = a_segment({5: ROWS[5], 6: ROWS[6]}, 5, 0), a_record(ROWS[7], 7)
    for stored in range(len(last) + 1):
        data = before + last[:stored]
        scan = scan_segment(data)
        assert rows_of(data, scan) == (ROWS if stored == len(last) else {5: ROWS[5], 6: ROWS[6]})
        assert not scan.damaged, stored


def test_a_kill_of_a_version_1_owner_at_every_byte_of_the_last_record():
    """There the row was stored first, its header last, into zeros."""
    before, last = a_segment({5: ROWS[5], 6: ROWS[6]}, 5), a_record(ROWS[7], 7)
    tail = len(bytes(before).rstrip(b"\0"))
    for stored in range(1, len(last) + 1):
        data = bytearray(before)
        row = last[16:][:stored]
        data[tail + 16 : tail + 16 + len(row)] = row
        header = last[: max(stored - (len(last) - 16), 0)]
        data[tail : tail + len(header)] = header
        scan = scan_segment(data)
        whole = stored >= len(last) - 7  # the high bytes of the number are zeros
        assert rows_of(data, scan) == (ROWS if whole else {5: ROWS[5], 6: ROWS[6]}), stored
        assert not scan.damaged, stored


def test_a_file_cut_off_at_every_byte():
    """What is whole is found, whatever is missing."""
    data = a_segment(ROWS, 5, 0)
    ends = [end for _, _, end in scan_segment(data).records]
    for size in range(SEGMENT_HEADER, len(data) + 1):
        cut = data[:size]
        expected = dict(list(ROWS.items())[: sum(end <= size for end in ends)])
        assert rows_of(cut, scan_segment(cut)) == expected, size


@pytest.mark.parametrize("number", ROWS)
def test_every_changed_byte_of_a_record_costs_that_record_only(number):
    """A hole is passed, reported as damage, and the records after it are found."""
    data = a_segment(ROWS, 5)
    _, start, end = scan_segment(data).records[number - 5]
    for index in range(start - 16, end):
        changed = bytearray(data)
        changed[index] ^= 0x81
        scan = scan_segment(changed)
        rest = {n: row for n, row in ROWS.items() if n != number}
        assert rows_of(changed, scan) == rest, index
        # a changed number or length of the last one may be that of a call that had not returned
        torn = index < start - 12 or start - 8 <= index < start
        assert scan.damaged or (number == 7 and torn), index


def test_a_hole_over_several_records():
    """Zeros, as a page that was never written leaves them, or anything else."""
    rows = {number: b'["%d"]' % number for number in range(1, 40)}
    data = a_segment(rows)
    records = scan_segment(data).records
    for filling in (b"\0", b"\xff", b"x"):
        changed = bytearray(data)
        begin, end = records[9][1] - 16, records[19][2] - 3
        changed[begin:end] = filling * (end - begin)
        scan = scan_segment(changed)
        assert scan.damaged
        assert list(rows_of(changed, scan)) == [*range(1, 10), *range(21, 40)]


def test_records_are_found_behind_a_hole_where_the_numbers_pass_32_bits():
    """The upper half of the number, by which they are looked for, changes there."""
    first = (1 << 32) - 3
    rows = {first + n: b'["%d"]' % n for n in range(8)}
    data = a_segment(rows, first)
    begin, end = (scan_segment(data).records[n][1] for n in (1, 5))
    data[begin : end - 16] = b"x" * (end - 16 - begin)
    assert list(rows_of(data, scan_segment(data))) == [first, first + 5, first + 6, first + 7]


def test_a_record_of_a_lower_number_is_none():
    """What an earlier use of the bytes left is never delivered again."""
    data = a_segment({5: b"[5]"}, 5)
    tail = len(bytes(data).rstrip(b"\0"))
    stale = a_record(b"[4]", 4)
    data[tail : tail + len(stale)] = stale
    assert rows_of(data, scan_segment(data)) == {5: b"[5]"}


def test_the_rest_of_a_longer_record_that_was_overwritten():
    """A call that an exception ended had stored more than the one that took its place."""
    data = a_segment({5: b"[5]"}, 5)
    tail = len(bytes(data).rstrip(b"\0"))
    for row in (b'["' + b"begun" * 50 + b'"]', b"[6]"):
        data[tail : tail + 16 + len(row)] = a_record(row, 6)
    scan = scan_segment(data)
    assert rows_of(data, scan) == {5: b"[5]", 6: b"[6]"}
    assert not scan.damaged


def test_a_record_needs_its_own_number():
    """The checksum covers the number: a record moved to another one is none."""
    data = bytearray(a_record(b"[5]", 5))
    assert record_at(data, 0) == (5, 19)
    NUMBER.pack_into(data, 8, 6)
    assert record_at(data, 0) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000), st.integers(0, 1500))
def test_any_bytes_can_be_scanned(noise, at):
    """Noise over a segment: no error, no record that was never stored."""
    rows = {number: b'["%d"]' % number for number in range(1, 60)}
    data = a_segment(rows, size=2048)
    data[at : at + len(noise)] = noise
    scan = scan_segment(data)
    if scan is not None:
        found = rows_of(data, scan)
        assert all(rows.get(number) == row for number, row in found.items())
        assert list(found) == sorted(found)
