"""Peers that mean harm: a receiver among hostile clients, a worker with a hostile receiver."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import logging.handlers
import os
import pickle
import re
import socket
import struct
import threading
import uuid

import pytest
from loguru import logger

from loguru_stdbridge import install_bridge
from loguru_stdbridge.pickles import known
from loguru_stdbridge.receiver import clients, places, writer
from loguru_stdbridge.receiver.service import Service
from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.record.row import encode_row
from loguru_stdbridge.wire.frames import MAX_PAYLOAD, encode_frame
from loguru_stdbridge.wire.sending import ACKNOWLEDGEMENT, Greeting, Refusal, SenderConnection
from tests.support import fuzz_pickles
from tests.support.hostile import corpus, dense_corpus
from tests.support.processes import ReceiverProcess
from tests.support.scripted import ScriptedReceiver

SENDER = "0123456789abcdef" * 2
OTHER = "fedcba9876543210" * 2


pytestmark = pytest.mark.usefixtures("quiet_loguru")


def row(message):
    record = logging.makeLogRecord({"msg": message, "levelno": 20, "levelname": "INFO"})
    return encode_logrecord(record, lambda name: ("", None))


class Client:
    """A sender of ours, by hand."""

    def __init__(self, receiver, sender=SENDER, first=1):
        self.socket = receiver.connect()
        self.socket.settimeout(30)
        self.protocol = SenderConnection(sender)
        self.next = first
        self.answers = []  # those that have come and were not asked for yet

    def hello(self, message="hello", base=None):
        self.socket.sendall(self.protocol.hello(row(message), self.next, base or self.next))
        self.next += 1
        return self.answer(Greeting)

    def rows(self, *rows):
        self.socket.sendall(self.protocol.rows(self.next, rows))
        self.next += len(rows)

    def raw(self, payload):
        self.socket.sendall(encode_frame(payload))

    def answer(self, kind):
        """Return the next answer of that kind; ``None`` at the end of the stream."""
        while True:
            while self.answers:
                answer = self.answers.pop(0)
                if isinstance(answer, kind):
                    return answer
            data = self.socket.recv(65536)
            if not data:
                return None
            self.answers += self.protocol.receive(data)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.socket.close()


OF_SERVICE = ("max_connections", "spool_dir", "render")


class Receiver:
    """A receiver in a thread, with a client that keeps logging whatever happens beside it."""

    def __init__(self, path, **options):
        self.path = path
        self.told = []
        of_service = {name: options.pop(name) for name in OF_SERVICE if name in options}
        handler = {"sink": path, "format": "{message}", "level": 0, **options}
        self.service = Service(
            [handler], ["tcp://127.0.0.1:0"], report=self.told.append, **of_service
        )
        self.address = self.service.addresses[0]
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()
        self.good = logging.handlers.SocketHandler(self.address.host, self.address.port)
        self.logged = 0
        self.log()

    def connect(self):
        return socket.create_connection((self.address.host, self.address.port), 10)

    def log(self):
        """Log one more record of the good client."""
        self.good.handle(logging.makeLogRecord({"msg": f"good {self.logged}", "levelno": 20}))
        self.logged += 1

    def lines(self):
        return self.path.read_bytes().decode("utf-8").split("\n")[:-1]

    def good_lines(self):
        return [line for line in self.lines() if re.fullmatch(r"good \d+", line)]

    def stop(self):
        self.good.close()
        self.service.stop()
        self.thread.join()


@pytest.fixture
def receiver(tmp_path, eventually):
    """Check that the receiver lives and has written each record of the good client once."""
    running = Receiver(tmp_path / "app.log")
    yield running
    running.log()
    wanted = [f"good {number}" for number in range(running.logged)]
    try:
        eventually(
            lambda: len(running.good_lines()) >= running.logged, 30, "the good client's records"
        )
        assert running.good_lines() == wanted
        assert running.thread.is_alive()
    finally:
        running.stop()


# -- hostile clients


@pytest.mark.parametrize("entries", [corpus()[::2], corpus()[1::2]], ids=["even", "odd"])
def test_hostile_pickles_harm_no_other_client(receiver, entries):
    """The receiver survives the whole corpus, and serves a good client between two of its frames."""
    for entry in entries:
        with receiver.connect() as client:
            client.sendall(encode_frame(entry.payload))
        receiver.log()
    assert all("\n" not in text for text in receiver.told)


def test_hostile_pickles_among_records_of_a_known_shape(receiver):
    """The corpus, sent by clients whose shapes are known, harms neither them nor a good client."""
    honest = [pickle.dumps(logging.makeLogRecord({"msg": "known"}).__dict__, 1)] * 8
    entries = [entry for entry in corpus() if len(entry.payload) < 100_000]
    for start in range(0, len(entries), 20):
        with receiver.connect() as client:
            for entry in entries[start : start + 20]:
                client.sendall(b"".join(map(encode_frame, [*honest, entry.payload, honest[0]])))
        receiver.log()


@pytest.mark.parametrize("part", range(4))
def test_hostile_dense_frames_harm_no_other_sender(receiver, eventually, part):
    """The receiver takes or refuses each bad control frame, and an honest sender's rows between."""
    entries = dense_corpus()[part::4]
    with Client(receiver, OTHER) as honest:
        honest.hello("honest 0")
        for number, entry in enumerate(entries, 1):
            with Client(receiver, f"{number:032x}") as hostile:
                hostile.hello()
                hostile.raw(entry.payload)
                receiver.log()
                honest.rows(row(f"honest {number}"))
        eventually(
            lambda: f"honest {len(entries)}" in receiver.lines(), 60, "the honest sender's rows"
        )
    assert [line for line in receiver.lines() if line.startswith("honest")] == [
        f"honest {number}" for number in range(len(entries) + 1)
    ]


