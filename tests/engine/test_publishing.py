"""A sender's frames go to the stream one message at a time, and again until they are confirmed."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import pytest

from loguru_stdbridge.engine.address import parse_engine_address
from loguru_stdbridge.engine.client import NatsTimeoutError
from loguru_stdbridge.engine.messages import read_message
from loguru_stdbridge.engine.publishing import OutgoingFrame, Publisher

A, B = "a" * 32, "b" * 32


class Server:
    """A connection to a stream that keeps what it is sent; ``fails`` says what goes wrong first."""

    max_payload = 1_000_000

    def __init__(self, *fails):
        self.fails = list(fails)
        self.kept, self.on_their_way, self.most = [], {}, 0

    async def request(self, subject, message, timeout):
        if subject.startswith("$JS.API.STREAM.INFO"):
            config = {"storage": "file", "num_replicas": 3}
            return self.answer({"config": config, "state": {"first_seq": 1}})
        sender = read_message(message).sender
        self.on_their_way[sender] = self.on_their_way.get(sender, 0) + 1
        self.most = max(self.most, self.on_their_way[sender])
        await asyncio.sleep(0)
        self.on_their_way[sender] -= 1
        fail = self.fails.pop(0) if self.fails else None
        if fail == "lost":
            raise NatsTimeoutError
        self.kept.append(read_message(message))
        if fail == "not confirmed":
            raise NatsTimeoutError
        return self.answer({"stream": "other" if fail == "elsewhere" else "logs", "seq": 1})

    def answer(self, fields):
        return SimpleNamespace(data=json.dumps(fields).encode())


@pytest.fixture
def stage():
    """A publisher, what it has confirmed, and what it has told."""
    confirmed, told = [], []
    publisher = Publisher(
        parse_engine_address("nats://h/logs"),
        None,
        lambda *what: confirmed.append(what),
        told.append,
    )
    yield publisher, confirmed, told
    publisher.link.close()


def frames(sender, first, count):
    return [
        OutgoingFrame(sender, "logs.h.p", n, n, b"%d," % n) for n in range(first, first + count)
    ]


async def run_session(publisher, server, until, frames=()):
    """Run a session over a connection until a condition holds, then end it as a broken one is."""
    session = asyncio.ensure_future(publisher.run(server))
    publisher._take(list(frames))
    await with_timeout(until, session)
    session.cancel()
    await asyncio.gather(session, return_exceptions=True)


async def with_timeout(until, session):
    async def wait():
        while not until() and not session.done():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 20)


def numbers(server, sender):
    return [int(n) for m in server.kept if m.sender == sender for n in m.data.split(b",")[:-1]]


def test_a_sender_has_one_message_on_its_way(stage):
    """Each sender's frames are kept in order, in few messages, never two of one sender at a time."""
    publisher, confirmed, _ = stage
    server = Server()
    given = [*frames(A, 1, 500), *frames(B, 1, 500)]
    until = lambda: {(A, 500), (B, 500)} <= set(confirmed)  # noqa: E731
    asyncio.run(run_session(publisher, server, until, given))
    assert numbers(server, A) == numbers(server, B) == list(range(1, 501))
    assert server.most == 1
    assert len(server.kept) < 20


@pytest.mark.parametrize("fail", ["lost", "not confirmed"])
def test_what_is_not_confirmed_is_sent_again(stage, fail):
    """A message without an answer is sent again, before anything behind it."""
    publisher, confirmed, told = stage
    server = Server(fail)
    asyncio.run(run_session(publisher, server, lambda: (A, 3) in confirmed, frames(A, 1, 3)))
    assert list(dict.fromkeys(numbers(server, A))) == [1, 2, 3]
    assert "has not confirmed" in told[0] and "takes records again" in told[-1]


def test_a_stream_of_another_name_confirms_nothing(stage):
    """An answer of another stream is told, and counts as none."""
    publisher, confirmed, told = stage
    server = Server("elsewhere")
    asyncio.run(run_session(publisher, server, lambda: confirmed, frames(A, 1, 1)))
    assert "a subject of the stream 'other'" in told[0]


def test_the_next_session_goes_on_where_one_was_broken_off(stage):
    """What a broken session has not confirmed goes over the next one, whenever it broke."""
    publisher, confirmed, _ = stage

    async def main():
        first = Server()
        session = asyncio.ensure_future(publisher.run(first))
        while publisher._connection is None:
            await asyncio.sleep(0)
        session.cancel()
        publisher._take(frames(A, 1, 3))  # its task has not begun when the session ends
        await asyncio.gather(session, return_exceptions=True)
        assert confirmed == []
        second = Server()
        await run_session(publisher, second, lambda: (A, 3) in confirmed)
        assert numbers(second, A) == [1, 2, 3]

    asyncio.run(main())
