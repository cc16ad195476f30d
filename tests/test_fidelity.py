"""Records arrive whole: the same calls to a local sink and over the bridge, document by document."""

from __future__ import annotations

import asyncio
import collections
import datetime
import decimal
import enum
import functools
import json
import logging
import multiprocessing
import os
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from loguru_stdbridge import InterceptHandler, install_bridge, start_receiver
from loguru_stdbridge.sink.replay import default_format

TEXT_FORMAT = (
    "{time:YYYY-MM-DD HH:mm:ss.SSSSSS ZZ zz} | {elapsed} | {level: <8} {level.no} {level.icon} | "
    "{name}:{function}:{line} {file.path} {module} | {process.id} {process.name} {thread.id} "
    "{thread.name} | {extra} | {message}"
)


class Both:
    """A local sink and a receiver's, side by side; ``log`` runs calls into both and compares."""

    def __init__(self, directory: Path, **options):
        self.local, self.remote = directory / "local.log", directory / "remote.log"
        self.options = {"level": 0, **options}
        self.receiver = start_receiver(self.remote, address="tcp://127.0.0.1:0", **self.options)
        logger.remove()
        local = {"format": default_format(), **self.options}
        self.id = logger.add(self.local, catch=False, errors="backslashreplace", **local)
        self.bridge = install_bridge(self.receiver.address, level=0)

    def lines(self):
        """Return what both files hold after everything has arrived."""
        assert self.bridge.flush(20)
        return tuple(path.read_bytes().decode("utf-8") for path in (self.local, self.remote))

    def documents(self):
        """Return both files as lists of JSON documents."""
        return tuple(
            [json.loads(line) for line in text.split("\n") if line] for text in self.lines()
        )

    def close(self):
        self.bridge.close()
        logger.remove(self.id)
        self.receiver.stop()
        logger.add(sys.stderr)


@pytest.fixture(autouse=True)
def restored_loguru():
    """Leave loguru's own handlers and levels as they were."""
    core = logger._core
    handlers, levels = dict(core.handlers), dict(core.levels)
    lookup, codes = dict(core.levels_lookup), dict(core.levels_ansi_codes)
    minimum = core.min_level
    yield
    core.handlers, core.levels, core.min_level = handlers, levels, minimum
    core.levels_lookup, core.levels_ansi_codes = lookup, codes
    core.patcher = None


@pytest.fixture(params=["direct", "public"])
def way(request, monkeypatch):
    """Run the test by loguru's handler called directly, and by its public API only."""
    from loguru_stdbridge.sink import replay

    if request.param == "public":
        monkeypatch.setattr(replay.Replay, "_find_emit", lambda self, handler_id: None)
    return request.param


@pytest.fixture
def as_json(tmp_path, way):
    both = Both(tmp_path, serialize=True, format=TEXT_FORMAT)
    yield both
    both.close()


@pytest.fixture
def as_text(tmp_path, way):
    both = Both(tmp_path, format=TEXT_FORMAT)
    yield both
    both.close()


