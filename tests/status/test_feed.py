"""A viewer gets what its filter wants, within its allowance, and learns what it did not get."""

from __future__ import annotations

import json

import pytest

from loguru_stdbridge.record.row import Row
from loguru_stdbridge.status.board import Board
from loguru_stdbridge.status.feed import MAX_EVENT, Feed, Filter, Recent
from loguru_stdbridge.status.pieces import Piece
from loguru_stdbridge.status.shown import MAX_MESSAGE_SHOWN, MAX_TRACEBACK_SHOWN, Showing
from tests.receiver.test_writer import ONE, row
from tests.status.test_board import line


def events_of(texts):
    """Return the events of a stream: id, name and data."""
    events = []
    for event in "".join(texts).split("\n\n")[:-1]:
        fields = dict(part.split(": ", 1) for part in event.split("\n"))
        events.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return events


class Stream:
    """A board, what is recent, and one viewer of it."""

    def __init__(self, after=0, **query):
        self.board = Board()
        self.recent = Recent()
        self.showing = Showing("{name} {message}")
        self.feed = Feed(Filter.of(query), "run", after, 0.0)
        self.now = 0.0

    def log(self, *rows):
        self.board.show([Piece(ONE, list(rows), 100 * len(rows))])

    def fill(self, seconds=0.0, is_late=lambda: False):
        self.now += seconds
        self.recent.take_from(self.board)
        return events_of(self.feed.fill(self.recent, self.showing, self.now, is_late))

    def messages(self, seconds=0.0):
        return [
            record["message"]
            for _, name, data in self.fill(seconds)
            if name == "records"
            for record in data
        ]


def test_records_come_once_in_their_order():
    """A viewer gets each record once, with the id from which it goes on later."""
    stream = Stream()
    stream.log(line("shop one"), line("shop two"))
    events = stream.fill()
    assert [(id_, name) for id_, name, _ in events] == [("run-2", "records")]
    assert [record["seq"] for record in events[0][2]] == [1, 2]
    assert events[0][2][0]["logger"] == "shop"
    assert stream.fill(1) == []
    stream.log(line("shop three"))
    assert stream.messages(1) == ["three"]


def test_a_viewer_that_comes_again_goes_on_strictly_behind():
    """A viewer that has a record gets the next one first."""
    stream = Stream(after=2)
    stream.log(line("a 1"), line("a 2"), line("a 3"))
    assert stream.messages() == ["3"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"level": "warning"}, ["slow", "failed"]),
        ({"level": "40"}, ["failed"]),
        ({"level": "notice"}, ["noted"]),
        ({"logger": "shop"}, ["slow", "failed"]),
        ({"logger": "sho"}, []),
        ({"text": "FAIL"}, ["failed"]),
        ({"process": "7"}, ["slow", "failed", "noted", "other"]),
        ({"process": "8"}, []),
        ({"program": "gunicorn"}, ["slow", "failed", "noted", "other"]),
        ({"program": "celery"}, []),
        ({"level": "error", "text": "slow"}, []),
    ],
)
def test_a_filter_takes_what_it_asks_for(query, expected):
    """A filter looks at the level, the logger and those below it, the text, and the process."""
    stream = Stream(**query)
    stream.showing.programs[ONE[:8]] = ("gunicorn", 7)
    stream.log(
        line("shop.pay slow", 30, "WARNING"),
        line("shop failed", 40, "ERROR"),
        line("other.part noted", 21, "notice"),
        line("shopping other"),
    )
    assert stream.messages() == expected


def test_too_many_records_go_from_the_lowest_levels():
    """A viewer gets so many a second, errors first; what is left out is told by level."""
    stream = Stream()
    stream.log(
        *[line(f"a {n}", *((40, "ERROR") if n % 100 == 0 else (20, "INFO"))) for n in range(4000)]
    )
    events = stream.fill()
    records = [record for _, name, data in events if name == "records" for record in data]
    assert len(records) == 1000
    assert sum(record["no"] == 40 for record in records) == 40
    assert records == sorted(records, key=lambda record: record["seq"])
    assert records[-1]["seq"] == 4000
    (missed,) = [data for _, name, data in events if name == "missed"]
    assert (missed["count"], missed["levels"], missed["why"]) == (3000, {"INFO": 3000}, "too fast")
    assert events[-1][0] == "run-4000"
    stream.log(*[line("a b")] * 200)
    assert len(stream.messages(0.1)) == 100
    assert stream.fill(0.1) == []


