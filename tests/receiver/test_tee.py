"""A tee sends each record on to another receiver, once, whatever is killed."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest

from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver import tee as tee_module
from loguru_stdbridge.receiver.service import Service
from loguru_stdbridge.system.tls_files import TlsFiles
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support import stock
from tests.support.processes import (
    Account,
    ReceiverProcess,
    free_address,
    log_lines,
    run_python,
)
from tests.support.scripted import a_row
from tests.support.waiting import wait_until
from tests.support.workers import Worker

FORMAT = "{level.icon} {level.name} {name}:{function} {message} {extra} {exception}"

LOGGING = """
import datetime, logging, logging.handlers, sys
from loguru import logger
from loguru_stdbridge import install_bridge

logger.remove()
bridge = install_bridge(sys.argv[1])
logger.level("NOTE", no=22, icon="N", color="<red>")
logger.bind(when=datetime.date(2026, 1, 2), odd=object, parts={1, 2}).log("NOTE", "one {}", "{x}")
logging.getLogger("shop").warning("two %s", "\\u20ac\\n\\udc80", extra={"deep": [(1, b"2")]})
try:
    1 / 0
except ZeroDivisionError:
    logger.exception("three")
logger.opt(raw=True).info("raw ")
logger.opt(raw=True).info("end\\n")
assert bridge.flush(60)
handler = logging.handlers.SocketHandler("127.0.0.1", int(sys.argv[2]))
stock = logging.getLogger("stock")
stock.addHandler(handler)
stock.propagate = False
stock.error("four", extra={"given": {1: (2, 3)}})
handler.close()
"""


class Running:
    """A receiver in a thread, with what it tells."""

    def __init__(self, path, **options):
        self.told = []
        self.path = path
        handler = {"sink": path, "format": "{message}"}
        self.service = Service([handler], ["tcp://127.0.0.1:0"], report=self.told.append, **options)
        self.address = str(self.service.addresses[0])
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()

    def stop(self):
        self.service.stop()
        self.thread.join()

    def lines(self):
        return self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []


def log(address, *texts):
    """Log texts through a channel, and wait until they are in the file."""
    channel = Channel(check_options(address, spool_dir=False))
    for text in texts:
        channel.emit(a_row(text))
    assert channel.close(60.0)


def test_a_record_arrives_whole_at_both(tmp_path):
    """The other receiver writes the very lines: levels, values, tracebacks, raw text, stock."""
    with ReceiverProcess(tmp_path / "b" / "b.log", "--format", FORMAT) as other:
        words = ("--tee", other.address, "--format", FORMAT)
        with ReceiverProcess(tmp_path / "a" / "a.log", *words) as first:
            port = first.address.rpartition(":")[2]
            status, _, err = run_python(LOGGING, first.address, port)
            assert status == 0, err
            wait_until(lambda: "four" in first.sink.read_text(), what="the stock record is there")
            assert first.stop() == 0
        assert other.stop() == 0
    lines = list(log_lines(first.sink))
    assert list(log_lines(other.sink)) == lines
    assert "NOTE" in lines[0]
    assert "raw end\n" in lines


def test_records_wait_for_a_receiver_that_is_away(tmp_path):
    """Records that were written while the other one was away go to it, after a restart, too."""
    address = free_address()
    options = {"tee": [address]}
    running = Running(tmp_path / "a.log", **options)
    log(running.address, "one", "two")
    running.stop()
    assert any("its records wait" in text for text in running.told)
    running = Running(tmp_path / "a.log", **options)
    log(running.address, "three")
    with ReceiverProcess(tmp_path / "b.log", "--format", "{message}", listen=address) as other:
        wait_until(lambda: len(list(log_lines(other.sink))) == 3, what="all are there")
        log(running.address, "four")
        running.stop()
        assert other.stop() == 0
    assert list(log_lines(other.sink)) == ["one\n", "two\n", "three\n", "four\n"]
    assert any("takes records again" in text for text in running.told)


def test_what_was_given_up_is_told(tmp_path, monkeypatch):
    """Where the files are full, the oldest records are given up, and the other log counts them."""
    monkeypatch.setattr(tee_module, "ROW_FILE_SIZE", 10_000)
    monkeypatch.setattr(tee_module, "MAX_ROW_FILES", 3)
    address = free_address()
    running = Running(tmp_path / "a.log", tee=[address])
    for batch in range(10):
        log(running.address, *(f"record {batch * 50 + number} {'x' * 100}" for number in range(50)))
    with ReceiverProcess(tmp_path / "b.log", "--format", "{message}", listen=address) as other:
        wait_until(
            lambda: other.sink.exists() and "record 499" in other.sink.read_text(), what="end"
        )
        running.stop()
        assert other.stop() == 0
    lines = list(log_lines(other.sink))
    numbers = [int(line.split()[1]) for line in lines if line.startswith("record")]
    told = [line for line in lines if not line.startswith("record")]
    assert 50 < len(numbers) < 450
    assert numbers == list(range(500 - len(numbers), 500))
    assert len(told) == 1
    assert told[0].startswith(f"{500 - len(numbers)} records of sender")


def test_a_stock_receiver_gets_each_record(tmp_path):
    """A receiver of the stdlib's format gets each record, as ``--tee-peer stock`` says."""
    messages = tmp_path / "stock.txt"
    server = subprocess.Popen(
        [sys.executable, stock.__file__, str(messages)], stdout=subprocess.PIPE, text=True
    )
    try:
        address = f"tcp://127.0.0.1:{int(server.stdout.readline())}"
        running = Running(tmp_path / "a.log", tee=[address], tee_peer="stock")
        log(running.address, "one", "two")
        log(running.address, "three")
        wait_until(lambda: messages.read_text().count("\n") == 3, what="all are there")
        running.stop()
    finally:
        server.kill()
        server.communicate()
    assert [line.split()[-1] for line in messages.read_text().splitlines()] == [
        "one", "two", "three",
    ]  # fmt: skip


