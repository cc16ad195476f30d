"""A part of the table of the programs, for the suite: those that the tests' own packages bring."""

from __future__ import annotations

import pytest

from .__main__ import describe, run
from .programs import PROGRAMS


@pytest.mark.parametrize(
    "program", [pytest.param(each, id=each.name) for each in PROGRAMS if each.in_suite]
)
def test_a_program_is_in_the_file_whole_and_on_the_console_as_before(program, tmp_path):
    """Every line of a program is in the file once, and its console is as it was."""
    row = run(program, tmp_path)
    assert not row.deviates, describe(row)


def test_an_injected_program_is_in_the_file_whole_without_a_line(tmp_path):
    """Under ``--inject`` each line of a program without a line of ours is in the file once."""
    name = "gunicorn sync, lines in the application"
    (program,) = (each for each in PROGRAMS if each.name == name)
    row = run(program, tmp_path, inject=True)
    assert not row.deviates, describe(row)
