"""The encoder: a record of any shape becomes a row that a receiver takes, and comes back."""

from __future__ import annotations

import datetime
import logging
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from loguru_stdbridge.record.bounded_json import MAX_FRAME_SURROGATES, decode_json, is_bounded
from loguru_stdbridge.record.encode import encode_logrecord, encode_loguru_record, encode_rendered
from loguru_stdbridge.record.row import FLAG_TAGGED, MAX_ROW, read_row, rendered_row_head
from loguru_stdbridge.record.stock import row_of_stock_fields
from loguru_stdbridge.record.tracebacks import exception_of_text


class Broken:
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __bool__ = __repr__


class Odd:
    def __repr__(self):
        return "<odd>"


class Mock:
    """An object that has every attribute, and none that is of use."""

    def __getattr__(self, name):
        return Mock()

    def __call__(self, *arguments):
        return Mock()


class Lying(dict):
    def items(self):
        raise RuntimeError("no items")

    def __bool__(self):
        raise RuntimeError("no truth")


# -- stdlib records


def style(name):
    return {"WARNING": ("!", None)}.get(name, (" ", None))


def arrives(record):
    """Return a stdlib record as the receiver reads it."""
    return read_row(decode_json(encode_logrecord(record, style)))


def a_record(**attributes):
    record = logging.LogRecord("app", 30, "/a/b.py", 5, "the message", None, None, "f")
    vars(record).update({"user": "me", "pair": (1, 2), **attributes})
    return record


ODD_ATTRIBUTES = {
    "name": 5, "levelname": ["x"], "levelno": "high", "pathname": None, "filename": Broken(), "module": {"a": 1},
    "lineno": Odd(), "funcName": b"f", "created": "now", "relativeCreated": None, "thread": 1.5,
    "threadName": Broken(), "process": "p", "processName": ("a",), "exc_info": 5, "exc_text": 5,
    "stack_info": Broken(), "taskName": Odd(), "args": 5, "msg": Broken(), "msecs": None,
}  # fmt: skip
VALUES = {"nan": float("nan"), "huge": 10**400, "true": True, "broken": Broken()}


@pytest.mark.parametrize("name", sorted(ODD_ATTRIBUTES))
@pytest.mark.parametrize("value", ["odd", *VALUES, "missing"])
def test_an_attribute_of_an_impossible_type_costs_itself_only(name, value):
    """A stdlib record with one impossible attribute arrives with all its other attributes."""
    record = a_record()
    created = record.created
    if value == "missing":
        vars(record).pop(name, None)
    else:
        setattr(record, name, VALUES.get(value, ODD_ATTRIBUTES[name]))
    row = arrives(record)
    assert row.extra["user"] == "me"
    assert row.extra["pair"] == (1, 2)
    whole = {
        "msg": row.message == "the message", "levelno": row.level_no == 30, "name": row.name == "app",
        "levelname": row.level_name == "WARNING", "pathname": row.file_path == "/a/b.py",
        "created": row.time == created, "funcName": row.function == "f", "lineno": row.line == 5,
    }  # fmt: skip
    spoilt = {name, "msg"} if name == "args" else {name}
    assert {key for key, holds in whole.items() if not holds} <= spoilt
    assert math.isfinite(row.time) and math.isfinite(row.elapsed)
    assert abs(row.time - time.time()) < 3600


@pytest.mark.parametrize(
    "name", ["levelno", "lineno", "created", "process", "thread", "relativeCreated"]
)
def test_what_stands_in_the_place_of_a_number_is_told(name):
    """A value in the place of a number is shown in ``extra``, as a bounded text."""
    row = arrives(a_record(**{name: Odd()}))
    assert repr(row.extra[name]) == "<odd>"
    assert row.level_no in (20, 30)


def test_text_stands_where_it_was_expected():
    """A name that is a number, or a path that is a path object, arrives as a text."""
    row = arrives(a_record(name=5, pathname=Odd(), threadName=None, levelname="WARNING"))
    assert (row.name, row.file_path, row.thread_name, row.level_icon) == ("5", "<odd>", "", "!")


def test_extra_is_flattened_once_where_another_attribute_is_odd():
    """A record with an odd attribute has its ``extra`` tagged once: a tag of a tag would be shown."""
    row = arrives(a_record(lineno=Odd(), when=datetime.date(2024, 1, 2), members={1}))
    assert row.extra["when"] == datetime.date(2024, 1, 2)
    assert row.extra["members"] == {1}


