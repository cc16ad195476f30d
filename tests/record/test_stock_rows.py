"""Rows of stock records: what is kept from one to the next makes the rows that each would have."""

from __future__ import annotations

import logging
import math
import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loguru_stdbridge.pickles.known import KnownShapes, RecordReader
from loguru_stdbridge.record.stock import row_of_stock_fields
from loguru_stdbridge.record.stock_rows import StockRows

NOW = 1.7e9

TIMES = st.one_of(
    st.floats(1e9, 1e9 + 3), st.floats(), st.integers(0, 2**70), st.none(), st.text(max_size=3),
    st.sampled_from([-0.5, -1.0, 0.0, 253402300800.0, 1e18]),
)  # fmt: skip
VALUES = st.one_of(
    st.none(), st.integers(-5, 2**70), st.floats(), st.text(max_size=3), st.booleans()
)
FIELDS = st.fixed_dictionaries(
    {"msg": st.one_of(st.text(max_size=9), st.just("%s and %d"), VALUES), "created": TIMES, "relativeCreated": TIMES},
    optional={
        "args": st.sampled_from([None, (), ("x", 1), {}, {"a": 1}, [], 0, "no"]),
        "exc_text": st.sampled_from([None, "", "Traceback:\nE: v", 5]),
        "stack_info": st.sampled_from([None, "", "Stack:", []]),
        "taskName": st.sampled_from([None, "Task-1", ""]),
        "lineno": VALUES, "levelno": VALUES, "levelname": VALUES, "name": VALUES, "thread": VALUES,
        "threadName": VALUES, "own": VALUES, "more": st.lists(VALUES, max_size=2), "message": VALUES,
    },
)  # fmt: skip


def stock(**fields):
    """Make the fields of a ``SocketHandler``'s record."""
    base = {
        "msg": "m",
        "name": "app",
        "levelno": 20,
        "levelname": "INFO",
        "lineno": 5,
        "funcName": "f",
    }
    return logging.makeLogRecord({**base, **fields}).__dict__


def compare(records, protocol=1):
    """Read records and make their rows, over and over; return how many rows used what was kept."""
    reader, rows = RecordReader(KnownShapes()), StockRows()
    kept = 0
    for _ in range(6):
        for fields in records:
            data = pickle.dumps(fields, protocol)
            answer = reader.read_known(data)
            made, repeated = (reader.read(data), None) if answer is None else answer
            row = rows.make(made, repeated, NOW)
            assert repr(row) == repr(row_of_stock_fields(made, NOW, len(data)))
            kept += bool(repeated and repeated.kept)
    return kept


@pytest.mark.parametrize("protocol", [1, 2, 4])
def test_what_repeats_is_checked_once(protocol):
    """Records of one place in a program share what was checked, and differ in the rest."""
    records = [
        stock(msg=f"m{n}", created=1e9 + n / 3, relativeCreated=n / 7, user=n) for n in range(20)
    ]
    assert compare(records, protocol) > 80


def test_every_kind_of_record_has_its_row():
    """Records with arguments, exceptions, stacks, tasks and ``extra`` have the rows of each alone."""
    records = [
        stock(), stock(msg="50% %s", args=("x",)), stock(exc_text="Traceback\nE: v"), stock(taskName="Task-5"),
        stock(stack_info="Stack:\n  here"), stock(user="me", stack_info=None, n=[1, {"a": None}]),
        stock(msg="%" * 20_000), stock(msg=None), stock(levelno=2**70, lineno=-1), stock(created=None),
    ]  # fmt: skip
    compare(records)


@pytest.mark.parametrize(
    "created", [math.nan, math.inf, -0.5, -1.0, 0.0, 1e17, 253402300800.0, 1e9 + 0.9999999]
)
def test_odd_times_are_those_of_each_record(created):
    """A time that no calendar has, or an odd one, makes the row that it makes alone."""
    compare([stock(created=created), stock(created=NOW), stock(created=created)])


def test_a_zone_is_looked_up_for_each_second(monkeypatch):
    """Records around a change of the clock have the offset of their own second."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    import time

    time.tzset()
    try:
        change = 1711846800  # 2024-03-31 01:00 UTC
        compare([stock(created=change + n / 4) for n in range(-6, 6)])
    finally:
        monkeypatch.undo()
        time.tzset()


@settings(max_examples=100, deadline=None)
@given(st.lists(FIELDS, min_size=1, max_size=4))
def test_generated_records_have_their_rows(found):
    """Generated records, odd in any field, have the row that each has alone."""
    compare([stock(**fields) for fields in found])
