"""Rows: their layout, their bounds, and payloads that are no rows."""

import json

import pytest

from loguru_stdbridge.exceptions import RowError
from loguru_stdbridge.record.bounded_json import (
    MAX_DIGITS,
    MAX_FRAME_CONTAINERS,
    MAX_FRAME_SURROGATES,
    MAX_FRAME_VALUES,
    MAX_SMALL_FRAME,
    decode_json,
    is_bounded,
)
from loguru_stdbridge.record.row import FLAG_TAGGED, MAX_ROWS, ROW_LENGTH, Row, encode_row, read_row
from loguru_stdbridge.wire.payloads import MAX_SEQUENCE, encode_control, encode_rows, split_rows

FIELDS = [
    0, 1.5, 3600.0, "CET", 0.25, 20, "INFO", "i", None, "message", "name", "function", 7, "f.py",
    "/f.py", "f", 1, "MainProcess", 2, "MainThread", None, {"a": 1},
]  # fmt: skip


def test_the_bytes_of_a_frame_of_rows():
    """A frame of rows is a JSON list of the first number and the rows, to the byte."""
    assert encode_row([1, "ü", None]) == '[1,"ü",null]'.encode()
    assert encode_rows(5, [b"[1]", memoryview(b"[2]")]) == b"[5,[1],[2]]"
    assert encode_control({"bye": 5}) == b'{"bye":5}'


def test_a_row_comes_back():
    """A row that is written is read again, field by field."""
    first, rows = split_rows(decode_json(encode_rows(9, [encode_row(FIELDS)] * 2)))
    assert first == 9
    assert [read_row(row) for row in rows] == [Row(*FIELDS)] * 2


@pytest.mark.parametrize(
    "text", ["\ud83d", "\ud83d\ude00", "\ude00\ud83d", "😀", "\0\x1f\u2028\x7f"]
)
def test_any_text_comes_back(text):
    """Lone surrogates, and two that are not one character, stay what they were."""
    assert decode_json(encode_row([text])) == [text]


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"[", b"nonsense", b"\xff\xfe", b"[1,[2]", b'["\x01"]', b"5", b'"text"', b"null",
        b"[" * 100_000, b'{"a":' * 40_000,
        b"[" + b"1" * 10_000 + b"]", b"[-" + b"1" * 1_000_000 + b"]",
    ],
)  # fmt: skip
def test_a_payload_that_is_no_dense_frame_is_refused(payload):
    """A broken, deep, crowded or endless payload is a RowError, at a cost that its size allows."""
    with pytest.raises(RowError):
        decode_json(payload)


PAD = b'"' + b"x" * MAX_SMALL_FRAME + b'"]'
CROWDED = {
    "containers": (b"[", b"[],", MAX_FRAME_CONTAINERS),
    "objects": (b"[", b"{},", MAX_FRAME_CONTAINERS),
    "values": (b"[", b"1,", MAX_FRAME_VALUES),
    "surrogates": (b'["', b"\xed\xa0\xbd", MAX_FRAME_SURROGATES),
    "digits": (b"[", b"1", MAX_DIGITS),
}


@pytest.mark.parametrize("name", sorted(CROWDED))
def test_a_large_payload_is_refused_for_what_it_is_crowded_with(name):
    """A large payload is taken up to each bound, and refused beyond it before anything is made of it."""
    begin, one, most = CROWDED[name]
    end = b'",' if name == "surrogates" else b"," if name == "digits" else b""
    few = begin + one * (most - 3) + end + PAD
    assert len(decode_json(few)) > 1
    assert is_bounded(few)
    many = begin + one * (most + 3) + end + PAD
    assert not is_bounded(many)
    with pytest.raises(RowError, match="at most|more than"):
        decode_json(many)


def test_what_is_inside_texts_does_not_count():
    """A message that is full of brackets, commas and digits passes, whatever quotes it holds."""
    for text in ("[{,", '\\"[,', "\\\\[,", '\\\\"', "7" * 700, 'a "quoted, [word]"'):
        fields = [text * (MAX_FRAME_VALUES + 1), '"\\"[']
        assert decode_json(encode_row(fields)) == fields


