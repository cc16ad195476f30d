"""Send a journal over one connection, from the hello to the goodbye.

Owns the order of the frames, their pace, and the meaning of the answers; a stock receiver is served
here, too. Runs in the sender's thread. That thread's module,
:mod:`~loguru_stdbridge.worker.sender`, owns connecting, waiting and ending, and argues why nobody
waits and every record is written once.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any, Callable, Protocol

from ..addresses import Address, LogName
from ..exceptions import JournalError, PeerError
from ..record.level_order import LevelOrder
from ..record.row import MAX_ROWS
from ..spool.proof import ReceiverProof
from ..spool.segments import Batch, Gap
from ..wire.sending import (
    Acknowledged,
    FormatChanged,
    Greeting,
    LevelsOrdered,
    Proof,
    Refusal,
    SenderConnection,
)
from .ending import Ending
from .stock_proof import PROOF_TIMEOUT, StockProof
from .transport import Transport
from .waiting import READ, WRITE

FRAME_BYTES = 128 * 1024
"""Bytes of rows in one frame: few enough for their size alone to bound what is made of them
(``row.MAX_SMALL_FRAME``)."""

PACE = 0.005
"""Seconds from a frame that leaves nothing behind to the next one. The first record after a pause
goes at once. While records flow, each frame costs this process as much as ten log calls."""

BUSY_ROWS = 32
BUSY_PACE = 0.02
"""The same after a frame of at least ``BUSY_ROWS`` rows. At thousands of records a second, fewer
and larger frames cost the receiver less. They also cost less to the one log call in a thousand that
has to wait for a frame. The worker pays no more."""

LAG_FACTOR = 4
MAX_PACE = 0.25
FILL = 0.6
"""A frame that is late shows that the machine is busy. The next one then waits ``LAG_FACTOR`` times
as long as this one was late, but no longer than ``MAX_PACE`` seconds, nor until more than ``FILL``
of a frame has gathered: the journal keeps no more than a frame's rows at hand. Waking is what costs
here: a thread that wants the interpreter's lock looks for it every 5 ms while the holder waits for
a processor. With 256 processes on two processors that was a fifth of all they did."""


class JournalToSend(Protocol):
    """The part of a journal that a sender uses: of the process's own journal or of an adopted one.

    The default values are those of a journal that gets no more rows.
    """

    sender_id: str
    log: LogName | None = None
    """What the records belong to; ``None`` until a receiver has told it."""
    sender_waiting: bool = False
    """Set by the sender before it waits: a log call that sees it wakes the sender."""
    sender_thread_id: int | None = None
    on_append: Callable[[], None] = staticmethod(lambda: None)
    """Wakes the sender."""
    on_full: Callable[[], None] = staticmethod(lambda: None)
    """Has what is there sent at once."""
    trouble: str | None = None
    """What the operator should be told; the sender takes it away."""

    @property
    def first(self) -> int:
        """The lowest number that is not acknowledged."""
        ...

    @property
    def next(self) -> int:
        """The number that the next record gets."""
        ...

    @property
    def pending(self) -> int:
        """Numbers that are not acknowledged, those given up included."""
        ...

    @property
    def may_be_forgotten(self) -> bool:
        """Whether all is acknowledged, and nobody will find it and send it again."""
        ...

    def look_after(self) -> float:
        """Look after the journal's files, if it is time; return the seconds until the next time."""
        return 3600.0

    def belong_to(self, log: LogName) -> None: ...
    def read(self, after: int, max_bytes: int) -> Batch: ...
    def tell(self, first: int, last: int) -> None: ...
    def acknowledge(self, through: int) -> None: ...