def test_rows_that_are_none_keep_their_numbers(receiver, eventually):
    """Each number among good and bad rows has its line, and a bad row's line says what it was."""
    rows = [encode_row(value) for value in fuzz_pickles.NASTY]
    good = [row(f"between {number}") for number in range(len(rows))]
    with Client(receiver) as client:
        client.hello()
        client.rows(*itertools.chain.from_iterable(zip(rows, good)))
        eventually(lambda: client.answer(object).through == client.next - 1, 30, "all are written")
    assert sum(line.startswith("between") for line in receiver.lines()) == len(good)
    unread = [line for line in receiver.lines() if "could not be read" in line]
    assert len(unread) == len(rows)


def test_a_bug_in_reading_ends_its_client_only(receiver, monkeypatch, eventually):
    """An exception that a decoder was never meant to raise ends one connection, not the loop."""
    honest = known.load_record

    def broken(payload):
        if b"trigger" in payload:
            raise ZeroDivisionError("nobody thought of it")
        return honest(payload)

    monkeypatch.setattr(known, "load_record", broken)
    with receiver.connect() as client:
        client.sendall(encode_frame(b"trigger"))
        assert client.recv(1) == b""
    assert [text for text in receiver.told if "a bug: ZeroDivisionError" in text]


def test_a_bug_in_reading_a_row_costs_that_row_only(receiver, monkeypatch, eventually):
    """The rows beside a row that raises are written, under their numbers."""
    honest = writer.read_row

    def broken(fields):
        if fields[9] == "trigger":
            raise ZeroDivisionError("nobody thought of it")
        return honest(fields)

    monkeypatch.setattr(writer, "read_row", broken)
    with Client(receiver) as client:
        client.hello()
        client.rows(row("before"), row("trigger"), row("after"))
        eventually(lambda: "after" in receiver.lines(), 30, "the rows arrive")
        assert client.answer(object)
    found = [line for line in receiver.lines() if not line.startswith("good")]
    told = f"record 3 of sender {SENDER[:8]} could not be read: nobody thought of it"
    assert found == ["hello", "before", told, "after"]


