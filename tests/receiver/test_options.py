"""The receiver's command line as it is read: the help, and one line for each wrong usage."""

from __future__ import annotations

import re

import pytest

from loguru_stdbridge.receiver.help_text import HELP
from loguru_stdbridge.receiver.options import make_parser, read_options

PROGRAM = "loguru-stdbridge receive"


def told(capsys, *arguments):
    """Return the one line that a wrong usage is answered with."""
    with pytest.raises(SystemExit) as ended:
        read_options(arguments, PROGRAM)
    assert ended.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    line, rest = captured.err.split("\n")
    assert rest == ""
    assert line.startswith(f"{PROGRAM}: ")
    return line[len(PROGRAM) + 2 :]


WRONG = [
    (
        "x.log gunicorn -w 4",
        "put -- before the command: loguru-stdbridge receive x.log -- gunicorn -w 4",
    ),
    (
        "x.log --rotation 00:00 gunicorn --level debug",
        "put -- before the command: loguru-stdbridge receive x.log --rotation 00:00 -- "
        "gunicorn --level debug",
    ),
    ("x.log --rotation 1 MB", 'put quotes around a value with a space: --rotation "1 MB"'),
    ("x.log --rotate 1", "there is no option --rotate; did you mean --rotation?"),
    ("x.log --nothing=1", "there is no option --nothing; --help shows those there are"),
    (
        "x.log -w 4",
        "there is no option -w; --help shows those there are, and a command goes behind --",
    ),
    ("x.log --listen", "--listen needs a value; --help shows which"),
    ("x.log --grace x", "--grace x: a number of seconds, from 0 up"),
    ("x.log --grace -1", "--grace -1: a number of seconds, from 0 up"),
    ("x.log --", "-- must be followed by a command, as in -- gunicorn -w 4 shop:app"),
    (
        "x.log --inject",
        "--inject needs a command, as in --inject -- gunicorn -w 4 shop:app",
    ),
    (
        "",
        "name the log file: loguru-stdbridge receive SINK, or LOGURU_STDBRIDGE_SINK, or sink in the "
        "file of --config; "
        "--help shows the rest",
    ),
    ("x.log --detached", "--detached needs the absolute path of each sink, and no command"),
]


@pytest.mark.parametrize(("arguments", "line"), WRONG, ids=[text for text, _ in WRONG])
def test_wrong_usage_is_told_in_one_line(capsys, arguments, line):
    """A wrong usage ends with 2, and with one line that says what to do."""
    assert told(capsys, *arguments.split()) == line


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("FSYNC", "perhaps", "LOGURU_STDBRIDGE_FSYNC='perhaps': use 1 or 0"),
        ("GRACE", "soon", "LOGURU_STDBRIDGE_GRACE='soon': a number of seconds, from 0 up"),
    ],
)
def test_a_wrong_variable_is_told_in_one_line(capsys, monkeypatch, name, value, line):
    """A variable whose value cannot be used is named, with its value and what it takes."""
    monkeypatch.setenv(f"LOGURU_STDBRIDGE_{name}", value)
    assert told(capsys, "x.log") == line


@pytest.mark.parametrize("name", ["spool_group", "socket_mode", "socket_group"])
def test_an_option_of_access_may_be_a_variable(monkeypatch, name):
    """Who may use socket and spool can be said in the environment, and the command line wins."""
    monkeypatch.setenv(f"LOGURU_STDBRIDGE_{name.upper()}", "0660")
    assert getattr(read_options(["x.log"], PROGRAM), name) == "0660"
    option = f"--{name.replace('_', '-')}=0600"
    assert getattr(read_options(["x.log", option], PROGRAM), name) == "0600"


def test_a_value_that_is_the_word_of_a_command_is_not_taken_for_it():
    """What stands behind ``--`` is the command's, whatever it looks like."""
    options = read_options(["x.log", "--", "gunicorn", "--grace", "x", "--", "y"], PROGRAM)
    assert options.command == ["gunicorn", "--grace", "x", "--", "y"]
    assert (options.sink, options.grace) == ("x.log", 5.0)


HEADINGS = [
    "The file, in loguru's words",
    "Who can reach it",
    "What can be seen of it",
    "Journals and lines",
    "To another receiver as well",
    "How it runs",
    "Where options are said",
    "And then end",
    "Examples",
    "Environment",
    "Exit codes",
    "Signals",
]


def test_the_help_has_groups_examples_exit_codes_and_signals():
    """The help shows each group, the form with a command, three examples, and fits 100 columns."""
    text = make_parser(PROGRAM).format_help()
    assert text.startswith(f"usage: {PROGRAM} SINK [options] [-- COMMAND ...]\n")
    assert re.findall(r"^(\S.*):$", text, re.MULTILINE) == HEADINGS
    assert len(re.findall(rf"^  {PROGRAM} ", text, re.MULTILINE)) == 3
    assert max(map(len, text.splitlines())) <= 100
    for code in ("0 ", "1 ", "2 ", "78 ", "126, 127 "):
        assert code in text[text.index("Exit codes:") :]


def test_the_help_tells_every_option_once():
    """Each option has its line in the help, and the help has no other."""
    told = re.findall(r"^  (?:-h, )?(--[a-z-]+)", HELP, re.MULTILINE)
    options = [
        text
        for action in make_parser(PROGRAM)._actions
        for text in action.option_strings
        if text.startswith("--")
    ]
    assert sorted(told) == sorted(options)


@pytest.mark.parametrize(
    "option",
    ["rotation", "retention", "compression", "format", "level", "encoding", "listen", "spool-dir",
     "render", "linger", "grace"],
)  # fmt: skip
def test_the_help_tells_each_default(option):
    """An option with a value says what holds without it."""
    entry = HELP[HELP.index(f"\n  --{option} ") + 1 :]
    entry = re.split(r"\n(?:  -|\n)", entry)[0]
    assert "(default: " in entry
