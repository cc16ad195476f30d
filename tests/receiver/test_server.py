"""The receiver under bad input from the wire: it goes on, tells, and harms no other client."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import random
import socket
import struct
import threading

import pytest

from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.receiver import clients, places
from loguru_stdbridge.receiver.service import Service
from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.wire.frames import encode_frame
from loguru_stdbridge.wire.sending import Refusal, SenderConnection

SENDER = "0123456789abcdef" * 2


OF_SERVICE = ("max_connections", "spool_dir", "render")


class Running:
    """A receiver in a thread, whose messages are kept."""

    def __init__(self, path, **options):
        self.path = path
        self.told = []
        own = {name: options.pop(name) for name in OF_SERVICE if name in options}
        handler = {"sink": path, "format": "{message}", "level": 0, **options}
        self.service = Service([handler], ["tcp://127.0.0.1:0"], report=self.told.append, **own)
        self.address = self.service.addresses[0]
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()

    def connect(self):
        return socket.create_connection((self.address.host, self.address.port), 10)

    def lines(self):
        return self.path.read_bytes().decode("utf-8").split("\n")[:-1]

    def stop(self):
        self.service.stop()
        self.thread.join()


@pytest.fixture
def running(tmp_path):
    receiver = Running(tmp_path / "app.log")
    yield receiver
    receiver.stop()


def payload(message, **fields):
    return pickle.dumps({"msg": message, "levelno": 20, "levelname": "INFO", **fields}, 1)


def row(message):
    return encode_logrecord(
        logging.makeLogRecord({"msg": message, "levelno": 20}), lambda name: ("", None)
    )


def read_frame(client):
    prefix = client.recv(4, socket.MSG_WAITALL)
    return client.recv(struct.unpack(">L", prefix)[0], socket.MSG_WAITALL)


def still_serves(running, eventually, message):
    """A good client is served, after whatever came before."""
    with running.connect() as client:
        client.sendall(encode_frame(payload(message)))
        eventually(lambda: message in running.lines(), 20, f"{message!r} arrives")


WIRE = {
    "empty frame": b"\0\0\0\0",
    "largest length": b"\xff\xff\xff\xff" + b"x" * 100,
    "length above the limit": struct.pack(">L", 100 * 1024 * 1024),
    "http": b"GET / HTTP/1.1\r\nHost: log\r\n\r\n",
    "tls": bytes.fromhex("16030100f8010000f40303") + bytes(200),
    "random": random.Random(1).randbytes(10_000) if hasattr(random, "randbytes") else os.urandom(10_000),
    "rubbish frames": encode_frame(b"rubbish") * 50,
    "no dict": encode_frame(pickle.dumps([1, 2], 1)),
    "json": encode_frame(b'[1,["row"]]'),
    "a call": encode_frame(b"cos\nsystem\n(S'touch /tmp/harm'\ntR."),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(WIRE))
def test_bad_bytes_are_refused_and_told(running, eventually, name):
    """The receiver says once what it refused and from whom, and serves the next client."""
    with running.connect() as client:
        client.sendall(WIRE[name])
        client.shutdown(socket.SHUT_WR)
        eventually(lambda: running.told, 20, "it is told")
    assert any("127.0.0.1" in text and "refused" in text for text in running.told)
    still_serves(running, eventually, "after")
    assert running.lines() == ["after"]


def test_refusals_are_told_with_a_limit(running, eventually):
    """The receiver counts a thousand bad payloads of one kind, and tells of them once."""
    for _ in range(20):
        with running.connect() as client:
            client.sendall(encode_frame(b"rubbish") * 50)
    eventually(lambda: running.service.counts["refused"] == 1000, 20, "all are counted")
    assert len(running.told) == 1


def test_a_frame_cut_at_every_byte_harms_nobody(running, eventually):
    """A connection that ends inside a frame, at any byte of it, brings no record and no harm."""
    frame = encode_frame(payload("cut"))
    for cut in range(1, len(frame)):
        with running.connect() as client:
            client.sendall(frame[:cut])
    still_serves(running, eventually, "after the cuts")
    assert running.lines() == ["after the cuts"]


@pytest.mark.parametrize(
    "fields",
    [
        {"created": "now"}, {"created": float("nan")}, {"created": 1e300}, {"created": -1e300},
        {"created": None}, {"levelno": "high"}, {"levelno": 10**500}, {"levelno": -5},
        {"levelname": 5}, {"levelname": "x" * 1_000_000}, {"levelname": "UNKNOWN", "levelno": 12345},
        {"msg": 5}, {"msg": None}, {"msg": ["list"]}, {"msg": {}}, {"args": (1, 2)}, {"args": "%s" * 100},
        {"name": None}, {"name": 5}, {"lineno": "x"}, {"pathname": b"bytes"}, {"exc_text": 5},
        {"exc_text": "x" * 100_000}, {"exc_info": (1, 2, 3)}, {"thread": 1e308}, {"process": "p"},
        {"relativeCreated": "x"}, {"stack_info": 5}, {"extra": {"a": 1}}, {"stdbridge": {"version": 1}},
        {"msg": "{} {0} %s <red>"}, {"msg": "\ud83d lone"}, {"msg": "nul \0"},
    ],
    ids=repr,
)  # fmt: skip
def test_a_field_of_a_wrong_type_does_not_lose_the_record(running, eventually, fields):
    """The receiver writes a record whose fields are wrong, missing or enormous, as far as it can."""
    with running.connect() as client:
        client.sendall(encode_frame(pickle.dumps({"msg": "kept", **fields}, 1)))
        eventually(lambda: running.service.counts["records"] == 1, 20, "the record is written")
    if "msg" not in fields:
        assert running.lines()[0] == "kept"
    still_serves(running, eventually, "after")


def test_an_almost_empty_record_is_written(running, eventually):
    """The receiver writes a dict without any of logging's keys as a record without them."""
    with running.connect() as client:
        client.sendall(encode_frame(pickle.dumps({}, 1)))
        eventually(lambda: running.service.counts["records"] == 1, 20, "it is written")