def test_a_row_that_could_not_be_taken_is_not_counted_as_held(receiver, monkeypatch, eventually):
    """A sender that comes anew after an error in taking its row is greeted without that row."""
    take_rows, held, go_on = writer.Writer.take_rows, threading.Event(), threading.Event()
    failures = [MemoryError("on purpose")]

    def take(self, sender, first, rows):
        if "hold" in str(rows):
            held.set()
            go_on.wait(30)
        if "bad luck" in str(rows) and failures:
            raise failures.pop()
        take_rows(self, sender, first, rows)

    monkeypatch.setattr(writer.Writer, "take_rows", take)
    with Client(receiver) as old, Client(receiver, OTHER) as other, Client(receiver) as new:
        old.hello("first")
        eventually(lambda: "first" in receiver.lines(), 30, "the first record")
        new.next = 2
        other.hello("greeted")
        other.rows(row("hold"))
        assert held.wait(30)
        old.rows(row("bad luck"))
        threading.Timer(0.2, go_on.set).start()  # both are there when the loop goes on
        assert new.hello("bad luck").last == 1
        eventually(lambda: receiver.lines().count("bad luck") == 1, 30, "the record")


def test_a_client_that_never_reads_its_answers_is_served(receiver, eventually, monkeypatch):
    """The receiver keeps one acknowledgement for a client that does not read, and tells it all later."""
    answered = set()
    honest = clients.Connection.send
    monkeypatch.setattr(
        clients.Connection, "send", lambda c, data: answered.add(c) or honest(c, data)
    )
    with Client(receiver) as client:
        client.hello()
        (connection,) = answered
        for each in (client, connection):
            each.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            each.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        for _ in range(20_000):
            if connection.sending:
                break
            client.rows(row("unread"))
        else:
            pytest.fail("the answers never filled the socket")
        for _ in range(100):
            client.rows(row("unread"))
        receiver.log()
        eventually(lambda: len(receiver.good_lines()) == receiver.logged, 30, "others are served")
        eventually(
            lambda: receiver.lines().count("unread") == client.next - 2, 30, "all are written"
        )
        assert len(connection._out) <= 2 * (4 + ACKNOWLEDGEMENT.size)
        while client.answer(object).through < client.next - 1:
            pass


def test_many_level_names_make_no_table_grow(tmp_path, eventually, scale):
    """The receiver takes 30,000 level names with numbers and colours, and learns a few of them."""
    running = Receiver(
        tmp_path / "app.log", colorize=True, format="<level>{level}</level> {message}"
    )
    try:
        fields = json.loads(row("m"))
        with Client(running) as client:
            client.hello()
            for block in range(scale(30, 100)):
                rows = []
                for number in range(1000):
                    fields[5], fields[6] = number - 500, f"LEVEL {block * 1000 + number}"
                    fields[8] = "<red>" if number % 2 else "\x1b[2J"
                    rows.append(encode_row(fields))
                client.rows(*rows)
            eventually(
                lambda: client.answer(object).through == client.next - 1, 60, "all are written"
            )
        replay = running.service._receiver._writer._replay
        assert len(replay._logger._core.levels) < 100
        assert len(replay._color_levels) <= 64
    finally:
        running.stop()
    assert b"\x1b[2J" not in running.path.read_bytes()


def test_claimed_times_and_names_reach_no_path(tmp_path, eventually):
    """Nothing that a client says becomes part of the sink's path."""
    running = Receiver(tmp_path / "app-{time:YYYY}.log", rotation="1 day")
    running.path = next(tmp_path.glob("app-*.log"))
    try:
        fields = json.loads(row("odd"))
        rows = []
        for time in (-62135596800, 253402300799, 0, 1e308, float("nan"), float("inf"), -1e18):
            for name in ("../../../tmp/x", "a\0b", "C:\\x", "/etc/passwd", "{time}"):
                fields[1], fields[10], fields[13], fields[14], fields[17] = (
                    time,
                    name,
                    name,
                    name,
                    name,
                )
                rows.append(encode_row(fields))
        with Client(running) as client:
            client.hello()
            client.rows(*rows)
            eventually(
                lambda: client.answer(object).through == client.next - 1, 30, "all are written"
            )
        assert running.lines().count("odd") == len(rows)
    finally:
        running.stop()
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [
        running.path.name, "spool"
    ]  # fmt: skip


