"""``python -m tests.windows``: set Wine up, and play the scenes and the suite's parts there.

``--only`` chooses what; ``--short`` is what ``.ci/run`` plays, under a minute once Wine is set up.
The exit status is 1 where a part has failed, or a process is left over.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from .suite import PARTS as PARTS_OF_SUITE
from .surroundings import SCENES as SURROUNDING_SCENES
from .wine import PLACE, Wine

SCENE = ["-m", "tests.windows.scenes"]
SHARED = ["-m", "tests.support.shared_files", "--rounds", "1", "--processes", "4"]
SURROUNDINGS = ["-m", "tests.windows.surroundings"]
PYTEST = ["-m", "pytest", "-q", "-p", "tests.windows.suite"]

PARTS: dict[str, list[list[str]]] = {
    "set-up": [],
    "job": [[*SCENE, "job"]] * 5,
    "kills": [
        *([*SCENE, "kills", "--seed", str(seed)] for seed in range(1, 6)),
        [*SCENE, "alone"],
    ],
    "held": [[*SCENE, "held"]],
    "at-once": [[*SCENE, "at-once"]],
    "shared": [[*SHARED, "--only", case] for case in ("size", "time", "logging", "plain loguru")],
    "surroundings": [[*SURROUNDINGS, name] for name in SURROUNDING_SCENES],
    "suite": [[*PYTEST, part] for part in PARTS_OF_SUITE],
}
"""What is run, by name: the arguments of Python, one list for each run."""

SHORT = [
    [*SCENE, "kills", "--receiver-kills", "2", "--worker-kills", "2", "--seed", "1"],
    [*SCENE, "alone", "--records", "4000"],
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--directory", type=Path, default=PLACE, help="where Wine is set up")
    options = parser.parse_args()
    wine = Wine(options.directory)
    try:
        wine.set_up()
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"Wine could not be set up: {error}")
        return 0 if options.short else 1
    runs = SHORT if options.short else [run for name in options.only for run in PARTS[name]]
    failed = 0
    for arguments in runs:
        began = time.monotonic()
        done = wine.run(arguments)
        print(done.stdout.rstrip(), f"({time.monotonic() - began:.0f} s)", flush=True)
        left = wine.left_over()
        if left:
            print(f"left over: {left}")
            wine.end_all()
        failed += bool(done.returncode or left)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
