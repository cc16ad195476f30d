"""Each record of a sender is taken once, in order, and what is missing is told."""

from __future__ import annotations

import pytest

from loguru_stdbridge.exceptions import SequenceError
from loguru_stdbridge.receiver.sequencing import SequencedWriter
from loguru_stdbridge.record.stock import MARK
from loguru_stdbridge.wire.receiving import GapReceived, MarkedReceived

SENDER = "0123456789abcdef" * 2


class NotedWriter:
    """Notes what a writer is given."""

    def __init__(self):
        self.taken = []

    def take_rows(self, sender, first, rows):
        self.taken += [(sender, number, row) for number, row in enumerate(rows, first)]

    def take(self, row, sender, sequence):
        self.taken.append((sender, sequence, row.message))

    def take_gap(self, sender, first, last, why):
        self.taken.append((sender, last, f"{last - first + 1} of {sender[:8]} {why}"))


@pytest.fixture
def writer():
    return NotedWriter()


@pytest.fixture
def records(writer):
    """A sequenced writer of a file that holds the sender's records 1 and 2."""
    return SequencedWriter(writer, lambda sender: 2)


def test_rows_that_are_in_the_file_are_duplicates(records, writer):
    """The sequenced writer hands on only the rows behind the last number in the file."""
    assert records.greet(SENDER, 1) == 2
    records.take_rows(SENDER, 1, ["a", "b", "c"])
    records.take_rows(SENDER, 2, ["b", "c"])
    assert writer.taken == [(SENDER, 3, "c")]
    assert records.duplicates == 4
    assert records.last(SENDER) == 3


def test_rows_that_jump_are_refused(records, writer):
    """The sequenced writer takes nothing behind a number that has not come."""
    with pytest.raises(SequenceError, match="record 4 .* 3 is next"):
        records.take_rows(SENDER, 4, ["d"])
    assert writer.taken == []


def test_a_gap_is_told_with_the_records_that_it_really_leaves_out(records, writer):
    """The sequenced writer counts neither what it holds nor what another gap has told."""
    records.take_gap(GapReceived(SENDER, 1, 5, "spool_full"), "127.0.0.1:1")
    records.take_gap(GapReceived(SENDER, 4, 5, "spool_full"), "127.0.0.1:1")
    ((sender, number, text),) = writer.taken
    assert (sender, number) == (SENDER, 5)
    assert text.startswith("3 of 01234567 (127.0.0.1:1) were given up")
    assert text.endswith("spool_full")


def test_a_marked_record_may_leave_numbers_out(records, writer):
    """The sequenced writer takes a jump of a sender that took us for a stock receiver."""
    for number in (5, 5, 4):
        fields = {"msg": f"record {number}", "levelno": 20, MARK: {"version": 1}}
        records.take_marked(MarkedReceived(SENDER, number, fields))
    assert writer.taken == [(SENDER, 5, "record 5")]
    assert records.duplicates == 2


def test_a_forgotten_sender_is_looked_up_again(records, writer):
    """The sequenced writer asks the file for a sender that it has forgotten."""
    records.take_rows(SENDER, 3, ["c"])
    records.forget(SENDER)
    assert records.last(SENDER) == 2
