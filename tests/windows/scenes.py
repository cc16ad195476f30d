"""The scenes that show the promise where files that are open cannot be renamed or removed.

``python -m tests.windows.scenes NAME [--option ...]`` plays one, on the system that it runs on,
prints a line of figures, and ends with 1 where something is lost, doubled, torn or left over.
``kill`` is ``TerminateProcess`` on Windows and SIGKILL elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from loguru_stdbridge.addresses import log_address
from loguru_stdbridge.system.locks import is_locked
from tests.support.processes import Account, Verdict
from tests.support.waiting import wait_until

HERE = Path(__file__).parent
RECEIVER = "loguru_stdbridge.receiver"
WORKER = str(HERE / "worker.py")
WORDS = ("--rotation", "200 KB", "--compression", "gz", "--format", "{message}")
STREAMS: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
PATIENCE = 300.0
"""Seconds that a step may take under Wine, on a machine that does other things, too."""


class Stage:
    """A directory with a log, a spool of its own, and the processes that use them."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.sink = directory / "logs" / "app.log"
        self.spool = directory / "spool"
        self.options = options or WORDS
        self.environment = {
            **os.environ,
            "LOGURU_STDBRIDGE_SPOOL_DIR": str(self.spool),
            "XDG_RUNTIME_DIR": str(directory / "run"),
        }
        (directory / "run").mkdir(mode=0o700)
        self.sink.parent.mkdir()
        self.names: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: set[str] = set()
        self.told = open(directory / "told.txt", "ab")
        self.receiver: subprocess.Popen[bytes] | None = None
        self.ready = directory / "ready"

    # -- the receiver

    def start_receiver(self, *command: str, before: str = "") -> None:
        """Start the receiver, with a command, or after the statements ``before``."""
        with contextlib.suppress(OSError):
            self.ready.unlink()
        code = f"{before}\nimport runpy; runpy.run_module({RECEIVER!r}, run_name='__main__')"
        self.receiver = subprocess.Popen(
            [
                sys.executable, *(("-c", code) if before else ("-m", RECEIVER)),
                str(self.sink), *self.options,
                "--listen", "tcp://127.0.0.1:0", "--ready-file", str(self.ready),
                *(("--", *command) if command else ()),
            ],
            env=self.environment,
            **{**STREAMS, "stderr": self.told},
        )  # fmt: skip

    def wait_ready(self) -> None:
        wait_until(self.ready.exists, PATIENCE, "the receiver is ready")

    def kill_receiver(self) -> None:
        assert self.receiver is not None
        self.receiver.kill()
        self.receiver.wait()

    def end(self) -> None:
        """Wait until nothing is left to deliver, then have a receiver end in order."""
        wait_until(lambda: not self.journals(), PATIENCE, f"delivered: {self.journals()}")
        if self.receiver is not None:
            self.kill_receiver()
        self.start_receiver(sys.executable, "-c", "pass")
        assert self.receiver is not None
        status = self.receiver.wait(PATIENCE)
        assert status == 0, f"status {status}: {self.words_of_others()[-3000:]}"
        self.told.close()

    # -- workers

    def start_worker(
        self,
        name: str,
        count: int,
        pause: float,
        *words: str,
        before: str = "pass",
        python: str = sys.executable,
        **options: Any,
    ) -> None:
        """Start ``worker.py``, after the statements ``before``; ``options`` are ``Popen``'s."""
        where = words[0] if words else str(log_address(self.sink))
        code = f"{before}; import runpy; runpy.run_path({WORKER!r}, run_name='__main__')"
        self.names[name] = subprocess.Popen(
            [
                python, "-c", code, name, str(count), str(pause),
                str(self.directory / f"notes-{name}"), where, *words[1:],
            ],
            env=self.environment,
            **{**STREAMS, "stderr": self.told, **options},
        )  # fmt: skip

    def returned(self, name: str) -> int:
        """Return how many log calls of a worker have returned."""
        try:
            return int((self.directory / f"notes-{name}").read_bytes() or 0)
        except (OSError, ValueError):
            return 0

    def kill_worker(self, name: str) -> None:
        self.names[name].kill()
        self.names[name].wait()
        self.killed.add(name)

    def wait_for_workers(self) -> None:
        for name, process in self.names.items():
            status = process.wait(PATIENCE)
            assert name in self.killed or status == 0, f"worker {name} ended with {status}"

    # -- what is there

    def journals(self) -> list[str]:
        """Return the names of the journals that are not removed yet."""
        with contextlib.suppress(OSError):
            return [name for name in os.listdir(self.spool) if len(name) == 32]
        return []

    def verdict(self) -> Verdict:
        expected = {name: self.returned(name) for name in self.names}
        return Account(self.sink).verdict(expected, one_more=self.killed)

    def leftovers(self) -> list[str]:
        """Return what should not be beside the log when all is over."""
        kept = (".app.log.ledger", ".app.log.lock", ".app.log.receiver")
        found = [path.name for path in self.sink.parent.iterdir()]
        return [name for name in found if name.startswith(".") and name not in kept]

    def words_of_others(self) -> str:
        return (self.directory / "told.txt").read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def stage(*options: str) -> Iterator[Stage]:
    """Make a stage; end what is left of its processes."""
    directory = Path(tempfile.mkdtemp(prefix="lsb"))
    made = Stage(directory, *options)
    try:
        yield made
    except BaseException:
        print(f"{directory}: {made.words_of_others()[-3000:]}", flush=True)
        raise
    finally:
        made.told.close()
        for process in [*made.names.values(), made.receiver]:
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()


