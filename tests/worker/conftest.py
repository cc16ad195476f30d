"""The fixtures that the tests of the worker share."""

from __future__ import annotations

import pytest

from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options

NOWHERE = "tcp://127.0.0.1:1"


@pytest.fixture
def make_channel(spool_dir):
    """Return a function that makes channels, to nowhere unless told otherwise; they are closed at
    the end."""
    made = []

    def make_channel(address=NOWHERE, **options):
        channel = Channel(check_options(address, **options))
        made.append(channel)
        return channel

    yield make_channel
    for channel in made:
        channel.close(0.0, patient=False)