class Color(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    HIGH = 3


Point = collections.namedtuple("Point", "x y")


class BadStr(Exception):
    def __str__(self):
        raise RuntimeError("no str")


class BadRepr(Exception):
    def __repr__(self):
        raise RuntimeError("no repr")


def log_messages():
    """Log plain messages of every kind."""
    logger.info("plain")
    logger.info("")
    logger.info("braces {} {0} {name} {{}}")
    logger.info("formatted {} {name}", 1, name="x")
    logger.info("percent %s %d %%")
    logger.info("<red>markup</red> <level>x</level> \\<b>")
    logger.info("two\nlines\r\nand a tab\t")
    logger.info("NUL \0 escape \x1b[31m separator \u2028 next line \x85")
    logger.info("lone \ud83d surrogates \ude00\ud83d")
    logger.info("emoji 😀 é ü 漢字")
    logger.info("x" * 1_000_000)
    logger.info(12345)


def log_levels():
    """Log at every level, custom ones and numbers included."""
    for name in ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"):
        logger.log(name, "at {}", name)
    logger.level("NOTICE-ß", no=27, color="<yellow>", icon="☎")
    logger.log("NOTICE-ß", "custom")
    logger.log(35, "by number")
    logger.log(0, "at zero")


def log_options():
    """Log with bind, contextualize, opt, lazy and patch."""
    logger.bind(a=1, b="x").info("bound")
    with logger.contextualize(task=uuid.UUID(int=7)):
        logger.bind(more=[1, 2]).info("contextualized")
    logger.opt(lazy=True).info("lazy {}", lambda: "value")
    logger.opt(raw=True).info("raw text without an end")
    logger.opt(raw=True).info("\n")
    logger.opt(raw=True).info("")
    logger.opt(colors=True).info("<red>colored</red> {}", "<b>not</b>")
    logger.opt(depth=1).info("of the caller")
    logger.opt(colors=True, raw=True).info("<red>raw and colored</red>\n")
    logger.opt(colors=True).bind(x=1).info("<level>{}</level> <b>{}</b>", "<red>", 5)
    logger.opt(exception=True).info("an exception where there is none")
    logger.opt(lazy=True, record=True).info("{record[line]} {x}", x=lambda: [1, {}])
    logger.bind(**{"a key": 1, "": 2, "é\n": 3, "{}": 4}).info("odd keys")
    logger.level("INFO", icon="\N{SNOWMAN}")
    logger.info("with another icon")
    logger.opt(capture=False).info("not captured {x}", x=1)
    logger.opt(record=True).info("from {record[function]}")
    logger.patch(lambda r: r["extra"].update(patched=True)).info("patched extra")
    logger.patch(
        lambda r: r.update(name="other", function="f", line=5, module="m", message="patched")
    ).info("patched fields")


def log_extras():
    """Log values of every admitted type, and of none."""
    logger.bind(
        none=None, flag=True, big=10**100, ratio=0.1, inf=float("inf"), t=(1, (2,)), d={"x": {"y": ()}},
        when=datetime.datetime(2024, 1, 2, 3, 4, 5, 6), utc=datetime.datetime.now(datetime.timezone.utc),
        day=datetime.date(2024, 1, 2), gap=datetime.timedelta(1, 2, 3), price=decimal.Decimal("1.50"),
        id=uuid.UUID(int=9), raw=b"\0\xff", members={"a", "b", "c"}, frozen=frozenset([1]), z=1j,
        color=Color.RED, level=Level.HIGH, point=Point(1, 2), path=Path("/tmp"), error=ValueError("v"),
        counter=collections.Counter("aab"), ordered=collections.OrderedDict(b=1), numbers={1: 2, None: 3},
        kind=int, function=len, obj=Color,
    ).info("typed")  # fmt: skip


def fail(value):
    local = value
    return 1 / local


class LookalikeError(Exception):
    pass


def deeply(count):
    if not count:
        raise RecursionError("deep enough")
    deeply(count - 1)


def log_exceptions():
    """Log causes, contexts, notes, groups, syntax errors, and exceptions that do not print."""
    try:
        fail(0)
    except ZeroDivisionError:
        logger.exception("division")
        logger.opt(exception=True).bind(x=1).warning("with opt")
    try:
        try:
            fail(0)
        except ZeroDivisionError as error:
            raise KeyError("the cause") from error
    except KeyError:
        logger.exception("cause")
    try:
        try:
            fail(0)
        except ZeroDivisionError:
            raise OSError(2, "the context", "file")  # noqa: B904
    except OSError:
        logger.exception("context")
    try:
        compile("a b", "given.py", "exec")
    except SyntaxError:
        logger.exception("syntax")
    try:
        raise AssertionError
    except AssertionError:
        logger.exception("assertion without a text")
    try:
        value = 5
        assert value == 6
    except AssertionError:
        logger.exception("assertion")
    try:
        raise ValueError("two\nlines: and a colon\n")
    except ValueError as error:
        if hasattr(error, "add_note"):
            error.add_note("a note\nof two lines")
        logger.exception("noted")
    if sys.version_info >= (3, 11):
        try:
            raise ExceptionGroup("group", [ValueError(1), ExceptionGroup("inner", [TypeError(2)])])  # noqa: F821
        except ExceptionGroup:  # noqa: F821
            logger.exception("group")
    try:
        raise BadRepr("bad repr")
    except BadRepr:
        logger.exception("bad repr")
    logger.opt(exception=ValueError("never raised")).error("value only")
    try:
        fail(0)
    except ZeroDivisionError as error:
        given = sys.exc_info()
        kept = error
    logger.opt(exception=given).error("a tuple")
    logger.opt(exception=kept).error("an instance with its traceback")
    logger.opt(exception=(ValueError, ValueError("x"), None)).error("a tuple without a traceback")
    logger.opt(exception=(None, None, None)).error("a tuple of nothing")
    try:
        deeply(30)
    except RecursionError:
        logger.exception("a traceback with repeated lines")
    try:
        raise LookalikeError("two\n  File lines: x\nTraceback (most recent call last):\n")
    except LookalikeError:
        logger.exception("a value that looks like a traceback")
    try:
        raise type("Ünï", (Exception,), {"__module__": "other.module"})("odd names")
    except Exception:
        logger.exception("odd names")
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        logger.exception("no Exception")
    try:
        exec(compile("1/0", "<no such file>", "exec"))
    except ZeroDivisionError:
        logger.exception("a source that is not there")
    logger.exception("no exception at all")

    @logger.catch(reraise=False)
    def caught():
        fail(0)

    caught()
    with logger.catch(message="in a context"):
        fail(0)


def log_places():
    """Log from threads and processes with odd names."""
    thread = threading.Thread(
        target=lambda: logger.info("in a thread"), name="odd {} <red> \n name"
    )
    thread.start()
    thread.join()
    process = multiprocessing.current_process()
    name = process.name
    process.name = "process ß {x}"
    try:
        logger.info("in a process")
    finally:
        process.name = name


def log_zones():
    """Log at times of other zones and at a change of the clocks."""
    before = os.environ.get("TZ")
    try:
        for zone in ("Asia/Kolkata", "Europe/Paris", "America/St_Johns", "UTC", "XYZ-3:17"):
            os.environ["TZ"] = zone
            time.tzset()
            logger.info("in {}", zone)
    finally:
        os.environ.pop("TZ") if before is None else os.environ.update(TZ=before)
        time.tzset()
    for fold in (0, 1):
        paris = datetime.timezone(datetime.timedelta(hours=2 - fold), ["CEST", "CET"][fold])

        def turn(record, paris=paris):
            kind = type(record["time"])
            record["time"] = kind(2024, 10, 27, 2, 30, 0, 123456, tzinfo=paris)

        logger.patch(turn).info("when the clocks change")


ALL = [
    log_messages, log_levels, log_options, log_extras, log_exceptions, log_places, log_zones
]  # fmt: skip


@pytest.mark.parametrize("calls", ALL, ids=lambda calls: calls.__name__)
def test_the_json_documents_are_equal(as_json, calls):
    """Every field of every document of a serialize=True sink is as it is locally."""
    calls()
    local, remote = as_json.documents()
    assert local
    for ours, theirs in zip(remote, local):
        assert ours == theirs
    assert len(remote) == len(local)


@pytest.mark.parametrize("calls", ALL, ids=lambda calls: calls.__name__)
def test_the_text_files_are_equal(as_text, calls):
    """The file of a text format, tracebacks included, is equal to the local one to the byte."""
    calls()
    local, remote = as_text.lines()
    assert remote == local


def test_an_exception_whose_str_raises_arrives(as_text):
    """An exception whose str raises arrives, where a local serialize=True sink fails; the text is equal."""
    try:
        raise BadStr
    except BadStr:
        logger.exception("bad str")
    local, remote = as_text.lines()
    assert remote == local
    assert "bad str" in remote


_json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(
        st.characters(blacklist_categories=())
    ) | st.binary(max_size=20) | st.datetimes() | st.decimals(allow_nan=False) | st.uuids(),
    lambda inner: st.lists(inner, max_size=5) | st.tuples(inner, inner)
    | st.dictionaries(st.text(), inner, max_size=5)
    | st.dictionaries(st.integers() | st.none() | st.booleans(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(extra=st.dictionaries(st.text(st.characters(blacklist_categories=())), _json_values))
def test_generated_extra_arrives_equal(as_json, extra):
    """Generated ``extra`` of any nesting is the same in both documents."""
    logger.configure(patcher=lambda record: record["extra"].update(extra))
    logger.info("generated")
    logger.configure(patcher=None)
    local, remote = as_json.documents()
    assert remote[-1] == local[-1]


# -- stdlib records


@pytest.fixture
def remote(tmp_path, way):
    """Return a receiver with serialize=True and a bridge; calling it gives the documents so far."""
    receiver = start_receiver(
        tmp_path / "remote.log", address="tcp://127.0.0.1:0", serialize=True, level=0
    )
    bridge = install_bridge(receiver.address, level=0)

    def documents():
        assert bridge.flush(20)
        lines = (tmp_path / "remote.log").read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line]

    documents.bridge = bridge
    yield documents
    bridge.close()
    receiver.stop()


def test_a_stdlib_record_lands_in_the_fields_of_loguru(remote):
    """A stdlib record's name, level, place, time, process, thread and extra land in their fields."""
    before = time.time()
    logging.getLogger("app.sub").warning("hello %s", "you", extra={"user": 5}, stack_info=True)
    (document,) = remote()
    record = document["record"]
    assert record["name"] == "app.sub"
    assert record["message"] == f"hello you\n{record['extra']['stack_info']}"
    assert record["level"] == {"icon": "⚠️", "name": "WARNING", "no": 30}
    assert record["function"] == "test_a_stdlib_record_lands_in_the_fields_of_loguru"
    assert record["file"] == {"name": Path(__file__).name, "path": __file__}
    assert record["module"] == "test_fidelity"
    assert record["line"] > 1
    assert before <= record["time"]["timestamp"] <= time.time()
    assert record["process"] == {"id": os.getpid(), "name": "MainProcess"}
    assert record["thread"] == {"id": threading.get_ident(), "name": "MainThread"}
    assert record["extra"]["user"] == 5
    assert record["extra"]["stack_info"].startswith("Stack (most recent call last):")
    assert record["exception"] is None


def test_a_stdlib_exception_arrives(remote):
    """A stdlib exception arrives with its type, its value and logging's own traceback text."""
    try:
        fail(0)
    except ZeroDivisionError:
        logging.getLogger("app").exception("failed")
    (document,) = remote()
    exception = document["record"]["exception"]
    assert exception == {
        "type": "ZeroDivisionError",
        "value": "division by zero",
        "traceback": True,
    }
    assert "Traceback (most recent call last):\n" in document["text"]
    assert document["text"].endswith("ZeroDivisionError: division by zero\n")


def exc_infos():
    """Return everything that may be given as ``exc_info``, by name."""
    try:
        fail(0)
    except ZeroDivisionError as error:
        kept, given = error, sys.exc_info()
    return {
        "an instance": kept, "a tuple": given, "one never raised": ValueError("never raised"),
        "a tuple of nothing": (None, None, None), "true without an exception": True,
    }  # fmt: skip


@pytest.mark.parametrize("name", exc_infos())
def test_exc_info_of_every_kind_arrives_as_logging_shows_it(tmp_path, way, name):
    """An ``exc_info`` of any kind arrives as the text that logging's own formatter makes."""
    exc_info = exc_infos()[name]
    local = logging.FileHandler(tmp_path / "local.log", encoding="utf-8")
    local.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("kinds")
    log.addHandler(local)
    try:
        with start_receiver(
            tmp_path / "remote.log", address="tcp://127.0.0.1:0", format="{message}"
        ) as receiver:
            with install_bridge(receiver.address, loguru=False) as bridge:
                log.error("failed", exc_info=exc_info)
                log.error("after")
                assert bridge.flush(20)
    finally:
        log.removeHandler(local)
        local.close()
    assert (tmp_path / "remote.log").read_text() == (tmp_path / "local.log").read_text()


def test_threads_and_processes_with_odd_names_arrive(remote):
    """Odd names of threads and processes arrive as logging knew them."""
    name = "odd {} %s <red> \n é \ud83d"
    thread = threading.Thread(target=lambda: logging.getLogger("app").info("there"), name=name)
    thread.start()
    thread.join()
    (document,) = remote()
    assert document["record"]["thread"]["name"] == name


def test_what_a_logger_adapter_and_a_filter_add_arrives(remote):
    """The ``extra`` of an adapter and the attributes that a filter sets arrive."""

    def add(record):
        record.request = {"id": 5}
        return True

    log = logging.getLogger("adapted")
    log.addFilter(add)
    try:
        logging.LoggerAdapter(log, {"user": "me"}).warning("hello %s", "you")
    finally:
        log.removeFilter(add)
    (document,) = remote()
    assert document["record"]["extra"] == {"user": "me", "request": {"id": 5}}


def test_a_custom_level_of_logging_arrives(remote):
    """A level that loguru does not know keeps its name and number."""
    logging.addLevelName(33, "NOTICE")
    logging.getLogger("app").log(33, "custom")
    logging.getLogger("app").log(7, "unnamed")
    levels = [document["record"]["level"] for document in remote()]
    assert levels == [
        {"icon": " ", "name": "NOTICE", "no": 33},
        {"icon": " ", "name": "Level 7", "no": 7},
    ]


@pytest.mark.parametrize(
    ("message", "arguments"), [("%d items", ("x",)), ("%s %s", (1,)), ("a", (1,))]
)
def test_a_message_that_cannot_be_formatted_arrives_as_its_parts(remote, message, arguments):
    """A message that cannot be formatted arrives as its parts; logging would lose the record."""
    logging.getLogger("app").info(message, *arguments)
    (document,) = remote()
    assert document["record"]["message"] == f"{message} % {arguments!r}"


def test_the_name_of_an_asyncio_task_arrives(remote):
    """The name of an asyncio task, which Python 3.12 brought, arrives in ``extra``."""

    async def main():
        logging.getLogger("app").info("in a task")

    asyncio.run(main())
    (document,) = [d for d in remote() if d["record"]["name"] == "app"]
    task = logging.makeLogRecord({}).__dict__.get("taskName", "absent")
    if task != "absent":
        assert document["record"]["extra"]["taskName"].startswith("Task-")
    assert document["record"]["message"] == "in a task"


def test_the_intercept_handler_keeps_what_logging_knew(tmp_path, way):
    """InterceptHandler keeps logging's name, place, extra, stack and exception."""
    seen = []
    handler_id = logger.add(lambda message: seen.append(message.record), level=0)
    handler = InterceptHandler()
    log = logging.getLogger("hub.test")
    log.addHandler(handler)
    log.propagate = False
    log.setLevel(0)
    try:
        logging.addLevelName(33, "NOTICE")
        log.log(33, "brace {} %s", "x", extra={"user": 5}, stack_info=True)
        try:
            fail(0)
        except ZeroDivisionError:
            log.exception("failed")
    finally:
        log.removeHandler(handler)
        log.propagate = True
        logger.remove(handler_id)
    first, second = seen
    assert first["name"] == "hub.test"
    assert first["message"] == f"brace {{}} x\n{first['extra']['stack_info']}"
    assert first["level"].no == 33
    assert first["function"] == "test_the_intercept_handler_keeps_what_logging_knew"
    assert first["file"].path == __file__
    assert first["line"] > 1
    assert first["extra"]["user"] == 5
    assert first["extra"]["stack_info"].startswith("Stack")
    assert second["exception"].type is ZeroDivisionError


# -- odd values


class Broken:
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


class Request:
    """A request like Django's: attributes of all kinds and a repr of its own."""

    def __init__(self):
        self.META = {"wsgi.input": sys.stdin, "lock": threading.Lock()}
        self.user = self

    def __repr__(self):
        return "<WSGIRequest: GET '/'>"


def odd_values():
    recursive = {}
    recursive["self"] = recursive
    return {
        "lock": threading.Lock(), "generator": (i for i in ()), "instance": object(),
        "recursive": recursive, "huge": "x" * 10_000_000, "broken": Broken(), "request": Request(),
        "module": os, "method": "".join, "nan": float("nan"), "many": list(range(100_000)),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["extra", "args", "attribute", "loguru args"])
def test_a_record_with_odd_values_always_arrives(remote, kind):
    """A record with an odd value arrives, and the value as a bounded text."""
    log = logging.getLogger("odd")
    values = odd_values()
    for name, value in values.items():
        if kind == "extra":
            logger.bind(odd=value).info("with {}", name)
        elif kind == "attribute":
            log.info("with %s", name, extra={"odd": value})
        elif kind == "args":
            log.info("with %s: %s", name, value)
        elif name != "broken":  # loguru itself formats, and raises, before any sink sees it
            logger.info("with " + name + ": {}", value)
    documents = remote()
    names = [document["record"]["message"] for document in documents]
    expected = [name for name in values if kind != "loguru args" or name != "broken"]
    assert len(names) == len(expected)
    for name, message in zip(expected, names):
        assert name in message or "%s" in message
    assert max(len(json.dumps(document)) for document in documents) < 30_000_000


def test_a_socket_and_an_open_file_in_extra_arrive(remote, tmp_path):
    """A socket and an open file in ``extra`` arrive as their texts."""
    import socket

    with socket.socket() as sock, open(tmp_path / "file", "w") as file:
        logger.bind(sock=sock, file=file).info("open")
        (document,) = remote()
        assert document["record"]["extra"] == {"sock": str(sock), "file": str(file)}


class HexBytes(bytes):
    pass


HUGE = {
    "datetimes": [datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)] * 5_000,
    "identifiers": [uuid.UUID(int=5)] * 5_000,
    "decimals": [decimal.Decimal("1.5")] * 5_000,
    "bytes of a class": [HexBytes(b"ab")] * 5_000,
    "enum members": [Level.HIGH] * 5_000,
    "points": [Point(1, 2)] * 5_000,
    "empty points": [collections.namedtuple("Empty", "")()] * 5_000,
    "keys": {HexBytes(b"%d" % number): HexBytes(b"x") for number in range(2_500)},
    "floats": [1e-300] * 5_000,
    "lists": [[]] * 5_000,
    "large integers": [1 << 8000] * 2_500,
    "texts": ["\0" * 1000] * 2_000,
    "emoji and escapes": ["\x7f" * 1_000_000, "\U0001f600"],
    "surrogates": "\ud83d" * 1_000_000,
    "depth": functools.reduce(lambda inner, _: Point(inner, {1: inner}), range(8), 1),
}  # fmt: skip


@pytest.mark.parametrize("way", ["direct"], indirect=True)  # it is the size that counts
@pytest.mark.parametrize("when", ["first", "later"])
def test_a_record_of_any_size_is_taken_and_holds_up_none_behind_it(remote, when):
    """A record of any size is taken by the receiver, and those behind it arrive."""
    bridge = remote.bridge
    if when == "later":
        logger.info("begin")
        assert bridge.flush(30)
    for name, value in HUGE.items():
        logger.bind(odd=value).info(name)
        if when == "first":
            assert bridge.flush(60), name
            bridge._channel.close(10)  # the next one is the first of a new journal
            continue
        logging.getLogger("std").info("%s", name, extra={"odd": value})
        logger.patch(lambda record, v=value: record.update(own=v)).bind(odd=value).info(
            "own " + name
        )
        for _ in range(20):  # small ones around a large one
            logger.bind(odd=[[], [], []]).info("between")
    documents = remote()
    found = [
        d["record"]["message"]
        for d in documents
        if d["record"]["message"] not in ("begin", "between")
    ]
    each = (lambda name: [name]) if when == "first" else (lambda name: [name, name, "own " + name])
    assert found == [text for name in HUGE for text in each(name)]
    assert bridge.stats().dropped == {}


@pytest.mark.parametrize("size", [200_000, 3_000_000])
def test_a_line_of_any_size_and_kind_arrives(tmp_path, size):
    """A line of any size, rendered in the worker, arrives as a whole line."""
    texts = ["\ud83d", "\x7f", "\0", '"', "漢", "[{,", "7", "\\"]
    with start_receiver(
        tmp_path / "r.log", address="tcp://127.0.0.1:0", format="{message}"
    ) as receiver:
        with install_bridge(receiver.address, stdlib=False) as bridge:
            for text in texts:
                logger.info(text * size)
                assert bridge.flush(60), text
    lines = (tmp_path / "r.log").read_bytes().split(b"\n")[:-1]
    assert len(lines) == len(texts)
    for text, line in zip(texts, lines):
        escaped = (text * size).encode("utf-8", "backslashreplace")
        assert line == escaped or (line[:500] == escaped[:500] and len(escaped) > 1_000_000)


def test_a_patcher_that_bends_the_record_loses_nothing(remote):
    """A record with new fields, or fields of impossible types, arrives."""

    def bend(record):
        record.update(
            level=None, time="now", file=5, process=None, message=object(), new=[object()]
        )

    logger.patch(bend).info("bent")
    logger.patch(lambda record: record.update(extra=None)).info("no extra")
    logger.patch(lambda record: record.update(own="field")).info("own")
    assert len(remote()) >= 1
    assert [d["record"]["message"] for d in remote()][-1] == "own"


def test_a_format_that_a_record_fails_does_not_lose_it(tmp_path, way):
    """``{extra[user]}`` is empty for a record without one; a format that never works is replaced."""
    receiver = start_receiver(
        tmp_path / "r.log", address="tcp://127.0.0.1:0", format="{extra[user]}|{message}"
    )
    hopeless = start_receiver(
        tmp_path / "h.log", address="tcp://127.0.0.1:0", format="{nothing}|{message}"
    )
    for target in (receiver, hopeless):
        with install_bridge(target.address, stdlib=False) as bridge:
            logger.bind(user="me").info("one")
            logger.info("two")
            assert bridge.flush(20)
        target.stop()
    assert (tmp_path / "r.log").read_text() == "me|one\n|two\n"
    lines = (tmp_path / "h.log").read_text().splitlines()
    assert [line.rpartition(" - ")[2] for line in lines] == ["one", "two"]
