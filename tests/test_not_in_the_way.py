"""The application never waits or fails because of logging, whatever state the receiver is in."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading

import pytest
from loguru import logger

from loguru_stdbridge import install_bridge
from tests.support.processes import (
    Account,
    ReceiverProcess,
    free_address,
    run_python,
    start_python,
)

COUNT = 5_000


pytestmark = pytest.mark.usefixtures("quiet_loguru")


def log(count, start=0):
    for number in range(start, start + count):
        if number % 2:
            logging.getLogger("std").warning("worker a number %d end", number)
        else:
            logger.info("worker a number {} end", number)


def test_a_receiver_that_comes_later_gets_everything_in_order(tmp_path, capfd):
    """A receiver that starts after the log calls gets every record in order."""
    address = free_address()
    with install_bridge(address) as bridge:
        log(COUNT)
        assert not bridge.flush(0.2)
        assert bridge.stats().pending == COUNT
        with ReceiverProcess(
            tmp_path / "app.log", "--format", "{message}", listen=address
        ) as receiver:
            assert bridge.flush(60)
            assert bridge.stats().peer == "bridge"
            receiver.stop()
    Account(tmp_path / "app.log").check({"a": COUNT})
    assert capfd.readouterr().err.count("cannot deliver") == 1


def test_an_unreachable_receiver_costs_nothing(tmp_path):
    """Log calls and ``close`` return at once when nobody accepts the worker's connection."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        bridge = install_bridge(full.getsockname())
        log(COUNT)
        assert bridge.stats().accepted == COUNT
        bridge.close(0.1)
        for filler in fillers:
            filler.close()


def test_a_stopped_receiver_holds_nobody_up(tmp_path):
    """A stopped receiver delays no log call, and takes every record after SIGCONT."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        with install_bridge(receiver.address) as bridge:
            log(100)
            assert bridge.flush(30)
            os.kill(receiver.process.pid, signal.SIGSTOP)
            try:
                log(COUNT, 100)
                assert not bridge.flush(0.2)
            finally:
                os.kill(receiver.process.pid, signal.SIGCONT)
            assert bridge.flush(60)
            assert bridge.stats().unacknowledged == 0
        receiver.stop()
    Account(tmp_path / "app.log").check({"a": COUNT + 100})


def test_a_receiver_that_was_stopped_at_the_first_connection_is_waited_for(tmp_path):
    """A silent receiver is never taken for a stock one."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        os.kill(receiver.process.pid, signal.SIGSTOP)
        try:
            with install_bridge(receiver.address) as bridge:
                log(1)
                bridge._channel._pipeline.sender.greeting_timeout = 0.05
                log(COUNT - 1, 1)
                assert not bridge.flush(0.5)
                assert bridge.stats().pending == COUNT
                os.kill(receiver.process.pid, signal.SIGCONT)
                assert bridge.flush(60)
                assert bridge.stats().unacknowledged == 0
        finally:
            os.kill(receiver.process.pid, signal.SIGCONT)
        receiver.stop()
    Account(tmp_path / "app.log").check({"a": COUNT})


def test_a_receiver_that_is_restarted_again_and_again(tmp_path, eventually):
    """A worker delivers every record once to a receiver that is killed and restarted five times."""
    receiver = ReceiverProcess(tmp_path / "app.log", "--format", "{message}").wait_ready()
    with install_bridge(receiver.address) as bridge:
        for part in range(5):
            log(1000, part * 1000)
            eventually(lambda: bridge.stats().connected, 30, "it is connected")
            receiver.kill()
            receiver.start()
            receiver.wait_ready()
        assert bridge.flush(60)
        assert bridge.stats().reconnects >= 3
    receiver.stop()
    Account(tmp_path / "app.log").check({"a": COUNT})


def test_a_program_that_ends_while_the_receiver_is_away_leaves_its_records(tmp_path):
    """A receiver that starts after the worker has ended delivers the worker's journal."""
    address = free_address()
    code = (
        "import sys; from loguru import logger; from loguru_stdbridge import install_bridge\n"
        "logger.remove(); install_bridge(sys.argv[1])\n"
        "for n in range(1000): logger.info('worker a number {} end', n)"
    )
    status, _, _ = run_python(code, address)
    assert status == 0
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}", listen=address) as receiver:
        path = tmp_path / "app.log"
        deadline = threading.Event()
        for _ in range(2000):
            if path.exists() and path.read_text().count("\n") == 1000:
                break
            deadline.wait(0.01)
        receiver.stop()
    Account(tmp_path / "app.log").check({"a": 1000})


