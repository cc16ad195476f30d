"""What worker and receiver say to each other: the mark, the greeting, acknowledgements, duplicates.

Sans-IO: bytes in, events out. No sockets, threads, clocks or files here. The worker's side is in
this module, the receiver's in :mod:`receiver.protocol`.

The conversation
----------------
1. The worker's first frame is the *hello*: its oldest undelivered record as an ordinary stock
   payload, which carries the mark ``stdbridge`` with the protocol's version, the sender's id, the
   record's sequence number, ``base`` (the lowest number that the sender still holds) and the exact
   row. A stock receiver logs it as one more record. Where the lowest numbers were given up, it is a
   *notice* of that, for a stock receiver: one of ours only greets, and is told of the gap after
   that, when it is known what had arrived before.
2. The receiver answers at once, before anything is written, with the *greeting*: a framed JSON
   object with the last number it holds from this sender, the log that it writes (a worker whose
   records belong to another says so and leaves), and its sink's line format, where workers
   may render for it (:mod:`record.line_format`). It has said nothing before: a stock
   client never reads its socket, and unread bytes at its close would turn into a reset that
   destroys what it still had to send.
3. From then on the worker sends dense frames (:mod:`rows`), and the receiver cumulative
   *acknowledgements* (8 bytes): everything up to N is in the file.
4. ``{"gap": [first, last, reason]}`` says that the sender has given these numbers up, and
   ``{"bye": N}`` that it will never send again.

Why nothing is lost and nothing doubled
---------------------------------------
A sender numbers its records 1, 2, 3, ... and gives a record up only after its acknowledgement or by
a gap. :class:`~receiver.protocol.Sequencer` admits exactly the next number; a lower one is a
duplicate and is dropped, a higher one is refused, so a record can neither be taken twice nor
skipped in silence. The one jump that is admitted is ``base`` at the hello: the sender holds nothing
below it any more, so waiting for it would wait for ever.

The sender's id is a secret
---------------------------
The numbers protect a sender from losses, not from an impostor: whoever says its hello with its id
can send records ahead of it, jump its numbers or say its goodbye, and what the true sender sends
then is taken for duplicates. So the id is 128 random bits that only its owner knows, and whoever
delivers its journal: they stand in the name of that journal, in a directory of mode 0700, and in
the first frame to the receiver. No message shows more than eight of its 32 digits, which leaves 96
bits to guess, while the sender lives (a dead one's damaged journal is kept under its name). A
second connection with the same id cannot be refused: it is how the owner comes back while its first
connection is not known to be dead. The first one is heard out, and ended, before the second is
greeted: what a greeting does not count can come by that connection only. Over a network that others
can listen in on, the id is as open as the records are.

The worker trusts its receiver with the records and with nothing else. It takes an acknowledgement
for what it has sent and a greeting for numbers that it has given out; anything else is no receiver
of ours, and the records stay where they are.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any, NamedTuple, Union

from ..addresses import LogName
from ..exceptions import OtherLogError, PeerError
from ..pickles.write import dump_record
from ..record.line_format import LineFormat, make_line_format
from ..record.row import MAX_ROW, decode_dense, encode_control, encode_rows_frame, read_row
from ..record.stock import MARK, logrecord_fields
from .frames import Buffer, FrameDecoder, encode_frame

PROTOCOL_VERSION = 1
MAX_SEQUENCE = 1 << 55
MAX_HELLO_EXTRA = 64 * 1024
"""Bytes of a row up to which a hello shows its ``extra`` to a stock receiver. One of ours reads the
row itself, but counts what the pickle beside it is made of, and a value may be twenty opcodes."""

MAX_ANSWER = 65536
"""Largest answer that a worker reads, in bytes: a greeting is a few hundred."""

MAX_LOG_PATH = 4096
"""Characters of a log's path; Linux has no longer ones."""

ACKNOWLEDGEMENT = struct.Struct(">Q")


class Greeting(NamedTuple):
    """The peer is a receiver of ours and holds everything up to ``last`` from this sender."""

    version: int
    last: int
    line_format: LineFormat | None = None  # the worker may render its lines by it
    log: LogName | None = None  # what the receiver writes; ``None``: an older one, it tells nothing


class Acknowledged(NamedTuple):
    """Everything up to ``through`` is in the file."""

    through: int


class Refusal(NamedTuple):
    """The receiver could not take what was sent, and closes the connection."""

    reason: str


