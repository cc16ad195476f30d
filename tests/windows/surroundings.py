"""The scenes about what is around a process on Windows: its console, its job, the paths it is given.

``python -m tests.windows.surroundings NAME`` plays one, as :mod:`~tests.windows.scenes` does. They
need Windows' own functions, so elsewhere they say so and end.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

from loguru_stdbridge.system.locks import is_locked
from tests.support.waiting import wait_until

from .scenes import PATIENCE, Stage, stage, tell

_NEW_CONSOLE, _SUSPENDED = 0x10, 0x4
_USE_STREAMS = 0x100
_CLOSE_MESSAGE = 0x10
_KILL_ON_CLOSE, _BREAKAWAY_OK, _EXTENDED_LIMITS = 0x2000, 0x800, 9

_BREAK_WHEN_ASKED = """
import os, signal, sys, threading, time
def wait(asked=os.path.join(os.path.dirname(os.path.dirname(sys.argv[1])), "break")):
    while not os.path.exists(asked):
        time.sleep(0.05)
    signal.raise_signal(signal.SIGBREAK)
threading.Thread(target=wait, daemon=True).start()
"""
"""What runs in the receiver before it begins."""

_ctypes: Any = ctypes  # half of both is there on Windows alone
_subprocess: Any = subprocess


class _JobLimits(ctypes.Structure):
    """``JOBOBJECT_EXTENDED_LIMIT_INFORMATION``; its flags alone are used."""

    _fields_ = (
        ("times", ctypes.c_int64 * 2),
        ("flags", ctypes.c_uint32),
        ("rest", ctypes.c_char * 124),
    )


def _library(name: str) -> Any:
    """Return a library of Windows, whose functions return and take handles of any length."""
    library = _ctypes.WinDLL(name, use_last_error=True)
    for function in ("CreateFileW", "CreateJobObjectW", "GetConsoleWindow"):
        with contextlib.suppress(AttributeError):
            getattr(library, function).restype = ctypes.c_void_p
    return library


def _handle_of(process: Any) -> int:
    return int(process._handle)


@contextlib.contextmanager
def console() -> Iterator[Any]:
    """Give this process a console with a window of its own, and yield kernel32."""
    kernel = _library("kernel32")
    keeper = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        creationflags=_NEW_CONSOLE,
    )
    kernel.FreeConsole()
    try:
        wait_until(lambda: kernel.AttachConsole(keeper.pid), 30, "the new console is there")
        kernel.SetConsoleCtrlHandler(None, 1)  # what is typed there is not for this process
        yield kernel
    finally:
        kernel.FreeConsole()
        keeper.kill()
        keeper.wait()
        assert keeper.stdin is not None
        keeper.stdin.close()


def play_break(options: argparse.Namespace) -> int:
    """Ctrl-Break ends the receiver in order; the worker goes on, and the next one has its records.

    The signal is raised in the receiver itself, as its console would: Wine's does not.
    """
    with stage() as made:
        made.start_receiver(before=_BREAK_WHEN_ASKED)
        made.wait_ready()
        made.start_worker("a", 0, 5)
        wait_until(lambda: made.returned("a"), PATIENCE, "it logs")
        assert made.receiver is not None
        (made.directory / "break").touch()
        status = made.receiver.wait(PATIENCE)
        ended = made.words_of_others().count(" ended: ")
        before = made.returned("a")
        wait_until(lambda: made.returned("a") > before, PATIENCE, "it goes on")
        return _end(made, f"Ctrl-Break, status {status}, in order {ended} of 1 times") or (
            status != 0 or ended != 1
        )


def play_closed(options: argparse.Namespace) -> int:
    """The window of the console is closed: the receiver and the worker end, and nothing is lost."""
    with stage() as made, console() as kernel:
        made.start_receiver()
        made.wait_ready()
        made.start_worker("a", 0, 5)
        wait_until(lambda: made.returned("a"), PATIENCE, "it logs")
        assert made.receiver is not None
        window = kernel.GetConsoleWindow()
        assert window, "the console has no window"
        kernel.FreeConsole()  # else this process ends with it
        made.killed.add("a")
        _library("user32").PostMessageW(ctypes.c_void_p(window), _CLOSE_MESSAGE, 0, 0)
        made.receiver.wait(PATIENCE)
        made.names["a"].wait(PATIENCE)
        return _end(made, "console closed")


def _end(made: Stage, title: str) -> int:
    """Deliver what is left, and judge."""
    (made.directory / "stop").touch()
    made.start_receiver()
    made.wait_ready()
    made.wait_for_workers()
    made.end()
    return tell(made, title)


def play_windowless(options: argparse.Namespace) -> int:
    """Programs under ``pythonw``, which have no stderr, start a receiver and log."""
    with stage() as made:
        words = (str(made.sink), "rotation=200 KB", "compression=gz", "format={message}")
        python = str(Path(sys.executable).with_name("pythonw.exe"))
        check = "import sys; assert sys.stderr is None is sys.stdout"
        streams = _subprocess.STARTUPINFO(dwFlags=_USE_STREAMS)  # and there are none
        nothing = {**dict.fromkeys(("stdin", "stdout", "stderr")), "startupinfo": streams}
        for name in "ab":
            made.start_worker(name, 2000, 1, *words, before=check, python=python, **nothing)
        made.wait_for_workers()
        _wait_for_receivers(made)
        made.told.close()
        return tell(made, "pythonw", f"{_count(made, ' writing ')} receiver began, ")


def play_job(options: argparse.Namespace) -> int:
    """A parent's job ends all its processes: the receiver with them, or not, as the job says."""
    statuses = []
    for allowed in (0, _BREAKAWAY_OK):
        with stage() as made:
            words = (str(made.sink), "rotation=200 KB", "compression=gz", "format={message}")
            kernel, job = _library("kernel32"), None
            job = ctypes.c_void_p(kernel.CreateJobObjectW(None, None))
            limits = _JobLimits(flags=_KILL_ON_CLOSE | allowed)
            assert kernel.SetInformationJobObject(
                job, _EXTENDED_LIMITS, ctypes.byref(limits), ctypes.sizeof(limits)
            )
            made.start_worker("a", 0, 1, *words, creationflags=_SUSPENDED)
            handle = ctypes.c_void_p(_handle_of(made.names["a"]))
            assert kernel.AssignProcessToJobObject(job, handle)
            _library("ntdll").NtResumeProcess(handle)
            wait_until(lambda: made.sink.exists() and made.sink.stat().st_size, PATIENCE, "lines")
            made.killed.add("a")
            kernel.CloseHandle(job)
            made.names["a"].wait(PATIENCE)
            _wait_for_receivers(made)
            before = _count(made, " ended: ")
            made.start_worker("b", 1000, 1, *words)
            made.wait_for_workers()
            _wait_for_receivers(made)
            made.told.close()
            what = f"{before} receiver outlived it, {_count(made, ' writing ')} began in all, "
            title = "a job that lets go" if allowed else "a job that keeps"
            statuses.append(tell(made, title, what) or before != bool(allowed))
    return int(any(statuses))


