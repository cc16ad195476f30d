"""Kills receivers and workers, and counts what is in the files afterwards.

``tests/test_kills.py`` plays these scenes in a short form. The long form::

    python -m tests.support.kills --receiver-kills 1000 --worker-kills 200 --seed 1

prints the seed, what was killed how often, and a verdict. Its exit status is 1 where a record was
lost, doubled or torn, where a worker's order was not kept, where anything hung, or where a named
crash point was not reached.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import mmap
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Callable, NamedTuple

from tests.support import crashing
from tests.support.processes import Account, ReceiverProcess, Verdict, log_files
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

CRASHING = crashing.__file__
RETAINED = ("--compression", "gz", "--retention", "1000", "--format", "{message}")
BIG_FILES = ("--rotation", "200 KB", *RETAINED)

PLAN = (
    "an instant", "after the intent", "a rotation", "written, not settled", "a compression",
    "in the middle of a line", "its start", "between two lines",
)  # fmt: skip
"""When the receiver is killed, in this order at first; then at random, most often at an instant."""

EXPECTED = re.compile(
    r"writing .* listening on |ended: |standing by: |.*ended inside a frame|.* are left alone"
)
"""What a receiver may say on stderr while it and its clients are being killed."""

PASSAGES: dict[str, int] = {
    **dict.fromkeys((*crashing.WRITING, *crashing.FOREIGN), 8),
    **dict.fromkeys(crashing.ROTATION, 4),
    **dict.fromkeys(crashing.COMPRESSION, 4),
    **dict.fromkeys(crashing.SWEEP, 6),
    **dict.fromkeys(crashing.COMPACTION, 3),
    **dict.fromkeys(crashing.SEVERAL, 8),
    "batch written, not noted": 4, "batch noted": 4, "between two segments": 2,
    "before a record": 3_000, "in the middle of a record": 3_000,
    "record written, call not returned": 3_000, "segment without its header": 3,
    "half a segment's header": 3, "acknowledgement read": 10,
    "noted, not trimmed": 2, "trimmed": 2,
}  # fmt: skip
"""The highest passage at which a point is armed, where it is not the first."""


@dataclass
class Figures:
    """What one scene, or several, have shown."""

    title: str
    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    records: int = 0
    files: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    complaints: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        return all(verdict.clean for verdict in self.verdicts)

    def total(self, what: str) -> int:
        """Return how many records are lost, doubled or torn."""
        return sum(len(getattr(verdict, what)) for verdict in self.verdicts)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.title} (seed {self.seed}): {sum(self.kills.values())} kills, "
                f"{self.records:,} records in {self.files} files, {self.seconds:.0f} s",
                *(f"    {count:5} {kind}" for kind, count in sorted(self.kills.items())),
                *(f"    {count:5} times told: {text}" for text, count in self.complaints.items()),
                *(f"    {note}" for note in self.notes),
                *(f"    {verdict}" for verdict in self.verdicts if not verdict.clean),
                f"    lost {self.total('lost')}, doubled {self.total('doubled')}, torn "
                f"{self.total('torn')}, out of order {sum(v.out_of_order for v in self.verdicts)}",
            ]
        )

    def add(self, other: Figures) -> None:
        self.kills += other.kills
        self.complaints += other.complaints
        self.records += other.records
        self.files += other.files
        self.verdicts += other.verdicts
        self.notes += other.notes
        self.seconds += other.seconds


class Receiver(ReceiverProcess):
    """A receiver that can be started with a crash point."""

    program = (CRASHING, "receiver")

    def start_at(self, point: str | None, passage: int, *more: str) -> None:
        armed = () if point is None else ("--point", point, "--passage", str(passage))
        self.program = (CRASHING, *armed, *more, "receiver")
        self.start()

    def has_told(self, text: str) -> bool:
        return text in self.stderr.read_text()


class Worker:
    """A process that logs through both libraries and notes how many of its calls returned."""

    def __init__(self, scene: Scene, name: str, *options: str) -> None:
        self.name = name
        self.killed = False
        path = scene.directory / f"notes-{name}"
        path.write_bytes(bytes(24))
        with open(path, "r+b") as file:
            self._notes = memoryview(mmap.mmap(file.fileno(), 24)).cast("Q")
        with open(scene.directory / "workers.txt", "ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, CRASHING, *options, "worker", name, scene.address, str(path)],
                stderr=stderr,
                env={**os.environ, **scene.environment},
            )

    @property
    def returned(self) -> int:
        """How many of the worker's log calls have returned."""
        return int(self._notes[0])

    @property
    def given_up(self) -> int:
        """How many records the worker has given up by its own count; known when it has ended."""
        return int(self._notes[2])

    def began(self) -> None:
        """Wait until the worker logs."""
        wait_until(
            lambda: self.returned or self.process.poll() is not None, 60, f"{self.name} logs"
        )

    def stop(self) -> None:
        self._notes[1] = 1

    def kill(self) -> None:
        self.process.kill()
        self.killed = True

    def wait(self) -> int:
        status = self.process.wait(240)
        self.killed = self.killed or status != 0
        return status

    def release(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._notes.release()


class Scene:
    """A sink, a spool directory, a receiver and its workers, in a directory of their own."""

    def __init__(
        self,
        title: str,
        directory: Path,
        seed: int,
        *options: str,
        forced: str | None = None,
        spool: str = "spool",
        listen: str = "tcp://127.0.0.1:0",
        environment: Mapping[str, str] = {},
    ) -> None:
        """``forced`` is the ledger's answer, ``spool`` the receiver's own spool directory.

        ``environment`` is that of all processes.
        """
        directory.mkdir(parents=True)
        self.directory = directory
        self.sink = directory / "logs" / "app.log"
        self.spool = directory / "spool"
        self.environment = {**environment, "LOGURU_STDBRIDGE_SPOOL_DIR": str(self.spool)}
        self._spool_of_receiver = directory / spool
        self.random = random.Random(seed)
        self.figures = Figures(title, seed)
        self.more: tuple[str, ...] = () if forced is None else ("--forced", forced)
        self.workers: list[Worker] = []
        self.receivers: list[Receiver] = []
        self._began = time.monotonic()
        self.receiver = self.new_receiver(*options, listen=listen)
        self.receiver.wait_ready()
        self.address = self.receiver.address

    def new_receiver(self, *options: str, listen: str = "tcp://127.0.0.1:0") -> Receiver:
        spool = {"LOGURU_STDBRIDGE_SPOOL_DIR": str(self._spool_of_receiver)}
        environment = {**self.environment, **spool}
        receiver = Receiver(self.sink, *options, listen=listen, **environment)
        self.receivers.append(receiver)
        return receiver

    def __enter__(self) -> Scene:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for worker in self.workers:
            worker.release()
        for receiver in self.receivers:
            if receiver.process.poll() is None:
                receiver.kill()

    def pause(self, longest: float) -> None:
        """Let a random time pass, up to ``longest`` seconds."""
        threading.Event().wait(self.random.uniform(0, longest))

    def add_worker(self, name: str, *options: str) -> Worker:
        self.workers.append(Worker(self, name, *options))
        return self.workers[-1]

    def start_receiver(self) -> None:
        self.receiver.start_at(None, 0, *self.more)

    def kill_receiver(self, kind: str = "an instant") -> None:
        self.receiver.kill()
        self.figures.kills[kind] += 1

    def crash_receiver(self, point: str) -> None:
        """Start a receiver that kills itself at ``point``, and wait until it has."""
        passage = self.random.randint(1, PASSAGES.get(point, 1))
        self.receiver.start_at(point, passage, *self.more)
        self._await_crash(self.receiver.process, f"the receiver dies {point} ({passage})")
        self.figures.kills[point] += 1

    def _await_crash(self, process: subprocess.Popen[bytes], what: str) -> None:
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not reached: {what}") from None
        assert status == -signal.SIGKILL, f"status {status}: {what}\n{self.told()}"

    def crash_workers(self, points: Sequence[str], *more: str) -> None:
        """Start workers that kill themselves, one at each point, all at the same time."""
        started = []
        more = more or ("--filler", "--count", "4000")
        for point in points:
            passage = self.random.randint(1, PASSAGES.get(point, 1))
            name = f"w{len(self.workers)}"
            options = ("--point", point, "--passage", str(passage), *more)
            started.append((self.add_worker(name, *options), f"a worker dies {point} ({passage})"))
        for (worker, what), point in zip(started, points):
            self._await_crash(worker.process, what)
            worker.killed = True
            self.figures.kills[point] += 1

    def leave_journal(self) -> None:
        """Have a worker leave a journal of some segments, while no receiver is there."""
        name = f"o{len(self.workers)}"
        worker = self.add_worker(name, "--fate", "leave", "--count", "2500", "--filler")
        assert worker.wait() == 7

    def has_new_file(self, mark: str) -> Callable[[], bool]:
        """Return a test whether a file has appeared whose name ends with ``mark``."""

        def names() -> list[str]:
            return [entry.name for entry in os.scandir(self.sink.parent)]

        known = set(names())
        return lambda: any(name.endswith(mark) and name not in known for name in names())

    def told(self) -> str:
        """Return what the receivers have said."""
        return "".join(receiver.stderr.read_text() for receiver in self.receivers)

    def finish(self, text_of: Callable[[str], str] = str, *, is_archived: bool = True) -> Figures:
        """Stop the workers, have everything delivered, stop the receiver, and count.

        ``text_of`` is :class:`Account`'s. ``is_archived``: each file but the open one has to be.
        """
        staying = [worker for worker in self.workers if worker.process.poll() is None]
        for worker in staying:
            worker.stop()
        for worker in self.workers:
            status = worker.wait()
            assert status == 0 or worker.killed, f"{worker.name} ended with {status}"
        wait_until(lambda: not self.journals(), 120, "every journal is delivered and removed")
        assert self.receiver.stop() == 0, self.told()
        assert not is_archived or not self._not_archived(), f"{self._not_archived()}\n{self.told()}"
        account = Account(self.sink, text_of)
        figures = self.figures
        foreign = sum(figures.kills[point] for point in crashing.FOREIGN)
        assert account.torn.count(crashing.FOREIGN_LINE) == foreign, "a foreign line was cut"
        account.torn = [line for line in account.torn if line != crashing.FOREIGN_LINE]
        figures.verdicts.append(
            account.verdict(
                {worker.name: worker.returned for worker in self.workers},
                {worker.name for worker in self.workers if worker.killed},
            )
        )
        figures.records = len(account.found)
        figures.files = len(log_files(self.sink))
        figures.seconds = time.monotonic() - self._began
        for line in self.told().splitlines():
            text = line.partition("loguru_stdbridge.receiver: ")[2] or line
            if not EXPECTED.match(text):
                figures.complaints[re.sub(r"\d+", "N", text)] += 1
        return figures

    def _not_archived(self) -> list[str]:
        """List what rotations and compressions have left undone beside the sink."""
        return [
            path.name for path in self.sink.parent.iterdir()
            if ".compressing" in path.name or (path.suffix == ".log" and path != self.sink)
        ]  # fmt: skip

    def journals(self) -> list[str]:
        """List what is in the spool directory but notes of peers, the secret and empty directories."""
        found = []
        for entry in os.scandir(self.spool):
            with contextlib.suppress(FileNotFoundError):
                if entry.name in ("peers", "secret"):
                    continue
                if entry.is_file() or os.listdir(entry.path):
                    found.append(entry.name)
        return found


# -- the scenes


class Pace(NamedTuple):
    """How fast a receiver is killed and started."""

    up: float  # seconds that it lives, at most, until an instant
    down: float  # seconds, at most, until it is started again
    ahead: int  # records that a worker is ahead of it, at most


LONG, SHORT = Pace(2.0, 2.0, 20_000), Pace(0.5, 0.3, 3_000)


def receiver_kills(
    directory: Path, seed: int, kills: int, pace: Pace, forced: str | None = None
) -> Figures:
    """Kill a receiver while four workers log at full speed.

    ``forced`` is the answer that the ledger gives to every question: ``"written"`` or
    ``"unwritten"``.
    """
    title = "receiver killed" if forced is None else f"receiver killed, ledger says {forced}"
    with Scene(title, directory, seed, *BIG_FILES, forced=forced) as scene:
        for name in "abcd":
            scene.add_worker(name, "--ahead", str(pace.ahead))
        for worker in scene.workers:
            worker.began()
        scene.receiver.kill()
        for number in range(kills):
            how = (
                PLAN[number] if number < len(PLAN)
                else scene.random.choice(PLAN + ("an instant",) * len(PLAN))
            )  # fmt: skip
            _kill_once(scene, how, pace.up)
            scene.pause(pace.down)
        scene.start_receiver()
        return scene.finish()


def over_tls(directory: Path, seed: int, kills: int, pace: Pace, workers: str = "abcd") -> Figures:
    """Kill a receiver while workers log over TLS, with certificates at both sides; then workers."""
    from tests.support.certificates import Authority

    authority = Authority(directory.parent / f"{directory.name}-certificates")
    certificate = authority.issue(name="both")  # both sides have this environment
    tls = {"LOGURU_STDBRIDGE_TLS_CA": authority.ca, "LOGURU_STDBRIDGE_TLS_CERT": certificate}
    with Scene(
        "over TLS", directory, seed, *BIG_FILES, listen="tls://127.0.0.1:0", environment=tls
    ) as scene:
        for name in workers:
            scene.add_worker(name, "--ahead", str(pace.ahead))
        for worker in scene.workers:
            worker.began()
        scene.receiver.kill()
        for _ in range(kills):
            scene.start_receiver()
            scene.receiver.wait_ready()
            scene.pause(pace.up)
            scene.kill_receiver()
            scene.pause(pace.down)
        scene.start_receiver()
        scene.crash_workers(("in the middle of a record", "acknowledgement read")[: len(workers)])
        return scene.finish()


def _kill_once(scene: Scene, how: str, up: float) -> None:
    if how in crashing.RECEIVER:
        scene.crash_receiver(how)
        return
    scene.start_receiver()
    if how == "its start":
        scene.pause(0.4)
    else:
        scene.receiver.wait_ready()
        if how == "an instant":
            scene.pause(up)
        else:
            mark = ".compressing" if how == "a compression" else ""
            wait_until(scene.has_new_file(mark), 60, f"the receiver comes to {how}")
            scene.pause(0.01)
    scene.kill_receiver(how)


def crash_points(directory: Path, seed: int, share: float = 1.0) -> Figures:
    """Kill at each named point once: the receiver, one point after the other, then workers.

    ``share``: of the points, chosen at random.
    """
    options = (
        "--rotation", "20 KB", "--compression", "gz", "--retention", "1 day", "--format", "{message}",
    )  # fmt: skip
    with Scene("crash points", directory, seed, *options) as scene:
        for name in "ab":
            scene.add_worker(name, "--ahead", "1000")
        points = list(crashing.RECEIVER)
        scene.random.shuffle(points)
        del points[math.ceil(share * len(points)) :]
        scene.receiver.kill()
        for point in points:
            if point in crashing.ADOPTION:
                scene.leave_journal()
            elif point in crashing.SWEEP:
                _make_decoys(scene.sink)
            scene.crash_receiver(point)
        scene.start_receiver()
        of_worker = list(crashing.WORKER)
        chosen = scene.random.sample(of_worker, math.ceil(share * len(of_worker)))
        scene.crash_workers(chosen)
        return scene.finish()


def elsewhere(directory: Path, seed: int) -> Figures:
    """Kill workers that adopt journals, because the receiver has another spool directory."""
    with Scene("adoption by workers", directory, seed, *BIG_FILES, spool="elsewhere") as scene:
        scene.receiver.kill()
        for point in crashing.WORKER_ADOPTION:
            scene.leave_journal()
            scene.start_receiver()
            scene.receiver.wait_ready()
            scene.crash_workers([point], "--fate", "wait", "--count", "10")
            scene.receiver.kill()
        scene.start_receiver()
        last = scene.add_worker("last", "--fate", "wait", "--count", "10")
        wait_until(lambda: len(scene.journals()) == 1, 120, "a worker delivers every journal")
        assert last.returned == 10
        return scene.finish()


def drops(directory: Path, seed: int, kills: int) -> Figures:
    """Kill the receiver, and leave it away for longer than the journals can hold.

    The log must report exactly as many records as are missing.
    """
    with Scene("more than the spool holds", directory, seed, *BIG_FILES) as scene:
        for name in "abc":
            scene.add_worker(name, "--ahead", str(1 << 40), "--spool-limit", str(1 << 20))
        for worker in scene.workers:
            worker.began()
        for _ in range(kills):
            scene.pause(1.0)
            scene.kill_receiver("the receiver")
            scene.pause(1.0)
            scene.start_receiver()
            scene.receiver.wait_ready()
        scene.workers[0].kill()
        figures = scene.finish()
        (verdict,) = figures.verdicts
        told = [
            re.match(r"(\d+) records of sender .* were given up", line) for line in verdict.torn
        ]
        count = sum(int(match.group(1)) for match in told if match is not None)
        figures.notes.append(f"{count:,} records given up, as the file says {len(told)} times")
        if count == len(verdict.lost) and all(told):
            figures.verdicts = [verdict._replace(lost=[], torn=[])]
        lost = Counter(worker for worker, _ in verdict.lost)
        for worker in scene.workers[1:]:
            counts = (
                f"{worker.name} counts {worker.given_up} given up, {lost[worker.name]} are missing"
            )
            assert worker.given_up == lost[worker.name], counts
        return figures


def _make_decoys(sink: Path) -> None:
    """Make files that a retention of a day removes."""
    for number in range(12):
        decoy = sink.with_name(f"{sink.stem}.{crashing.DECOY}_00-00-00_{number:06}{sink.suffix}")
        decoy.touch()
        os.utime(decoy, (1e9, 1e9))


def worker_kills(directory: Path, seed: int, kills: int) -> Figures:
    """Kill workers at a random instant, eight at a time, in every way there is."""
    with Scene("workers killed", directory, seed, *BIG_FILES) as scene, _MemoryGroups() as groups:
        if groups.missing:
            scene.figures.notes.append(f"no out-of-memory killer: {groups.missing}")
        fates = ("kill", "exit", "segv", "kill" if groups.missing else "oom")
        for first in range(0, kills, 8):
            wave = []
            for number in range(first, min(first + 8, kills)):
                fate, delay = fates[number % len(fates)], scene.random.uniform(0, 1.0)
                options = () if fate == "kill" else ("--fate", fate, "--delay", str(delay))
                worker = scene.add_worker(f"w{number}", *options)
                if fate == "oom":
                    groups.confine(worker.process.pid)
                wave.append((worker, fate, delay))
            for worker, fate, delay in wave:
                worker.began()
                if fate == "kill":
                    threading.Event().wait(delay)
                    worker.kill()
            for worker, fate, _ in wave:
                wanted = {"exit": 7, "segv": -signal.SIGSEGV}.get(fate, -signal.SIGKILL)
                status = worker.wait()
                assert status == wanted, f"{worker.name} ({fate}) ended with {status}"
                scene.figures.kills[fate] += 1
        return scene.finish()


class _MemoryGroups:
    """Control groups in which the kernel's out-of-memory killer ends whoever takes too much."""

    LIMIT = 100_000_000

    def __init__(self) -> None:
        base = Path("/sys/fs/cgroup")
        old = base / "memory"
        self._root, self._limit = (
            (old, "memory.limit_in_bytes") if old.is_dir() else (base, "memory.max")
        )
        self._made: list[Path] = []
        self.missing = ""
        """Why there are none; empty where there are."""
        try:
            if self._root == base:
                (base / "cgroup.subtree_control").write_text("+memory")
            self._make()
        except OSError as error:
            self.missing = str(error)

    def _make(self) -> Path:
        group = self._root / f"loguru_stdbridge-{os.getpid()}-{len(self._made)}"
        group.mkdir()
        self._made.append(group)
        (group / self._limit).write_text(str(self.LIMIT))
        return group

    def confine(self, process: int) -> None:
        (self._make() / "cgroup.procs").write_text(str(process))

    def __enter__(self) -> _MemoryGroups:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for group in self._made:
            with contextlib.suppress(OSError):
                group.rmdir()


def both_sides(directory: Path, seed: int, seconds: float) -> Figures:
    """Kill receiver and workers at random, over a network that cuts, delays and splits."""
    with Scene("both sides and the network", directory, seed, *BIG_FILES) as scene:
        host, _, port = scene.address.rpartition("/")[2].rpartition(":")
        with Proxy((host, int(port)), seed) as proxy:
            scene.address = proxy.address
            scene.more = ("--also", proxy.address)
            scene.receiver.kill()
            scene.start_receiver()
            scene.receiver.wait_ready()  # else it says why not: no worker would ever be greeted
            living = [scene.add_worker(f"w{number}") for number in range(3)]
            for worker in living:
                worker.began()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                scene.pause(1.0)
                if scene.random.random() < 0.5:
                    victim = living.pop(scene.random.randrange(len(living)))
                    victim.kill()
                    scene.figures.kills["a worker"] += 1
                    living.append(scene.add_worker(f"w{len(scene.workers)}"))
                if scene.random.random() < 0.5:
                    scene.kill_receiver("the receiver")
                    scene.pause(0.5)
                    scene.start_receiver()
            scene.receiver.wait_ready()
            figures = scene.finish()
            figures.notes.append(f"{proxy.connections} connections, {proxy.cuts} of them cut")
            return figures


def standby(directory: Path, seed: int, kills: int) -> Figures:
    """Kill the active receiver while another one stands by at the same address."""
    with Scene("standby", directory, seed, *BIG_FILES) as scene:
        for name in "abcd":
            scene.add_worker(name, "--ahead", "3000")
        for worker in scene.workers:
            worker.began()
        times = []
        for _ in range(kills):
            following = scene.new_receiver(*BIG_FILES, "--standby", listen=scene.address)
            wait_until(partial(following.has_told, "standing by"), 60, "it stands by")
            scene.pause(0.5)
            killed_at = time.monotonic()
            scene.kill_receiver("the active receiver")
            following.wait_ready()
            times.append(time.monotonic() - killed_at)
            assert following.address == scene.address
            scene.receiver = following
        figures = scene.finish()
        figures.notes.append(
            f"takeover: {1e3 * min(times):.0f} ms at least, {1e3 * sorted(times)[kills // 2]:.0f} ms "
            f"median, {1e3 * max(times):.0f} ms at most"
        )
        return figures


# -- the long form


def _episodes(options: argparse.Namespace) -> Iterator[tuple[str, Callable[[Path, int], Figures]]]:
    """Yield what is played, and how, in parts whose files a directory can hold."""
    for kills in _parts(options.receiver_kills, 50):
        yield "receiver", partial(receiver_kills, kills=kills, pace=LONG)
    for _ in range(options.rounds):
        yield "points", crash_points
        yield "elsewhere", elsewhere
    for kills in _parts(options.worker_kills, 100):
        yield "workers", partial(worker_kills, kills=kills)
    for seconds in _parts(options.seconds, 60):
        yield "both", partial(both_sides, seconds=seconds)
    for kills in _parts(options.drop_kills, 20):
        yield "drops", partial(drops, kills=kills)
    for kills in _parts(options.tls_kills, 20):
        yield "tls", partial(over_tls, kills=kills, pace=LONG)
    if options.standby_kills:
        yield "standby", partial(standby, kills=options.standby_kills)
    for forced in ("written", "unwritten") if options.control_kills else ():
        kills = options.control_kills
        yield forced, partial(receiver_kills, kills=kills, pace=LONG, forced=forced)


def _parts(total: int, most: int) -> list[int]:
    return [min(most, total - first) for first in range(0, total, most)]


def _failures(sums: dict[str, Figures], rounds: int) -> Iterator[str]:
    """Yield everything that is not as it must be."""
    for name, figures in sums.items():
        if name == "written":
            if not figures.total("lost"):
                yield "with the ledger forced to 'written' no loss was seen: the checker is blind"
        elif name == "unwritten":
            if not figures.total("doubled"):
                yield "with the ledger forced to 'unwritten' nothing doubled: the checker is blind"
        elif not figures.clean:
            yield f"{figures.title}: records are lost, doubled, torn or out of order"
    reached = sum((figures.kills for figures in sums.values()), Counter())
    for point in (*crashing.RECEIVER, *crashing.WORKER, *crashing.WORKER_ADOPTION):
        if reached[point] < rounds:
            yield f"the point {point!r} was reached {reached[point]} times"


def main(argv: Sequence[str] | None = None) -> int:
    """Play everything; return 1 where anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.kills", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="any number; default: a random one")
    parser.add_argument("--receiver-kills", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=10, help="how often each crash point (10)")
    parser.add_argument("--worker-kills", type=int, default=200)
    parser.add_argument("--seconds", type=int, default=300, help="of killing both sides (300)")
    parser.add_argument("--drop-kills", type=int, default=40, help="with a small spool (40)")
    parser.add_argument("--standby-kills", type=int, default=20)
    parser.add_argument("--tls-kills", type=int, default=40, help="over TLS (40)")
    parser.add_argument("--control-kills", type=int, default=16, help="of a negative control (16)")
    parser.add_argument("--directory", help="where to play; what failed is left there")
    options = parser.parse_args(argv)
    first = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    print(f"seed {first}", flush=True)
    base = Path(tempfile.mkdtemp(prefix="kills-", dir=options.directory))
    sums: dict[str, Figures] = {}
    failures = []
    for number, (name, play) in enumerate(_episodes(options)):
        seed = first + number
        path = base / f"{number:03}-{name}"
        try:
            figures = play(path, seed)
        except AssertionError as error:
            failures.append(f"{name} (seed {seed}): {error}")
            print(failures[-1], flush=True)
            continue
        print(figures, flush=True)
        if figures.clean:
            shutil.rmtree(path)
        if name in sums:
            sums[name].add(figures)
        else:
            sums[name] = figures
    print("\nin all:")
    for figures in sums.values():
        print(figures)
    failures += _failures(sums, options.rounds)
    for failure in failures:
        print(f"FAILED: {failure}")
    print("nothing lost, nothing twice" if not failures else f"seed {first}; see {base}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
