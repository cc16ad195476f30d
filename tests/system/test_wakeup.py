"""A wake-up call reaches a thread that sleeps on a selector."""

from __future__ import annotations

import selectors

import pytest

from loguru_stdbridge.system.wakeup import WakeUp


@pytest.fixture
def watched():
    """A wake-up and a selector that watches it."""
    wakeup = WakeUp()
    with selectors.DefaultSelector() as selector:
        selector.register(wakeup, selectors.EVENT_READ)
        yield wakeup, selector
    wakeup.close()


def test_a_wake_up_is_seen_until_it_is_drained(watched):
    """The selector finds the wake-up ready from the call on, and not after the drain."""
    wakeup, selector = watched
    assert selector.select(0) == []
    wakeup.wake()
    wakeup.wake()
    assert [key.fileobj for key, _ in selector.select(0)] == [wakeup]
    wakeup.drain()
    assert selector.select(0) == []
    wakeup.drain()


def test_a_wake_up_never_blocks(watched):
    """A wake-up that nobody drains takes any number of calls."""
    wakeup, selector = watched
    for _ in range(100_000):
        wakeup.wake()
    assert len(selector.select(0)) == 1


def test_a_closed_wake_up_is_silent():
    """A closed wake-up ignores calls, so a thread that has ended harms no caller."""
    wakeup = WakeUp()
    wakeup.close()
    wakeup.wake()
    wakeup.drain()