def test_a_patchers_keys_do_not_override_a_record_s_own(receiver, eventually):
    """The keys of ``more`` in a row never replace the record's own."""
    fields = json.loads(row("as it is"))
    keys = ("message", "level", "time", "exception", "extra", "process", "name", "file", "elapsed")
    fields.append(dict.fromkeys(keys, "overridden"))
    with Client(receiver) as client:
        client.hello()
        client.rows(encode_row(fields))
        eventually(lambda: "as it is" in receiver.lines(), 30, "the record arrives")
    assert "overridden" not in receiver.path.read_text()


def test_raw_text_without_an_end_does_not_run_into_another_s_line(receiver, eventually):
    """A raw line that is open is for its own sender to go on with; another sender begins a new one."""
    fields = json.loads(row("open"))
    fields[0] = 1
    with Client(receiver) as raw, Client(receiver, OTHER) as other:
        raw.hello()
        other.hello("other")
        eventually(lambda: "other" in receiver.lines(), 30, "both are there")
        raw.rows(encode_row(fields), encode_row(fields))
        eventually(lambda: receiver.path.read_text().endswith("openopen"), 30, "the raw text")
        other.rows(row("whole"))
        eventually(lambda: "whole" in receiver.lines(), 30, "the other's line")
        raw.rows(encode_row(fields))
        raw.raw(b'[5,[4,1,20,"INFO","x","rendered"]]')
        raw.next += 1
        eventually(lambda: receiver.lines()[-1] == "openrendered", 30, "the rendered line")
    assert receiver.lines()[-3:] == ["openopen", "whole", "openrendered"]


@pytest.mark.parametrize("payload", [
    b'{"gap":[1,36028797018963968,"x"]}', b'{"gap":[9,1,"x"]}', b'{"gap":[1,2]}', b'{"gap":"x"}', b'{"other":1}',
    b"[36028797018963968,[]]", b"[9007199254740993,[]]", b"[0,[]]", b"[-1,[]]", b"[2]", b"[]", b"[[2],[]]", b"{",
])  # fmt: skip
def test_numbers_out_of_turn_are_refused_with_a_reason(receiver, payload):
    """A refused sender is told why, its connection ends, and its earlier records are written."""
    with Client(receiver) as client:
        client.hello("before")
        client.raw(payload)
        assert client.answer(Refusal).reason
        assert client.answer(object) is None
    assert "before" in receiver.lines()


def test_a_gap_to_the_end_of_all_numbers_harms_its_sender_only(receiver, eventually):
    """A sender that used up its numbers can send no more, and another sender is not touched."""
    with Client(receiver) as client:
        client.hello()
        client.socket.sendall(client.protocol.gap(2, 2**55 - 1, "x"))
        client.raw(b"[36028797018963967,[]]")
        eventually(
            lambda: any("given up" in line for line in receiver.lines()), 30, "the gap is told"
        )
    with Client(receiver, OTHER) as other:
        assert other.hello().last == 0
        eventually(lambda: receiver.lines().count("hello") == 2, 30, "the other's record")


def test_mutated_streams_harm_nobody(receiver, chance):
    """The receiver survives a few hundred fuzzed streams, one connection each."""
    for number in range(300):
        with receiver.connect() as client:
            client.sendall(fuzz_pickles.stream(chance))
        if number % 50 == 0:
            receiver.log()


def test_a_connection_may_break_off_anywhere(receiver, chance):
    """A sender whose stream is cut anywhere, closed or reset, has its whole records written once."""
    stream = encode_frame(pickle.dumps({"msg": "stock"}, 1)) * 3
    for _ in range(200):
        with receiver.connect() as client:
            client.sendall(stream[: chance.randrange(len(stream))])
            if chance.random() < 0.5:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert len([text for text in receiver.told if "inside a frame" in text]) <= 1


# -- who pretends to be another


