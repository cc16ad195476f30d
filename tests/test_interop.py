"""Unmodified stdlib clients send to the receiver; workers send to receivers of that format."""

from __future__ import annotations

import json
import logging
import logging.config
import logging.handlers
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from loguru import logger

from loguru_stdbridge import install_bridge, start_receiver

HERE = Path(__file__).parent


def documents(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_an_unmodified_socket_handler_sends_to_us(tmp_path, eventually, scheme):
    """An unmodified SocketHandler's message, level, place, extra, exception and time arrive."""
    address = "tcp://127.0.0.1:0" if scheme == "tcp" else f"unix://{tmp_path}/log.sock"
    with start_receiver(tmp_path / "app.log", address=address, serialize=True) as receiver:
        if scheme == "tcp":
            host, _, port = receiver.address[6:].rpartition(":")
            handler = logging.handlers.SocketHandler(host, int(port))
        else:
            handler = logging.handlers.SocketHandler(receiver.address[7:], None)
        log = logging.getLogger("legacy")
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        try:
            log.warning("number %d", 1, extra={"user": ("me", 5), "members": {1}})
            try:
                1 / 0  # noqa: B018
            except ZeroDivisionError:
                log.exception("failed")
            for number in range(2, 500):
                log.debug("number %d", number)
        finally:
            log.removeHandler(handler)
            handler.close()
        eventually(lambda: receiver.counts["records"] == 500, what="all records arrive")
    first, second, *rest = documents(tmp_path / "app.log")
    record = first["record"]
    assert record["message"] == "number 1"
    assert record["name"] == "legacy"
    assert record["level"] == {"icon": "⚠️", "name": "WARNING", "no": 30}
    assert record["file"]["path"] == __file__
    assert record["extra"] == {"user": ["me", 5], "members": "{1}"}
    assert second["record"]["exception"] == {
        "type": "ZeroDivisionError", "value": "division by zero", "traceback": True
    }  # fmt: skip
    assert [r["record"]["message"] for r in rest] == [f"number {n}" for n in range(2, 500)]


def test_a_stock_client_that_closes_at_once_loses_nothing(tmp_path, eventually):
    """The receiver never writes to a stock client, so its close resets nothing (34 of 500 arrived)."""
    with start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0") as receiver:
        host, _, port = receiver.address[6:].rpartition(":")
        for _ in range(20):
            handler = logging.handlers.SocketHandler(host, int(port))
            for number in range(500):
                handler.handle(logging.makeLogRecord({"msg": f"n {number}", "levelno": 20}))
            handler.close()
        eventually(lambda: receiver.counts["records"] == 10_000, what="all records arrive")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_is_taken(tmp_path, eventually, protocol):
    """The receiver takes records of every pickle protocol."""
    import socket

    from loguru_stdbridge.wire.frames import encode_frame

    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}"
    ) as receiver:
        host, _, port = receiver.address[6:].rpartition(":")
        fields = dict(
            logging.makeLogRecord({"msg": f"protocol {protocol}", "levelno": 20}).__dict__
        )
        with socket.create_connection((host, int(port))) as client:
            client.sendall(encode_frame(pickle.dumps(fields, protocol)))
        eventually(lambda: receiver.counts["records"] == 1, what="the record arrives")
    assert (tmp_path / "app.log").read_text() == f"protocol {protocol}\n"


class StockReceiver:
    """The cookbook's receiver in a process of its own."""

    def __init__(self, output: Path, port: int = 0):
        self.output = output
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "support" / "stock.py"), str(output), str(port)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.port = int(self.process.stdout.readline())

    def lines(self):
        return self.output.read_text(encoding="utf-8").split("\n")[:-1]

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def stock(tmp_path):
    receiver = StockReceiver(tmp_path / "stock.txt")
    yield receiver
    receiver.kill()


def test_our_worker_sends_to_a_stock_receiver(stock, eventually, quiet_loguru, capfd):
    """With ``peer="stock"`` records go as SocketHandler sends them, and are counted as such."""
    with install_bridge(("127.0.0.1", stock.port), level=0, peer="stock") as bridge:
        for number in range(5_000):
            if number % 2:
                logger.info("n {}", number)
            else:
                logging.getLogger("std").info("n %d", number)
        assert bridge.flush(30)
        stats = bridge.stats()
        eventually(lambda: len(stock.lines()) == 5_000, what="all lines arrive")
    assert (stats.peer, stats.acknowledged, stats.unacknowledged) == ("stock", 5_000, 5_000)
    assert [line.split()[-1] for line in stock.lines()] == [str(n) for n in range(5_000)]
    assert stock.lines()[0] == "std INFO n 0"
    assert capfd.readouterr().err == ""


def test_a_stock_receiver_that_comes_back_gets_what_was_logged_meanwhile(
    stock, tmp_path, eventually, quiet_loguru
):
    """A worker sends a stock receiver again only what the kernel had not taken: nothing is doubled."""
    with install_bridge(("127.0.0.1", stock.port), peer="stock") as bridge:
        logger.info("before")
        eventually(lambda: stock.lines() == [f"{__name__} INFO before"], what="the first arrives")
        stock.kill()
        eventually(lambda: not bridge.stats().connected, what="the end is noticed")
        for number in range(100):
            logger.info("away {}", number)
        again = StockReceiver(tmp_path / "stock.txt", stock.port)
        try:
            eventually(lambda: len(again.lines()) == 101, what="the rest arrives")
            assert not bridge.flush(30)  # nobody knows of the first one
            assert len(set(again.lines())) == 101
        finally:
            again.kill()


def test_the_handler_works_in_dict_config(tmp_path, quiet_loguru):
    """``BridgeHandler`` takes plain keyword arguments in ``dictConfig``."""
    root = logging.getLogger("configured")
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}"
    ) as receiver:
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {
                    "bridge": {
                        "class": "loguru_stdbridge.BridgeHandler",
                        "address": receiver.address,
                        "spool_dir": str(tmp_path / "other-spool"),
                    }
                },
                "loggers": {"configured": {"handlers": ["bridge"], "level": "INFO"}},
            }
        )
        (handler,) = root.handlers
        root.info("configured %s", "well")
        assert handler.wait(20)
        root.removeHandler(handler)
        handler.close()
    assert (tmp_path / "app.log").read_text() == "configured well\n"
