"""The attachment takes each record once, whoever configures logging, and nobody else notices."""

from __future__ import annotations

import copy
import io
import logging
import logging.config
import logging.handlers
import pickle
import queue
import signal
import sys
import threading
import traceback

import pytest
from loguru import logger

from loguru_stdbridge import BridgeHandler, InterceptHandler, install_bridge, uninstall_bridge
from tests.support.taken import NOWHERE, take_rows

pytestmark = pytest.mark.usefixtures("quiet_loguru", "plain_logging")

CALL_HANDLERS = logging.Logger.callHandlers


@pytest.fixture
def taken(monkeypatch):
    """The records that the bridge takes."""
    rows = take_rows(monkeypatch)
    yield rows
    uninstall_bridge()


@pytest.fixture
def plain_logging():
    """Put logging back as it was."""
    root = logging.getLogger()
    handlers, level, disabled = list(root.handlers), root.level, logging.root.manager.disable
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.disable(disabled)
    assert logging.Logger.callHandlers is CALL_HANDLERS


@pytest.fixture
def std():
    """A logger of the test's own, open to all levels."""
    made = logging.Logger("tests.std", 1)
    made.parent = logging.getLogger()
    return made


class Recipe(logging.Handler):
    """loguru's recipe for an ``InterceptHandler``."""

    def emit(self, record):
        try:
            level = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        frame, depth = sys._getframe(6), 6
        while frame and frame.f_code.co_filename == logging.__file__:
            frame = frame.f_back
            depth += 1
        logger.opt(depth=depth, exception=record.exc_info).log(level, record.getMessage())


class OldRecipe(logging.Handler):
    """loguru's older recipe, which counts the frames."""

    def emit(self, record):
        logger.opt(depth=6, exception=record.exc_info).log("INFO", record.getMessage())


class Indirect(logging.Handler):
    """A handler that logs through loguru in a method of its own, with words around the message."""

    def emit(self, record):
        self.forward(record)

    def forward(self, entry):
        logger.info("[{}] {}", entry.name, entry.getMessage())


class Propagate(logging.Handler):
    """loguru's recipe for handing its records to logging."""

    def emit(self, record):
        logging.getLogger(record.name).handle(record)


class Keep(logging.Handler):
    """A handler that keeps what it gets."""

    def __init__(self, level=0):
        super().__init__(level)
        self.seen = []

    def emit(self, record):
        self.seen.append(record.getMessage())


# -- what the application does to logging -------------------------------------------------------


def dict_config(**options):
    logging.config.dictConfig({"version": 1, "root": {"level": "INFO", "handlers": []}, **options})


def basic_config():
    logging.basicConfig(force=True, stream=io.StringIO(), level=logging.DEBUG)


def remove_all():
    logger.remove()


def configure():
    for handler_id in logger.configure(handlers=[{"sink": io.StringIO()}]):
        logger.remove(handler_id)


@pytest.mark.parametrize("undo", [dict_config, basic_config, remove_all, configure])
def test_reconfiguring_detaches_nothing(taken, undo):
    """Records of both libraries are taken before and after the application reconfigures them."""
    install_bridge(NOWHERE)
    logging.getLogger("std").warning("one")
    logger.info("two")
    undo()
    logging.getLogger("std").disabled = False
    logging.getLogger("std").warning("three")
    logger.info("four")
    assert taken.messages == ["one", "two", "three", "four"]


def test_reconfiguring_while_threads_log_loses_and_doubles_nothing(taken):
    """Threads log through both libraries while another configures and removes, and installs again."""
    install_bridge(NOWHERE)
    std = logging.getLogger("tests.storm")
    std.setLevel(logging.DEBUG)
    stop = threading.Event()

    def work(name):
        for number in range(500):
            logger.info("loguru {} {}", name, number)
            std.info("stdlib %s %d", name, number)

    def reconfigure():
        while not stop.is_set():
            dict_config(disable_existing_loggers=False)
            for step in (basic_config, remove_all, configure):
                step()
            install_bridge(NOWHERE)

    other = threading.Thread(target=reconfigure)
    other.start()
    workers = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    stop.set()
    other.join()
    std.setLevel(logging.NOTSET)
    assert sorted(taken.messages) == sorted(
        f"{library} {name} {number}"
        for library in ("loguru", "stdlib")
        for name in "abcd"
        for number in range(500)
    )


