"""What a receiver may ask of a record, and what a stranger may claim, stays within bounds."""

from __future__ import annotations

import json

import pytest
from loguru._colorizer import Colorizer

from loguru_stdbridge.record.decode import RemoteValue
from loguru_stdbridge.record.formatted import format_values, give_formats
from loguru_stdbridge.record.markup import dump_markup, load_markup
from loguru_stdbridge.record.sink_needs import (
    ASCII,
    MAX_VALUES_SHOWN,
    PAINTED,
    PAINTED_ASCII,
    PLAIN,
    SinkNeeds,
    dump_needs,
    join_needs,
    load_needs,
    needs_of,
)


@pytest.mark.parametrize(
    ("template", "values"),
    [
        ("{message} {level: <8} {time:YYYY} {extra}", [(("extra",), "")]),
        ("{extra[user]} {extra[user]!r:>9}", [(("extra", "user"), "")]),
        ("{extra[a][0]:x} {own:long}", [(("extra", "a", 0), "x"), (("own",), "long")]),
        ("{extra[user].password} {process.name}", []),
        ("{extra[x]:>99999} {extra[x]:{extra[y]}}", []),
        ("{extra[x", []),
        (lambda record: "", []),
    ],
)  # fmt: skip
def test_a_format_tells_the_values_that_it_shows(template, values):
    """A format names the values that their own class has to format, and nothing that reaches far."""
    needs = needs_of(template, 10, colorize=False, encoding="utf8")
    assert list(needs.values) == values
    assert load_needs(json.loads(json.dumps(dump_needs(needs)))) == needs


@pytest.mark.parametrize(
    ("encoding", "looks"),
    [("utf8", (PLAIN, PAINTED)), ("ascii", (ASCII, PAINTED_ASCII)), ("cp437", (PLAIN, PAINTED)),
     ("no such", (ASCII, PAINTED_ASCII)), (None, (ASCII, PAINTED_ASCII))],
)  # fmt: skip
def test_an_encoding_decides_how_tracebacks_are_drawn(encoding, looks):
    """A traceback is drawn with boxes where the encoding has them, painted or not."""
    for colorize, look in zip((False, True), looks):
        needs = needs_of("", 0, colorize=colorize, encoding=encoding)
        assert needs.tracebacks == (look,)
        assert needs.painted == colorize


def test_several_sinks_need_the_least_level_and_all_looks():
    """Several sinks together need the least level, each look once, and all values."""
    one = SinkNeeds(30, (PAINTED,), ((("extra", "a"), "x"),))
    other = SinkNeeds(10, (PLAIN, PAINTED), ((("extra", "a"), "x"), (("own",), "")))
    assert join_needs([one, other]) == SinkNeeds(10, (PLAIN, PAINTED), other.values)


@pytest.mark.parametrize(
    "told",
    [None, 5, {}, [], ["10", [], []], [-1, [], []], [2**31, [], []], [10, 5, []], [10, [], [[1]]],
     [10, [], [["extra", "x", "y"]]], [True, [], []], [10, [], 5]],
)  # fmt: skip
def test_needs_of_another_form_are_none(told):
    """What has not the form of a receiver's needs is not obeyed."""
    assert load_needs(told) is None


@pytest.mark.parametrize(
    ("keys", "how"),
    [
        (["extra", "x"], ">999999999"), (["extra", "x"], "x" * 101), (["process", "name"], ""),
        ([], ""), (["extra"] * 11, ""), (["extra", 1.5], ""), ([5], ""), (["extra", "x"], None),
        (["extra", ["x"]], ""),
    ],
)  # fmt: skip
def test_values_that_reach_too_far_are_left_out(keys, how):
    """A wide column, a deep way and a way that is none are left out of what a receiver asks for."""
    needs = load_needs([10, [PLAIN, "other"], [[keys, how], [["extra", "y"], "z"]]])
    assert needs == SinkNeeds(10, (PLAIN,), ((("extra", "y"), "z"),))


def test_a_receiver_has_no_more_than_so_many_values_formatted():
    """A receiver that asks for very many values gets the first of them."""
    needs = load_needs([10, [], [[["extra", f"x{number}"], ""] for number in range(5000)]])
    assert len(needs.values) == MAX_VALUES_SHOWN


class Odd:
    def __format__(self, specification):
        if specification == "raise":
            raise RuntimeError(specification)
        return 5 if specification == "number" else f"<{specification}>" * 5000


def test_only_what_the_receiver_cannot_format_is_formatted():
    """A value of a builtin type, an absent one and one whose class raises send no text."""
    record = {"extra": {"odd": Odd(), "text": "x", "list": [Odd(), 1]}, "own": Odd()}
    ways = [("extra", "odd"), ("extra", "text"), ("extra", "none"), ("extra", "list", 0),
            ("extra", "list", 1), ("extra", "list", 9), ("own",)]  # fmt: skip
    found = format_values(record, [(keys, "a") for keys in ways])
    assert [tuple(keys) for keys, _, _ in found] == [ways[0], ways[3], ways[6]]
    assert all(len(text) < 9000 for _, _, text in found)
    assert format_values(record, [(("own",), "raise"), (("own",), "number")]) == []


@pytest.mark.parametrize(
    "formatted",
    [None, 5, "x", {}, [5], [[["extra", "v"], "s", 5]], [[["extra", "v"], 5, "t"]], [[5, "s", "t"]],
     [[["extra", "missing"], "s", "t"]], [[["extra", "text"], "s", "t"]], [[[[]], "s", "t"]],
     [[["__class__"], "s", "t"]], [[["extra"] * 50, "s", "t"]]],
)  # fmt: skip
def test_formats_that_fit_no_value_are_left_out(formatted):
    """A stranger's list of formatted values changes nothing where it fits no value."""
    value = RemoteValue("shown")
    give_formats({"extra": {"v": value, "text": "x"}}, formatted)
    assert value.formats == {}
    assert f"{value:>7}" == "  shown"


MARKED = [
    "<red>a</red> b", "<level>x</level><bold><bg #ff0000>é 😀</bg #ff0000></bold>", "\\<red> <u>v</u>",
    "<fg 5>\ud83d</fg 5>", "<lvl></lvl>",
]  # fmt: skip


@pytest.mark.parametrize("text", MARKED)
def test_the_colors_of_a_message_come_out_as_they_were(text):
    """Markup becomes a list beside the message, and loguru's own tokens again."""
    colored = Colorizer.prepare_simple_message(text)
    marks = json.loads(json.dumps(dump_markup(colored, colored.stripped)))
    tokens = load_markup(marks, colored.stripped)
    assert tokens == [token for token in colored.tokens if token != (1, "")]


def test_a_message_without_colors_has_no_list():
    """A message without markup, and one that a patcher has changed, have no list of colours."""
    plain = Colorizer.prepare_simple_message("plain")
    assert dump_markup(plain, "plain") is None
    red = Colorizer.prepare_simple_message("<red>x</red>")
    assert dump_markup(red, "y") is None
    assert dump_markup(None, "x") is None
    assert dump_markup(object(), "x") is None


@pytest.mark.parametrize(
    "marks",
    [
        [2], [4], [1, 3], [True, 2], [0, 3], [-1, 4], [3, "31m\x1b]0;title\x07"], [3, "31\n"],
        ["3" * 21, 3], [3, 1.5], [[3]], [3, {}], [2**70], [3] + [None] * 10_000, ["", 3], [],
    ],
)  # fmt: skip
def test_a_list_that_does_not_fit_its_message_is_ignored(marks):
    """A stranger's list of colours that adds, hides or repeats a character is ignored."""
    assert load_markup(marks, "abc") is None
