"""``install_bridge(sink=...)`` in programs that are no plain Python, or may write next to nothing.

    python -m pip install '.[frozen]' uwsgi
    python -m tests.frameworks.at_home                # all of them
    python -m tests.frameworks.at_home zipapp uwsgi

``zipapp``      one file with the program, this package and Loguru in it, run by a relative path
``frozen``      a PyInstaller program; no Python is there, so one process after the other has the
                receiver in a thread
``uwsgi``       loads the application, then forks in C
``executable``  ``sys.executable`` is empty, as in an embedded Python
``readonly``    every file system is read-only but the log's own directory (root only)

Processes ask in the same instant, and the receiver is killed meanwhile (not the frozen program's,
which is a thread of the application). Every line has to be in the file once, and nothing may be left
(:mod:`tests.support.at_home`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipapp as stdlib_zipapp
from collections.abc import Callable, Sequence
from pathlib import Path

import loguru_stdbridge
from tests.support.at_home import (
    LEFT_OVER,
    PROGRAM,
    Home,
    copy_packages,
    receiver_pids,
    runtime_directory,
    writer_of,
)
from tests.support.processes import Account, free_port

VERSION = "9.9.9"
"""Of the package in the zipapp: a receiver of any other one would be told of."""


def _play(home: Home) -> str:
    """Play one round; return what was wrong."""
    try:
        home.play()
    finally:
        home.release()
    shown = home.finish()
    print(
        f"    {shown.lines} lines, {shown.kills} kills, {shown.begun} receivers began, nothing left "
        f"after {shown.left_over:.1f} s",
        flush=True,
    )
    return "; ".join(shown.wrong)


def make_zipapp(directory: Path) -> Path:
    """Make one file of the program, this package and Loguru."""
    tree = directory / "tree"
    copy_packages(tree, VERSION)
    (tree / "__main__.py").write_text(PROGRAM)
    archive = directory / "app.pyz"
    stdlib_zipapp.create_archive(tree, archive)
    return archive


def zipapp(directory: Path, processes: int = 8, kills: int = 2) -> str:
    """Run the archive by a relative path, isolated from what is installed beside it."""
    archive = make_zipapp(directory)
    program = (sys.executable, "-I", "-S", os.path.relpath(archive))
    return _play(
        Home(directory / "run", 1, processes=processes, lines=50, kills=kills, linger=1.0,
             program=program)
    )  # fmt: skip


def executable(directory: Path, processes: int = 8, kills: int = 2) -> str:
    """Empty ``sys.executable`` before the bridge is imported."""
    program = (sys.executable, "-c", f"import sys; sys.executable = ''\n{PROGRAM}")
    return _play(
        Home(directory / "run", 2, processes=processes, lines=50, kills=kills, linger=1.0,
             program=program)
    )  # fmt: skip


def frozen(directory: Path) -> str:
    """Freeze the program; each of its processes has the receiver in turn."""
    script = directory / "program.py"
    script.write_text(PROGRAM)
    built = subprocess.run(
        [
            sys.executable, "-m", "PyInstaller", "--onedir", "--name", "program", "--noconfirm",
            "--log-level", "ERROR", "--distpath", str(directory / "dist"), "--workpath",
            str(directory / "work"), "--specpath", str(directory), "--paths",
            str(Path(loguru_stdbridge.__file__).parents[1]), str(script),
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if built.returncode:
        return f"PyInstaller: {built.stderr[-500:]}"
    program = (str(directory / "dist" / "program" / "program"),)
    home = Home(directory / "run", 3, processes=8, lines=50, kills=0, linger=1.0, program=program,
                expected_messages="runs in a thread of this process")  # fmt: skip
    try:
        home.play()
    finally:
        home.release()
    # Who ended last may have left the journals of others: the next process delivers them.
    last = Home(directory / "run", 4, processes=1, lines=50, kills=0, linger=1.0, program=program,
                expected_messages="runs in a thread of this process", first=8)  # fmt: skip
    try:
        last.play()
    finally:
        last.release()
    account = Account(home.sink)
    verdict = account.verdict({f"w{number}": 50 for number in range(9)})
    print(f"    {len(account.found)} lines", flush=True)
    return "; ".join([*home.wrong, *last.wrong, *([] if verdict.clean else [str(verdict)])])


WSGI = """
import os
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
install_bridge(sink=os.environ["APP_LOG"], format="{message}", linger=1)
logger.info("loaded")