def test_a_small_payload_is_bounded_by_its_size():
    """A frame of the size that a sender makes is never refused for what it is crowded with."""
    for one in (b"[],", b"1,", b"{},"):
        payload = b"[" + one * (128 * 1024 // len(one)) + b"1]"
        assert len(decode_json(payload)) > 1


def test_a_frame_of_too_many_rows_is_refused():
    """A frame of more than MAX_ROWS rows is refused: each row costs a line, however small it is."""
    assert len(split_rows([1, *[[]] * MAX_ROWS])[1]) == MAX_ROWS
    with pytest.raises(RowError, match=f"{MAX_ROWS + 1} rows, {MAX_ROWS} at most"):
        split_rows([1, *[[]] * (MAX_ROWS + 1)])


@pytest.mark.parametrize(
    "decoded", [[], [1], [0, []], [-1, []], ["1", []], [1.0, []], [True, []], [1 << 60, []]]
)
def test_a_frame_without_a_sequence_number_is_refused(decoded):
    """A frame of rows needs the number of the first of them."""
    with pytest.raises(RowError):
        split_rows(decoded)


@pytest.mark.parametrize("row", [None, 1, "row", {}, [], [1] * (ROW_LENGTH - 1)])
def test_what_is_no_row_is_refused(row):
    """A value that is no list of all fields is refused as a row."""
    with pytest.raises(RowError):
        read_row(row)


@pytest.mark.parametrize("index", range(ROW_LENGTH))
@pytest.mark.parametrize("wrong", [{"a": 1}, [1], "text", 5, 1.5, True, None])
def test_a_field_of_a_wrong_type_costs_itself_only(index, wrong):
    """A row with one field of a wrong type arrives with its other fields, and can be rendered."""
    fields = list(FIELDS)
    fields[index] = wrong
    row = read_row(json.loads(json.dumps(fields)))
    for position, (value, given) in enumerate(zip(row, FIELDS)):
        if position != index:
            assert value == given
        else:
            assert type(value) in (type(given), int, float, str, list, dict, type(None))
    assert isinstance(row.extra, dict)
    assert isinstance(row.message, str)
    assert type(row.level_no) is int


def test_a_later_version_may_add_fields():
    """A row may have ``more`` after its fields, and anything after that, which is ignored."""
    assert read_row([*FIELDS, {"own": 1}, "later"]).more == {"own": 1}
    assert read_row([*FIELDS, None]).more is None


@pytest.mark.parametrize(
    ("extra", "shown"), [({"~": ["tuple", []]}, "()"), ({"~": ["int", "0x5"]}, "5"), ({"~": 5}, "<unreadable value>")]
)  # fmt: skip
def test_an_extra_that_is_no_dict_goes_under_its_own_name(extra, shown):
    """A tagged value of another type than a dict arrives under the key ``extra``."""
    fields = list(FIELDS)
    fields[0], fields[-1] = FLAG_TAGGED, extra
    assert f"{read_row(fields).extra}" == f"{{'extra': {shown}}}"


@pytest.mark.parametrize("name", sorted(CROWDED))
def test_a_row_that_is_bounded_fits_a_frame(name):
    """A row is within the bounds only if the frame around it is, too, at every edge."""
    begin, one, most = CROWDED[name]
    end = b'",' if name == "surrogates" else b"," if name == "digits" else b""
    rows = [begin + one * count + end + PAD for count in range(most - 5, most + 3)]
    sizes = range(MAX_SMALL_FRAME - 40, MAX_SMALL_FRAME + 5)
    rows += [b"[" + b"[]," * (size // 3) + b" " * (size % 3) + b"1]" for size in sizes]
    taken = [row for row in rows if is_bounded(row)]
    assert 0 < len(taken) < len(rows)
    for row in taken:
        assert len(decode_json(encode_rows(MAX_SEQUENCE - 1, [row]))) == 2
