"""A receiver embedded in a program: one that logs, one that forks, one that runs asyncio."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import threading

import pytest
from loguru import logger

from loguru_stdbridge import (
    AddressError,
    BridgeHandler,
    ConfigurationError,
    LedgerHeldError,
    install_bridge,
    start_receiver,
)
from loguru_stdbridge.receiver.service import Service
from tests.support.parameters import name_of
from tests.support.processes import ReceiverProcess, run_python

pytestmark = pytest.mark.usefixtures("quiet_loguru")


def test_a_program_may_remove_and_configure_loguru_as_it_likes(tmp_path):
    """The program's ``logger.remove()`` and patchers do not reach the receiver's own loguru."""
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}"
    ) as receiver:
        logger.configure(patcher=lambda record: record.update(message="patched"), extra={"own": 1})
        logger.remove()
        try:
            with BridgeHandlerOn("std", receiver.address) as (log, handler):
                log.info("as it was")
                assert handler.wait(20)
        finally:
            logger.configure(patcher=lambda record: None, extra={})
            logger._core.patcher = None
    assert (tmp_path / "app.log").read_text() == "as it was\n"


class BridgeHandlerOn:
    """A logger with a handler of its own."""

    def __init__(self, name, address):
        self.log, self.handler = logging.getLogger(name), BridgeHandler(address=address)

    def __enter__(self):
        self.log.addHandler(self.handler)
        self.log.setLevel(logging.INFO)
        return self.log, self.handler

    def __exit__(self, *exc_info):
        self.log.removeHandler(self.handler)
        self.handler.close()


def test_in_an_asyncio_program(tmp_path):
    """An event loop runs beside an embedded receiver, and its tasks log through it."""

    async def main():
        with start_receiver(
            tmp_path / "app.log", address="tcp://127.0.0.1:0", serialize=True
        ) as receiver:
            bridge = install_bridge(receiver.address, level="INFO")

            async def task(number):
                for step in range(20):
                    logger.bind(step=step).info("task {}", number)
                    await asyncio.sleep(0)

            await asyncio.gather(*(task(number) for number in range(20)))
            loop = asyncio.get_running_loop()
            assert await loop.run_in_executor(None, bridge.flush, 20)
            assert await loop.run_in_executor(None, bridge.close)
            return receiver.counts["records"]

    assert asyncio.run(main()) == 400
    documents = [json.loads(line) for line in (tmp_path / "app.log").read_text().splitlines()]
    assert sum(d["record"]["message"].startswith("task ") for d in documents) == 400


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_a_forked_child_keeps_neither_address_nor_sink_nor_connections(tmp_path, scheme):
    """A forked child holds neither the address nor the sink of a receiver that ends."""
    address = "tcp://127.0.0.1:0" if scheme == "tcp" else f"unix://{tmp_path}/log.sock"
    receiver = start_receiver(tmp_path / "app.log", address=address, format="{message}")
    address = receiver.address
    with connect(address) as client:
        bridge = install_bridge(address)
        logger.info("parent")
        assert bridge.flush(20)
        gate, gate_in = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(gate_in)
            os.read(gate, 1)  # until the parent says so, or is gone
            os._exit(0)
        os.close(gate)
        try:
            assert bridge.close()
            receiver.stop()
            client.settimeout(20)
            assert client.recv(1) == b""
            with start_receiver(tmp_path / "app.log", address=address, format="{message}") as again:
                assert again.address == address
                with install_bridge(address) as bridge:
                    logger.info("again")
                    assert bridge.flush(20)
        finally:
            os.close(gate_in)
            assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "app.log").read_text() == "parent\nagain\n"


def connect(address):
    if address.startswith("unix://"):
        client = socket.socket(socket.AF_UNIX)
        client.connect(address[len("unix://") :])
        return client
    host, _, port = address[len("tcp://") :].rpartition(":")
    return socket.create_connection((host, int(port)))


def test_a_child_s_own_records_come_through_the_parent_s_receiver(tmp_path):
    """A child of a program with an embedded receiver logs with a journal and a connection of its own."""
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}"
    ) as receiver:
        with install_bridge(receiver.address) as bridge:
            logger.info("parent")
            assert bridge.flush(20)
            child = os.fork()
            if child == 0:
                logger.info("child")
                os._exit(0 if bridge.flush(20) else 1)
            assert os.waitpid(child, 0)[1] == 0
    assert (tmp_path / "app.log").read_text() == "parent\nchild\n"


FORKING = """
import os, sys, threading
from loguru import logger
from loguru_stdbridge import install_bridge, start_receiver
logger.remove()
with start_receiver(sys.argv[1], address="tcp://127.0.0.1:0", format="{message}") as receiver:
    with install_bridge(receiver.address) as bridge:
        done = threading.Event()
        def log():
            while not done.is_set():
                logger.info("x" * 100)
        threads = [threading.Thread(target=log) for _ in range(2)]
        for thread in threads:
            thread.start()
        for number in range(100):
            pid = os.fork()
            if pid == 0:
                logger.info("child {}", number)
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        done.set()
        for thread in threads:
            thread.join()
        assert bridge.flush(60)
