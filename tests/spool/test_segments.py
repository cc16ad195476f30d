"""The format of a journal's files: its layout, and every way in which a file can be incomplete."""

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
    """The layout on disk does not change unnoticed, since another version may adopt a journal."""
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
    """A ``meta`` file is read back, and the numbers stored in place are not in its checksum."""
    data = bytearray(encode_meta(META))
    NUMBER.pack_into(data, ACKED_AT, 1 << 40)
    NUMBER.pack_into(data, GIVEN_UP_AT, (1 << 40) + 1)
    NUMBER.pack_into(data, KNOWN_AT, (1 << 40) + 2)
    numbers = {"acked": 1 << 40, "given_up": (1 << 40) + 1, "known": (1 << 40) + 2}
    assert decode_meta(data) == META._replace(**numbers)


def test_the_numbers_stored_in_place_are_aligned():
    """The numbers that are stored in place are aligned, so that a kill leaves no mixture."""
    assert ACKED_AT % 8 == GIVEN_UP_AT % 8 == KNOWN_AT % 8 == 0


@pytest.mark.parametrize("size", [0, 1, META_SIZE - 1, META_SIZE + 1])
def test_a_meta_file_of_a_wrong_size_is_refused(size):
    """A ``meta`` file of a wrong size is refused with both sizes."""
    with pytest.raises(JournalError, match=f"{size} bytes, not {META_SIZE}"):
        decode_meta(encode_meta(META).ljust(META_SIZE + 1, b"\0")[:size])


def test_another_version_is_told_from_damage():
    """A ``meta`` file of another version is refused with both versions."""
    data = bytearray(encode_meta(META))
    struct.pack_into("<I", data, 8, 7)
    with pytest.raises(JournalError, match="version 7; this is version 2"):
        decode_meta(data)


def test_what_is_no_meta_file_is_told():
    """A file of the right size that is no ``meta`` file is refused."""
    with pytest.raises(JournalError, match="begins with b'xxxxxxxx', not with b'LSBMETA"):
        decode_meta(b"x" * META_SIZE)


def test_every_changed_byte_of_a_meta_file_is_noticed():
    """Every changed byte of ``meta`` is noticed, apart from those that change in place."""
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
    """An address longer than ``meta`` has room for is refused."""
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
    """A ``meta`` file of version 1 is read."""
    assert decode_meta(old_meta()) == META._replace(version=1)
    changed = bytearray(old_meta())
    changed[KNOWN_AT] ^= 1
    with pytest.raises(JournalError, match="damaged"):
        decode_meta(changed)


# -- segments


@pytest.mark.parametrize("data", [b"", b"x" * 31, bytes(64), encode_segment_header(5)[:31]])
def test_what_is_no_segment_header_is_none(data):
    """A file that is too short, or something else, has no segment header."""
    assert decode_segment_header(data) is None
    assert scan_segment(data + b"x" * 2 * SEGMENT_HEADER) is None


def test_every_changed_byte_of_a_segment_header_is_noticed():
    """Every changed byte of a segment header is noticed."""
    header = encode_segment_header(5)
    assert decode_segment_header(header) == SegmentHeader(5, 32)
    for index in range(SEGMENT_HEADER):
        changed = bytearray(header)
        changed[index] ^= 0x01
        assert decode_segment_header(changed) is None


def test_a_whole_segment():
    """A whole segment gives every record and no damage, and zeros behind them are room."""
    data = a_segment(ROWS, 5)
    scan = scan_segment(data)
    assert rows_of(data, scan) == ROWS
    assert not scan.damaged


def test_a_segment_of_version_1_is_read():
    """A segment of version 1 is read, though it does not name its sender."""
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
    """A segment names its sender and what was acknowledged when it was begun."""
    meta = META._replace(origin="[]", known=12)
    header = encode_segment_header(10, encode_meta_part(meta))
    found = decode_segment_header(header + a_record(b"[10]", 10))
    assert found == SegmentHeader(10, len(header), meta._replace(known=0))
    assert len(header) < 200


@pytest.mark.parametrize("cut", ["zeros", "gone"])
def test_a_segment_without_its_header(cut):
    """A segment that has lost its header is read by the numbers of its records."""
    data = a_segment({number: b'["%d"]' % number for number in range(5, 40)}, 5)
    at = scan_segment(data).records[10][1] - 16
    data = bytes(at) + data[at:] if cut == "zeros" else data[at:]
    assert scan_segment(data) is None
    scan = scan_segment(data, 5)
    assert scan.damaged
    assert list(rows_of(data, scan)) == list(range(15, 40))
    assert scan_segment(b"x" * 5000, 5) is None


