"""The receiver's end of a connection: bytes from one client in, events out.

Sans-IO: no sockets, threads, clocks or files here. :mod:`wire.sending` has the worker's end, and
describes the conversation.

Why nothing waits behind a row that cannot be read
--------------------------------------------------
No worker makes such a row (:mod:`record.row`). Should one come all the same, refusing its frame
would not help: the sender would send it again, for ever. So the rows before it are taken, and an
error stands in its place, which the receiver writes as a notice of that number. Then the
connection ends. The sender comes again, is greeted with that number, and goes on behind it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Union

from ..addresses import LogName
from ..exceptions import (
    FrameError,
    PayloadError,
    PeerError,
    ProtocolVersionError,
    RowError,
    SequenceError,
)
from ..pickles.known import KnownShapes, RecordReader
from ..record.bounded_json import MAX_SMALL_FRAME, decode_json
from ..record.expansion import bound_growth
from ..record.level_order import LevelOrder, dump_orders
from ..record.line_format import LineFormat, dump_line_format
from ..record.row import Buffer, decode_row
from ..record.sink_needs import SinkNeeds, dump_needs
from ..record.stock import MARK
from ..record.stock_rows import Repeated
from ..record.values import show
from ..spool.proof import MAX_NONCE
from .frames import MAX_SKIPPED, FrameDecoder, SkippedFrame, encode_frame
from .payloads import MAX_SEQUENCE, encode_control, rescue_rows, split_rows
from .sending import ACKNOWLEDGEMENT, PROTOCOL_VERSION, read_log_name

MAX_TOGETHER = 256
"""Records in a :class:`KnownReceived`. Their lines have 8 MB at most: a receiver writes what it
holds before it goes on."""

MAX_REFUSED = 100
"""Refused payloads in a row after which a connection is closed: none of them was a record."""

_OURS = (b"[", b"{", b"")  # how a payload begins that is no pickle

MAX_VERSION = 50
"""Characters of a package's version that a hello may tell."""

_SENDER_ID = re.compile(r"[0-9a-f]{32}")


class HelloReceived(NamedTuple):
    """A worker's sender introduced itself; greet it before anything else."""

    sender: str
    base: int
    log: LogName | None = None  # the one that its records belong to, where it knows
    nonce: str = ""  # to be answered with the greeting
    package: str = ""  # version of the worker's package
    takes_levels: bool = False  # it can be told of least levels that an operator wants


class ChallengeReceived(NamedTuple):
    """A worker wants a proof before it says hello."""

    nonce: str


class RowsReceived(NamedTuple):
    """Consecutive rows of a sender, as decoded JSON; :func:`record.row.read_row` checks each.

    The last may be a ``RowError``, for a row that cannot be read.
    """

    sender: str
    first: int
    rows: Sequence[Any]


class MarkedReceived(NamedTuple):
    """One record of a sender that was not greeted, and sent it as a stock payload."""

    sender: str
    sequence: int
    fields: dict[str, Any]
    size: int = 0  # bytes of the payload


class GapReceived(NamedTuple):
    """A sender has given up its records ``first`` to ``last``."""

    sender: str
    first: int
    last: int
    reason: str


class GoodbyeReceived(NamedTuple):
    """A sender will never send again."""

    sender: str


class StrangerReceived(NamedTuple):
    """A record of a stock client; its values are inert, its fields not yet checked."""

    fields: dict[str, Any]
    size: int = 0  # bytes of the payload


class KnownReceived(NamedTuple):
    """Records of a stock client whose shape is known, one behind the other.

    For each its fields, as in :class:`StrangerReceived`, and what repeats, if that is known.
    """

    records: list[tuple[dict[str, Any], Repeated | None]]


class PayloadRefused(NamedTuple):
    """A payload was not taken; the connection goes on unless ``fatal``."""

    error: PeerError
    size: int
    fatal: bool = False


Event = Union[
    ChallengeReceived,
    HelloReceived,
    RowsReceived,
    MarkedReceived,
    GapReceived,
    GoodbyeReceived,
    StrangerReceived,
    KnownReceived,
    PayloadRefused,
]


