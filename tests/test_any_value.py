"""No value of any type makes a record that the receiver refuses, by any way that a record goes."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import functools
import logging
import types
import uuid

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from loguru import logger

from loguru_stdbridge import BridgeHandler, start_receiver
from loguru_stdbridge.record.bounded_json import decode_json, is_bounded
from loguru_stdbridge.record.encode import encode_logrecord, encode_loguru_record
from loguru_stdbridge.record.row import Row, read_row
from loguru_stdbridge.record.stock import row_of_stock_fields
from loguru_stdbridge.wire.frames import MAX_PAYLOAD
from loguru_stdbridge.wire.receiving import (
    HelloReceived,
    MarkedReceived,
    ReceiverConnection,
    RowsReceived,
)
from loguru_stdbridge.wire.sending import SenderConnection

SENDER = "0123456789abcdef" * 2


class Number(int):
    """An int of an application's own."""


class Real(float):
    """A float of an application's own."""


class Text(str):
    """A text whose own texts are others."""

    __slots__ = ()

    def __str__(self):
        return "\ud800" * 3

    __repr__ = __str__


class Octets(bytes):
    """Bytes of an application's own."""


class Pair(list):
    """A list that has a hash."""

    def __hash__(self):
        return 7


class Frozen(dict):
    """A dict that has a hash, and is equal to nothing."""

    def __hash__(self):
        return 7

    def __eq__(self, other):
        return self is other


class Shifting(dict):
    """A dict whose items are others each time, and no pairs."""

    def items(self):
        return iter([("a", 1), ("b",), 5])

    def __len__(self):
        return 10**30


class Endless(set):
    """A set whose members never end."""

    def __iter__(self):
        return iter(int, 1)


class Meta(type):
    """A metaclass whose classes have no name that is a text."""

    @property
    def __name__(cls):
        return {"~": ["int", "zz"]}

    def __repr__(cls):
        raise RuntimeError("no repr")


class Nameless(metaclass=Meta):
    """An object of a class without a name."""

    def __repr__(self):
        raise RuntimeError("no repr")


class NamelessError(Exception, metaclass=type("Both", (Meta,), {})):
    """An exception of a class without a name."""

    def __str__(self):
        raise RuntimeError("no str")


class Zone(datetime.tzinfo):
    """A zone that answers what it was given."""

    def __init__(self, offset, name):
        self.offset, self.name = offset, name

    def utcoffset(self, when):
        return self.offset

    def tzname(self, when):
        return self.name

    def dst(self, when):
        return None


class Letters(str, enum.Enum):
    A = "a"


class Flags(enum.IntFlag):
    A = 1
    B = 1 << 9000


Point = collections.namedtuple("Point", "x y")

NANS = [float("nan") for _ in range(17)]
COLLIDING = [n * (2**61 - 1) for n in range(1, 40)]
DAY = datetime.timedelta(days=1)
ZONES = [
    Zone(offset, name)
    for offset in (None, DAY - datetime.timedelta(microseconds=1), -datetime.timedelta(hours=9.5))
    for name in (None, "", "x" * 500, "\ud800")
] + [datetime.timezone.utc, datetime.timezone(datetime.timedelta(seconds=1.000001), "~")]


def pick(*values):
    """Choose one of the values; hypothesis's own ``sampled_from`` needs their repr."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


NUMBERS = st.one_of(
    st.integers(),
    pick(1 << 1999, 1 << 2000, 1 << 2200, -(1 << 5000), 1 << 8191, 1 << 8192, 1 << 40_000),
    st.floats(),
)
TEXTS = st.one_of(
    st.text(st.characters(), max_size=8),  # surrogates too
    pick("~", "...", "\ud83d\ude00", "x" * 9000, "\\" * 300, '"[{,', "as", "int"),
)
TIMES = st.one_of(
    st.datetimes(timezones=st.none() | st.sampled_from(ZONES)),
    st.dates(), st.timedeltas(), st.times(timezones=st.none() | st.sampled_from(ZONES)),
)  # fmt: skip
SIMPLE = st.one_of(
    NUMBERS, TEXTS, TIMES, st.none(), st.booleans(), st.binary(max_size=8), st.decimals(), st.uuids(),
    st.complex_numbers(), NUMBERS.filter(lambda n: type(n) is int).map(Number), st.floats().map(Real),
    TEXTS.map(Text), st.binary(max_size=8).map(Octets), st.binary(max_size=8).map(bytearray),
    pick(
        Letters.A, Flags.A, Flags.B, Flags(0), Nameless(), Nameless, object(), len, NamelessError(),
        decimal.Decimal("sNaN"), decimal.Decimal("1E+99999"), decimal.Decimal("7" * 1001), memoryview(b"a"),
        Shifting(), Endless(), range(10**9), types.SimpleNamespace(a=1), b"\xff" * 9000, Octets(b"x" * 9000),
        float("nan"), uuid.SafeUUID.safe, ..., NotImplemented, collections.UserDict(a=1),
    ),
)  # fmt: skip


def hashable(value):
    """Return whether a set or a dict may have it."""
    try:
        hash(value)
    except Exception:
        return False
    return True


WRAPPERS = [
    list, tuple, Pair, collections.deque, lambda members: {"~": members},
    lambda members: Point(members, members), lambda members: iter(members),
]  # fmt: skip
SETS = [set, frozenset, lambda members: types.MappingProxyType(dict.fromkeys(members))]
DICTS = [
    dict, Frozen, collections.OrderedDict, collections.Counter, types.MappingProxyType,
    lambda pairs: collections.defaultdict(list, pairs),
]  # fmt: skip


@st.composite
def anything(draw, depth=0):
    """Make a value of any type, in containers of every kind with keys of every kind."""
    if depth > 3 or draw(st.integers(0, 3)) < depth:
        return draw(SIMPLE)
    members = [draw(anything(depth + 1)) for _ in range(draw(st.integers(0, 4)))]
    if draw(st.booleans()):
        return draw(pick(*WRAPPERS))(members)
    keys = [key for key in members if hashable(key)]
    keys += draw(pick([], COLLIDING, NANS, ["~"]))
    if draw(st.booleans()):
        return draw(pick(*SETS))(keys)
    return draw(pick(*DICTS))({key: draw(anything(depth + 1)) for key in keys[:20]})


VALUES = anything()


@functools.lru_cache
def plain_record():
    """Return a record of loguru's own."""
    found = []
    handler = logger.add(lambda message: found.append(message.record), format="{message}")
    logger.info("needle")
    logger.remove(handler)
    return found[0]


