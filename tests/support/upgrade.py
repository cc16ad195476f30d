"""Plays an upgrade and its reverse: two versions of this package in turn on one spool and one log.

::

    git clone . /somewhere/old && git -C /somewhere/old checkout REVISION
    python -m tests.support.upgrade /somewhere/old --rounds 40 --seed 1

In each round a receiver and two workers, each of a version by chance, log until all are killed. At
the end a receiver of this version delivers what is left. Then each record that a log call had
accepted has to be in the file once, and no journal may be left.

``--make FILE`` makes ``tests/support/version_1.tar.gz`` with the old version instead: what its
receiver, killed in the middle of a line, and its worker, killed after that, leave behind. The test
``tests/test_upgrade.py`` reads that.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import Account
from tests.support.restarts import pause
from tests.support.waiting import wait_until

OURS = Path(__file__).parents[2]

WORKER = """
import os, sys, time
from loguru import logger
from loguru_stdbridge import install_bridge

name, address, note, last = sys.argv[1:]
logger.remove()
install_bridge(address)
descriptor = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(int(last)):
    logger.info("worker {} number {} end", name, number)
    os.write(descriptor, b".")
    if number % 50 == 49:
        time.sleep(0.01)
print(flush=True)
time.sleep(3600)
"""


class Scene:
    """One log and one spool, and programs of two versions beside them."""

    def __init__(self, directory: Path, old: Path) -> None:
        self.directory = directory
        self.old = old
        self.sink = directory / "logs" / "app.log"
        self.spool = directory / "spool"
        self.notes = directory / "notes"
        self.notes.mkdir()
        self.address = f"unix://{directory}/s"
        self.processes: list[subprocess.Popen[bytes]] = []

    def run(self, package: Path, *arguments: str) -> subprocess.Popen[bytes]:
        """Start Python with the version of the package that is in the directory ``package``."""
        environment = {
            **os.environ, "PYTHONPATH": str(package),
            "LOGURU_STDBRIDGE_SPOOL_DIR": str(self.spool), "XDG_RUNTIME_DIR": str(self.directory),
        }  # fmt: skip
        with open(self.directory / "stderr.txt", "ab") as stderr:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=self.directory, env=environment, stderr=stderr, stdout=subprocess.PIPE,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def start_receiver(self, package: Path, *program: str) -> subprocess.Popen[bytes]:
        """Start a receiver that listens at the address."""
        program = program or ("-m", "loguru_stdbridge.receiver")
        return self.run(
            package, *program, str(self.sink), "--listen", self.address, "--format", "{message}",
            "--rotation", "40 KB", "--compression", "gz",
        )  # fmt: skip

    def start_worker(self, package: Path, name: str, last: int = 20_000) -> subprocess.Popen[bytes]:
        """Start a worker that logs ``last`` records, prints a line, and waits."""
        return self.run(
            package, "-c", WORKER, name, self.address, str(self.notes / name), str(last)
        )

    def kill(self, chance: random.Random) -> None:
        """Kill every process, in random order."""
        chance.shuffle(self.processes)
        for process in self.processes:
            process.kill()
            if chance.random() < 0.3:
                pause(chance.uniform(0, 0.02))
        for process in self.processes:
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        self.processes.clear()

    def finish(self, chance: random.Random) -> str:
        """Deliver what is left by this version; return what is wrong, "" for nothing."""
        self.start_receiver(OURS)
        try:
            wait_until(lambda: not self.journals(), 60, "every journal is delivered and removed")
        finally:
            self.kill(chance)
        noted = {path.name: path.stat().st_size for path in self.notes.iterdir()}
        verdict = Account(self.sink).verdict(noted, one_more=noted)
        return "" if verdict.clean else str(verdict)

    def journals(self) -> list[str]:
        """List the journals, those that the old version has put aside included."""
        with contextlib.suppress(FileNotFoundError):
            return [name for name in os.listdir(self.spool) if len(name) >= 32]
        return []


def play(directory: Path, old: Path, rounds: int, chance: random.Random) -> tuple[str, str]:
    """Play ``rounds`` rounds; return what was played, and what is wrong ("" for nothing)."""
    scene = Scene(directory, old)
    versions = {"old": old, "new": OURS}
    played: Counter[str] = Counter()
    for number in range(rounds):
        chosen = [chance.choice(list(versions)) for _ in range(3)]
        played[f"{chosen[0]} receiver, {' and '.join(sorted(chosen[1:]))} workers"] += 1
        scene.start_receiver(versions[chosen[0]])
        names = [f"r{number}x{index}" for index in range(2)]
        for name, version in zip(names, chosen[1:]):
            scene.start_worker(versions[version], name)
        if chance.random() > 0.2:
            wait_until(
                lambda n=names: any((scene.notes / name).exists() for name in n),  # type: ignore[misc]
                60, "a worker logs",
            )  # fmt: skip
        pause(chance.uniform(0, 1.5))
        scene.kill(chance)
    wrong = scene.finish(chance)
    records = len(Account(scene.sink).found)
    return f"{records:,} records; {dict(sorted(played.items()))}", wrong


def make(old: Path, target: Path) -> None:
    """Have the old version leave a journal, a ledger and a torn line, and pack them."""
    with tempfile.TemporaryDirectory(prefix="lsb") as name:
        scene = Scene(Path(name), old)
        receiver = scene.start_receiver(
            old, str(old / "tests" / "crashing.py"),
            "--point", "in the middle of a line", "--passage", "3", "receiver",
        )  # fmt: skip
        worker = scene.start_worker(old, "a", last=2000)
        assert receiver.wait(60) < 0
        assert worker.stdout is not None
        worker.stdout.readline()
        scene.kill(random.Random(0))
        with tarfile.open(target, "w:gz") as archive:
            for part in ("logs", "spool", "notes"):
                archive.add(scene.directory / part, part, filter=_anonymous)
        print(*sorted(str(path) for path in scene.directory.rglob("*")), sep="\n")


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def main(argv: Sequence[str] | None = None) -> int:
    """Play, or make the file; return 1 where a record is lost or doubled."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.upgrade", description=__doc__)
    parser.add_argument("old", type=Path, help="a checkout of another version")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--make", type=Path, help="the file to make")
    options = parser.parse_args(argv)
    old = options.old.resolve()
    if options.make is not None:
        make(old, options.make)
        return 0
    print(f"seed {options.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="lsb"))
    played, wrong = play(directory, old, options.rounds, random.Random(options.seed))
    print(f"{played}\n{wrong or 'lost 0, doubled 0, torn 0'}")
    print((directory / "stderr.txt").read_text()[-4000:] if wrong else "", end="")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
