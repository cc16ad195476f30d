"""Sends frames to a stream, and says what the stream has confirmed.

Runs in the link's thread. Owns the order of a sender's messages.

Why the stream has a sender's messages in order
-----------------------------------------------
Of each sender one message is on its way at a time: the next one is sent when the stream has
confirmed it. A message that is not confirmed (a timeout, the end of the connection, another leader)
is sent again, perhaps with more frames behind it. So the stream may have a record twice, and its
reader knows it by its number. It never has a record before an earlier one of its sender, and a
reader that sees a jump knows that the stream has lost something. Many frames go in one message, so
a message at a time is no bound in practice.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any, Callable, NamedTuple

from .address import EngineAddress
from .client import NatsTimeoutError, NoRespondersError
from .link import PAUSE_MAX, PAUSE_START, REQUEST_TIMEOUT, EngineError, Link, end_tasks
from .messages import MESSAGE_FRAMES, make_messages
from .stream import find_risks, stream_settings


class OutgoingFrame(NamedTuple):
    """A frame for the stream."""

    sender: str
    subject: str
    first: int
    """The number of its first record."""
    last: int
    """The number up to which the sender is through when the stream has confirmed it."""
    data: bytes


class _Lane:
    """The frames of one sender."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.frames: deque[OutgoingFrame] = deque()
        self.task: asyncio.Task[None] | None = None


class Publisher:
    """The session of a machine's receiver: frames out, confirmations in."""

    def __init__(
        self,
        address: EngineAddress,
        create: dict[str, Any] | None,
        on_confirmed: Callable[[str, int], None],
        report: Callable[[str], None],
    ) -> None:
        """``on_confirmed`` is called in the link's thread with a sender and a number: the stream
        has all of its records up to it. ``create`` has the settings of a stream that is missing."""
        self._address = address
        self._create = create
        self._on_confirmed = on_confirmed
        self._report = report
        self._lanes: dict[str, _Lane] = {}
        self._connection: Any = None
        self._failed: asyncio.Future[None] | None = None
        self._risks_told: list[str] = []
        self.link = Link(address, self, report)

    def submit(self, frames: list[OutgoingFrame]) -> None:
        """Take frames, in the order of each sender's numbers. Safe in any thread."""
        self.link.call(self._take, frames)

    def _take(self, frames: list[OutgoingFrame]) -> None:
        for frame in frames:
            lane = self._lanes.get(frame.sender)
            if lane is None:
                lane = self._lanes[frame.sender] = _Lane(frame.subject)
            lane.frames.append(frame)
            self._drive(frame.sender, lane)

    def _drive(self, sender: str, lane: _Lane) -> None:
        # One that was cancelled before it began has not taken itself out.
        if self._connection is not None and (lane.task is None or lane.task.done()):
            lane.task = asyncio.get_running_loop().create_task(
                self._send_lane(self._connection, sender, lane)
            )

    async def run(self, connection: Any) -> None:
        """Send what there is, and what comes, until the connection ends."""
        await self._look_at_stream(connection)
        self.link.tell_well("the stream takes records again")
        self._connection = connection
        self._failed = asyncio.get_running_loop().create_future()
        try:
            for sender, lane in list(self._lanes.items()):
                self._drive(sender, lane)
            await self._failed
        finally:
            self._connection = None
            tasks = [lane.task for lane in self._lanes.values() if lane.task is not None]
            await end_tasks(tasks)

    async def leave(self, connection: Any) -> None:
        """Nothing is to be said."""

    async def _look_at_stream(self, connection: Any) -> None:
        try:
            settings = await stream_settings(connection, self._address, self._create)
        except NatsTimeoutError:
            # Who may only publish gets no answer. Whether there is a stream shows when it is used.
            return
        risks = find_risks(settings, self._address.outage)
        for risk in risks:
            if risk not in self._risks_told:
                self._report(f"the stream {self._address.stream} may lose records: {risk}")
        self._risks_told = risks

    async def _send_lane(self, connection: Any, sender: str, lane: _Lane) -> None:
        pause = PAUSE_START
        try:
            while lane.frames:
                batch: list[OutgoingFrame] = []
                size = 0
                for frame in lane.frames:
                    if batch and size + len(frame.data) > MESSAGE_FRAMES:
                        break
                    batch.append(frame)
                    size += len(frame.data)
                try:
                    frames = b"".join([frame.data for frame in batch])
                    first, last = batch[0].first, batch[-1].last
                    limit = connection.max_payload
                    for message in make_messages(sender, first, last, frames, limit):
                        await self._send(connection, lane.subject, message)
                except EngineError as error:
                    self.link.tell_trouble(f"{error}; sending again until it is taken")
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, PAUSE_MAX)
                    continue
                pause = PAUSE_START
                for _ in batch:
                    lane.frames.popleft()
                self.link.tell_well("the stream takes records again")
                self._on_confirmed(sender, batch[-1].last)
            self._lanes.pop(sender, None)
        except Exception as error:
            if self._failed is not None and not self._failed.done():
                self._failed.set_exception(error)
        finally:
            lane.task = None
            if lane.frames and self._connection not in (None, connection):
                self._drive(sender, lane)  # the next session has found it at work

    async def _send(self, connection: Any, subject: str, message: bytes) -> None:
        """Send one message, and wait until the stream has confirmed it."""
        try:
            answer = await connection.request(subject, message, timeout=REQUEST_TIMEOUT)
        except NoRespondersError as error:
            raise EngineError(
                f"no stream takes the subject {subject}, or it has no leader now"
            ) from error
        except NatsTimeoutError as error:
            raise EngineError(
                f"the stream has not confirmed a message within {REQUEST_TIMEOUT:g} s"
            ) from error
        try:
            confirmed = json.loads(answer.data)
        except ValueError as error:
            raise EngineError(f"what answers at {subject} is no stream") from error
        trouble = confirmed.get("error")
        if trouble is not None:
            raise EngineError(f"the stream refuses a message: {trouble.get('description')}")
        if confirmed.get("stream") != self._address.stream:
            raise EngineError(
                f"{subject} is a subject of the stream {confirmed.get('stream')!r}, not of "
                f"{self._address.stream!r}: name another with ?subject="
            )
