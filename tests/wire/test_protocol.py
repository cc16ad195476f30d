"""Both ends of a conversation, fed whole, byte by byte and in pieces; duplicates and jumps."""

from __future__ import annotations

import json
import logging
import logging.handlers
import pickle
import struct

import pytest

from loguru_stdbridge import __version__
from loguru_stdbridge.addresses import LogName
from loguru_stdbridge.exceptions import (
    OtherLogError,
    PeerError,
    ProtocolVersionError,
    RowError,
    SequenceError,
)
from loguru_stdbridge.record.bounded_json import MAX_FRAME_CONTAINERS, MAX_SMALL_FRAME
from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.record.level_order import LevelOrder
from loguru_stdbridge.record.row import MAX_ROW
from loguru_stdbridge.wire import sending as protocol
from loguru_stdbridge.wire.frames import MAX_PAYLOAD, encode_frame
from loguru_stdbridge.wire.receiving import (
    MAX_REFUSED,
    MAX_TOGETHER,
    GapReceived,
    GoodbyeReceived,
    HelloReceived,
    KnownReceived,
    MarkedReceived,
    PayloadRefused,
    ReceiverConnection,
    RowsReceived,
    Sequencer,
    StrangerReceived,
)
from loguru_stdbridge.wire.sending import (
    Acknowledged,
    Greeting,
    LevelsOrdered,
    Refusal,
    SenderConnection,
)

SENDER = "0123456789abcdef" * 2


def a_row(message="hello", **extra):
    record = logging.makeLogRecord(
        {"msg": message, "name": "app", "levelname": "INFO", "levelno": 20, **extra}
    )
    return encode_logrecord(record, lambda name: ("i", None))


def cuts(stream):
    """Yield the stream in several cuts: whole, byte by byte, in pieces of 3 and of 1,000 bytes."""
    yield [stream]
    for size in (1, 3, 1000):
        yield [stream[i : i + size] for i in range(0, len(stream), size)]


def a_stream():
    sender = SenderConnection(SENDER)
    return b"".join(
        [
            sender.hello(a_row("first"), 7, 7),
            sender.rows(8, [a_row("second"), a_row("third")]),
            sender.gap(10, 12, "damaged"),
            sender.goodbye(12),
        ]
    )


@pytest.mark.parametrize(
    "pieces", list(cuts(a_stream())), ids=["whole", "bytes", "threes", "blocks"]
)
def test_a_conversation_is_the_same_however_it_is_cut(pieces):
    """Hello, gap, rows and goodbye are the same events from every cut of the stream."""
    receiver = ReceiverConnection(MAX_PAYLOAD)
    events = [event for piece in pieces for event in receiver.receive(piece)]
    assert [type(event) for event in events] == [
        HelloReceived, RowsReceived, RowsReceived, GapReceived, GoodbyeReceived
    ]  # fmt: skip
    hello, first, rest, gap, _ = events
    assert (hello.sender, hello.base) == (SENDER, 7)
    assert (gap.first, gap.last, gap.reason) == (10, 12, "damaged")
    assert (first.first, first.rows[0][9]) == (7, "first")
    assert (rest.first, [row[9] for row in rest.rows]) == (8, ["second", "third"])
    assert receiver.pending_bytes == 0


def test_the_hello_is_a_record_that_any_receiver_can_log():
    """``logging.makeLogRecord`` takes a hello, and the mark is one attribute of the record."""
    frame = SenderConnection(SENDER).hello(a_row("hi {}", user=5), 1, 1)
    (length,) = struct.unpack(">L", frame[:4])
    assert length == len(frame) - 4
    fields = pickle.loads(frame[4:])
    record = logging.makeLogRecord(fields)
    assert record.getMessage() == "hi {}"
    assert record.user == 5
    assert set(fields["stdbridge"]) == {
        "version", "sender", "sequence", "base", "package", "levels", "row",
    }  # fmt: skip
    assert (
        logging.Formatter("%(levelname)s:%(name)s:%(message)s").format(record) == "INFO:app:hi {}"
    )


def test_a_hello_without_a_record_only_introduces_the_sender():
    """A notice of numbers given up is logged by a stock receiver; one of this package only greets."""
    frame = SenderConnection(SENDER).hello(a_row("5 records were given up"), 9, 5, notice=True)
    assert logging.makeLogRecord(pickle.loads(frame[4:])).getMessage() == "5 records were given up"
    assert ReceiverConnection(MAX_PAYLOAD).receive(frame) == [
        HelloReceived(SENDER, 5, package=__version__, takes_levels=True)
    ]