def tell(made: Stage, title: str, more: str = "") -> int:
    """Print what a scene has shown; return 1 where something is wrong."""
    verdict, left = made.verdict(), made.leftovers()
    records = sum(made.returned(name) for name in made.names)
    files = [path.name for path in made.sink.parent.iterdir() if path.name[0] != "."]
    torn = len(verdict.torn)
    print(
        f"{title}: {more}{records:,} records in {len(files)} files, lost {len(verdict.lost)}, "
        f"doubled {len(verdict.doubled)}, torn {torn}, left over {left or 'nothing'}",
        flush=True,
    )
    if verdict.clean and not left:
        return 0
    print(f"{verdict}\n{made.directory}\n{made.words_of_others()[-3000:]}", flush=True)
    return 1


# -- the scenes


def play_job(options: argparse.Namespace) -> int:
    """Four workers log 20,000 records each into a rotated and compressed file."""
    with stage("--rotation", "1 MB", "--compression", "gz", "--format", "{message}") as made:
        made.start_receiver()
        made.wait_ready()
        began = time.monotonic()
        for name in "abcd":
            made.start_worker(name, options.records, 0)
        made.wait_for_workers()
        seconds = time.monotonic() - began
        made.end()
        return tell(made, "main job", f"{seconds:.1f} s, ")


def play_kills(options: argparse.Namespace) -> int:
    """Receivers and workers are killed at random, while the log is rotated and compressed."""
    chance = random.Random(options.seed)
    with stage() as made:
        made.start_receiver()
        made.wait_ready()
        names = (f"w{number}" for number in range(10_000))
        running = [next(names) for _ in range(4)]
        for name in running:
            made.start_worker(name, 0, 5)
        wait_until(lambda: all(map(made.returned, running)), PATIENCE, "all log")
        due = ["receiver"] * options.receiver_kills + ["worker"] * options.worker_kills
        chance.shuffle(due)
        until = time.monotonic() + options.at_most
        kills: Counter[str] = Counter()
        for what in due:
            if time.monotonic() > until:
                break
            kills[what] += 1
            time.sleep(chance.random() * 0.4)
            if what == "receiver":
                made.kill_receiver()
                time.sleep(chance.random() * 0.2)
                made.start_receiver()
                if chance.random() < 0.8:  # else it is killed while it begins
                    made.wait_ready()
            else:
                victim = running.pop(chance.randrange(len(running)))
                made.kill_worker(victim)
                running.append(next(names))
                made.start_worker(running[-1], 0, 5)
        wait_until(lambda: all(map(made.returned, running)), PATIENCE, "all log")
        (made.directory / "stop").touch()
        made.wait_ready()
        made.wait_for_workers()
        made.end()
        killed = f"{kills['receiver']} kills of the receiver and {kills['worker']} of workers"
        return tell(made, "kills", f"seed {options.seed}, {killed}, ")


