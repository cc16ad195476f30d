"""Stock payloads: admitted values come back, others are shown, and all are bounded."""

from __future__ import annotations

import collections
import datetime
import decimal
import enum
import logging
import logging.handlers
import pathlib
import pickle
import random
import struct
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loguru_stdbridge.exceptions import PayloadError
from loguru_stdbridge.pickles import opcodes
from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.pickles.write import dump_record
from loguru_stdbridge.record.decode import RemoteValue
from tests.pickles.test_hostile import check_inert
from tests.support import fuzz_pickles

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
UTC = datetime.timezone.utc


class Color(enum.Enum):
    RED = 1


class Own:
    pass


VALUES = [
    None, True, False, 0, 255, 256, 65535, 65536, -1, 2**31, -(2**31), 2**100, 1.5, "", "ü😀",
    "\ud83d", "x" * 300, b"", b"\0\xff", b"x" * 300, bytearray(b"ab"), 1 + 2j, [], [1, [2]], (), (1,),
    (1, 2), (1, 2, 3), (1, 2, 3, 4), {}, {"a": {"b": 1}}, {1: 2, None: 3, (1, "x"): 4}, set(), {1, 2},
    frozenset("a"), frozenset((1, 2)), datetime.datetime(2024, 2, 29, 1, 2, 3, 4), datetime.datetime(2024, 1, 1, tzinfo=UTC),
    datetime.date(2024, 1, 2), datetime.time(1, 2, 3, 4),
    datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=-3), "X")),
    datetime.timedelta(-1, 2, 3), decimal.Decimal("-1.50"), decimal.Decimal("NaN"), uuid.UUID(int=7),
]  # fmt: skip


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:30])
def test_an_admitted_value_comes_back(value, protocol):
    """An admitted value comes back with its type and its text, from every protocol."""
    loaded = load_record(pickle.dumps({"value": value, "again": value}, protocol))
    assert type(loaded["value"]) is type(value)
    assert repr(loaded["value"]) == repr(loaded["again"]) == repr(value)