def test_a_logger_that_does_not_propagate_is_taken(taken):
    """The hook takes the records of loggers that do not propagate, such as uvicorn's."""
    install_bridge(NOWHERE)
    alone = logging.getLogger("tests.alone")
    alone.propagate = False
    alone.warning("alone")
    assert taken.messages == ["alone"]


@pytest.mark.parametrize("kind", [Recipe, OldRecipe, Indirect, InterceptHandler])
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_record_that_a_handler_logs_through_loguru_is_taken_once(taken, std, kind, order):
    """A record that a handler logs through loguru is taken once, as loguru shows it."""
    handler = kind()
    if order == "before":
        std.addHandler(handler)
    install_bridge(NOWHERE)
    if order == "after":
        std.addHandler(handler)
    with logger.contextualize(user="ann"):
        std.info("in {braces}")
    (record,) = taken.records
    assert "in {braces}" in record.message
    assert record.extra["user"] == "ann"


@pytest.mark.parametrize("kind", [Recipe, OldRecipe])
def test_a_recipe_that_walks_the_frames_finds_the_caller(taken, std, kind):
    """A recipe that walks the frames finds the caller, since the hook adds no frame."""
    std.addHandler(kind())
    install_bridge(NOWHERE)
    std.info("here")
    (record,) = taken.records
    assert record.function == "test_a_recipe_that_walks_the_frames_finds_the_caller"
    assert record.file_path == __file__


def test_a_record_that_loguru_does_not_take_is_taken_by_the_hook(taken, std):
    """The hook takes a record that an InterceptHandler hands to loguru and loguru drops."""
    std.addHandler(Recipe())
    install_bridge(NOWHERE)
    logger.disable(__name__)
    try:
        std.info("dropped by loguru")
    finally:
        logger.enable(__name__)
    assert taken.messages == ["dropped by loguru"]


def test_what_a_handler_logs_of_its_own_is_taken_too(taken, std):
    """A handler that says something else through loguru has not taken the record away."""

    class Talker(logging.Handler):
        def emit(self, record):
            logger.info("sending one")

    std.addHandler(Talker())
    install_bridge(NOWHERE)
    std.info("the record")
    assert taken.messages == ["sending one", "the record"]


@pytest.mark.parametrize("enqueue", [False, True])
@pytest.mark.parametrize("order", ["before", "after"])
def test_a_record_that_a_sink_hands_to_logging_is_taken_once(taken, enqueue, order):
    """A record that a sink hands to logging is taken once, by loguru's propagate recipe too."""
    seen = Keep()
    logging.getLogger().addHandler(seen)
    if order == "before":
        logger.add(Propagate(), format="{level} {message}", enqueue=enqueue)
    install_bridge(NOWHERE)
    if order == "after":
        logger.add(Propagate(), format="{level} {message}", enqueue=enqueue)
    logger.info("from loguru")
    logger.remove()
    assert taken.messages == ["from loguru"]
    assert seen.seen == ["INFO from loguru"]


@pytest.mark.parametrize(
    "hand_on",
    [
        lambda message: logging.getLogger("to").warning(message),
        lambda message: logging.getLogger("to").warning("%s", message.strip()),
        lambda message: logging.getLogger("to").warning(message.record["message"]),
    ],
    ids=["message", "argument", "text"],
)
def test_a_function_that_hands_records_to_logging_doubles_nothing(taken, hand_on):
    """A sink function that hands on the record, or its message alone, doubles nothing."""
    logger.add(hand_on, format="{time} {message}")
    install_bridge(NOWHERE)
    logger.info("from loguru")
    assert taken.messages == ["from loguru"]


def test_what_a_sink_logs_of_its_own_is_taken_too(taken):
    """A sink that says something else through logging logs a record of its own."""
    logger.add(lambda message: logging.getLogger("client").warning("POST %s", message.strip()))
    install_bridge(NOWHERE)
    logger.info("from loguru")
    assert len(taken.messages) == 2


def test_the_same_text_through_both_libraries_is_two_records(taken, std):
    """Two log calls with the same text, one through each library, are two records."""
    install_bridge(NOWHERE)
    for _ in range(3):
        logger.info("the same")
        std.info("the same")
    assert taken.messages == ["the same"] * 6


@pytest.mark.parametrize("kind", [Recipe, Indirect, InterceptHandler, "bridge"])
def test_a_queue_in_front_doubles_nothing(taken, std, kind):
    """A record that a QueueHandler copies for another thread is taken once."""
    target = BridgeHandler(address=NOWHERE) if kind == "bridge" else kind()
    waiting = queue.SimpleQueue()
    std.addHandler(logging.handlers.QueueHandler(waiting))
    install_bridge(NOWHERE)
    std.info("one %d", 1)
    listener = logging.handlers.QueueListener(waiting, target)
    listener.start()
    listener.stop()
    assert taken.messages == ["one 1"]