"""


def test_forks_under_load_neither_hang_nor_lose(tmp_path):
    """100 forks while the receiver writes: each child ends, and its record is delivered."""
    status, _, err = run_python(FORKING, str(tmp_path / "app.log"))
    assert status == 0, err
    lines = (tmp_path / "app.log").read_text().splitlines()
    assert sorted(line for line in lines if line.startswith("child")) == sorted(
        f"child {number}" for number in range(100)
    )


def test_it_listens_on_several_addresses(tmp_path):
    """A receiver with several addresses names all of them, and serves at each."""
    wanted = ["tcp://127.0.0.1:0", f"unix://{tmp_path}/log.sock"]
    with start_receiver(tmp_path / "app.log", address=wanted, format="{message}") as receiver:
        assert receiver.addresses[1] == wanted[1]
        assert receiver.address == receiver.addresses[0]
        for address in receiver.addresses:
            with install_bridge(address) as bridge:
                logger.info(address)
                assert bridge.flush(20)
        assert receiver.counts == {"records": 2, "duplicates": 0, "refused": 0}
    assert (tmp_path / "app.log").read_text().splitlines() == receiver.addresses


def test_reopen_takes_up_a_file_that_was_moved(tmp_path, eventually):
    """``reopen`` has the receiver write to a new file after an outside rotation."""
    path = tmp_path / "app.log"
    with start_receiver(path, address="tcp://127.0.0.1:0", format="{message}") as receiver:
        with install_bridge(receiver.address) as bridge:
            logger.info("one")
            assert bridge.flush(20)
            path.rename(tmp_path / "moved.log")
            receiver.reopen()
            eventually(path.exists, 20, "a new file")
            logger.info("two")
            assert bridge.flush(20)
    assert (tmp_path / "moved.log").read_text() == "one\n"
    assert path.read_text() == "two\n"


def test_a_sink_that_is_held_is_not_opened(tmp_path):
    """A second receiver of a sink is told who holds it; after the holder's end the sink is free."""
    with ReceiverProcess(tmp_path / "app.log") as other:
        with pytest.raises(LedgerHeldError, match=str(other.process.pid)) as caught:
            start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0")
        assert caught.value.holder == other.process.pid
    start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0").stop()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"sink": lambda message: None}, ConfigurationError), ({"address": "what://x"}, AddressError),
        ({"rotation": "nonsense"}, ValueError), ({"enqueue": True}, ConfigurationError),
        ({"format": 5}, ConfigurationError), ({"level": "NOTHING"}, ConfigurationError),
        ({"backtrace": True}, ConfigurationError), ({"mode": "w"}, ConfigurationError),
        ({"no_such_word": 1}, TypeError), ({"encoding": "utf-16"}, ConfigurationError),
    ],
    ids=name_of,
)  # fmt: skip
def test_options_that_cannot_be_used_leave_nothing_open(tmp_path, options, error):
    """A receiver with a bad option raises a clear error, and leaves the sink free."""
    given = {"sink": tmp_path / "app.log", "address": "tcp://127.0.0.1:0", **options}
    with pytest.raises(error):
        start_receiver(given.pop("sink"), **given)
    start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0").stop()


def test_stopping_twice_and_from_another_thread_is_harmless(tmp_path):
    """``stop`` may be called again, and from any thread."""
    receiver = start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0")
    threads = [threading.Thread(target=receiver.stop) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    receiver.stop()


def test_who_connected_before_the_stop_is_heard(tmp_path):
    """A receiver that stops takes the records of clients that it has not accepted yet."""
    service = Service(
        [{"sink": tmp_path / "app.log", "format": "{message}"}], ["tcp://127.0.0.1:0"]
    )
    address = service.addresses[0]
    for number in range(5):
        handler = logging.handlers.SocketHandler(address.host, address.port)
        handler.handle(logging.makeLogRecord({"msg": f"early {number}"}))
        handler.close()
    service.stop(10)
    service.serve()
    lines = (tmp_path / "app.log").read_text().split("\n")
    assert sorted(lines[:-1]) == [f"early {number}" for number in range(5)]
