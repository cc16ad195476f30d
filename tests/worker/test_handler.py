"""The handlers leave everything else alone and take log calls from awkward places."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import pickle
import signal
import threading

import pytest
from loguru import logger

from loguru_stdbridge import (
    AddressError,
    BridgeHandler,
    ConfigurationError,
    InterceptHandler,
    install_bridge,
    start_receiver,
    uninstall_bridge,
)
from loguru_stdbridge.spool import journal
from loguru_stdbridge.worker.loguru_sink import BridgeSink

pytestmark = pytest.mark.usefixtures("quiet_loguru")


@pytest.fixture
def receiver(tmp_path):
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}", level=0
    ) as running:
        running.path = tmp_path / "app.log"
        yield running


def lines(receiver):
    return receiver.path.read_text(encoding="utf-8").splitlines()


def test_installing_again_is_one_bridge(receiver):
    """``install_bridge`` returns the same bridge for the same arguments, else a new one."""
    first = install_bridge(receiver.address)
    assert install_bridge(receiver.address) is first
    second = install_bridge(receiver.address, level=10)
    assert second is not first
    logger.info("once")
    logging.getLogger("std").info("once more")
    assert second.flush(20)
    assert uninstall_bridge()
    assert uninstall_bridge()
    assert lines(receiver) == ["once", "once more"]


def test_other_sinks_and_handlers_are_left_alone(receiver):
    """Other sinks and handlers get their records as before and stay when the bridge goes."""
    seen, other = [], logging.Handler()
    own = logger.add(seen.append, format="{message}")
    other.emit = lambda record: seen.append(record.getMessage())
    logging.getLogger().addHandler(other)
    root_level = logging.getLogger().level
    try:
        with install_bridge(receiver.address, level="INFO"):
            assert logging.getLogger().handlers == [other]
            logger.info("a")
            logging.getLogger("std").warning("b")
        logger.info("c")
        assert seen == ["a\n", "b", "c\n"]
        assert logging.getLogger().level == root_level
        assert logging.getLogger().handlers == [other]
    finally:
        logging.getLogger().removeHandler(other)
        logger.remove(own)
    assert lines(receiver) == ["a", "b"]


def test_a_sink_that_the_application_removed_is_no_error(receiver):
    """A bridge whose sink the application has removed closes without an error."""
    with install_bridge(receiver.address):
        logger.remove()
        logging.getLogger("std").warning("still")
    assert lines(receiver) == ["still"]


def test_with_loguru_as_the_hub_a_record_is_sent_once(receiver):
    """A record is sent once if an InterceptHandler is on the root logger."""
    root, handler = logging.getLogger(), InterceptHandler()
    root.addHandler(handler)
    try:
        with install_bridge(receiver.address) as bridge:
            logging.getLogger("std").warning("one way")
            assert bridge.stats().accepted == 1
    finally:
        root.removeHandler(handler)
    assert lines(receiver) == ["one way"]


@pytest.mark.parametrize(
    "options",
    [
        {"when_full": "explode"}, {"peer": "friend"}, {"peer": "auto"}, {"spool_limit": 5}, {"spool_limit": "1 GB"},
        {"level": "NOTHING"}, {"address": "tcp://127.0.0.1:0"}, {"address": "what://x"},
        {"level": True}, {"level": -3}, {"block_timeout": -1}, {"block_timeout": "long"},
        {"block_timeout": float("nan")}, {"spool_dir": 3}, {"diagnose": "no"}, {"stdlib": None},
        {"capture_warnings": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_bad_option_is_refused_with_its_value(options):
    """A bad option raises an error that shows it, and nothing is attached."""
    with pytest.raises((ConfigurationError, ValueError)) as caught:
        install_bridge(**{"address": "tcp://127.0.0.1:1", **options})
    assert str(next(iter(options.values()))) in str(caught.value)


def test_an_option_that_nobody_knows_is_a_type_error():
    """A misspelt option is refused as Python refuses it; a word for the file says where it goes."""
    with pytest.raises(TypeError, match="no option spool_dirr="):
        install_bridge("tcp://127.0.0.1:1", spool_dirr="x")
    with pytest.raises(ConfigurationError, match="rotation: the receiver's to know"):
        install_bridge("tcp://127.0.0.1:1", rotation="1 MB")


def test_a_wrong_address_in_the_environment_names_the_variable(monkeypatch):
    """The program did not name the address: the error says who did."""
    monkeypatch.setenv("LOGURU_STDBRIDGE_ADDRESS", "udp://x")
    with pytest.raises(AddressError, match=r"LOGURU_STDBRIDGE_ADDRESS: .*udp"):
        install_bridge()


def test_a_bridge_shows_where_it_leads_and_how_it_is(receiver):
    """``repr`` has the address, the state and what is pending; the address has its parts."""
    bridge = install_bridge(receiver.address, level="info")
    assert repr(bridge) == f"<Bridge {receiver.address}: not connected, 0 pending>"
    assert (bridge.address.scheme, bridge.address.port) == ("tcp", receiver.address.port)
    logger.info("one")
    assert bridge.flush(20)
    assert repr(bridge) == f"<Bridge {receiver.address}: connected, 0 pending>"
    bridge.close()
    assert repr(bridge) == f"<Bridge {receiver.address}: uninstalled, 0 pending>"


def test_a_function_that_refers_to_the_logger_can_be_pickled(receiver):
    """A function that refers to ``logger`` can be pickled, as joblib does it."""
    with install_bridge(receiver.address):
        assert pickle.loads(pickle.dumps(logger._core.handlers)) is not None
    handler = BridgeHandler(address=receiver.address)
    again = pickle.loads(pickle.dumps(handler))
    assert again.channel.address == handler.channel.address
    handler.close()
    again.close()


def test_logging_from_a_repr_and_from_del(receiver, eventually):
    """A ``repr`` and a ``__del__`` may log while a record is being taken."""
    ended = []

    class Chatty:
        def __repr__(self):
            logging.getLogger("std").info("inner repr")
            return "chatty"

    class Dying:
        def __init__(self):
            self.ring = self

        def __del__(self):
            logging.getLogger("std").info("inner del")
            logger.info("inner loguru del")
            ended.append(1)

    def all_ended():
        gc.collect()  # does nothing while another thread does it
        return len(ended) == 200

    with install_bridge(receiver.address, level=0) as bridge:
        logging.getLogger("std").info("outer %r", Chatty())
        threshold = gc.get_threshold()
        gc.set_threshold(1)
        try:
            for _ in range(200):
                Dying()
                logger.info("outer")
        finally:
            gc.set_threshold(*threshold)
        eventually(all_ended, 30, "all have ended")
        assert bridge.flush(20)
    found = lines(receiver)
    assert found.count("outer") == 200
    assert found.count("outer chatty") == found.count("inner repr") == 1
    assert found.count("inner del") == 200
    assert found.count("inner loguru del") == 200


class Interrupted:
    """One thread is interrupted inside a part of the bridge, and logs from there, while another one
    is inside loguru's handler, with an exception, and waits for that part."""

    def __init__(self, log):
        self.log = log
        other = logger.opt(exception=ValueError("why")).info
        self.thread = threading.Thread(target=other, args=("other",))
        self.done = threading.Event()

    def __call__(self):
        if threading.current_thread() is not self.victim:
            return
        self.victim = None
        self.thread.start()
        handlers = logger._core.handlers.values()
        while not any(handler._lock.locked() for handler in handlers):
            threading.Event().wait(0.001)
        self.log("inner")

    def run(self, call):
        """``call`` in a thread that a deadlock would keep."""
        self.victim = threading.Thread(target=lambda: (call(), self.done.set()), daemon=True)
        self.victim.start()
        return self.done.wait(20)


