"""Finished lines are read back by the sink's format, and what does not fit is all message."""

from __future__ import annotations

import pytest
from loguru import logger

from loguru_stdbridge.sink.replay import DEFAULT_FORMAT
from loguru_stdbridge.status.lines import LineSplitter, split_traceback


@pytest.fixture
def line_of(quiet_loguru):
    """Return what loguru writes for a message in a format."""

    def line_of(template, message, **options):
        lines = []
        handler = logger.add(lines.append, format=template, colorize=False, level=0)
        logger.opt(**options).log("WARNING", message)
        logger.remove(handler)
        return str(lines[0])

    return line_of


@pytest.mark.parametrize(
    "template", [DEFAULT_FORMAT, "[{level}] {name}|{function} {line} #{process.id}: {message}"]
)
def test_a_line_of_loguru_is_read_back(line_of, template):
    """A line that loguru has made is split into the fields that it was made of."""
    parts = LineSplitter(template).split(line_of(template, "a - b | c: {}\nsecond | line"))
    assert parts.message == "a - b | c: {}\nsecond | line"
    assert parts.logger == __name__
    assert parts.where.startswith("line_of:")
    assert parts.pid > 0
    assert parts.exception == ""


def test_a_traceback_is_told_from_the_message(line_of):
    """A line with an exception gives its message, the exception's type and the traceback."""
    try:
        {}["key"]
    except KeyError:
        line = line_of(DEFAULT_FORMAT, "failed", exception=True)
    parts = LineSplitter(DEFAULT_FORMAT).split(line)
    assert parts.message == "failed"
    assert parts.exception_type == "KeyError"
    assert parts.exception.startswith("Traceback (most recent call last):\n")
    assert parts.exception.endswith("KeyError: 'key'")


@pytest.mark.parametrize(
    ("template", "line"),
    [
        (DEFAULT_FORMAT, "not a line of that format\n"),
        (DEFAULT_FORMAT, "2026 | INFO | process | a:b:1 - no number\n"),
        ("{time}{level}{message}", "nothing between\n"),
        ("{message} {name}", "something behind\n"),
        ("no message", "no message\n"),
        ("{message!r}", "'a'\n"),
        (None, "of another kind\n"),
        ("{level} {message}", "x" * 100_000 + "\n"),
    ],
)
def test_what_does_not_fit_is_all_message(template, line):
    """A line that does not fit the format, or a format that cannot be read back, is all message."""
    parts = LineSplitter(template).split(line)
    assert parts == (line.rstrip("\n"), "", "", 0, "", "")


def test_a_message_alone_is_the_message():
    """A format of the message alone gives the line, without its end."""
    assert LineSplitter("{message}\n{exception}").split("a\nb\n").message == "a\nb"


def test_the_type_of_an_exception_is_the_last_lines():
    """A traceback's type is that of its last line that is not indented, or a plain word."""
    text = "m\nTraceback (most recent call last):\n  File x\nshop.errors.Odd: what\n  more"
    assert split_traceback(text) == ("m", "shop.errors.Odd", text[2:])
    assert split_traceback("Traceback (most recent call last):\n  File x")[1] == "Traceback"
    assert split_traceback("no traceback") == ("no traceback", "", "")
