"""Kills receiver, command and workers, and starts the same command line again, many times.

::

    python -m tests.support.restarts --rounds 200 --seed 1

Each round runs ``receiver SINK ... -- COMMAND``. The command starts workers, each of which logs
numbered records and notes how many of its log calls have returned. At a random instant all
processes are killed, in random order. The next round is the same command line. After the last one a
receiver is left alone until it has delivered what is in the spool. Then each record that a log call
had accepted has to be in the files once, and no journal may be left.

The command's own modes, ``group`` and ``worker``, are for this module's use.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loguru_stdbridge.spool.finder import journal_directories
from tests.support.processes import Account, free_port
from tests.support.waiting import wait_until

KINDS = ("log", "unix", "tcp")
"""By which kind of address the workers know the receiver."""

WORKERS = 2  # of each command
PREFIX = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
"""Makes a container of a command: mounts and processes of its own."""


class Place:
    """A log, its command line, and the notes of the workers that have logged to it."""

    def __init__(
        self, directory: Path, spool: Path, kind: str, *, name: str = "w",
        prefix: Sequence[str] = (), port: int = 0,
    ) -> None:  # fmt: skip
        self.directory = directory
        self.sink = directory / "app.log"
        self.notes = directory / "notes"
        self.notes.mkdir(parents=True)
        self.name = name
        self.rounds = 0
        self.processes: list[subprocess.Popen[bytes]] = []
        self._prefix = list(prefix)
        self._sessions: list[int] = []  # those of the processes: each has all that it starts
        addresses = {
            "log": f"log://{self.sink}",
            "unix": f"unix://{directory}/s",
            "tcp": f"tcp://127.0.0.1:{port or free_port()}",
        }
        self._address = addresses[kind]
        listen = [] if kind == "log" else ["--listen", self._address]
        self._alone = [] if listen else ["--listen", self._address]
        """Without a command, a receiver would listen at the default port, too."""
        self._environment = {**os.environ, "LOGURU_STDBRIDGE_SPOOL_DIR": str(spool)}
        self._receiver = [
            sys.executable, "-m", "loguru_stdbridge.receiver", str(self.sink), *listen,
            "--rotation", "40 KB", "--compression", "gz", "--format", "{message}",
        ]  # fmt: skip

    def start(self) -> None:
        """Start the command line, which is the same in each round but for the workers' names."""
        self.rounds += 1
        group = [
            sys.executable, "-m", "tests.support.restarts", "group", str(self.notes),
            f"{self.name}{self.rounds}", self._address,
        ]  # fmt: skip
        self._run([*self._prefix, *self._receiver, "--", *group])

    def _run(self, command: list[str]) -> None:
        with open(self.directory / "stderr.txt", "ab") as stderr:
            process = subprocess.Popen(  # in this directory: the command is a module of the tests
                command, env=self._environment, stderr=stderr, start_new_session=True
            )
        self.processes.append(process)
        self._sessions.append(process.pid)

    def wait_at_random(self, chance: random.Random) -> None:
        """Wait for an instant to kill: seldom in the start, mostly while workers log."""
        if chance.random() < 0.2:
            pause(chance.uniform(0, 1))
            return
        names = f"{self.name}{self.rounds}x*"
        wait_until(lambda: any(p.stat().st_size for p in self.notes.glob(names)), 120, "it logs")
        pause(chance.uniform(0, 0.5))

    def hand_over(self, chance: random.Random) -> None:
        """Start a standby and kill the receiver that it waits for; the workers log on."""
        self._run([*self._receiver, "--standby", *self._alone])
        pause(chance.uniform(0, 1))
        self.processes[0].kill()
        pause(chance.uniform(0, 0.5))

    def kill(self, chance: random.Random) -> None:
        """Kill every process of the round, in random order, and those started meanwhile."""
        while victims := [pid for session in self._sessions for pid in processes_of(session)]:
            chance.shuffle(victims)
            for victim in victims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                if chance.random() < 0.3:
                    pause(chance.uniform(0, 0.02))
            for process in self.processes:
                process.poll()
        for process in self.processes:
            process.wait()
        self.processes.clear()
        self._sessions.clear()

    def finish(self, spool: Path) -> str:
        """Deliver what is left, and return what is wrong with the files; "" for nothing."""
        self.start_receiver()
        try:
            wait_until(lambda: not journal_directories(str(spool)), 120, "the spool is empty")
        finally:
            for process in self.processes:
                process.terminate()
                process.wait(60)
            self.processes.clear()
        return self.what_is_wrong()

    def start_receiver(self) -> None:
        """Start the receiver without a command."""
        self._run([*self._prefix, *self._receiver, *self._alone])

    def what_is_wrong(self) -> str:
        """Compare the files with the notes; "" where each accepted record is there once."""
        expected = {path.name: path.stat().st_size for path in self.notes.iterdir()}
        verdict = Account(self.sink).verdict(expected, one_more=expected)
        return "" if verdict.clean else str(verdict)


