"""Handlers, bridges and unpickled loggers with the same options share one channel."""

from __future__ import annotations

import gc
import logging
import logging.config
import os
import pickle
import subprocess
import sys
import threading

import pytest
from loguru import logger

from loguru_stdbridge import BridgeHandler, install_bridge, start_receiver
from loguru_stdbridge.spool.finder import journal_directories
from loguru_stdbridge.worker.channel import Channel, channel_for
from loguru_stdbridge.worker.options import check_options
from loguru_stdbridge.worker.sender import Sender
from tests.support.processes import ReceiverProcess, free_address
from tests.support.scripted import a_row

pytestmark = pytest.mark.usefixtures("quiet_loguru")


@pytest.fixture
def receiver(tmp_path):
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}"
    ) as running:
        running.lines = lambda: (tmp_path / "app.log").read_text(encoding="utf-8").splitlines()
        yield running


def senders():
    """Return the threads that send records."""
    return [t for t in threading.enumerate() if t.name == "loguru_stdbridge-sender"]


def log(handler, text):
    handler.handle(logging.makeLogRecord({"msg": text, "levelno": 20}))


def test_equal_options_share_a_channel(receiver, spool_dir):
    """Two handlers and a bridge have one journal, one thread, and the order of their calls."""
    with install_bridge(receiver.address) as bridge:
        handlers = [BridgeHandler(address=receiver.address) for _ in range(2)]
        for number in range(9):
            if number % 3 == 2:
                logger.info("{}", number)
            else:
                log(handlers[number % 3], str(number))
        assert len(journal_directories(spool_dir)) == len(senders()) == 1
        assert bridge.flush(30)
        for handler in handlers:
            handler.close()
    assert receiver.lines() == [str(number) for number in range(9)]


@pytest.mark.parametrize(
    "options", [{"peer": "stock"}, {"spool_limit": 1 << 20}, {"when_full": "block"}], ids=str
)
def test_other_options_mean_another_channel(options, tmp_path):
    """A handler never gets the channel of other options."""
    address = "tcp://127.0.0.1:1"
    channels = [
        channel_for(check_options(address, **more))
        for more in ({}, options, {"spool_dir": tmp_path / "own"}, {"spool_dir": False})
    ]
    assert len(set(map(id, channels))) == 4
    assert channel_for(check_options(address)) is channels[0]


def test_a_channel_that_nobody_uses_is_forgotten():
    """The registry keeps no channel alive."""
    channel = channel_for(check_options("tcp://127.0.0.1:1"))
    first = id(channel)
    channel.mark = "this one"
    del channel
    gc.collect()
    assert not hasattr(channel_for(check_options("tcp://127.0.0.1:1")), "mark"), first


def test_a_handler_that_is_closed_leaves_the_channel_to_the_others(receiver, eventually):
    """The last one of its users ends a channel."""
    first, second = (BridgeHandler(address=receiver.address) for _ in range(2))
    log(first, "1")
    first.close()
    log(second, "2")
    assert second.wait(30)
    assert len(senders()) == 1
    assert second.stats().reconnects == 0
    second.close()
    eventually(lambda: not senders(), what="the sender ends")
    assert receiver.lines() == ["1", "2"]


def test_a_bridge_that_is_closed_leaves_the_channel_to_a_handler(receiver):
    """A bridge's close delivers, and the handler goes on over the same connection."""
    handler = BridgeHandler(address=receiver.address)
    with install_bridge(receiver.address) as bridge:
        logger.info("1")
    assert receiver.lines() == ["1"]
    log(handler, "2")
    assert handler.wait(30)
    assert bridge.stats().accepted == 2
    assert handler.stats().reconnects == 0
    handler.close()


def test_a_user_that_was_collected_counts_no_more(receiver):
    """A handler that is thrown away without a close keeps nothing open."""
    handler = BridgeHandler(address=receiver.address)
    with install_bridge(receiver.address):
        log(handler, "1")
        del handler
        gc.collect()
    assert not senders()


def test_a_close_of_a_handler_waits_for_nothing(monkeypatch, spool_dir):
    """A receiver that is away holds up no ``dictConfig`` and no ``logging.shutdown``."""

    def no_waiting(*arguments, **options):
        raise AssertionError("it waits")

    address = free_address()
    handler = BridgeHandler(address=address)
    log(handler, "1")
    with monkeypatch.context() as patch:
        patch.setattr(Sender, "close", no_waiting)
        patch.setattr(Sender, "flush", no_waiting)
        patch.setattr(threading.Thread, "join", no_waiting)
        handler.close()
        assert handler.stats().pending == 1
        assert len(senders()) == 1  # it goes on