def test_orders_of_levels_are_told_after_the_greeting():
    """A worker that was greeted is told which lower levels are wanted; before that it is a fault."""
    sender, receiver = SenderConnection(SENDER), ReceiverConnection(MAX_PAYLOAD)
    receiver.receive(sender.hello(a_row("one"), 1, 1))
    orders = [LevelOrder("shop", 10, 60.0), LevelOrder("", 5, 1.5)]
    told = receiver.greeting(0) + receiver.levels(orders) + receiver.levels([])
    assert sender.receive(told)[1:] == [LevelsOrdered(tuple(orders)), LevelsOrdered(())]
    with pytest.raises(PeerError):
        SenderConnection(SENDER).receive(receiver.levels(orders))


def test_a_record_for_a_stock_peer_has_no_keys_but_those_of_logging_and_the_mark():
    """A record for a stock peer has the keys that SocketHandler sends, and ``stdbridge``."""
    frame = SenderConnection(SENDER).stock(a_row(), 3)
    ours = set(pickle.loads(frame[4:]))
    stock = logging.handlers.SocketHandler("localhost", 1).makePickle(logging.makeLogRecord({}))
    assert ours - {"stdbridge"} <= set(pickle.loads(stock[4:])) | {"taskName"}


def test_the_bytes_of_the_answers():
    """Greeting and error are framed JSON, an acknowledgement is 8 bytes, big-endian."""
    receiver = ReceiverConnection(MAX_PAYLOAD)
    assert receiver.acknowledgement(258) == b"\0\0\0\x08" + b"\0\0\0\0\0\0\x01\x02"
    assert receiver.greeting(5) == b'\0\0\0\x18{"stdbridge":1,"last":5}'
    assert receiver.error("no") == b'\0\0\0\x0e{"error":"no"}'


def test_the_sender_reads_the_answers_however_they_are_cut():
    """Greeting, acknowledgement and refusal are read from every cut of the stream."""
    receiver = ReceiverConnection(MAX_PAYLOAD)
    stream = receiver.greeting(4) + receiver.acknowledgement(9) + receiver.error("why")
    for pieces in cuts(stream):
        sender = SenderConnection(SENDER)
        sender.hello(a_row(), 5, 5)
        sender.rows(6, [a_row()] * 4)
        answers = [answer for piece in pieces for answer in sender.receive(piece)]
        assert answers == [Greeting(1, 4), Acknowledged(9), Refusal("why")]


def test_only_what_was_sent_can_be_acknowledged():
    """A worker believes no acknowledgement beyond what it sent, or the receiver greeted with."""
    receiver = ReceiverConnection(MAX_PAYLOAD)
    for send, last, through in (
        (lambda sender: sender.hello(a_row(), 7, 5), 4, 7),
        (lambda sender: sender.stock(a_row(), 8), 4, 8),
        (lambda sender: sender.rows(9, [a_row()] * 3), 4, 11),
        (lambda sender: sender.gap(12, 20, "spool_full"), 4, 20),
        (lambda sender: sender.hello(a_row(), 7, 5), 30, 30),
    ):
        sender = SenderConnection(SENDER)
        send(sender)
        sender.receive(receiver.greeting(last))
        assert sender.receive(receiver.acknowledgement(through)) == [Acknowledged(through)]
        with pytest.raises(PeerError, match=f"acknowledgement of {through + 1} out of turn"):
            sender.receive(receiver.acknowledgement(through + 1))


def test_a_receiver_greets_once():
    """A second greeting is an error: a worker that took every greeting would do nothing else."""
    receiver, sender = ReceiverConnection(MAX_PAYLOAD), SenderConnection(SENDER)
    sender.receive(receiver.greeting(4))
    with pytest.raises(PeerError, match="second greeting"):
        sender.receive(receiver.greeting(4))