class SenderThread(Protocol):
    """The part of a sender thread (:class:`~.sender.Sender`) that a conversation uses."""

    address: Address
    journal: JournalToSend
    peer: str
    proof: ReceiverProof | None
    greeted: bool
    silence_told: bool
    greeting_timeout: float
    send_now: bool
    unacknowledged: int
    stock_proof: StockProof
    ending: Ending
    report: Callable[[str], None]
    notice: Callable[[str], bytes]
    on_greeting: Callable[[Greeting | None], None]
    on_levels: Callable[[tuple[LevelOrder, ...] | None], float]

    @property
    def done(self) -> bool: ...
    def delivering(self) -> None: ...
    def acknowledge(self, through: int) -> None: ...
    def tell_progress(self) -> None: ...
    def look_around(self) -> float: ...
    def wait(
        self,
        interest: int,
        timeout: float | None,
        *,
        beyond_end: bool = False,
    ) -> bool: ...


class StreamEndedError(ConnectionResetError):
    """The peer has ended its side of the connection in order."""


class Conversation:
    """One connection's frames and answers. Runs in the sender's thread."""

    def __init__(self, sender: SenderThread, transport: Transport) -> None:
        self._sender = sender
        self._transport = transport
        self._journal = sender.journal
        self._connection = SenderConnection(self._journal.sender_id, self._journal.log)
        self._out = memoryview(b"")
        self._sent = 0  # highest number put into a frame on this connection
        self._gap: Gap | None = None  # what the hello told to a stock receiver
        self._taken_through = 0  # by a stock receiver's kernel
        self._is_proved = False  # that it has read that
        self._frame_at = 0.0
        self._next_frame_at = 0.0
        self._lag = 0.0  # seconds by which the frame that is next is late
        self._proof = None if transport.is_listener_known else sender.proof
        self._nonce = ""
        self._answer: str | None = None  # the receiver's, to a challenge

    def run(self) -> None:
        if self._proof is not None:
            self._nonce = self._proof.new_nonce()
            if self._proof.is_required():
                self._have_proved(self._proof)
        self._hello()
        if self._sender.peer == "stock":
            try:
                self._deliver_to_stock()
            finally:
                if not self._is_proved and self._taken_through and not self._greeted():
                    self._sender.stock_proof.is_uncertain = True
                self._sender.tell_progress()
        else:
            self._await(self._greeted)
            self._deliver()

    # -- the hello

    def _hello(self) -> None:
        first = self._journal.first
        batch: Batch = self._journal.read(first - 1, 1)
        self._gap = batch.gap
        if batch.gap is not None:
            self._sent = first - 1
            row, number = self._notice_of(batch.gap), batch.gap.last
            frame = self._connection.hello(row, number, first, notice=True, nonce=self._nonce)
        elif batch.rows:
            self._sent = first
            if self._sender.peer == "stock":  # it is not greeted; a large record goes whole
                frame = self._connection.stock(batch.rows[0], first)
            else:
                frame = self._connection.hello(batch.rows[0], first, first, nonce=self._nonce)
        else:
            raise JournalError(f"record {first} is not in the journal")
        self._out = memoryview(frame)

    def _have_proved(self, proof: ReceiverProof) -> None:
        """Have the receiver prove that it has the spool, before it is told anything."""
        self._out = memoryview(self._connection.challenge(self._nonce))
        self._await(lambda: self._answer is not None)
        if not proof.is_right(self._nonce, self._transport.place, str(self._answer)):
            raise PeerError(
                "another receiver than before answers there: it cannot prove that it has the "
                f"spool directory of this process. If it is yours all the same, remove {proof.note}"
            )

    def _notice_of(self, gap: Gap) -> bytes:
        count = gap.last - gap.first + 1
        return self._sender.notice(f"{count} records were given up: {gap.reason}")

    def _await(self, is_there: Callable[[], bool]) -> None:
        """Wait for an answer, however long it takes. Raise ``OSError`` at the sender's end."""
        sender = self._sender
        deadline = time.monotonic() + sender.greeting_timeout
        while not is_there():
            self._flush_out()
            if sender.ending.is_over():
                raise OSError("no greeting before the end")
            left: float | None = None
            if not sender.silence_told:
                left = max(deadline - time.monotonic(), 0.0)
                if not left:
                    self._tell_silence()
            self._wait(left)

    def _tell_silence(self) -> None:
        sender = self._sender
        sender.silence_told = True
        sender.report(
            f"{sender.address} took a connection but has not greeted within "
            f"{sender.greeting_timeout:g} s: records wait in the journal. A loguru_stdbridge "
            "receiver that is stopped or busy greets later. A stock receiver, of SocketHandler's "
            'format, needs peer="stock"'
        )

    def _greeted(self) -> bool:
        return self._connection.greeting is not None

    # -- to a receiver of ours

    def _deliver(self) -> None:
        sender, journal = self._sender, self._journal
        sender.greeted = True
        sender.silence_told = False
        greeting = self._connection.greeting
        assert greeting is not None
        self._sent = max(self._sent, greeting.last)
        sender.delivering()
        while True:
            until_frame = self._next_frame_at - time.monotonic()
            if not self._out and (until_frame <= 0 or sender.send_now):
                self._next_frame()
                until_frame = self._next_frame_at - time.monotonic()
            self._flush_out()
            if sender.ending.is_over():
                break
            until_look = sender.look_around()
            if self._out:
                self._wait(until_look)
            elif sender.done:
                break
            elif until_frame > 0 and not sender.send_now:  # no log call has to wake us
                self._wait(until_frame)
                self._lag = time.monotonic() - self._next_frame_at
            elif journal.next - 1 > self._sent:
                self._wait(0)  # more rows wait: read acknowledgements, which free journal space
            else:
                self._lag = 0.0
                journal.sender_waiting = True
                if journal.next - 1 <= self._sent and not sender.done:
                    self._wait(until_look)
                journal.sender_waiting = False
        self._leave()

    def _next_frame(self) -> None:
        self._sender.send_now = False  # first: what is asked for after this is another frame's
        last = self._journal.next - 1
        batch: Batch = self._journal.read(self._sent, FRAME_BYTES)
        if batch.gap is not None:
            self._journal.tell(batch.gap.first, batch.gap.last)
            self._out = memoryview(self._connection.gap(*batch.gap))
            self._sent = batch.gap.last
        elif batch.rows:
            self._out = memoryview(self._connection.rows(batch.first, batch.rows))
            self._sent = batch.last
        elif self._sent < last:  # closed meanwhile: not to be looked for again and again
            raise JournalError(f"records {self._sent + 1} to {last} are not in the journal")
        now, pace = time.monotonic(), 0.0
        if batch.rows and self._sent >= last:
            pace = BUSY_PACE if len(batch.rows) >= BUSY_ROWS else PACE
            room = min(MAX_ROWS / len(batch.rows), FRAME_BYTES / len(self._out))
            fits = FILL * room * (now - self._frame_at)
            pace = max(pace, min(LAG_FACTOR * self._lag, MAX_PACE, fits))
        self._frame_at, self._next_frame_at = now, now + pace

    def _leave(self) -> None:
        """Say goodbye if all is delivered; read answers to the end of the stream, then return.

        A receiver forgets a sender after its goodbye, and takes all that comes of it for new.
        """
        sender = self._sender
        if self._journal.may_be_forgotten and not self._out:
            self._out = memoryview(self._connection.goodbye(self._sent))
            self._flush_out()
        self._transport.finish()
        self._out = memoryview(b"")
        deadline = time.monotonic() + 0.5
        if sender.ending.until < math.inf:
            deadline = max(deadline, sender.ending.until)
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:  # ends by the end of the stream
                self._wait(deadline - time.monotonic(), beyond_end=True)

    # -- to a stock receiver

    def _deliver_to_stock(self) -> None:
        """Deliver as ``SocketHandler`` does: what the kernel took counts as delivered.

        The peer is still listened to: a receiver of ours that greets is taken at its word.
        """
        sender, journal = self._sender, self._journal
        self._send_all()
        sender.delivering()
        sender.on_greeting(None)
        if self._gap is not None:
            self._gap_taken_by_stock(self._gap)
        else:
            self._taken_by_stock(self._sent)
        while not self._greeted():
            if sender.ending.is_over() or sender.done or sender.stock_proof.is_due(self._sent):
                self._end_of_stock()
                return
            until_look = sender.look_around()
            self._wait(0)  # a peer that has gone is noticed before it is written to, not after
            if self._greeted():  # just now
                break
            batch: Batch = journal.read(self._sent, FRAME_BYTES)
            if batch.gap is not None:
                self._send_to_stock(self._notice_of(batch.gap), batch.gap.last)
                self._gap_taken_by_stock(batch.gap)
            for number, row in enumerate(batch.rows, batch.first):
                self._send_to_stock(row, number)
                self._taken_by_stock(number)
            if not batch.rows and batch.gap is None:
                journal.sender_waiting = True
                if journal.next - 1 <= self._sent and not sender.ending.is_called_for:
                    self._wait(until_look)
                journal.sender_waiting = False
        self._deliver()

    def _end_of_stock(self) -> None:
        """End the stream, and see whether the receiver has read all of it."""
        sender = self._sender
        self._transport.finish()
        deadline = time.monotonic() + PROOF_TIMEOUT
        deadline = min(deadline, max(sender.ending.until, time.monotonic() + 0.5))
        try:
            while time.monotonic() < deadline:
                self._wait(deadline - time.monotonic(), beyond_end=True)
        except StreamEndedError:
            self._is_proved = True
            sender.stock_proof.through = self._sent

    def _send_to_stock(self, row: Any, number: int) -> None:
        self._out = memoryview(self._connection.stock(row, number))
        self._send_all()

    def _send_all(self) -> None:
        """Have the peer's kernel take all of the frame. Raise ``OSError`` at the sender's end."""
        while self._out:
            self._flush_out(end_of_record=True)
            if self._out:
                if self._sender.ending.is_over():
                    raise OSError("the peer does not read")
                self._wait(None)

    def _taken_by_stock(self, number: int) -> None:
        self._sender.unacknowledged += 1
        self._sent = self._taken_through = number
        self._sender.acknowledge(number)

    def _gap_taken_by_stock(self, gap: Gap) -> None:
        self._journal.tell(gap.first, gap.last)
        self._sent = gap.last
        self._sender.acknowledge(gap.last)

    # -- bytes

    def _flush_out(self, *, end_of_record: bool = False) -> None:
        while self._out:
            count = self._transport.send(self._out, end_of_record=end_of_record)
            if not count:
                return
            self._out = self._out[count:]

    def _wait(self, timeout: float | None, *, beyond_end: bool = False) -> None:
        """Wait for the socket or a wake-up, and take answers. Raise ``OSError`` at its end."""
        interest = READ | (WRITE if self._out else 0)
        if self._sender.wait(interest, timeout, beyond_end=beyond_end):
            data = self._transport.receive()
            if data == b"":
                raise StreamEndedError("the receiver closed the connection")
            if data:
                self._take(data)

    def _take(self, data: bytes) -> None:
        for answer in self._connection.receive(data):
            if isinstance(answer, Acknowledged):
                self._sender.acknowledge(answer.through)
            elif isinstance(answer, Proof):
                self._answer = answer.answer
            elif isinstance(answer, FormatChanged):
                greeting = self._connection.greeting
                assert greeting is not None
                self._sender.on_greeting(greeting._replace(**answer._asdict()))
            elif isinstance(answer, LevelsOrdered):
                self._sender.on_levels(answer.orders)
            elif isinstance(answer, Refusal):
                raise PeerError(f"the receiver refuses: {answer.reason}")
            else:
                assert isinstance(answer, Greeting)
                proof, place = self._proof, self._transport.place
                if proof is not None and proof.is_right(self._nonce, place, answer.proof):
                    proof.require()
                if answer.log is not None:
                    self._journal.belong_to(answer.log)
                if answer.last >= self._journal.next:
                    raise PeerError(f"it greets with record {answer.last}, which was never sent")
                self._sender.on_greeting(answer)  # before an acknowledgement lets a flush return
