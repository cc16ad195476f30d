"""The worker's end of a connection: frames for the receiver out, its answers in.

Sans-IO: no sockets, threads, clocks or files here. :mod:`wire.receiving` has the receiver's end.

The conversation
----------------
1. The worker's first frame is the *hello*: its oldest undelivered record as an ordinary stock
   payload. One more key, the mark ``stdbridge``, holds the protocol's version, the sender's id, the
   record's sequence number, ``base`` (the lowest number that the sender still holds), the exact row
   and the version of the worker's package. A stock receiver logs it as one more record. If the
   lowest numbers were given up, the hello is a *notice* of that for a stock receiver. A receiver of
   this package only greets. It is told of the gap afterwards, when it is known what had arrived
   before.
2. The receiver answers at once, before it writes anything, with the *greeting*. That is a framed
   JSON object with the last number that the receiver holds from this sender, the log that it
   writes, its sink's line format if workers may render by it (:mod:`record.line_format`), and what
   the sink needs of a record that only its worker can make (:mod:`record.sink_needs`). A
   worker whose records belong to another log says so and leaves. The receiver has sent nothing
   before: a stock client never reads its socket, and closing a socket with unread bytes sends a
   reset, which destroys the bytes that are still to be sent. A worker that speaks another version
   of the protocol is told so in place of the greeting, and keeps its records.
3. From then on the worker sends frames of rows (:mod:`record.row`), and the receiver cumulative
   *acknowledgements* of 8 bytes: everything up to N is in the file. Where the configuration of the
   receiver is changed, it tells its new line format by ``{"style": ...}``. An older worker takes
   that for a fault, and connects again; then it is greeted with the new one. A worker whose hello
   says that it can is told of least levels that an operator has asked for, for a while:
   ``{"levels": [[logger, number, seconds], ...]}`` (:mod:`record.level_order`).
4. ``{"gap": [first, last, reason]}`` says that the sender has given these numbers up.
   ``{"bye": N}`` says that it will never send again.

Why nothing is lost and nothing doubled
---------------------------------------
A sender numbers its records 1, 2, 3, ... and gives a record up only by an acknowledgement or a gap.
:class:`wire.receiving.Sequencer` admits exactly the next number. A lower number is a duplicate and
is dropped; a higher one is refused. So a record can neither be taken twice nor skipped in silence.
The one jump that is admitted is ``base`` in the hello: the sender holds nothing below it any more,
so waiting for it would never end.

Why the sender's id is a secret
-------------------------------
The numbers protect a sender from losses, not from an impostor. Whoever says a hello with its id can
send records ahead of it, jump its numbers or say its goodbye. What the true sender sends then is
taken for duplicates. So the id is 128 random bits, known to its owner and to whoever delivers its
journal. They stand in the journal's name, in a directory of mode 0700, and in the first frame to
the receiver. While the sender lives, no message shows more than eight of its 32 digits, which
leaves 96 bits to guess. (The damaged journal of a dead sender is kept under its name.)

A second connection with the same id cannot be refused: the owner comes back by it while its first
connection is not known to be dead. The first one is read to its end, and closed, before the second
is greeted: records that the greeting does not count can come by the second only. On a network where
others can listen, the id is as open as the records are.

What the worker trusts its receiver with
----------------------------------------
Its records, and nothing else. It takes an acknowledgement of what it has sent, and a greeting with
a number that it has given out. A peer that answers anything else is no receiver of this package,
and the records stay where they are.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Union

from .._version import __version__
from ..addresses import LogName
from ..exceptions import OtherLogError, PeerError, ProtocolVersionError, RowError
from ..pickles.write import dump_record
from ..record.level_order import LevelOrder, load_orders
from ..record.line_format import LineFormat, make_line_format
from ..record.row import MAX_ROW, Buffer, Row, decode_row, read_row
from ..record.sink_needs import SinkNeeds, load_needs
from ..record.stock import MARK, logrecord_fields, notice
from ..record.values import bounded_text
from .frames import FrameDecoder, encode_frame
from .payloads import MAX_SEQUENCE, encode_control, encode_rows

PROTOCOL_VERSION = 1

MAX_SHOWN_ROW = 64 * 1024
"""Bytes of a row that a hello shows whole to a stock receiver. It shows the beginning of a larger
row. A receiver of this package reads the row itself, but bounds the pickle that holds it, too."""

MAX_SHOWN_TEXT = 4096
"""Characters of a text of a larger row that a hello shows."""

MAX_ANSWER = 65536
"""Bytes of the largest answer that a worker reads. A greeting has a few hundred."""

MAX_LOG_PATH = 4096
"""Characters of a log's path; Linux has no longer ones."""

