"""Values: what goes through as itself, what is shown, and that nothing an application has is fatal."""

import collections
import datetime
import decimal
import enum
import io
import json
import socket
import threading
import uuid


import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loguru_stdbridge.exceptions import RowError
from loguru_stdbridge.values import MAX_KEYED, MAX_SHOWN, MAX_TEXT, Shown, flatten_extra, plain, restore


def through(extra):
    """``extra`` as it is after the wire."""
    flat, tagged = flatten_extra(extra)
    arrived = json.loads(json.dumps(flat))
    return restore(arrived) if tagged else arrived


class Color(enum.Enum):
    RED = 1


class Number(enum.IntEnum):
    ONE = 1


class Text(str):
    def __str__(self):
        return "shown"


class Broken:
    def __repr__(self):
        raise RuntimeError("no")


class Distinct:
    def __repr__(self):
        return "repr text"

    def __str__(self):
        return "str text"


Point = collections.namedtuple("Point", "x y")
UTC = datetime.timezone.utc


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -1, 2**64, 10**600, 1.5, float("inf"), "text", "", "\0", "\ud83d", "é", "😀",
        [], [1, [2]], {}, {"a": {"b": 1}}, (), (1, (2,)), {1: 2, None: 3, (1, 2): 4, 1.5: 5},
        {"~": 1}, {"~": ["tuple", []]}, b"", b"\0\xff", bytearray(b"ab"), 1 + 2j,
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4), datetime.datetime(2024, 1, 1, tzinfo=UTC),
        datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-3), "X")),
        datetime.date(2024, 1, 1), datetime.time(1, 2, 3), datetime.timedelta(-1, 5, 6),
        decimal.Decimal("1.50"), decimal.Decimal("NaN"), decimal.Decimal("-Infinity"),
        uuid.UUID(int=5), {1, 2}, frozenset("ab"), set(),
    ],
)  # fmt: skip
def test_a_value_arrives_as_itself(value):
    """Same type (or a subclass that prints the same), same value, same texts."""
    arrived = through({"key": value})["key"]
    assert isinstance(arrived, type(value))
    assert repr(arrived) == repr(value)
    assert str(arrived) == str(value)
    assert f"{arrived}" == f"{value}"


class Summer(datetime.tzinfo):
    """An application's own zone, as ZoneInfo is one."""

    def utcoffset(self, when):
        return datetime.timedelta(hours=2 if when is not None and 3 < when.month < 11 else 1)

    dst = utcoffset

    def tzname(self, when):
        return "CEST" if self.utcoffset(when).seconds == 7200 else "CET"


def test_a_zone_arrives_as_its_offset():
    """A tzinfo is not sent by reference: the offset at that time and its name are."""
    value = datetime.datetime(2024, 7, 1, 12, fold=1, tzinfo=Summer())
    arrived = through({"when": value})["when"]
    assert (arrived, arrived.utcoffset(), arrived.tzname(), arrived.fold) == (
        value, value.utcoffset(), "CEST", 1
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Number.ONE, int), (Text("real"), str), (Point(1, 2), tuple),
        (collections.OrderedDict(b=1, a=2), dict), (collections.Counter("aab"), dict),
        (type("F", (float,), {})(1.5), float), (type("L", (list,), {})([1]), list),
    ],
)  # fmt: skip
def test_a_subclass_arrives_as_its_builtin_with_its_own_texts(value, base):
    """JSON shows it as the builtin, a text format as the worker would have."""
    arrived = through({"key": value})["key"]
    assert isinstance(arrived, base)
    assert (repr(arrived), str(arrived), f"{arrived}") == (repr(value), str(value), str(value))
    assert json.dumps(arrived) == json.dumps(value)


@pytest.mark.parametrize(
    "value",
    [
        Color.RED, object(), Distinct(), len, Color, threading.Lock(), (i for i in ()),
        io.StringIO(), ValueError("x"), decimal.Decimal("1E+999999"), range(3), lambda: 0,
    ],
)  # fmt: skip
def test_any_other_object_arrives_as_its_texts(value):
    """The far end prints what the worker would have printed, and has nothing else of it."""
    arrived = through({"key": value})["key"]
    assert type(arrived) is Shown
    assert (repr(arrived), str(arrived), f"{arrived}") == (repr(value), str(value), str(value))


def test_a_socket_and_an_open_file_are_shown(tmp_path):
    """Operating system objects are no obstacle."""
    with open(tmp_path / "f", "w") as file, socket.socket() as sock:
        assert repr(through({"f": file, "s": sock})["f"]) == repr(file)


