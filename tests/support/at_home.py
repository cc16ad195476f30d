"""Many processes ask for one log in the same instant, and its receiver is killed meanwhile.

``tests/test_at_home.py`` plays one small round. The whole::

    python -m tests.support.at_home --rounds 50 --processes 32 --seed 1

Each round has a log of its own. Its processes wait at a gate, then all call
``install_bridge(sink=...)``, log for a while and end: by themselves, by ``os._exit``, or after a
flush. The first one stays until all others have ended; it logs no more. In every second round the
receiver is killed at random instants. Then these have to be right:

* every line is in the file once, in the order of its process;
* one receiver has begun, and one more after each kill; no two ever wrote at once (the messages of
  each receiver, ``.NAME.receiver``, say when it began, and the ledger's lock says who writes);
* after a kill another one writes within some time, which is told;
* 15 seconds after the last process has ended, no receiver is left, and no journal.

The next round begins while the receivers of the one before linger.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import loguru

import loguru_stdbridge
from tests.support.processes import Account

LEFT_OVER = 15.0
"""Seconds after the end of the last process, after which nothing of it may be left."""

PROGRAM = """
import os, sys, time
from loguru import logger
from loguru_stdbridge import install_bridge
sink, name, count, gate, fate, linger, pause = sys.argv[1:]
logger.remove()
print("ready", flush=True)
os.read(int(gate), 1)
bridge = install_bridge(sink=sink, format="{message}", linger=float(linger))
for number in range(int(count)):
    logger.info("worker {} number {} end", name, number)
    time.sleep(float(pause))
if fate == "leave":
    os._exit(0)
if fate == "stay":
    sys.stdin.readline()
if fate in ("flush", "stay"):
    sys.exit(0 if bridge.flush(120) else 1)