class ReceiverConnection:
    """Turns the bytes of one client into events, and makes the answers."""

    def __init__(self, max_payload: int, known: KnownShapes | None = None) -> None:
        """``known`` has the shapes of pickles that all connections of a receiver know."""
        self.sender: str | None = None
        self._max_payload = max_payload
        self._decoder = FrameDecoder(max_payload, MAX_SKIPPED)
        self._reader = RecordReader(KnownShapes() if known is None else known)
        self._refused = 0
        self._is_challenged = False

    @property
    def pending_bytes(self) -> int:
        """Return how many bytes are held of a frame that is not complete."""
        return self._decoder.pending_bytes

    def drop(self) -> int:
        """Give up the incomplete frame of a connection that will be closed; return its bytes."""
        held = self._decoder.pending_bytes
        self._decoder = FrameDecoder(0)
        return held

    def receive(self, data: Buffer) -> list[Event]:
        """Take bytes of the stream. Never raises: an error comes as :class:`PayloadRefused`.

        After an event with ``fatal`` the connection must be closed.
        """
        events: list[Event] = []
        fatal: FrameError | None = None
        try:
            payloads: Sequence[bytes | SkippedFrame] = self._decoder.feed(data)
        except FrameError as error:
            payloads, fatal = error.completed, error
        read_known = self._reader.read_known
        together: list[tuple[dict[str, Any], Repeated | None]] = []  # in the last event
        for payload in payloads:
            if type(payload) is bytes and payload[:1] not in _OURS:
                known = read_known(payload)
                if known is not None:
                    self._refused = 0
                    if not together or len(together) >= MAX_TOGETHER:
                        together = []
                        events.append(KnownReceived(together))
                    together.append(known)
                    continue
            together = []
            events.extend(self._events_of(payload))
            if isinstance(events[-1], PayloadRefused) and events[-1].fatal:
                return events
        if fatal is not None:
            events.append(PayloadRefused(fatal, 0, fatal=True))
        return events

    def _events_of(self, payload: bytes | SkippedFrame) -> list[Event]:
        if isinstance(payload, SkippedFrame):
            limit = f"a frame of {payload.length} bytes is beyond the limit of {self._max_payload}"
            return [self._refuse(FrameError(limit), payload.length, self.sender is not None)]
        try:
            if self.sender is not None and payload[:1] == b"[":
                events = self._rows(payload)
            elif self.sender is not None and payload[:1] == b"{":
                events = [self._control(payload)]
            else:
                events = self._stock(payload)
        except (RowError, ProtocolVersionError) as error:
            return [self._refuse(error, len(payload), True)]
        except PayloadError as error:
            return [self._refuse(error, len(payload))]
        self._refused = 0
        return events

    def _refuse(self, error: PeerError, size: int, fatal: bool = False) -> PayloadRefused:
        self._refused += 1
        return PayloadRefused(error, size, fatal or self._refused >= MAX_REFUSED)

    def _rows(self, payload: bytes) -> list[Event]:
        assert self.sender is not None
        refused: list[Event] = []
        try:
            first, rows = split_rows(decode_json(payload))
        except RowError as error:
            first, rows = rescue_rows(payload, error)
            refused = [PayloadRefused(error, len(payload), fatal=True)]
        if len(payload) > MAX_SMALL_FRAME:
            rows = bound_growth(rows, len(payload))
        return [RowsReceived(self.sender, first, rows), *refused]

    def _control(self, payload: bytes) -> Event:
        assert self.sender is not None
        decoded = decode_json(payload)
        assert isinstance(decoded, dict)
        if "gap" in decoded:
            return _read_gap(self.sender, decoded["gap"])
        if "bye" in decoded:
            return GoodbyeReceived(self.sender)
        raise RowError(f"an unknown control frame: {payload[:60]!r}")

    def _stock(self, payload: bytes) -> list[Event]:
        fields = self._reader.read(payload)
        mark = fields.get(MARK)
        if type(mark) is not dict or not _is_sequence(mark.get("version")):
            return [StrangerReceived(fields, len(payload))]
        sender, sequence = mark.get("sender"), mark.get("sequence", 0)
        nonce = mark.get("nonce")
        if type(nonce) is not str or len(nonce) > MAX_NONCE:
            nonce = ""
        if nonce and sender is None and self.sender is None and not self._is_challenged:
            self._is_challenged = True  # once: the answers of one that reads none would pile up
            return [ChallengeReceived(nonce)]
        if type(sender) is not str or not _SENDER_ID.fullmatch(sender):
            return [StrangerReceived(fields, len(payload))]
        if not _is_sequence(sequence) or self.sender not in (None, sender):
            return [StrangerReceived(fields, len(payload))]
        if mark["version"] != PROTOCOL_VERSION:
            self.sender = sender  # which is told so, and keeps its records
            raise ProtocolVersionError(
                f"this receiver speaks protocol {PROTOCOL_VERSION}, the worker speaks protocol "
                f"{mark['version']}: install one version of loguru_stdbridge for both, and start "
                "the older one again. The records wait in the worker's journal",
                mark["version"],
            )
        if self.sender is not None:
            return [MarkedReceived(sender, sequence, fields, len(payload))]
        self.sender = sender
        base, text = mark.get("base", 0), mark.get("row")
        log, package = read_log_name(mark.get("log")), mark.get("package")
        package = package[:MAX_VERSION] if type(package) is str else ""
        base = base if _is_sequence(base) else sequence
        takes_levels = mark.get("levels") is True
        events: list[Event] = [HelloReceived(sender, base, log, nonce, package, takes_levels)]
        if mark.get("notice") is True:
            return events
        if type(text) is str:
            row = decode_row(text.encode("utf-8", "surrogatepass"))
            if len(payload) > MAX_SMALL_FRAME:
                row = bound_growth(row, len(payload))
            events.append(RowsReceived(sender, sequence, [row]))
        else:
            events.append(MarkedReceived(sender, sequence, fields, len(payload)))
        return events

    def greeting(
        self,
        last: int,
        line_format: LineFormat | None = None,
        log: LogName | None = None,
        words: Mapping[str, str] | None = None,
        package: str = "",
        proof: str = "",
        needs: SinkNeeds | None = None,
    ) -> bytes:
        """Answer a hello; ``last`` is the highest number held from this sender.

        ``log`` is what this receiver writes, ``words`` are those of its sink, ``package`` is the
        version of its package, ``proof`` answers the nonce, ``needs`` is what its sinks need.
        """
        answer: dict[str, Any] = {MARK: PROTOCOL_VERSION, "last": last}
        if line_format is not None:
            answer["style"] = dump_line_format(line_format)
        if needs is not None:
            answer["needs"] = dump_needs(needs)
        if log is not None:
            answer["log"] = list(log)
        if words:
            answer["words"] = dict(words)
        if package:
            answer["package"] = package
        if proof:
            answer["proof"] = proof
        return encode_frame(encode_control(answer))

    def proof(self, answer: str) -> bytes:
        """Answer a challenge; "" says that there is no proof."""
        return encode_frame(encode_control({"proof": answer}))

    def acknowledgement(self, through: int) -> bytes:
        """Make the acknowledgement that everything up to ``through`` is in the file."""
        return encode_frame(ACKNOWLEDGEMENT.pack(through))

    def format_change(self, line_format: LineFormat | None, needs: SinkNeeds) -> bytes:
        """Tell a worker that was greeted how lines look from now on; see :meth:`greeting`."""
        style = None if line_format is None else dump_line_format(line_format)
        return encode_frame(encode_control({"style": style, "needs": dump_needs(needs)}))

    def levels(self, orders: list[LevelOrder]) -> bytes:
        """Tell a worker all of the least levels that an operator wants of it now."""
        return encode_frame(encode_control({"levels": dump_orders(orders)}))

    def error(self, reason: str) -> bytes:
        """Say why the connection will be closed. Only a worker of this package is ever told."""
        return encode_frame(encode_control({"error": reason[:1000]}))