def test_large_records_are_bounded_by_bytes():
    """A viewer gets so many bytes a second, and each event of records is bounded."""
    stream = Stream()
    stream.log(*[line("a " + "x" * 4000)] * 600)
    events = stream.fill()
    sizes = [len(json.dumps(data)) for _, name, data in events if name == "records"]
    assert sum(sizes) < 1.1 * 1024 * 1024
    assert max(sizes) < MAX_EVENT + 8192
    missed = [data["count"] for _, name, data in events if name == "missed"]
    shown = [record for _, name, data in events if name == "records" for record in data]
    assert len(shown) + sum(missed) == 600


def test_what_has_gone_is_told():
    """A viewer that was fed too late is told how many records have gone meanwhile."""
    stream = Stream()
    stream.log(line("a 0"))
    stream.fill()
    for _ in range(130):
        stream.log(*[line("a b")] * 100)
    events = stream.fill(10)
    assert events[0][1] == "missed"
    assert events[0][2]["why"] == "not looked at"
    first = events[0][2]["to"] + 1
    counts = sum(data["count"] for _, name, data in events if name == "missed")
    shown = sum(len(data) for _, name, data in events if name == "records")
    assert counts + shown == 13_000
    assert first > 8000


def test_a_turn_that_is_over_goes_on_in_the_next():
    """A viewer whose turn is over gets the rest in the next turn, and misses nothing."""
    stream = Stream()
    stream.log(*[line(f"a {n}") for n in range(100)])
    first = stream.fill(is_late=lambda: True)
    got = [record["seq"] for record in first[0][2]]
    assert 0 < len(got) < 100
    rest = stream.messages(0.1)
    assert [str(n) for n in range(len(got), 100)] == rest


def test_a_record_is_shown_whole_within_bounds():
    """A whole record shows its fields; long texts are cut, and the count of what is cut is told."""
    stream = Stream()
    exception = ["Odd", "value", "x" * MAX_TRACEBACK_SHOWN + "end", True]
    extra = {"n": 1, "big": 1 << 80, "nan": float("nan"), "none": None, "d": {"a": 1}, "s": "t"}
    stream.log(
        row("m" * (MAX_MESSAGE_SHOWN + 5))._replace(exception=exception, extra=extra, offset=3600.0)
    )
    ((_, _, (record,)),) = stream.fill()
    assert record["message"] == "m" * MAX_MESSAGE_SHOWN
    assert record["exception"]["type"] == "Odd"
    assert record["exception"]["text"].endswith("end")
    assert record["cut"] == 5 + 3
    assert record["extra"] == {
        "n": 1, "big": str(1 << 80), "nan": "nan", "none": None, "d": "{'a': 1}", "s": "t",
    }  # fmt: skip
    assert (record["offset"], record["where"], record["thread"]) == (3600.0, "f:1", "t")


def test_odd_rows_of_peers_are_shown():
    """Rows whose time, level or line a peer has made up are shown, and break nothing."""
    stream = Stream()
    stream.log(
        [4, "no time", "no number", None, "f" * 16, "a b\n"],
        [4, 10**40, 10**40, "X" * 1000, "f" * 16, "a \ud800\n"],
        Row(1, 0.0, 0.0, "UTC", 0.0, 20, "INFO", " ", None, "raw text", None, "", 0, "", "", "", 0, "", 0, "", None, {}),
    )  # fmt: skip
    ((_, _, records),) = stream.fill()
    assert [record["message"] for record in records] == ["b", "\ud800", "raw text"]
    assert records[0]["level"] == "None"