def play_paths(options: argparse.Namespace) -> int:
    """A log at a path of over 260 characters, and one at a path of the network."""
    deep = Path(tempfile.gettempdir()).joinpath(f"lsb{os.getpid()}", *["deep" * 10] * 6)
    drive, rest = os.path.splitdrive(tempfile.mkdtemp(prefix="lsb"))
    places = {
        "long": (str(deep / "app.log"), f"\\\\?\\{deep}"),
        "network": (f"\\\\localhost\\{drive[0]}$\\{rest}\\app.log".replace("$\\\\", "$\\"), ""),
    }
    statuses = []
    for title, (sink, named) in places.items():
        directory = named or os.path.dirname(sink)
        os.makedirs(directory, exist_ok=True)
        with stage() as made:
            words = (sink, "rotation=50 KB", "compression=gz", "format={message}", "retention=50")
            for name in "ab":
                made.start_worker(name, 2000, 1, *words)
            made.sink = Path(directory, "app.log")  # by which this process reaches it
            made.wait_for_workers()
            _wait_for_receivers(made)
            made.told.close()
            statuses.append(tell(made, f"{title} path", f"{len(sink)} characters, "))
    return int(any(statuses))


def _count(made: Stage, words: str) -> int:
    """Return how often the receivers that workers have started have said something."""
    try:
        text = made.sink.with_name(".app.log.receiver").read_text(encoding="utf-8")
    except OSError:
        return 0
    return text.count(words)


def _wait_for_receivers(made: Stage) -> None:
    """Wait until the receiver that workers have started has ended."""
    lock = str(made.sink.with_name(".app.log.lock"))
    time.sleep(0.1)
    wait_until(lambda: not is_locked(lock), PATIENCE, "the receiver has ended by itself")


SCENES: dict[str, Callable[[argparse.Namespace], int]] = {
    "break": play_break,
    "closed": play_closed,
    "windowless": play_windowless,
    "job": play_job,
    "paths": play_paths,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", choices=SCENES)
    options = parser.parse_args(argv)
    if os.name != "nt":
        print(f"{options.scene}: needs Windows' own functions, and {sys.platform} has none")
        return 0
    return SCENES[options.scene](options)


if __name__ == "__main__":
    sys.exit(main())