@pytest.mark.parametrize("kind", [Recipe, Indirect, InterceptHandler, "bridge"])
@pytest.mark.parametrize("flush", ["by hand", "by a record"])
def test_a_buffer_in_front_doubles_nothing(taken, std, kind, flush):
    """A record that a MemoryHandler holds back is taken once."""
    target = BridgeHandler(address=NOWHERE) if kind == "bridge" else kind()
    buffer = logging.handlers.MemoryHandler(100, target=target)
    std.addHandler(buffer)
    install_bridge(NOWHERE)
    std.info("one")
    if flush == "by hand":
        buffer.flush()
    else:
        std.error("two")
    buffer.close()
    around = "[tests.std] " if kind is Indirect and flush == "by a record" else ""
    assert taken.messages == (["one"] if flush == "by hand" else ["one", f"{around}two"])


@pytest.mark.parametrize("kind", [Recipe, InterceptHandler, "bridge"])
@pytest.mark.parametrize("has_exception", [False, True])
def test_a_record_that_was_kept_doubles_nothing(taken, std, kind, has_exception):
    """A record that the application keeps, and hands to a handler itself, is taken once."""
    kept = []

    class Keeps(logging.Handler):
        def emit(self, record):
            kept.append(record)

    std.addHandler(Keeps())
    install_bridge(NOWHERE)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        std.info("one", exc_info=has_exception)
    target = BridgeHandler(address=NOWHERE) if kind == "bridge" else kind()
    for record in kept:
        target.handle(record)
    assert taken.messages == ["one"]


@pytest.mark.parametrize("order", ["before", "after"])
def test_a_bridge_handler_in_a_configuration_doubles_nothing(taken, std, order):
    """A BridgeHandler leaves the record to the hook if both have the same address."""
    same, other = BridgeHandler(address=NOWHERE), BridgeHandler(address="tcp://127.0.0.1:2")
    if order == "before":
        install_bridge(NOWHERE)
    std.addHandler(same)
    std.addHandler(other)
    std.addHandler(BridgeHandler(address=NOWHERE))
    if order == "after":
        install_bridge(NOWHERE)
    std.info("one")
    assert taken.messages == ["one", "one"]


def test_two_bridge_handlers_without_the_bridge_send_a_record_once(taken, std):
    """Two BridgeHandlers of one address send a record once."""
    std.addHandler(BridgeHandler(address=NOWHERE))
    std.addHandler(Recipe())
    std.addHandler(BridgeHandler(address=NOWHERE))
    install_bridge(NOWHERE, stdlib=False)
    std.info("one")
    assert taken.messages == ["one"]


def test_a_sink_that_came_by_pickle_takes_no_record_twice(taken):
    """Several sinks of one destination in a logger take a record once."""
    install_bridge(NOWHERE)
    sink = logger._core.handlers["loguru_stdbridge"]._filter.__self__
    for _ in range(2):
        pickle.loads(pickle.dumps(sink)).add_to_loguru(0)
    logger.info("one")
    uninstall_bridge()
    logger.info("two")
    assert taken.messages == ["one", "two"]


def test_a_record_that_is_handed_to_another_logger_is_taken_once(taken, std):
    """A record that a handler hands to another logger's ``handle`` is taken once."""
    other = logging.Logger("other")

    class Forward(logging.Handler):
        def emit(self, record):
            other.handle(record)

    std.addHandler(Forward())
    install_bridge(NOWHERE)
    std.info("one")
    assert taken.messages == ["one"]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("calls_base", [True, False])
def test_a_subclass_of_logger_is_taken(taken, calls_base, order):
    """A Logger subclass with its own ``callHandlers`` is taken, if it calls its base or not."""
    if order == "after":
        install_bridge(NOWHERE)

    class Own(logging.Logger):
        def callHandlers(self, record):
            if calls_base:
                super().callHandlers(record)

        def handle(self, record):
            super().handle(record)

    if order == "before":
        install_bridge(NOWHERE)
    logging.LoggerAdapter(Own("own"), {}).warning("one")
    uninstall_bridge()
    assert taken.messages == ["one"]
    assert vars(Own)["callHandlers"].__code__.co_filename == __file__
    assert "__init_subclass__" not in vars(logging.Logger)


