"""A row becomes the very text that loguru would have written in the worker."""

from __future__ import annotations

import contextlib
import datetime
import inspect
import json
import logging
import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from loguru_stdbridge import ConfigurationError
from loguru_stdbridge.record.bounded_json import decode_json
from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.record.row import Row, read_row
from loguru_stdbridge.record.sink_needs import TRACEBACKS
from loguru_stdbridge.record.stock import row_of_stock_fields
from loguru_stdbridge.sink import replay as replay_module
from loguru_stdbridge.sink.replay import DEFAULT_FORMAT, MAX_COLORS, Replay, default_format
from loguru_stdbridge.worker.far_sinks import FarSinks
from loguru_stdbridge.worker.levels import level_styles
from loguru_stdbridge.worker.loguru_sink import BridgeSink
from tests.support.parameters import name_of

pytestmark = pytest.mark.usefixtures("fast_handlers")


@pytest.fixture(params=["direct", "public"])
def direct(request):
    """Both ways: the handler's own ``emit``, and loguru's public interface."""
    return request.param == "direct"


@pytest.fixture(autouse=True)
def restored_loguru():
    """Give loguru its handlers and levels back after the test."""
    core = logger._core
    saved = (core.handlers, core.levels, core.levels_lookup, core.levels_ansi_codes, core.min_level)
    core.handlers, core.levels = {}, dict(core.levels)
    core.levels_lookup, core.levels_ansi_codes = (
        dict(core.levels_lookup),
        dict(core.levels_ansi_codes),
    )
    yield
    core.handlers, core.levels, core.levels_lookup, core.levels_ansi_codes, core.min_level = saved


class Channel:
    """Keeps the rows that a worker's sink makes."""

    address, closed = "tcp://127.0.0.1:1", False

    def __init__(self):
        self.far_sinks = FarSinks()
        self.rows = []

    def is_inside(self):
        return False

    def emit(self, row):
        self.rows.append(read_row(decode_json(row)))


def both(direct, calls, **options):
    """Return what a local sink writes for some calls, and the texts of their rows."""
    local, channel = [], Channel()
    sink = BridgeSink(channel).add_to_loguru(0)
    handler = logger.add(local.append, catch=False, **{"format": default_format(), **options})
    try:
        calls()
    finally:
        logger.remove(sink)
        logger.remove(handler)
    replay = Replay(direct=direct, **options)
    assert replay.direct == direct
    texts = [replay.render_text(row) for row in channel.rows]
    assert texts == [replay.render(row).text for row in channel.rows]
    return "".join(local), "".join(texts)


def log():
    """Log calls of every kind."""
    logger.info("plain")
    logger.debug("braces {} {0} <red>markup</red> %s")
    logger.bind(user="me", n=1).success("bound {}", 1)
    logger.log(35, "by number")
    logger.level("NOTICE-ß", no=27, color="<yellow><bold>", icon="☎")
    logger.log("NOTICE-ß", "custom")
    logger.opt(raw=True).warning("raw\n")
    logger.opt(lazy=True).error("lazy {}", lambda: "value")
    logger.patch(lambda record: record["extra"].update(patched=(1, "x"))).critical("two\nlines")
    logger.patch(lambda record: record.update(name=None)).info("no name")


def fail():
    local = "value"
    return 1 / len(local[:0])


def log_exceptions():
    """Log tracebacks."""
    try:
        fail()
    except ZeroDivisionError:
        logger.exception("failed")
        logger.opt(exception=True).bind(user="you").info("once more")
    logger.opt(exception=ValueError("never raised")).error("value only")


def by_level(record):
    record["extra"].setdefault("own", "default")
    return (
        "{level}|{extra[own]}|{message}\n"
        if record["level"].no < 30
        else "{level.no}!{message}\n{exception}"
    )


def constant(record):
    return "no newline {message};"


def colored(record):
    return "<level>{level}</level> <cyan>{name}</cyan> {message}\n"


