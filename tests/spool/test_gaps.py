"""Gaps know which numbers are given up, in what order, and how many count as dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loguru_stdbridge.spool.gaps import Gaps


@pytest.fixture
def noted():
    return []


@pytest.fixture
def gaps(noted):
    return Gaps(noted.append)


def test_numbers_are_given_up_once(gaps, noted):
    """Numbers given up twice keep their first reason, and a new highest number is noted."""
    assert not gaps
    gaps.give_up(5, 6, "a")
    gaps.give_up(2, 9, "b")
    gaps.give_up(9, 9, "c")
    assert gaps
    assert [gaps.at(number) for number in (1, 2, 4, 5, 6, 7, 9, 10)] == [
        None, (2, 4, "b"), (4, 4, "b"), (5, 6, "a"), (6, 6, "a"), (7, 9, "b"), (9, 9, "b"), None
    ]  # fmt: skip
    assert gaps.figures() == (8, {"a": 2, "b": 6})
    assert noted == [6, 9]


def test_the_last_number_before_a_gap(gaps):
    """``last_before`` skips all gaps that follow one another."""
    gaps.give_up(3, 4, "a")
    gaps.give_up(5, 6, "b")
    assert [gaps.last_before(number) for number in (2, 6, 7)] == [2, 2, 7]


def test_what_is_acknowledged_without_having_been_told_had_arrived(gaps):
    """An acknowledged number counts as dropped only if the receiver was told that it is missing."""
    gaps.give_up(1, 4, "a")
    gaps.give_up(7, 9, "a")
    gaps.tell(3, 4)
    gaps.settle(3)
    assert gaps.figures() == (4, {"a": 5})
    gaps.settle(8)
    assert gaps.figures() == (1, {"a": 3})
    gaps.settle(9)
    assert not gaps
    assert gaps.figures() == (0, {"a": 2})


def test_what_is_given_up_after_the_telling_is_a_gap_of_its_own(gaps):
    """Numbers given up after a gap was told form a gap of their own."""
    gaps.give_up(1, 4, "a")
    gaps.give_up(5, 6, "a")
    gaps.tell(1, 4)
    assert gaps.at(1) == (1, 4, "a")
    gaps.give_up(7, 7, "a")
    assert gaps.at(5) == (5, 7, "a")
    gaps.tell(5, 7)
    gaps.give_up(8, 8, "a")
    assert gaps.at(8) == (8, 8, "a")


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 12), st.sampled_from("ab"))))
def test_any_numbers_in_any_order(wanted):
    """Gaps agree with a plain table of numbers, whatever is given up in whatever order."""
    gaps, table = Gaps(lambda number: None), {}
    for first, count, reason in wanted:
        gaps.give_up(first, first + count - 1, reason)
        for number in range(first, first + count):
            table.setdefault(number, reason)
    for number in range(1, 60):
        gap = gaps.at(number)
        assert (gap is None) == (number not in table)
        if gap is not None:
            assert all(table[inside] == gap.reason for inside in range(number, gap.last + 1))
    numbers, dropped = gaps.figures()
    assert numbers == len(table) == sum(dropped.values())
