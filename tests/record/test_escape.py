"""Records whose texts hold line breaks and control sequences are shown in one harmless line."""

from __future__ import annotations

import datetime

import pytest

from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.record.escape import escape, escape_row
from loguru_stdbridge.record.row import FLAG_RAW, Row
from loguru_stdbridge.sink.replay import Replay

HOSTILE = "a\nb\r\x1b[31m\x9b\u2028\u202e\x7fc"
HARMLESS = r"a\nb\r\x1b[31m\x9b\u2028\u202e\x7fc"

PLAIN = Row(
    0, 1e9, 0.0, "UTC", 1.0, 30, "WARNING", "!", None, "hello", "shop", "buy", 1, "shop.py",
    "/srv/shop.py", "shop", 1, "MainProcess", 2, "MainThread", None, {"user": "me"},
)  # fmt: skip
EVERYTHING = (
    "{time:ZZ}|{level}|{level.icon}|{name}|{function}|{file}|{file.path}|{module}|{process.name}|"
    "{thread.name}|{message}|{extra[user]}|{extra}"
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [(HOSTILE, HARMLESS), ("tab\tand é ツ \\n", "tab\tand é ツ \\n"), ("\0", r"\x00"), ("", "")],
)
def test_control_characters_are_shown(text, shown):
    """Line breaks, control characters and changes of direction are shown; other text stays."""
    assert escape(text) == shown


def hostile(row):
    """Return a row each of whose texts is hostile."""
    texts = {name: HOSTILE for name, value in row._asdict().items() if isinstance(value, str)}
    extra = {"user": HOSTILE, HOSTILE: [HOSTILE, (HOSTILE, {HOSTILE: HOSTILE})], "n": 1}
    return row._replace(**texts, extra=extra)


def test_every_text_of_a_record_is_escaped():
    """No text of a record breaks the line, whatever the format shows of it."""
    text = Replay(format=EVERYTHING, escape=True).render_text(hostile(PLAIN))
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text[:-1].isprintable()
    assert text.count(HARMLESS) >= 10
    assert text == Replay(format=EVERYTHING, escape=True).render(hostile(PLAIN)).text


def test_a_plain_record_looks_as_without_escape():
    """A record without such characters is written as without ``escape``."""
    row = PLAIN._replace(extra={"user": "é", "at": datetime.date(2026, 1, 31), "some": [1, None]})
    assert Replay(format=EVERYTHING, escape=True).render(row).text == (
        Replay(format=EVERYTHING).render(row).text
    )
    assert escape_row(row) == row


def test_a_traceback_keeps_its_lines_indented():
    """A traceback is read by people: its lines stay, and none begins where a record begins."""
    trace = "Traceback (most recent call last):\n  File x\x1b\nE: v\n2026 | INFO | forged\n"
    row = PLAIN._replace(exception=["E", "v\n2026 | INFO | forged", trace, True])
    lines = Replay(format="{message}", escape=True).render(row).text.splitlines()
    assert lines[0] == "hello"
    assert "    2026 | INFO | forged" in lines
    assert all(line.startswith("    ") or not line for line in lines[1:])
    assert r"      File x\x1b" in lines


def test_a_raw_message_keeps_its_end_alone():
    """A raw message is one line: the break at its end stays, those before it are shown."""
    replay = Replay(format="{message}", escape=True)
    assert replay.render_text(PLAIN._replace(flags=FLAG_RAW, message="a\nb\n")) == "a\\nb\n"
    assert replay.render_text(PLAIN._replace(flags=FLAG_RAW, message="a\r")) == "a\\r"


def test_deep_and_strange_values_are_shown_as_text():
    """What lies deep in ``extra``, and objects whose text is hostile, are shown escaped."""

    class Strange:
        def __str__(self):
            return HOSTILE

    deep = HOSTILE
    for _ in range(50):
        deep = [deep]
    row = escape_row(PLAIN._replace(extra={"deep": deep, "strange": Strange(), "set": {HOSTILE}}))
    assert row.extra["strange"] == HARMLESS
    assert "\n" not in str(row.extra)


def test_workers_render_nothing_for_it():
    """A sink that escapes tells workers no format: it has to see the fields."""
    assert Replay(format="{message}").line_format is not None
    assert Replay(format="{message}", escape=True).line_format is None


def test_documents_escape_by_themselves():
    """A sink with ``serialize`` writes JSON, where ``escape`` changes nothing."""
    row = hostile(PLAIN)
    plain = Replay(format="{message}", serialize=True).render(row).text
    assert Replay(format="{message}", serialize=True, escape=True).render(row).text == plain
    with pytest.raises(ConfigurationError):
        Replay(level="no level", escape=True)