def test_disabled_levels_filters_and_loggers_hold_for_the_bridge(taken, std):
    """The bridge does not take what levels, filters or ``disable`` keep from logging."""
    install_bridge(NOWHERE)
    std.addFilter(lambda record: "no" not in record.getMessage())
    std.info("no")
    std.info("yes")
    logging.disable(logging.INFO)
    logging.getLogger("std").info("below")
    logging.getLogger("std").warning("above")
    assert taken.messages == ["yes", "above"]


def test_records_of_any_factory_are_taken(taken, std):
    """A record without the usual attributes, or that cannot be changed, is taken as well."""

    class Odd(logging.LogRecord):
        threadName = property(lambda self: 7, lambda self, value: None)

    before = logging.getLogRecordFactory()
    install_bridge(NOWHERE)
    try:
        logging.setLogRecordFactory(Odd)
        std.info("odd")
    finally:
        logging.setLogRecordFactory(before)
    assert taken.messages == ["odd"]


@pytest.mark.parametrize("is_kept", [False, True])
def test_a_value_that_logs_while_it_is_shown_is_shown_no_oftener_for_it(taken, std, is_kept):
    """A value that logs through loguru is asked for its text by the handler and by the bridge."""
    asked = []

    class Talks:
        def __str__(self):
            asked.append(1)
            logger.info("asked")
            return "value"

    class Formatting(logging.Handler):
        def emit(self, record):
            record.getMessage()

    std.propagate = False
    std.addHandler(Recipe() if is_kept else Formatting())
    install_bridge(NOWHERE)
    std.info("%s", Talks())
    assert taken.messages.count("value") == 1
    assert taken.messages.count("asked") == len(asked) <= 2


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no such signal here")
@pytest.mark.parametrize("way", ["loguru", "logging"])
def test_an_exception_of_a_signal_handler_reaches_the_program(taken, std, way, monkeypatch):
    """A time limit that strikes within a log call is the program's, and no failure of ours."""

    class TimeLimitError(Exception):
        pass

    def strike(number, frame):
        raise TimeLimitError

    def interrupted(*arguments):
        signal.raise_signal(signal.SIGUSR1)

    install_bridge(NOWHERE)
    before = signal.signal(signal.SIGUSR1, strike)
    try:
        if way == "loguru":
            monkeypatch.setattr("loguru_stdbridge.worker.loguru_sink._looks_twice", interrupted)
        else:
            monkeypatch.setattr("loguru_stdbridge.worker.attachment.row_of_logrecord", interrupted)
        with pytest.raises(TimeLimitError):
            (logger if way == "loguru" else std).info("interrupted")
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert taken.messages == []


@pytest.mark.parametrize("names", [True, False])
def test_records_without_thread_names_are_taken_once(taken, std, names, monkeypatch):
    """A record is taken once even with ``logging.logThreads = False``."""
    monkeypatch.setattr(logging, "logThreads", names)
    std.addHandler(BridgeHandler(address=NOWHERE))
    std.addHandler(Recipe())
    install_bridge(NOWHERE)
    std.info("one")
    assert taken.messages == ["one"]


def test_what_filters_of_handlers_add_is_taken_and_what_formatters_leave_is_not(taken, std):
    """The bridge takes what filters of handlers add, not what formatters leave on a record."""

    class Colours(logging.Formatter):
        def format(self, record):
            record.levelname = f"\33[31m{record.levelname}"
            record.msg, record.args = f"\33[1m{record.getMessage()}", ()
            return super().format(record)

    class Request(logging.Filter):
        def filter(self, record):
            record.request = 7
            return True

    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(Colours())
    handler.addFilter(Request())
    std.addHandler(handler)
    install_bridge(NOWHERE)
    std.info("plain %s", "text")
    (record,) = taken.records
    assert (record.level_name, record.message) == ("INFO", "plain text")
    assert record.extra == {"request": 7}


# -- nothing shows ------------------------------------------------------------------------------


def frames():
    """The frames of the caller, as a traceback shows them."""
    return [(f.name, f.filename, f.lineno) for f in traceback.extract_stack()[:-2]]


def test_a_handler_sees_the_frames_that_it_would_see(taken, std):
    """A handler sees the frames, file names and lines that it would see without the bridge."""

    class Look(logging.Handler):
        def emit(self, record):
            self.seen.append(frames())

    look = Look()
    look.seen = []
    std.addHandler(look)
    for step in range(3):
        if step == 1:
            install_bridge(NOWHERE)
        if step == 2:
            uninstall_bridge()
        std.info("look")
    assert look.seen[0] == look.seen[1] == look.seen[2]