@pytest.mark.parametrize("inner", ["loguru", "intercepted"])
@pytest.mark.parametrize("outer", ["stdlib", "loguru"])
def test_a_log_call_inside_the_journal_waits_for_no_lock(receiver, monkeypatch, outer, inner):
    """A log call that interrupts the journal waits for no lock."""
    intercepted = logging.getLogger("intercepted")
    intercepted.propagate = False
    intercepted.setLevel(1)
    handler = InterceptHandler()
    intercepted.addHandler(handler)
    logs = {
        "loguru": logger.info,
        "stdlib": logging.getLogger("std").info,
        "intercepted": intercepted.info,
    }
    interrupted = Interrupted(logs[inner])
    crc32 = journal._crc32

    def interrupt(*arguments):
        interrupted()
        return crc32(*arguments)

    try:
        with install_bridge(receiver.address, level=0) as bridge:
            logger.info("first")
            assert bridge.flush(20)
            monkeypatch.setattr(journal, "_crc32", interrupt)
            assert interrupted.run(lambda: logs[outer]("outer")), "a deadlock"
            interrupted.thread.join()
            assert bridge.flush(20)
    finally:
        intercepted.removeHandler(handler)
    assert sorted(lines(receiver)) == ["ValueError: why", "first", "inner", "other", "outer"]


