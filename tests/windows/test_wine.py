"""The lists of what is downloaded are whole, and where Wine is set up, a small part runs there."""

from __future__ import annotations

import re
import signal

import pytest

from tests.windows.wine import HERE, Wine

_FOREVER = "while :; do sleep 1000; done"


@pytest.mark.parametrize("name", ["requirements.txt", "packages.txt"])
def test_all_that_is_downloaded_has_a_version_and_a_checksum(name):
    """Each line names one version and its checksum, and no place to download it from."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert lines
    assert [
        x for x in lines if not re.fullmatch(r"[\w-]+==[\w.]+ --hash=sha256:[0-9a-f]{64}", x)
    ] == []


def test_a_path_has_a_name_for_windows(tmp_path):
    """Every file of this system has a name on drive Z."""
    assert Wine(tmp_path).path(tmp_path / "app.log") == f"Z:{tmp_path}\\app.log".replace("/", "\\")


def test_a_program_that_does_not_end_is_killed(tmp_path):
    """A program that ignores every request to end is over soon after its time, and told as such."""
    stubborn = tmp_path / "stubborn"
    stubborn.write_text(f"#!/bin/sh\ntrap '' TERM INT HUP\necho begun\n{_FOREVER} & {_FOREVER}\n")
    stubborn.chmod(0o700)
    wine = Wine(tmp_path)
    wine.program = str(stubborn)
    done = wine.run(["ignored"], timeout=0.5)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == "begun\n\nnot over after 0.5 s\n"
    assert list(wine._programs()) == []


def test_kills_under_wine():
    """A receiver and a worker that are ended by TerminateProcess lose and double nothing."""
    wine = Wine()
    if not wine.is_there:
        pytest.skip("Wine is not set up: python -m tests.windows --only set-up")
    kills = ["--receiver-kills", "1", "--worker-kills", "1", "--seed", "1"]
    done = wine.run(["-m", "tests.windows.scenes", "kills", *kills], timeout=120)
    assert done.returncode == 0, done.stdout
    assert "lost 0, doubled 0, torn 0" in done.stdout
    assert wine.left_over() == []