def test_kills_lose_and_double_nothing_at_either(tmp_path):
    """Both receivers are killed again and again under load: each log has each record once."""
    code = """
for number in range(1500):
    log(number, number + 1)
    time.sleep(0.0005)
sys.stdin.readline()
assert bridge.flush(60)
tell()
"""
    other = ReceiverProcess(tmp_path / "b" / "b.log", "--format", "{message}").wait_ready()
    words = ("--tee", other.address, "--format", "{message}")
    first = ReceiverProcess(tmp_path / "a" / "a.log", *words).wait_ready()
    try:
        with Worker(code, first.address) as worker:
            for _ in range(2):
                for receiver in (first, other):
                    before = len(list(log_lines(receiver.sink)))
                    wait_until(
                        lambda r=receiver, b=before: len(list(log_lines(r.sink))) > b or b >= 1500,
                        what="it goes on",
                    )
                    receiver.kill()
                    receiver.start()
                    receiver.wait_ready()
            worker.go_on()
            assert worker.stands()["dropped"] == {}
        Account(first.sink).check({"a": 1500})
        wait_until(lambda: len(list(log_lines(other.sink))) >= 1500, what="all are there, too")
        assert first.stop() == 0
        assert other.stop() == 0
    finally:
        first.kill()
        other.kill()
    Account(other.sink).check({"a": 1500})


def test_a_tee_whose_numbers_are_lost_begins_anew(tmp_path):
    """A tee whose rows have vanished becomes another sender: what comes is no duplicate."""
    other = Running(tmp_path / "b.log")
    running = Running(tmp_path / "a.log", tee=[other.address])
    log(running.address, "one", "two", "three")
    wait_until(lambda: len(other.lines()) == 3, what="they are there")
    running.stop()
    place = tee_module.tee_directory(str(tmp_path / "a.log"), parse_address(other.address))
    for path in (tmp_path / place).glob(".*"):
        path.unlink()
    (tmp_path / place / "rows.log").write_bytes(b"")
    note = tmp_path / place / "note"
    note.write_text(json.dumps({**json.loads(note.read_text()), "through": 0}))
    running = Running(tmp_path / "a.log", tee=[other.address])
    log(running.address, "four")
    wait_until(lambda: "four" in other.lines(), what="it is there")
    running.stop()
    other.stop()
    assert other.lines() == ["one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"tee": ["tcp://127.0.0.1:9"] * 2}, "stands there twice"),
        ({"tee": ["tcp://127.0.0.1:9"], "tee_peer": "syslog"}, "one of stdbridge, stock"),
        ({"tee": ["tcp://127.0.0.1:9021"]}, "this receiver itself listens there"),
    ],
)
def test_a_tee_that_cannot_be_is_refused(tmp_path, options, why):
    """A tee to the receiver itself, one that is named twice and one of no known kind are refused."""
    handlers = [{"sink": tmp_path / "a.log"}]
    with pytest.raises(ConfigurationError, match=why):
        Service(handlers, ["tcp://127.0.0.1:9021"], **options)
    with pytest.raises(ConfigurationError, match="has to be a file"):
        Service([{"sink": "/dev/stderr"}], [], tee=["tcp://127.0.0.1:9"])


def test_a_tee_over_tls_shows_its_certificate(tmp_path):
    """Records go to a receiver over TLS that asks for a certificate; an unusable one is told."""
    pytest.importorskip("trustme", reason="trustme makes the certificates")
    from tests.support.certificates import Authority

    authority = Authority(tmp_path / "certificates")
    tls = TlsFiles(authority.issue(), ca=authority.ca)
    handler = {"sink": tmp_path / "b.log", "format": "{message}"}
    other = Service([handler], ["tls://127.0.0.1:0"], tls=tls)
    thread = threading.Thread(target=other.serve)
    thread.start()
    address = f"tls://localhost:{other.addresses[0].port}"
    running = Running(tmp_path / "a.log", tee=[address], tls=tls)
    log(running.address, "one", "two")
    wait_until(lambda: (tmp_path / "b.log").read_text() == "one\ntwo\n", what="they are there")
    running.stop()
    other.stop()
    thread.join()
    with pytest.raises(ConfigurationError, match="tls_cert="):
        Service(
            [{"sink": tmp_path / "c.log"}], [], tee=[address], tls=TlsFiles(str(tmp_path / "none"))
        )
