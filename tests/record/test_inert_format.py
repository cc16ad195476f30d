"""The arguments of a stock client's message: put in as logging would, by values that are inert."""

from __future__ import annotations

import decimal
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loguru_stdbridge.record.decode import RemoteValue
from loguru_stdbridge.record.inert_format import MAX_PERCENT_SIGNS, MAX_WIDTH, format_message

REMOTE = RemoteValue("<shop.Order object>")


class Untouchable:
    """A value that fails the test when anything but its type is asked for."""

    def __str__(self):
        raise AssertionError("it was shown without a bound")

    __repr__ = __format__ = __int__ = __float__ = __index__ = __eq__ = __mod__ = __rmod__ = __str__
    __hash__ = None


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("user %s logged in from %s", ("ann", "10.0.0.1")), ("%(n)d items", {"n": 3}),
        ("%d %i %u %5d|%-5d|%05d|%+d|% d", (1, -2, 3, 4, 5, 6, 7, 8)), ("%x %X %#x %o %#o", (255, 255, 255, 8, 8)),
        ("%f %.2f %8.3f|%-8.1f|%+.0f %e %G %g", (1.5, 2.345, 3.0, 4.0, 5.0, 1e9, 1e-9, 0.1)),
        ("%s %r %a %.3s|%10s|%-10r|", ("ü", "ü", "ü", "abcdef", "right", "left")), ("%c%c", ("a", 98)),
        ("100%% of %s", ("it",)), ("%s", ({"a": [1, (2.5, None)]},)), ("%s", {"a": 1}), ("%s", 5), ("%d", 2.9),
        ("%d", (True,)), ("%s %s %s", (None, True, b"bytes")), ("%f", (3,)), ("%f", (decimal.Decimal("1.5"),)),
        ("%d", (decimal.Decimal("2.5"),)), ("%(a)s %(a)r %(b)05.1f", {"a": "x", "b": 2}), ("%ld %hd %Lf", (1, 2, 3.0)),
        ("%s", [1, 2]), ("%f %f", (math.inf, math.nan)), ("%s", ("%s",)), ("%%", (  )), ("%(a b)s", {"a b": 1}),
        ("plain", {"unused": 1}), ("%(a)s %%", {"a": 1, "unused": 2}), ("%s", (REMOTE,)), ("%20s|", (REMOTE,)),
        ("% s", ("x",)), ("%+s %#s %05s", ("a", "b", "c")), ("%-+5d|%+-05d", (1, 2)), ("%.0d %.3d", (0, 7)), ("%.f", (2.5,)),
    ],
)  # fmt: skip
def test_a_message_is_what_logging_makes_of_it(message, arguments):
    """A message with arguments of any plain form is what logging's own formatting makes."""
    record = logging.makeLogRecord({"msg": message, "args": arguments})
    assert format_message(message, arguments) == record.getMessage()


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("%s", ("a", "b")), ("%s %s", ("a",)), ("%d", ("x",)), ("%(a)s", ("x",)), ("%(a)s", {"b": 1}), ("%q", (1,)),
        ("%", (1,)), ("50% off %s", ("x",)), ("%x", (1.5,)), ("%c", ("ab",)), ("%c", (-1,)), ("%d", (math.nan,)),
        ("%f", (10**400,)), ("%d", (REMOTE,)), ("done", ("x",)), ("%(a", {"a": 1}), ("%*d", (5, 1)), ("%.*f", (2, 1.0)),
        (f"%{MAX_WIDTH + 1}d", (1,)), (f"%.{MAX_WIDTH + 1}f", (1.0,)), ("%999999999d", (1,)), ("%" + "9" * 5000 + "d", (1,)),
        ("%(a)s %s", {"a": 1}), ("%d", (None,)), ("%s %(a)s", {"a": 1}), (5, (1,)), ("%%" * MAX_PERCENT_SIGNS, (1,)), ("%i", ([],)), ("%c", (0x110000,)),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_not_put_in(message, arguments):
    """A message whose arguments do not fit, or whose widths have no bound, is left as it is."""
    assert format_message(message, arguments) is None


def test_no_value_that_is_not_inert_is_touched():
    """A value of a strange type is shown by a bounded repr or str, and never compared or converted."""
    for message in ("%d", "%x", "%f", "%c", "%5.2f"):
        assert format_message(message, (Untouchable(),)) is None
    assert format_message("%s", (Untouchable(),)) == "<unprintable Untouchable object>"
    assert format_message("%(a)s", {"a": Untouchable()}) == "<unprintable Untouchable object>"


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("%(a)s" * 9_000, {"a": "x" * 50_000}), ("%(a)r" * 9_000, {"a": list(range(20_000))}),
        ("%255d" * 9_000, tuple(range(9_000))), ("%(a)255s" * 9_000, {"a": ""}), ("%.255f" * 9_000, (1e308,) * 9_000),
    ],
)  # fmt: skip
def test_a_message_grows_in_proportion_to_what_came(message, arguments):
    """A message is cut at a few times the length of its parts, however often one of them is used."""
    shown = len(repr(arguments))
    assert len(format_message(message, arguments)) < 3 * (len(message) + shown) + 10_000


@given(
    st.text("%sdfx(a)0123456789.-+# *l", max_size=20),
    st.lists(st.one_of(st.text(), st.integers(), st.floats())),
)
def test_a_generated_message_is_logging_s_or_left_as_it_is(message, arguments):
    """A message that is formatted at all is formatted as logging does it, and nothing is raised."""
    for given_arguments in (tuple(arguments), {"a": arguments[0] if arguments else 1}):
        formatted = format_message(message, given_arguments)
        if formatted is not None:
            assert formatted == (message % given_arguments if given_arguments else message)