def from_loguru(value, **changes):
    """Return the row of a loguru record with this value in ``extra``, beside it, and as changed."""
    record = {**plain_record(), "extra": {"value": value, "after": 1}, "own": value, **changes}
    return encode_loguru_record(record, raw=False, traceback_text="text\n", color=None)


def from_logging(value, **changes):
    """Return the row of a stdlib record with this value as an attribute of its own."""
    record = logging.makeLogRecord({"msg": "needle", "levelname": "INFO", "levelno": 20})
    record.__dict__.update(value=value, after=1, **changes)
    return encode_logrecord(record, lambda name: (" ", None))


def assert_taken(row):
    """Send it every way that a row goes; the receiver takes it each time."""
    assert is_bounded(row)
    assert type(read_row(decode_json(row))) is Row
    sender, receiver = SenderConnection(SENDER), ReceiverConnection(MAX_PAYLOAD)
    hello, first = receiver.receive(sender.hello(row, 1, 1))
    assert (type(hello), type(first)) == (HelloReceived, RowsReceived)
    (rest,) = receiver.receive(sender.rows(2, [row]))
    (stock,) = receiver.receive(sender.stock(row, 3))
    assert (type(rest), type(stock)) == (RowsReceived, MarkedReceived)
    rows = [read_row(fields) for fields in [*first.rows, *rest.rows]]
    rows.append(row_of_stock_fields(stock.fields, 1.7e9))
    assert all(type(taken) is Row and isinstance(taken.extra, dict) for taken in rows)
    return rows


FIELDS = ["message", "level", "time", "elapsed", "name", "line", "process", "file", "extra"]
ATTRIBUTES = ["msg", "levelno", "levelname", "created", "name", "lineno", "stack_info", "taskName"]


@pytest.mark.usefixtures("quiet_loguru")
@given(VALUES, st.sampled_from(FIELDS))
@example(collections.Counter(map(float, ["1.5", *["nan"] * 17])), "message")
@example(collections.Counter(map(float, ["1.5", *["nan"] * 17])), "extra")
@example({**dict.fromkeys(NANS), **dict.fromkeys(COLLIDING)}, "extra")
@example(Number(1 << 8192), "line")
@example([1 << 2200, Number(1 << 5000)], "message")
@example({"~": ["int", "zz"]}, "extra")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_loguru_record_with_any_value_is_taken(value, field):
    """A receiver takes a loguru record with any value in ``extra``, in a key or in a field."""
    for row in assert_taken(from_loguru(value)):
        assert row.message == "needle"
    assert_taken(from_loguru(1, **{field: value}))


@given(VALUES, st.sampled_from(ATTRIBUTES))
@example(collections.Counter(map(float, ["1.5", *["nan"] * 17])), "msg")
@example(Number(1 << 8192), "levelno")
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_stdlib_record_with_any_value_is_taken(value, attribute):
    """A receiver takes a stdlib record with any value as an attribute, logging's own included."""
    for row in assert_taken(from_logging(value)):
        assert row.message == "needle"
    assert_taken(from_logging(1, **{attribute: value}))


@pytest.mark.usefixtures("quiet_loguru")
@pytest.mark.parametrize("kind", [NamelessError, Nameless, 5, None])
def test_an_exception_of_any_class_is_taken(kind):
    """A receiver takes an exception whose class has no name that is a text."""
    value = NamelessError()
    assert_taken(from_loguru(1, exception=(kind, value, None)))
    assert_taken(from_logging(1, exc_info=(kind, value, None)))


@pytest.mark.parametrize("first", [True, False], ids=["as the hello", "behind the hello"])
def test_nothing_waits_behind_a_row_that_no_receiver_can_read(tmp_path, first):
    """A row that a bug has spoiled becomes a notice, and the records around it are written."""
    path = tmp_path / "app.log"
    with start_receiver(path, address="tcp://127.0.0.1:0", format="{message}") as receiver:
        handler = BridgeHandler(address=receiver.address)
        if not first:
            handler.emit(logging.makeLogRecord({"msg": "before"}))
        for spoiled in (b"[nonsense", b"\xff", b"[" * 100_000):
            handler.channel.emit(spoiled)
            handler.emit(logging.makeLogRecord({"msg": "behind"}))
        assert handler.wait(60)
        handler.close()
    lines = path.read_text().splitlines()
    assert len([line for line in lines if "could not be read" in line]) == 3
    assert lines.count("behind") == 3
    assert lines.count("before") == (not first)
    assert receiver.counts["refused"] >= 3