def test_a_log_call_deep_in_a_recursion_loses_at_most_its_extra():
    """A log call with little left of the interpreter's stack arrives, perhaps without its ``extra``."""
    record = a_record(nested=[[[[[[[[[[1]]]]]]]]]])
    rows = []

    def descend():
        rows.append(encode_logrecord(record, style))
        descend()

    with pytest.raises(RecursionError):
        descend()
    assert len(rows) > 50
    assert all(read_row(decode_json(row)).message for row in rows)


def test_a_plain_row_is_not_tagged():
    """A row without tagged values says so, and spares the receiver the look at each value."""
    assert arrives(a_record()).flags == FLAG_TAGGED
    assert arrives(logging.LogRecord("app", 30, "/a/b.py", 5, "m", None, None, "f")).flags == 0


# -- loguru records


def loguru_record(**changes):
    """Return a loguru record with some of its fields bent."""
    found = []
    handler = logger.add(lambda message: found.append(message.record), format="")
    try:
        logger.bind(user="me", pair=(1, 2)).warning("the message")
    finally:
        logger.remove(handler)
    return {**found[0], **changes}


def encode(record, traceback_text=""):
    return encode_loguru_record(record, raw=False, traceback_text=traceback_text, color=None)


@pytest.mark.parametrize("key", ["time", "level", "file", "process", "thread", "elapsed", "exception", "message",
                                 "name", "function", "line", "module"])  # fmt: skip
@pytest.mark.parametrize("value", [None, 5, "text", Odd(), Broken(), Mock(), [1], float("nan"), 10**400],
                         ids=["None", "int", "text", "odd", "broken", "mock", "list", "nan", "huge"])  # fmt: skip
def test_a_loguru_record_that_a_patcher_bent_arrives(key, value):
    """A loguru record with one bent field arrives with all its other fields."""
    record = loguru_record()
    honest = read_row(decode_json(encode(record)))
    record[key] = value
    row = read_row(decode_json(encode(record)))
    fields = {
        "time": {"time", "offset", "zone"}, "level": {"level_no", "level_name", "level_icon"},
        "file": {"file_name", "file_path"}, "process": {"process_id", "process_name"},
        "thread": {"thread_id", "thread_name"},
    }  # fmt: skip
    changed = {field for field in row._fields if getattr(row, field) != getattr(honest, field)}
    assert changed <= fields.get(key, {key})
    assert abs(row.time - time.time()) < 3600
    assert math.isfinite(row.elapsed)


_OFFSETS = st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23))


