"""What a stranger wrote is only text at a terminal; numbers and times are told in short."""

from __future__ import annotations

import pytest

from loguru_stdbridge.status.terminal import (
    Colouring,
    clock,
    draw_bars,
    say_age,
    say_delay,
    say_size,
    table,
    tidy,
    tidy_line,
)
from loguru_stdbridge.tools.query import Query

RECORD = {
    "seq": 1, "time": 0.0, "offset": 0, "level": "WARNING", "no": 30, "logger": "shop.pay",
    "program": "celery", "pid": 7, "message": "Gateway slow", "extra": {"order": 75001},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 漢字 🎉", "plain äöü 漢字 🎉"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[2J\x1b[1;1Hgone", "gone"),
        ("\x1b]0;title\x07x\x1b]8;;http://a\x1b\\y", "xy"),
        ("bell\x07 back\x08 \x1b", "bell␇ back␈ ␛"),
        ("\u202eright to left", "‹U+202E›right to left"),  # noqa: RUF001
        ("in\u200bvisible \U000e0041", "in‹U+200B›visible ‹U+E0041›"),  # noqa: RUF001
        ("\x9b31m", "‹U+009B›31m"),  # noqa: RUF001
        ("\ud800", "‹U+D800›"),  # noqa: RUF001
        ("a\nb\tc", "a\nb\tc"),
    ],
)
def test_a_strangers_text_is_only_text(text, shown):
    """A text has no code that a terminal obeys, and nothing that hides or turns round."""
    assert tidy(text) == shown
    assert tidy_line("a\nb") == "a␊b"


def test_numbers_are_told_in_short():
    """Times, delays and sizes are told in their largest unit."""
    assert [say_age(s) for s in (5, 300, 7200, 273_600)] == ["5 s", "5 min", "2 h", "3 d 4 h"]
    assert [say_delay(s) for s in (None, 0.0012, 2.5)] == ["-", "1.2 ms", "2.5 s"]
    assert [say_size(s) for s in (5, 61_400_000, 2.31e9)] == ["5 B", "61.4 MB", "2.3 GB"]
    assert clock(86399.5, 3600) == "00:59:59.500"
    assert clock(1e300, 0) == "--:--:--.---"
    assert draw_bars([0, 5, 10], 10) == "▁▅█"
    assert table(["A", "B"], [["long", 1]]) == ["A     B", "long  1"]


def test_colours_are_left_out_where_nobody_wants_them(monkeypatch, capsys):
    """A pipe and ``NO_COLOR`` get plain text."""
    assert Colouring().paint("x", "red") == "x"
    assert Colouring(True).paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert Colouring(True).level("ERROR", 45) == "\x1b[1;31mERROR\x1b[0m"


@pytest.mark.parametrize(
    ("text", "takes"),
    [
        ("", True),
        ("gateway slow", True),
        ("gateway fast", False),
        ('"gateway slow"', True),
        ('"slow gateway"', False),
        ("-slow", False),
        ("-fast", True),
        ("level:warning", True),
        ("level:error", False),
        ("level:20", True),
        ("logger:shop", True),
        ("logger:sho", False),
        ("process:7", True),
        ("process:8 process:7", True),
        ("program:celery -program:gunicorn", True),
        ("has:traceback", False),
        ("-has:traceback", True),
        ("75001", True),
        ("LEVEL:Warning SLOW", True),
    ],
)
def test_a_filter_says_what_is_wanted(text, takes):
    """A filter takes a record if all of its words are there; of one key given twice, either."""
    assert Query(text).takes(RECORD) is takes


def test_the_receiver_chooses_what_it_can():
    """What the receiver can choose by is asked of it, and nothing that would leave a record out."""
    assert Query("level:error logger:shop").as_fields(5) == "level=error&logger=shop&n=5"
    assert Query("level:error logger:shop").is_asked_whole
    assert Query("level:error level:info").as_fields(5) == "n=5"
    assert Query("-level:error slow words").as_fields(5) == "text=slow&n=5"
    assert not Query("slow").is_asked_whole
