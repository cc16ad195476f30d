"""Workers and receivers find one directory for the sockets of logs, and trust none too easily."""

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
    """A receiver makes its directory in ``XDG_RUNTIME_DIR``, closed to other users."""
    assert runtime_directories(make=True) == [str(xdg / "loguru_stdbridge")]
    assert (xdg / "loguru_stdbridge").stat().st_mode & 0o777 == 0o700


def test_a_worker_without_the_variable_finds_what_a_receiver_without_it_made(monkeypatch):
    """Processes without ``XDG_RUNTIME_DIR``, such as those of cron, agree on one directory."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/nowhere")
    made = runtime_directories(make=True)
    assert made and made[0] in runtime_directories()


def test_a_worker_tries_all_that_are_there(xdg, monkeypatch):
    """A worker tries every directory, since its receiver may lack the variable that it has."""
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    made = runtime_directories(make=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(xdg))
    runtime_directories(make=True)
    found = runtime_directories()
    assert found[0] == str(xdg / "loguru_stdbridge")
    assert made[0] in found


def test_a_directory_open_to_others_is_passed_over(xdg):
    """A directory that is open to others is not used: they could put a socket there."""
    (xdg / "loguru_stdbridge").mkdir(mode=0o755)
    (xdg / "loguru_stdbridge").chmod(0o755)
    assert str(xdg / "loguru_stdbridge") not in runtime_directories(make=True)


def test_a_link_is_passed_over(xdg, tmp_path):
    """A symbolic link in the place of the directory is not followed."""
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (xdg / "loguru_stdbridge").symlink_to(tmp_path / "elsewhere")
    assert str(xdg / "loguru_stdbridge") not in runtime_directories(make=True)


def test_a_directory_of_another_user_is_passed_over(xdg, monkeypatch):
    """A directory of another user is not used."""
    runtime_directories(make=True)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert str(xdg / "loguru_stdbridge") not in runtime_directories()


def test_a_system_without_users_has_its_directory_in_the_user_s_data(tmp_path, monkeypatch):
    """Without Unix users the directory lies in the user's application data, and none is shared."""
    monkeypatch.setattr(runtime, "HAS_USERS", False)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    made = str(tmp_path / "loguru_stdbridge.run")
    assert runtime.runtime_directories(make=True) == [made]
    assert runtime.shared_directory(0) is None


def test_the_socket_of_a_log_is_short_and_its_own():
    """Each log in each network namespace has a socket name of its own that fits an address."""
    names = {
        log_socket_name(path, network)
        for path in ("/var/log/app.log", "/var/log/app2.log", "/\udcff.log")
        for network in ("", "1", "2")
    }
    assert len(names) == 9
    assert all(len(name) == 21 for name in names)


def test_a_directory_beside_the_log_is_the_last_resort(tmp_path, monkeypatch):
    """Where no other directory can be written, the one beside the log is made, and then found."""
    monkeypatch.setattr(os, "access", lambda path, mode, **more: str(tmp_path) in str(path))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    (tmp_path / "logs").mkdir()
    log = str(tmp_path / "logs" / "app.log")
    (made,) = runtime_directories(make=True, beside=log)
    assert made == str(tmp_path / "logs" / f".loguru_stdbridge-{os.getuid()}")
    assert os.stat(made).st_mode & 0o777 == 0o700
    assert made in runtime_directories(beside=log)
    assert made not in runtime_directories(beside=str(tmp_path / "other" / "app.log"))