def configure(address):
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"bridge": {"class": "loguru_stdbridge.BridgeHandler", "address": address}},
            "loggers": {"configured": {"handlers": ["bridge"], "level": "INFO"}},
        }
    )


def test_a_configuration_that_is_read_again_goes_on_with_the_same_journal(
    tmp_path, spool_dir, eventually
):
    """Records logged before and after a second ``dictConfig`` are written in order."""
    address, configured = free_address(), logging.getLogger("configured")
    try:
        for part in range(3):
            configure(address)
            for number in range(10):
                configured.info("%d", 10 * part + number)
        assert len(journal_directories(spool_dir)) == 1
        with ReceiverProcess(
            tmp_path / "app.log", "--format", "{message}", listen=address
        ) as receiver:
            assert configured.handlers[0].wait(30)
            configured.handlers[0].close()
            eventually(lambda: not senders(), what="the sender ends")
            assert receiver.stop() == 0
    finally:
        configured.handlers.clear()
    assert (tmp_path / "app.log").read_text().split() == [str(number) for number in range(30)]


def test_a_record_after_the_last_user_is_delivered(receiver, eventually):
    """A handler that was closed and logs on loses nothing, and its sender ends again."""
    handler = BridgeHandler(address=receiver.address)
    for number in range(5):
        log(handler, str(number))
        handler.close()
    eventually(lambda: receiver.lines() == list("01234"), what="all is delivered")


def test_a_record_between_the_end_of_the_sender_and_of_the_journal(
    receiver, monkeypatch, eventually
):
    """A record that comes while a retired sender ends starts it again."""
    handler = BridgeHandler(address=receiver.address)
    log(handler, "1")
    assert handler.wait(30)
    original, late = Channel._close_unused, []

    def close_unused(channel, pipeline):
        if not late:
            late.append(channel.emit(a_row("late")))
        return original(channel, pipeline)

    monkeypatch.setattr(Channel, "_close_unused", close_unused)
    handler.close()
    eventually(lambda: receiver.lines() == ["1", "late"], what="it is delivered")


def test_loggers_that_arrive_by_pickle_share_one_channel(receiver, spool_dir):
    """Hundreds of unpickled loggers, as joblib's tasks bring, open one journal and one thread."""
    with install_bridge(receiver.address):
        pickled = pickle.dumps(logger)
        for number in range(300):
            copy = pickle.loads(pickled)
            copy.info("{}", number)
            if number == 100:
                before = len(os.listdir("/proc/self/fd"))
        assert len(journal_directories(spool_dir)) == len(senders()) == 1
        assert len(os.listdir("/proc/self/fd")) <= before
    del copy
    gc.collect()
    assert receiver.lines() == [str(number) for number in range(300)]


def test_a_channel_goes_by_pickle_as_its_options():
    """In the same process an unpickled handler has the same channel."""
    handler = BridgeHandler(address="tcp://127.0.0.1:1", spool_limit=3 << 20)
    again = pickle.loads(pickle.dumps(handler))
    assert again.channel is handler.channel
    again.close()
    handler.close()


TASKS = """
import os, pickle, sys, threading
from loguru import logger

pickled = sys.stdin.buffer.read()
counts = []
for number in range(200):
    task = pickle.loads(pickled)
    task(number)
    counts.append((len(os.listdir("/proc/self/fd")), threading.active_count()))
descriptors, threads = zip(*counts[20:])
print(max(descriptors) - min(descriptors) < 5, max(threads))
"""


def test_another_process_has_one_channel_for_all_its_tasks(tmp_path):
    """A worker process that unpickles a logger for each task keeps its descriptors and threads."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        code = (
            "import pickle, sys; from loguru import logger; "
            "from loguru_stdbridge import install_bridge; logger.remove(); "
            "install_bridge(sys.argv[1]); sys.stdout.buffer.write(pickle.dumps(logger.info))"
        )
        pickled = subprocess.run(
            [sys.executable, "-c", code, receiver.address], capture_output=True, check=True
        ).stdout
        done = subprocess.run(
            [sys.executable, "-c", TASKS], input=pickled, capture_output=True, check=False
        )
        assert (done.returncode, done.stdout.split()) == (0, [b"True", b"2"]), done.stderr.decode()
        assert receiver.stop() == 0
    lines = (tmp_path / "app.log").read_text().split()
    assert lines == [str(number) for number in range(200)]
