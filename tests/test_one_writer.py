"""A log file has one receiver, whatever names the file and its directory have."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from tests.support.processes import Account, ReceiverProcess
from tests.support.workers import Worker


@contextlib.contextmanager
def bind_mounted(source, target):
    """Mount a file or a directory at another path."""
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("only root may mount")
    subprocess.run(["mount", "--bind", str(source), str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(target)], check=True)


def other_name(kind, log, other):
    """Give the log file another name in the directory ``other``; return that name, and how to end it."""
    ended = contextlib.nullcontext()
    if kind == "link":
        (other / "current.log").symlink_to(log)
        return other / "current.log", ended
    if kind == "hard link":
        os.link(log, other / "hard.log")
        return other / "hard.log", ended
    if kind == "linked directory":
        (other / "logs").symlink_to(log.parent)
        return other / "logs" / log.name, ended
    if kind == "mounted file":
        (other / "mounted.log").touch()
        return other / "mounted.log", bind_mounted(log, other / "mounted.log")
    (other / "mounted").mkdir()
    return other / "mounted" / log.name, bind_mounted(log.parent, other / "mounted")


@pytest.mark.parametrize(
    "kind", ["link", "hard link", "linked directory", "mounted file", "mounted directory"]
)
def test_a_second_receiver_of_a_file_is_refused(tmp_path, kind):
    """A receiver says that another one writes its file under another name, and leaves."""
    (tmp_path / "other").mkdir()
    log = tmp_path / "logs" / "app.log"
    with ReceiverProcess(log) as first:
        name, mounted = other_name(kind, log, tmp_path / "other")
        with mounted:
            second = ReceiverProcess(name)
            assert second.process.wait(60) == 1
            told = second.stderr.read_text()
        assert "is written by" in told, told
        assert first.stop() == 0


LOG_THRICE = """
for first in (0, 100, 200):
    log(first, first + 100)
    tell(flushed=bridge.flush(60))
    sys.stdin.readline()
"""


def test_a_receiver_whose_directory_is_renamed_stays_the_only_writer(tmp_path):
    """``mv logs logs.old``: the receiver goes on in a new directory, and a second one is refused."""
    log = tmp_path / "logs" / "app.log"
    ready = tmp_path / "ready"
    with ReceiverProcess(log, "--format", "{message}", "--ready-file", str(ready)) as first:
        first.ready = ready
        with Worker(LOG_THRICE, first.address) as worker:
            assert worker.stands()["flushed"]
            (tmp_path / "logs").rename(tmp_path / "logs.old")
            worker.go_on()
            assert worker.stands()["flushed"]
            second = ReceiverProcess(log)
            assert second.process.wait(60) == 1
            told = second.stderr.read_text()
            assert f"is written by process {first.process.pid} already; end that one, " in told
            worker.go_on()
            assert worker.stands()["flushed"]
        assert first.stop() == 0
    old, new = Account(tmp_path / "logs.old" / "app.log"), Account(log)
    assert len(old.found) == 100
    old.found += new.found
    old.check({"a": 300})
    assert (tmp_path / "logs" / ".app.log.ledger").stat().st_size > 100


def test_a_receiver_whose_place_is_taken_ends(tmp_path):
    """A second receiver that has begun where the log was ends the first, which says why."""
    log = tmp_path / "logs" / "app.log"
    with ReceiverProcess(log, "--format", "{message}") as first:
        with Worker(LOG_THRICE, first.address) as worker:
            assert worker.stands()["flushed"]
            (tmp_path / "logs").rename(tmp_path / "logs.old")
            with ReceiverProcess(log, XDG_RUNTIME_DIR=str(tmp_path / "elsewhere")) as second:
                worker.go_on()
                assert first.process.wait(60) == 1
                told = (tmp_path / "logs.old" / first.stderr.name).read_text()
                assert f"is written by process {second.process.pid}" in told, told
                assert second.stop() == 0
    assert len(Account(tmp_path / "logs.old" / "app.log").found) == 100