def seldom(record):
    return "a" in record["message"] and record["level"].no >= 20


FULL = (
    "{time:YYYY-MM-DD HH:mm:ss.SSSSSS ZZ} {elapsed} {level.no}{level.icon} {name} {file.path} {function} "
    "{line} {module} {process.id} {process.name} {thread.id} {thread.name} {extra} {message}"
)
OPTIONS = [
    {}, {"format": FULL}, {"format": "{message}"}, {"format": "{level: >12}|{message!r}|{extra[user]}"},
    {"format": by_level}, {"format": constant}, {"format": ""},
    {"level": "WARNING"}, {"level": 25}, {"level": 0},
    {"filter": seldom}, {"filter": __name__}, {"filter": ""}, {"filter": {"": "ERROR", __name__: "INFO"}},
    {"filter": {__name__: False}}, {"filter": "other"},
    {"serialize": True}, {"serialize": True, "format": FULL}, {"serialize": True, "format": constant},
    {"serialize": True, "level": 30, "filter": seldom},
]  # fmt: skip
COLORED = [
    {"colorize": True}, {"colorize": True, "format": "<level>{message}</level>"},
    {"colorize": True, "format": colored}, {"colorize": True, "level": 25},
    {"colorize": True, "serialize": True, "format": "<level>{level}</level> {message}"},
]  # fmt: skip


@pytest.mark.parametrize("options", [*OPTIONS, *COLORED], ids=name_of)
def test_every_option_writes_what_a_local_sink_writes(direct, options):
    """Every option gives the text of a local sink, to the byte."""
    if "user" in str(options.get("format")):

        def calls():
            with logger.contextualize(user="somebody"):
                log()

    else:
        calls = log
    local, remote = both(direct, calls, **options)
    assert remote == local
    assert bool(local) == (options != {"filter": "other"})


@pytest.mark.parametrize(
    "options",
    [{}, {"format": FULL}, {"format": by_level}, {"serialize": True}, {"level": 40}],
    ids=name_of,
)
def test_tracebacks_are_those_of_a_local_sink(direct, options):
    """A traceback has the variables and frames that loguru shows in the worker."""
    local, remote = both(direct, log_exceptions, **options)
    assert remote == local
    assert "ZeroDivisionError" in remote


@pytest.mark.parametrize(
    "template", ["<level>{level}</level> {message}", colored], ids=["text", "function"]
)
def test_levels_keep_the_colours_that_they_have_in_the_worker(direct, template):
    """A level keeps its worker's colour, also where two workers give its name two colours."""
    rows, local = [], []
    for color in ("<red>", "<blue><bold>", "", "<fg #ff0000>", "<fg 42>"):

        def calls(color=color):
            logger.level("INFO", color=color)
            logger.info("painted anew")
            with contextlib.suppress(ValueError, TypeError):
                logger.level("NOTICE", no=27)
            logger.level("NOTICE", color=color)
            logger.log("NOTICE", "custom")

        channel = Channel()
        sink = BridgeSink(channel).add_to_loguru(0)
        handler = logger.add(local.append, colorize=True, format=template)
        calls()
        logger.remove(sink)
        logger.remove(handler)
        rows += channel.rows
    replay = Replay(direct=direct, colorize=True, format=template)
    assert "".join(replay.render_text(row) for row in rows) == "".join(local)


def test_the_default_format_names_the_process(direct):
    """Without a format a line has the id of the process that logged it, behind the level."""
    text = Replay(direct=direct).render_text(stock(process=4711, levelname="INFO", levelno=20))
    assert " | INFO     | 4711 | " in text
    assert Replay(direct=direct).line_format.format == DEFAULT_FORMAT


def test_loguru_s_own_variable_says_the_default_format(direct, monkeypatch):
    """``LOGURU_FORMAT`` is the format of a sink for which none is given, as in loguru."""
    monkeypatch.setenv("LOGURU_FORMAT", "by the variable: {message}")
    assert Replay(direct=direct).render_text(stock()) == "by the variable: message\n"
    assert Replay(direct=direct, format="{level}").render_text(stock(levelname="INFO")) == "INFO\n"


