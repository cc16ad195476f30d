"""The format file for lnav reads what a receiver writes in its default format."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from loguru_stdbridge.record.row import Row
from loguru_stdbridge.sink.replay import Replay

FILE = Path(__file__).parents[1] / "docs" / "lnav" / "loguru_stdbridge.json"
FORMAT = json.loads(FILE.read_text(encoding="utf-8"))["loguru_stdbridge_log"]
LEVELS = {"TRACE": 5, "DEBUG": 10, "INFO": 20, "SUCCESS": 25, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}  # fmt: skip


def pattern(name):
    return re.compile(FORMAT["regex"][name]["pattern"].replace("(?<", "(?P<"))


def level_of(word):
    """Return lnav's level for a level of Loguru's."""
    return next(
        level for level, expression in FORMAT["level"].items() if re.search(expression, word)
    )


def line_of(level, message="a | b - c:1"):
    row = Row(
        0, 1e9 + 0.5, 3600.0, "CET", 0.0, LEVELS[level], level, " ", None, message, "shop.pay",
        "<lambda>", 91, "p", "p", "m", 2842, "MainProcess", 1, "t", None, {},
    )  # fmt: skip
    return Replay(level=0).render_text(row)


@pytest.mark.parametrize("level", LEVELS)
def test_a_line_of_the_default_format_is_read(level, monkeypatch):
    """Each field of a line that a receiver writes is found, and its level is one of lnav's."""
    monkeypatch.delenv("LOGURU_FORMAT", raising=False)
    found = pattern("receiver").match(line_of(level).rstrip("\n")).groupdict()
    assert (found["pid"], found["logger"], found["function"], found["line"], found["body"]) == (
        "2842", "shop.pay", "<lambda>", "91", "a | b - c:1",
    )  # fmt: skip
    assert re.fullmatch(r"2001-09-09 0\d:46:40\.500", found["timestamp"])
    assert level_of(found["level"])


def test_the_samples_are_read():
    """Each sample fits a pattern, the first that fits, and has the level that it says."""
    for sample in FORMAT["sample"]:
        found = pattern("receiver").match(sample["line"]) or pattern("loguru").match(sample["line"])
        assert level_of(found["level"]) == sample["level"]
    assert pattern("receiver").match(FORMAT["sample"][2]["line"]) is None


@pytest.mark.skipif(shutil.which("lnav") is None, reason="lnav is not installed")
def test_lnav_itself_takes_the_file(tmp_path, monkeypatch):
    """lnav finds no fault with the file, and reads the fields of a receiver's lines by it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    for place in (".lnav", ".config/lnav"):
        formats = tmp_path / place / "formats" / "loguru_stdbridge"
        formats.mkdir(parents=True)
        shutil.copy(FILE, formats)
    log = tmp_path / "app.log"
    log.write_text("".join(map(line_of, LEVELS)))
    query = ";select log_level, pid, logger, line from loguru_stdbridge_log"
    done = subprocess.run(
        ["lnav", "-n", "-c", query, "-c", ":write-csv-to -", str(log)],
        capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    rows = [line.split(",") for line in done.stdout.splitlines() if "2842" in line]
    assert [row[1:] for row in rows] == [["2842", "shop.pay", "91"]] * len(LEVELS)
    assert [row[0] for row in rows] == [level_of(level) for level in LEVELS]