ACKNOWLEDGEMENT = struct.Struct(">Q")


class Greeting(NamedTuple):
    """The peer is a receiver of this package and holds this sender's records up to ``last``."""

    version: int
    last: int
    line_format: LineFormat | None = None  # the worker may render its lines by it
    log: LogName | None = None  # what the receiver writes; ``None``: an older one, it tells nothing
    words: Mapping[str, str] = {}  # what its sink was asked for, in loguru's words
    package: str = ""  # version of the receiver's package
    proof: str = ""  # what it answers to the nonce of the hello
    needs: SinkNeeds = SinkNeeds()


class Acknowledged(NamedTuple):
    """Everything up to ``through`` is in the file."""

    through: int


class Proof(NamedTuple):
    """What the receiver answers to a challenge."""

    answer: str


class Refusal(NamedTuple):
    """The receiver could not take what was sent, and closes the connection."""

    reason: str


class FormatChanged(NamedTuple):
    """The receiver's lines look otherwise from now on."""

    line_format: LineFormat | None
    needs: SinkNeeds


class LevelsOrdered(NamedTuple):
    """An operator wants records of lower levels, for a while; none: no more."""

    orders: tuple[LevelOrder, ...]


Answer = Union[Greeting, Acknowledged, Proof, Refusal, FormatChanged, LevelsOrdered]