@pytest.mark.parametrize(
    "stream",
    [
        b"\0\0\0\x08" + b"\0" * 8,  # an acknowledgement before the greeting
        encode_frame(b"[1]"), encode_frame(b"{}"), encode_frame(b'{"stdbridge":"x","last":0}'),
        encode_frame(b"\x80\x04."), encode_frame(b"[" * 60_000), b"HTTP/1.1 400 Bad Request\r\n",
        b"\xff\xff\xff\xff", encode_frame(b'{"stdbridge":1}'), encode_frame(b"5"), encode_frame(b'"error"'),
        encode_frame(b'{"stdbridge":1,"last":-1}'), encode_frame(b'{"stdbridge":1,"last":1e400}'),
        encode_frame(b'{"stdbridge":1,"last":"1"}'), encode_frame(b'{"stdbridge":1,"last":%d}' % (1 << 55)),
        encode_frame(b'{"stdbridge":1,"last":' + b"9" * 60_000 + b"}"), encode_frame(b"null"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_the_peers_error(stream):
    """An answer that is none of the protocol's is a PeerError; a worker unpickles nothing."""
    with pytest.raises(PeerError):
        SenderConnection(SENDER).receive(stream)


def test_a_stock_client_is_a_stranger():
    """A SocketHandler's record arrives as a stranger's fields."""
    receiver = ReceiverConnection(MAX_PAYLOAD)
    frame = logging.handlers.SocketHandler("localhost", 1).makePickle(
        logging.makeLogRecord({"msg": "old %s", "args": ("friend",)})
    )
    (event,) = receiver.receive(frame)
    assert isinstance(event, StrangerReceived)
    assert event.fields["msg"] == "old friend"
    assert receiver.sender is None


def stock_frame(number):
    record = logging.makeLogRecord({"msg": f"number {number}", "created": number + 0.5})
    return logging.handlers.SocketHandler("localhost", 1).makePickle(record)


def stock_fields(events):
    """Return the fields of every stock record, known or not."""
    for event in events:
        if isinstance(event, KnownReceived):
            yield from (fields for fields, _ in event.records)
        elif isinstance(event, StrangerReceived):
            yield event.fields


@pytest.mark.parametrize("size", [1_000_000, 1000, 7])
def test_stock_records_are_the_same_however_they_are_cut(size):
    """Stock records come in their order and whole, those of a known shape together."""
    stream = b"".join(map(stock_frame, range(700)))
    receiver, events = ReceiverConnection(MAX_PAYLOAD), []
    for at in range(0, len(stream), size):
        events += receiver.receive(stream[at : at + size])
    assert [f["msg"] for f in stock_fields(events)] == [f"number {n}" for n in range(700)]
    together = [len(event.records) for event in events if isinstance(event, KnownReceived)]
    assert sum(together) > 650
    assert max(together) <= MAX_TOGETHER
    assert (max(together) == MAX_TOGETHER) is (size == 1_000_000)


def test_what_is_no_known_record_keeps_its_place_among_them():
    """A refused payload, one of another shape, and a skipped frame stand where they came."""
    receiver = ReceiverConnection(1000)
    receiver.receive(b"".join(map(stock_frame, range(10))))
    other = encode_frame(pickle.dumps({"msg": {1}}, 1))
    parts = [stock_frame(1), stock_frame(2), encode_frame(b"}"), stock_frame(3), other,
             encode_frame(bytes(5000)), encode_frame(b""), stock_frame(4)]  # fmt: skip
    events = receiver.receive(b"".join(parts))
    assert [type(event) for event in events] == [
        KnownReceived, PayloadRefused, KnownReceived, StrangerReceived, PayloadRefused,
        PayloadRefused, KnownReceived,
    ]  # fmt: skip
    assert [len(event.records) for event in events if isinstance(event, KnownReceived)] == [2, 1, 1]


def test_a_known_record_ends_a_row_of_refusals():
    """Refusals are counted in a row, and a record of a known shape ends the row."""
    receiver = ReceiverConnection(MAX_PAYLOAD)
    receiver.receive(b"".join(map(stock_frame, range(10))))
    for _ in range(3):
        refused = receiver.receive(encode_frame(b"}") * (MAX_REFUSED - 1))
        assert not any(event.fatal for event in refused)
        while not isinstance(receiver.receive(stock_frame(1))[0], KnownReceived):
            pass


def test_a_stock_client_cannot_speak_the_dense_dialect():
    """Rows and control frames without a hello are refused like any other bad payload."""
    receiver = ReceiverConnection(MAX_PAYLOAD)
    sender = SenderConnection(SENDER)
    (event,) = receiver.receive(sender.rows(1, [a_row()]))
    assert isinstance(event, PayloadRefused)
    assert not event.fatal


@pytest.mark.parametrize(
    "mark",
    [
        None, 5, "x", {}, {"version": 2, "sender": SENDER}, {"version": 1},
        {"version": 1, "sender": "x" * 32, "sequence": 1}, {"version": 1, "sender": SENDER},
        {"version": 1, "sender": SENDER, "sequence": 0}, {"version": 1, "sender": SENDER, "sequence": "1"},
        {"version": 1, "sender": SENDER, "sequence": 1 << 60}, {"version": 1, "sender": 5, "sequence": 1},
    ],
)  # fmt: skip
def test_a_bad_mark_makes_a_stranger(mark):
    """A record with a mark that is not right is taken as a stock record."""
    payload = pickle.dumps({"msg": "x", "stdbridge": mark}, 1)
    (event,) = ReceiverConnection(MAX_PAYLOAD).receive(encode_frame(payload))
    assert isinstance(event, StrangerReceived)


def test_a_worker_of_another_protocol_is_refused_with_both_versions():
    """The receiver tells a worker that speaks protocol 2 so, and takes none of its records."""
    frame = SenderConnection(SENDER).hello(a_row(), 1, 1)
    fields = pickle.loads(frame[4:])
    fields["stdbridge"]["version"] = 2
    receiver = ReceiverConnection(MAX_PAYLOAD)
    (refused,) = receiver.receive(encode_frame(pickle.dumps(fields, 1)))
    assert refused.fatal
    assert (type(refused.error), refused.error.version) == (ProtocolVersionError, 2)
    (answer,) = SenderConnection(SENDER).receive(receiver.error(str(refused.error)))
    assert "speaks protocol 1, the worker speaks protocol 2" in answer.reason


def test_a_receiver_of_another_protocol_is_refused_with_both_versions():
    """A worker that is greeted with protocol 2 says so, and its records stay."""
    answer = {"stdbridge": 2, "last": 0, "package": "9.1"}
    with pytest.raises(ProtocolVersionError, match=r"\(loguru_stdbridge 9.1\) speaks protocol 2"):
        SenderConnection(SENDER).receive(encode_frame(json.dumps(answer).encode()))


def test_a_hello_tells_the_version_of_its_package():
    """The receiver learns it; a hello of a version that tells nothing has an empty one."""
    frame = SenderConnection(SENDER).hello(a_row(), 1, 1)
    assert ReceiverConnection(MAX_PAYLOAD).receive(frame)[0].package == __version__
    fields = pickle.loads(frame[4:])
    del fields["stdbridge"]["package"]
    older = encode_frame(pickle.dumps(fields, 1))
    assert ReceiverConnection(MAX_PAYLOAD).receive(older)[0].package == ""


def test_a_marked_record_after_the_hello_is_taken():
    """A sender that takes the receiver for a stock one goes on in stock frames, with its numbers."""
    sender, receiver = SenderConnection(SENDER), ReceiverConnection(MAX_PAYLOAD)
    events = receiver.receive(sender.hello(a_row(), 1, 1) + sender.stock(a_row("two"), 2))
    assert isinstance(events[-1], MarkedReceived)
    assert (events[-1].sequence, events[-1].fields["msg"]) == (2, "two")


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"gap":5}',
        b'{"gap":[2,1,"x"]}',
        b'{"gap":[0,1,"x"]}',
        b'{"gap":[1,"2","x"]}',
        b"[",
        b"[1]",
        b"{",
    ],
)
def test_a_bad_dense_frame_ends_the_connection(payload):
    """A frame of nonsense after the hello ends the connection; the events before it stand."""
    sender, receiver = SenderConnection(SENDER), ReceiverConnection(MAX_PAYLOAD)
    events = receiver.receive(
        sender.hello(a_row(), 1, 1) + encode_frame(payload) + sender.goodbye(1)
    )
    assert [type(event) for event in events] == [HelloReceived, RowsReceived, PayloadRefused]
    assert events[-1].fatal