def test_zeros_cost_nothing():
    """Megabytes of zeros cost next to nothing to read."""
    assert scan_segment(bytes(1 << 24)) == Scan([], False)
    data = a_segment({5: b"[5]"}, 5) + bytes(1 << 24) + a_record(b"[9]", 9)
    looked = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "record_at", lambda *at: looked.append(at) or record_at(*at))
        assert rows_of(data, segments.scan_segment(data)) == {5: b"[5]", 9: b"[9]"}
    assert len(looked) < 50


def test_an_empty_segment():
    """A segment that was begun and never used is empty and undamaged."""
    assert scan_segment(a_segment([], 5)) == Scan([], False)


def test_a_full_segment():
    """A last record that ends with the file is read."""
    data = a_segment(ROWS, 5, 0)
    assert rows_of(data, scan_segment(data)) == ROWS


def test_numbers_may_be_left_out():
    """Numbers that were discarded are missing without being damage."""
    rows = {7: b"[7]", 8: b"[8]", 100: b"[100]"}
    data = a_segment(rows, 5)
    scan = scan_segment(data)
    assert rows_of(data, scan) == rows
    assert not scan.damaged


def test_a_kill_in_the_middle_of_the_last_record_at_every_byte():
    """A kill at any byte of the last record leaves the others and is no damage."""
    before, last = a_segment({5: ROWS[5], 6: ROWS[6]}, 5, 0), a_record(ROWS[7], 7)
    for stored in range(len(last) + 1):
        data = before + last[:stored]
        scan = scan_segment(data)
        assert rows_of(data, scan) == (ROWS if stored == len(last) else {5: ROWS[5], 6: ROWS[6]})
        assert not scan.damaged, stored


def test_a_kill_of_a_version_1_owner_at_every_byte_of_the_last_record():
    """A kill of a version 1 owner at any byte of the last record leaves the others."""
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
    """A file that is cut off at any byte gives the records that are whole."""
    data = a_segment(ROWS, 5, 0)
    ends = [end for _, _, end in scan_segment(data).records]
    for size in range(SEGMENT_HEADER, len(data) + 1):
        cut = data[:size]
        expected = dict(list(ROWS.items())[: sum(end <= size for end in ends)])
        assert rows_of(cut, scan_segment(cut)) == expected, size


@pytest.mark.parametrize("number", ROWS)
def test_every_changed_byte_of_a_record_costs_that_record_only(number):
    """A changed byte of a record is reported as damage and costs that record only."""
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
    """The records behind a hole of zeros or noise are found."""
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
    """Records behind a hole are found where their numbers pass 32 bits."""
    first = (1 << 32) - 3
    rows = {first + n: b'["%d"]' % n for n in range(8)}
    data = a_segment(rows, first)
    begin, end = (scan_segment(data).records[n][1] for n in (1, 5))
    data[begin : end - 16] = b"x" * (end - 16 - begin)
    assert list(rows_of(data, scan_segment(data))) == [first, first + 5, first + 6, first + 7]


def test_a_record_of_a_lower_number_is_none():
    """A record of a lower number, left by an earlier use of the bytes, is not delivered."""
    data = a_segment({5: b"[5]"}, 5)
    tail = len(bytes(data).rstrip(b"\0"))
    stale = a_record(b"[4]", 4)
    data[tail : tail + len(stale)] = stale
    assert rows_of(data, scan_segment(data)) == {5: b"[5]"}


def test_the_rest_of_a_longer_record_that_was_overwritten():
    """The rest of a longer record that was overwritten is no record."""
    data = a_segment({5: b"[5]"}, 5)
    tail = len(bytes(data).rstrip(b"\0"))
    for row in (b'["' + b"begun" * 50 + b'"]', b"[6]"):
        data[tail : tail + 16 + len(row)] = a_record(row, 6)
    scan = scan_segment(data)
    assert rows_of(data, scan) == {5: b"[5]", 6: b"[6]"}
    assert not scan.damaged


def test_a_record_needs_its_own_number():
    """A record copied under another number is none, since the checksum covers the number."""
    data = bytearray(a_record(b"[5]", 5))
    assert record_at(data, 0) == (5, 19)
    NUMBER.pack_into(data, 8, 6)
    assert record_at(data, 0) is None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000), st.integers(0, 1500))
def test_any_bytes_can_be_scanned(noise, at):
    """Any bytes can be scanned without an error, and give no record that was never stored."""
    rows = {number: b'["%d"]' % number for number in range(1, 60)}
    data = a_segment(rows, size=2048)
    data[at : at + len(noise)] = noise
    scan = scan_segment(data)
    if scan is not None:
        found = rows_of(data, scan)
        assert all(rows.get(number) == row for number, row in found.items())
        assert list(found) == sorted(found)