@given(
    when=st.datetimes(),
    offset=_OFFSETS,
    elapsed=st.timedeltas(),
    name=st.none() | st.text(max_size=5),
)
def test_times_are_exact(when, offset, elapsed, name):
    """A time arrives to the last bit of its float, before 1970 too, in fixed zones of any offset."""
    for rounded in (offset, datetime.timedelta(seconds=offset // datetime.timedelta(seconds=1))):
        zone = datetime.timezone(rounded) if name is None else datetime.timezone(rounded, name)
        check_times(when.replace(tzinfo=zone), elapsed)


class Zone(datetime.tzinfo):
    """A zone with summer time from April to October, and one hour in October that comes twice."""

    def __init__(self, *names):
        self.names = names

    def is_summer(self, when):
        return 4 <= when.month < 10 or (when.month == 10 and not when.fold)

    def utcoffset(self, when):
        return datetime.timedelta(hours=1 + self.is_summer(when))

    def tzname(self, when):
        return self.names[self.is_summer(when)]

    def dst(self, when):
        return datetime.timedelta(hours=self.is_summer(when))


@pytest.mark.parametrize("zone", [Zone("winter", "summer"), Zone("one", "one")], ids=["two", "one"])
def test_times_in_a_zone_whose_offset_changes(zone):
    """A time in a zone with summer time arrives exactly, with two names for the zone or one."""
    for month, fold in ((1, 0), (7, 0), (10, 0), (10, 1)):
        when = datetime.datetime(2025, month, 26, 2, 30, 1, 5, tzinfo=zone, fold=fold)
        check_times(when, datetime.timedelta(seconds=1))


def check_times(when, elapsed):
    row = read_row(decode_json(encode({**RECORD, "time": when, "elapsed": elapsed})))
    assert (row.time, row.offset, row.zone, row.elapsed) == (
        when.timestamp(), when.utcoffset().total_seconds(), when.tzname(), elapsed.total_seconds()
    )  # fmt: skip


RECORD = loguru_record()


@pytest.mark.parametrize(
    "extra",
    [None, 5, "text", [1], Lying(a=1), Broken(), Mock()],
    ids=lambda value: type(value).__name__,
)
def test_an_extra_that_is_none_stands_under_its_own_name(extra):
    """A value that a patcher puts in the place of ``extra`` arrives under the key ``extra``."""
    row = read_row(decode_json(encode(loguru_record(extra=extra))))
    assert row.message == "the message"
    assert set(row.extra) <= {"extra"}


# -- what a receiver takes

LARGE = {
    "containers": lambda: {"odd": [[] for _ in range(9_000)]},
    "integers": lambda: {"odd": [1 << 8000] * 5000},
    "a long message": lambda: {"msg": "\0" * 3_000_000},
    "surrogates": lambda: {"msg": "\ud83d" * (MAX_FRAME_SURROGATES + 1)},
    "surrogates and more": lambda: {"msg": "\ud83d" * 300_000, "odd": ["x" * 1_000_000] * 4},
    "a long name": lambda: {"name": "n" * 10_000_000},
    "a long exception": lambda: {"exc_text": "Traceback (most\n" + "e" * 10_000_000},
    "everything": lambda: {
        "msg": "é" * 9_000_000,
        "name": "\ud83d" * 100_000,
        "odd": [{1: 2}] * 9_000,
    },
}


@pytest.mark.parametrize("name", sorted(LARGE))
def test_a_row_is_never_beyond_what_a_receiver_takes(name):
    """A record of any size makes a row that a receiver takes: one that it refuses blocks all behind it."""
    record = a_record(**LARGE[name]())
    extra = {key: value for key, value in vars(record).items() if key in ("odd", "user")}
    rows = [
        encode_logrecord(record, style),
        encode(
            loguru_record(message=record.msg, name=record.name, extra=extra, own=extra),
            "e" * 9_000_000,
        ),
        encode_rendered(5, rendered_row_head(20, "INFO", "0" * 16), f"{record.msg}\n"),
    ]
    for row in rows:
        assert len(row) <= MAX_ROW
        assert is_bounded(row)
        read = read_row(decode_json(row))
        assert read.message[0] in (record.msg[0], "\\")
        assert read.extra.get("user", "me") == "me"


def test_a_rendered_line_that_is_cut_is_a_line():
    """A rendered line that is cut still ends with a newline."""
    row = encode_rendered(5, rendered_row_head(20, "INFO", "0" * 16), "x" * 9_000_000 + "\n")
    assert read_row(decode_json(row)).message.endswith("more characters)\n")


# -- a stranger's records


@pytest.mark.parametrize(
    ("text", "kind", "value", "has_traceback"),
    [
        ("Traceback (most recent call last):\n  x\nValueError: a: b", "ValueError", "a: b", True),
        ("Traceback (most recent call last):\n  x\npkg.mod.Error", "Error", "", True),
        ("ValueError: two\n lines", "ValueError", "two\n lines", False),
        ("NoneType: None", "NoneType", "None", False), ("", "Exception", "", False),
        ("\n\n", "Exception", "", False), ("no exception at all!", "Exception", "no exception at all!", False),
    ],
)  # fmt: skip
def test_an_exception_is_read_off_its_text(text, kind, value, has_traceback):
    """The last line of a traceback that is not indented names the exception's type and value."""
    assert exception_of_text(text) == [kind, value, text.rstrip("\n") + "\n", has_traceback]


@pytest.mark.parametrize("text", ["a." * 500_000, "a" * 1_000_000, " \n" * 300_000, "x\n" * 300_000 + ":", "a: " * 300_000],
                         ids=range(5))  # fmt: skip
def test_an_exception_is_read_off_a_long_text(text):
    """A megabyte of traceback from a stranger is read without trying a pattern again and again."""
    assert len(exception_of_text(text)) == 4


@pytest.mark.parametrize("fields", [{}, {"created": -1e18}, {"created": 1e18}, {"created": True}, {"levelno": True},
                                    {"process": 2**64}, {"thread": -(2**63)}, {"lineno": 1e17}], ids=str)  # fmt: skip
def test_a_stock_record_has_numbers_that_a_calendar_has(fields):
    """A number of a stock record that is out of range is replaced, and the rest is kept."""
    row = row_of_stock_fields({"msg": "m", **fields}, 1.7e9)
    assert row.message == "m"
    assert -6.3e10 < row.time < 2.6e11
    assert 0 <= row.level_no <= 1_000_000