def test_arguments_are_never_formatted(running, eventually):
    """The receiver never calls ``getMessage`` on a stranger's record: a width of 10**9 stays text."""
    with running.connect() as client:
        client.sendall(encode_frame(payload("%999999999d", args=(1,))))
        eventually(lambda: running.lines(), 20, "it is written")
    assert running.lines() == ["%999999999d"]


def test_a_record_from_the_year_2096_stops_no_rotation(tmp_path, eventually):
    """Rotation by time goes by the receiver's clock, whatever time a record claims."""
    running = Running(tmp_path / "app.log", rotation="1 hour")
    try:
        with running.connect() as client:
            client.sendall(encode_frame(payload("future", created=4e9)) * 3)
            eventually(lambda: len(running.lines()) == 3, 20, "all are in one file")
    finally:
        running.stop()
    assert [path.name for path in tmp_path.glob("*.log")] == ["app.log"]


def test_a_file_that_vanishes_from_under_a_retention_stops_no_rotation(tmp_path, eventually):
    """A rotation is done and nothing is told if the archive of a file has just replaced it."""

    def retain(files):
        raise FileNotFoundError("an archive took its place")

    running = Running(tmp_path / "app.log", rotation="1 KB", retention=retain)
    try:
        with running.connect() as client:
            client.sendall(encode_frame(payload("x" * 99)) * 100)
            eventually(lambda: running.service.counts["records"] == 100, 20, "all are written")
    finally:
        running.stop()
    assert len(list(tmp_path.glob("*.log"))) == 10
    assert running.told == []


def test_a_slow_client_is_served_and_holds_up_nobody(running, eventually):
    """A silent client and one that sends byte by byte hold up no other client."""
    with running.connect(), running.connect() as slow:
        for byte in encode_frame(payload("slow")):
            slow.sendall(bytes([byte]))
        still_serves(running, eventually, "quick")
        eventually(lambda: "slow" in running.lines(), 20, "the slow one's record arrives")


def test_500_connections_at_once(running, eventually):
    """The receiver serves a crowd of clients, and is left with no connection."""
    clients = [running.connect() for _ in range(500)]
    try:
        for number, client in enumerate(clients):
            client.sendall(encode_frame(payload(f"client {number}")))
        eventually(lambda: len(running.lines()) == 500, 30, "all records arrive")
    finally:
        for client in clients:
            client.close()
    assert set(running.lines()) == {f"client {n}" for n in range(500)}