def test_an_impostor_needs_the_whole_secret(receiver, eventually):
    """A client with another id, however near, cannot touch the numbers of a sender."""
    near = SENDER[:-1] + "0"
    with Client(receiver) as owner, Client(receiver, near) as impostor:
        owner.hello("owner 1")
        impostor.hello("impostor")
        impostor.socket.sendall(
            impostor.protocol.gap(2, 1000, "x") + impostor.protocol.goodbye(1000)
        )
        owner.rows(row("owner 2"))
        eventually(lambda: "owner 2" in receiver.lines(), 30, "the owner's record")
    with Client(receiver, first=3) as owner:
        assert owner.hello("owner 3").last == 2
    eventually(lambda: "owner 3" in receiver.lines(), 30, "the owner's record")


def test_a_sender_that_streams_on_while_it_comes_anew_holds_nobody_up(receiver, eventually):
    """A sender that says hello again is greeted, although its old connection brings rows for ever."""
    over = threading.Event()
    with Client(receiver) as old:
        old.hello()
        frames = old.protocol.rows(1, [row("again")] * 200) * 100

        def stream():
            with contextlib.suppress(OSError):  # until the receiver ends the connection
                while not over.is_set():
                    old.socket.sendall(frames)

        thread = threading.Thread(target=stream)
        thread.start()
        try:
            eventually(
                lambda: receiver.lines().count("again") == 199, 30, "its rows are in the file"
            )
            with Client(receiver) as new:
                assert new.hello().last == 200
                receiver.log()
        finally:
            over.set()
            with contextlib.suppress(OSError):  # the receiver has ended it
                old.socket.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_challenge_is_answered_once(receiver):
    """A client that asks for proofs without an end, and reads none, makes no answers pile up."""
    with Client(receiver) as client:
        frame = client.protocol.challenge("1")
        client.socket.sendall(frame * 3)
        client.socket.shutdown(socket.SHUT_WR)
        received = b""
        while data := client.socket.recv(65536):
            received += data
    assert received.count(b"proof") == 1


def test_the_secret_is_told_to_nobody(tmp_path, eventually, capfd):
    """No message and no line shows more of a sender's id than its beginning."""
    running = Receiver(tmp_path / "app.log", format="{message} {extra} {name}")
    secrets = [uuid.uuid4().hex for _ in range(4)]
    try:
        for secret, bad in zip(secrets, (b"[99,[]]", b"[2,5]", b'{"gap":[2,9,"x"]}', b'{"bye":1}')):
            with Client(running, secret) as client:
                client.hello()
                client.raw(bad)
                with contextlib.suppress(ConnectionError):  # once it is refused
                    client.raw(b"rubbish")
                with contextlib.suppress(OSError):  # then there is nobody to be told of the end
                    client.socket.shutdown(socket.SHUT_WR)
                with contextlib.suppress(ConnectionError):
                    while client.socket.recv(65536):
                        pass  # to the end of what it says
    finally:
        running.stop()
    open_to_all = "".join(running.told) + running.path.read_text() + capfd.readouterr().err
    assert secrets[0][:8] in open_to_all
    assert not [secret for secret in secrets if secret[:9] in open_to_all]


def test_a_worker_s_secret_stays_in_its_spool_directory(tmp_path, spool_dir, eventually):
    """A worker shows its id in no message or record, and its journal is its owner's alone."""
    with ReceiverProcess(tmp_path / "app.log", "--serialize") as receiver:
        with install_bridge(receiver.address) as bridge:
            logger.info("x")
            assert bridge.flush(30)
            (secret,) = [entry.name for entry in os.scandir(spool_dir) if len(entry.name) == 32]
            for path in (spool_dir, spool_dir / secret):
                assert path.stat().st_mode & 0o077 == 0
        assert receiver.stop() == 0
    assert secret not in (tmp_path / "app.log").read_text() + receiver.stderr.read_text()


# -- bounds in all

