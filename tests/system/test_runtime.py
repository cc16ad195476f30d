"""The directory for the sockets of logs: found by both sides, trusted by neither too easily."""

from __future__ import annotations

import os

import pytest

from loguru_stdbridge.system import runtime
from loguru_stdbridge.system.runtime import log_socket_name, runtime_directories


@pytest.fixture
def xdg(tmp_path, monkeypatch):
    """A ``XDG_RUNTIME_DIR`` of the test's own."""
    directory = tmp_path / "xdg"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    return directory


def test_a_receiver_makes_the_first_directory_that_it_can(xdg):
    """The directory is made in ``XDG_RUNTIME_DIR``, closed to others."""
    assert runtime_directories(make=True) == [str(xdg / "loguru_stdbridge")]
    assert (xdg / "loguru_stdbridge").stat().st_mode & 0o777 == 0o700


def test_a_worker_without_the_variable_finds_what_a_receiver_without_it_made(monkeypatch):
    """Processes without ``XDG_RUNTIME_DIR``, as cron's, agree on one directory."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    made = runtime_directories(make=True)
    assert made and made[0] in runtime_directories()


def test_a_worker_tries_all_that_are_there(xdg, monkeypatch):
    """A receiver may have been started without the variable that a worker has."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    made = runtime_directories(make=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(xdg))
    runtime_directories(make=True)
    found = runtime_directories()
    assert found[0] == str(xdg / "loguru_stdbridge")
    assert made[0] in found


def test_a_directory_open_to_others_is_passed_over(xdg):
    """Whoever could put a socket there could read the log."""
    (xdg / "loguru_stdbridge").mkdir(mode=0o755)
    (xdg / "loguru_stdbridge").chmod(0o755)
    assert str(xdg / "loguru_stdbridge") not in runtime_directories(make=True)


def test_a_link_is_passed_over(xdg, tmp_path):
    """A symbolic link may lead anywhere, so none is followed."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (xdg / "loguru_stdbridge").symlink_to(tmp_path / "elsewhere")
    assert str(xdg / "loguru_stdbridge") not in runtime_directories(make=True)


def test_a_directory_of_another_user_is_passed_over(xdg, monkeypatch):
    """Only this user's own directory is trusted."""
    runtime_directories(make=True)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert str(xdg / "loguru_stdbridge") not in runtime_directories()


def test_a_system_without_users_has_no_such_directory(monkeypatch):
    """Where there are no Unix users there are no directories of theirs, and no error."""
    monkeypatch.delattr(os, "getuid")
    assert runtime.runtime_directories(make=True) == []


def test_the_socket_of_a_log_is_short_and_its_own():
    """Each log and each network namespace has a name of its own that fits a socket address."""
    names = {
        log_socket_name(path, network)
        for path in ("/var/log/app.log", "/var/log/app2.log", "/\udcff.log")
        for network in ("", "1", "2")
    }
    assert len(names) == 9
    assert all(len(name) == 21 for name in names)