def test_beyond_the_limit_of_connections_a_silent_client_makes_room(
    tmp_path, eventually, monkeypatch
):
    """A client that never spoke makes room first; the clients in the backlog are served then."""
    monkeypatch.setattr(places, "NEWCOMER_TIMEOUT", 0.0)
    running = Running(tmp_path / "app.log", max_connections=3)
    try:
        idle = [running.connect() for _ in range(3)]
        still_serves(running, eventually, "served")
        for client in idle:
            client.close()
    finally:
        running.stop()


def test_a_frame_that_takes_too_long_is_dropped(tmp_path, eventually, monkeypatch):
    """The receiver does not hold an incomplete frame for ever."""
    monkeypatch.setattr(clients, "FRAME_TIMEOUT", 0.0)
    running = Running(tmp_path / "app.log")
    try:
        with running.connect() as client:
            client.sendall(encode_frame(payload("never whole"))[:20])
            assert client.recv(1) == b""
    finally:
        running.stop()
    assert any("frame" in text for text in running.told)


def test_incomplete_frames_are_bounded_in_all(tmp_path, eventually, monkeypatch):
    """Beyond the limit for incomplete frames the receiver drops the client with the largest alone."""
    monkeypatch.setattr(clients, "MAX_INCOMPLETE", 1_000_000)
    running = Running(tmp_path / "app.log")
    try:
        with running.connect() as greedy, running.connect() as modest:
            modest.sendall(encode_frame(payload("modest"))[:20])
            greedy.sendall(struct.pack(">L", 20_000_000) + bytes(2_000_000))
            with pytest.raises(OSError):
                greedy.settimeout(20)
                while greedy.recv(1) or greedy.sendall(b"x") is None:
                    pass
            modest.sendall(encode_frame(payload("modest"))[20:])
            eventually(lambda: running.lines() == ["modest"], 20, "the modest one is served")
    finally:
        running.stop()


def test_the_greeting_comes_before_and_the_acknowledgement_after_the_write(running, eventually):
    """A record that the receiver has acknowledged is in the file."""
    sender = SenderConnection(SENDER)
    with running.connect() as client:
        client.sendall(sender.hello(row("one"), 1, 1))
        (greeting,) = sender.receive(encode_frame(read_frame(client)))
        assert greeting.last == 0
        (acknowledged,) = sender.receive(encode_frame(read_frame(client)))
        assert acknowledged.through == 1
        assert running.lines() == ["one"]
        client.sendall(sender.rows(2, [row("two"), row("three")]))
        (acknowledged,) = sender.receive(encode_frame(read_frame(client)))
        assert acknowledged.through == 3
        assert running.lines() == ["one", "two", "three"]


def test_a_duplicate_is_acknowledged_and_not_written(running, eventually):
    """The greeting tells a sender that comes again what the receiver holds of it."""
    with running.connect() as client:
        sender = SenderConnection(SENDER)
        client.sendall(sender.hello(row("one"), 1, 1) + sender.rows(2, [row("two")]))
        eventually(lambda: len(running.lines()) == 2, 20, "both are written")
    with running.connect() as client:
        sender = SenderConnection(SENDER)
        client.sendall(sender.hello(row("one"), 1, 1) + sender.rows(2, [row("two"), row("three")]))
        assert sender.receive(encode_frame(read_frame(client)))[0].last == 2
        eventually(lambda: len(running.lines()) == 3, 20, "the third is written")
    assert running.lines() == ["one", "two", "three"]
    assert running.service.counts["duplicates"] == 2


def test_a_jump_is_refused_with_an_answer(running, eventually):
    """The receiver tells a sender that leaves numbers out why it ends the connection."""
    sender = SenderConnection(SENDER)
    with running.connect() as client:
        client.sendall(sender.hello(row("one"), 1, 1) + sender.rows(5, [row("five")]))
        answers = []
        while True:
            data = client.recv(65536)
            if not data:
                break
            answers += sender.receive(data)
    (refusal,) = [answer for answer in answers if isinstance(answer, Refusal)]
    assert "record 5" in refusal.reason
    assert running.lines() == ["one"]


def test_a_gap_is_told_in_the_log(running, eventually):
    """A gap tells the readers of the log how many records are missing, and why."""
    sender = SenderConnection(SENDER)
    with running.connect() as client:
        client.sendall(
            sender.hello(row("notice"), 9, 4, notice=True) + sender.gap(4, 9, "spool_full")
            + sender.rows(10, [row("ten")]) + sender.gap(11, 12, "damaged")
        )  # fmt: skip
        eventually(lambda: len(running.lines()) == 3, 20, "all are written")
    first, second, third = running.lines()
    assert "6 records" in first and "spool_full" in first
    assert second == "ten"
    assert "2 records" in third and "damaged" in third