def test_a_handler_that_raises_shows_the_same_traceback(taken, std):
    """A handler that raises shows the same traceback as before, and the record is taken."""

    class Broken(logging.Handler):
        def handle(self, record):
            raise OSError("disk full")

    std.addHandler(Broken())
    shown = []
    for step in range(2):
        if step:
            install_bridge(NOWHERE)
        with pytest.raises(OSError) as caught:
            std.info("one")
        shown.append("".join(traceback.format_exception(OSError, caught.value, caught.tb)))
    assert shown[0] == shown[1]
    assert taken.messages == ["one"]


def test_a_handler_sees_no_mark_on_the_record(taken, std):
    """A handler sees the attributes, types and values of a record without the bridge."""

    class Look(logging.Handler):
        def emit(self, record):
            usual = vars(logging.makeLogRecord({}))
            assert set(vars(record)) == set(usual)
            assert type(record.threadName) is str
            assert record.threadName == threading.current_thread().name
            assert pickle.loads(pickle.dumps(record.threadName)) == record.threadName
            self.seen = True

    look = Look()
    std.addHandler(look)
    install_bridge(NOWHERE)
    std.info("one")
    assert look.seen


def test_uninstalling_leaves_both_libraries_as_they_were(taken):
    """``uninstall_bridge`` leaves functions, tables, ids and levels as they were."""
    own = logger.add(io.StringIO(), level="ERROR")
    core, root = logger._core, logging.getLogger()
    before = core.handlers, repr(core.handlers_count), core.min_level, root.level
    install_bridge(NOWHERE)
    assert list(core.handlers) == [own]
    uninstall_bridge()
    after = core.handlers, repr(core.handlers_count), core.min_level, root.level
    assert after == before
    assert type(core.handlers) is dict
    assert type(root.level) is int
    assert logging.Logger.callHandlers is CALL_HANDLERS
    logger.remove(own)


def test_the_next_sink_gets_the_id_that_it_would_get(taken):
    """The next sink gets the id that it would get without the bridge."""
    following = logger.add(io.StringIO()) + 1
    logger.remove(following - 1)
    install_bridge(NOWHERE)
    assert logger.add(io.StringIO()) == following
    logger.remove(following)
    with pytest.raises(ValueError, match="no existing handler"):
        logger.remove(following + 1)
    logger.info("still")
    assert taken.messages == ["still"]


def test_a_copy_of_the_logger_logs_to_the_bridge_until_it_is_uninstalled(taken):
    """A ``copy.deepcopy`` of the logger logs to the bridge until it is uninstalled."""
    install_bridge(NOWHERE)
    other = copy.deepcopy(logger)
    other.info("one")
    uninstall_bridge()
    other.info("two")
    assert taken.messages == ["one"]


# -- others at the same place -------------------------------------------------------------------


def patch_by_tool(seen):
    """Put an object in the place, as tools for patching do: bound to a logger, it is called."""

    class Wrapper:
        def __init__(self, wrapped, instance=None):
            self.wrapped, self.instance = wrapped, instance

        def __get__(self, instance, owner):
            return Wrapper(self.wrapped.__get__(instance, owner), instance)

        def __call__(self, record):
            assert isinstance(self.instance, logging.Logger)
            seen.append(record.getMessage())
            return self.wrapped(record)

    replaced = logging.Logger.callHandlers
    logging.Logger.callHandlers = Wrapper(replaced)
    return replaced


def patch_over(seen):
    """Patch ``callHandlers`` as an error tracker does."""
    replaced = logging.Logger.callHandlers

    def patched(self, record):
        seen.append(record.getMessage())
        return replaced(self, record)

    logging.Logger.callHandlers = patched
    return replaced


@pytest.mark.parametrize("patch", [patch_over, patch_by_tool])
@pytest.mark.parametrize("order", ["before", "after"])
def test_another_patch_and_the_bridge_both_get_each_record(taken, std, order, patch):
    """An error tracker that patches the same function gets each record, and so does the bridge."""
    seen = []
    try:
        if order == "before":
            patch(seen)
        install_bridge(NOWHERE)
        if order == "after":
            patch(seen)
        in_place = vars(logging.Logger)["callHandlers"]
        install_bridge(NOWHERE)
        assert vars(logging.Logger)["callHandlers"] is in_place  # reached through the other's patch
        std.info("one")
        uninstall_bridge()
        std.info("two")
        install_bridge(NOWHERE)
        std.info("three")
        uninstall_bridge()
    finally:
        logging.Logger.callHandlers = CALL_HANDLERS
    assert taken.messages == ["one", "three"]
    assert [text for text in seen if text] == ["one", "two", "three"]


