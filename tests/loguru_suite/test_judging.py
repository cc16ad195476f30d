"""The check by Loguru's own tests fails on any difference that is not listed, and on a list too long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import loguru
import pytest

from .__main__ import NOTHING_TO_DO, judge, matches, run_tests
from .differences import DIFFERENCES

OUTCOMES = {"a::one": "passed", "a::two[x]": "failed", "a::two[y]": "passed", "a::three": "failed",
            "a::four": "skipped", "a::five": "failed"}  # fmt: skip
PLAIN = {"a::two[x]": "passed", "a::three": "failed", "a::five": "passed"}


def test_a_difference_that_is_not_listed_is_told():
    """A test that fails through the bridge alone is a difference unless it is listed."""
    verdict = judge(OUTCOMES, PLAIN, {"a::two[*": "a reason"})
    assert verdict.on_purpose == {"a::two[x]": "a reason"}
    assert verdict.different == ["a::five"]
    assert (verdict.equal, verdict.become_equal) == (4, [])


def test_an_entry_that_has_become_equal_is_told():
    """A listed test that passes, or fails both ways, is told; one of another version is no matter."""
    listed = {"a::two[y]": "gone", "a::three": "it fails anyway", "b::other": "another version's"}
    assert judge(OUTCOMES, PLAIN, listed).become_equal == ["a::three", "a::two[y]"]


def test_brackets_in_a_pattern_are_those_of_a_test():
    """A pattern's brackets stand for themselves, and a star for anything."""
    assert matches("a::two[x]", "a::two[x]") and matches("a::two[x]", "a::two[*")
    assert not matches("a::twox", "a::two[x]")


def test_every_entry_of_the_list_has_a_reason():
    """The list says of each test why it differs, and holds no pattern that covers whole files."""
    for pattern, reason in DIFFERENCES.items():
        assert reason and "::test_" in pattern


def test_without_a_checkout_it_says_so_and_does_nothing():
    """The command without a checkout says what it needs, and ends well."""
    command = [sys.executable, "-m", "tests.loguru_suite"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{NOTHING_TO_DO}\n")


TINY = """
import sys
import pytest
from loguru import logger

@pytest.fixture(autouse=True)
def cleaned():
    logger.remove()
    yield
    logger.remove()

@pytest.fixture
def writer():
    def w(message):
        w.written.append(message)
    w.written = []
    return w

def test_path(tmp_path):
    logger.add(tmp_path / "a.log", format="{message}", rotation=5)
    logger.info("one")
    logger.info("two")
    assert len(list(tmp_path.iterdir())) == 2

def test_writer(writer):
    logger.add(writer, format="<red>{message}</red>", colorize=True)
    logger.opt(colors=True).info("<bold>x</bold>")
    assert writer.written == ["\\x1b[31m\\x1b[1mx\\x1b[0m\\x1b[31m\\x1b[0m\\n"]

def test_that_raises(tmp_path):
    logger.add(tmp_path / "a.log", catch=False, filter=lambda record: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        logger.info("x")
"""


def test_sinks_of_a_checkout_s_tests_become_receivers(tmp_path):
    """Paths and writers of a checkout's tests go through receivers; what raises there differs."""
    (tmp_path / "loguru").symlink_to(Path(loguru.__file__).parent)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_tiny.py").write_text(TINY)
    found = run_tests(tmp_path, bridged=True, only=[])
    names = ("test_path", "test_writer", "test_that_raises")
    tests = [f"tests/test_tiny.py::{name}" for name in names]
    assert [found["outcomes"][test] for test in tests] == ["passed", "passed", "failed"]
    assert [found["bridged"][test] for test in tests] == [1, 1, 1]


def test_a_run_that_does_not_collect_its_tests_is_an_error(tmp_path):
    """A checkout whose tests cannot be imported is refused with what pytest says: 0 tests show
    nothing."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_one.py").write_text("import a_package_that_is_not_installed\n")
    with pytest.raises(SystemExit, match="a_package_that_is_not_installed"):
        run_tests(tmp_path, bridged=True, only=[])
