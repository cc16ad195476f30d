"""The writer renders rows into blocks of lines, and keeps what a failing sink has not taken."""

from __future__ import annotations

import json

import pytest

from loguru_stdbridge.exceptions import SinkError
from loguru_stdbridge.receiver.writer import RETRY_MAX, Writer
from loguru_stdbridge.record.row import (
    FLAG_RAW,
    Row,
    encode_rendered_row,
    encode_row,
    rendered_row_head,
)
from loguru_stdbridge.sink.replay import Replay

pytestmark = pytest.mark.usefixtures("quiet_loguru")

ONE, TWO = "1" * 32, "2" * 32
FORMAT_ID = "0123456789abcdef"


def row(message, flags=0):
    return Row(
        flags, 1e9, 0.0, "UTC", 0.0, 20, "INFO", " ", None, message, "n", "f", 1, "p", "p", "m",
        1, "p", 1, "t", None, {},
    )  # fmt: skip


def whole(message):
    """A whole record as it comes out of a frame."""
    return json.loads(encode_row(row(message)[:22]))


def rendered(line):
    """A finished line as it comes out of a frame."""
    return json.loads(encode_rendered_row(1, rendered_row_head(20, "INFO", FORMAT_ID), line))


class Sink:
    """Takes lines, or fails after so many of them, as a full disk makes the real one do."""

    needs_records = False

    def __init__(self):
        self.written = []
        self.fails_after = None

    def write(self, blocks):
        lines = [
            (block.sender, number, text)
            for block in blocks
            for number, text in enumerate(block.texts, block.first)
        ]
        taken = lines if self.fails_after is None else lines[: self.fails_after]
        self.written += taken
        if self.fails_after is not None:
            raise SinkError("no room", len(taken))
        return len(lines)


@pytest.fixture
def sink():
    return Sink()


@pytest.fixture
def told():
    return []


@pytest.fixture
def writer(sink, told):
    return Writer(Replay(format="{message}"), sink, told.append, format_id=FORMAT_ID)


def test_lines_keep_their_numbers(writer, sink):
    """The writer keeps records, finished lines, notices and stock records in the order of arrival."""
    writer.take_rows(ONE, 1, [whole("a"), whole("b")])
    writer.take_rows(ONE, 3, [rendered("c\n"), rendered("d\n")])
    writer.take_rows(TWO, 7, [whole("e"), rendered("f\n")])
    writer.take(row("g"), None, 0)
    writer.take_notice("h", ONE, 9)
    assert writer
    assert not writer.write()  # it did not fail
    assert not writer
    assert sink.written == [
        (ONE, 1, "a\n"), (ONE, 2, "b\n"), (ONE, 3, "c\n"), (ONE, 4, "d\n"), (TWO, 7, "e\n"),
        (TWO, 8, "f\n"), (None, 0, "g\n"), (ONE, 9, "h\n"),
    ]  # fmt: skip
    assert writer.records == 8


def test_a_row_that_is_none_is_a_notice_of_its_number(writer, sink):
    """The writer writes a text for a row that cannot be read, so that no number is missing."""
    writer.take_rows(ONE, 1, [whole("a"), 5, whole("c")])
    writer.write()
    assert [number for _, number, _ in sink.written] == [1, 2, 3]
    assert "could not be read" in sink.written[1][2]


@pytest.mark.parametrize("keeps_records", [False, True])
def test_stock_records_together_are_each_as_alone(sink, told, keeps_records):
    """The writer renders several stock records as it renders each, behind an open line too."""
    sink.needs_records = keeps_records
    writer = Writer(Replay(format="{message}"), sink, told.append, format_id=FORMAT_ID)
    writer.take_stock([row("a"), row("b")])
    writer.take(row("open ", FLAG_RAW), ONE, 1)
    writer.take_stock([row("c"), row("d")])
    writer.take_stock([row("e")])
    writer.write()
    lines = ["a\n", "b\n", "open ", "\nc\n", "d\n", "e\n"]
    assert [text for _, _, text in sink.written] == lines


@pytest.mark.parametrize("following", [whole("next"), rendered("next\n")], ids=["whole", "line"])
def test_an_open_line_is_its_sender_s_to_end(writer, sink, following):
    """The writer ends an open line before another sender's record, and not for an empty frame."""
    for sender, end in ((ONE, "next\n"), (TWO, "\nnext\n")):
        sink.written.clear()
        writer.take(row("open ", FLAG_RAW), ONE, 1)
        writer.take_rows(sender, 2, [])
        writer.take_rows(sender, 2, [following])
        writer.write()
        assert "".join(text for _, _, text in sink.written) == f"open {end}"


def test_what_a_failing_sink_did_not_take_stays(writer, sink, told):
    """The writer writes nothing twice after a failure, and tells once that it fails and that it works."""
    sink.fails_after = 2
    writer.take_rows(ONE, 1, [whole(text) for text in "abc"])
    writer.take_rows(TWO, 1, [whole("d")])
    assert writer.write()
    assert writer.failing and writer
    assert not writer.write()  # it is not time yet
    writer.retry_at = 0.0
    sink.fails_after = 0
    assert writer.write()
    assert len(told) == 1 and "no room" in told[0]
    writer.retry_at, sink.fails_after = 0.0, None
    assert writer.write()
    assert not writer.failing
    assert told[1:] == ["the sink takes records again"]
    assert [text for _, _, text in sink.written] == ["a\n", "b\n", "c\n", "d\n"]
    assert writer.records == 4


def test_the_pause_after_a_failure_is_bounded(writer, sink):
    """The writer keeps every record, however long the disk is full."""
    sink.fails_after = 0
    writer.take(row("a"), None, 0)
    for _ in range(20):
        writer.retry_at = 0.0
        assert writer.write()
    assert writer._retry_pause == RETRY_MAX
