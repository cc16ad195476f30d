"""Records that are held for a moment are written sorted by their own time."""

from __future__ import annotations

import random
import time

import pytest

from loguru_stdbridge import start_receiver
from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver.limits import read_order
from loguru_stdbridge.receiver.ordering import MAX_ORDERED, OrderedWriter
from loguru_stdbridge.record.row import FLAG_RENDERED
from loguru_stdbridge.record.stock import notice
from tests.support.waiting import wait_until
from tests.support.workers import Worker

A, B = "a" * 32, "b" * 32


def row(when, text="x"):
    """Return a finished line's row, as a frame has it."""
    return [FLAG_RENDERED, int(when * 1e9), 20, "INFO", "1", f"{text}\n"]


class Stage:
    """An ordered writer in front of a list, and a clock."""

    def __init__(self, seconds=1.0):
        self.now = 1000.0
        self.lines, self.failing, self.full, self.records, self.writes = [], False, False, 0, 0
        self.writer = OrderedWriter(self, seconds, lambda: self.now)

    def __bool__(self):
        return False

    def holds(self, sender):
        return False

    def take_settled(self):
        return ()

    def take_rows(self, sender, first, rows):
        self.lines += [
            (sender[0], number, row[-1].strip()) for number, row in enumerate(rows, first)
        ]

    def take(self, row, sender, sequence):
        self.lines.append((sender[0], sequence, row.message))

    def take_stock(self, rows):
        self.lines += [("", 0, row.message) for row in rows]

    def take_gap(self, sender, first, last, why):
        self.lines.append((sender[0], last, why))

    def write(self):
        self.writes += 1
        return False


@pytest.fixture
def stage():
    return Stage()


def test_records_are_written_by_their_own_time(stage):
    """Records of several workers are handed on in the order of their times, when they are due."""
    stage.writer.take_rows(A, 1, [row(999.9, "third"), row(999.95, "fifth")])
    stage.writer.take_rows(B, 1, [row(999.5, "first"), row(999.92, "fourth")])
    stage.writer.take(notice("second", 999.8), None, 0)
    stage.writer.write()
    assert stage.lines == []
    assert stage.writer.holds(A) and stage.writer.holds(B) and stage.writer
    assert stage.writer.next_in() == pytest.approx(0.5)
    stage.now = 1000.93
    stage.writer.write()
    assert [text for _, _, text in stage.lines] == ["first", "second", "third", "fourth"]
    assert stage.writer.holds(A) and not stage.writer.holds(B)
    assert set(stage.writer.take_settled()) == {A, B}
    stage.now = 1001.0
    stage.writer.write()
    assert stage.lines[-1] == ("a", 2, "fifth")
    assert not stage.writer and stage.writer.late == 0


def test_a_sender_keeps_its_order_whatever_its_clock_says(stage):
    """The numbers of a sender are handed on in order, also where its clock was set back."""
    chance = random.Random(5)
    for first in range(1, 200, 5):
        for sender in (A, B):
            times = [row(chance.uniform(990, 1010)) for _ in range(5)]
            stage.writer.take_rows(sender, first, times)
        stage.now += 0.1
        stage.writer.write()
    stage.now += 60
    stage.writer.write()
    for sender in "ab":
        assert [n for s, n, _ in stage.lines if s == sender] == list(range(1, 201))


def test_no_record_is_held_longer_than_asked_for(stage):
    """A time in the future, or none at all, counts as the time at which the record came."""
    stage.writer.take_rows(A, 1, [row(1e9), ["?"], row(float(2**40))])
    assert stage.writer.next_in() == 1.0
    stage.now += 1.0
    stage.writer.write()
    assert [number for _, number, _ in stage.lines] == [1, 2, 3]


def test_what_comes_too_late_is_written_when_it_comes_and_counted(stage):
    """A record behind its time is written at once, and counted as late."""
    stage.writer.take_rows(A, 1, [row(999, "now")])
    stage.now += 1
    stage.writer.write()
    stage.writer.take_rows(B, 1, [row(900, "late")])
    stage.writer.write()
    assert [text for _, _, text in stage.lines] == ["now", "late"]
    assert stage.writer.late == 1


def test_a_gap_stays_between_the_records_around_it(stage):
    """What is told of missing records stays in its place among those of its sender."""
    stage.writer.take_rows(A, 1, [row(1000, "one")])
    stage.writer.take_gap(A, 2, 4, "missing")
    stage.writer.take_rows(A, 5, [row(990, "five")])
    stage.now += 1
    stage.writer.write()
    assert stage.lines == [("a", 1, "one"), ("a", 4, "missing"), ("a", 5, "five")]


def test_more_than_the_bound_stops_the_reading_and_keeps_the_order(stage):
    """Where too much is held the clients wait, and nothing goes out before its time."""
    stage.writer.take_rows(A, 1, [row(1000, "x" * (MAX_ORDERED + 1))])
    assert stage.writer.failing
    assert stage.writer.write()  # it concerns every client
    assert stage.lines == []
    assert stage.writer.retry_at <= time.monotonic() + 1.0
    stage.now += 1
    assert stage.writer.write()
    assert not stage.writer.failing and len(stage.lines) == 1


def test_at_the_end_everything_goes_on_at_once(stage):
    """A receiver that ends writes what it holds without waiting."""
    stage.writer.take_rows(A, 1, [row(1000, "last")])
    stage.writer.is_ending = True
    stage.writer.write()
    assert stage.lines == [("a", 1, "last")]


@pytest.mark.parametrize("value", [0, -1, 61, "2", float("nan")])
def test_an_order_that_cannot_be_used_is_refused(value):
    """The seconds of an order are above 0, and 60 at most."""
    with pytest.raises(ConfigurationError, match="above 0 and up to 60"):
        read_order(value)


ONE = """
for number in range(20):
    logger.info("worker {} number {} end", name, number)
tell(flushed=bridge.flush(60))
"""


def test_a_worker_is_acknowledged_when_its_lines_are_written(tmp_path):
    """What a receiver holds to sort it is not acknowledged, and is in the file at its end."""
    sink = tmp_path / "app.log"
    with start_receiver(
        sink,
        address="tcp://127.0.0.1:0",
        order=60,
        format="{time:YYYY-MM-DDTHH:mm:ss.SSSSSS} {message}",
    ) as receiver:
        with Worker(ONE, receiver.address) as one, Worker(ONE, receiver.address, name="b") as two:
            held = receiver._service._receiver._ordered._heap
            wait_until(lambda: len(held) == 40)
            assert sink.read_text() == ""
            receiver.stop()
            assert one.stands()["flushed"] and two.stands()["flushed"]
    times = [line.split()[0] for line in sink.read_text().splitlines()]
    assert len(times) == 40
    assert times == sorted(times)
