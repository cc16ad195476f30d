"""A stream's records in the receiver's loop: duplicates, jumps, what is told and acknowledged."""

from __future__ import annotations

import time

import pytest

from loguru_stdbridge.engine.address import parse_engine_address
from loguru_stdbridge.engine.consuming import StreamMessage
from loguru_stdbridge.engine.messages import make_messages
from loguru_stdbridge.receiver.engine_source import LONGEST_WAIT, EngineSource
from loguru_stdbridge.receiver.sequencing import SequencedWriter
from loguru_stdbridge.wire.frames import encode_frame
from loguru_stdbridge.wire.payloads import encode_control, encode_rows

SENDER, OTHER = "0123456789abcdef" * 2, "f" * 32


class Stage:
    """A source without a server, a file that is a dict, and the numbers that were acknowledged."""

    def __init__(self):
        self.reports = []
        self.source = EngineSource(
            parse_engine_address("nats://h/logs?consumer=c"),
            None,
            lambda: None,
            self.reports.append,
        )
        self.consumer = self.source._consumer
        self.acknowledged, self.given_back, self.floors, self.retired = [], [], [], []
        self.consumer.acknowledge = self.acknowledged.extend
        self.consumer.give_back = self.given_back.extend
        self.consumer.ask_for_floor = self.floors.append
        self.lines, self.written = [], {}
        self.records = SequencedWriter(self, self.last)
        self.now = time.monotonic()

    # a writer and a ledger

    def take_rows(self, sender, first, rows):
        self.lines += [(sender[0], number, row) for number, row in enumerate(rows, first)]

    def take_gap(self, sender, first, last, why):
        self.lines.append((sender[0], last, f"{last - first + 1} missing"))
        self.why = why

    def last(self, sender):
        return self.written.get(sender, 0)

    def retire_sender(self, sender):
        self.retired.append(sender)

    # a round of the loop

    def come(self, number, sender, first, *rows, frames=None, limit=10**6):
        if frames is None:
            frames = encode_frame(encode_rows(first, [b'"%s"' % row for row in rows]))
        last = first + max(len(rows), 1) - 1
        for message in make_messages(sender, first, last, frames, limit):
            self.consumer.inbox.append(StreamMessage(number, message))
            number += 1

    def round(self, *, write=True):
        self.source.take_batch(self.records)
        if write:
            self.written = {s: self.records.last(s) for s in (SENDER, OTHER)}
        self.now += 10
        self.source.note_written(self, self.now)


@pytest.fixture
def stage():
    stage = Stage()
    yield stage
    stage.source.close()


def test_a_message_is_acknowledged_when_the_ledger_has_it(stage):
    """The source acknowledges a message when its last record is settled, and not before."""
    stage.come(1, SENDER, 1, b"a", b"b")
    stage.round(write=False)
    assert stage.lines == [("0", 1, "a"), ("0", 2, "b")]
    assert stage.acknowledged == []
    stage.round()
    assert stage.acknowledged == [1]


def test_what_comes_twice_is_a_duplicate_and_acknowledged(stage):
    """A message that the stream has twice is written once, and acknowledged each time."""
    stage.come(1, SENDER, 1, b"a", b"b")
    stage.come(2, SENDER, 1, b"a", b"b", b"c")
    stage.come(3, SENDER, 1, b"a")
    stage.round()
    assert [row for _, _, row in stage.lines] == ["a", "b", "c"]
    assert stage.acknowledged == [1, 2, 3]
    assert stage.records.duplicates == 3


def test_a_message_behind_a_jump_waits_for_the_one_before_it(stage):
    """What is delivered again later is written in its place, and nothing is told as missing."""
    stage.come(5, SENDER, 3, b"c")
    stage.come(6, OTHER, 1, b"x")
    stage.come(7, SENDER, 4, b"d")
    stage.round()
    assert stage.lines == [("f", 1, "x")]
    assert stage.acknowledged == [6]
    assert stage.floors == [5]
    stage.come(4, SENDER, 1, b"a", b"b")
    stage.round()
    assert [row for _, _, row in stage.lines] == ["x", "a", "b", "c", "d"]
    assert stage.acknowledged == [6, 4, 5, 7]


