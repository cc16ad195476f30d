"""Play the scenes: ``python -m tests.nats [--kills 60] [--seed N] [--control] [--order SECONDS]``.

The exit status is 1 where a record was lost, doubled, torn or out of order; with ``--control``,
which leaves the sequence numbers out, where none was doubled.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from .scene import ClusterScene, show


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.nats", description=__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--workers", type=int, default=4, help="of each machine")
    parser.add_argument("--rate", type=int, default=200, help="records a second of a worker")
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--option", action="append", default=[], help="of the writer")
    parser.add_argument("--keep", action="store_true", help="leave the files")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    began = time.monotonic()
    directory = Path(tempfile.mkdtemp(prefix="lsbn", dir="/tmp"))
    scene = ClusterScene(
        directory,
        arguments.seed,
        careless=arguments.control,
        options=arguments.option,
        workers=arguments.workers,
        rate=arguments.rate,
    )
    try:
        scene.play(arguments.kills)
        verdict = scene.end()
    finally:
        scene.close()
    title = "without sequence numbers" if arguments.control else "with sequence numbers"
    print(f"{title} (seed {arguments.seed}): {show(scene, verdict, time.monotonic() - began)}")
    is_right = bool(verdict.doubled) if arguments.control else verdict.clean
    if not is_right or arguments.keep:
        print(verdict)
        print("\n".join(scene.told()[-60:]))
        print(f"the files are in {directory}")
    else:
        shutil.rmtree(directory)
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
