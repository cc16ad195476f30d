"""Each record is taken once in any order of attaching, configuring, removing and logging."""

from __future__ import annotations

import io
import logging
import logging.config
import logging.handlers
import pickle
import queue
import sys

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from loguru import logger

from loguru_stdbridge import BridgeHandler, InterceptHandler, install_bridge, uninstall_bridge
from tests.support.taken import NOWHERE, Taken, take_rows

NAMES = ("", "tests.order", "tests.order.child", "tests.alone")
LEVELS = (logging.INFO, logging.WARNING, logging.ERROR)


class Intercept(logging.Handler):
    """loguru's recipe."""

    def emit(self, record):
        frame, depth = sys._getframe(6), 6
        while frame and frame.f_code.co_filename == logging.__file__:
            frame, depth = frame.f_back, depth + 1
        logger.opt(depth=depth, exception=record.exc_info).log(record.levelno, record.getMessage())


class Propagate(logging.Handler):
    """loguru's recipe for the other direction."""

    def emit(self, record):
        logging.getLogger(record.name).handle(record)


class PicklingQueue(queue.Queue):
    """A queue between processes: what is taken out is another object."""

    def put(self, item, block=True, timeout=None):
        super().put(pickle.loads(pickle.dumps(item)), block, timeout)


class Keeper(logging.Handler):
    """Keeps what it gets, for the application to hand on."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept

    def emit(self, record):
        self.kept.append(record)


class Listener(logging.Handler):
    """The logging cookbook's process that listens: it hands each record to its own logger."""

    def emit(self, record):
        logging.getLogger("tests.alone").handle(record)


KINDS = {
    "bridge": lambda: BridgeHandler(address=NOWHERE),
    "recipe": Intercept,
    "ours": InterceptHandler,
}
QUEUES = {"of threads": queue.SimpleQueue, "of processes": PicklingQueue}
HANDLERS = st.sampled_from(sorted(KINDS))
LOGGERS = st.sampled_from(NAMES)
ERRORS = st.sampled_from([None, ValueError("on purpose")])


