"""The messages of a stream: whole or in pieces, and what is none."""

from __future__ import annotations

import random

import pytest

from loguru_stdbridge.engine.messages import (
    HEAD_ROOM,
    PieceStore,
    make_messages,
    read_message,
)
from loguru_stdbridge.exceptions import FrameError

SENDER = "0123456789abcdef" * 2


def test_frames_come_back_from_one_message():
    """Frames that fit one message are in it as they are."""
    (message,) = make_messages(SENDER, 5, 9, b"frames", 1000)
    piece = read_message(message)
    assert (piece.sender, piece.first, piece.last, piece.data) == (SENDER, 5, 9, b"frames")
    assert piece.is_whole


def test_pieces_make_the_frames_in_any_order_and_twice():
    """A store of pieces returns the frames once all of them have come, whatever comes twice."""
    frames = bytes(range(256)) * 10
    messages = list(make_messages(SENDER, 1, 1, frames, HEAD_ROOM + 300))
    assert len(messages) == 9
    order = [*range(8), *range(8)]
    random.Random(3).shuffle(order)
    store = PieceStore()
    for number, index in enumerate(order):
        assert store.add(read_message(messages[index]), number) is None
    assert store.add(read_message(messages[8]), 99) == (frames, [*range(16), 99])
    assert store.size == 0


def test_pieces_of_what_came_by_other_ways_are_dropped():
    """A store of pieces lets go of those whose last record has been taken, and of no others."""
    store = PieceStore()
    first, *_ = make_messages(SENDER, 1, 4, b"x" * 500, HEAD_ROOM + 300)
    store.add(read_message(first), 7)
    assert store.drop_through(SENDER, 3) == []
    assert store.drop_through(SENDER, 4) == [7]
    assert store.size == 0


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b"stdbridge 1 " + SENDER.encode() + b" 1 1 0 5\n",
        b"stdbridge 1 " + SENDER.encode() + b" 0 1 0 5\nabcde",
        b"stdbridge 1 " + SENDER.encode() + b" 3 2 0 5\nabcde",
        b"stdbridge 1 " + SENDER.encode() + b" 1 1 1 5\nabcde",
        b"stdbridge 1 " + SENDER.encode() + b" 1 1 0 999999999\nabcde",
        b"stdbridge 2 " + SENDER.encode() + b" 1 1 0 5\nabcde",
    ],
)
def test_what_is_no_message_is_refused(message):
    """A message that is none of ours, or of another version, is refused."""
    with pytest.raises(FrameError):
        read_message(message)
