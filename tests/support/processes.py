"""Real receivers and workers as processes, for the tests that need them whole and killable."""

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
from typing import Any, NamedTuple


class ReceiverProcess:
    """``python -m loguru_stdbridge.receiver``, started when it is made."""

    program: Sequence[str] = ("-m", "loguru_stdbridge.receiver")
    """What Python runs; :mod:`tests.support.crashing` puts itself in front."""

    def __init__(
        self, sink: Path, *options: str, listen: str = "tcp://127.0.0.1:0", **environment: str
    ):
        self.sink = sink
        self.options = options
        self.address = listen
        self.environment = environment
        self.ready = sink.parent / f"ready-{os.getpid()}-{id(self)}"
        self.stderr = sink.parent / f"stderr-{id(self)}.txt"
        sink.parent.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self) -> None:
        """Start (again), on the address of the first start."""
        if self.ready.exists():
            self.ready.unlink()
        with open(self.stderr, "ab") as stderr:
            self.process = subprocess.Popen(
                [
                    sys.executable, *self.program, str(self.sink), *self.options,
                    "--listen", self.address, "--ready-file", str(self.ready),
                ],
                stderr=stderr,
                env={**os.environ, **self.environment},
            )  # fmt: skip

    def wait_ready(self) -> ReceiverProcess:
        deadline = time.monotonic() + 30
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
        """SIGTERM; returns the exit status."""
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
    """A Python process that runs ``code``, with its output in pipes."""
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
    """Status, stdout and stderr of a Python process that ran ``code``."""
    process = start_python(code, *arguments, **environment)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    return process.returncode, out.decode(), err.decode()


def free_address() -> str:
    """An address where nobody listens, for a receiver that comes later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


def disk_usage(directory: Path) -> int:
    """Bytes that a directory and what is in it take up on the disk; it may change meanwhile."""
    total = 0
    for parent, _, names in os.walk(directory):
        for path in (parent, *(os.path.join(parent, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(path).st_blocks * 512
    return total


def log_files(sink: Path) -> list[Path]:
    """The files of a sink, oldest first: loguru's names sort by their time, the open one is last."""
    rotated = [p for p in sink.parent.glob(f"{sink.stem}.*") if p != sink and p.name != sink.name]
    rotated = [p for p in rotated if p.name.endswith((".log", ".gz"))]
    return sorted(rotated, key=lambda p: p.name) + ([sink] if sink.exists() else [])


def log_lines(sink: Path) -> Iterator[str]:
    """Every line of every file of a sink, in the order of writing; a torn end is a line too."""
    for path in log_files(sink):
        opener: Any = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8", newline="\n") as file:
            yield from file


_RECORD = re.compile(r"worker (\w+) number (\d+) end\n")


class Account:
    """What is in the files of a sink whose lines are ``worker W number N end``."""

    def __init__(self, sink: Path):
        self.found: Counter[tuple[str, int]] = Counter()
        self.torn: list[str] = []
        self.out_of_order = 0
        last: dict[str, int] = {}
        for line in log_lines(sink):
            match = _RECORD.fullmatch(line)
            if match is None:
                self.torn.append(line)
                continue
            worker, number = match.group(1), int(match.group(2))
            self.out_of_order += number <= last.get(worker, -1)
            last[worker] = number
            self.found[worker, number] += 1

    def verdict(self, expected: dict[str, int], one_more: Container[str] = ()) -> Verdict:
        """Compare with how many records each worker logged.

        The workers in ``one_more`` died in a log call: its record may be there, or not.
        """
        wanted = {(worker, number) for worker, count in expected.items() for number in range(count)}
        last_calls = {(worker, expected[worker]) for worker in expected if worker in one_more}
        return Verdict(
            lost=sorted(wanted - set(self.found)),
            doubled=sorted(key for key, count in self.found.items() if count > 1),
            torn=self.torn,
            out_of_order=self.out_of_order,
            strange=sorted(set(self.found) - wanted - last_calls),
        )

    def check(self, expected: dict[str, int], what: str | None = None) -> None:
        """Every record of every worker exactly once, whole, in order."""
        verdict = self.verdict(expected)
        assert verdict.clean, f"{what or ''}: {verdict}"


class Verdict(NamedTuple):
    """What is wrong with the files of a sink."""

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
