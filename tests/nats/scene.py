"""One scene: a cluster, two machines, a writer, and kills at random while eight workers log."""

from __future__ import annotations

import contextlib
import json
import mmap
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.engine import EngineServer
from tests.support.processes import Account, ReceiverProcess, Verdict, free_port
from tests.support.waiting import wait_until

from . import without_numbers, worker
from .machines import Machine, Network

SETTINGS = "replicas=3,max_age=1d"


class NumberedWorker:
    """A worker process, and how many of its log calls have returned."""

    def __init__(self, machine: Machine, name: str, rate: int) -> None:
        self.name, self.machine = name, machine
        path = machine.directory / f"notes-{name}"
        path.write_bytes(bytes(24))
        with open(path, "r+b") as file:
            self._notes = memoryview(mmap.mmap(file.fileno(), 24)).cast("Q")
        self.is_killed = False
        self.process = machine.start(
            "workers",
            sys.executable,
            worker.__file__,
            name,
            machine.address,
            str(path),
            str(rate),
        )

    @property
    def returned(self) -> int:
        return int(self._notes[0])

    def stop(self) -> None:
        self._notes[1] = 1

    def kill(self) -> None:
        self.is_killed = True
        self.process.kill()
        self.process.wait()


class CarelessReceiver(ReceiverProcess):
    """The writer of the control."""

    program = (without_numbers.__file__,)