def test_installing_again_repairs_what_was_taken_away(taken, std):
    """``install_bridge`` called again repairs a function or a table that others have replaced."""
    first = install_bridge(NOWHERE)
    logging.Logger.callHandlers = CALL_HANDLERS
    logger._core.handlers = {}
    std.info("lost")
    assert install_bridge(NOWHERE) is first
    std.info("one")
    logger.info("two")
    assert taken.messages == ["one", "two"]


# -- levels -------------------------------------------------------------------------------------


def test_info_is_taken_where_nobody_has_set_a_level(taken):
    """The bridge takes INFO if nobody has set a level, and the handlers get no more than before."""
    seen = Keep()
    logging.getLogger().addHandler(seen)
    install_bridge(NOWHERE)
    std = logging.getLogger("tests.default")
    std.debug("debug")
    std.info("info")
    std.warning("warning")
    assert taken.messages == ["info", "warning"]
    assert seen.seen == ["warning"]


def test_a_level_that_was_set_decides_for_all(taken):
    """A level that was set, on any logger and at any time, decides for the bridge too."""
    seen = Keep()
    root = logging.getLogger()
    root.addHandler(seen)
    install_bridge(NOWHERE)
    child = logging.getLogger("tests.child")
    child.setLevel(logging.DEBUG)
    child.debug("child")
    root.setLevel(logging.INFO)
    root.info("root")
    root.setLevel(logging.WARNING)
    install_bridge(NOWHERE)
    root.info("not any more")
    child.setLevel(logging.NOTSET)
    assert taken.messages == seen.seen == ["child", "root"]


@pytest.mark.parametrize(("level", "expected"), [
    ("debug", ["debug", "info", "warning"]), ("WARNING", ["warning"]), (25, ["warning"]),
])  # fmt: skip
def test_level_says_what_is_sent_and_nothing_else(taken, level, expected):
    """``level=`` decides what is sent, and other handlers get their records all the same."""
    seen = Keep()
    root = logging.getLogger()
    root.addHandler(seen)
    install_bridge(NOWHERE, level=level)
    own = logging.getLogger("tests.own")
    own.setLevel(logging.DEBUG)
    unset = logging.getLogger("tests.unset")
    for std in (own, unset):
        std.debug("debug")
        std.info("info")
        std.warning("warning")
    own.setLevel(logging.NOTSET)
    assert taken.messages == expected * 2
    assert seen.seen == ["debug", "info", "warning", "warning"]


def test_the_opened_level_looks_like_the_default(taken):
    """The opened level compares, prints and copies like WARNING."""
    root = logging.getLogger()
    install_bridge(NOWHERE)
    level = root.level
    assert root.isEnabledFor(logging.INFO) and not root.isEnabledFor(logging.DEBUG)
    assert level == logging.WARNING and level > logging.INFO and level >= logging.WARNING
    assert str(level) == repr(level) == "30" and hash(level) == hash(30)
    assert logging.getLevelName(level) == "WARNING" and "(WARNING)" in repr(root)
    assert type(pickle.loads(pickle.dumps(level))) is int
    seen = Keep()
    seen.setLevel(root.level)  # a framework copies it
    child = logging.getLogger("tests.copied")
    child.setLevel(logging.INFO)
    child.addHandler(seen)
    child.info("no")
    child.warning("yes")
    child.setLevel(root.level)
    child.info("not for the handler")
    child.removeHandler(seen)
    assert seen.seen == ["yes"]
    assert taken.messages == ["no", "yes", "not for the handler"]
    uninstall_bridge()
    assert not child.isEnabledFor(logging.INFO) and not root.isEnabledFor(logging.INFO)
    child.setLevel(logging.NOTSET)


def test_handle_calls_the_handlers_whatever_the_level(taken):
    """``Logger.handle`` calls the handlers whatever the level, as before."""
    seen = Keep()
    logging.getLogger().addHandler(seen)
    install_bridge(NOWHERE)
    record = logging.makeLogRecord({"msg": "handed", "levelno": 20, "levelname": "INFO"})
    logging.getLogger("tests.socket").handle(record)
    assert taken.messages == seen.seen == ["handed"]