@pytest.mark.parametrize("before", [0, 300])
def test_a_new_connection_of_a_sender_ends_its_earlier_one(running, eventually, before):
    """A sender's new connection ends its earlier one, so the greeting counts every record of that one.

    A gap on the new connection is therefore exact to the last record.
    """
    earlier, later = SenderConnection(SENDER), SenderConnection(SENDER)
    numbered = [row(f"{number} {'x' * 10_000}") for number in range(2, before + 3)]
    with running.connect() as first, running.connect() as second:
        first.sendall(earlier.hello(row("1"), 1, 1))
        assert earlier.receive(encode_frame(read_frame(first)))[0].last == 0
        for number in range(2, before + 2):
            first.sendall(earlier.rows(number, [numbered[number - 2]]))
        second.sendall(later.hello(row("1"), 1, 1))
        last = later.receive(encode_frame(read_frame(second)))[0].last
        assert 1 <= last <= before + 1
        with contextlib.suppress(ConnectionError):
            first.sendall(earlier.rows(last + 1, numbered[last - 1 : last]))
            while first.recv(65536):
                pass  # to its end
        second.sendall(later.gap(last + 1, 1000, "spool_full") + later.rows(1001, [row("after")]))
        eventually(lambda: "after" in running.lines(), 20, "it goes on")
    *brought, gap, after = running.lines()
    assert [line.split()[0] for line in brought] == [str(number) for number in range(1, last + 1)]
    assert f"{1000 - last} records of sender" in gap


def test_a_row_that_is_none_keeps_its_place(running, eventually):
    """A text takes the place of a row that cannot be read, and the rows after it are taken."""
    sender = SenderConnection(SENDER)
    with running.connect() as client:
        client.sendall(sender.hello(row("one"), 1, 1) + sender.rows(2, [b"5", row("three")]))
        eventually(lambda: len(running.lines()) == 3, 20, "all are written")
    assert running.lines()[0] == "one"
    assert "could not be read" in running.lines()[1]
    assert running.lines()[2] == "three"


def test_nothing_waits_behind_a_row_that_cannot_be_read(running, eventually):
    """A notice replaces a bad row in the log, the refusal is counted, and the rows behind it come."""
    rows = [row("two"), b"[nonsense", row("four"), row("five")]
    with running.connect() as client:
        sender = SenderConnection(SENDER)
        client.sendall(sender.hello(row("one"), 1, 1) + sender.rows(2, rows))
        eventually(lambda: len(running.lines()) == 3, 20, "the rows up to the bad one are written")
    with running.connect() as client:
        sender = SenderConnection(SENDER)
        client.sendall(sender.hello(rows[2], 4, 4) + sender.rows(5, rows[3:]))
        assert sender.receive(encode_frame(read_frame(client)))[0].last == 3
        eventually(lambda: len(running.lines()) == 5, 20, "the rows behind it are written")
    one, two, notice, *behind = running.lines()
    assert [one, two, *behind] == ["one", "two", "four", "five"]
    assert "record 3 of sender 01234567 could not be read" in notice
    assert "[nonsense" in notice
    assert running.service.counts["refused"] == 2  # the frame, and the record


def test_an_address_in_use_is_named(running, tmp_path):
    """The error of a receiver that cannot bind names the address, and the sink is let go."""
    with pytest.raises(OSError, match="cannot listen on tcp://127.0.0.1"):
        Service([{"sink": tmp_path / "other.log"}], [running.address])
    other = Service([{"sink": tmp_path / "other.log"}], ["tcp://127.0.0.1:0"])
    other.stop(0)
    other.serve()


def test_the_socket_of_a_killed_receiver_is_replaced(tmp_path):
    """The Unix socket of a killed receiver is taken over; that of a living one is in use."""
    path = tmp_path / "log.sock"
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(path))
    dead.close()
    first = Service([{"sink": tmp_path / "one.log"}], [f"unix://{path}"])
    assert os.stat(path).st_mode & 0o077 == 0
    with pytest.raises(OSError, match="cannot listen"):
        Service([{"sink": tmp_path / "two.log"}], [parse_address(f"unix://{path}")])
    first.stop(0)
    first.serve()
    assert not path.exists()