def play_alone(options: argparse.Namespace) -> int:
    """Loguru alone, a rotating sink in each of four processes: told, and never a failure here."""
    with stage() as made:
        for name in "abcd":
            made.names[name] = subprocess.Popen(
                [
                    sys.executable, str(HERE / "alone.py"), name, str(options.records // 4), "1",
                    str(made.directory / f"notes-{name}"), str(made.sink),
                ],
                env=made.environment,
                stderr=made.told,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        for process in made.names.values():
            process.wait(PATIENCE)
        found = Account(made.sink)
        expected = dict.fromkeys(made.names, options.records // 4)
        verdict = found.verdict(expected)
        files = [path.name for path in made.sink.parent.iterdir()]
        print(
            f"loguru alone, for comparison: {sum(expected.values()):,} records in {len(files)} "
            f"files, lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, torn "
            f"{len(verdict.torn)}, ended with {[p.returncode for p in made.names.values()]}",
            flush=True,
        )
    return 0


def play_held(options: argparse.Namespace) -> int:
    """A program holds the log, an archive and a journal open for ten seconds, without sharing."""
    with stage(*WORDS, "--retention", "3") as made:
        made.start_receiver()
        made.wait_ready()
        for name in "ab":
            made.start_worker(name, 0, 5)
        logs = made.sink.parent
        wait_until(lambda: list(logs.glob("*.gz")), PATIENCE, "an archive is there")
        journals = [path for name in made.journals() for path in (made.spool / name).iterdir()]
        held = [_hold(made.sink), _hold(next(logs.glob("*.gz"))), *map(_hold, journals)]
        before = made.returned("a")
        size = made.sink.stat().st_size
        time.sleep(options.seconds)
        rows = made.returned("a") - before
        grown = made.sink.stat().st_size - size
        for file in held[:2]:  # the journals' stay: the workers end and remove their journals
            file.close()
        wait_until(lambda: _rotated(made.sink), PATIENCE, "a file is rotated, not yet compressed")
        with contextlib.suppress(OSError):
            held += map(_hold, _rotated(made.sink))
        (made.directory / "stop").touch()
        made.wait_for_workers()
        time.sleep(options.seconds / 5)
        for file in held:
            file.close()
        made.end()
        more = f"{len(held)} files held, {rows} calls and {grown} bytes meanwhile, "
        status = tell(made, f"held open for {options.seconds:g} s", more)
        waiting = [path.name for path in _rotated(made.sink)]
        if waiting or not rows:
            print(f"not compressed: {waiting}")
            return 1
        return status


def _hold(path: Path):
    """Open a file as an editor does: others may read and write it, but not rename or remove it."""
    return open(path, "rb")


def _rotated(sink: Path) -> list[Path]:
    return [path for path in sink.parent.glob("app.*.log") if path != sink]


def play_at_once(options: argparse.Namespace) -> int:
    """Eight processes open the same log in the same instant: one receiver serves them."""
    with stage() as made:
        words = (str(made.sink), "rotation=200 KB", "compression=gz", "format={message}")
        for number in range(options.processes):
            made.start_worker(f"p{number}", options.records // 40, 1, *words)
        made.wait_for_workers()
        lock = str(made.sink.parent / ".app.log.lock")
        wait_until(lambda: not is_locked(lock), PATIENCE, "the receiver has ended by itself")
        told = (made.sink.parent / ".app.log.receiver").read_text(encoding="utf-8")
        began, ended = told.count(" writing "), told.count(" ended: ")
        made.told.close()
        status = tell(
            made, f"{options.processes} at once", f"{began} receiver began, {ended} ended, "
        )
        if (began, ended) != (1, 1) or made.journals() or made.words_of_others():
            print(told, made.journals(), made.words_of_others())
            return 1
        return status


SCENES: dict[str, Callable[[argparse.Namespace], int]] = {
    "job": play_job,
    "kills": play_kills,
    "alone": play_alone,
    "held": play_held,
    "at-once": play_at_once,
}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--records", type=int, default=20_000, help="of each process")
    parser.add_argument("--receiver-kills", type=int, default=10)
    parser.add_argument("--worker-kills", type=int, default=8)
    parser.add_argument("--at-most", type=float, default=1e9, help="seconds of killing")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args(argv)
    return SCENES[options.scene](options)


if __name__ == "__main__":
    sys.exit(main())
