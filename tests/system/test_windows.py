"""The modules for Windows, with stand-ins for its functions: what they decide, not what they call.

What they call is tested where there is a Windows, or Wine: see :mod:`tests.windows`.
"""

from __future__ import annotations

import os
import subprocess
import threading
from types import SimpleNamespace

import pytest

from loguru_stdbridge.addresses import plain_path
from loguru_stdbridge.system import spawning as common
from loguru_stdbridge.system.windows import (
    console,
    files,
    kernel,
    locks,
    paths,
    processes,
    spawning,
)
from tests.support.processes import run_python

UNAVAILABLE = """
import sys
import asyncio, ctypes, http.server, importlib, loguru, multiprocessing.spawn, pkgutil, ssl, subprocess
for name in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
import os
for name in ("fork", "forkpty", "register_at_fork", "posix_spawn", "geteuid", "getuid", "pwrite", "pread"):
    delattr(os, name)
sys.platform = sys.argv[1]
import loguru_stdbridge
from loguru_stdbridge import BridgeHandler, install_bridge, start_receiver
for module in pkgutil.walk_packages(loguru_stdbridge.__path__, "loguru_stdbridge."):
    if not module.name.endswith(("__main__", "sitecustomize")):
        try:
            importlib.import_module(module.name)
        except loguru_stdbridge.ConfigurationError as error:  # one that needs an extra
            assert "pip install" in str(error), error
chosen = importlib.import_module("loguru_stdbridge.system.files").open_file.__module__
print("imported", chosen.split(".")[2])
"""


@pytest.mark.parametrize(("platform", "chosen"), [("linux", "files"), ("win32", "windows")])
def test_all_can_be_imported_where_posix_is_missing(platform, chosen):
    """Without fcntl, pwd, grp, resource and fork every module of the package can be imported."""
    status, out, err = run_python(UNAVAILABLE, platform)
    assert (status, out) == (0, f"imported {chosen}\n"), err


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (os.O_RDWR, 3),
        (os.O_RDWR | os.O_CREAT, 4),
        (os.O_RDWR | os.O_CREAT | os.O_EXCL, 1),
        (os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 2),
        (os.O_WRONLY | os.O_TRUNC, 5),
    ],
)
def test_flags_of_open_mean_what_they_mean_to_windows(flags, wanted):
    """Each combination of the flags for making and emptying has its number of ``CreateFileW``."""
    assert files.disposition(flags) == wanted


def test_a_file_has_a_number_of_64_bits():
    """Numbers of 128 bits, which ReFS has, fit the ledger, and the volume does not count."""
    big = SimpleNamespace(st_dev=7, st_ino=(5 << 64) + 3)
    same = SimpleNamespace(st_dev=0, st_ino=(5 << 64) + 3)
    other = SimpleNamespace(st_dev=7, st_ino=(6 << 64) + 3)
    assert files.file_key(big) == files.file_key(same) != files.file_key(other)
    assert all(number < 1 << 64 for number in files.file_key(big))


class Busy:
    """Stands for the renaming on Windows: a file that is open cannot be replaced."""

    def __init__(self, monkeypatch, held=()):
        self.held = set(held)
        self.real = os.rename
        monkeypatch.setattr(os, "rename", self.rename)
        monkeypatch.setattr(os, "replace", self.replace)

    def rename(self, source, target):
        if os.path.exists(target):
            raise FileExistsError(source, target)
        if self.held & {os.path.basename(source), os.path.basename(target)}:
            raise PermissionError(13, "in use", source)
        self.real(source, target)

    def replace(self, source, target):
        raise PermissionError(13, "the target is open", target)


@pytest.fixture
def two(tmp_path):
    """Make the files ``new`` and ``old``, and return their paths."""
    for name in ("new", "old"):
        (tmp_path / name).write_text(name)
    return str(tmp_path / "new"), str(tmp_path / "old")


def test_an_open_file_is_replaced_by_way_of_another_name(two, monkeypatch, tmp_path):
    """A target that is open is renamed first; afterwards only the new file is there."""
    Busy(monkeypatch)
    files.replace_file(*two)
    assert (tmp_path / "old").read_text() == "new"
    assert os.listdir(tmp_path) == ["old"]