@pytest.mark.parametrize("protocol", range(4, pickle.HIGHEST_PROTOCOL + 1))
def test_a_fold_comes_back(protocol):
    """A datetime of protocol 4 or later tells the first of two equal hours from the second."""
    value = datetime.datetime(2024, 10, 27, 2, 30, fold=1)
    assert load_record(pickle.dumps({"v": value}, protocol))["v"].fold == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Color.RED, "Color"), (Own(), "Own"), (Own, "<class"), (ValueError("x"), "ValueError"),
        (len, "len"), (collections.Counter("ab"), "Counter"), (collections.deque([1]), "deque"),
        (range(3), "range"), (pathlib.PurePosixPath("/a/b"), "/a/b"),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_any_other_object_is_shown_by_name(value, shown, protocol):
    """An object of another class shows its class's name, and its record arrives."""
    loaded = load_record(pickle.dumps({"msg": "kept", "value": value}, protocol))
    assert loaded["msg"] == "kept"
    assert type(loaded["value"]) is RemoteValue
    assert shown in str(loaded["value"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("key", "name"),
    [(5, "5"), (None, "None"), (1.5, "1.5"), ((1, 2), "<object>"), (1 << 5000, "<object>")],
    ids=["int", "None", "float", "tuple", "large int"],
)
def test_a_field_whose_name_is_no_text_arrives_under_its_text(key, name, protocol):
    """A record that was logged with ``extra={5: ...}``, which logging takes, arrives."""
    loaded = load_record(pickle.dumps({"msg": "kept", key: "value"}, protocol))
    assert loaded == {"msg": "kept", name: "value"}


def test_an_object_shown_by_name_takes_a_width():
    """A stock client's unknown object fills the width that a format gives it, as a text does."""
    value = load_record(pickle.dumps({"value": Color.RED}, 1))["value"]
    assert f"{value:>40}" == f"{value!s:>40}"
    assert f"{value:.2f}" == str(value)


def byte_string(data):
    """Return the opcode by which Python 2 pickles a short ``str``."""
    return b"U" + bytes([len(data)]) + data


PYTHON_2 = {
    "OBJ": b"(cshop.views\nRequest\no}" + byte_string(b"path") + b"K\1sb",
    "OBJ with arguments": b"(cshop.views\nRequest\n" + byte_string(b"/pay") + b"K\1o",
    "INST": b"(ishop.views\nRequest\n}" + byte_string(b"path") + b"K\1sb",
    "INST with arguments": b"(K\1ishop.views\nRequest\n",
}


@pytest.mark.parametrize("name", sorted(PYTHON_2))
def test_an_old_style_object_is_shown_by_its_class(name):
    """An instance of an old-style class of Python 2 shows its class's name, and its record arrives."""
    loaded = load_record(
        b"}("
        + byte_string(b"msg")
        + byte_string(b"kept")
        + byte_string(b"r")
        + PYTHON_2[name]
        + b"u."
    )
    assert repr(loaded) == "{'msg': 'kept', 'r': <shop.views.Request object>}"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", "plain"), ("Zoë 😀".encode(), "Zoë 😀"), ("Zoë".encode("latin-1"), "Zoë"),
        (b"\xc3", "Ã"), (b"\xed\xa0\x80", "í\xa0\x80"), (b"", ""),
    ],
)  # fmt: skip
def test_a_byte_string_of_python_2_is_utf_8_or_else_latin_1(data, text):
    """A byte string is read as UTF-8 if it is that, else as Latin-1: as a value, a key and a member."""
    for opcode in (byte_string(data), b"T" + struct.pack("<i", len(data)) + data):
        loaded = load_record(
            b"}("
            + byte_string(b"x")
            + b"("
            + opcode
            + opcode
            + b"t"
            + opcode
            + b"}"
            + opcode
            + opcode
            + b"su."
        )
        assert loaded == {"x": (text, text), text: {text: text}}
    line = b"S'" + b"".join(b"\\x%02x" % byte for byte in data) + b"'\n"
    assert load_record(b"}" + byte_string(b"x") + line + b"s.") == {"x": text}


PYTHON_2_VALUES = {
    "datetime": (b"cdatetime\ndatetime\n(" + byte_string(b"\x07\xe8\x01\x02\xc3\xa9\x05\x00\x00\x07") + b"tR", None),
    "date": (b"cdatetime\ndate\n(" + byte_string(b"\x07\xe8\x01\x02") + b"tR", datetime.date(2024, 1, 2)),
    "time": (b"cdatetime\ntime\n(" + byte_string(b"\x03\x04\x05\x00\xc3\xa9") + b"tR", datetime.time(3, 4, 5, 0xC3A9)),
    "decimal": (b"cdecimal\nDecimal\n(" + byte_string(b"1.50") + b"tR", decimal.Decimal("1.50")),
    "bytearray": (b"c__builtin__\nbytearray\n(X\2\0\0\0\xc3\xa9" + byte_string(b"latin-1") + b"tR", bytearray(b"\xe9")),
    "uuid": (
        b"ccopy_reg\n_reconstructor\n(cuuid\nUUID\nc__builtin__\nobject\nNtR}" + byte_string(b"int") + b"K\5sb",
        uuid.UUID(int=5),
    ),
    "set": (b"c__builtin__\nset\n((lp0\n" + byte_string(b"a") + b"atR", {"a"}),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PYTHON_2_VALUES))
def test_a_value_that_python_2_pickled_comes_back(name):
    """A value whose state is a byte string of Python 2 is read from the bytes, not from a text."""
    opcodes, value = PYTHON_2_VALUES[name]
    loaded = load_record(b"}" + byte_string(b"x") + opcodes + b"s.")["x"]
    if value is None:
        assert repr(loaded) == "<datetime.datetime object>"  # its hour is 195
    else:
        assert (type(loaded), loaded) == (type(value), value)