BAD_ROWS = [b"nonsense", b"[" * 5000, b'"\xff"', b"[1", b"[" + b"7" * 5000 + b"]", b""]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=lambda row: repr(row[:8]))
@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_row_that_cannot_be_read_costs_itself_only(bad, before):
    """The rows before a bad one are taken, and it is a RowError in its place; the peer comes again."""
    sender, receiver = SenderConnection(SENDER), ReceiverConnection(MAX_PAYLOAD)
    receiver.receive(sender.hello(a_row("first"), 1, 1))
    frame = sender.rows(2, [*[a_row("good")] * before, bad, a_row("after")])
    taken, refused = receiver.receive(frame)
    assert (taken.first, [row[9] for row in taken.rows[:-1]]) == (2, ["good"] * before)
    assert type(taken.rows[-1]) is RowError
    assert refused.fatal


def test_a_row_beyond_a_bound_costs_itself_only():
    """A large frame that is crowded is one row, and its RowError shows how it begins."""
    sender, receiver = SenderConnection(SENDER), ReceiverConnection(MAX_PAYLOAD)
    receiver.receive(sender.hello(a_row("first"), 1, 1))
    crowded = (
        b'[0,"needle",[' + b"[]," * MAX_FRAME_CONTAINERS + b'1],"' + b"x" * MAX_SMALL_FRAME + b'"]'
    )
    taken, refused = receiver.receive(sender.rows(2, [crowded]))
    (error,) = taken.rows
    assert (taken.first, type(error), refused.fatal) == (2, RowError, True)
    assert "32003 lists" in str(error) and "needle" in str(error)


