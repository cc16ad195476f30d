"""Values of ``extra``: which go as themselves, which are shown, and that none of them is fatal."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import functools
import io
import itertools
import json
import re
import socket
import threading
import types
import unittest.mock
import uuid
import weakref

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loguru_stdbridge.record.bounded_json import decode_json
from loguru_stdbridge.record.decode import MAX_COLLISIONS, RemoteValue, many_collide, plain, restore
from loguru_stdbridge.record.expansion import MAX_EXPANDED_LINE, bound_growth
from loguru_stdbridge.record.row import MAX_ROW, encode_row
from loguru_stdbridge.record.values import MAX_SHOWN, MAX_TEXT, MAX_VALUES, flatten_extra


def through(extra):
    """Return ``extra`` as the receiver reads it."""
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
    """A value arrives with its type (or a subclass that prints the same), its value and its texts."""
    arrived = through({"key": value})["key"]
    assert isinstance(arrived, type(value))
    assert repr(arrived) == repr(value)
    assert str(arrived) == str(value)
    assert f"{arrived}" == f"{value}"


class Summer(datetime.tzinfo):
    """A zone of an application's own, as ZoneInfo is one."""

    def utcoffset(self, when):
        return datetime.timedelta(hours=2 if when is not None and 3 < when.month < 11 else 1)

    dst = utcoffset

    def tzname(self, when):
        return "CEST" if self.utcoffset(when).seconds == 7200 else "CET"


def test_a_zone_arrives_as_its_offset():
    """A tzinfo arrives as its name and its offset at that time; its class does not travel."""
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
    """A subclass is its builtin in JSON, and prints in a text format as it did in the worker."""
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
    """Any other object prints at the receiver as in the worker, and has nothing else of it."""
    arrived = through({"key": value})["key"]
    assert type(arrived) is RemoteValue
    assert (repr(arrived), str(arrived), f"{arrived}") == (repr(value), str(value), str(value))


def test_a_socket_and_an_open_file_are_shown(tmp_path):
    """A socket and an open file arrive as their texts."""
    with open(tmp_path / "f", "w") as file, socket.socket() as sock:
        assert repr(through({"f": file, "s": sock})["f"]) == repr(file)


def test_a_repr_that_raises_costs_itself_only():
    """A value whose repr raises is shown as unprintable, and the value beside it arrives."""
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
    """A value that stands in two places arrives in both."""
    shared = [1]
    assert through({"a": shared, "b": shared}) == {"a": [1], "b": [1]}


def test_deep_nesting_is_cut():
    """A value nested beyond the limit is shown as text, without recursion errors."""
    deep = []
    for _ in range(100_000):
        deep = [deep]
    arrived = through({"deep": deep})
    levels = 0
    value = arrived["deep"]
    while isinstance(value, list):
        value, levels = value[0], levels + 1
    assert 40 < levels < 60
    assert isinstance(value, RemoteValue)


def size_of(value):
    """Return how many values are in it, itself and all nested ones included."""
    if isinstance(value, dict):
        return 1 + sum(size_of(key) + size_of(item) for key, item in value.items())
    if isinstance(value, (list, tuple, set, frozenset)):
        return 1 + sum(map(size_of, value))
    return 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: list(range(100_000)), lambda: set(range(100_000)),
        lambda: {n: n for n in range(100_000)}, lambda: {str(n): n for n in range(100_000)},
        lambda: [[n] for n in range(100_000)], lambda: [[[0] * 10_000] * 10_000] * 100,
        lambda: tuple((n,) for n in range(100_000)),
    ],
    ids=["list", "set", "dict", "text keys", "lists", "levels", "tuples"],
)  # fmt: skip
def test_the_number_of_values_is_bounded(make):
    """Values beyond the bound are left out and counted, or shown whole, however they are nested."""
    value = make()
    arrived = through({"value": value})
    assert size_of(arrived) < 2 * MAX_VALUES + 100
    assert re.search(r"more>|<\w+ of \d+>", repr(arrived)) or repr(arrived["value"]) == repr(value)


def test_sizes_are_bounded():
    """A text of 10 MB, as many bytes, a million bits and 5,000 long bytes are cut, and say so."""
    arrived = through(
        {
            "text": "x" * 10_000_000,
            "bytes": bytes(10_000_000),
            "int": 1 << 1_000_000,
            "many": [bytes(MAX_SHOWN)] * 5_000,
        }
    )
    assert len(arrived["text"]) < MAX_TEXT + 100
    assert arrived["text"].endswith("more characters)")
    assert len(repr(arrived["bytes"])) < MAX_SHOWN + 100
    assert repr(arrived["int"]) == "<int of 1000001 bits>"
    assert len(json.dumps(flatten_extra({"many": [bytes(MAX_SHOWN)] * 5_000})[0])) < 30_000_000


def test_a_set_or_a_dict_of_some_size_arrives_whole():
    """A set and a dict of 3,000 arrive whole: their bound is that of all values."""
    extra = {"set": set(range(3_000)), "dict": {n: n for n in range(3_000)}}
    assert through(extra) == extra


