"""TLS handshakes get a small share of each round, the one that has waited longest first."""

from __future__ import annotations

import selectors

import pytest

from loguru_stdbridge.receiver import handshakes as module
from loguru_stdbridge.receiver.handshakes import MAX_HANDSHAKES, MAX_IN_LINE, Handshakes


class Client:
    """Stands for a connection whose handshake takes two steps."""

    def __init__(self, name):
        self.name = name
        self.steps = 0
        self.ended = self.unread = False
        self.interest = selectors.EVENT_READ

    @property
    def is_shaking_hands(self):
        return self.steps < 2

    def has_unread(self):
        return self.unread

    def watch(self, selector, interest):
        self.interest = interest


@pytest.fixture
def clock(monkeypatch):
    """A clock that each step of a handshake moves on by a millisecond."""
    moments = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: moments[0])
    return moments


@pytest.fixture
def dismissed():
    return []


@pytest.fixture
def handshakes(dismissed):
    return Handshakes(None, lambda client, why: dismissed.append((client, why)))


def test_a_round_serves_those_that_have_waited_longest(handshakes, clock):
    """A round takes the steps that fit into two milliseconds, in the order in which they came."""
    served = []

    def serve(client, events):
        client.steps += 1
        clock[0] += 0.001
        served.append(client.name)

    clients = [Client(name) for name in "abcde"]
    for client in clients:
        handshakes.begin(client)
        handshakes.stand_in_line(client)
        assert client.interest == 0
    handshakes.take_turn(serve)
    assert served == ["a", "b"]
    handshakes.stand_in_line(clients[0])
    assert handshakes.are_due
    handshakes.take_turn(serve)
    handshakes.take_turn(serve)
    assert served == ["a", "b", "c", "d", "e", "a"]
    assert not handshakes.are_due


def test_nobody_is_accepted_while_the_line_is_long(handshakes):
    """There is room for as many as the line lacks, and none while it is full."""
    clients = [Client(number) for number in range(MAX_IN_LINE + 1)]
    assert handshakes.room == MAX_IN_LINE
    for client in clients:
        handshakes.stand_in_line(client)
    assert handshakes.room == 0
    clients[0].ended = True
    handshakes.take_turn(lambda client, events: setattr(client, "steps", 2))
    assert handshakes.room == MAX_IN_LINE


def test_the_oldest_silent_ones_leave(handshakes, dismissed):
    """Of too many handshakes the oldest ends whose client is silent and does not stand in line."""
    clients = [Client(number) for number in range(MAX_HANDSHAKES)]
    for client in clients:
        handshakes.begin(client)
    handshakes.bound()
    assert dismissed == []
    handshakes.stand_in_line(clients[0])
    clients[1].unread = True
    handshakes.forget(clients[2])
    for name in "xyz":
        handshakes.begin(Client(name))
    handshakes.bound()
    assert [client for client, _ in dismissed] == [clients[3], clients[4]]
    assert "200 newer ones have begun" in dismissed[0][1]