def _read_gap(sender: str, gap: Any) -> GapReceived:
    if type(gap) is not list or len(gap) != 3:
        raise RowError("a gap needs a first and a last number and a reason")
    first, last, reason = gap
    if not _is_sequence(first) or not _is_sequence(last) or first > last:
        raise RowError(f"a gap from {show(first, limit=40)} to {show(last, limit=40)}")
    return GapReceived(sender, first, last, show(reason, str, 100))


def _is_sequence(value: object) -> bool:
    return type(value) is int and 0 < value < MAX_SEQUENCE


class Sequencer:
    """Holds the highest number taken from each sender, written or still on its way to the file.

    ``last_written`` looks up a sender that is not held here yet; it is the ledger's.
    """

    def __init__(self, last_written: Callable[[str], int]) -> None:
        self._last_written = last_written
        self._taken: dict[str, int] = {}

    def last(self, sender: str) -> int:
        """Return the highest number taken from ``sender``; 0 for an unknown one."""
        taken = self._taken.get(sender)
        if taken is None:
            taken = self._taken[sender] = self._last_written(sender)
        return taken

    def greet(self, sender: str, base: int) -> int:
        """Admit a hello: nothing below ``base`` will come. Return the number to greet with."""
        last = max(self.last(sender), base - 1)
        self._taken[sender] = last
        return last

    def admit(self, sender: str, first: int, count: int) -> int:
        """Take records ``first`` to ``first + count - 1``; return how many are duplicates.

        Raises :class:`SequenceError` if a number before them is missing.
        """
        last = self.last(sender)
        if first > last + 1:
            raise SequenceError(
                f"record {first} of sender {sender[:8]} came where {last + 1} is next"
            )
        duplicates = min(last + 1 - first, count)
        self._taken[sender] = max(last, first + count - 1)
        return duplicates

    def skip(self, sender: str, last: int) -> int:
        """Admit a gap up to ``last``; return how many records never came."""
        held = self.last(sender)
        self._taken[sender] = max(held, last)
        return max(last - held, 0)

    def forget(self, sender: str) -> None:
        """Forget a sender that has no connection any more."""
        self._taken.pop(sender, None)