@pytest.mark.parametrize(
    ("size", "records", "interval"),
    [(20_000, 300, 0.002), (1_000_000, 12, 0.02)],
    ids=["20k", "1M"],
)
def test_logging_from_a_signal_handler(receiver, size, records, interval):
    """A signal handler logs into both libraries while four threads log large records."""
    numbers = {"loguru": itertools.count(), "stdlib": itertools.count()}

    def on_alarm(number, frame):  # may come again before it has ended
        logger.info("signal loguru {}", next(numbers["loguru"]))
        logging.getLogger("std").info("signal stdlib %d", next(numbers["stdlib"]))

    def work(name):
        for number in range(records):
            logger.info("thread {} {} {}", name, number, "x" * size)

    with install_bridge(receiver.address, level=0) as bridge:
        before = signal.signal(signal.SIGALRM, on_alarm)
        signal.setitimer(signal.ITIMER_REAL, interval, interval)
        try:
            threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
            for thread in threads:
                thread.start()
            work("main")
            for thread in threads:
                thread.join()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert bridge.flush(60)
        assert bridge.stats().dropped == {}
    found = lines(receiver)
    for name in ("a", "b", "c", "main"):
        written = [line for line in found if line.startswith(f"thread {name} ")]
        whole = written == [f"thread {name} {number} {'x' * size}" for number in range(records)]
        assert whole, [line[:30] for line in written]  # not a comparison of megabytes
    for source in ("loguru", "stdlib"):
        written = [int(line.split()[2]) for line in found if line.startswith(f"signal {source} ")]
        count = next(numbers[source])
        assert count > 2
        assert sorted(written) == list(range(count))


def test_a_record_between_the_format_and_the_line_of_another(receiver, monkeypatch):
    """A record logged between another's format and line takes nothing of it."""
    inner = iter(["inner 1", "inner 2"])
    waiting = []

    def format_and_log(sink, record, wrapped=BridgeSink._format):
        wrapped(sink, record)  # nobody refers to what it returns
        if waiting:
            waiting.pop()
            logger.info(next(inner))
        return sink._thread.state.format[0]

    monkeypatch.setattr(BridgeSink, "_format", format_and_log)
    with install_bridge(receiver.address) as bridge:
        logger.info("first")
        assert bridge.flush(20)  # from here on the worker renders
        for _ in range(2):
            waiting.append(True)
            logger.opt(exception=ValueError("why")).info("outer")
        assert bridge.flush(20)
        assert bridge.stats().dropped == {}
    assert lines(receiver) == [
        "first", "inner 1", "outer", "ValueError: why", "inner 2", "outer", "ValueError: why"
    ]  # fmt: skip


def test_logging_from_asyncio_tasks_and_from_another_sink(receiver):
    """Asyncio tasks may interleave their log calls, and a sink may log to stdlib without a loop."""
    relay = logger.add(lambda message: logging.getLogger("relay").info("relayed %s", message.strip()),
                       format="{message}")  # fmt: skip

    async def task(number):
        for step in range(10):
            logger.info("task {} {}", number, step)
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(*(task(n) for n in range(10)))

    with install_bridge(receiver.address, level="INFO") as bridge:
        asyncio.run(main())
        logger.remove(relay)
        assert bridge.flush(20)
    found = lines(receiver)
    assert len([line for line in found if line.startswith("task ")]) == 100
    assert len([line for line in found if line.startswith("relayed task")]) == 100


def test_an_embedded_receiver_in_a_process_that_logs_does_not_loop(receiver):
    """An embedded receiver writes its process's lines once and logs none of its own there."""
    with install_bridge(receiver.address) as bridge:
        for number in range(100):
            logger.info("line {}", number)
        assert bridge.flush(20)
        assert bridge.stats().accepted == 100
    assert lines(receiver) == [f"line {n}" for n in range(100)]
