"""Hands records on to a stream instead of rendering them: a receiver's sink that is no file.

Stands where another sink has its :class:`~.writer.Writer`. Used by the receiver's loop;
:mod:`~loguru_stdbridge.engine.publishing` sends what it makes, in a thread of its own.

Why an acknowledgement is right
-------------------------------
A record counts as settled when the stream has confirmed the message that holds it. The worker is
told then, and not before, so what was on its way at a kill of this receiver is still in the
worker's journal. It goes to the stream a second time, under the same number, and whoever reads the
stream drops it. So nothing has to be remembered here: the ledger of this sink is only a lock and an
identity.

A record of a stock client has no number. It gets one here, of a sender that this receiver is
itself. Like any record of a stock client, it is lost if the receiver is killed before it is
settled.

While the stream takes nothing
------------------------------
Up to :data:`MAX_UNCONFIRMED` bytes are kept. Beyond that no worker is read, and the records wait in
the workers' journals. When the stream is back, all of it goes on by itself.
"""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Callable

from ..engine.address import EngineAddress, make_token
from ..engine.messages import MESSAGE_FRAMES
from ..engine.publishing import OutgoingFrame, Publisher
from ..exceptions import RowError, SinkError
from ..record.row import FLAG_TAGGED, MAX_ROWS, Row, read_row
from ..record.stock import notice
from ..record.values import flatten_extra
from ..sink.blocks import Block
from ..sink.ledger import Ledger
from ..status.pieces import Piece, Watcher
from ..wire.frames import encode_frame
from ..wire.payloads import encode_control, encode_rows

MAX_UNCONFIRMED = 16 * 1024 * 1024
"""Bytes that are kept for the stream until it has confirmed them."""

STOCK_PROGRAM = "stock"
"""The program, in subjects, of clients that tell none."""

_dump_json = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":")
).encode
_EXTRA_FIELD = Row._fields.index("extra")


class EngineSink:
    """What is shown of a stream where another sink is a file. It takes records, and no lines."""

    needs_records = False

    def __init__(self, path: str) -> None:
        self.path = path
        """What it is called in messages."""
        self.bytes_written = 0
        """Bytes that the stream has confirmed."""
        self.rotations = 0
        self.size_limit: int | None = None

    def write(self, blocks: Sequence[Block]) -> int:
        """Refuse lines: nobody has any for it."""
        raise SinkError("a stream takes records, and no lines", 0)

    def reopen(self) -> None:
        """Nothing is to be opened anew."""

    def close(self) -> None:
        """Nothing is open: the writer's link is closed by itself."""