def application(environ, start_response):
    logger.info("request {}", environ["PATH_INFO"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]
"""
REQUESTS = 30


def uwsgi(directory: Path) -> str:
    """Ask two workers of uWSGI for pages, and kill the receiver twice."""
    (directory / "page.py").write_text(WSGI)
    sink, port = directory / "logs" / "app.log", free_port()
    command = [
        str(Path(sys.executable).with_name("uwsgi")), "--http-socket", f"127.0.0.1:{port}",
        "--module", "page:application", "--master", "--processes", "2", "--need-app",
        "--die-on-term", "--home", sys.prefix, "--pythonpath", str(directory), "--disable-logging",
    ]  # fmt: skip
    environment = {
        **os.environ,
        "APP_LOG": str(sink),
        "LOGURU_STDBRIDGE_SPOOL_DIR": str(directory / "spool"),
    }
    wanted = ["loaded"] + [f"request /{number}" for number in range(REQUESTS)]
    with open(directory / "output.txt", "wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        for number in range(REQUESTS):
            _get(f"http://127.0.0.1:{port}/{number}")
            if number in (REQUESTS // 3, 2 * REQUESTS // 3):
                _until(lambda: writer_of(sink) is not None, 20)
                os.kill(writer_of(sink) or 0, 9)
        _until(lambda: _lines(sink) == sorted(wanted), 20)
        found = _lines(sink)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return "uWSGI does not end"
    _until(lambda: not receiver_pids(sink), LEFT_OVER)
    if receiver_pids(sink):
        return "a receiver is left"
    print(f"    {len(found)} lines, 2 kills, nothing left", flush=True)
    return "" if found == sorted(wanted) else f"{found}"


def _get(url: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                answer.read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            threading.Event().wait(0.05)


def _until(condition: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not condition() and time.monotonic() < deadline:
        threading.Event().wait(0.05)


def _lines(sink: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(sink.read_text().splitlines())
    return []


_ALL_READ_ONLY = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=0700 tmpfs "$1"
cut -d ' ' -f 5,6 /proc/self/mountinfo | while read -r place options; do
    case "$place" in "$1"|/proc*|/sys*|/dev|/dev/pts|/dev/mqueue) continue;; esac
    mount -o remount,bind,ro "$place" 2> /dev/null || echo "still writable: $place" >&2
done
exec env -u XDG_RUNTIME_DIR -u XDG_STATE_HOME -u LOGURU_STDBRIDGE_SPOOL_DIR -u TMPDIR HOME=/nonexistent \\
    "$2" -m tests.frameworks.at_home --inside "$1"
"""


def readonly(directory: Path) -> str:
    """Run everything in a mount namespace of its own, where only the log's directory is writable."""
    place = directory / "writable"
    place.mkdir()
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _ALL_READ_ONLY, "sh", str(place), sys.executable],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    print(done.stdout, end="", flush=True)
    return done.stderr if done.returncode else ""


def _inside_readonly(place: Path) -> str:
    user = os.getuid()
    return _play(
        Home(place, 5, processes=8, lines=50, kills=2, linger=1.0,
             spool=place / "logs" / f".loguru_stdbridge-{user}.spool")
    )  # fmt: skip


CASES = {case.__name__: case for case in (zipapp, frozen, uwsgi, executable, readonly)}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the cases that are named; return 1 where one is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.frameworks.at_home")
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)} (all)")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.inside is not None:
        wrong = _inside_readonly(options.inside)
        print(wrong, file=sys.stderr)
        return 1 if wrong else 0
    failures = 0
    for name in options.cases or CASES:
        print(name, flush=True)
        with tempfile.TemporaryDirectory(prefix="at-home-") as directory, runtime_directory():
            wrong = CASES[name](Path(directory))
        failures += bool(wrong)
        print(f"    {'WRONG: ' + wrong if wrong else 'right'}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
