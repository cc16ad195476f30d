"""``python -m loguru_stdbridge.demo``: count the lines that rotation loses and the bridge keeps.

Four spawned processes write 20,000 records each, half through loguru and half through stdlib
logging, some with an exception or with ``extra``. The demo runs them twice. The first time each
process has a rotating sink of its own on one shared file, as people do. The second time they use
the bridge. Then it counts every line of every file and prints a table. Under a receiver
(``LOGURU_STDBRIDGE_ADDRESS`` is set) it only sends.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import logging
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from .addresses import ADDRESS_VARIABLE

ROTATION = "1 MB"
COMPRESSION = "gz"
_RECORD = re.compile(r"demo (\d+) (\d+) end$")
_ROW = "{:<22} {:>9} {:>9} {:>7} {:>10} {:>6} {:>6} {:>10}"


@dataclass(frozen=True)
class Outcome:
    """The lines found in the files after a run."""

    expected: int
    written: int  # distinct records
    duplicated: int
    torn: int  # lines that hold part of a record
    files: int
    seconds: float

    @property
    def lost(self) -> int:
        return self.expected - self.written


def main(
    argv: Sequence[str] | None = None, program: str = "python -m loguru_stdbridge.demo"
) -> int:
    """Run the demo; return 0 when the bridge has lost, doubled and torn nothing.

    ``program`` is how it was called.
    """
    parser = argparse.ArgumentParser(prog=program, description=__doc__)
    parser.add_argument("--workers", type=int, default=4, help="processes (4)")
    parser.add_argument("--records", type=int, default=20_000, help="records of each (20,000)")
    options = parser.parse_args(argv)
    if options.workers < 1 or options.records < 1:
        parser.error("--workers and --records must be 1 or more")
    if os.environ.get(ADDRESS_VARIABLE):
        return _send(options.workers, options.records)
    with tempfile.TemporaryDirectory(prefix="loguru_stdbridge_demo_") as directory:
        return _compare(Path(directory), options.workers, options.records)


def _send(workers: int, records: int) -> int:
    seconds, failed = _run_workers("sending", workers, records, _log_through_bridge, None)
    total = workers * records
    if failed:
        print(f"{failed} of {workers} processes could not deliver all of their records")
        return 1
    print(
        f"{total:,} records of {workers} processes delivered and acknowledged in {seconds:.1f} s "
        f"({total / seconds:,.0f} records/s)"
    )
    return 0


def _compare(directory: Path, workers: int, records: int) -> int:
    total = workers * records
    print(f'{workers} processes x {records:,} records, rotation "{ROTATION}", {COMPRESSION}\n')
    alone = directory / "without"
    seconds, _ = _run_workers("without the bridge", workers, records, _log_alone, str(alone))
    without = _count(alone, total, seconds)

    bridged = directory / "with"
    with _receiver(bridged / "demo.log", directory):
        seconds, _ = _run_workers("with the bridge", workers, records, _log_through_bridge, None)
    with_bridge = _count(bridged, total, seconds)

    print(_ROW.format(
        "", "expected", "written", "lost", "duplicated", "torn", "files", "records/s"
    ))  # fmt: skip
    for name, outcome in (("a sink per process", without), ("loguru_stdbridge", with_bridge)):
        print(_ROW.format(
            name, outcome.expected, outcome.written, outcome.lost, outcome.duplicated,
            outcome.torn, outcome.files, f"{outcome.expected / outcome.seconds:,.0f}",
        ))  # fmt: skip
    return 0 if not (with_bridge.lost or with_bridge.duplicated or with_bridge.torn) else 1


# -- the workers --------------------------------------------------------------------------------


def _run_workers(
    title: str, workers: int, records: int, target: Callable[..., None], argument: str | None
) -> Any:
    """Spawn the workers and show their progress; return (seconds, number of failed workers)."""
    context = multiprocessing.get_context("spawn")
    progress = context.Array("l", workers, lock=False)
    barrier = context.Barrier(workers + 1)
    processes = [
        context.Process(target=target, args=(number, records, progress, barrier, argument))
        for number in range(workers)
    ]
    for process in processes:
        process.start()
    with contextlib.suppress(Exception):  # broken where a worker could not start: seen below
        barrier.wait(60)
    start = time.monotonic()
    while any(process.is_alive() for process in processes):
        _show(title, sum(progress), workers * records)
        processes[0].join(0.1)
        if not processes[0].is_alive():
            for process in processes[1:]:
                process.join(0.05)
    seconds = time.monotonic() - start
    _show(title, sum(progress), workers * records, end="\n")
    return seconds, sum(process.exitcode != 0 for process in processes)


def _show(title: str, done: int, total: int, end: str = "") -> None:
    if sys.stderr.isatty() or end:
        sys.stderr.write(f"\r{title}: {done:,} of {total:,} records{end}")
        sys.stderr.flush()


def _log_through_bridge(
    number: int, records: int, progress: Any, barrier: Any, argument: str | None
) -> None:
    from loguru import logger

    from . import install_bridge

    logger.remove()
    logging.getLogger().addHandler(logging.NullHandler())  # else logging prints errors itself
    bridge = install_bridge(level="DEBUG")
    barrier.wait(60)
    _log(number, records, progress)
    if not bridge.close(timeout=60):
        sys.exit(1)


def _log_alone(
    number: int, records: int, progress: Any, barrier: Any, argument: str | None
) -> None:
    from loguru import logger

    from . import InterceptHandler

    logger.remove()
    # loguru reports failed rotations on stderr, hundreds of them.
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    logger.add(f"{argument}/demo.log", rotation=ROTATION, compression=COMPRESSION)
    logging.basicConfig(level=logging.DEBUG, handlers=[InterceptHandler()], force=True)
    barrier.wait(60)
    _log(number, records, progress)


def _log(worker: int, records: int, progress: Any) -> None:
    """Log the records of one worker: half loguru, half stdlib; some with an exception or extra."""
    from loguru import logger

    stdlib = logging.getLogger("demo.stdlib")
    for number in range(records):
        text = f"demo {worker} {number} end"
        if number % 1000 == 998:
            try:
                raise ValueError(f"the failure in record {number}")
            except ValueError:
                logger.exception(text) if number % 4000 == 998 else stdlib.exception(text)
        elif number % 2:
            stdlib.info(text, extra={"number": number} if number % 100 == 1 else None)
        elif number % 100 == 0:
            logger.bind(number=number, worker=worker).info(text)
        else:
            logger.info(text)
        progress[worker] = number + 1


# -- the receiver and the count -----------------------------------------------------------------


@contextlib.contextmanager
def _receiver(sink: Path, directory: Path) -> Iterator[None]:
    ready = directory / "ready"
    process = subprocess.Popen(
        [sys.executable, "-m", "loguru_stdbridge.receiver", str(sink), "--rotation", ROTATION,
         "--compression", COMPRESSION, "--listen", "tcp://127.0.0.1:0",
         "--ready-file", str(ready)],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not ready.exists():
            if process.poll() is not None:
                raise SystemExit(f"the receiver ended with status {process.returncode}")
            time.sleep(0.01)
        os.environ[ADDRESS_VARIABLE] = ready.read_text(encoding="utf-8").split()[0]
        yield
    finally:
        os.environ.pop(ADDRESS_VARIABLE, None)
        process.terminate()
        process.wait()


def _count(directory: Path, expected: int, seconds: float) -> Outcome:
    """Read every file of the run, line by line."""
    found: Counter[Any] = Counter()
    torn = 0
    files: list[Path] = [path for path in sorted(directory.iterdir()) if path.name[0] != "."]
    for path in files:
        opener: Any = gzip.open if path.suffix == ".gz" else open
        try:
            with opener(path, "rt", encoding="utf-8", errors="replace") as file:
                for line in file:
                    match = _RECORD.search(line)
                    if match:
                        found[match.groups()] += 1
                    elif "demo " in line and "File " not in line:
                        torn += 1
        except (EOFError, OSError):  # half an archive
            torn += 1
    written = len(found)
    return Outcome(expected, written, sum(found.values()) - written, torn, len(files), seconds)


if __name__ == "__main__":
    sys.exit(main())
