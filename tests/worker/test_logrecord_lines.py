"""A line of a record of logging that the worker renders is the one that the receiver would make."""

from __future__ import annotations

import json
import logging
import sys
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.record.line_format import make_line_format
from loguru_stdbridge.record.row import RENDERED_LENGTH, decode_row, read_row
from loguru_stdbridge.sink.replay import Replay
from loguru_stdbridge.worker.levels import level_styles
from loguru_stdbridge.worker.rendering import LineRenderer

FORMATS = [
    "{time:YYYY-MM-DD HH:mm:ss.SSS} | {level: <8} | {process} | {name}:{function}:{line} - {message}",
    "<green>{time}</green> {elapsed} <level>{level.no} {level: >9}</level> {thread.name} {message!r}",
    "{file.path} {file} {module} {process.name} {thread} {process.id:>8} {line:05d}{message}",
    "{time:YYYY-MM-DD HH:mm:ss.SSSSSS ZZ zz x}{name!s:>20}{message}",
    "{message}",
    "<red>{{</red> {time:HH:mm:ss.SSS}}} {level} {{{message}}} {line!r:>5} {thread.id}",
    "{level.no} {message} {message}",
    "{message} {time:HH:mm:ss.SSS}",
]


class Text(str):
    """A text that shows itself otherwise."""

    def __format__(self, specification):
        return "otherwise"


texts = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", "a.b", "{x}", "<red>", "\ud800", "%", "\x1b[0m", "\n"]),
)
odd = st.one_of(texts, st.none(), st.booleans(), st.integers(), st.floats(), texts.map(Text))
numbers = st.one_of(st.integers(0, 2**40), st.just(True), st.just(1), st.just(1.0), odd)
FIELDS = {
    "name": st.one_of(texts, st.just("x" * 1001), odd),
    "msg": odd,
    "args": st.one_of(st.just(()), st.tuples(odd), st.just(({"a": 1},))),
    "levelname": st.one_of(st.sampled_from(["INFO", "WARNING", "Odd"]), odd),
    "levelno": st.one_of(st.sampled_from([5, 10, 20, 30, 35]), numbers),
    "pathname": odd,
    "filename": odd,
    "module": odd,
    "funcName": odd,
    "lineno": numbers,
    "process": numbers,
    "processName": odd,
    "thread": numbers,
    "threadName": odd,
    "created": st.one_of(st.floats(0, 4e9), st.floats(1.7e9, 1.7e9 + 1), odd),
    "relativeCreated": st.one_of(st.floats(0, 1e9), odd),
    "exc_text": st.one_of(st.none(), texts),
    "stack_info": st.one_of(st.none(), texts),
    "user": odd,
}


def receiver_line(replay, record):
    """Return the line that the receiver makes of the whole record."""
    return replay.render_text(read_row(decode_row(encode_logrecord(record, level_styles))))


@pytest.mark.parametrize("template", FORMATS)
def test_any_record_gives_the_line_that_the_receiver_makes(template):
    """The worker's line of any record equals the receiver's of the whole record."""
    replay = Replay(format=template, level=10)
    renderer = LineRenderer(make_line_format(template, 10))
    assert renderer.logrecords is not None
    rendered = []

    @settings(max_examples=60, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.fixed_dictionaries({}, optional=FIELDS), min_size=1, max_size=4))
    @example([{}])
    @example([{"lineno": 1}, {"lineno": True}, {"lineno": 1.0}])
    @example([{"msg": "%s", "args": ("x",)}, {"msg": Text("y")}, {"levelno": 5}])
    @example([{"created": 1.7e9 + 0.0009996}, {"created": 1.7e9 + 0.9999996}])
    @example([{"created": 1.7e9}, {"created": int(1.7e9)}, {"created": 1.7e9 + 0.00099951}])
    @example([{"created": False}, {"created": None}])
    @example([{"created": float("nan")}, {"created": 1e300}, {"created": -0.5}, {"created": -1.5}])
    def check(changes):
        for changed in changes:
            record = logging.LogRecord("app", 20, "/src/app.py", 7, "message", (), None, "run")
            record.__dict__.update(changed)
            row = renderer.logrecords.row(record)
            if row is not None:
                fields = json.loads(row.decode("utf-8", "surrogatepass"))
                assert len(fields) == RENDERED_LENGTH
                assert fields[-1] == receiver_line(replay, record)
                assert fields[2:4] == [record.levelno, record.levelname]
                rendered.append(fields[-1])

    check()
    assert rendered


@pytest.mark.parametrize(
    "change",
    [
        {"exc_info": True},
        {"exc_text": "Traceback"},
        {"stack_info": "Stack"},
        {"levelno": 9},
        {"name": "x" * 1001},
        {"msg": "x" * 200_000},
        {"lineno": None},
    ],
    ids=str,
)
def test_what_the_receiver_would_change_goes_whole(change):
    """A record of which the receiver would make something else is not rendered in the worker."""
    renderer = LineRenderer(make_line_format("{name}:{line} {message}", 10))
    record = logging.LogRecord("app", 20, "/src/app.py", 7, "message", (), None, "run")
    assert renderer.logrecords.row(record) is not None
    if change == {"exc_info": True}:
        try:
            raise ValueError
        except ValueError:
            change = {"exc_info": sys.exc_info()}
    record.__dict__.update(change)
    assert renderer.logrecords.row(record) is None


@pytest.mark.parametrize("level", ["{level.icon}", "{level!r}", "{level!s}"])
def test_a_format_with_the_level_s_icon_is_the_receiver_s(level):
    """A format that shows the level's icon is rendered where the icon is known."""
    assert LineRenderer(make_line_format(f"{level} {{message}}", 0)).logrecords is None


@settings(max_examples=100)
@given(
    st.lists(st.floats(-3e5, 3e9).flatmap(lambda near: st.floats(near, near + 0.003)), min_size=2)
)
@example([0.0004995, 0.0005, 0.0004999999, 0.001, 0.9999995, 0.9999994, 1.0])
@example([-0.0005, -0.0004995, -1.0, -1e-7, 0.0])
def test_a_kept_time_is_the_one_that_the_record_has(times):
    """The text of a time that is kept for its millisecond is what each record's own would be."""
    line_format = make_line_format("{time:YYYY-MM-DD HH:mm:ss.SSS} {message}", 10)
    keeping = LineRenderer(line_format)
    for created in [*times, *reversed(times)]:
        record = logging.LogRecord("app", 20, "/src/app.py", 7, "message", (), None, "run")
        record.created = created
        fresh = LineRenderer(line_format)
        assert keeping.logrecords.row(record) == fresh.logrecords.row(record) is not None


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the system cannot change its zone")
def test_a_kept_time_is_forgotten_with_the_zone(monkeypatch):
    """After ``tzset`` the same moment shows in the new zone, also where both have one name."""
    renderer = LineRenderer(make_line_format("{time:HH:mm:ss.SSS} {message}", 10))
    record = logging.LogRecord("app", 20, "/src/app.py", 7, "message", (), None, "run")
    record.created = 3600.0 * 12
    shown = []
    try:
        for zone in ("XXX0", "XXX5"):
            monkeypatch.setenv("TZ", zone)
            time.tzset()
            shown.append(json.loads(renderer.logrecords.row(record))[-1])
    finally:
        monkeypatch.undo()
        time.tzset()
    assert shown == ["12:00:00.000 message\n", "07:00:00.000 message\n"]