@pytest.mark.parametrize("bad", BAD_ROWS[:-1], ids=lambda row: repr(row[:8]))
def test_a_hello_of_a_row_that_cannot_be_read_introduces_its_sender(bad):
    """A worker can say its hello whatever its first row is, and a stock receiver gets a notice."""
    frame = SenderConnection(SENDER).hello(bad.replace(b"\xff", b"\xc3\xbf") + b",", 4, 4)
    assert "could not be read" in pickle.loads(frame[4:])["msg"]
    hello, taken = ReceiverConnection(MAX_PAYLOAD).receive(frame)
    assert (hello.sender, taken.first, type(taken.rows[0])) == (SENDER, 4, RowError)


def test_a_stock_record_that_is_too_large_loses_itself_only():
    """A frame beyond the limit is refused and read past; a worker's, which is no honest one, ends it."""
    good = encode_frame(pickle.dumps({"msg": "good"}, 1))
    receiver = ReceiverConnection(1000)
    events = receiver.receive(good + encode_frame(bytes(5000)) + good)
    assert [type(event) for event in events] == [StrangerReceived, PayloadRefused, StrangerReceived]
    assert (events[1].size, events[1].fatal) == (5000, False)
    assert "5000 bytes is beyond the limit of 1000" in str(events[1].error)
    receiver.sender = SENDER
    assert receiver.receive(encode_frame(bytes(5000)))[0].fatal


@pytest.mark.parametrize("kind", ["message", "exception", "extra"])
def test_the_largest_row_fits_a_hello(kind):
    """The hello of the largest row has the row whole, and shows a stock receiver its beginning."""
    text = "x" * (MAX_ROW - 1000)
    fields = json.loads(a_row("needle"))
    fields[{"message": 9, "exception": 20, "extra": 21}[kind]] = {
        "message": text, "exception": ["E", "v", text, True], "extra": {"a": text}
    }[kind]  # fmt: skip
    row = json.dumps(fields).encode()
    frame = SenderConnection(SENDER).hello(row, 1, 1)
    assert len(frame) < MAX_PAYLOAD
    shown = logging.makeLogRecord(pickle.loads(frame[4:]))
    assert shown.getMessage()[:6] in ("needle", "xxxxxx")
    assert len(shown.getMessage()) + len(shown.exc_text or "") < 10_000
    hello, rows = ReceiverConnection(MAX_PAYLOAD).receive(frame)
    assert (type(hello), type(rows)) == (HelloReceived, RowsReceived)
    assert len(json.dumps(rows.rows)) > MAX_ROW // 2


def test_many_refused_payloads_end_the_connection():
    """A client that sends nothing but refused payloads loses its connection."""
    receiver = ReceiverConnection(MAX_PAYLOAD)
    events = receiver.receive(encode_frame(b"rubbish") * 500)
    assert len(events) == MAX_REFUSED
    assert [event.fatal for event in events] == [False] * (MAX_REFUSED - 1) + [True]