def test_the_record_s_level_decides_whatever_its_name_is_worth_elsewhere(direct):
    """A record's own level number decides, whatever another worker gives its level's name."""
    replay = Replay(direct=direct, colorize=True, level=30, format="{level}{level.no}")
    rows = [stock(levelname="NOTICE", levelno=number) for number in (27, 33, 27, 33)]
    assert [replay.render_text(row) for row in rows] == ["", "NOTICE33\n", "", "NOTICE33\n"]
    assert replay.render_text(stock(levelname="DEBUG", levelno=40)) == "DEBUG40\n"


def stock(**fields):
    """Make the row of a stock client's record."""
    return row_of_stock_fields(
        {"msg": "message", "levelno": 20, "levelname": "INFO", **fields}, 1e9
    )


def test_colours_are_bounded(direct):
    """A colour beyond the bound makes a plain line, since loguru keeps each colour for good."""
    replay = Replay(direct=direct, colorize=True, format="<level>{message}</level>")
    texts = set()
    for number in range(MAX_COLORS * 2):
        row = stock()._replace(level_name=f"L{number}", level_color=f"<fg {number}>")
        texts.add(replay.render_text(row))
    assert len(texts) == MAX_COLORS + 1
    assert "message\n" in {re.sub(r"\x1b\[[\d;]*m", "", text) for text in texts}
    names = {replay.render_text(stock(levelname=f"name {number}")) for number in range(500)}
    assert len(names) == 1


@pytest.mark.parametrize(
    "color", ["<no such>", "red", "<red>{message}", "<" * 100, "<fg 999>", "\ud83d"]
)
def test_a_colour_that_is_none_costs_no_line(direct, color):
    """A colour that is none is left out or shown as text, as in loguru, and the line is written."""
    replay = Replay(direct=direct, colorize=True, format="<level>{message}</level>")
    text = replay.render_text(stock()._replace(level_color=color, level_name="X"))
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert plain == ("<no such>message\n" if color == "<no such>" else "message\n")


def test_a_level_without_an_icon_has_the_one_that_is_known(direct):
    """A stock client's level has the icon that loguru knows for its name."""
    replay = Replay(direct=direct, format="{level.icon}")
    assert replay.render_text(stock(levelname="ERROR")) == "❌\n"
    assert replay.render_text(stock(levelname="UNHEARD OF")) == " \n"


def test_a_stdlib_record_reads_as_a_local_one(direct):
    """A record of logging's reads as a local one, traceback included."""
    try:
        fail()
    except ZeroDivisionError as error:
        record = logging.LogRecord("app", 40, "/file.py", 7, "hello %s", ("you",), None, "main")
        record.exc_info = (type(error), error, error.__traceback__)
    row = read_row(decode_json(encode_logrecord(record, level_styles)))
    text = Replay(direct=direct, format="{level}:{name}:{function}:{line} {message}").render_text(
        row
    )
    head, _, traceback = text.partition("\n")
    assert head == "ERROR:app:main:7 hello you"
    assert traceback == f"{logging.Formatter().formatException(record.exc_info)}\n"


# -- what fails on a record


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{extra[user]}|{message}", "|message\n"),
        ("{extra[known]}|{extra[user]}|{message}", "yes||message\n"),
        ("{message.nothing}", None), ("{extra[known][deep]}", None), ("{extra.nothing}", None),
        ("{nothing}", None), ("{message:d}", None), ("{0}", None), ("{extra[user]:>5}|", "     |\n"),
    ],
)  # fmt: skip
def test_a_format_that_fails_on_a_record_does_not_lose_it(direct, template, expected):
    """A format that fails on a record does not lose the record."""
    row = stock(known="yes", exc_text="Traceback (most recent call last):\nValueError: v")
    text = Replay(direct=direct, format=template).render_text(row)
    if expected is None:
        first, _, rest = text.partition("\n")
        assert first.endswith(" - message") and "| INFO |" in first
        assert rest == "Traceback (most recent call last):\nValueError: v\n"
    else:
        assert text == expected + "Traceback (most recent call last):\nValueError: v\n"


