"""The table itself: what it counts, and what it calls a deviation."""

from __future__ import annotations

import pytest

from .lines import Line, count, plain
from .programs import PROGRAMS
from .running import APPS, TWO_LINES, Program
from .table import as_text, compare

PROGRAM = Program(
    "a program",
    "",
    "",
    lambda run: None,
    {
        "start": (Line("started", 2),),
        **dict.fromkeys(("error", "warnings", "thread", "child"), "none"),
        **dict.fromkeys(("loguru-warning", "logging-info", "logging-warning"), "none"),
    },
)
FILE = "started 1\nstarted 2\nsaid by loguru at INFO\n"
CONSOLE = "12:01 started\n12:02 started\n12:03 said by loguru at INFO\n"


@pytest.mark.parametrize(
    ("console", "file", "without", "cells"),
    [
        (CONSOLE, FILE, CONSOLE, ("1 2", "1 1", "=")),
        (CONSOLE, "", CONSOLE, ("!0 2", "!0 1", "=")),
        (CONSOLE, FILE + FILE, CONSOLE, ("!4/2 2", "!2/1 1", "=")),
        ("", FILE, CONSOLE, ("!1 0(2)", "!1 0(1)", "!-3 +0")),
        (CONSOLE + "more\n", FILE, CONSOLE, ("1 2", "1 1", "!-0 +1")),
    ],
    ids=["right", "not in the file", "twice", "off the console", "more on the console"],
)
def test_a_row_tells_what_deviates(console, file, without, cells):
    """A row compares the file with what is wanted, and one console with the other."""
    row = compare(PROGRAM, console, file, without)
    assert (str(row.cells["start"]), str(row.cells["loguru-info"])) == cells[:2]
    assert as_text([row]).endswith(cells[2])
    assert row.deviates == any("!" in cell for cell in cells)


def test_lines_are_counted_without_colours_and_compared_without_numbers():
    """A line counts whatever its colours, and two runs differ in numbers."""
    assert count(Line("GET /say"), "\x1b[31mGET\x1b[0m /say\nGET /say twice: GET /say\n") == 2
    assert plain("at 0x7f12 pid 4711\n\nnot this\n", "not") == {"at N pid N": 1}


def test_each_program_has_lines_or_a_reason_for_every_kind():
    """A program has every kind of line, or says why not."""
    for program in PROGRAMS:
        assert all(program.lines().values()), program.name


def test_the_two_lines_are_all_that_an_application_has_of_ours():
    """Without its two lines, an application's file does not name this package."""
    with_lines = {program.files.split()[0].split(":")[0] for program in PROGRAMS}
    for path in APPS.glob("*.py"):
        text, cuts = TWO_LINES.subn("", path.read_text(encoding="utf-8"))
        assert "stdbridge" not in text, path
        assert cuts == (path.name in with_lines), path
        compile(text, str(path), "exec")
