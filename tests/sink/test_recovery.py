"""After a kill only what was written counts, and no byte of another program is cut."""

from __future__ import annotations

import os
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loguru_stdbridge.sink.entries import Intent, pack_intent, read_intent
from loguru_stdbridge.sink.files import FileId
from loguru_stdbridge.sink.recovery import FOREIGN_WINDOW, count_whole_records, pack_checks

LINES = [b"2026-01-01 line one\n", b"2026-01-01 line two\n", b"2026-01-01 line three\n"]
NOTE = b"supervisor: the receiver has died, it is started again\n"


class Log:
    """A log file with some bytes in it, and the intent of a block behind them."""

    def __init__(self, path, records, *, legacy=False):
        self.path, self.records = path, records
        path.write_bytes(b"before\n")
        self.offset = len(b"before\n")
        block = b"".join(records)
        file = FileId.of(os.stat(path))
        runs = [(bytes(16), 1, len(records))]
        checks = b"" if legacy else pack_checks(block)
        lengths = list(map(len, records))
        self.intent = Intent(file, self.offset, zlib.crc32(block), runs, lengths, checks)
        self.told = []

    def recover(self, *pieces):
        """Count the whole records, with these pieces behind the offset."""
        with open(self.path, "r+b") as file:
            file.truncate(self.offset)
            file.seek(self.offset)
            file.write(b"".join(pieces))
        intent = read_intent(pack_intent(self.intent))
        return count_whole_records(intent, str(self.path), self.told.append)

    def left(self):
        """What is behind the offset now."""
        return self.path.read_bytes()[self.offset :]


@pytest.fixture
def log(tmp_path):
    return Log(tmp_path / "app.log", LINES)


@pytest.mark.parametrize("size", range(len(b"".join(LINES)) + 1))
def test_a_torn_line_is_cut_off(log, size):
    """A block cut at any byte counts its whole lines, and the torn one is cut off."""
    whole = sum(len(b"".join(LINES[: n + 1])) <= size for n in range(3))
    assert log.recover(b"".join(LINES)[:size]) == whole
    assert log.left() == b"".join(LINES[:whole])
    assert log.told == []


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        ([NOTE], 0), ([NOTE, NOTE], 0), ([LINES[0], NOTE], 1), ([*LINES[:2], NOTE], 2),
        ([LINES[0][:9], NOTE], 0), ([LINES[0], LINES[1][:1], NOTE], 1),
        ([NOTE, LINES[0]], 1), ([NOTE, *LINES[:2]], 2), ([LINES[0], NOTE, LINES[1]], 2),
        ([LINES[0], NOTE, LINES[1], NOTE], 2), ([LINES[1]], 0), ([LINES[2], LINES[1]], 0),
        ([LINES[0][:-1], NOTE], 0), ([LINES[0].upper()], 0), ([b"\n"], 0), ([LINES[0], b"\n\n"], 1),
        ([b"x"], 0), ([b"an end without newline"], 0), ([LINES[0], b"died"], 1),
        ([LINES[0], bytes(4096)], 1), ([LINES[0], b"2026-01-01 lines are" * 10], 1),
        ([b"x" * 2000 + b"\n"] * 600, 0),
    ],
)  # fmt: skip
def test_what_another_program_appended_stays_and_counts_for_nothing(log, pieces, whole):
    """Only lines of the block count, wherever foreign bytes are, and nothing foreign is cut."""
    content = b"".join(pieces)
    ends_whole = content.endswith((LINES[0], LINES[1]))
    assert log.recover(*pieces) == whole
    assert log.left() == content
    assert len(log.told) == (not ends_whole or whole == 0)
    for text in log.told:
        assert str(log.path) in text and "left alone" in text


def test_a_torn_line_behind_a_foreign_one_is_cut_off(log):
    """A foreign line before the end does not keep a torn line in the file."""
    assert log.recover(NOTE, LINES[0], LINES[1][:7]) == 1
    assert log.left() == NOTE + LINES[0]
    assert log.recover(LINES[0], NOTE, LINES[1][:7]) == 1
    assert log.left() == LINES[0] + NOTE
    assert len(log.told) == 1