KILLED = """
import sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
install_bridge(sys.argv[1])
for number in range(10**9):
    logger.info("worker a number {} end", number)
    if number == 2000:
        print("go", flush=True)
"""


@pytest.mark.parametrize("run", range(3))
def test_a_killed_worker_s_records_arrive(tmp_path, eventually, spool_dir, run):
    """A receiver delivers and removes the journal of a worker that was killed while it logged."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        worker = start_python(KILLED, receiver.address)
        assert worker.stdout.readline() == b"go\n"
        worker.kill()
        worker.communicate()
        eventually(
            lambda: {entry.name for entry in os.scandir(spool_dir)} <= {"peers", "secret"},
            30,
            "the journal is delivered and removed",
        )
        receiver.stop()
    found = Account(tmp_path / "app.log")
    assert len(found.found) > 2000
    found.check({"a": len(found.found)})


def test_a_sink_that_fails_is_retried_and_the_worker_sees_nothing(tmp_path, eventually):
    """A receiver that cannot write its sink acknowledges nothing, then delivers every record."""
    limit = "import resource, sys; sys.dont_write_bytecode = True  # it would be cut, too\n"
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, -1))\n"
    code = limit + (
        "import sys, signal\n"
        "def lift(*_): resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "signal.signal(signal.SIGALRM, lift)\n"
        "from loguru_stdbridge.receiver.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    ready = tmp_path / "ready"
    receiver = start_python(
        code, str(tmp_path / "app.log"), "--listen", "tcp://127.0.0.1:0", "--ready-file", str(ready),
        "--format", "{message}",
    )  # fmt: skip
    try:
        eventually(ready.exists, 30, "the receiver is ready")
        with install_bridge(ready.read_text().strip(), spool_dir=tmp_path / "own") as bridge:
            log(COUNT)
            assert not bridge.flush(1.0)
            size = (tmp_path / "app.log").stat().st_size
            assert 0 < size <= 20_000
            assert (tmp_path / "app.log").read_bytes().endswith(b"end\n")
            receiver.send_signal(signal.SIGALRM)
            assert bridge.flush(60)
        receiver.send_signal(signal.SIGTERM)
        _, err = receiver.communicate(timeout=30)
    finally:
        if receiver.poll() is None:
            receiver.kill()
            receiver.communicate()
    assert b"cannot write" in err and b"takes records again" in err
    Account(tmp_path / "app.log").check({"a": COUNT})


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be blocked here")
def test_a_program_that_waits_for_a_signal_gets_it(tmp_path):
    """A signal that a program blocks and waits for reaches the program, and ends nothing."""
    with ReceiverProcess(tmp_path / "app.log") as receiver:
        status, out, err = run_python(WAITING, receiver.address, str(tmp_path / "other.log"))
    assert (status, out) == (0, "10\n"), err


WAITING = """
import os, signal, sys
from loguru import logger
from loguru_stdbridge import install_bridge, start_receiver

logger.remove()
receiver = start_receiver(sys.argv[2], address="tcp://127.0.0.1:0", spool_dir=False)
bridge = install_bridge(sys.argv[1])
logger.info("the sender's thread runs")
assert bridge.flush(60)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
got = []
for _ in range(10):
    os.kill(os.getpid(), signal.SIGUSR1)
    got.append(signal.sigwait({signal.SIGUSR1}))
print(len(got))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="there is no such signal here")
def test_a_program_that_ends_by_a_broken_pipe_does_not_end_by_a_receiver(tmp_path):
    """A program that has given SIGPIPE its default back outlives its receiver."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        with start_python(PIPED, receiver.address, stdin=True) as worker:
            assert worker.stdout.readline() == b"True\n"
            receiver.kill()
            out, err = worker.communicate(b"\n", timeout=60)
        assert (worker.returncode, out) == (0, b"here\n"), err


PIPED = """
import signal, sys
from loguru import logger
from loguru_stdbridge import install_bridge

signal.signal(signal.SIGPIPE, signal.SIG_DFL)
logger.remove()
bridge = install_bridge(sys.argv[1])
logger.info("first")
print(bridge.flush(60), flush=True)
sender = bridge._channel._pipeline.sender
sender._waiter._transport.receive = lambda: None  # the end of the connection is seen by sending
sys.stdin.readline()
number = 0
while bridge.stats().connected:
    logger.info("more {}", number)
    number += 1
print("here")
"""