def test_what_cannot_be_cut_is_shown_where_the_room_is_used_up():
    """An integer in hexadecimal is shown, not cut, when the room for texts is used up."""
    texts = ["x" * MAX_TEXT] * 5
    arrived = through({"texts": texts, "int": 1 << 5_000, "bytes": bytes(100), "user": "me"})
    assert repr(arrived["int"]) == "<int of 5001 bits>"
    assert isinstance(arrived["bytes"], RemoteValue)
    assert arrived["user"] == "me"


COLLIDING = [n * (2**61 - 1) for n in range(1, 300)]
LONG_TUPLES = [(*range(300, 400), number) for number in COLLIDING]


@pytest.mark.parametrize("members", [COLLIDING, LONG_TUPLES], ids=["integers", "tuples"])
def test_members_that_collide_are_shown_and_not_hashed(members):
    """Members whose hashes collide are shown: no set or dict that takes quadratic time is made."""
    assert many_collide(members)
    assert not many_collide(range(10_000))
    assert not many_collide([-1, -2] * (MAX_COLLISIONS // 2))
    keys = [{"~": ["tuple", list(m)]} if isinstance(m, tuple) else m for m in members]
    shown = restore({"~": ["as", ["set", keys, "the set's own text", None]]})
    assert type(shown) is RemoteValue
    assert repr(shown) == "the set's own text"
    assert type(restore({"~": ["dict", [[key, 1] for key in keys]]})) is RemoteValue


class HashableDict(dict):
    def __hash__(self):
        return 1


class HashableList(list):
    def __hash__(self):
        return 1


def test_a_hashable_subclass_of_what_has_no_hash_arrives():
    """An immutable subclass of dict or list is shown as a member or a key, and its record arrives."""
    member = HashableDict(a=1)
    arrived = through({"set": {member}, "dict": {member: 1, (HashableList([2]), 3): 2}})
    assert repr(arrived["set"]) == repr({member})
    assert repr(arrived["dict"]) == "{{'a': 1}: 1, ([2], 3): 2}"


class LyingClass:
    @property
    def __class__(self):
        return dict


class RaisingClass:
    @property
    def __class__(self):
        raise RuntimeError("no class")


class Endless(list):
    def __iter__(self):
        return itertools.count()


class Lying(dict):
    """A dict whose every answer is wrong or an error."""

    def __len__(self):
        return -5

    def __iter__(self):
        raise RuntimeError("no iteration")

    keys = items = values = __contains__ = __eq__ = __getitem__ = __iter__
    __hash__ = None


class LyingText(str):
    def __len__(self):
        return 10**9

    def __str__(self):
        return 5

    __repr__ = __str__


class LyingInt(int):
    def bit_length(self):
        raise RuntimeError("no bits")

    def __index__(self):
        raise RuntimeError("no index")

    __int__ = __index__


class Meta(type):
    def __getattribute__(cls, name):
        if name in ("__name__", "__str__", "__qualname__", "__module__"):
            raise RuntimeError("no name")
        return super().__getattribute__(name)


class Nameless(metaclass=Meta):
    pass


class Scalar(float):
    """A subclass of float with methods of its own, like NumPy's."""

    def __array__(self):
        raise RuntimeError("no array")

    def __bool__(self):
        raise ValueError("the truth value is ambiguous")

    def __eq__(self, other):
        return self

    __hash__ = float.__hash__


@dataclasses.dataclass
class Data:
    number: int
    more: dict


class Proxied(dict):
    pass


def a_dead_proxy():
    return weakref.proxy(Proxied())


async def coroutine():
    pass


def odd_objects():
    """Return objects that an application may put into ``extra``, by name."""
    alive = odd_objects.alive = Proxied(a=1)
    pending = coroutine()
    pending.close()
    return {
        "a __class__ that lies": LyingClass(), "a __class__ that raises": RaisingClass(),
        "endless": Endless(), "a lying dict": Lying(a=1), "a lying text": LyingText("x"),
        "a lying int": LyingInt(5), "no name": Nameless(), "scalar": Scalar(1.5),
        "data": Data(1, {"a": object()}), "a proxy": weakref.proxy(alive), "a dead proxy": a_dead_proxy(),
        "a mock": unittest.mock.MagicMock(), "a mock of a dict": unittest.mock.MagicMock(spec=dict),
        "a mock of a text": unittest.mock.Mock(spec=str), "a coroutine": pending,
        "a generator": (n for n in range(3)), "a user dict": collections.UserDict(a=1),
        "a mapping": types.MappingProxyType({"a": 1}), "a named space": types.SimpleNamespace(a=1),
        "an exception group's cousin": ValueError(ValueError(), object()),
        "a chain": collections.ChainMap({"a": 1}), "a deque": collections.deque([1]),
        "a view": memoryview(b"abc"), "NotImplemented": NotImplemented, "Ellipsis": ...,
        "a partial": functools.partial(print, 1), "a flag": re.IGNORECASE | re.MULTILINE,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(odd_objects()))
@pytest.mark.parametrize("place", ["value", "item", "member of a tuple", "key"])
def test_an_odd_object_costs_itself_only(name, place):
    """An odd object arrives as a bounded text, and what is beside it arrives whole."""
    value = odd_objects()[name]
    makers = {
        "value": lambda: value, "item": lambda: [value], "member of a tuple": lambda: (1, value),
        "key": lambda: {value: 1},
    }  # fmt: skip
    try:
        extra = {"good": (1, 2), "odd": makers[place](), "number": 5}
    except Exception:
        return  # no key of any dict
    flat, tagged = flatten_extra(extra)
    assert tagged
    arrived = restore(decode_json(encode_row([flat]))[0])
    assert (arrived["good"], arrived["number"]) == ((1, 2), 5)
    assert len(repr(arrived["odd"])) < 3 * MAX_SHOWN
    json.dumps(list(arrived["odd"].values()) if place == "key" else arrived["odd"], default=str)


@pytest.mark.parametrize(
    "name", ["a mock of a dict", "a proxy", "scalar", "data", "a mapping", "a flag"]
)
def test_an_odd_object_is_shown_as_a_local_sink_would(name):
    """An odd object prints as its ``repr`` in a text format and as its ``str`` in JSON."""
    value = odd_objects()[name]
    arrived = through({"odd": value})["odd"]
    assert repr(arrived) == repr(value)
    assert json.dumps(arrived, default=str) == json.dumps(value, default=str)


def test_an_extra_that_is_none_does_not_raise():
    """A value that a patcher puts in the place of ``extra`` never raises."""
    for extra in (Lying(a=1), None, 5, [1], a_dead_proxy(), LyingClass(), *odd_objects().values()):
        flat, tagged = flatten_extra(extra)
        encode_row([flat, tagged])


def test_a_text_of_many_escapes_is_cut_to_what_its_payload_allows():
    """A text takes ten bytes of memory for each of its payload at most; what people write stays."""
    size = 1_000_000
    bomb = {
        "a": ["\x7f" * (size - 100), {"😀": "\U000e0001" * 10}],
        "n": 5,
        "t": (b"\xff" * 10, None),
    }
    cut = bound_growth(bomb, size)
    assert len(json.dumps([repr(cut), cut["a"]], ensure_ascii=False)) * 4 < 12 * size
    assert cut["n"] == 5
    for text in (
        "x" * size,
        "é" * (size // 2),
        "漢" * (size // 3),
        "😀" * (size // 4),
        "a 'b'\n😀" * (size // 12),
    ):
        honest = {"message": text}
        assert bound_growth(honest, size) is honest
    deep = []
    for _ in range(900):
        deep = [deep, "\x7f" * 1000]
    assert bound_growth([deep, "😀"], 10_000) is not None


@pytest.mark.parametrize(("part", "end"), [("x", ""), ('"', ""), ("漢", ""), ("x", "😀")])
def test_the_line_of_any_record_is_bounded(part, end):
    """A record of the largest size makes a line of MAX_EXPANDED_LINE bytes of memory at most."""
    text = part * (MAX_ROW // len(part.encode())) + end
    (cut,) = bound_growth([text], len(text.encode()))
    width = 4 if "😀" in text else 2 if "漢" in text else 1
    assert len(json.dumps([cut, repr(cut)], ensure_ascii=False)) * width <= MAX_EXPANDED_LINE + 1000


@pytest.mark.parametrize(
    "tagged",
    [
        ["nothing", 1], ["tuple", 1], ["dict", [[1]]], [], 5, None, ["int", "zz"],
        ["int", "f" * 10_000], ["decimal", "1E+999999999"], ["decimal", "9" * 100_000],
        ["datetime", ["x", None, 0]], ["datetime", ["2024-01-01", [1e9, "x"], 0]],
        ["datetime", ["2024-01-01", [float("nan"), "x"], 0]], ["timedelta", [10**20]],
        ["as", ["nothing", 1, "r", None]], ["as", ["int", "x", "r", None]], ["as", ["object", 1, 2, 3]],
        ["uuid", 1], ["bytes", "é€"], ["complex", [1, 2, 3]], ["date", 1],
    ],
)  # fmt: skip
def test_a_tag_that_is_not_ours_is_shown_as_unreadable(tagged):
    """A tag or a content that a stranger made up costs itself only."""
    arrived = restore({"value": {"~": tagged}, "list": [{"~": tagged}, 1]})
    assert type(arrived["value"]) is type(arrived["list"][0]) is RemoteValue
    assert len(repr(arrived)) < 1000
    assert arrived["list"][1] == 1


def test_restoring_deep_nesting_is_bounded():
    """A stranger's deep nesting raises no recursion error."""
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
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(), inner)
        | st.dictionaries(_keys, inner)
    ),
    max_leaves=30,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), _values))
def test_extra_of_any_nesting_arrives_equal(extra):
    """A generated nest of admitted types arrives equal, and prints the same."""
    arrived = through(extra)
    assert arrived == extra
    assert repr(arrived) == repr(extra)