class EngineWriter:
    """Rows in, frames to the stream."""

    late = 0
    """None: only what is sorted by time can come too late."""

    def __init__(
        self,
        address: EngineAddress,
        create: dict[str, Any] | None,
        report: Callable[[str], None],
        program_of: Callable[[str], str],
    ) -> None:
        """``program_of`` returns the program of a sender, or "". Nothing runs before
        :meth:`start`."""
        self.sink = EngineSink(str(address))
        """What it writes to."""
        self._prefix = f"{address.subject or address.stream}.{make_token(socket.gethostname())}"
        self._program_of = program_of
        self._publisher = Publisher(address, create, self._note_confirmed, report)
        self._wake: Callable[[], None] = lambda: None
        self._subjects: dict[str, str] = {}
        self._fresh: list[OutgoingFrame] = []
        self._unconfirmed: dict[str, deque[tuple[int, int, int]]] = {}  # last, bytes, records
        self._size = 0  # bytes of all of them
        self._confirmed: deque[tuple[str, int]] = deque()  # from the link's thread
        self._through: dict[str, int] = {}
        self._settled: set[str] = set()
        self._was_failing = False
        self._own_id, self._own_last = os.urandom(16).hex(), 0
        self._unshown: list[Piece] = []
        self.board: Watcher | None = None
        """Who is shown what was handed on."""
        self.records = 0
        """Records that the stream has confirmed."""
        self.left_out = 0
        self.errors = 0
        self.retry_at = math.inf
        """The loop is woken when the stream has confirmed something."""

    def start(self, wake: Callable[[], None]) -> None:
        """Begin to send; ``wake`` wakes the receiver's loop from any thread."""
        self._wake = wake
        self._publisher.link.start()

    # -- what a writer is asked

    def __bool__(self) -> bool:
        """Whether it holds anything that the stream has not confirmed."""
        return bool(self._unconfirmed)

    def holds(self, sender: str | None) -> bool:
        """Return whether records of ``sender`` are not confirmed; ``None``: of stock clients."""
        return (self._own_id if sender is None else sender) in self._unconfirmed

    @property
    def writers(self) -> list[Any]:
        """Return this one: :class:`~.several.SeveralWriters` has several."""
        return [self]

    @property
    def held(self) -> int:
        """How many records it holds."""
        return sum(each[2] for lane in self._unconfirmed.values() for each in lane)

    @property
    def lines(self) -> int:
        """Records that the stream has confirmed."""
        return self.records

    @property
    def full(self) -> bool:
        """Never: what it is given goes to the thread with the next write, and is counted here."""
        return False

    @property
    def failing(self) -> bool:
        """Whether no more is to be read from workers."""
        return self._size > MAX_UNCONFIRMED

    @property
    def trouble(self) -> str:
        """Why nothing more is taken; empty where it is."""
        return "the stream has not confirmed what it was sent" if self.failing else ""

    def last(self, sender: str) -> int:
        """Return the highest number of ``sender`` that the stream has confirmed; 0: unknown."""
        return self._through.get(sender, 0)

    def take_settled(self) -> set[str]:
        """Return the senders of whom something was confirmed since the last call."""
        settled, self._settled = self._settled, set()
        return settled

    def show_to(self, board: Watcher | None) -> None:
        """Show ``board`` from now on each record that is handed on; ``None``: nobody."""
        self.board, self._unshown = board, []

    # -- records in

    def take_rows(self, sender: str, first: int, rows: Sequence[Any]) -> None:
        """Add rows, duplicates already removed, to what goes to the stream next."""
        if not rows:
            return
        if isinstance(rows[-1], RowError):
            number = first + len(rows) - 1
            text = f"record {number} of sender {sender[:8]} could not be read: {rows[-1]}"
            rows = [*rows[:-1], _fields_of(_notice(text))]
        self._add_rows(sender, first, rows)
        if self.board is not None:
            shown = list(map(_row_to_show, rows))
            self._unshown.append(Piece(sender, shown, 200 * len(rows), True))

    def _add_rows(self, sender: str, first: int, rows: Sequence[Any]) -> None:
        text = _dump_json(rows)[1:-1].encode("utf-8", "surrogatepass")
        if len(rows) > 1 and (len(text) > MESSAGE_FRAMES - 64 or len(rows) > MAX_ROWS):
            half = len(rows) // 2
            self._add_rows(sender, first, rows[:half])
            self._add_rows(sender, first + half, rows[half:])
            return
        last = first + len(rows) - 1
        self._add(sender, first, last, encode_frame(encode_rows(first, [text])), len(rows))

    def take(self, row: Row, sender: str | None, sequence: int) -> None:
        """Add one record; ``sender`` is ``None`` for a stock client's."""
        if sender is None:
            self._own_last += 1
            sender, sequence = self._own_id, self._own_last
        self.take_rows(sender, sequence, [_fields_of(row)])

    def take_stock(self, rows: Sequence[Row]) -> None:
        """Add records of stock clients, one behind the other."""
        first = self._own_last + 1
        self._own_last += len(rows)
        self.take_rows(self._own_id, first, list(map(_fields_of, rows)))

    def take_gap(self, sender: str, first: int, last: int, why: str) -> None:
        """Have the stream's reader tell how many records are missing."""
        reason = why.rpartition(": ")[2]  # the reader says the rest anew
        frame = encode_frame(encode_control({"gap": [first, last, reason]}))
        self._add(sender, first, last, frame, last - first + 1)

    def take_notice(self, text: str, sender: str, sequence: int) -> None:
        """Add a WARNING record of the receiver's own, about what a sender's records lack."""
        self.take(_notice(text), sender, sequence)

    def say_goodbye(self, sender: str) -> None:
        """Have the stream's reader forget a sender, which will never send again."""
        last = self._through.get(sender, 0) + 1
        self._add(sender, last, last, encode_frame(encode_control({"bye": last})), 0)

    def _add(self, sender: str, first: int, last: int, frame: bytes, count: int) -> None:
        self._fresh.append(OutgoingFrame(sender, self._subject(sender), first, last, frame))
        self._unconfirmed.setdefault(sender, deque()).append((last, len(frame), count))
        self._size += len(frame)

    def _subject(self, sender: str) -> str:
        subject = self._subjects.get(sender)
        if subject is None:
            program = STOCK_PROGRAM if sender == self._own_id else self._program_of(sender)
            subject = f"{self._prefix}.{make_token(program)}"
            self._subjects[sender] = subject
        return subject

    # -- to the stream, and what it confirms

    def write(self) -> bool:
        """Hand on what is there, and note what was confirmed. Never raises.

        Return whether every client is concerned: there is no more room, or there is again.
        """
        if self._fresh:
            fresh, self._fresh = self._fresh, []
            self._publisher.submit(fresh)
            if self.board is not None:
                unshown, self._unshown = self._unshown, []
                self.board.note_write(0.0)
                self.board.show(unshown)
        while self._confirmed:
            self._settle(*self._confirmed.popleft())
        was_failing, self._was_failing = self._was_failing, self.failing
        return was_failing != self._was_failing

    def _settle(self, sender: str, through: int) -> None:
        lane = self._unconfirmed.get(sender)
        while lane and lane[0][0] <= through:
            last, size, count = lane.popleft()
            self._size -= size
            self.sink.bytes_written += size
            self.records += count
            if count:
                self._through[sender] = last
                self._settled.add(sender)
            else:  # its goodbye
                self._through.pop(sender, None)
                self._subjects.pop(sender, None)
        if lane is not None and not lane:
            del self._unconfirmed[sender]

    def _note_confirmed(self, sender: str, through: int) -> None:
        """In the link's thread: note what the stream has confirmed."""
        self._confirmed.append((sender, through))
        self._wake()

    def close(self) -> None:
        """Leave the stream. What it has not confirmed stays with the workers."""
        self._publisher.link.close()


class EngineLedger:
    """The lock and the identity of a receiver that writes to a stream."""

    def __init__(self, ledger: Ledger, writer: EngineWriter) -> None:
        self._ledger = ledger
        self._writer = writer
        self.last = writer.last
        """Returns the highest number of a sender that the stream has confirmed."""
        self.log_id = ledger.log_id
        self.path = ledger.path

    def retire_sender(self, sender: str) -> None:
        """Tell the stream's reader that ``sender`` will never send again."""
        self._writer.say_goodbye(sender)


def _notice(text: str) -> Row:
    return notice(text, time.time(), os.getpid())


def _row_to_show(fields: Any) -> Row | None:
    try:
        return read_row(fields)
    except RowError:
        return None


def _fields_of(row: Row) -> list[Any]:
    """Return the fields of a row as a frame has them."""
    fields: list[Any] = list(row)
    while fields[-1] is None:
        fields.pop()
    extra, tagged = flatten_extra(row.extra)
    fields[_EXTRA_FIELD] = extra
    fields[0] = row.flags | FLAG_TAGGED if tagged else row.flags & ~FLAG_TAGGED
    return fields
