"""What is fuzzed: one function for each decoder, which raises for a fault of the decoder alone.

Each takes any bytes. The errors by which a decoder refuses are caught; any other is a finding, and
so is an answer that breaks a rule of its own. Seeds are made of the corpus of hostile input, and
what a fuzzing run has found worth keeping lies in ``tests/fuzz/seeds/NAME``.
"""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from loguru_stdbridge.exceptions import ConfigurationError, FrameError, PayloadError, PeerError
from loguru_stdbridge.pickles.known import KnownShapes
from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.receiver.config_file import check_kind, read_config
from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.record.row import read_row
from loguru_stdbridge.record.sink_needs import SinkNeeds
from loguru_stdbridge.record.stock import row_of_stock_fields
from loguru_stdbridge.sink.replay import Replay
from loguru_stdbridge.status.requests import Gate, Refused, read_request
from loguru_stdbridge.wire.frames import MAX_PAYLOAD, MAX_SKIPPED, FrameDecoder, encode_frame
from loguru_stdbridge.wire.receiving import MarkedReceived, ReceiverConnection, RowsReceived
from loguru_stdbridge.wire.sending import SenderConnection
from tests.support.hostile import corpus, dense_corpus

SENDER = "0123456789abcdef" * 2
SEEDS = Path(__file__).parent / "seeds"
MAX_INPUT = 65536
"""Bytes of one input. Larger ones are in the corpus, and are tried as they are."""

_replay = Replay(format="{time} {level} {name} {message} {extra}", level=0)
_escaping = Replay(format="{level} {name} {message}", level=0, escape=True)
_config = Path(tempfile.gettempdir()) / f"fuzz-{os.getpid()}"


def _row() -> bytes:
    record = logging.makeLogRecord({"msg": "m", "levelno": 20, "levelname": "INFO", "a": 1})
    return encode_logrecord(record, lambda name: ("i", None))


def frames(data: bytes) -> None:
    """Cut a stream in two ways: the payloads are the same."""
    if not data:
        return
    outcomes = []
    for cut in (len(data), data[0] % 7 + 1):
        decoder, found = FrameDecoder(MAX_PAYLOAD, MAX_SKIPPED), []
        try:
            for start in range(0, len(data), cut):
                found += decoder.feed(data[start : start + cut])
        except FrameError as error:
            found += [*error.completed, "refused"]
        outcomes.append(found)
        assert decoder.pending_bytes <= len(data)
    assert outcomes[0] == outcomes[1]


def pickles(data: bytes) -> None:
    """Read a stranger's pickle, and render what comes of it: one line where it is escaped."""
    try:
        fields = load_record(data)
    except PayloadError:
        return
    row = row_of_stock_fields(fields, 0.0)
    assert isinstance(_replay.render(row).text, str)
    text = _escaping.render_text(row._replace(exception=None))
    assert text.count("\n") <= 1, text


def greeting(data: bytes) -> None:
    """Take a receiver's answers as a worker does that has said hello."""
    connection = SenderConnection(SENDER)
    connection.hello(_row(), 1, 1, nonce="n")
    try:
        connection.receive(data)
    except PeerError:
        pass


def stream(data: bytes) -> None:
    """Take a client's stream as a receiver does, after a hello of its own and before one."""
    hello = SenderConnection(SENDER).hello(_row(), 1, 1)
    known = KnownShapes()
    for prefix in (b"", hello):
        connection = ReceiverConnection(MAX_PAYLOAD, known)
        for event in connection.receive(prefix + data):
            if isinstance(event, RowsReceived):
                for fields in event.rows:
                    try:
                        row = read_row(fields)
                    except PeerError:
                        continue
                    assert isinstance(_replay.render(row).text, str)
            elif isinstance(event, MarkedReceived):
                assert event.sender
        assert connection.pending_bytes <= len(prefix + data)


def requests(data: bytes) -> None:
    """Read an HTTP request of the status, and ask the gate."""
    for gate in (Gate(), Gate(token="secret" * 4), Gate(is_unix=True)):
        try:
            gate.check(read_request(data), is_trusted=True)
        except Refused as error:
            assert error.answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b"HTTP/1.0", b"<")), (
                error.answer
            )


def config(data: bytes) -> None:
    """Read a configuration file, as TOML and as JSON."""
    for suffix in (".json", ".toml"):
        path = _config.with_suffix(suffix)
        path.write_bytes(data)
        try:
            given = read_config(str(path), ("sink", "rotation", "fsync", "grace", "listen"))
            for name, value in given.items():
                check_kind(name, value, switches=("fsync",), lists=("listen",))
        except (ConfigurationError, ValueError):
            pass
        finally:
            path.unlink()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "frames": frames,
    "pickles": pickles,
    "greeting": greeting,
    "stream": stream,
    "requests": requests,
    "config": config,
}


def seeds_of(name: str) -> Iterator[bytes]:
    """Yield the inputs to begin with."""
    directory = SEEDS / name
    if directory.is_dir():
        for path in sorted(directory.iterdir()):
            yield path.read_bytes()
    handler = logging.handlers.SocketHandler("unused", 1)
    stock = handler.makePickle(
        logging.makeLogRecord({"msg": "m %s", "args": ("x",), "e": {1: b"b"}})
    )
    handler.close()
    sender, receiver = SenderConnection(SENDER), ReceiverConnection(MAX_PAYLOAD)
    hello, rows = sender.hello(_row(), 1, 1, nonce="n"), sender.rows(2, [_row()] * 3)
    if name == "pickles":
        yield from (entry.payload for entry in corpus() if len(entry.payload) <= MAX_INPUT)
        yield stock[4:]
    elif name == "stream":
        yield from (
            encode_frame(entry.payload)
            for entry in (*corpus(), *dense_corpus())
            if len(entry.payload) <= MAX_INPUT
        )
        yield from (stock, hello, rows, sender.gap(5, 9, "why"), sender.goodbye(9))
    elif name == "frames":
        yield from (stock * 3, hello + rows, b"\0\0\0\1x\xff\xff\xff\xff", b"\x16\x03\x01\x02")
    elif name == "greeting":
        receiver.receive(hello)
        yield from (
            receiver.greeting(1, package="1", proof="p"),
            receiver.greeting(1)
            + receiver.acknowledgement(1)
            + receiver.format_change(None, SinkNeeds()),
            receiver.error("why"),
            receiver.proof("p"),
        )
    elif name == "requests":
        yield b"GET /metrics?a=b HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer x\r\n\r\n"
        yield b"HEAD / HTTP/1.1\r\nHost: [::1]:9\r\nAuthorization: Basic OnNlY3JldA==\r\n\r\n"
    elif name == "config":
        yield json.dumps({"sink": "a", "fsync": True, "listen": ["tcp://x:1"], "grace": 1}).encode()
        yield b'grace = 2\n[[handlers]]\nsink = "a"\nfilter = {"" = "INFO"}\n'