LARGEST = MAX_PAYLOAD - 1000
LARGEST_FRAMES = {
    "zeros and bytes": lambda: {"x": "\0" * (LARGEST // 2), "y": b"\xff" * (LARGEST // 2)},
    "a message": lambda: {"msg": "\0" * LARGEST},
    "an emoji": lambda: {"msg": "x" * (LARGEST - 10) + "😀"},
    "a stack": lambda: {"stack_info": "\0" * LARGEST},
    "arguments": lambda: {"msg": "%(a)s%(a)s%(a)s", "args": {"a": "\0" * LARGEST}},
    "a traceback": lambda: {"exc_text": "Traceback\n" + "\0" * LARGEST},
    "surrogates": lambda: {"x": "\ud83d" * (LARGEST // 3)},
    "texts": lambda: {"x": ["\0" * 500 + str(n) for n in range(LARGEST // 520)]},
}


@pytest.mark.parametrize("options", [[], ["--serialize"]], ids=["text", "JSON"])
def test_a_frame_of_the_largest_size_costs_150_mb(tmp_path, options):
    """The receiver's memory grows by 150 MB at most while it writes the worst frame of a stranger."""
    shown = ["--format", "{message} {extra} {exception}"]
    with ReceiverProcess(tmp_path / "app.log", *shown, *options) as receiver:
        host, _, port = receiver.address[6:].rpartition(":")

        def memory(name):
            with open(f"/proc/{receiver.process.pid}/status", encoding="ascii") as status:
                return int(re.search(rf"{name}:\s+(\d+) kB", status.read())[1]) / 1024

        before = memory("VmRSS")
        with socket.create_connection((host, int(port)), 60) as client:
            for make in LARGEST_FRAMES.values():
                record = {"msg": "m", "levelno": 20, "levelname": "INFO", **make()}
                client.sendall(encode_frame(pickle.dumps(record, 4)))
        with install_bridge(receiver.address) as bridge:
            logger.info("served")
            assert bridge.flush(60)
        assert memory("VmHWM") - before < 150
        assert receiver.stop() == 0
    assert (tmp_path / "app.log").read_bytes().count(b"INFO" if options else b"\n") >= len(
        LARGEST_FRAMES
    )


def test_memory_is_bounded_however_many_hold_a_part_of_a_frame(tmp_path):
    """The receiver takes 250 MB for 40 frames of 8 MB that lack a byte, and serves the next client."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        host, _, port = receiver.address[6:].rpartition(":")
        clients = [socket.create_connection((host, int(port)), 30) for _ in range(40)]
        try:
            part = struct.pack(">L", MAX_PAYLOAD) + bytes(MAX_PAYLOAD - 1)

            def send(client):
                try:
                    client.sendall(part)
                except OSError:
                    pass  # dropped, as it must be

            threads = [threading.Thread(target=send, args=(client,)) for client in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            with open(f"/proc/{receiver.process.pid}/status", encoding="ascii") as status:
                (peak,) = re.findall(r"VmHWM:\s+(\d+) kB", status.read())
            assert int(peak) < 320_000
            with install_bridge(receiver.address) as bridge:
                logger.info("served")
                assert bridge.flush(30)
        finally:
            for client in clients:
                client.close()
        assert receiver.stop() == 0
    assert (tmp_path / "app.log").read_text() == "served\n"
    assert receiver.stderr.read_text().count("incomplete frames") == 1


def test_a_client_that_sends_a_byte_now_and_then_is_dropped(tmp_path, eventually, monkeypatch):
    """The time that a frame may take counts from its first byte, not from its latest one."""
    monkeypatch.setattr(clients, "FRAME_TIMEOUT", 0.3)
    running = Receiver(tmp_path / "app.log")
    try:
        with running.connect() as client:
            ended = threading.Event()

            def trickle():
                for byte in itertools.cycle(b"\0\1\0\0"):
                    try:
                        client.sendall(bytes([byte]))
                    except OSError:
                        break
                    if ended.wait(0.02):
                        break

            thread = threading.Thread(target=trickle)
            thread.start()
            with contextlib.suppress(ConnectionResetError):  # bytes may be on their way to it
                assert client.recv(1) == b""
            ended.set()
            thread.join()
        eventually(
            lambda: any("only a part of a frame came within" in text for text in running.told),
            30,
            "it is told",
        )
    finally:
        running.stop()


def test_who_has_just_spoken_is_heard_before_its_place_is_given_away(
    tmp_path, eventually, monkeypatch
):
    """The receiver reads clients that speak and find the places taken between two of its looks."""
    monkeypatch.setattr(places, "SILENT_TIMEOUT", -1.0)  # all are silent for longer
    monkeypatch.setattr(places, "NEWCOMER_TIMEOUT", -1.0)
    told = []
    service = Service(
        [{"sink": tmp_path / "app.log", "format": "{message}"}],
        ["tcp://127.0.0.1:0"],
        report=told.append,
        max_connections=4,
    )
    host, port = service.addresses[0].host, service.addresses[0].port
    handlers = [logging.handlers.SocketHandler(host, port) for _ in range(6)]
    for number, handler in enumerate(handlers):
        handler.handle(logging.makeLogRecord({"msg": f"early {number}"}))
        handler.close()
    thread = threading.Thread(target=service.serve)
    thread.start()
    try:
        expected = [f"early {number}" for number in range(6)]
        path = tmp_path / "app.log"
        eventually(lambda: sorted(path.read_text().split("\n")[:-1]) == expected, 10, told)
    finally:
        service.stop(5)
        thread.join(30)


def test_places_are_not_held_by_silent_clients(tmp_path, eventually, monkeypatch):
    """At the limit a silent client makes room, whatever it has sent: rubbish, nothing, a hello of
    no worker of this machine, a stock record."""
    monkeypatch.setattr(places, "SILENT_TIMEOUT", 0.0)
    monkeypatch.setattr(places, "NEWCOMER_TIMEOUT", 0.0)
    running = Receiver(tmp_path / "app.log", max_connections=4)
    try:
        rubbish = running.connect()
        rubbish.sendall(encode_frame(b"rubbish"))
        silent = running.connect()
        idle = Client(running)
        idle.hello()
        with contextlib.ExitStack() as opened:
            for number in range(8):
                client = opened.enter_context(Client(running, f"{number:032x}"))
                assert client.hello(f"new {number}") is not None
            for ended in (rubbish, silent, idle.socket, running.good.sock):
                assert_ended(ended)
        lines = [f"new {number}" for number in range(8)]
        eventually(lambda: set(lines) <= set(running.lines()), 30, "all were served")
    finally:
        running.stop()


def assert_ended(client):
    """The receiver has ended the connection."""
    client.settimeout(30)
    with contextlib.suppress(ConnectionResetError):
        while client.recv(65536):
            pass
    client.close()


@pytest.mark.parametrize("kind", ["stock", "hello"])
def test_strangers_cannot_take_the_places_of_workers(tmp_path, spool_dir, eventually, kind):
    """A worker of this machine is served at once, while more strangers than there are places send
    one record after the other, by one port or by made-up senders."""
    running = Receiver(tmp_path / "app.log", max_connections=16, spool_dir=spool_dir)
    stop = threading.Event()

    def press_on(number):
        count = 0
        while not stop.is_set():
            with contextlib.suppress(OSError), Client(running, f"{number:032x}", 1) as client:
                if kind == "hello":
                    client.hello(f"stranger {number}", base=1)
                while not stop.is_set():
                    count += 1
                    if kind == "hello":
                        client.rows(row(f"stranger {number} {count}"))
                    else:
                        client.socket.sendall(encode_frame(pickle.dumps({"msg": "stranger"}, 1)))
                    stop.wait(0.01)

    strangers = [threading.Thread(target=press_on, args=(number,)) for number in range(24)]
    for thread in strangers:
        thread.start()
    try:
        eventually(lambda: any("places" in text for text in running.told), 30, "it is full")
        with install_bridge(running.address, spool_dir=spool_dir) as bridge:
            logger.info("from a worker")
            assert bridge.flush(60)
    finally:
        stop.set()
        for thread in strangers:
            thread.join()
        running.stop()
    assert sum("from a worker" in line for line in running.lines()) == 1


# -- a worker with a hostile receiver


GREETINGS = {
    "garbage": b"garbage in place of a greeting",
    "http": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "a huge length": b"\xff\xff\xff\xff",
    "an early acknowledgement": encode_frame(ACKNOWLEDGEMENT.pack(1)),
    "a pickle": encode_frame(pickle.dumps({"stdbridge": 1, "last": 0})),
    "deep": encode_frame(b"[" * 60_000),
    "numbers never sent": encode_frame(b'{"stdbridge":1,"last":1000}'),
    "escapes": encode_frame(b'{"error":"\\u001b[2J\\nnew line"}'),
    "a format that reaches": encode_frame(
        b'{"stdbridge":1,"last":0,"style":["{process.__init__.__globals__}{message:>99999999}",0]}'),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(GREETINGS))
def test_a_hostile_greeting_costs_the_worker_nothing(tmp_path, name, capfd, eventually):
    """A worker with a hostile receiver fails no call and keeps every record for the true one."""
    with ScriptedReceiver() as hostile:
        bridge = install_bridge(hostile.address)
        logger.info("one")
        client = hostile.accept()
        client.hello()
        client.socket.sendall(GREETINGS[name])
        if name != "a format that reaches":
            assert client.event() is not None  # the hello's row
            assert client.event() is None  # and then the worker breaks off
        logger.info("two")
        stats = bridge.stats()
        assert (stats.accepted, stats.acknowledged, stats.dropped) == (2, 0, {})
    with ReceiverProcess(
        tmp_path / "app.log", "--format", "{message}", listen=str(bridge.address)
    ) as receiver:
        assert bridge.flush(30)
        assert bridge.close()
        assert receiver.stop() == 0
    assert (tmp_path / "app.log").read_text() == "one\ntwo\n"
    told = capfd.readouterr().err
    assert "\x1b" not in told
    assert not told or all(line.startswith("loguru_stdbridge[") for line in told.splitlines())


@pytest.mark.parametrize("answer", [
    ACKNOWLEDGEMENT.pack(99), ACKNOWLEDGEMENT.pack(2**63), b'{"missing":[1,1e999]}', b"[]", b"\0" * 9,
])  # fmt: skip
def test_a_hostile_answer_gives_up_no_record(tmp_path, answer, capfd):
    """A worker believes no acknowledgement of what it never sent."""
    with ScriptedReceiver() as hostile:
        bridge = install_bridge(hostile.address)
        logger.info("one")
        client = hostile.accept()
        client.hello(greet_with=0)
        client.rows(1)
        client.socket.sendall(encode_frame(answer))
        assert client.event() is None
        logger.info("two")
        assert bridge.stats().acknowledged == 0
    with ReceiverProcess(
        tmp_path / "app.log", "--format", "{message}", listen=str(bridge.address)
    ) as receiver:
        assert bridge.flush(30)
        assert bridge.close()
        assert receiver.stop() == 0
    assert (tmp_path / "app.log").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("endless", [
    b"\0\0\x80\0", encode_frame(ACKNOWLEDGEMENT.pack(1)), encode_frame(b'{"stdbridge":1,"last":0}'),
    encode_frame(b'{"missing":[1,0]}'),
], ids=["one frame", "acknowledgements", "greetings", "gaps"])  # fmt: skip
def test_a_receiver_that_sends_without_end_holds_up_no_log_call(endless, eventually):
    """A worker whose receiver sends without end has bounded memory, and closes in time."""
    with ScriptedReceiver() as hostile:
        bridge = install_bridge(hostile.address)
        logger.info("first")
        client = hostile.accept()
        client.hello(greet_with=0)
        client.rows(1)
        block = endless if endless[:3] == b"\0\0\x80" else endless * 1000
        filler = bytes(100_000) if block is endless else block
        sent = [0]

        def flood():
            try:
                client.socket.sendall(block)
                while sent[0] < 20_000_000:
                    client.socket.sendall(filler)
                    sent[0] += len(filler)
            except OSError:
                pass

        thread = threading.Thread(target=flood)
        thread.start()
        for number in range(500):
            logger.info("number {}", number)
        assert bridge.stats().accepted == 501
        bridge.close(0.5)
        client.close(reset=True)
        thread.join()
