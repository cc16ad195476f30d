"""Takes the records of a stream into the receiver's loop, as those of one more client.

Lives in the loop. The messages come from :mod:`~loguru_stdbridge.engine.consuming`, pass the same
decoders as a socket's, and their numbers, the ledger and the sink treat them like any others.

Why no record is doubled, and none is skipped in silence
--------------------------------------------------------
* A message is acknowledged to the stream when the ledger has its last record. Killed before that,
  the stream delivers it again, and its records are duplicates by their numbers.
* The stream has each sender's messages in order (:mod:`~loguru_stdbridge.engine.publishing`). So a
  jump in the numbers means that a message is still to be delivered again, or that the stream has
  lost it. The message behind the jump is held meanwhile. When the stream has nothing left below it
  that was not acknowledged, the records before it will not come: they are told as missing, like
  those that a worker has given up, and the message is taken.
* A sender that has said goodbye is forgotten only when every message up to its goodbye is known to
  be acknowledged. An earlier one, delivered again, would be taken for new records.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Callable

from ..engine.address import EngineAddress
from ..engine.consuming import Consumer, StreamMessage
from ..engine.messages import PieceStore, read_message
from ..exceptions import FrameError, PeerError, SequenceError
from ..wire.frames import MAX_PAYLOAD
from ..wire.receiving import (
    Event,
    GapReceived,
    GoodbyeReceived,
    PayloadRefused,
    ReceiverConnection,
    RowsReceived,
)
from .outlets import Outlets
from .reporting import RateLimitedReporter
from .sequencing import SequencedWriter

MAX_TAKEN = 1024 * 1024
"""Bytes of messages that the loop takes in one round."""

MAX_KEPT_BACK = 4 * 1024 * 1024
"""Bytes of messages that are held because an earlier one is missing. More go back to the stream,
which delivers them again."""

MAX_PIECES = 64 * 1024 * 1024
"""Bytes of records that came in several messages, and are not complete."""

FLOOR_INTERVAL = 0.5
"""Seconds between two questions to the stream, while a message is held."""

LONGEST_WAIT = 120.0
"""Seconds after which a message is taken with what is missing before it told, even if the stream
cannot say whether that is still to come."""


class _Held:
    """A message that came before an earlier one of its sender."""

    def __init__(self, number: int, first: int, frames: bytes, numbers: list[int]) -> None:
        self.number = number
        self.first = first
        self.frames = frames
        self.numbers = numbers
        self.since = time.monotonic()


class EngineSource:
    """Used by the receiver's one thread."""

    def __init__(
        self,
        address: EngineAddress,
        create: dict[str, Any] | None,
        wake: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """``wake`` wakes the loop from any thread. Nothing runs before :meth:`start`."""
        self._name = f"stream {address.stream}"
        self._consumer = Consumer(address, create, wake, report)
        self._reporter = RateLimitedReporter(report)
        self._pieces = PieceStore()
        self._due: dict[str, deque[tuple[int, list[int]]]] = {}
        self._settled: list[int] = []
        self._held: dict[str, dict[int, _Held]] = {}
        self._held_size = 0
        self._goodbyes: deque[tuple[int, str]] = deque()
        self._floor_at = 0.0
        self._is_closed = False

    def start(self) -> None:
        """Begin to read the stream."""
        self._consumer.link.start()

    @property
    def is_ready(self) -> bool:
        """Whether something has come."""
        return bool(self._consumer.inbox)

    @property
    def is_connected(self) -> bool:
        """Whether a server serves it."""
        return self._consumer.link.is_connected

    def take_batch(self, records: SequencedWriter) -> None:
        """Hand what has come to ``records``, as much as fits a round."""
        taken = 0
        inbox = self._consumer.inbox
        while inbox and taken < MAX_TAKEN:
            message = inbox.popleft()
            taken += len(message.data)
            self._take(message, records)
        if self._held:
            self._decide(records)

    def note_written(self, outlets: Outlets, now: float) -> None:
        """Acknowledge to the stream what is settled; ask about what is held."""
        for sender, due in list(self._due.items()):
            last = outlets.last(sender)
            while due and due[0][0] <= last:
                self._settled += due.popleft()[1]
            if not due:
                del self._due[sender]
        if self._settled:
            self._consumer.acknowledge(self._settled)
            self._settled = []
        while self._goodbyes and self._goodbyes[0][0] <= self._consumer.floor:
            sender = self._goodbyes.popleft()[1]
            if sender not in self._due and sender not in self._held:
                outlets.retire_sender(sender)
        if now >= self._floor_at and (self._held or self._goodbyes):
            self._floor_at = now + FLOOR_INTERVAL
            held = [number for messages in self._held.values() for number in messages]
            self._consumer.ask_for_floor(min(held) if held else self._goodbyes[0][0] + 1)

    def next_in(self, now: float) -> float:
        """Return the seconds until there is something to do."""
        if self.is_ready:
            return 0.0
        return max(self._floor_at - now, 0.0) if self._held or self._goodbyes else 3600.0

    def close(self) -> None:
        """Leave the stream; it delivers again what is not acknowledged."""
        if not self._is_closed:
            self._is_closed = True
            self._consumer.link.close()

    # -- one message

    def _take(self, message: StreamMessage, records: SequencedWriter) -> None:
        try:
            piece = read_message(message.data)
        except FrameError as error:
            self._refuse([message.number], error)
            return
        if piece.is_whole:
            whole: tuple[bytes, list[int]] | None = (piece.data, [message.number])
        else:
            whole = self._pieces.add(piece, message.number)
            if self._pieces.size > MAX_PIECES:
                self._refuse(
                    self._pieces.drop_largest(),
                    FrameError(f"over {MAX_PIECES} bytes of records that are not complete"),
                )
        if whole is not None:
            self._take_frames(piece.sender, piece.first, *whole, records)
            self._take_held(piece.sender, records)

    def _take_frames(
        self, sender: str, first: int, frames: bytes, numbers: list[int], records: SequencedWriter
    ) -> None:
        if first > records.last(sender) + 1:
            self._hold(sender, _Held(min(numbers), first, frames, numbers))
            return
        try:
            if records.is_in_doubt(sender):
                records.greet(sender, 1)
            self._take_events(sender, frames, min(numbers), records)
        except PeerError as error:
            if isinstance(error, SequenceError) and records.is_in_doubt(sender):
                self._consumer.give_back(numbers)
                return
            self._refuse(numbers, error)
            return
        except Exception as error:  # a bug of ours: the records come again
            self._reporter.report_refusal(self._name, "bug", f"{type(error).__name__}: {error}")
            self._consumer.give_back(numbers)
            return
        last = records.last(sender)
        numbers += self._pieces.drop_through(sender, last)
        self._due.setdefault(sender, deque()).append((last, numbers))

    def _take_events(
        self, sender: str, frames: bytes, number: int, records: SequencedWriter
    ) -> None:
        decoder = ReceiverConnection(MAX_PAYLOAD)
        decoder.sender = sender  # as after a hello: dense frames alone are read
        events: list[Event] = decoder.receive(frames)
        if decoder.pending_bytes:
            raise FrameError("a message that ends inside a frame")
        for event in events:
            if isinstance(event, RowsReceived):
                records.take_rows(sender, event.first, event.rows)
            elif isinstance(event, GapReceived):
                records.take_gap(event, self._name)
            elif isinstance(event, GoodbyeReceived):
                self._goodbyes.append((number, sender))
            elif isinstance(event, PayloadRefused):
                raise event.error
            else:
                raise FrameError(f"a {type(event).__name__} has no place in a stream")

    def _refuse(self, numbers: list[int], error: PeerError) -> None:
        """Tell of a message that cannot be taken. It is acknowledged: else it came for ever."""
        self._reporter.report_refusal(self._name, type(error).__name__, str(error))
        self._settled += numbers

    # -- messages behind a jump

    def _hold(self, sender: str, held: _Held) -> None:
        if self._held_size + len(held.frames) > MAX_KEPT_BACK and self._held:
            self._consumer.give_back(held.numbers)
            return
        self._held.setdefault(sender, {})[held.number] = held
        self._held_size += len(held.frames)

    def _take_held(self, sender: str, records: SequencedWriter) -> None:
        """Take the held messages of a sender that follow now."""
        while sender in self._held:
            messages = self._held[sender]
            held = min(messages.values(), key=lambda each: each.first)
            if held.first > records.last(sender) + 1:
                return
            self._let_go(sender, held)
            self._take_frames(sender, held.first, held.frames, held.numbers, records)

    def _decide(self, records: SequencedWriter) -> None:
        """Take the held messages below which nothing is to come, and tell what is missing."""
        now = time.monotonic()
        for sender in list(self._held):
            while sender in self._held:
                held = min(self._held[sender].values(), key=lambda each: each.number)
                if not self.is_connected:
                    held.since = now
                is_lowest = held.number <= self._consumer.floor + 1
                if not is_lowest and now - held.since < LONGEST_WAIT:
                    break
                self._let_go(sender, held)
                last = records.last(sender)
                if held.first > last + 1:
                    gap = GapReceived(sender, last + 1, held.first - 1, "missing in the stream")
                    records.take_gap(gap, self._name)
                self._take_frames(sender, held.first, held.frames, held.numbers, records)
                self._take_held(sender, records)

    def _let_go(self, sender: str, held: _Held) -> None:
        self._held_size -= len(held.frames)
        messages = self._held[sender]
        del messages[held.number]
        if not messages:
            del self._held[sender]