class SenderConnection:
    """Makes the frames of one sender, and reads the answers."""

    def __init__(self, sender_id: str, log: LogName | None = None) -> None:
        """``log`` is the one that the records belong to, where that is known."""
        self.sender_id = sender_id
        self._log = log
        self.greeting: Greeting | None = None
        self._decoder = FrameDecoder(MAX_ANSWER)
        self._through = 0  # the highest number that can be acknowledged
        self._is_challenged = False

    def challenge(self, nonce: str) -> bytes:
        """Make a frame that asks the receiver for a proof, and says nothing else.

        A stock receiver would log it as a record.
        """
        self._is_challenged = True
        mark = {"version": PROTOCOL_VERSION, "nonce": nonce}
        fields = notice("a worker asks its receiver for a proof", 0.0)
        return encode_frame(dump_record(logrecord_fields(fields, mark)))

    def hello(
        self, row: Buffer, sequence: int, base: int, *, notice: bool = False, nonce: str = ""
    ) -> bytes:
        """Make the hello: ``row`` as a stock payload with the mark.

        A ``notice`` tells a stock receiver of numbers given up; one of this package ignores it.
        With a ``nonce`` the greeting may hold a proof.
        """
        more: dict[str, Any] = {"base": base, "package": __version__, "levels": True}
        if nonce:
            more["nonce"] = nonce
        if self._log is not None:
            more["log"] = [self._log.path, self._log.id]
        if notice:
            return self._marked(row, sequence, {**more, "notice": True})
        more["row"] = _text_of(bytes(row))
        return self._marked(row, sequence, more, MAX_SHOWN_ROW)

    def stock(self, row: Buffer, sequence: int) -> bytes:
        """Make the frame of one record for a peer that does not greet."""
        return self._marked(row, sequence, {})

    def _marked(
        self, row: Buffer, sequence: int, more: dict[str, Any], max_row: int = MAX_ROW
    ) -> bytes:
        self._through = max(self._through, sequence)
        mark = {"version": PROTOCOL_VERSION, "sender": self.sender_id, "sequence": sequence, **more}
        try:
            fields = read_row(decode_row(bytes(row)))
        except RowError as error:
            fields = notice(f"record {sequence} could not be read: {error}", 0.0)
        if len(row) > max_row:
            fields = _beginning_of(fields)
        return encode_frame(dump_record(logrecord_fields(fields, mark)))

    def rows(self, first: int, rows: Sequence[bytes | memoryview]) -> bytes:
        """Make a frame of consecutive rows, the first with sequence number ``first``."""
        self._through = max(self._through, first + len(rows) - 1)
        return encode_frame(encode_rows(first, rows))

    def gap(self, first: int, last: int, reason: str) -> bytes:
        """Say that the sender has given up its records ``first`` to ``last``."""
        self._through = max(self._through, last)
        return encode_frame(encode_control({"gap": [first, last, reason]}))

    def goodbye(self, last: int) -> bytes:
        """Say that the sender will never send again; its last number was ``last``."""
        return encode_frame(encode_control({"bye": last}))

    def receive(self, data: bytes) -> list[Answer]:
        """Take bytes from the receiver. Raises :class:`PeerError` for what is no answer of ours."""
        payloads = self._decoder.feed(data)
        return [self._answer(payload) for payload in payloads if isinstance(payload, bytes)]

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
            if self.greeting is not None and "style" in fields:
                return FormatChanged(
                    _line_format_of(fields["style"]), load_needs(fields.get("needs")) or SinkNeeds()
                )
            if self.greeting is not None and "levels" in fields:
                return LevelsOrdered(load_orders(fields["levels"]))
            if "error" in fields:
                return Refusal(str(fields["error"])[:1000])
            if self._is_challenged:  # a greeting now would be one of somebody unknown
                self._is_challenged = False
                return Proof(str(fields["proof"])[:1000])
            given = fields.get("style")
            greeting = Greeting(
                version=_whole(fields[MARK]),
                last=_whole(fields["last"]),
                line_format=_line_format_of(given),
                log=read_log_name(fields.get("log")),
                words=_texts_of(fields.get("words")),
                package=_texts_of({"": fields.get("package")}).get("", ""),
                proof=_texts_of({"": fields.get("proof")}).get("", ""),
                needs=load_needs(fields.get("needs")) or SinkNeeds(),
            )
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise PeerError(f"the peer answers {payload[:60]!r}, which is no greeting") from error
        if greeting.version != PROTOCOL_VERSION:
            raise ProtocolVersionError(
                f"the receiver (loguru_stdbridge {greeting.package or 'of an unknown version'}) "
                f"speaks protocol {greeting.version}, this worker (loguru_stdbridge {__version__}) "
                f"speaks protocol {PROTOCOL_VERSION}: install one version for both, and start the "
                "older one again. The records wait in the journal",
                greeting.version,
            )
        wanted, there = self._log, greeting.log
        if wanted is not None and there is not None and not there.is_same(wanted):
            raise OtherLogError(
                f"the receiver there writes {there.path!r}; these records belong to "
                f"{wanted.path!r} and wait for its receiver"
            )
        self.greeting = greeting
        self._through = max(self._through, greeting.last)
        return greeting


def _beginning_of(row: Row) -> Row:
    exception = [
        bounded_text(part, MAX_SHOWN_TEXT) if type(part) is str else None
        for part in row.exception or ()
    ]
    return row._replace(
        message=bounded_text(row.message, MAX_SHOWN_TEXT),
        exception=exception[:3] if len(exception) > 2 else None,
        extra={},
    )


def _text_of(row: bytes) -> str:
    try:
        return row.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:  # no row that can be read, by any receiver
        return row.decode("utf-8", "backslashreplace")


def _line_format_of(given: object) -> LineFormat | None:
    return make_line_format(*given) if type(given) is list and 2 <= len(given) <= 3 else None


def read_log_name(value: object) -> LogName | None:
    """Return the log that a peer has named; ``None`` for none, or for what names no log."""
    if type(value) is not list or not 2 <= len(value) <= 3:
        return None
    if any(type(part) is not str or len(part) > MAX_LOG_PATH for part in value):
        return None
    return LogName(*value)


def _texts_of(value: object) -> dict[str, str]:
    if type(value) is not dict:
        return {}
    return {name: text for name, text in value.items() if type(text) is str}


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < MAX_SEQUENCE:
        raise ValueError("no number of a record")
    return value