"""
FATES = ("flush", "end", "leave")


def copy_packages(directory: Path, version: str) -> None:
    """Copy this package, with another version's number, and Loguru into a directory."""
    for package in (loguru_stdbridge, loguru):
        source = Path(package.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(source, directory / source.name, ignore=ignored)
    noted = directory / "loguru_stdbridge" / "_version.py"
    noted.write_text(f'"""The version."""\n\n__version__ = "{version}"\n')


class Round(NamedTuple):
    """What one round has shown."""

    kills: int
    begun: int
    """Receivers that have begun to write, by their messages."""
    takeovers: list[float]
    """Seconds from each kill to the next receiver."""
    lines: int
    left_over: float
    """Seconds from the end of the last process to that of the last receiver."""
    wrong: list[str]


def receiver_pids(sink: Path) -> list[int]:
    """Return the processes that run as a receiver of ``sink``, those that only begin included."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
            if b"loguru_stdbridge.receiver" in words and os.fsencode(sink) in words:
                found.append(int(name))
    return found


def writer_of(sink: Path) -> int | None:
    """Return the process that holds the lock of the log, by what it has noted; ``None``: nobody."""
    lock = sink.with_name(f".{sink.name}.lock")
    with contextlib.suppress(OSError, ValueError):
        pid = int(lock.read_text())
        if pid in receiver_pids(sink):
            return pid
    return None


class Home:
    """One log, and the processes that ask for it."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        processes: int,
        lines: int,
        kills: int,
        linger: float,
        pause: float = 0.02,
        program: Sequence[str] = (sys.executable, "-c", PROGRAM),
        spool: Path | None = None,
        first: int = 0,
        expected_messages: str = "",
        **environment: str,
    ) -> None:
        """Each process logs ``lines`` records, ``pause`` seconds apart.

        ``program`` is what they run, with the arguments of :data:`PROGRAM`. ``spool`` is the spool
        directory that they find by themselves; ``None``: they are given one. ``first`` is the number
        in the name of the first process. A process may say what has ``expected_messages`` in it.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.sink = directory / "logs" / "app.log"
        self.spool = directory / "spool" if spool is None else spool
        self._random = random.Random(seed)
        self._kills, self._lines = kills, lines
        self._takeovers: list[float] = []
        self.wrong: list[str] = []
        self._expected_messages = expected_messages
        self._names = [f"w{first + number}" for number in range(processes)]
        self._killed = 0
        gate, self._gate = os.pipe()
        variables = {**os.environ, **environment}
        if spool is None:
            variables["LOGURU_STDBRIDGE_SPOOL_DIR"] = str(self.spool)
        self._processes = [
            subprocess.Popen(
                [
                    *program, str(self.sink), name, str(lines), str(gate),
                    self._random.choice(FATES) if number else "stay", str(linger), str(pause),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[gate],
                env=variables,
            )
            for number, name in enumerate(self._names)
        ]  # fmt: skip
        os.close(gate)
        self._longest = lines * pause
        self._ended_at = 0.0

    def play(self) -> None:
        """Open the gate, kill receivers, wait until every process has ended."""
        for process in self._processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n", process.communicate()[1].decode()
        os.close(self._gate)  # all of them read the end in the same instant
        for _ in range(self._kills):
            if not self._kill_once():
                break
        for process in self._processes[1:]:
            process.wait(180)
        for name, process in zip(self._names, self._processes):
            _, err = process.communicate(timeout=180)
            told = [line for line in err.decode().splitlines() if not self._is_expected(line)]
            if process.returncode or told:
                self.wrong.append(f"{name} ended with {process.returncode}: {told}")
        self._ended_at = time.monotonic()

    def _is_expected(self, line: str) -> bool:
        return bool(self._expected_messages) and self._expected_messages in line

    def _kill_once(self) -> bool:
        """Kill the receiver after a random time, and measure how soon another one writes.

        Return whether processes were left to need one.
        """
        threading.Event().wait(self._random.uniform(0.05, 0.6 * self._longest / self._kills))
        pid = self._await_writer(None)
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 9)
        killed_at = time.monotonic()
        self._killed += 1
        if self._await_writer(pid) is None:
            return False
        self._takeovers.append(time.monotonic() - killed_at)
        return True

    def _await_writer(self, other_than: int | None) -> int | None:
        """Wait for a receiver that writes; ``None`` where no process lives to need one."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pid = writer_of(self.sink)
            if pid is not None and pid != other_than:
                return pid
            if all(process.poll() is not None for process in self._processes):
                return None
            threading.Event().wait(0.005)
        self.wrong.append("no receiver for a minute")
        return None

    def finish(self) -> Round:
        """Wait until nothing is left, at most :data:`LEFT_OVER` seconds, and count."""
        deadline = self._ended_at + LEFT_OVER
        while receiver_pids(self.sink) and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        left_over = time.monotonic() - self._ended_at
        if receiver_pids(self.sink):
            self.wrong.append(f"a receiver is left after {left_over:.1f} s")
        journals = [
            path.name for path in self.spool.iterdir()
            if path.is_dir() and path.name != "peers" and any(path.iterdir())
        ]  # fmt: skip
        if journals:
            self.wrong.append(f"journals are left: {journals}")
        messages = self.sink.with_name(f".{self.sink.name}.receiver")
        text = messages.read_text() if messages.exists() else ""
        begun = len(re.findall(r" writing .* listening on ", text))
        if begun > 1 + self._killed:  # a kill may come before the message
            self.wrong.append(f"{begun} receivers began, {self._killed} were killed:\n{text}")
        verdict = Account(self.sink).verdict(dict.fromkeys(self._names, self._lines))
        if not verdict.clean:
            self.wrong.append(str(verdict))
        lines = self._lines * len(self._processes)
        return Round(self._killed, begun, self._takeovers, lines, left_over, self.wrong)

    def release(self) -> None:
        """End what is left of the processes."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.communicate()


def main(argv: Sequence[str] | None = None) -> int:
    """Play every round; return 1 where anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.at_home")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--processes", type=int, default=32)
    parser.add_argument("--lines", type=int, default=100, help="of each process (100)")
    parser.add_argument("--kills", type=int, default=3, help="in every second round (3)")
    parser.add_argument("--linger", type=float, default=10.0, help="as of install_bridge (10)")
    parser.add_argument("--seed", type=int, default=None, help="any number; default: a random one")
    options = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    rounds: list[Round] = []
    lingering: list[tuple[int, Home]] = []
    with tempfile.TemporaryDirectory(prefix="at-home-") as base, runtime_directory():
        for number in range(options.rounds + 1):
            if number < options.rounds:
                home = Home(
                    Path(base) / str(number),
                    seed + number,
                    processes=options.processes,
                    lines=options.lines,
                    kills=options.kills * (number % 2),
                    linger=options.linger,
                )
                lingering.append((number, home))
                try:
                    home.play()
                finally:
                    home.release()
            while lingering and (len(lingering) > 1 or number == options.rounds):
                played, home = lingering.pop(0)
                shown = home.finish()
                rounds.append(shown)
                print(
                    f"round {played}: {shown.lines} lines, {shown.kills} kills, {shown.begun} "
                    f"receivers began, the last one ended after {shown.left_over:.1f} s",
                    *shown.wrong, sep="\n    ", flush=True,
                )  # fmt: skip
    takeovers = sorted(seconds for shown in rounds for seconds in shown.takeovers)
    kills = sum(shown.kills for shown in rounds)
    wrong = sum(len(shown.wrong) for shown in rounds)
    print(f"{len(rounds)} rounds of {options.processes} processes, {kills} kills, {wrong} faults")
    print(f"{sum(shown.lines for shown in rounds):,} lines, lost 0, doubled 0" if not wrong else "")
    if takeovers:
        print(
            f"from a kill to the next receiver: {takeovers[len(takeovers) // 2]:.2f} s median, "
            f"{takeovers[-1]:.2f} s at most"
        )
    print(f"no process left after {max(shown.left_over for shown in rounds):.1f} s at most")
    return 1 if wrong else 0


@contextlib.contextmanager
def runtime_directory() -> Iterator[None]:
    """Give the sockets of these logs a directory of their own."""
    with tempfile.TemporaryDirectory(prefix="lsb") as root:
        before = os.environ.get("XDG_RUNTIME_DIR")
        os.environ["XDG_RUNTIME_DIR"] = root
        try:
            yield
        finally:
            if before is None:
                del os.environ["XDG_RUNTIME_DIR"]
            else:
                os.environ["XDG_RUNTIME_DIR"] = before


if __name__ == "__main__":
    sys.exit(main())
