"""A thread of ours imports nothing: a fork in the middle of that would cost the child the module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import loguru_stdbridge
from loguru_stdbridge.wire.frames import encode_frame
from tests.support.processes import ReceiverProcess, free_address, run_python, start_python
from tests.support.scripted import ScriptedReceiver

PACKAGE = Path(loguru_stdbridge.__file__).parent

PRELUDE = """
import sys, threading

class NoImports:
    def find_spec(self, name, path=None, target=None):
        thread = threading.current_thread().name
        if thread.startswith("loguru_stdbridge"):
            late.append(f"{name} in {thread}")
            raise ImportError(f"{name} is imported late")

late = []
sys.meta_path.insert(0, NoImports())

import logging
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
what, address = sys.argv[1:3]
"""


class Worker:
    """A process that runs ``code``, says that it has logged, and goes on when it is checked."""

    def __init__(self, code, *arguments):
        self.process = start_python(PRELUDE + code, *arguments, stdin=True)

    def __enter__(self):
        line = self.process.stdout.readline()
        assert line == b"logged\n", self.process.communicate()
        return self

    def check(self):
        """Have it go on, and check what it imported late; return its stderr."""
        out, err = self.process.communicate(b"\n", timeout=60)
        assert (self.process.returncode, out) == (0, b"[]\n"), err.decode()
        return err.decode()

    def __exit__(self, *exc_info):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


DELIVER = """
with install_bridge(address) as bridge:
    for number in range(10):
        logger.bind(number=number, place=("a", {1, 2}), raw=b"x").info("loguru {}", number)
        logging.getLogger("std").warning("stdlib %d", number, extra={"when": number})
    try:
        1 / 0
    except ZeroDivisionError:
        logger.exception("loguru")
        logging.exception("stdlib")
    assert bridge.flush(60)
print(late)
"""


def check(code, *arguments, **environment):
    """Run the code, whose last line of output is the list of what was imported late."""
    status, out, err = run_python(PRELUDE + code, *arguments, **environment)
    assert status == 0, err
    assert out.splitlines()[-1] == "[]"
    return err


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "unix"])
def test_a_sender_that_delivers_imports_nothing(tmp_path, host):
    """A sender connects, delivers and leaves without an import, by every kind of address."""
    if host == "unix":
        listen = f"unix://{tmp_path / 'socket'}"
    else:
        listen = f"tcp://{'127.0.0.1' if host == 'log' else host}:0"
    with ReceiverProcess(tmp_path / "app.log", listen=listen) as receiver:
        address = f"log://{tmp_path / 'app.log'}" if host == "log" else receiver.address
        check(DELIVER, "deliver", address)


OUTAGE = """
from loguru_stdbridge.worker import sender as module

bridge = install_bridge(address, spool_limit=1 << 20)
for number in range(3000):
    logger.info("{} {}", number, "x" * 500)  # more than there is room for
assert not bridge.flush(0.5)
print("logged", flush=True)
sys.stdin.readline()
original, errors = module.Conversation._deliver, [ZeroDivisionError("on purpose")]

def deliver(conversation):
    if errors:
        raise errors.pop()
    original(conversation)

module.Conversation._deliver = deliver
bridge.flush(60)
assert not bridge.stats().pending
assert bridge.stats().dropped
bridge.close()
print(late, flush=True)
"""


def test_a_sender_whose_receiver_is_away_imports_nothing(tmp_path):
    """Refused connections, a gap, and an error of ours on the way cost no import."""

    address = free_address()
    with Worker(OUTAGE, "outage", address) as worker:
        with ReceiverProcess(tmp_path / "app.log", listen=address):
            assert "ConnectionRefusedError" in worker.check()


PEER = """
bridge = install_bridge(address, peer=what)
for value in (1.5, None, "text", b"bytes", ("a", 1), {1, 2}, {"k": [1]}, 10**30, object()):
    logger.bind(value=value).info("value")
