"""Start real receivers and workers as processes, and count what they have written.

For tests that kill, stop or restart a whole process.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, NamedTuple


class ReceiverProcess:
    """A process that runs ``python -m loguru_stdbridge.receiver``; it starts when it is made."""

    program: Sequence[str] = ("-m", "loguru_stdbridge.receiver")
    """The arguments of Python; :mod:`tests.support.crashing` replaces them by its own."""

    is_sink_named = True
    """Whether the command line names the sink; else the environment or a configuration does."""

    def __init__(
        self, sink: Path, *options: str, listen: str = "tcp://127.0.0.1:0", **environment: str
    ):
        self.sink = sink
        self.is_sink_named = "LOGURU_STDBRIDGE_CONFIG" not in environment
        self.options = options
        self.address = listen
        self.environment = environment
        self.ready = sink.parent / f"ready-{os.getpid()}-{id(self)}"
        self.stderr = sink.parent / f"stderr-{id(self)}.txt"
        sink.parent.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start, or start again on the address of the first start."""
        if self.ready.exists():
            self.ready.unlink()
        with open(self.stderr, "ab") as stderr:
            self.process = subprocess.Popen(
                [
                    sys.executable, *self.program,
                    *([str(self.sink)] if self.is_sink_named else ()), *self.options,
                    "--listen", self.address, "--ready-file", str(self.ready),
                ],
                stderr=stderr,
                env={**os.environ, **self.environment},
            )  # fmt: skip

    def wait_ready(self) -> ReceiverProcess:
        deadline = time.monotonic() + 60
        while not self.ready.exists():
            assert self.process.poll() is None, self.stderr.read_text()
            assert time.monotonic() < deadline, "the receiver is not ready"
            threading.Event().wait(0.005)
        self.address = self.ready.read_text().split()[0]
        return self

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Send SIGTERM and return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def __enter__(self) -> ReceiverProcess:
        return self.wait_ready()

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.kill()


def start_python(
    code: str, *arguments: str, stdin: bool = False, **environment: str
) -> subprocess.Popen[bytes]:
    """Start a Python process that runs ``code``, with its output in pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE if stdin else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )


def run_python(
    code: str, *arguments: str, timeout: float = 120, **environment: str
) -> tuple[int, str, str]:
    """Run ``code`` in a Python process; return its exit status, stdout and stderr."""
    process = start_python(code, *arguments, **environment)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, *(text.decode().replace(os.linesep, "\n") for text in (out, err))


def free_port() -> int:
    """Return a TCP port of the loopback address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_address() -> str:
    """Return an address where nobody listens, for a receiver that starts later."""
    return f"tcp://127.0.0.1:{free_port()}"


def disk_usage(directory: Path) -> int:
    """Return the bytes on disk of a directory and its files, even while they change."""
    total = 0
    for parent, _, names in os.walk(directory):
        for path in (parent, *(os.path.join(parent, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(path).st_blocks * 512
    return total


def log_files(sink: Path) -> list[Path]:
    """Return a sink's files, oldest first: loguru's names sort by time, the open file is last."""
    rotated = [p for p in sink.parent.glob(f"{sink.stem}.*") if p != sink and p.name != sink.name]
    rotated = [p for p in rotated if p.name.endswith((".log", ".gz"))]
    return sorted(rotated, key=lambda p: p.name) + ([sink] if sink.exists() else [])


def log_lines(sink: Path) -> Iterator[str]:
    """Yield each line of a sink's files in the order of writing; a torn last line is one too."""
    for path in log_files(sink):
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8", newline="\n") as file:
            yield from (line.replace(os.linesep, "\n") for line in file)


_RECORD = re.compile(r"worker (\w+) number (\d+) end\n")


class Account:
    """Counts the records in the files of a sink whose lines are ``worker W number N end``."""

    def __init__(self, sink: Path, text_of: Callable[[str], str] = str):
        """``text_of`` gives the text of a record of a line of the file."""
        self.found: Counter[tuple[str, int]] = Counter()
        self.torn: list[str] = []
        self.out_of_order = 0
        last: dict[str, int] = {}
        for line in log_lines(sink):
            match = _RECORD.fullmatch(text_of(line))
            if match is None:
                self.torn.append(line)
                continue
            worker, number = match.group(1), int(match.group(2))
            self.out_of_order += number <= last.get(worker, -1)
            last[worker] = number
            self.found[worker, number] += 1

    def verdict(
        self,
        expected: dict[str, int],
        one_more: Container[str] = (),
        takes: Callable[[int], bool] = lambda number: True,
    ) -> Verdict:
        """Compare the files with ``expected``, the number of records that each worker logged.

        A worker in ``one_more`` died inside a log call, whose record may be in the files or not.
        ``takes`` says of a number whether the sink takes that record.
        """
        wanted = {
            (worker, number)
            for worker, count in expected.items()
            for number in filter(takes, range(count))
        }
        last_calls = {(worker, expected[worker]) for worker in expected if worker in one_more}
        return Verdict(
            lost=sorted(wanted - set(self.found)),
            doubled=sorted(key for key, count in self.found.items() if count > 1),
            torn=self.torn,
            out_of_order=self.out_of_order,
            strange=sorted(set(self.found) - wanted - last_calls),
        )

    def check(self, expected: dict[str, int], what: str | None = None) -> None:
        """Assert that every record of every worker is there once, whole and in order."""
        verdict = self.verdict(expected)
        assert verdict.clean, f"{what or ''}: {verdict}"


class Verdict(NamedTuple):
    """What is wrong with the files of a sink; all empty if nothing is."""

    lost: list[tuple[str, int]]
    doubled: list[tuple[str, int]]
    torn: list[str]
    out_of_order: int
    strange: list[tuple[str, int]]

    @property
    def clean(self) -> bool:
        return not any(self)

    def __str__(self) -> str:
        return (
            f"lost {len(self.lost)} {self.lost[:5]}, doubled {len(self.doubled)} "
            f"{self.doubled[:5]}, torn {len(self.torn)} {self.torn[:3]}, out of order "
            f"{self.out_of_order}, strange {self.strange[:5]}"
        )