def raises(record):
    raise KeyError("a function of the user's")


@pytest.mark.parametrize(
    "options",
    [{"format": raises}, {"filter": raises}, {"format": lambda record: None}],
    ids=["format", "filter", "none"],
)
def test_a_function_that_raises_does_not_lose_the_record(direct, options):
    """A format or a filter that raises does not lose the record."""
    assert Replay(direct=direct, **options).render_text(stock()).endswith(" - message\n")


def test_a_document_that_json_cannot_hold_is_written_in_part(direct):
    """Keys in ``extra`` that JSON lacks become text, and the record is written."""
    replay = Replay(direct=direct, serialize=True)
    top = json.loads(replay.render_text(stock()._replace(extra={(1, 2): "x", "a": 1})))
    assert top["record"]["extra"] == {"(1, 2)": "x", "a": 1}
    deep = json.loads(replay.render_text(stock()._replace(extra={"a": {(1, 2): "x"}})))
    assert "(1, 2)" in deep["record"]["extra"]["unprintable"]
    assert deep["record"]["message"] == "message"


@pytest.mark.parametrize("seconds", [1e300, -1e300, float("nan"), float("inf"), -1e11])
def test_a_time_that_no_calendar_has_is_now(direct, seconds):
    """A record whose time no calendar has is written with the present time."""
    record = Replay(direct=direct).render(stock()._replace(time=seconds, elapsed=seconds)).record
    assert abs(record["time"].timestamp() - datetime.datetime.now().timestamp()) < 60
    assert isinstance(record["elapsed"], datetime.timedelta)


_numbers = st.integers(-(2**70), 2**70)
_floats = st.floats() | st.integers(-(2**53), 2**53)
_texts = st.text(st.characters(), max_size=20)
_rows = st.builds(
    Row, flags=st.integers(0, 3), time=_floats, offset=_floats, zone=st.none() | _texts, elapsed=_floats,
    level_no=_numbers, level_name=_texts, level_icon=_texts, level_color=st.none() | _texts, message=_texts,
    name=st.none() | _texts, function=_texts, line=_numbers, file_name=_texts, file_path=_texts,
    module=_texts, process_id=_numbers, process_name=_texts, thread_id=_numbers, thread_name=_texts,
    exception=st.none() | st.lists(
        st.none() | _texts | st.booleans() | _numbers
        | st.dictionaries(st.sampled_from(TRACEBACKS), _texts | _numbers), max_size=7),
    extra=st.dictionaries(_texts, st.none() | _texts | _numbers | st.tuples(_texts)),
    more=st.none() | st.dictionaries(_texts, _texts),
    colors=st.none() | st.lists(st.none() | st.booleans() | st.integers(-2, 25) | _texts
                                | st.sampled_from(["31", "38;5;1", "31m\n"])),
)  # fmt: skip
WAYS = [
    {"level": 0}, {"level": 0, "serialize": True}, {"level": 0, "format": FULL, "colorize": True},
    {"level": 0, "format": by_level},
]  # fmt: skip


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(row=_rows)
def test_any_row_is_rendered(replays, row):
    """No row, whatever a peer claims in it, makes rendering fail or its text disappear."""
    for replay in replays:
        text, record = replay.render(row)
        assert record["message"] == row.message
        assert not text if row.level_no < 0 else text or (row.flags & 1 and not row.message)


@pytest.fixture
def replays(direct):
    return [Replay(direct=direct, **options) for options in WAYS]


# -- the options, and the way