@pytest.mark.parametrize("held", ["new", "old"])
def test_a_file_in_use_stays_what_it_was(two, monkeypatch, tmp_path, held):
    """Where somebody shares neither file, an error tells it, and both are as they were."""
    Busy(monkeypatch, [held])
    with pytest.raises(PermissionError):
        files.replace_file(*two, patience=0)
    assert sorted(os.listdir(tmp_path)) == ["new", "old"]
    assert (tmp_path / "old").read_text() == "old"


def test_a_scanner_is_waited_for(two, monkeypatch, tmp_path):
    """A program that looks at a new file for a moment does not make the renaming fail."""
    busy = Busy(monkeypatch, ["new"])
    timer = threading.Timer(0.05, busy.held.clear)
    timer.start()
    files.replace_file(*two)
    timer.join()
    assert (tmp_path / "old").read_text() == "new"


def test_a_kill_between_two_renamings_is_put_right(two, tmp_path):
    """The old file comes back to its name, and one that is not needed goes."""
    aside = tmp_path / "old.replaced-01"
    os.rename(two[1], aside)
    files.recover_replaced(two[1])
    assert (tmp_path / "old").read_text() == "old"
    aside.write_text("older")
    files.recover_replaced(two[1])
    assert sorted(os.listdir(tmp_path)) == ["new", "old"]
    files.recover_replaced(str(tmp_path / "absent" / "old"))


def test_the_locked_byte_is_behind_every_file():
    """The byte lies where no file ends, and its place is told in two halves."""
    at = kernel.place(locks.LOCKED_BYTE)
    assert (at.offset_low, at.offset_high) == (0, 1 << 30)
    assert locks.LOCKED_BYTE < 1 << 63


def fake_kernel(monkeypatch, module, **functions):
    """Let a module have ``functions`` in the place of Windows'."""
    monkeypatch.setattr(module, "function", lambda name, **options: functions[name])


@pytest.mark.parametrize(("code", "taken"), [(33, False), (997, False), (0, True)])
def test_a_lock_that_another_has_is_not_taken(monkeypatch, code, taken):
    """Windows says "locked" by two errors; any other is an error of the file system."""
    monkeypatch.setattr(locks, "handle_of", lambda descriptor: descriptor)
    monkeypatch.setattr(locks, "_last_error", lambda: code)
    fake_kernel(monkeypatch, locks, LockFileEx=lambda *arguments: not code)
    assert locks.lock_descriptor(3) == taken


def test_a_process_that_may_not_be_opened_is_there(monkeypatch):
    """A process of another user's is running, an unknown number is not, and none is ended."""
    fake_kernel(monkeypatch, processes, OpenProcess=lambda access, inherit, pid: 0)
    monkeypatch.setattr(processes, "last_error", lambda: 5)
    assert processes.is_alive(1234)
    monkeypatch.setattr(processes, "last_error", lambda: 87)
    assert not processes.is_alive(1234)
    assert not processes.is_alive(0)
    assert not processes.is_alive(1 << 40)


def test_the_end_of_a_console_waits_for_the_program():
    """Closing, logging off and shutting down end the program in order, and Ctrl-C is Python's."""
    ended, over = [], threading.Event()
    handler = console.make_handler(lambda: (ended.append(1), over.set()), over, 10)
    assert [handler(event) for event in (0, 1)] == [0, 0]
    assert not ended
    assert [handler(event) for event in (2, 5, 6)] == [1, 1, 1]
    assert len(ended) == 3


class Started:
    """Stands for a process that was started with a pipe for its stderr."""

    def __init__(self, stderr, flags):
        self.stderr, self.flags = os.dup(stderr), flags
        self.returncode = self.status = None

    def poll(self):
        return self.status

    def say(self, text=b"", *, is_last=False):
        os.write(self.stderr, text)
        if is_last:
            os.close(self.stderr)


