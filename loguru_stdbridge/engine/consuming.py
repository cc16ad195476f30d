"""Reads a stream through a durable consumer, and tells the stream what is settled.

Runs in the link's thread. Owns the messages *in hand*: those that have come and are not
acknowledged. It knows nothing of what is in them.

Why nothing is skipped
----------------------
Each message is acknowledged by itself, when what it carries is settled in the ledger. One that was
on its way when this process, the server or the connection ended is not acknowledged, so the server
delivers it again after :data:`ACK_WAIT`. Messages that come meanwhile may be ahead of it. The
reader of the messages waits then, and asks for the *floor*: the server has an acknowledgement for
every message up to it. What is missing before a message that stands just above the floor is in the
stream no more.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any, Callable, NamedTuple

from .address import EngineAddress
from .client import NatsError
from .link import EngineError, Link
from .messages import HEAD_ROOM, MESSAGE_FRAMES
from .stream import StreamAbsentError, find_risks, request, stream_settings

ACK_WAIT = 5.0
"""Seconds after which the server delivers a message again that was not acknowledged."""

MAX_IN_HAND = 8 * 1024 * 1024
"""Bytes of messages in hand beyond which no more are asked for."""

MAX_MESSAGES_IN_HAND = 2000

PULL_SIZE = 200
"""Messages that are asked for at a time."""

EXPIRES = 10.0
"""Seconds after which a request for messages ends, and is made anew."""

HEARTBEAT = 2.0
"""Seconds after which the server shows that it still has the request. Two without one: a new
session."""

_NANOSECONDS = 1_000_000_000

_REQUEST_ENDS = ("Batch Completed", "Message Size Exceeds MaxBytes")
"""What a server says where the bytes of a request are used up; anything else with the status 409
ends the consumer."""


class StreamMessage(NamedTuple):
    """A message of the stream."""

    number: int
    """Its number in the stream."""
    data: bytes


class Consumer:
    """The session of a writer's receiver: messages in, acknowledgements out."""

    def __init__(
        self,
        address: EngineAddress,
        create: dict[str, Any] | None,
        wake: Callable[[], None],
        report: Callable[[str], None],
    ) -> None:
        """``address`` names the consumer. ``wake`` is called when :attr:`inbox` has something."""
        self._address = address
        self._create = create
        self._wake = wake
        self._report = report
        self.inbox: deque[StreamMessage] = deque()
        """Messages in the order in which they came; the loop takes them out."""
        self.floor = 0
        """What the server has told last: every message up to this number is acknowledged."""
        self._in_hand: dict[int, tuple[str, int]] = {}  # how to acknowledge it, and its bytes
        self._size = 0  # bytes in hand
        self._asked = 0  # messages that were asked for and have not come
        self._connection: Any = None
        self._place = ""  # the inbox of the connection
        self._heard_at = 0.0
        self._ended: asyncio.Future[None] | None = None
        self._risks_told: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.link = Link(address, self, report)

    # -- called in any thread

    def acknowledge(self, numbers: list[int]) -> None:
        """Tell the stream that these messages are settled."""
        self.link.call(self._acknowledge, numbers)

    def give_back(self, numbers: list[int]) -> None:
        """Let go of messages: the server delivers them again, a little later."""
        self.link.call(self._give_back, numbers)

    def ask_for_floor(self, below: int) -> None:
        """Have :attr:`floor` brought up to date soon, as far as to the message before ``below``.

        ``wake`` is called then.
        """
        self.link.call(self._spawn_floor, below)

    # -- in the link's thread

    async def run(self, connection: Any) -> None:
        """Take messages until the connection ends."""
        address = self._address
        settings = await stream_settings(connection, address, self._create)
        for risk in find_risks(settings, address.outage):
            if risk not in self._risks_told:
                self._risks_told.append(risk)
                self._report(f"the stream {address.stream} may lose records: {risk}")
        await self._find_consumer(connection)
        self.link.tell_well("records come from the stream again")
        loop = asyncio.get_running_loop()
        self._connection, self._asked = connection, 0
        self._ended = loop.create_future()
        self._place = connection.new_inbox()
        self._heard_at = loop.time()
        try:
            await connection.subscribe(self._place, cb=self._take)
            await self._ask()
            while True:
                done, _ = await asyncio.wait([self._ended], timeout=HEARTBEAT)
                if done:
                    self._ended.result()
                if self._asked and loop.time() - self._heard_at > 3 * HEARTBEAT:
                    raise EngineError("the server is silent; asking it anew")
                await self._ask()
        finally:
            self._connection = None

    async def leave(self, connection: Any) -> None:
        """Give back what is in hand, so that the next reader has it at once."""
        for reply, _ in self._in_hand.values():
            await connection.publish(reply, b"-NAK")
        await connection.flush()

    async def _find_consumer(self, connection: Any) -> None:
        """Make the consumer if it is missing; refuse one that would lose records."""
        address = self._address
        place = f"{address.stream}.{address.consumer}"
        try:
            found = await request(connection, f"CONSUMER.INFO.{place}")
        except StreamAbsentError:
            config: dict[str, Any] = {
                "durable_name": address.consumer,
                "description": "a receiver of loguru_stdbridge",
                "deliver_policy": "all",
                "ack_policy": "explicit",
                "ack_wait": int(ACK_WAIT * _NANOSECONDS),
                "max_ack_pending": 2 * MAX_MESSAGES_IN_HAND,
                "max_deliver": -1,
                "replay_policy": "instant",
            }
            if address.subject:
                config["filter_subject"] = address.subject
            fields = {"stream_name": address.stream, "config": config}
            found = await request(connection, f"CONSUMER.DURABLE.CREATE.{place}", fields)
        config = found["config"]
        wrong = [
            f"{name}={config.get(name)!r}"
            for name, good in (
                ("ack_policy", ("explicit",)), ("deliver_subject", (None, "")),
                ("max_deliver", (-1, None)),
                ("filter_subject", (address.subject or None, "", None)),
            )
            if config.get(name) not in good
        ]  # fmt: skip
        if address.subject and config.get("filter_subject") != address.subject:
            wrong.append(f"filter_subject={config.get('filter_subject')!r}")
        if wrong:
            raise EngineError(
                f"the consumer {address.consumer!r} is another one's ({', '.join(wrong)}): name "
                "another with ?consumer=NAME, or remove it"
            )
        self.floor = found["ack_floor"]["stream_seq"]

    async def _ask(self) -> None:
        """Ask for more messages, if there is room for them."""
        if self._connection is None or self._asked > PULL_SIZE // 2:
            return
        if self._size >= MAX_IN_HAND or len(self._in_hand) >= MAX_MESSAGES_IN_HAND:
            return
        largest = max(MESSAGE_FRAMES + HEAD_ROOM, self._connection.max_payload)
        wanted = {
            "batch": PULL_SIZE,
            "max_bytes": max(MAX_IN_HAND // 2, 2 * largest),
            "expires": int(EXPIRES * _NANOSECONDS),
            "idle_heartbeat": int(HEARTBEAT * _NANOSECONDS),
        }
        self._asked += PULL_SIZE
        address = self._address
        await self._connection.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{address.stream}.{address.consumer}",
            json.dumps(wanted).encode(),
            reply=self._place,
        )

    async def _take(self, message: Any) -> None:
        """Take what has come to the inbox: a message, or what the server says of a request."""
        self._heard_at = asyncio.get_running_loop().time()
        if not message.reply or not message.reply.startswith("$JS.ACK."):
            await self._take_status(message)
            return
        parts = message.reply.split(".")
        number = int(parts[5] if len(parts) == 9 else parts[7])
        self._asked = max(self._asked - 1, 0)
        is_new = number not in self._in_hand
        size = len(message.data)
        self._in_hand[number] = (message.reply, size)
        if is_new:
            self._size += size
            self.inbox.append(StreamMessage(number, message.data))
            self._wake()
        await self._ask()

    async def _take_status(self, message: Any) -> None:
        headers = message.headers or {}
        status = headers.get("Status", "")
        if status in ("100", ""):  # a sign of life
            return
        self._asked = max(self._asked - int(headers.get("Nats-Pending-Messages", PULL_SIZE)), 0)
        what = headers.get("Description", "")
        if status not in ("404", "408") and what not in _REQUEST_ENDS:
            self._end(EngineError(f"the consumer has ended: {what or status}"))
            return
        await self._ask()

    def _end(self, error: Exception) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    def _acknowledge(self, numbers: list[int]) -> None:
        replies = self._let_go(numbers)
        if replies and self._connection is not None:
            self._spawn(self._answer(self._connection, replies, b"+ACK"))

    def _give_back(self, numbers: list[int]) -> None:
        replies = self._let_go(numbers)
        if replies and self._connection is not None:
            delay = json.dumps({"delay": int(ACK_WAIT * _NANOSECONDS)}).encode()
            self._spawn(self._answer(self._connection, replies, b"-NAK " + delay))

    def _let_go(self, numbers: list[int]) -> list[str]:
        """Take messages out of the hand; return how each of them is answered."""
        replies = []
        for number in numbers:
            reply, size = self._in_hand.pop(number, ("", 0))
            if reply:
                replies.append(reply)
                self._size -= size
        return replies

    async def _answer(self, connection: Any, replies: list[str], answer: bytes) -> None:
        for reply in replies:
            await connection.publish(reply, answer)
        await self._ask()

    def _spawn_floor(self, below: int) -> None:
        if self._connection is not None:
            self._spawn(self._read_floor(self._connection, below))

    async def _read_floor(self, connection: Any, below: int) -> None:
        """Ask for the floor. It counts what was acknowledged, and not what is in the stream no
        more: so where nothing is left between the floor and ``below``, it is just under that."""
        address = self._address
        found = await request(connection, f"CONSUMER.INFO.{address.stream}.{address.consumer}")
        floor: int = found["ack_floor"]["stream_seq"]
        if floor < below - 1:
            wanted = {"seq": floor + 1, "next_by_subj": address.subject or ">"}
            try:
                answer = await request(connection, f"STREAM.MSG.GET.{address.stream}", wanted)
                if answer["message"]["seq"] >= below:
                    floor = below - 1
            except (EngineError, NatsError):  # not allowed: it takes a longer wait then
                pass
        if floor > self.floor:
            self.floor = floor
            self._wake()

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Any) -> None:
        try:
            await work
        except Exception as error:
            self._end(error)
