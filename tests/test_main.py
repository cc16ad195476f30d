"""``loguru-stdbridge`` and ``python -m loguru_stdbridge``: the words and the overview."""

from __future__ import annotations

import subprocess
import sys

import pytest

from loguru_stdbridge import __version__
from loguru_stdbridge.__main__ import WORDS, main


@pytest.fixture
def called(monkeypatch):
    """Let the program be called as the console command is."""
    monkeypatch.setattr(sys, "argv", ["/usr/bin/loguru-stdbridge"])


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"], ["-h"]], ids=str)
def test_the_overview_shows_every_word(called, capsys, arguments):
    """Called without a word it shows what there is, and ends with 0."""
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert told.startswith("usage: loguru-stdbridge WORD ...\n")
    for word in WORDS:
        assert f"\n  {word} " in told
    assert 'install_bridge(sink="logs/app.log"' in told
    assert max(map(len, told.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["recieve", "x.log"], "there is no word 'recieve'; did you mean receive?"),
        (
            ["wash"],
            "there is no word 'wash'; there are receive, check, status, tail, spool, send, level, demo",
        ),
        (
            ["logs/app.log", "--", "gunicorn"],
            "say receive before the log file: loguru-stdbridge receive logs/app.log -- gunicorn",
        ),
    ],
)
def test_an_unknown_word_is_told_in_one_line(called, capsys, arguments, line):
    """A word that there is not ends with 2, and with one line that says what to do."""
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"loguru-stdbridge: {line}\n")


@pytest.mark.parametrize("word", WORDS)
def test_each_word_shows_how_it_was_called(called, capsys, word):
    """The help of each word begins with the command as it was typed."""
    with pytest.raises(SystemExit) as ended:
        main([word, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: loguru-stdbridge {word} ")


def test_check_is_a_word(called, tmp_path):
    """``check`` looks at the sink as ``receive --check`` does, and makes nothing."""
    assert main(["check", str(tmp_path / "app.log"), "--", "gunicorn"]) == 0
    assert main(["check", str(tmp_path / "app.log"), "--rotation", "nonsense"]) == 78
    assert list(tmp_path.iterdir()) == []


def test_the_version_is_told(called, capsys):
    """``--version`` shows the version."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"loguru_stdbridge {__version__}\n"


def test_the_package_is_a_program(tmp_path):
    """``python -m loguru_stdbridge receive`` runs a receiver and its command."""
    command = [sys.executable, "-m", "loguru_stdbridge", "receive", "app.log", "--", "true"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "app.log").read_text() == ""
