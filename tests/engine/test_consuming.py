"""What a server says of a request for messages: go on, or begin anew."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from loguru_stdbridge.engine.address import parse_engine_address
from loguru_stdbridge.engine.consuming import PULL_SIZE, Consumer


@pytest.fixture
def consumer():
    consumer = Consumer(
        parse_engine_address("nats://h/logs?consumer=c"), None, lambda: None, lambda text: None
    )
    yield consumer
    consumer.link.close()


def hear(consumer, status, what="", left=None):
    """Let the consumer hear a status; return the error by which its session ends, if it does."""
    headers = {"Status": status, "Description": what}
    if left is not None:
        headers["Nats-Pending-Messages"] = str(left)

    async def take():
        consumer._ended = asyncio.get_running_loop().create_future()
        consumer._asked = 2 * PULL_SIZE
        await consumer._take_status(SimpleNamespace(headers=headers))
        return consumer._ended.exception() if consumer._ended.done() else None

    return asyncio.run(take())


@pytest.mark.parametrize(
    ("status", "what"),
    [
        ("404", "No Messages"),
        ("408", "Request Timeout"),
        ("409", "Batch Completed"),
        ("409", "Message Size Exceeds MaxBytes"),
    ],
)
def test_a_request_that_is_used_up_is_made_again(consumer, status, what):
    """A request that has ended in order ends no session, and what it did not bring is due again."""
    assert hear(consumer, status, what, left=50) is None
    assert consumer._asked == 2 * PULL_SIZE - 50


@pytest.mark.parametrize("what", ["Consumer Deleted", "Leadership Change", "Server Shutdown"])
def test_a_consumer_that_has_ended_ends_the_session(consumer, what):
    """A consumer that is gone, or serves from elsewhere, is looked for anew."""
    assert what in str(hear(consumer, "409", what))


def test_a_sign_of_life_changes_nothing(consumer):
    """A heartbeat leaves what was asked for."""
    assert hear(consumer, "100") is None
    assert consumer._asked == 2 * PULL_SIZE
