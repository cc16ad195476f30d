"""A record that travels between two processes with the bridge is taken once, and looks as ever."""

from __future__ import annotations

import copy
import copyreg
import logging
import logging.handlers
import pickle
import pickletools
import queue
import subprocess
import sys
from collections import Counter

import pytest
from loguru import logger

from loguru_stdbridge import BridgeHandler, InterceptHandler, install_bridge, uninstall_bridge
from tests.support.processes import ReceiverProcess, log_lines
from tests.support.taken import NOWHERE, take_rows

pytestmark = pytest.mark.usefixtures("quiet_loguru")


@pytest.fixture
def taken(monkeypatch):
    """The records that the bridge takes."""
    yield take_rows(monkeypatch)
    uninstall_bridge()


@pytest.fixture
def std():
    """A logger of the test's own, open to all levels."""
    return logging.Logger("tests.std", 1)


class Recipe(logging.Handler):
    """loguru's recipe for an ``InterceptHandler``."""

    def emit(self, record):
        frame, depth = sys._getframe(6), 6
        while frame and frame.f_code.co_filename == logging.__file__:
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log("INFO", record.getMessage())


class Hand(logging.Handler):
    """Hands each record to a logger of its own, as the logging cookbook's listening process does."""

    def __init__(self, *handlers):
        super().__init__()
        self.target = logging.Logger("listener")
        for handler in handlers:
            self.target.addHandler(handler)

    def emit(self, record):
        self.target.handle(record)


TARGETS = {
    "recipe": Recipe,
    "intercept": InterceptHandler,
    "bridge": lambda: BridgeHandler(address=NOWHERE),
    "logger": Hand,
    "logger with recipe": lambda: Hand(Recipe()),
    "logger with bridge": lambda: Hand(BridgeHandler(address=NOWHERE)),
}


def pickled(record):
    """Return the record as another process gets it."""
    return pickle.loads(pickle.dumps(record))


def travel(std, target, log):
    """Log through a queue, and handle what comes out of it as another process would."""
    waiting = queue.SimpleQueue()
    handler = logging.handlers.QueueHandler(waiting)
    std.addHandler(handler)
    log()
    std.removeHandler(handler)
    while not waiting.empty():
        target.handle(pickled(waiting.get()))


@pytest.mark.parametrize("target", TARGETS)
def test_a_record_out_of_a_queue_of_processes_is_taken_once(taken, std, target):
    """A record that two bridged processes get is taken by the one that logs it."""
    install_bridge(NOWHERE)
    travel(std, TARGETS[target](), lambda: std.warning("one %d", 1))
    assert taken.messages == ["one 1"]


@pytest.mark.parametrize("target", TARGETS)
def test_a_record_of_a_process_without_the_bridge_is_taken_here(taken, std, target):
    """A record that no bridge has sent is taken where a bridge gets it, once."""

    def log():
        std.warning("one %d", 1)
        install_bridge(NOWHERE)

    travel(std, TARGETS[target](), log)
    assert taken.messages == ["one 1"]


def test_a_record_that_was_sent_elsewhere_is_taken_here(taken, std):
    """A bridge takes a record that another bridge sends to another address."""
    install_bridge("tcp://127.0.0.1:2")

    def log():
        std.warning("one %d", 1)
        install_bridge(NOWHERE)

    travel(std, TARGETS["logger"](), log)
    assert taken.messages == ["one 1", "one 1"]


def test_a_record_below_the_level_of_the_other_bridge_is_taken_here(taken, std):
    """A bridge takes a record that another one has left alone."""
    install_bridge(NOWHERE, level="ERROR")

    def log():
        std.warning("one %d", 1)
        install_bridge(NOWHERE)

    travel(std, TARGETS["logger"](), log)
    assert taken.messages == ["one 1"]


def test_a_pickled_record_looks_as_without_the_bridge(taken, std):
    """A pickled or copied record has the same class, attributes and values, and needs no module of
    ours."""
    records = []
    std.addFilter(lambda record: records.append(record) or True)
    install_bridge(NOWHERE)
    std.warning("one %d", 1, extra={"user": "ann"})
    (record,) = records
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(record, protocol)
        assert b"loguru_stdbridge" not in data
        made = pickle.loads(data)
        assert type(made) is logging.LogRecord and vars(made) == vars(record)
        names = {argument for _, argument, _ in pickletools.genops(data) if argument}
        assert "user" in names
    assert vars(copy.copy(record)) == vars(copy.deepcopy(record)) == vars(record)
    assert next(iter(vars(record))) == "name"


def test_uninstalling_leaves_pickling_as_it_was(taken):
    """``uninstall_bridge`` takes the entry in ``copyreg`` away, and leaves another's alone."""
    install_bridge(NOWHERE)
    assert logging.LogRecord in copyreg.dispatch_table
    uninstall_bridge()
    assert logging.LogRecord not in copyreg.dispatch_table

    def theirs(record):
        return logging.makeLogRecord, (vars(record),)

    copyreg.pickle(logging.LogRecord, theirs)
    try:
        install_bridge(NOWHERE)
        uninstall_bridge()
        assert copyreg.dispatch_table[logging.LogRecord] is theirs
    finally:
        del copyreg.dispatch_table[logging.LogRecord]


TWO_PROCESSES = """
import logging, logging.handlers, multiprocessing, sys
from loguru_stdbridge import InterceptHandler, install_bridge

def child(waiting):
    std = logging.getLogger("child")
    std.addHandler(logging.handlers.QueueHandler(waiting))
    for number in range(20):
        std.warning("number %d", number)

if __name__ == "__main__":
    from loguru import logger
    logger.remove()
    bridge = install_bridge(sys.argv[1])
    context = multiprocessing.get_context(sys.argv[2])
    waiting = context.Queue()
    listener = logging.handlers.QueueListener(waiting, InterceptHandler())
    listener.start()
    process = context.Process(target=child, args=(waiting,))
    process.start()
    process.join()
    listener.stop()
    assert process.exitcode == 0 and bridge.flush(30)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_and_its_listening_parent_log_a_record_once(tmp_path, method):
    """A child's records are in the file once where its parent listens to them and logs them."""
    script = tmp_path / "program.py"
    script.write_text(TWO_PROCESSES)
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        command = [sys.executable, str(script), receiver.address, method]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert receiver.stop() == 0
    assert Counter(log_lines(tmp_path / "app.log")) == {f"number {n}\n": 1 for n in range(20)}