def test_an_ordered_dict_comes_back_as_a_dict():
    """An OrderedDict comes back as a dict in its order."""
    for protocol in PROTOCOLS:
        loaded = load_record(pickle.dumps({"v": collections.OrderedDict(b=1, a=[2])}, protocol))
        assert list(loaded["v"].items()) == [("b", 1), ("a", [2])]


def test_what_a_socket_handler_sends_comes_back():
    """A real SocketHandler's payload comes back with every attribute of the record."""
    record = logging.LogRecord("app", 30, "/a/b.py", 5, "hi %s", ("you",), None, "f")
    frame = logging.handlers.SocketHandler("localhost", 1).makePickle(record)
    assert load_record(frame[4:]) == pickle.loads(frame[4:])


def test_what_we_write_is_protocol_1():
    """A payload is written by protocol 1, as SocketHandler does, so that any receiver reads it."""
    assert dump_record({"a": 1}) == pickle.dumps({"a": 1}, 1)
    assert load_record(dump_record({"a": (1, {"b": [None]})})) == {"a": (1, {"b": [None]})}


def test_a_large_integer_is_shown_by_its_size():
    """A record with an integer of thousands of digits arrives from every protocol."""
    for protocol in PROTOCOLS:
        loaded = load_record(pickle.dumps({"msg": "kept", "n": 1 << 6000}, protocol))
        assert loaded["msg"] == "kept"
        assert repr(loaded["n"]) in ("<int of 1808 digits>", "<int of 6008 bits>")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_cycles_are_cut(protocol):
    """A recursive dict and list in a client's ``extra`` arrive with the cycle cut."""
    loop = {"a": 1}
    loop["self"] = loop
    ring = [1]
    ring.append(ring)
    loaded = load_record(pickle.dumps({"loop": loop, "ring": ring}, protocol))
    assert repr(loaded) == "{'loop': {'a': 1, 'self': <cycle>}, 'ring': [1, <cycle>]}"


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"}(" + b"N" * opcodes.MAX_OPCODES + b"u.", "too_many_opcodes"),
        (b"cbuiltins\ngetattr\n.", "getattr"), (b"c" + b"x" * 300 + b"\ny\n.", "long_name"),
        (b"Pid\n.", "opcode"), (b"}.x", "trailing"), (b"K\1.", "not_a_record"),
        (b"I" + b"1" * 700 + b"x\n.", "bad_number"), (b"}", "truncated"), (b"", "truncated"),
        (b"X\x02\0\0\0\xff\xfe.", "bad_text"), (b"}(NNN" + b"u.", "malformed"),
    ],
)  # fmt: skip
def test_each_bound_has_its_reason(payload, reason):
    """Each bound has a fixed word for its reason, so that refusals can be counted."""
    with pytest.raises(PayloadError) as caught:
        load_record(payload)
    assert caught.value.reason == reason


def test_large_and_honest_records_are_taken():
    """A message of a megabyte, lists of ten thousand, and a long text used twice are taken."""
    text = "é" * 1_000_000
    fields = {"msg": text, "again": text, "numbers": list(range(10_000)), "names": ["ab"] * 10_000}
    assert load_record(pickle.dumps(fields, 1)) == fields


_leaves = (
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False)
    | st.text(st.characters(blacklist_categories=())) | st.binary(max_size=300) | st.datetimes()
    | st.dates() | st.timedeltas() | st.uuids() | st.decimals(allow_nan=False)
)  # fmt: skip
_values = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner)
    | st.dictionaries(st.text() | st.integers() | st.none(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), _values), st.sampled_from(PROTOCOLS))
def test_generated_records_come_back(fields, protocol):
    """A generated nest of admitted types comes back equal, from any protocol."""
    loaded = load_record(pickle.dumps(fields, protocol))
    assert loaded == fields
    check_inert(loaded)


def test_thousands_of_mutations(scale):
    """Each mutated payload ends in inert values or a PayloadError; the message has the seed."""
    seed, count = random.Random().randrange(2**32), scale(40_000, 100_000)
    taken = fuzz_pickles.run(seed, count, check_inert)
    assert count // 20 < taken < count - count // 20, f"seed {seed}: {taken} taken"
