"""``python -m tests.benchmarks``: run the figures, print the tables, write JSON and the chart."""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import loguru_stdbridge

from . import machine
from .call import Call
from .cpu import Cpu
from .delay import Delay
from .engine import Engine
from .figure import Figure, Options, Sample, Samples
from .footprint import Footprint
from .growth import Growth
from .hook import Hook
from .peers import PEERS
from .rotation import Rotation
from .shared import Shared
from .stock import StockRecords
from .throughput import Throughput
from .watched import Watched

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Throughput(),
        Cpu(),
        Call(),
        Growth(),
        Rotation(),
        Delay(),
        Footprint(),
        Hook(),
        StockRecords(),
        Watched(),
        Shared(),
        Engine(),
    )
}

_TIMEOUT = 900.0
"""Seconds that one sample may take. The longest, a backlog of a million records, takes about 60."""

_QUIET = 0.05
"""Share of the cores that other programs may use on a machine that counts as quiet."""


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Measure loguru_stdbridge side by side with its peers. How to read the tables: "
        "the text at the top of tests/benchmarks/__init__.py.",
    )
    add = parser.add_argument
    add("--only", default=",".join(FIGURES), help=f"which figures (default: {','.join(FIGURES)})")
    add("--runs", type=int, default=Options.runs, help="rounds of each figure (%(default)s)")
    add("--workers", type=int, default=Options.workers, help="processes (%(default)s)")
    add("--records", type=int, default=Options.records, help="records of each (%(default)s)")
    add("--peers", default="", help=f"which of {','.join(PEERS)} the throughput compares")
    add("--calls", type=int, default=Options.calls, help="timed log calls (%(default)s)")
    add("--backlog", type=int, default=Options.backlog, help="records of the backlog (%(default)s)")
    add("--rotation-size", type=int, default=Options.rotation_size, metavar="MB",
        help="size of the file that is rotated and compressed (%(default)s)")  # fmt: skip
    add("--render", choices=("worker", "receiver"), default=Options.render,
        help="where ours renders its lines, in all figures but throughput and cpu (%(default)s)")  # fmt: skip
    add("--directory", help="where the files go; on a disk (default: the system's temporary one)")
    add("--json", metavar="PATH", help="write machine, versions and every sample")
    add("--svg", metavar="PATH", help="draw the throughput")
    add("--child", nargs=3, help=argparse.SUPPRESS)  # figure, case, options as JSON
    chosen = parser.parse_args(argv)
    chosen.only = [name for name in chosen.only.split(",") if name]
    chosen.peers = [name for name in chosen.peers.split(",") if name]
    for given, known in ((chosen.only, FIGURES), (chosen.peers, PEERS)):
        unknown = set(given) - set(known)
        if unknown:
            parser.error(f"{', '.join(sorted(unknown))}: one of {', '.join(known)}")
    if chosen.svg and "throughput" not in chosen.only:
        parser.error("--svg draws the throughput: add it to --only")
    return chosen


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit code."""
    chosen = _parse(argv)
    if chosen.child:
        return _child(*chosen.child)
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(1)
    )  # so that its children are ended too
    # pip compiles the modules of a package that it installs; no worker must do so while measured.
    compileall.compile_dir(str(Path(loguru_stdbridge.__file__).parent), quiet=2)
    options = Options(**{field.name: getattr(chosen, field.name) for field in fields(Options)})
    with tempfile.TemporaryDirectory(prefix="stdbridge-benchmarks-", dir=chosen.directory) as root:
        where = machine.describe(Path(root))
        print(", ".join(f"{name} {value}" for name, value in where.items()))
        results: dict[str, Samples] = {}
        for name in chosen.only:
            figure = FIGURES[name]
            if name == "cpu" and "throughput" in results:
                samples = results["throughput"]
            else:
                samples = results[name] = _run(figure, options, Path(root))
            _print(figure, samples, options)
            if chosen.json:  # after each figure, so that a later failure loses no sample
                _write(Path(chosen.json), where, options, results)
    if chosen.svg:
        from .chart import draw

        draw(results["throughput"], where, options, Path(chosen.svg))
    return 0


def _print(figure: Figure, samples: Samples, options: Options) -> None:
    few = "" if options.runs >= 5 else ", which is too few to prove anything"
    title = f"{figure.title} ({options.runs} runs{few})"
    print(f"\n{title}\n{'=' * len(title)}\n\n{figure.report(samples, options)}")
    others = statistics.median(sample["busy"] for taken in samples.values() for sample in taken)
    if others > _QUIET:
        print(
            f"\n  The machine was not quiet: other programs used {others:.0%} of the cores. Compare "
            "processor times\n  only: on the clock, a set-up with more processes gets more of the "
            "cores and looks better than it is."
        )
    sys.stdout.flush()


def _write(path: Path, where: Any, options: Options, results: dict[str, Samples]) -> None:
    document = {
        "machine": where,
        "options": options.as_dict(),
        "taken": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "samples": {name: samples.by_measure() for name, samples in results.items()},
    }
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _run(figure: Figure, options: Options, root: Path) -> Samples:
    """Measure every case in turn, then again: A B C A B C ..."""
    samples = Samples((case, []) for case in figure.cases(options))
    for run in range(options.runs):
        for case in samples:
            print(f"{figure.name} {run + 1}/{options.runs} {case}", file=sys.stderr, flush=True)
            samples[case].append(_measure(figure, case, options, root))
    return samples


def _measure(figure: Figure, case: str, options: Options, root: Path) -> Sample:
    """Take one sample in a Python process and a directory of its own."""
    with tempfile.TemporaryDirectory(dir=root) as directory:
        environment = {
            **os.environ,
            "LOGURU_STDBRIDGE_SPOOL_DIR": os.path.join(directory, "spool"),
            "PYTHONHASHSEED": "0",
        }
        for name in ("LOGURU_STDBRIDGE_ADDRESS", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(name, None)
        busy = machine.busy()
        command = [sys.executable, "-m", __package__, "--child", figure.name, case]
        child = subprocess.Popen(
            [*command, json.dumps({**options.as_dict(), "directory": directory})],
            env=environment,
            stdout=subprocess.PIPE,
            start_new_session=True,  # so that a sample that hangs can be ended with its children
        )
        try:
            out, _ = child.communicate(timeout=_TIMEOUT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if child.returncode:
            raise SystemExit(f"{figure.name}, {case}: failed")
        sample: Sample = {**json.loads(out), "busy": busy}
        return sample


def _child(name: str, case: str, text: str) -> int:
    given: dict[str, Any] = json.loads(text)
    directory = Path(given.pop("directory"))
    print(json.dumps(FIGURES[name].measure(case, Options(**given), directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