import datetime, decimal, os, uuid
logger.bind(value=[decimal.Decimal("1.5"), uuid.uuid4(), datetime.datetime.now()]).info("odd")
try:
    raise ValueError("on purpose")
except ValueError:
    logger.exception("loguru")
print("logged", flush=True)
sys.stdin.readline()
print(late, flush=True)
os._exit(0)
"""


@pytest.fixture
def receiver():
    with ScriptedReceiver() as scripted:
        yield scripted


@pytest.mark.parametrize("answer", ["nonsense", "refusal", "reset", "end"])
def test_a_sender_that_is_turned_away_imports_nothing(receiver, answer):
    """A sender tells the operator of a bad answer and connects again without an import."""
    with Worker(PEER, "bridge", str(receiver.address)) as worker:
        for _ in range(2):
            client = receiver.accept()
            client.hello()
            if answer == "nonsense":
                client.socket.sendall(encode_frame(b"HTTP/1.1 400 Bad Request"))
            elif answer == "refusal":
                client.socket.sendall(client.protocol.error("no"))
            client.close(reset=answer == "reset")
        receiver.accept().hello(greet_with=0)
        assert "cannot deliver" in worker.check()


def test_a_sender_to_a_stock_receiver_imports_nothing(receiver):
    """A sender makes LogRecords of rows with every kind of value without an import."""
    with Worker(PEER, "stock", str(receiver.address)) as worker:
        client = receiver.accept()
        messages = [client.record().getMessage() for _ in range(11)]
        assert messages == ["value"] * 9 + ["odd", "loguru"]
        worker.check()


ORPHAN = """
import os, datetime, decimal, uuid
install_bridge(address)
for number in range(10):
    logger.bind(value=[decimal.Decimal("1.5"), uuid.uuid4()]).info("left {}", number)
os._exit(0)
"""

ADOPT = """
from loguru_stdbridge.worker import adoption
adoption.RECEIVER_HEAD_START, adoption.INTERVAL = 0.0, 0.05
with install_bridge(address) as bridge:
    logger.info("mine")
    assert bridge.flush(60)
    print("logged", flush=True)
    sys.stdin.readline()
print(late)
"""


GREETED = """
import os
bridge = install_bridge(address)
logger.info("first")
assert bridge.flush(60)
print("logged", flush=True)
sys.stdin.readline()
for number in range(10):
    logger.info("left {}", number)
print(late, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("orphan", ["greeted", "never greeted"])
def test_an_adopting_worker_imports_nothing(tmp_path, eventually, orphan):
    """A worker finds, delivers and removes a dead worker's journal without an import."""
    sink = tmp_path / "app.log"
    options = ("--format", "{message}", "--spool-dir", str(tmp_path / "another"))
    with ReceiverProcess(sink, *options) as receiver:
        if orphan == "greeted":
            with Worker(GREETED, "orphan", receiver.address) as dying:
                receiver.kill()
                dying.check()
        else:
            receiver.kill()
            status, _, err = run_python(PRELUDE + ORPHAN, "orphan", receiver.address)
            assert status == 0, err
        receiver.start()
        receiver.wait_ready()
        with Worker(ADOPT, "adopt", receiver.address) as worker:
            eventually(lambda: sink.read_text().count("left") == 10, what="it is adopted")
            worker.check()


def test_files_are_opened_with_the_codec_that_is_always_loaded():
    """What a worker loads opens text files as UTF-8: Python imports any other codec when asked."""
    wrong = []
    for folder in ("record", "spool", "system", "wire", "worker"):
        for path in (PACKAGE / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "open":
                    named = {each.arg: each.value for each in node.keywords}
                    codec = getattr(named.get("encoding"), "value", None)
                    mode = node.args[1].value if len(node.args) > 1 else "r"
                    if "b" not in mode and codec != "utf-8":
                        wrong.append(f"{folder}/{path.name}, line {node.lineno}: {codec}")
    assert wrong == []
