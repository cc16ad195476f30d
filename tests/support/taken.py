"""Look at the rows that the bridge takes, with no journal, thread or receiver behind it."""

from __future__ import annotations

import pytest

from loguru_stdbridge.record.bounded_json import decode_json
from loguru_stdbridge.record.row import Row, read_row
from loguru_stdbridge.worker.channel import Channel

NOWHERE = "tcp://127.0.0.1:1"
"""An address for a bridge whose rows are taken here."""


class Taken:
    """The rows that channels were given, in order."""

    def __init__(self) -> None:
        self.rows: list[bytes] = []

    def clear(self) -> None:
        self.rows.clear()

    @property
    def records(self) -> list[Row]:
        return [read_row(decode_json(row)) for row in self.rows]

    @property
    def messages(self) -> list[str]:
        return [record.message for record in self.records]


def take_rows(monkeypatch: pytest.MonkeyPatch) -> Taken:
    """Put an object in the place of the channels' journals, and return it."""
    taken = Taken()

    def emit(channel: Channel, row: bytes) -> None:
        taken.rows.append(row)

    monkeypatch.setattr(Channel, "emit", emit)
    monkeypatch.setattr(Channel, "open", lambda channel: None)
    return taken
