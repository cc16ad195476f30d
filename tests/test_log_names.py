"""Each record finds the log that its program named, after any restart, and no other log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from loguru_stdbridge import install_bridge, start_receiver
from loguru_stdbridge.addresses import LogName
from loguru_stdbridge.spool.belonging import note_log
from loguru_stdbridge.spool.finder import journal_directories
from loguru_stdbridge.wire.frames import FrameDecoder
from loguru_stdbridge.wire.sending import SenderConnection
from tests.receiver.test_service import connect
from tests.support.processes import ReceiverProcess, free_address, run_python, start_python
from tests.wire.test_protocol import a_row

DIES = """
import os, sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
bridge = install_bridge(*sys.argv[1:2])
for number in range(int(sys.argv[2])):
    logger.info("record {}", number)
if sys.argv[3:]:
    print(bridge.flush(30), flush=True)
    logger.info("last words")
os._exit(0)
"""
"""Logs to the address of its first argument and ends without leaving; with a third argument, one
more record after everything is written."""


def lines(sink):
    """The messages in a sink's file; none where there is no file."""
    return sink.read_text().splitlines() if sink.exists() else []


def die(address, count, *more, **environment):
    """Run a worker that ends at once, and return what it printed."""
    status, out, err = run_python(DIES, str(address), str(count), *more, **environment)
    assert status == 0, err
    return out


def test_a_worker_that_named_a_log_is_found_by_its_receiver_later(tmp_path, eventually):
    """No receiver was ever there: the path of the log is enough, wherever the receiver listens."""
    sink = tmp_path / "logs" / "app.log"
    die(f"log://{sink}", 10)
    with start_receiver(sink, address="tcp://127.0.0.1:0", format="{message}"):
        eventually(lambda: len(lines(sink)) == 10, what="the orphan is delivered")
    assert lines(sink) == [f"record {number}" for number in range(10)]


def test_a_living_worker_reaches_the_log_by_its_path(tmp_path):
    """The log's own socket serves beside the address that the receiver was told to listen on."""
    sink = tmp_path / "app.log"
    (tmp_path / "other name").symlink_to(tmp_path)
    with start_receiver(sink, address="tcp://127.0.0.1:0", format="{message}"):
        out = die(f"log://{tmp_path}/other name/app.log", 3, "flush")
    assert out == "True\n"
    assert lines(sink) == ["record 0", "record 1", "record 2", "last words"]


COMMAND = """
import os, sys, time
from loguru import logger
from loguru_stdbridge import install_bridge
install_bridge()
print("up", flush=True)
sys.stdin.readline()
logger.info("record")
print(os.getpid(), flush=True)
time.sleep(600)
"""


def test_the_same_command_line_takes_up_what_was_left(tmp_path, eventually):
    """The receiver is killed, its command logs on and is killed: the second start has it all."""
    sink = tmp_path / "app.log"
    command = [
        sys.executable, "-m", "loguru_stdbridge.receiver", str(sink), "--format", "{message}",
        "--ready-file", str(tmp_path / "ready"), "--", sys.executable, "-c", COMMAND,
    ]  # fmt: skip
    for count in range(1, 4):
        first = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        eventually((tmp_path / "ready").exists, what="the receiver is ready")
        eventually(lambda count=count: len(lines(sink)) == count - 1, what="the orphans are there")
        assert first.stdout.readline() == b"up\n"  # the command is started after the receiver
        first.kill()
        first.wait()
        (tmp_path / "ready").unlink()
        first.stdin.write(b"\n")
        first.stdin.flush()
        os.kill(int(first.stdout.readline()), signal.SIGKILL)
        first.stdin.close()
        first.stdout.close()
    with start_receiver(sink, address="tcp://127.0.0.1:0", format="{message}"):
        eventually(lambda: lines(sink) == ["record"] * 3, what="the last orphan is there")


def test_two_programs_with_the_default_port_do_not_mix(tmp_path, eventually):
    """A journal that was greeted by one log is not taken by the log that has its port now."""
    mine, other = tmp_path / "mine.log", tmp_path / "other.log"
    with ReceiverProcess(mine, "--format", "{message}") as receiver:
        address = receiver.address
        worker = start_python(WAITS, address, stdin=True)
        assert worker.stdout.readline() == b"written\n"
        receiver.kill()
    worker.communicate(b"\n")
    with start_receiver(other, address=address, format="{message}") as receiver:
        with install_bridge(address) as bridge:
            assert bridge.flush(30)
        assert len(journal_directories(os.environ["LOGURU_STDBRIDGE_SPOOL_DIR"])) == 1
    assert lines(other) == []
    with start_receiver(mine, address="tcp://127.0.0.1:0", format="{message}"):
        eventually(lambda: lines(mine) == ["first", "second"], what="it is delivered at home")


WAITS = """
import os, sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
bridge = install_bridge(sys.argv[1])
logger.info("first")
assert bridge.flush(30)
print("written", flush=True)
sys.stdin.readline()
logger.info("second")
os._exit(0)
"""


def test_a_receiver_refuses_a_worker_of_another_log(tmp_path):
    """The first record is in the hello already: it is not written, and both logs are named."""
    sink = tmp_path / "app.log"
    with start_receiver(sink, address="tcp://127.0.0.1:0", format="{message}") as receiver:
        worker = SenderConnection("0123456789abcdef" * 2, LogName("/logs/other.log", "b" * 32))
        with connect(str(receiver.address)) as client:
            client.sendall(worker.hello(a_row("stray"), 1, 1))
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
    [payload] = FrameDecoder(65536).feed(answer)
    error = json.loads(payload)["error"]
    assert "/logs/other.log" in error and str(sink) in error
    assert lines(sink) == []


def test_a_journal_for_nobody_here_is_told_at_the_start(tmp_path, eventually):
    """An operator reads what waits, of which process, for which log, and since when."""
    die("log:///somewhere/else.log", 7)
    with ReceiverProcess(tmp_path / "app.log") as receiver:
        eventually(lambda: "else.log" in receiver.stderr.read_text(), what="it is told")
        told = receiver.stderr.read_text()
        assert (
            "the spool holds 7 records for log:///somewhere/else.log, logged by -c (process" in told
        )
        assert receiver.stop() == 0
    assert len(journal_directories(os.environ["LOGURU_STDBRIDGE_SPOOL_DIR"])) == 1


@pytest.mark.parametrize("what", ["moved", "ledger"])
def test_an_orphan_finds_a_log_that_was_moved_or_lost_its_ledger(tmp_path, eventually, what):
    """Its id is enough, and so is its path in the same directory."""
    sink = tmp_path / "app.log"
    die(free_address(), 2)
    [journal] = journal_directories(os.environ["LOGURU_STDBRIDGE_SPOOL_DIR"])
    log = LogName(str(sink), "c" * 32) if what == "ledger" else LogName("/away.log", log_id(sink))
    note_log(journal, log)
    with start_receiver(sink, address="tcp://127.0.0.1:0", format="{message}"):
        eventually(lambda: len(lines(sink)) == 2, what="the orphan is delivered")


def log_id(sink):
    """The id that the receiver of a sink tells its workers."""
    with start_receiver(sink, address="tcp://127.0.0.1:0", format="{message}") as receiver:
        worker = SenderConnection("f" * 32)
        with connect(str(receiver.address)) as client:
            client.sendall(worker.hello(a_row(), 1, 1, notice=True))
            while worker.greeting is None:
                worker.receive(client.recv(65536))
    return worker.greeting.log.id
