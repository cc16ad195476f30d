"""A line rendered by the worker equals loguru's, for any time, in any order."""

from __future__ import annotations

import collections
import datetime
import decimal
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from loguru import logger

from loguru_stdbridge.record.line_format import LineFormat
from loguru_stdbridge.record.row import RENDERED_LENGTH
from loguru_stdbridge.worker.rendering import MARKER, LineRenderer

FORMATS = [
    "{time:YYYY-MM-DD HH:mm:ss.SSS} | {level: <8} - {message}",
    "<green>{{{time:YY/M/D h:m:s A}}}</green> {line} {time:SSSSSS ZZ zz x}",
    "{time:dddd DDDD MMM HH}{message}",
    "{time:SS} {message}",
    "{time:[SSS]SSS T} {message}",
    "{time:YYYY-MM-DD HH:mm:ss.SSSSSS} {message}",
    "{time:HH:mm:ss ZZ} {message}",
    "{time:HH:mm!UTC} {message}",
    "{time:%H:%M:%S.%f} {message}",
    "{time!s} {message}",
    "{time!r:>60} {message}",
    "{time} {message}",
    "{message} {time:HH:mm:ss}",
]

ZONES = [
    datetime.timezone(datetime.timedelta(minutes=minutes), name)
    for minutes, name in [(0, "UTC"), (0, "GMT"), (90, "A"), (-570, "B")]
]

Level = collections.namedtuple("Level", "name no")
PLAIN = Level("INFO", 20)

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND
STEPS = st.sampled_from([0, 1, 999, 1000, -1, SECOND, 60 * SECOND, 3600 * SECOND, DAY, 30 * DAY])
"""From one record to the next: within a millisecond, over its border, to the same one elsewhere."""

TIMES = st.lists(st.tuples(STEPS, st.sampled_from(ZONES), st.booleans()), min_size=1, max_size=8)


def both_ways(template, times):
    """Return ``(loguru's line, ours)`` for a record of each time; ours is ``None`` where loguru
    makes it."""
    rendering = LineRenderer(LineFormat(template, 0))
    found = []

    def sink(message):
        line = str(message)
        row = rendering.row(message.record)
        ours = None
        if row is None:
            rendering.row_of_line(message.record, line)
        else:
            fields = json.loads(row)
            assert len(fields) == RENDERED_LENGTH
            ours = fields[-1]
        found.append((line, ours))

    logger.add(sink, format=template, colorize=False, catch=False)
    for when in times:
        logger.patch(lambda record, when=when: record.update(time=when(record))).info("end")
    return found


def moments(steps):
    """Return functions that make a record's time: loguru's class, or the stdlib's."""
    now = datetime.datetime(2026, 11, 25, 23, 59, 59, 998_500)
    made = []
    for microseconds, zone, loguru_s in steps:
        now += datetime.timedelta(microseconds=microseconds)
        when = now.replace(tzinfo=zone)
        if loguru_s:
            made.append(lambda record, when=when: type(record["time"]).combine(when, when.timetz()))
        else:
            made.append(lambda record, when=when: when)
    return made


@pytest.mark.usefixtures("quiet_loguru", "fast_handlers")
@pytest.mark.parametrize("template", FORMATS)
def test_any_time_is_shown_as_loguru_shows_it(template):
    """The renderer keeps a time's text only for times that show the same."""

    @settings(deadline=None)
    @given(TIMES)
    @example([(0, ZONES[0], True)] * 3 + [(499, ZONES[1], True), (1, ZONES[1], True)])
    @example([(0, ZONES[0], True), (0, ZONES[0], True), (0, ZONES[0], False)])
    @example([(step, ZONES[0], True) for step in (1000, SECOND, 60 * SECOND, 3600 * SECOND, DAY)])
    @example([(30 * DAY, ZONES[0], True), (365 * DAY, ZONES[0], True)])
    def check(steps):
        logger.remove()
        found = both_ways(template, moments([(0, ZONES[0], True), *steps]))
        assert [ours for _, ours in found[1:]] == [line for line, _ in found[1:]]

    check()


@pytest.mark.usefixtures("quiet_loguru", "fast_handlers")
@pytest.mark.parametrize(
    ("specification", "time"),
    [("YYYY", datetime.date(2026, 1, 2)), ("HH", datetime.time(5, 6)), ("s", "noon")],
    ids=["date", "time", "text"],
)
def test_what_is_no_moment_is_shown_as_loguru_shows_it(specification, time):
    """A patcher's time of another type is shown as loguru shows it, first or later."""
    moment = datetime.datetime(2026, 11, 25)
    times = [time, moment, time, moment, moment, time]
    found = both_ways(f"{{time:{specification}}} {{message}}", [lambda r, t=t: t for t in times])
    assert len(found) == len(times)
    assert [ours for _, ours in found[1:]] == [line for line, _ in found[1:]]


@pytest.mark.usefixtures("quiet_loguru")
@pytest.mark.parametrize(
    "times", [["noon"], [None], [5, 5.0, True]], ids=["text", "none", "numbers"]
)
def test_a_time_that_is_none_is_not_kept(times):
    """A record whose time loguru cannot show is sent whole."""
    template = "{time:HH} {message}"
    rendering = LineRenderer(LineFormat(template, 0))
    records = []
    logger.add(lambda message: records.append((str(message), message.record)), format=template)
    logger.info("x")
    line, record = records[0]
    rendering.row_of_line(record, line)
    assert json.loads(rendering.row(record))[-1] == line
    for time in times:
        assert rendering.row({**record, "time": time}) is None
    assert json.loads(rendering.row(record))[-1] == line


def test_the_marker_begins_what_loguru_renders():
    """The marker tells a rendered line from a raw message."""
    assert LineRenderer(LineFormat("{message}", 0)).template.startswith(MARKER)


@pytest.mark.usefixtures("quiet_loguru")
@pytest.mark.parametrize("number", [True, 20.5, "20", float("inf"), decimal.Decimal(20), None])
def test_a_level_whose_number_is_none_makes_no_rendered_row(number):
    """A line of a level whose number a patcher has replaced is left to loguru and whole records."""
    rendering = LineRenderer(LineFormat("{message}", 0))
    rows = []

    def sink(message):
        rendering.row_of_line({**message.record, "level": PLAIN}, str(message))
        rows.append(rendering.row({**message.record, "level": Level("ODD", number)}))

    logger.add(sink, format="{message}", catch=False)
    logger.info("odd")
    logger.remove()
    assert rows == [None]
