"""A record that is taken before loguru's handler gives the row that loguru's handler would give."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loguru import logger

from loguru_stdbridge import install_bridge, start_receiver
from loguru_stdbridge.record.line_format import make_line_format
from loguru_stdbridge.record.row import RENDERED_LENGTH
from loguru_stdbridge.worker import kept_handlers
from loguru_stdbridge.worker.direct_handler import DirectHandler, stand_before
from loguru_stdbridge.worker.far_sinks import FarSinks
from loguru_stdbridge.worker.loguru_sink import BridgeSink
from loguru_stdbridge.worker.rendering import LineRenderer


class RowsChannel:
    """A channel that keeps the rows."""

    address = "tcp://127.0.0.1:1"
    closed = False

    def __init__(self, template):
        self.rows = []
        renderer = template and LineRenderer(make_line_format(template, 10))
        self.far_sinks = FarSinks(renderer)

    def emit(self, row):
        self.rows.append(row)

    def is_inside(self):
        return False


texts = st.sampled_from(["plain", "{}", "<red>x</red>", "{{}}", "%s", "\ud800", ""])
calls = st.fixed_dictionaries(
    {
        "message": texts,
        "level": st.sampled_from(["INFO", "DEBUG", 5, 15, "ERROR"]),
        "raw": st.booleans(),
        "colors": st.booleans(),
        "lazy": st.booleans(),
        "exception": st.booleans(),
        "extra": st.sampled_from([{}, {"user": "x"}, {"user": object}, {"a": [1, (2,)]}]),
        "patch": st.sampled_from(
            [{}, {"message": "y"}, {"line": None}, {"time": "noon"}, {"more": 1}, {"level": None}]
        ),
    }
)


def log(call):
    """Make one log call; loguru refuses some, and tells on stderr of others."""
    opened = logger.opt(
        raw=call["raw"], colors=call["colors"], lazy=call["lazy"],
        exception=ValueError("v") if call["exception"] else None,
    )  # fmt: skip
    arguments = ((lambda: "argument") if call["lazy"] else "argument",)
    try:
        opened.bind(**call["extra"]).patch(lambda record: record.update(call["patch"])).log(
            call["level"], call["message"], *arguments if "{}" in call["message"] else ()
        )
    except (ValueError, AttributeError, KeyError, TypeError):  # a record that no handler can read
        pass


def rows_of(made, template, *, is_direct):
    """Log the calls through one sink, and return what its rows say, but for the times."""
    channel = RowsChannel(template)
    sink = BridgeSink(channel)
    sink.is_first = True
    handler_id = sink.add_to_loguru(10)
    if is_direct:
        core = logger._core
        core.handlers = {handler_id: stand_before(core.handlers[handler_id], sink)}
        assert type(core.handlers[handler_id]) is DirectHandler
    for call in made:
        log(call)
    logger.remove(handler_id)
    rows = [json.loads(row.decode("utf-8", "surrogatepass")) for row in channel.rows]
    return [row[:1] + row[2:] if len(row) == RENDERED_LENGTH else row[:1] + row[5:] for row in rows]


@pytest.mark.usefixtures("quiet_loguru", "fast_handlers")
@pytest.mark.parametrize("template", [None, "{level} {message}", "{line} <b>{message}</b>"])
def test_both_ways_give_the_same_rows(template, capsys):
    """Whatever a record holds, its row is the one that loguru's own handler would have led to."""

    @settings(max_examples=100, suppress_health_check=list(HealthCheck), deadline=None)
    @given(st.lists(calls, min_size=1, max_size=5))
    def check(made):
        direct = rows_of(made, template, is_direct=True)
        assert direct == rows_of(made, template, is_direct=False)

    check()
    capsys.readouterr()


@pytest.mark.usefixtures("quiet_loguru")
def test_a_record_is_taken_without_loguru_s_lock():
    """A sink that stands in the direct way takes a record while loguru's lock is held."""
    channel = RowsChannel(None)
    sink = BridgeSink(channel)
    handler_id = sink.add_to_loguru(0)
    sink.is_first = kept_handlers.keep(handler_id, lambda handler: stand_before(handler, sink))
    try:
        kept = logger._core.handlers[kept_handlers.KEY]
        with kept._handler._protected_lock():
            logger.info("inside")
        assert len(channel.rows) == 1
    finally:
        kept_handlers.release()


class Odd:
    """A value that logs when it is shown."""

    def __repr__(self):
        logger.info("shown")
        return "odd"


@pytest.mark.usefixtures("quiet_loguru")
def test_a_value_that_logs_when_it_is_shown_costs_no_record():
    """A record that is logged in the middle of another's taking comes first, and both are whole."""
    odd = {"message": "plain", "level": "INFO", "raw": False, "colors": False, "lazy": False}
    odd.update(exception=False, extra={"user": Odd()}, patch={})
    rows = rows_of([odd], None, is_direct=True)
    assert [row[5] for row in rows] == ["shown", "plain"]


@pytest.mark.usefixtures("quiet_loguru")
def test_the_handler_looks_like_loguru_s_own():
    """What loguru and its users ask of a handler is answered by loguru's handler."""
    channel = RowsChannel(None)
    sink = BridgeSink(channel)
    handler_id = sink.add_to_loguru(20)
    own = logger._core.handlers[handler_id]
    made = stand_before(own, sink)
    assert made.levelno == 20
    assert repr(made) == repr(own)
    logger.remove(handler_id)


class Renamed:
    """A handler of a loguru that calls its handlers otherwise."""

    def emit(self, record, level_id, from_decorator, options):
        """Stand for a method of other parameters."""


def test_a_loguru_that_calls_otherwise_keeps_its_handler():
    """A handler whose ``emit`` has other parameters is left as it is."""
    handler = Renamed()
    assert stand_before(handler, BridgeSink(RowsChannel(None))) is handler


@pytest.mark.usefixtures("quiet_loguru")
def test_a_pickled_logger_sends_each_record_once(tmp_path):
    """A logger that comes out of a pickle goes on through the bridge, once for each record."""
    log = tmp_path / "app.log"
    with start_receiver(log, address="tcp://127.0.0.1:0", format="{message}") as receiver:
        with install_bridge(receiver.address) as bridge:
            again = pickle.loads(pickle.dumps(logger))
            again.info("again")
            logger.info("first")
            assert bridge.flush(30)
    assert log.read_text().splitlines() == ["again", "first"]
