"""Fuzzes every target, guided by coverage, while a receiver under the same input serves a worker.

::

    python -m pip install '.[fuzz]'
    python -m tests.fuzz --seconds 3600

The time is for all targets together. Each runs in a process of its own, whose memory is bounded.
What it finds goes, framed and unframed, to a real receiver meanwhile, beside a worker whose records
must all arrive. The exit status is 1 where a target crashes, hangs for a minute, takes two seconds
of the processor for one input or grows beyond 2 GB, and where a record of the worker's is missing.
``--keep`` puts new inputs into ``tests/fuzz/seeds``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.wire.frames import encode_frame
from tests.fuzz.targets import MAX_INPUT, SEEDS, TARGETS, seeds_of
from tests.support.processes import Account, ReceiverProcess
from tests.support.workers import Worker

MAX_MEMORY = 2048  # MB of a target's process
MAX_KEPT = 2048  # bytes of an input that is kept as a seed
HANG = 60  # seconds of one input; the machine may have other work, and coverage takes ten times as long
SLOW = 2  # seconds of the processor that an input may take without being watched
INSTRUMENTED_MODULES = ("loguru_stdbridge", "http.server", "http.client", "tomllib")
"""Whose coverage guides: ours, and the stdlib's parsers behind ours."""

WORKER = """
import itertools
for number in itertools.count():
    log(number, number + 1)
    if os.path.exists(sys.argv[4]):
        break
    time.sleep(0.002)
bridge.flush(60)
tell(count=number + 1)
"""


def fuzz_one(name: str, directory: Path, seconds: int) -> None:
    """Fuzz one target in this process; libFuzzer ends it."""
    import atheris

    with atheris.instrument_imports(include=[*INSTRUMENTED_MODULES]):
        for module in list(sys.modules):
            if module.startswith((*INSTRUMENTED_MODULES, "tests.fuzz.targets")):
                del sys.modules[module]
        for module in INSTRUMENTED_MODULES[1:]:  # ours imports some when it needs them
            with contextlib.suppress(ImportError):  # a Python without TOML
                importlib.import_module(module)
        from tests.fuzz.targets import TARGETS as ANEW

    target = ANEW[name]
    atheris.Setup(
        [
            name, str(directory), f"-max_total_time={seconds}", f"-rss_limit_mb={MAX_MEMORY}",
            f"-timeout={HANG}", f"-max_len={MAX_INPUT}", "-print_final_stats=1",
            f"-artifact_prefix={directory.parent}/finding-{name}-",
        ],
        target,
    )  # fmt: skip
    atheris.Fuzz()


class Harassment(threading.Thread):
    """Sends what the fuzzers have found to a receiver, until it is stopped."""

    def __init__(self, address: str, base: Path) -> None:
        super().__init__()
        self.place = parse_address(address)
        self.base = base
        self.stopped = threading.Event()
        self.sent = 0

    def run(self) -> None:
        while not self.stopped.is_set():
            for path in sorted(self.base.glob("corpus-*/*")):
                if self.stopped.is_set():
                    return
                try:
                    data = path.read_bytes()
                except FileNotFoundError:  # the fuzzer has found a better one
                    continue
                for piece in (data, encode_frame(data)):
                    with contextlib.suppress(OSError):
                        place = (self.place.host, self.place.port)
                        with socket.create_connection(place, 5) as client:
                            client.sendall(piece)
                    self.sent += 1
                self.stopped.wait(0.001)


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz; return 1 where anything is found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--seconds", type=int, default=3600, help="of all targets together (3600)")
    parser.add_argument("--only", choices=sorted(TARGETS), help="fuzz one target")
    parser.add_argument("--keep", action="store_true", help="keep small new inputs as seeds")
    parser.add_argument("--one", help=argparse.SUPPRESS)  # in a process of its own
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        fuzz_one(options.one, options.corpus, options.seconds)
        return 0
    names = [options.only] if options.only else list(TARGETS)
    base = Path(tempfile.mkdtemp(prefix="fuzz-"))
    failures = []
    os.environ["LOGURU_STDBRIDGE_SPOOL_DIR"] = str(base / "spool")
    sink = base / "logs" / "app.log"
    stop = base / "stop"
    with ReceiverProcess(sink, "--format", "{message}") as receiver:
        harassment = Harassment(receiver.address, base)
        with Worker(WORKER, receiver.address, str(stop)) as worker:
            harassment.start()
            try:
                for name in names:
                    failures += _fuzz_apart(name, base, options.seconds // len(names))
            finally:
                harassment.stopped.set()
                harassment.join()
            stop.touch()
            count = worker.stands()["count"]
        with open(f"/proc/{receiver.process.pid}/status", encoding="ascii") as status:
            peak = next(line for line in status if line.startswith("VmHWM")).split()[1]
        assert receiver.stop() == 0
    account = Account(sink)
    verdict = account.verdict({"a": count})
    if verdict.lost or verdict.doubled:
        failures.append(f"the worker's records: {verdict}")
    print(
        f"{count:,} records of a worker beside {harassment.sent:,} hostile connections: lost "
        f"{len(verdict.lost)}, doubled {len(verdict.doubled)}; the receiver's most memory "
        f"{int(peak) // 1024} MB"
    )
    if options.keep:
        _keep(base, names)
    for failure in failures:
        print(f"FAILED: {failure}; see {base}")
    if not failures:
        shutil.rmtree(base)
    return 1 if failures else 0


def _fuzz_apart(name: str, base: Path, seconds: int) -> list[str]:
    """Fuzz one target in a process of its own; return what is wrong."""
    corpus = base / f"corpus-{name}"
    corpus.mkdir()
    seeds = list(seeds_of(name))
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number:04}").write_bytes(seed)
    began = time.monotonic()
    done = subprocess.run(
        [
            sys.executable, "-m", "tests.fuzz", "--one", name, "--corpus", str(corpus),
            "--seconds", str(seconds),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )  # fmt: skip
    (base / f"output-{name}").write_text(done.stderr)
    figures = dict(
        line.removeprefix("stat::").split(":", 1)
        for line in done.stderr.splitlines()
        if line.startswith("stat::") and ":" in line
    )
    runs = figures.get("number_of_executed_units", "?").strip()
    peak = figures.get("peak_rss_mb", "?").strip()
    print(
        f"{name}: {runs} inputs in {time.monotonic() - began:.0f} s, {len(seeds)} seeds, "
        f"{len(list(corpus.iterdir()))} kept, {peak} MB at most, status {done.returncode}",
        flush=True,
    )
    failures = [] if done.returncode == 0 else [f"{name}: {done.stderr[-1500:]}"]
    for path in base.glob(f"finding-{name}-slow-unit-*"):
        began_at = time.process_time()
        TARGETS[name](path.read_bytes())
        taken = time.process_time() - began_at
        if taken > SLOW:
            failures.append(f"{name}: {path.name} took {taken:.1f} s of the processor")
    return failures


def _keep(base: Path, names: Sequence[str]) -> None:
    """Copy small new inputs to where seeds are kept."""
    for name in names:
        known = set(seeds_of(name))
        directory = SEEDS / name
        directory.mkdir(parents=True, exist_ok=True)
        new = [
            p for p in sorted((base / f"corpus-{name}").iterdir()) if p.read_bytes() not in known
        ]
        for path in [p for p in new if p.stat().st_size <= MAX_KEPT][:40]:
            shutil.copy(path, directory / path.name[:12])


if __name__ == "__main__":
    sys.exit(main())
