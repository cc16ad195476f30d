"""Kills a receiver of two sinks, and counts what is in the files of each.

``tests/receiver/test_several.py`` plays this in a short form. The whole::

    python -m tests.support.several_sinks --kills 25 --seed 1

The first sink takes everything as text. The second one takes errors only, each third record: as
JSON documents, which the receiver renders (``json``), or as text, of which a worker's own line is
taken (``text``). Both rotate and compress. The exit status is 1 where a record is lost, doubled,
torn or out of order in one of the files.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support import crashing
from tests.support.kills import BIG_FILES, LONG, SHORT, Figures, Pace, Scene
from tests.support.processes import Account, log_files
from tests.support.waiting import wait_until

__all__ = ["KINDS", "LONG", "SHORT", "main", "two_sinks"]

KINDS = {
    "json": ("errors.json", ("--serialize", "--level", "ERROR")),
    "text": ("errors.txt", ("--format", "{message}", "--level", "ERROR")),
}
FILES = ("--rotation", "100 KB", "--compression", "gz", "--retention", "1000")


def _is_error(number: int) -> bool:
    return number % 3 == 0


def _message_of(line: str) -> str:
    try:
        return str(json.loads(line)["record"]["message"]) + "\n"
    except ValueError:
        return line


def two_sinks(directory: Path, seed: int, kind: str, kills: int, pace: Pace) -> Figures:
    """Kill a receiver of two sinks while three workers log: at each named point, then at random."""
    name, words = KINDS[kind]
    errors = directory / "logs" / name
    options = (*BIG_FILES, "--sink", str(errors), *words, *FILES)
    with Scene(f"two sinks, {kind}", directory, seed, *options) as scene:
        for worker in "abc":
            scene.add_worker(worker, "--mixed", "--ahead", str(pace.ahead))
        for each in scene.workers:
            each.began()
        scene.receiver.kill()
        points = list(crashing.SEVERAL)
        for number in range(kills):
            if number < len(points):
                scene.crash_receiver(points[number])
            else:
                scene.start_receiver()
                if scene.random.random() < 0.25:
                    scene.receiver.wait_ready()
                    wait_until(scene.has_new_file(""), 60, "one of the sinks rotates")
                    scene.pause(0.01)
                    scene.kill_receiver("a rotation")
                else:
                    scene.pause(pace.up)
                    scene.kill_receiver()
            scene.pause(pace.down)
        scene.start_receiver()
        figures = scene.finish()
        account = Account(errors, _message_of if kind == "json" else str)
        killed = {worker.name for worker in scene.workers if worker.killed}
        expected = {worker.name: worker.returned for worker in scene.workers}
        figures.verdicts.append(account.verdict(expected, killed, _is_error))
        figures.records += len(account.found)
        figures.files += len(log_files(errors))
        figures.notes.append(f"{len(account.found):,} of the records are errors, in {name}")
        return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Play both kinds; return 1 where anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.several_sinks")
    parser.add_argument("--seed", type=int, default=None, help="any number; default: a random one")
    parser.add_argument("--kills", type=int, default=25, help="of each kind (25)")
    options = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    clean = True
    with tempfile.TemporaryDirectory(prefix="several-") as base:
        for kind in KINDS:
            figures = two_sinks(Path(base) / kind, seed, kind, options.kills, LONG)
            print(figures, flush=True)
            clean = clean and figures.clean and not figures.complaints
    print("nothing lost, nothing twice" if clean else f"FAILED: seed {seed}")
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