def test_a_length_prefix_beyond_the_limit_is_fatal_after_what_was_whole():
    """HTTP, TLS and random bytes are length prefixes that nobody allocates, and end the connection."""
    receiver = ReceiverConnection(1000)
    good = encode_frame(pickle.dumps({"msg": "good"}, 1))
    events = receiver.receive(good + b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(events[0], StrangerReceived)
    assert events[1].fatal


# -- sequence numbers


def test_only_the_next_number_is_admitted():
    """A lower number is a duplicate, and a higher one is refused."""
    sequencer = Sequencer(lambda sender: 0)
    assert sequencer.greet(SENDER, 1) == 0
    assert sequencer.admit(SENDER, 1, 3) == 0
    assert sequencer.admit(SENDER, 2, 3) == 2
    assert sequencer.admit(SENDER, 1, 2) == 2
    assert sequencer.last(SENDER) == 4
    with pytest.raises(SequenceError, match=r"record 6 .* where 5 is next"):
        sequencer.admit(SENDER, 6, 1)
    assert sequencer.last(SENDER) == 4


def test_what_the_ledger_holds_is_a_duplicate():
    """Numbers up to the ledger's last one are duplicates after a restart."""
    sequencer = Sequencer({SENDER: 10}.get)
    assert sequencer.greet(SENDER, 8) == 10
    assert sequencer.admit(SENDER, 8, 4) == 3


def test_a_hello_may_begin_above_what_is_held():
    """A hello whose base is above the ledger's last number is admitted: the ledger was lost."""
    sequencer = Sequencer(lambda sender: 0)
    assert sequencer.greet(SENDER, 100) == 99
    assert sequencer.admit(SENDER, 100, 1) == 0


def test_a_gap_counts_only_what_is_missing():
    """A gap counts the records that never came; those that had arrived are not lost."""
    sequencer = Sequencer(lambda sender: 5)
    assert sequencer.skip(SENDER, 9) == 4
    assert sequencer.skip(SENDER, 7) == 0
    assert sequencer.admit(SENDER, 10, 1) == 0


def test_the_answers_fit_what_a_worker_reads():
    """An error's text is cut to what a worker reads."""
    assert len(ReceiverConnection(MAX_PAYLOAD).error("x" * 100_000)) < protocol.MAX_ANSWER
    assert json.loads(ReceiverConnection(MAX_PAYLOAD).greeting(1)[4:])["last"] == 1


LOG = LogName("/logs/app.log", "a" * 32, "8:1")


def hello_events(log):
    """What a receiver is told by the hello of a worker whose records belong to ``log``."""
    worker = SenderConnection(SENDER, log)
    return ReceiverConnection(MAX_PAYLOAD).receive(worker.hello(a_row(), 1, 1))


@pytest.mark.parametrize("log", [LOG, LogName("/logs/\udcff app.log"), None])
def test_a_hello_names_the_log_that_its_records_belong_to(log):
    """The receiver learns the path and the id; a worker that knows no log names none."""
    named = hello_events(log)[0].log
    assert named == (None if log is None else log._replace(directory=""))


@pytest.mark.parametrize("log", [LOG, LogName("/logs/\udcff app.log", "b" * 32), None])
def test_a_greeting_names_the_log_that_the_receiver_writes(log):
    """The worker learns it whole, and takes any where it knows of none itself."""
    worker = SenderConnection(SENDER)
    [greeting] = worker.receive(ReceiverConnection(MAX_PAYLOAD).greeting(5, None, log))
    assert greeting == Greeting(1, 5, None, log)


@pytest.mark.parametrize(
    "there", [LOG._replace(path="/moved/app.log"), LOG._replace(id="b" * 32), LogName(LOG.path)]
)
def test_a_log_is_known_by_its_id_or_by_its_path(there):
    """A log that was moved, and one whose ledger is new, are the worker's own still."""
    worker = SenderConnection(SENDER, LOG)
    worker.receive(ReceiverConnection(MAX_PAYLOAD).greeting(5, None, there))
    assert worker.greeting.log == there


def test_a_worker_refuses_the_receiver_of_another_log():
    """The error names both logs, and no greeting counts."""
    worker = SenderConnection(SENDER, LOG)
    other = LogName("/logs/other.log", "b" * 32)
    with pytest.raises(OtherLogError, match=r"other\.log.*/logs/app\.log"):
        worker.receive(ReceiverConnection(MAX_PAYLOAD).greeting(5, None, other))
    assert worker.greeting is None


@pytest.mark.parametrize(
    "odd", [7, "x", {}, [], ["a"], [1, 2], ["a", "b", "c", "d"], ["a" * 5000, "b"]]
)
def test_what_names_no_log_is_passed_over(odd):
    """A peer may write anything there; nothing is taken for a log's name."""
    assert protocol.read_log_name(odd) is None