class ClusterScene:
    """Everything that runs, below one directory."""

    def __init__(
        self,
        directory: Path,
        seed: int,
        *,
        careless: bool,
        options: list[str],
        workers: int = 4,
        rate: int = 200,
    ) -> None:
        """``workers`` are those of each machine, ``rate`` is the records a second of each."""
        self.rate = rate
        self.directory = directory
        self.chance = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self._opened = contextlib.ExitStack()
        self.network = Network(["a", "b"])
        self._opened.callback(self.network.close)
        self.servers = self._start_cluster()
        wait_until(self._has_leader, 60, "the cluster has a leader")
        host = self.network.host
        servers = ",".join(f"{host}:{server.port}" for server in self.servers)
        self.address = f"nats://{servers}/logs"
        self.machines = [Machine(name, directory, self.network) for name in ("a", "b")]
        self.receivers = {machine.name: self._start_receiver(machine) for machine in self.machines}
        self._opened.callback(self._end_all)
        self.sink = directory / "log" / "app.log"
        kind = CarelessReceiver if careless else ReceiverProcess
        self.writer = kind(
            self.sink, "--format", "{message}", "--rotation", "1 MB", "--spool-dir",
            str(directory / "spool"), *options, listen=self.address,
        )  # fmt: skip
        self.workers: list[NumberedWorker] = []
        for machine in self.machines:
            for _ in range(workers):
                self._add_worker(machine)

    def _start_cluster(self) -> list[EngineServer]:
        routes = [free_port() for _ in range(3)]
        listed = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
        servers = [
            EngineServer(
                self.directory / f"server-{port}",
                f"cluster {{ name: c, listen: 127.0.0.1:{port}, routes: [{listed}] }}",
                host="0.0.0.0" if self.network.has_cables else "127.0.0.1",
            )
            for port in routes
        ]
        for server in servers:
            self._opened.enter_context(server)
        return servers

    def _ask(self, name: str, fields: dict[str, Any] | None = None) -> dict[str, Any]:
        for server in self.servers:
            with contextlib.suppress(Exception):
                if server.process is not None:
                    return server.api(name, fields)
        return {}

    def _has_leader(self) -> bool:
        return "error" not in self._ask("INFO") and bool(self._ask("INFO"))

    def _start_receiver(self, machine: Machine) -> subprocess.Popen[bytes]:
        return machine.start(
            "receiver", sys.executable, "-m", "loguru_stdbridge.receiver", self.address,
            "--listen", machine.address, "--nats-create", SETTINGS,
        )  # fmt: skip

    def _add_worker(self, machine: Machine) -> None:
        self.workers.append(
            NumberedWorker(machine, f"{machine.name}{len(self.workers)}", self.rate)
        )

    def _end_all(self) -> None:
        processes = [*self.receivers.values(), *(each.process for each in self.workers)]
        for process in [*processes, self.writer.process]:
            if process.poll() is None:
                process.kill()
                process.wait()

    def close(self) -> None:
        self._opened.close()

    # -- what happens

    def play(self, kills: int) -> None:
        """Kill so often, one thing after the other, with some time in between."""
        wait_until(
            lambda: all(each.returned for each in self.workers) and self.sink.exists(), 120,
            "the workers log",
        )  # fmt: skip
        kinds = ["server", "leader", "receiver", "writer", "worker", "cut"]
        if not self.network.has_cables:
            kinds.remove("cut")
        planned = [kinds[index % len(kinds)] for index in range(kills)]
        self.chance.shuffle(planned)
        for kind in planned:
            threading.Event().wait(self.chance.uniform(0.3, 1.2))
            getattr(self, f"_kill_{kind}")()
            self.kills[kind] += 1

    def _kill_server(self, server: EngineServer | None = None) -> None:
        server = server or self.chance.choice(self.servers)
        server.kill()
        threading.Event().wait(self.chance.uniform(0.1, 1.5))
        server.start()

    def _kill_leader(self) -> None:
        info = self._ask("STREAM.INFO.logs").get("cluster", {})
        name = info.get("leader", "")
        leader = [each for each in self.servers if name == f"n{each.port}"]
        self._kill_server(leader[0] if leader else None)

    def _kill_receiver(self) -> None:
        machine = self.chance.choice(self.machines)
        process = self.receivers[machine.name]
        process.kill()
        process.wait()
        threading.Event().wait(self.chance.uniform(0.0, 1.0))
        self.receivers[machine.name] = self._start_receiver(machine)

    def _kill_writer(self) -> None:
        self.writer.kill()
        threading.Event().wait(self.chance.uniform(0.0, 1.0))
        self.writer.start()

    def _kill_worker(self) -> None:
        victim = self.chance.choice([each for each in self.workers if not each.is_killed])
        victim.kill()
        self._add_worker(victim.machine)

    def _kill_cut(self) -> None:
        machine = self.chance.choice(self.machines)
        self.network.plug(machine.name, plugged=False)
        threading.Event().wait(self.chance.uniform(0.5, 8.0))
        self.network.plug(machine.name, plugged=True)

    def end(self, patience: float = 240) -> Verdict:
        """Let the workers end, wait until all is in the file, and compare."""
        for each in self.workers:
            each.stop()
        for each in self.workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                each.process.wait(patience)
        expected = {each.name: each.returned for each in self.workers}
        killed = [each.name for each in self.workers if each.is_killed]
        total = sum(expected.values())

        def is_there() -> bool:
            if self.writer.process.poll() is not None:
                raise AssertionError(self.writer.stderr.read_text())
            return len(Account(self.sink).found) >= total

        with contextlib.suppress(AssertionError):
            wait_until(is_there, patience, f"{total} records are in the file")
        self.records = total
        self.writer.stop()
        return Account(self.sink).verdict(expected, one_more=killed)

    def told(self) -> list[str]:
        """Return what the receivers have said, without what they say in any case."""
        files = [each.directory / "receiver.txt" for each in self.machines]
        said = "".join(path.read_text() for path in [*files, self.writer.stderr])
        return said.splitlines()


def show(scene: ClusterScene, verdict: Verdict, seconds: float) -> str:
    """Return what a scene has shown, in a few lines."""
    kills = json.dumps(dict(sorted(scene.kills.items())))
    return (
        f"{sum(scene.kills.values())} kills {kills}, {scene.records:,} records, {seconds:.0f} s, "
        f"{'two namespaces' if scene.network.has_cables else 'no namespaces, no cuts'}\n"
        f"    lost {len(verdict.lost)}, doubled {len(verdict.doubled)}, torn {len(verdict.torn)}, "
        f"out of order {verdict.out_of_order}"
    )