class Application(RuleBasedStateMachine):
    """An application that configures its logging again and again."""

    taken: Taken

    @initialize(
        intercepts=st.sampled_from([0, 1, 9]),
        propagates=st.sampled_from([0, 1, 9]),
        enqueue=st.booleans(),
    )
    def begin(self, intercepts, propagates, enqueue):
        """Choose how many handlers and sinks lead into the other library.

        Where there are both, each record goes round in a circle, with the bridge or without, until
        loguru's lock refuses it: one of each is enough then, and no sink with a thread of its own.
        """
        if intercepts and propagates:
            intercepts = propagates = 1
            enqueue = False
        self.intercepts, self.propagates, self.enqueue = intercepts, propagates, enqueue
        self.may_propagate = bool(propagates)
        self.number = 0
        self.taken.clear()
        self.installed = False
        self.buffers = []
        self.queues = []
        self.kept = []
        self.root_level = logging.getLogger().level
        self.handlers = list(logging.getLogger().handlers)
        logging.getLogger("tests.alone").propagate = False

    def teardown(self):
        uninstall_bridge()
        logger.remove()
        logging.getLogger("tests.alone").propagate = True
        for name in NAMES[1:]:
            logging.getLogger(name).handlers.clear()
        logging.getLogger().handlers[:] = self.handlers
        logging.getLogger().setLevel(self.root_level)

    # -- the bridge -----------------------------------------------------------------------------

    @rule()
    def install(self):
        install_bridge(NOWHERE, level="INFO")
        self.installed = True

    def make(self, kind):
        if kind != "bridge" and self.intercepts:
            self.intercepts -= 1
            return KINDS[kind]()
        return KINDS["bridge"]()

    @rule()
    def uninstall(self):
        uninstall_bridge()
        self.installed = False

    @precondition(lambda self: self.installed)
    @rule()
    def add_a_second_sink(self):
        sink = logger._core.handlers["loguru_stdbridge"]._filter.__self__
        pickle.loads(pickle.dumps(sink)).add_to_loguru(0)

    # -- the application's configuration --------------------------------------------------------

    @rule(kind=st.sampled_from(["none", "bridge", "intercept"]))
    def configure_by_dict(self, kind):
        handlers = {
            "none": {"class": "logging.NullHandler"},
            "bridge": {"class": "loguru_stdbridge.BridgeHandler", "address": NOWHERE},
            "intercept": {"()": lambda: self.make("recipe")},
        }
        logging.config.dictConfig(
            {
                "version": 1,
                "disable_existing_loggers": False,
                "handlers": {"one": handlers[kind]},
                "root": {"level": "INFO", "handlers": ["one"]},
            }
        )

    @rule(kind=HANDLERS)
    def configure_basically(self, kind):
        logging.basicConfig(force=True, level=logging.INFO, handlers=[self.make(kind)])

    @rule(kind=HANDLERS, name=LOGGERS)
    def add_a_handler(self, kind, name):
        logging.getLogger(name).addHandler(self.make(kind))

    @rule(kind=HANDLERS, name=LOGGERS, between=st.sampled_from(sorted(QUEUES)))
    def add_a_queue(self, kind, name, between):
        waiting = QUEUES[between]()
        logging.getLogger(name).addHandler(logging.handlers.QueueHandler(waiting))
        self.queues.append(logging.handlers.QueueListener(waiting, self.make(kind)))

    @precondition(lambda self: not self.may_propagate)
    @rule(between=st.sampled_from(sorted(QUEUES)))
    def add_a_queue_into_a_logger(self, between):
        waiting = QUEUES[between]()
        logging.getLogger("tests.order").addHandler(logging.handlers.QueueHandler(waiting))
        self.queues.append(logging.handlers.QueueListener(waiting, Listener()))

    @rule(kind=HANDLERS, name=LOGGERS, capacity=st.integers(1, 3))
    def add_a_buffer(self, kind, name, capacity):
        buffer = logging.handlers.MemoryHandler(capacity, target=self.make(kind))
        logging.getLogger(name).addHandler(buffer)
        self.buffers.append(buffer)

    @precondition(lambda self: not self.may_propagate)  # else records go round for ever
    @rule(kind=HANDLERS, name=LOGGERS)
    def add_a_keeper(self, kind, name):
        records = []
        logging.getLogger(name).addHandler(Keeper(records))
        self.kept.append((records, self.make(kind)))

    @rule()
    def remove_handlers(self):
        for name in NAMES:
            logging.getLogger(name).handlers.clear()

    @rule()
    def remove_sinks(self):
        logger.remove()

    @rule()
    def configure_loguru(self):
        logger.configure(handlers=[{"sink": io.StringIO()}])

    @precondition(lambda self: self.propagates)
    @rule()
    def add_propagate(self):
        self.propagates -= 1
        logger.add(Propagate(), format="{level} {message}", enqueue=self.enqueue)

    @precondition(lambda self: self.propagates)
    @rule()
    def add_a_sink_that_logs(self):
        self.propagates -= 1
        logger.add(
            lambda text: logging.getLogger("tests.order").warning("%s", text.strip()),
            enqueue=self.enqueue,
        )

    # -- records --------------------------------------------------------------------------------

    @rule(name=LOGGERS, level=st.sampled_from(LEVELS), times=st.integers(1, 3), error=ERRORS)
    def log_through_logging(self, name, level, times, error):
        for _ in range(times):
            logging.getLogger(name).log(level, "record %d.", self.number, exc_info=error)
            self.number += 1
        self.check(times)

    @rule(level=st.sampled_from(LEVELS), times=st.integers(1, 3), error=ERRORS)
    def log_through_loguru(self, level, times, error):
        for _ in range(times):
            logger.opt(exception=error).log(level, "record {}.", self.number)
            self.number += 1
        self.check(times)

    def check(self, times):
        """All that is on its way arrives, and then each record is there once."""
        logger.complete()
        for listener in self.queues:
            listener.start()
            listener.stop()
        for buffer in self.buffers:
            buffer.flush()
        for records, target in self.kept:
            held, records[:] = records[:], []
            for record in held:
                target.handle(record)
        logger.complete()
        messages = self.taken.messages
        for number in range(self.number - times, self.number):
            count = sum(f"record {number}." in message for message in messages)
            assert count == 1 or not self.installed, messages
        self.taken.clear()


@pytest.mark.usefixtures("quiet_loguru")
def test_each_record_is_taken_once_in_every_order(monkeypatch, scale, fast_handlers):
    """Each record is taken once by an application of random steps, with several ways to attach."""
    Application.taken = take_rows(monkeypatch)
    run_state_machine_as_test(
        Application,
        settings=settings(
            max_examples=scale(100, 2000),
            stateful_step_count=30,
            deadline=None,
            derandomize=False,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