@pytest.fixture
def started(monkeypatch):
    """Start a stand-in by :class:`SpawnedProcess`, from a job that lets nothing go."""
    made = []

    def start(command, environment, stderr, flags):
        if flags:
            raise PermissionError(13, "the job keeps its processes")
        made.append(Started(stderr, flags))
        return made[-1]

    def count_waiting(descriptor):
        os.set_blocking(descriptor, False)
        try:
            data = os.read(descriptor, 1000)
        except BlockingIOError:
            return 0
        if not data:
            raise BrokenPipeError
        kept.append(data)
        return len(data)

    kept = []
    monkeypatch.setattr(spawning, "_start", start)
    monkeypatch.setattr(spawning, "_count_waiting", count_waiting)
    real = os.read
    monkeypatch.setattr(os, "read", lambda fd, size: kept.pop() if kept else real(fd, size))
    for name in ("start", "exit_status", "read_waiting", "has_begun", "forget_process"):
        monkeypatch.setattr(common, name, getattr(spawning, name))
    process = common.SpawnedProcess(["python"], {})
    yield process, made[0]
    process.close()


def test_a_receiver_that_closes_its_pipe_has_begun(started):
    """While the pipe is open nothing is known; its end says that the receiver has begun."""
    process, child = started
    assert process.poll() is None
    child.say(is_last=True)
    assert process.poll() == 0
    assert child.status is None


def test_a_receiver_that_says_so_has_begun(started):
    """One byte says that the receiver has begun, though another program holds the pipe open."""
    process, child = started
    child.say(b"\0")
    assert process.poll() == 0
    os.close(child.stderr)


def test_a_receiver_that_ends_says_why(started):
    """A receiver that could not begin gives its exit status, and the last line that it said."""
    process, child = started
    child.say(b"trouble\nthe disk is full\n", is_last=True)
    child.status = 78
    assert process.poll() == 78
    assert process.told == "the disk is full"


def test_a_job_is_left_where_it_can_be():
    """The flags for a process without a window that leaves its parent's job are Windows' own."""
    flags = spawning._NO_WINDOW | spawning._LEAVE_JOB | spawning._NEW_GROUP
    named = {
        "CREATE_NO_WINDOW": spawning._NO_WINDOW,
        "CREATE_BREAKAWAY_FROM_JOB": spawning._LEAVE_JOB,
        "CREATE_NEW_PROCESS_GROUP": spawning._NEW_GROUP,
    }
    assert flags == 0x09000200
    for name, value in named.items():
        assert getattr(subprocess, name, value) == value


@pytest.mark.parametrize(
    ("path", "what"),
    [
        (r"C:\logs\app.log", ""),
        (r"\\server\share\logs\app.log", ""),
        (r"\\?\C:\logs\app.log", ""),
        (r"C:\logs\con.log", "device"),
        (r"C:\nul", "device"),
        (r"C:\COM1 \app.log", "device"),
        (r"C:\console.log", ""),
        (r"C:\logs\app:2.log", "':'"),
        (r"C:\logs\what?.log", "'?'"),
        (r"C:\logs\app.", "takes the end"),
        (r"C:\logs \app.log", "takes the end"),
        (r"C:\logs\..\app.log", ""),
    ],
)
def test_a_path_that_means_something_else_to_windows_is_told(path, what):
    """Names of devices, streams of files and ends that are cut off are no paths of a log."""
    trouble = paths.find_path_trouble(path)
    assert bool(trouble) == bool(what)
    assert what in trouble


def test_a_long_path_gets_its_prefix():
    """A path that is long with all that will lie beside it is said in the way without a limit."""
    deep = "\\deep" * 40
    assert paths.make_reachable(r"C:\logs\app.log") == r"C:\logs\app.log"
    assert paths.make_reachable(f"C:{deep}\\app.log") == f"\\\\?\\C:{deep}\\app.log"
    assert paths.make_reachable(f"\\\\s\\h{deep}\\a") == f"\\\\?\\UNC\\s\\h{deep}\\a"
    assert paths.make_reachable("C:\\", f"C:{deep}\\a") == "\\\\?\\C:\\"
    once = paths.make_reachable(f"C:{deep}\\app.log")
    assert paths.make_reachable(once) == once
    assert plain_path(once) == f"C:{deep}\\app.log"
    assert plain_path(f"\\\\?\\UNC\\s\\h{deep}\\a") == f"\\\\s\\h{deep}\\a"
