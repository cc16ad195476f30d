"""Play programs that share one log file without a server, and count every line.

::

    python -m tests.support.shared_files [--rounds N] [--processes N] [--records N] [--only CASE,...]
    python -m tests.support.shared_files --kills 300 [--at-points 10]

Beside the shared file, plain loguru does the same work in the same round, and its losses are shown.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from . import shared_writer
from .shared_writer import FILLER, POINTS

if hasattr(os, "fork"):
    from . import crashing as _crashing  # noqa: F401 - loaded once, before the forks

WORDS: dict[str, Any] = {"rotation": "200 KB", "compression": "gz", "retention": 1000}
_LINE = re.compile(rf"(\w+) (\d+) {FILLER}")


class Outcome(NamedTuple):
    """What the files hold, against what was logged."""

    expected: int
    lost: int
    doubled: int
    torn: int
    disordered: int
    files: int

    @property
    def is_whole(self) -> bool:
        """Whether every line is there once, whole, and in its process's order."""
        return not (self.lost or self.doubled or self.torn or self.disordered)


class SharedWriter:
    """A running writer process."""

    def __init__(self, name: str, path: Path, records: int, words: Any, *more: str) -> None:
        command = [
            sys.executable, "-m", "tests.support.shared_writer", name, str(path), str(records),
            "--words", json.dumps(words), *more,
        ]  # fmt: skip
        self.name = name
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()[1]

    def begin(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write("\n")
            self.process.stdin.flush()

    def end(self, timeout: float = 120) -> tuple[int, str]:
        _, stderr = self.process.communicate(timeout=timeout)
        return self.process.returncode, stderr


class ForkedWriter:
    """The same writer as a forked child of this process, which begins at once. For many kills."""

    def __init__(self, name: str, path: Path, records: int, words: Any, *more: str) -> None:
        self.name = name
        self._stderr = path.parent / f"{name}.txt"
        self._ready, ready = os.pipe()
        go, self._go = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                descriptor = os.open(self._stderr, os.O_WRONLY | os.O_CREAT, 0o600)
                os.dup2(descriptor, 2)

                def begin() -> None:
                    os.write(ready, b".")
                    os.read(go, 1)

                arguments = [name, str(path), str(records), "--words", json.dumps(words), *more]
                shared_writer.main(arguments, begin)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        os.close(ready)
        os.close(go)

    def begin(self) -> None:
        """Wait until the file is open, and have it log."""
        os.read(self._ready, 1)
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, b".")

    def end(self) -> tuple[int, str]:
        """Wait for its end; return the exit status and what it has said."""
        _, status = os.waitpid(self.pid, 0)
        os.close(self._ready)
        os.close(self._go)
        text = self._stderr.read_text()
        self._stderr.unlink()
        return os.waitstatus_to_exitcode(status), text


def files_of(path: Path) -> list[Path]:
    """Return the log's files in the order in which they were begun."""
    rotated = sorted(path.parent.glob(f"{path.stem}.*{path.suffix}*"))
    return [*rotated, *([path] if path.exists() else [])]


def lines_of(path: Path) -> Iterator[str]:
    for file in files_of(path):
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        data = data.replace(os.linesep.encode(), b"\n")
        yield from data.decode("utf-8").split("\n")[:-1]
        if data[-1:] not in (b"", b"\n"):
            yield data[data.rfind(b"\n") + 1 :].decode("utf-8")


def count(path: Path, expected: dict[str, int]) -> Outcome:
    """Compare the files with what each writer has logged."""
    seen: Counter[tuple[str, int]] = Counter()
    last: dict[str, int] = {}
    torn = disordered = 0
    for line in lines_of(path):
        match = _LINE.fullmatch(line)
        if match is None:
            torn += 1
            continue
        name, number = match[1], int(match[2])
        seen[name, number] += 1
        disordered += number <= last.get(name, -1)
        last[name] = number
    total = sum(expected.values())
    lost = sum((name, n) not in seen for name, end in expected.items() for n in range(end))
    doubled = sum(times - 1 for times in seen.values())
    return Outcome(total, lost, doubled, torn, disordered, len(files_of(path)))