Answer = Union[Greeting, Acknowledged, Refusal]


class SenderConnection:
    """The worker's end of one connection."""

    def __init__(self, sender_id: str, log: LogName | None = None) -> None:
        """``log`` is the one that the records belong to, where that is known."""
        self.sender_id = sender_id
        self._log = log
        self.greeting: Greeting | None = None
        self._decoder = FrameDecoder(MAX_ANSWER)
        self._through = 0  # the highest number that can be acknowledged

    def hello(self, row: Buffer, sequence: int, base: int, *, notice: bool = False) -> bytes:
        """The first frame of a connection: ``row`` as a stock payload with our mark.

        A ``notice`` tells a stock receiver of numbers given up; one of ours does not take it.
        """
        more: dict[str, Any] = {"base": base}
        if self._log is not None:
            more["log"] = [self._log.path, self._log.id]
        if notice:
            return self._marked(row, sequence, {**more, "notice": True})
        more["row"] = bytes(row).decode("utf-8", "surrogatepass")
        return self._marked(row, sequence, more, MAX_HELLO_EXTRA)

    def stock(self, row: Buffer, sequence: int) -> bytes:
        """The frame of one record for a peer that does not greet."""
        return self._marked(row, sequence, {})

    def _marked(
        self, row: Buffer, sequence: int, more: dict[str, Any], max_row: int = MAX_ROW
    ) -> bytes:
        self._through = max(self._through, sequence)
        mark = {"version": PROTOCOL_VERSION, "sender": self.sender_id, "sequence": sequence, **more}
        fields = read_row(decode_dense(bytes(row)))
        if len(row) > max_row:
            fields = fields._replace(extra={})
        return encode_frame(dump_record(logrecord_fields(fields, mark)))

    def rows(self, first: int, rows: Sequence[bytes | memoryview]) -> bytes:
        """A dense frame of consecutive rows, the first with sequence number ``first``."""
        self._through = max(self._through, first + len(rows) - 1)
        return encode_frame(encode_rows_frame(first, rows))

    def gap(self, first: int, last: int, reason: str) -> bytes:
        """The sender has given up its records ``first`` to ``last``."""
        self._through = max(self._through, last)
        return encode_frame(encode_control({"gap": [first, last, reason]}))

    def goodbye(self, last: int) -> bytes:
        """The sender will never send again; its last number was ``last``."""
        return encode_frame(encode_control({"bye": last}))

    def receive(self, data: bytes) -> list[Answer]:
        """Take bytes from the receiver. Raises :class:`PeerError` for what is no answer of ours."""
        return [self._answer(payload) for payload in self._decoder.feed(data)]

    def _answer(self, payload: bytes) -> Answer:
        if len(payload) == ACKNOWLEDGEMENT.size:
            (through,) = ACKNOWLEDGEMENT.unpack(payload)
            if self.greeting is None or through > self._through:
                raise PeerError(f"an acknowledgement of {through} out of turn")
            return Acknowledged(through)
        try:
            fields = json.loads(payload.decode("utf-8", "surrogatepass"))
            if self.greeting is not None and MARK in fields:
                raise PeerError("a second greeting on one connection")
            if "error" in fields:
                return Refusal(str(fields["error"])[:1000])
            given = fields.get("style")
            greeting = Greeting(
                version=_whole(fields[MARK]),
                last=_whole(fields["last"]),
                line_format=_line_format_of(given),
                log=read_log_name(fields.get("log")),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise PeerError(f"the peer answers {payload[:60]!r}, which is no greeting") from error
        wanted, there = self._log, greeting.log
        if wanted is not None and there is not None and not there.is_same(wanted):
            raise OtherLogError(
                f"the receiver there writes {there.path!r}; these records belong to "
                f"{wanted.path!r} and wait for its receiver"
            )
        self.greeting = greeting
        self._through = max(self._through, greeting.last)
        return greeting


def _line_format_of(given: object) -> LineFormat | None:
    return make_line_format(*given) if type(given) is list and len(given) == 2 else None


def read_log_name(value: object) -> LogName | None:
    """Return the log that a peer has named; ``None`` for none, or for what names no log."""
    if type(value) is not list or not 2 <= len(value) <= 3:
        return None
    if any(type(part) is not str or len(part) > MAX_LOG_PATH for part in value):
        return None
    return LogName(*value)


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < MAX_SEQUENCE:
        raise ValueError("no number of a record")
    return value
