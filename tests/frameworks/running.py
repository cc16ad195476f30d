"""A program that runs: started in a directory of its own, asked, waited for, ended.

Its stdout and stderr go into one file, the console. With the bridge, a receiver writes ``app.log``
beside it; without, the application's two lines are cut out of its file, and nothing else differs.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Callable, NamedTuple

from tests.support.processes import ReceiverProcess

from .lines import KINDS, SAID, Line, Lines, count

APPS = Path(__file__).parent / "apps"

TWO_LINES = re.compile(
    r"^ *from loguru_stdbridge import install_bridge\n\n?^ *install_bridge\(\)\n", re.MULTILINE
)

PATIENCE = 90.0
"""Seconds that one step of a program may take; the slowest, Dask's start, takes about 5."""


class Program(NamedTuple):
    """One row of the table."""

    name: str
    command: str
    """Words, with ``{python}`` and ``{port}``."""
    files: str
    """The files under ``apps/``: the first has the two lines, and the others lose them. ``a:b``: it
    is called ``b`` beside the program."""
    steps: Callable[[Running], None]
    own: Mapping[str, Lines]
    """The lines that are not those of :data:`SAID`."""
    needs: tuple[str, ...] = ()
    """What has to be importable."""
    ignored: str = "/pid|Worker exiting"
    """Lines of the console that differ from one run to the next."""
    in_suite: bool = False
    beside: Callable[[int], contextlib.AbstractContextManager[None]] = contextlib.nullcontext
    """What has to run beside it, at ``{port}``."""
    injected: Mapping[str, Lines] = {}
    """The lines that the two lines in the application do not reach, and an injected bridge does."""

    def lines(self, *, injected: bool = False) -> dict[str, Lines]:
        """The lines of each kind; ``injected``: with the bridge in each of its processes."""
        own = {**self.own, **(self.injected if injected else {})}
        unknown = set(own) - set(KINDS)
        assert not unknown, f"{self.name}: {unknown}"
        return {**SAID, **own}


class Running:
    """One run of a program; killed with its whole process group at the end of the ``with`` block."""

    def __init__(
        self, command: Sequence[str], directory: Path, environment: Mapping[str, str], port: int
    ) -> None:
        self.command = list(command)
        self.directory = directory
        self.environment = environment
        self.port = port

    def __enter__(self) -> Running:
        with open(self.directory / "console", "ab") as console:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    @property
    def console(self) -> str:
        return (self.directory / "console").read_text(errors="replace")

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until it holds; fail with the console where it never does."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {PATIENCE:g} s\n{self.console[-3000:]}")
            threading.Event().wait(0.02)

    def until_told(self, line: Line) -> None:
        """Wait until the console holds it."""
        self.until(lambda: count(line, self.console) >= line.times, str(line))

    def get(self, path: str) -> tuple[int, str]:
        """Status and body of a request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def until_it_answers(self) -> int:
        """Wait for the web server; returns the process id of the worker that answered."""
        found = []

        def answers() -> bool:
            if self.process.poll() is not None:
                raise ChildProcessError(f"it has ended\n{self.console[-3000:]}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                found.append(int(self.get("/pid")[1]))
            return bool(found)

        self.until(answers, "it answers")
        return found[0]

    def terminate(self) -> None:
        """Ask the program's main process to end, as a supervisor does."""
        self.process.terminate()

    def interrupt(self) -> None:
        """Interrupt all of its processes, as Ctrl-C at a terminal does."""
        os.killpg(self.process.pid, signal.SIGINT)

    def until_its_end(self) -> None:
        self.until(lambda: self.process.poll() is not None, "its end")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def copy_apps(directory: Path, files: str, bridge: bool) -> None:
    """Put an application's files into ``directory``: see :class:`Program`."""
    for number, names in enumerate(["said.py", *files.split()]):
        source, _, target = names.partition(":")
        text = (APPS / source).read_text(encoding="utf-8")
        if number != 1 or not bridge:
            text = TWO_LINES.sub("", text)
        (directory / (target or source)).write_text(text, encoding="utf-8")


@contextlib.contextmanager
def receiving(directory: Path) -> Iterator[str]:
    """A receiver of ``app.log``; yields its address, and leaves when all that was logged is there."""
    spool = directory / "spool"
    with ReceiverProcess(directory / "app.log", LOGURU_STDBRIDGE_SPOOL_DIR=str(spool)) as receiver:
        yield receiver.address
        deadline = time.monotonic() + 30
        while list(spool.glob("*/meta")) and time.monotonic() < deadline:
            threading.Event().wait(0.05)  # journals of dead processes: the receiver adopts them
        receiver.stop()


_RECEIVER_S_OWN = re.compile(r"^loguru_stdbridge\.receiver: .*\n", re.MULTILINE)


def drive(
    program: Program, directory: Path, *, bridge: bool, inject: bool = False
) -> tuple[str, str]:
    """Run a program, with or without the bridge; returns what is on its console and in the file.

    ``inject``: the application has no line, and the program is a receiver's command.
    """
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    copy_apps(directory, program.files, bridge and not inject)
    port = free_port()
    words = [word.format(port=port, python=sys.executable) for word in program.command.split()]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("LOGURU_STDBRIDGE")
    }
    environment.update(
        PYTHONUNBUFFERED="1",
        PYTHONDONTWRITEBYTECODE="1",
        LOGURU_STDBRIDGE_SPOOL_DIR=str(directory / "spool"),
    )
    if inject:
        receiver = [sys.executable, "-m", "loguru_stdbridge.receiver", "app.log", "--inject", "--"]
        words = [*receiver, *words]
    with contextlib.ExitStack() as stack:
        if bridge and not inject:
            environment["LOGURU_STDBRIDGE_ADDRESS"] = stack.enter_context(receiving(directory))
        stack.enter_context(program.beside(port))
        running = stack.enter_context(Running(words, directory, environment, port))
        program.steps(running)
        running.until_its_end()
    file = directory / "app.log"
    console = _RECEIVER_S_OWN.sub("", running.console)
    return console, file.read_text(encoding="utf-8") if file.exists() else ""