def test_what_the_stream_has_lost_is_told_in_its_place(stage):
    """When all below a held message is acknowledged, the records before it are told as missing."""
    stage.come(5, SENDER, 3, b"c")
    stage.round()
    stage.consumer.floor = 3
    stage.round()
    assert stage.lines == []
    stage.consumer.floor = 4
    stage.round()
    assert stage.lines == [("0", 2, "2 missing"), ("0", 3, "c")]
    assert "stream logs" in stage.why and "missing in the stream" in stage.why
    assert stage.acknowledged == [5]


def test_a_stream_that_cannot_say_what_is_missing_is_not_waited_for_ever(stage, monkeypatch):
    """After the longest wait with a server there, what is missing is told all the same."""
    stage.come(5, SENDER, 3, b"c")
    stage.round()
    clock = time.monotonic() + LONGEST_WAIT + 1
    monkeypatch.setattr("loguru_stdbridge.receiver.engine_source.time.monotonic", lambda: clock)
    stage.round()
    assert stage.lines == []  # no server was there meanwhile
    stage.consumer.link.is_connected = True
    clock += LONGEST_WAIT + 1
    stage.round()
    assert [row for _, _, row in stage.lines] == ["2 missing", "c"]


def test_a_record_in_pieces_is_acknowledged_as_a_whole(stage):
    """The pieces of a large record are acknowledged when the record is settled."""
    stage.come(1, SENDER, 1, b"x" * 2000, limit=1000)
    assert len(stage.consumer.inbox) == 3
    stage.round()
    assert stage.lines == [("0", 1, "x" * 2000)]
    assert stage.acknowledged == [1, 2, 3]


def test_a_gap_that_the_sender_tells_is_told(stage):
    """The records that a sender has given up are told with its reason."""
    gap = encode_frame(encode_control({"gap": [1, 4, "journal full"]}))
    stage.come(1, SENDER, 1, frames=gap)
    stage.come(2, SENDER, 5, b"e")
    stage.round()
    assert [row for _, _, row in stage.lines] == ["4 missing", "e"]
    assert stage.why.endswith("journal full")


def test_a_sender_is_forgotten_when_all_before_its_goodbye_is_acknowledged(stage):
    """A goodbye retires a sender only when no earlier message of it can come again."""
    stage.come(1, SENDER, 1, b"a")
    stage.come(2, SENDER, 2, frames=encode_frame(encode_control({"bye": 2})))
    stage.round()
    assert (stage.acknowledged, stage.retired, stage.floors) == ([1, 2], [], [3])
    stage.consumer.floor = 2
    stage.round()
    assert stage.retired == [SENDER]


@pytest.mark.parametrize(
    "junk",
    [
        b"hello",
        b"stdbridge 1 " + SENDER.encode() + b" 1 1 0 5\nabcde",
        b"stdbridge 1 "
        + SENDER.encode()
        + b" 1 1 0 12\n"
        + encode_frame(b"\x80\x04N.")
        + b"\0\0\0\1",
        b"stdbridge 1 " + SENDER.encode() + b" 1 1 0 9\n" + encode_frame(b"[1,x]"),
    ],
)
def test_junk_is_told_and_harms_no_sender(stage, junk):
    """A message that nobody can read is told and acknowledged, and records go on."""
    stage.consumer.inbox.append(StreamMessage(1, junk))
    stage.come(2, OTHER, 1, b"x")
    stage.round()
    assert ("f", 1, "x") in stage.lines
    assert stage.acknowledged == [1, 2] or stage.acknowledged == [2, 1]
    assert "refused from stream logs" in stage.reports[0]


def test_numbers_that_do_not_fit_their_message_are_refused(stage):
    """A message that claims other numbers than its frames have makes no hole in a sender."""
    stage.come(1, SENDER, 1, frames=encode_frame(encode_rows(9, [b'"i"'])))
    stage.round()
    assert stage.lines == []
    assert "record 9" in stage.reports[0]