def play(
    path: Path, processes: int, records: int, words: Any = None, more: Sequence[str] = ()
) -> Outcome:
    """Have writers log at the same time, and count."""
    words = WORDS if words is None else words
    writers = [SharedWriter(f"w{index}", path, records, words, *more) for index in range(processes)]
    for writer in writers:
        writer.wait_ready()
    for writer in writers:
        writer.begin()
    for writer in writers:
        status, stderr = writer.end()
        if "plain" not in more:
            assert (status, stderr) == (0, ""), stderr
    expected = {}
    for writer in writers:
        if "--fork" in more:
            half = records // 2
            expected[writer.name] = half
            expected[f"{writer.name}c"] = expected[f"{writer.name}p"] = records - half
        else:
            expected[writer.name] = records
    return count(path, expected)


def play_gunicorn(
    path: Path, requests: int, records: int, words: Any, workers: int = 4, preload: bool = False
) -> Outcome:
    """Have the workers of Gunicorn log in several requests at the same time, and count."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        environment = {
            **os.environ, "SHARED_PATH": str(path), "SHARED_WORDS": json.dumps(words),
        }  # fmt: skip
        command = [
            sys.executable, "-m", "gunicorn", "-w", str(workers), "-b",
            f"fd://{listener.fileno()}", "--timeout", "120", "--log-level", "error",
            *(["--preload"] if preload else []), "tests.support.shared_wsgi:application",
        ]  # fmt: skip
        server = subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()])
        port = listener.getsockname()[1]

        def ask(number: int) -> None:
            url = f"http://127.0.0.1:{port}/r{number}/{records}"
            urllib.request.urlopen(url, timeout=120).read()

        try:
            with ThreadPoolExecutor(workers) as pool:
                list(pool.map(ask, range(requests)))
        finally:
            server.terminate()
            server.wait(60)
    return count(path, {f"r{number}": records for number in range(requests)})


CASES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "size": (WORDS, ()),
    "time": ({**WORDS, "rotation": "1 second"}, ()),
    "fork": (WORDS, ("--fork",)),
    "logging": (WORDS, ("--by", "logging")),
    "gunicorn": (WORDS, ("gunicorn",)),
    "plain loguru": (WORDS, ("--by", "plain")),
}


def _cases(chosen: argparse.Namespace) -> int:
    failed = 0
    began_all = time.monotonic()
    for number in range(chosen.rounds):
        for case in chosen.only:
            if chosen.seconds and time.monotonic() - began_all > chosen.seconds:
                return failed
            words, more = CASES[case]
            with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
                began = time.monotonic()
                path = Path(directory) / "app.log"
                if case == "gunicorn":
                    outcome = play_gunicorn(
                        path, chosen.processes, chosen.records, words, preload=number % 2 == 1
                    )
                else:
                    outcome = play(path, chosen.processes, chosen.records, words, more)
                leftovers = sorted(
                    entry.name
                    for entry in Path(directory).iterdir()
                    if entry.name.startswith(".") and entry.name != ".app.log.lock"
                )
            print(
                f"round {number + 1}, {case}: {outcome.expected} lines, lost {outcome.lost}, doubled "
                f"{outcome.doubled}, torn {outcome.torn}, out of order {outcome.disordered}, "
                f"{outcome.files} files, {time.monotonic() - began:.1f} s",
                *leftovers,
                flush=True,
            )
            if case != "plain loguru":
                failed += not outcome.is_whole or bool(leftovers)
    return failed


def _time_until_next_line(path: Path) -> float | None:
    """Return the seconds until somebody writes again; ``None`` where nobody does in a second."""
    began = time.monotonic()
    first = None
    while time.monotonic() - began < 1.0:
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(path)
            seen = status.st_ino, status.st_size
            if first is not None and seen != first:
                return time.monotonic() - began
            first = seen
    return None


def kill_once(path: Path, point: str | None, seed: int, pauses: list[float] | None = None) -> str:
    """Kill one of three writers, at a point or at random; return what is wrong afterwards.

    The seconds until another one has written are added to ``pauses``.
    """
    random_ = random.Random(seed)
    records = 1500
    words = {**WORDS, "rotation": "30 KB"}
    more: list[str] = []
    if point is not None:
        few = ("rotation", "compression", "archive", "rename", "new file", "directory", "retention")
        most = 3 if any(word in point for word in few) else 300
        more = ["--point", point, "--passage", str(random_.randint(1, most))]
    victim = ForkedWriter("victim", path, 100_000, words, *more)
    others = [ForkedWriter(f"w{index}", path, records, words) for index in range(2)]
    for writer in (victim, *others):
        writer.begin()
    if point is None:
        time.sleep(random_.uniform(0.0, 0.25))
        os.kill(victim.pid, signal.SIGKILL)
    status, stderr = victim.end()
    pause = _time_until_next_line(path)
    if pauses is not None and pause is not None:
        pauses.append(pause)
    if status != -signal.SIGKILL:
        return f"the victim ended with {status} and was not killed: {stderr}"
    for writer in others:
        status, stderr = writer.end()
        if (status, stderr) != (0, ""):
            return f"another writer: {status}, {stderr}"
    # The next program that comes finishes what was left.
    last = ForkedWriter("last", path, 400, words)
    last.begin()
    status, stderr = last.end()
    if (status, stderr) != (0, ""):
        return f"the next program: {status}, {stderr}"
    expected = {**{writer.name: records for writer in others}, "last": 400}
    outcome = count(path, expected)
    torn = outcome.torn - (1 if point in (None, "in the middle of a line") else 0)
    hidden = [
        entry.name
        for entry in path.parent.iterdir()
        if entry.name.startswith(".") and entry.name != ".app.log.lock"
    ]
    uncompressed = [file.name for file in files_of(path) if file.suffix != ".gz"][:-1]
    victims = [
        int(m[2]) for line in lines_of(path) if (m := _LINE.fullmatch(line)) and m[1] == "victim"
    ]
    if outcome.lost or outcome.doubled or torn > 0 or outcome.disordered:
        return f"{outcome}"
    if victims != list(range(len(victims))):
        return "a line of the victim's is missing between others"
    if hidden or uncompressed:
        return f"left over: {hidden} {uncompressed}"
    return ""


def _kills(chosen: argparse.Namespace) -> int:
    plan: list[str | None] = [point for point in POINTS for _ in range(chosen.at_points)]
    plan += [None] * max(0, chosen.kills - len(plan))
    failed = 0
    pauses: list[float] = []
    began, done = time.monotonic(), 0
    random.Random(chosen.seed).shuffle(plan)
    for number, point in enumerate(plan):
        if chosen.seconds and time.monotonic() - began > chosen.seconds:
            break
        done += 1
        with tempfile.TemporaryDirectory(dir=chosen.directory) as directory:
            wrong = kill_once(Path(directory) / "app.log", point, chosen.seed + number, pauses)
        if wrong:
            failed += 1
            print(f"kill {number + 1}, {point or 'at random'}: {wrong}", flush=True)
    print(f"{done} kills, seed {chosen.seed}: {failed} with something wrong")
    if pauses:
        told = ", ".join(f"{1000 * f(pauses):.1f} ms" for f in (statistics.median, max))
        print(f"until the next line of another: median and worst of {len(pauses)}: {told}")
    return failed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.shared_files")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--directory")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--at-points", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0, help="end after so long; 0: never")
    chosen = parser.parse_args()
    chosen.only = chosen.only.split(",")
    return 1 if (_kills if chosen.kills else _cases)(chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