@pytest.mark.parametrize("name", ["backtrace", "diagnose", "enqueue", "catch", "context", "loop"])
def test_words_that_mean_nothing_here_are_refused(name):
    """An option of the worker's or of the receiver's own is refused, with whose it is."""
    with pytest.raises(ConfigurationError, match=f"{name}=True.*(worker|receiver)"):
        Replay(**{name: True})


@pytest.mark.parametrize(
    "options",
    [{"level": "NONE"}, {"format": 5}, {"filter": 5}, {"format": "<red>"}, {"nothing": 1}],
    ids=name_of,
)
def test_values_that_loguru_cannot_use_are_refused(options):
    """A value that loguru cannot use is refused, and shown."""
    (value,) = options.values()
    with pytest.raises(ConfigurationError, match=re.escape(repr(value))):
        Replay(**options)


def test_a_loguru_with_another_handler_is_used_publicly(monkeypatch):
    """A loguru with another handler is used through its public interface."""
    monkeypatch.setattr(replay_module, "_EMIT_PARAMETERS", ("record", "something new"))
    replay = Replay(format="{message}")
    assert not replay.direct
    assert replay.render_text(stock()) == "message\n"
    with pytest.raises(ConfigurationError, match="direct"):
        Replay(direct=True)


def test_a_handler_that_renders_otherwise_than_the_public_way_is_not_used(monkeypatch):
    """A handler whose ``emit`` renders otherwise than the public way is not called directly."""
    import _loguru_of_stdbridge._handler as private

    emit = private.Handler.emit

    def shout(self, record, level_id, from_decorator, is_raw, colored_message):
        if record["message"]:
            record = {**record, "message": record["message"].upper()}
        emit(self, record, level_id, from_decorator, is_raw, colored_message)

    monkeypatch.setattr(private.Handler, "emit", shout)
    replay = Replay(format="{message}", direct=None)
    calls = []
    monkeypatch.setattr(private.Handler, "emit", emit)
    assert replay.direct  # both ways shout alike
    monkeypatch.setattr(
        replay_module.Replay, "_emit_publicly", lambda self, record, *rest: calls.append(record)
    )
    assert not Replay(format="{message}").direct
    assert calls


def test_the_application_s_loguru_is_not_touched(direct):
    """Rendering makes no handler, level or message in the application's loguru."""
    seen = []
    handler = logger.add(seen.append, level=0)
    before = (dict(logger._core.levels), set(logger._core.handlers))
    replay = Replay(direct=direct, colorize=True)
    replay.render(stock()._replace(level_name="OTHER", level_color="<red>"))
    assert (dict(logger._core.levels), set(logger._core.handlers)) == before
    logger.remove(handler)
    assert seen == []
    assert replay.render_text(stock())


@pytest.mark.parametrize(
    ("options", "short"),
    [
        ({}, True), ({"format": "{extra} {message}"}, True), ({"level": 45}, True),
        ({"format": by_level}, False), ({"serialize": True}, False), ({"colorize": True}, False),
        ({"filter": seldom}, False),
    ],
    ids=name_of,
)  # fmt: skip
def test_a_format_string_alone_is_filled_in_the_short_way(options, short):
    """The short way is for a format string alone, and needs the direct way."""
    assert (Replay(**options)._short_way is not None) is short
    assert Replay(direct=False, **options)._short_way is None


def test_a_handler_that_does_more_than_fill_in_its_string_is_asked(monkeypatch):
    """A handler that does more than fill in its string is not replaced by the short way."""
    (handler,) = Replay()._logger._core.handlers.values()
    emit = type(handler).emit

    def embellished(self, record, *others):
        emit(self, {**record, "message": f"* {record['message']}"}, *others)

    embellished.__signature__ = inspect.signature(emit)
    monkeypatch.setattr(type(handler), "emit", embellished)
    replay = Replay(format="{message}", level=0)
    assert replay._short_way is None
    row = read_row(decode_json(encode_logrecord(logging.makeLogRecord({"msg": "x"}), level_styles)))
    assert replay.render_text(row) == "* x\n"