def test_a_repr_that_raises_costs_itself_only():
    """The record goes, and the value beside it too."""
    assert repr(through({"bad": Broken(), "good": 1})) == (
        "{'bad': <unprintable Broken object>, 'good': 1}"
    )


def test_a_cycle_is_cut():
    """A recursive dict and list arrive with the cycle shown as Python shows it."""
    loop = {"a": 1}
    loop["self"] = loop
    ring = [1]
    ring.append(ring)
    assert repr(through({"loop": loop, "ring": ring})) == repr({"loop": loop, "ring": ring})


def test_a_value_shared_without_a_cycle_is_kept_twice():
    """Only an ancestor is a cycle."""
    shared = [1]
    assert through({"a": shared, "b": shared}) == {"a": [1], "b": [1]}


def test_deep_nesting_is_cut():
    """A value nested beyond the limit is shown, without recursion errors."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    arrived = through({"deep": deep})
    levels = 0
    value = arrived["deep"]
    while isinstance(value, list):
        value, levels = value[0], levels + 1
    assert 40 < levels < 60
    assert isinstance(value, Shown)


def test_sizes_are_bounded():
    """A 10 MB text, 100,000 items, 10,000 members of a set: bounded, and it says so."""
    arrived = through(
        {
            "text": "x" * 10_000_000,
            "set": set(range(10_000)),
            "keys": {i: i for i in range(10_000)},
            "bytes": bytes(10_000_000),
            "int": 1 << 1_000_000,
            "items": list(range(100_000)),
        }
    )
    assert len(arrived["text"]) < MAX_TEXT + 100
    assert arrived["text"].endswith("more characters)")
    assert len(arrived["items"]) < 10_001
    assert repr(arrived["items"][-1]).endswith("more>")
    assert len(arrived["set"]) <= MAX_KEYED + 1
    assert len(arrived["keys"]) <= MAX_KEYED + 1
    assert len(repr(arrived["bytes"])) < MAX_SHOWN + 100
    assert repr(arrived["int"]) == "<int of 1000001 bits>"


@pytest.mark.parametrize(
    "tagged",
    [
        ["nothing", 1], ["tuple", 1], ["dict", [[1]]], ["dict", [[[], 1]]], [], 5, None, ["int", "zz"],
        ["int", "f" * 10_000], ["decimal", "1E+999999999"], ["decimal", "9" * 100_000],
        ["datetime", ["x", None, 0]], ["datetime", ["2024-01-01", [1e9, "x"], 0]],
        ["datetime", ["2024-01-01", [float("nan"), "x"], 0]], ["timedelta", [10**20]],
        ["as", ["nothing", 1, "r", None]], ["as", ["int", "x", "r", None]], ["as", ["object", 1, 2, 3]],
        ["dict", [[i, i] for i in range(10_000)]], ["as", ["set", list(range(10_000)), "r", None]],
        ["uuid", 1], ["bytes", "é€"], ["complex", [1, 2, 3]], ["date", 1],
    ],
)  # fmt: skip
def test_a_tag_that_is_not_ours_is_an_error_of_the_row(tagged):
    """Nothing but RowError comes out of what a stranger wrote."""
    with pytest.raises(RowError, match="tagged value"):
        restore({"~": tagged})


def test_restoring_deep_nesting_is_bounded():
    """A stranger's nesting costs no recursion error."""
    value = []
    for _ in range(900):
        value = [value]
    assert "too deep" in repr(restore(value))


def test_plain_values_name_no_class():
    """A pickle for a stock receiver holds builtins and the stdlib's value types only."""
    extra = through({"o": object(), "n": Number.ONE, "p": Point(1, 2), "s": {1}, "t": Text("x")})
    assert {type(value) for value in plain(extra).values()} <= {str, tuple, set, int}


_leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
    | st.binary(max_size=50) | st.datetimes() | st.dates() | st.timedeltas() | st.uuids()
    | st.decimals(allow_nan=False) | st.complex_numbers(allow_nan=False)
)  # fmt: skip
_keys = st.text() | st.integers() | st.none() | st.floats(allow_nan=False) | st.tuples(st.text())
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner)
    | st.tuples(inner, inner)
    | st.dictionaries(st.text(), inner)
    | st.dictionaries(_keys, inner),
    max_leaves=30,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(), _values))
def test_extra_of_any_nesting_arrives_equal(extra):
    """Whatever is built of the admitted types comes back equal, and prints the same."""
    arrived = through(extra)
    assert arrived == extra
    assert repr(arrived) == repr(extra)
