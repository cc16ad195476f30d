"""The short way to render gives loguru's line, whatever repeats and whatever differs."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loguru_stdbridge.record.row import Row
from loguru_stdbridge.sink import short_way
from loguru_stdbridge.sink.replay import Replay

FORMATS = [
    "{time:YYYY-MM-DD HH:mm:ss.SSS} | {level: <8} | {name}:{function}:{line} - {message}",
    "{{{time:HH:mm:ss}}} {level.icon}{level.no} {{{message}}} {file.path} {{}}",
    "{time:SSS}{message}", "{time:DDDD hh:mm A SSS, YY}{name!r:>20}{message}", "{message}",
    "{thread.name}/{thread.id} {process.name}/{process.id} {module} {message!r}",
    "{time} {elapsed} {message} {file} {thread} {process} {level}", "{time:SS}{message}",
    "{time:x}{message}{extra}", "{level.name:.3}{extra[user]}{message:>12}{exception}", "{line:>9}",
    "{time:YYYY}{time:SSS}{message}{message}", "{name}{message}{function}{{",
]  # fmt: skip

TEXTS = st.sampled_from(["", "a", "{x}", "{0.a}", "}}", "<red>", "\ud83d", "ü\n", "app.views"])
ROWS = st.builds(
    Row,
    flags=st.just(0),
    time=st.one_of(
        st.floats(0, 4e9), st.floats(allow_nan=True), st.integers(0, 2**31),
        st.builds(lambda n, k: 1.7e9 + n + k / 1e7, st.integers(0, 3), st.integers(0, 10**7)),
    ),
    offset=st.sampled_from([0.0, 3600.0, -12600.0, 0.5, 90000.0, 3600]),
    zone=st.sampled_from([None, "UTC", "CET", "z" * 200]),
    elapsed=st.floats(allow_nan=True),
    level_no=st.integers(0, 50),
    level_name=st.sampled_from(["INFO", "ERROR", "{own}"]),
    level_icon=st.sampled_from(["", "i", "{"]),
    level_color=st.none(),
    message=TEXTS,
    name=st.one_of(st.none(), TEXTS),
    function=TEXTS,
    line=st.integers(0, 3),
    file_name=TEXTS,
    file_path=TEXTS,
    module=TEXTS,
    process_id=st.integers(0, 2),
    process_name=TEXTS,
    thread_id=st.integers(0, 2),
    thread_name=TEXTS,
    exception=st.none(),
    extra=st.dictionaries(st.sampled_from(["user", "{"]), TEXTS),
    more=st.sampled_from([None, {"message": "not this", "own": 1}]),
    colors=st.none(),
)  # fmt: skip
REPLAYS = [Replay(level=10, format=template) for template in FORMATS]


def test_every_format_here_goes_the_short_way():
    """Every format of these tests goes the short way, but one whose fields a record may lack."""
    assert [f for f, replay in zip(FORMATS, REPLAYS) if replay._short_way is None] == [FORMATS[9]]


@settings(max_examples=60, deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=5))
def test_lines_are_those_of_loguru(rows):
    """Lines of generated rows, which repeat and differ in every field, are loguru's to the byte."""
    for replay in REPLAYS:
        for row in rows:
            when = replay._make_record(row)["time"]
            if abs(when.timestamp() - row.time) < 1:  # else it is the time of now
                assert replay.render_text(row) == replay.render(row).text


def test_a_second_is_rounded_as_datetime_rounds():
    """Half a microsecond before the next second goes there, as with ``datetime.fromtimestamp``."""
    replay = Replay(format="{time:ss.SSS}", level=0)
    for part in (0.9994999, 0.9995, 0.9999994, 0.9999996, 0.9999999):
        row = short_way._ANY._replace(time=10 + part)
        assert replay.render_text(row) == replay.render(row).text


@pytest.mark.parametrize("field", ["name", "function", "thread_name", "zone", "level_name"])
def test_what_is_kept_is_bounded(field):
    """Neither many names nor long ones, whatever they name, make what is kept grow."""
    replay = Replay(
        level=0, format="{time:HH:mm} {level} {name} {function} {thread.name} {message}"
    )

    def render(numbers):
        for number in numbers:
            row = short_way._ANY._replace(**{field: f"{number:05d}" * (2 + number % 2 * 2000)})
            replay.render_text(row)

    render(range(20))
    tracemalloc.start()
    try:
        render(range(2_000))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(replay._short_way._halves) <= short_way.MAX_HALVES
    assert grown < 2_000_000