def processes_of(session: int) -> list[int]:
    """Return the processes of a session that are not dead yet."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-s", str(session)], capture_output=True, text=True, check=False
    )
    lines = (line.split() for line in found.stdout.splitlines())
    return [int(pid) for pid, state in lines if not state.startswith("Z")]


def pause(seconds: float) -> None:
    """Let the processes run for a while: what is random here is when they die."""
    threading.Event().wait(seconds)


def restarts(directory: Path, chance: random.Random, rounds: int, kind: str, standby: bool) -> str:
    """Kill one command line ``rounds`` times; return what is wrong, "" for nothing."""
    spool = directory / "spool"
    place = Place(directory, spool, kind)
    for _ in range(rounds):
        place.start()
        place.wait_at_random(chance)
        if standby:
            place.hand_over(chance)
        place.kill(chance)
    return place.finish(spool)


def containers(directory: Path, chance: random.Random, rounds: int, kind: str) -> str:
    """Kill two containers with one spool and the same port, in turn; return what is wrong.

    Each has a network, mounts and processes of its own. Only root can make them.
    """
    spool, names = directory / "spool", (f"lsb-{os.getpid()}-a", f"lsb-{os.getpid()}-b")
    try:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        places = [
            Place(
                directory / name[-1], spool, kind, name=name[-1], port=9020,
                prefix=("ip", "netns", "exec", name, *PREFIX),
            )
            for name in names
        ]  # fmt: skip
        return _kill_both(places, spool, chance, rounds)
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False)


def _kill_both(places: list[Place], spool: Path, chance: random.Random, rounds: int) -> str:
    for number in range(rounds):
        for place in places:
            place.start()
        places[number % 2].wait_at_random(chance)
        for place in places[:: 1 if number % 2 else -1]:
            place.kill(chance)
    for place in places:
        place.start_receiver()
    try:
        wait_until(lambda: not journal_directories(str(spool)), 120, "the spool is empty")
    finally:
        for place in places:
            place.kill(chance)
    return "; ".join(filter(None, (place.what_is_wrong() for place in places)))


# -- the command


def group(notes: str, name: str, address: str) -> None:
    """Start the workers and wait for them: what the receiver runs behind ``--``."""
    command = [sys.executable, "-m", "tests.support.restarts", "worker", notes]
    workers = [
        subprocess.Popen([*command, f"{name}x{number}", address]) for number in range(WORKERS)
    ]
    for process in workers:
        process.wait()


def worker(notes: str, name: str, address: str) -> None:
    """Log numbered records until killed; the size of the note is how many calls have returned."""
    from loguru import logger

    from loguru_stdbridge import install_bridge

    logger.remove()
    install_bridge(address)
    descriptor = os.open(os.path.join(notes, name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    number = 0
    while number < 20_000:
        logger.info("worker {} number {} end", name, number)
        os.write(descriptor, b".")
        number += 1
        if number % 50 == 0:
            pause(0.01)
    pause(3600)


def main(argv: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["group"]:
        group(*arguments[1:])
        return 0
    if arguments[:1] == ["worker"]:
        worker(*arguments[1:])
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.support.restarts", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="kills of everything, in all")
    parser.add_argument("--containers", type=int, default=0, help="kills of two containers")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)
    print(f"seed {options.seed}", flush=True)
    scenes: list[tuple[str, Any]] = []
    for index, kind in enumerate(KINDS):
        rounds = options.rounds // len(KINDS) + (index < options.rounds % len(KINDS))
        for standby, count in ((False, rounds - rounds // 3), (True, rounds // 3)):
            if count:
                scenes.append(
                    (f"{kind}{', standby' if standby else ''}: {count} kills",
                     lambda d, k=kind, s=standby, c=count: restarts(d, chance, c, k, s))
                )  # fmt: skip
    if options.containers:
        scenes.extend(
            (f"containers, {kind}: {options.containers} kills",
             lambda d, k=kind: containers(d, chance, options.containers, k))
            for kind in ("log", "tcp")
        )  # fmt: skip
    failures = 0
    for title, scene in scenes:
        directory = Path(tempfile.mkdtemp(prefix="lsb"))
        wrong = scene(directory)
        lines = sum(Account(path).found.total() for path in sorted(directory.rglob("app.log")))
        print(f"{title}: {lines} records, {wrong or 'lost 0, doubled 0, torn 0'}", flush=True)
        failures += bool(wrong)
        if not wrong:
            shutil.rmtree(directory)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