def test_a_whole_block_has_nothing_to_be_told(log):
    """Foreign lines behind a block that was written whole are no matter."""
    assert log.recover(*LINES, NOTE, b"and more") == 3
    assert log.left() == b"".join([*LINES, NOTE, b"and more"])
    assert log.told == []


def test_lines_far_behind_the_offset_are_not_searched(log):
    """A bound keeps a start from reading what others have appended for weeks."""
    assert log.recover(*[NOTE] * (FOREIGN_WINDOW // len(NOTE) + 9), LINES[0]) == 0
    assert len(log.told) == 1


def test_a_record_of_several_lines_counts_when_all_are_there(tmp_path):
    """A traceback that is torn behind one of its newlines is cut off whole."""
    log = Log(tmp_path / "app.log", [b"one\n", b"failed\nTraceback\nValueError\n", b"two\n"])
    for torn in (b"failed\n", b"failed\nTrace", b"failed\nTraceback\n"):
        assert log.recover(b"one\n", torn) == 1
        assert log.left() == b"one\n"
    assert log.told == []
    assert log.recover(b"one\nfailed\nTraceback\n", NOTE) == 1
    assert log.left() == b"one\nfailed\nTraceback\n" + NOTE


@pytest.mark.parametrize(
    ("records", "written", "whole", "left"),
    [
        ([b"no newline"], b"no newline", 1, b"no newline"),
        ([b"no newline"], b"no new", 0, b""),
        ([b"no newline"], b"no newline" + NOTE, 1, b"no newline" + NOTE),
        ([b"a", b"b", b"c\n", b"d\n"], b"abc\n", 3, b"abc\n"),
        ([b"a", b"b", b"c\n", b"d\n"], b"ab", 0, b""),
        ([b"a", b"b\nc\n"], b"ab\n", 1, b"a"),
        ([b"", b"x\n", b""], b"", 1, b""),
        ([b"", b""], b"", 2, b""),
        ([b"", b""], NOTE, 2, NOTE),
        ([b"x\n", b"end"], b"x\ned", 1, b"x\ned"),
        ([b"x\n", b"end"], b"x\n" + NOTE + b"en", 1, b"x\n" + NOTE),
    ],
)
def test_texts_that_end_in_no_newline_are_counted_too(tmp_path, records, written, whole, left):
    """Raw texts and empty ones count when their bytes are there."""
    log = Log(tmp_path / "app.log", records)
    assert log.recover(written) == whole
    assert log.left() == left


_texts = st.sampled_from([b"", b"x\n", b"y\n", b"line\n", b"two\nlines\n", b"raw", b"\0\n"])
_foreign = st.sampled_from([b"", b"f\n", b"foreign line\n", b"foreign, long enough\n" * 3])


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    records=st.lists(_texts, min_size=1, max_size=5), before=_foreign, behind=_foreign,
    data=st.data(),
)  # fmt: skip
def test_no_mix_of_kills_and_foreign_lines_loses_or_cuts_anything(
    tmp_path, records, before, behind, data
):
    """Whatever byte a block ends at between foreign lines, these stay, and no absent record counts."""
    block = b"".join(records)
    size = data.draw(st.integers(0, len(block)))
    log = Log(tmp_path / "app.log", records)
    whole = log.recover(before, block[:size], behind)
    assert len(b"".join(records[:whole])) <= size
    left = log.left()
    assert left.startswith(before)
    assert left.endswith(behind)
    if not behind and block.endswith(b"\n") and b"raw" not in records:
        assert left == before + b"".join(records[:whole])  # nothing torn is left


@pytest.mark.parametrize("size", range(len(b"".join(LINES)) + 1))
def test_an_intent_of_the_last_version_is_understood(tmp_path, size):
    """An intent of version 0.1 has a checksum of the whole block, and goes by the length."""
    log = Log(tmp_path / "app.log", LINES, legacy=True)
    whole = sum(len(b"".join(LINES[: n + 1])) <= size for n in range(3))
    assert log.recover(b"".join(LINES)[:size]) == whole
    assert log.left() == b"".join(LINES[:whole])
    assert log.recover(b"x" * len(b"".join(LINES))) == 0
    assert len(log.told) == 1
