"""Run a crowd of workers that come and go, to see that a receiver stays as it was.

::

    python -m tests.support.crowd ADDRESS NOTES SEED TOGETHER PER_SECOND SECONDS

This process forks all workers. First ``TOGETHER`` workers connect and stay. Then, for ``SECONDS``,
up to ``PER_SECOND`` new ones a second come and as many old ones go, each in one of several ways. At
the end all go. The shared file ``NOTES`` holds how many records each worker has logged.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from loguru import logger

from loguru_stdbridge import install_bridge
from tests.support.leavers import Notes


def work(number: int, address: str, notes: Notes, chance: random.Random) -> None:
    """Log until a signal comes, then leave in one of several ways."""
    way = chance.choice(["exit", "_exit", "kill"])
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    bridge = install_bridge(address)
    count = 0

    def log(records: int) -> None:
        nonlocal count
        for _ in range(records):
            logger.info("worker {} number {} end", number, count)
            count += 1
            notes[number] = count

    log(chance.randrange(1, 20))
    bridge.flush(60)  # so that the worker is connected
    os.write(1, b".")
    signal.sigwait([signal.SIGTERM])
    log(chance.randrange(20))
    if way == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif way == "_exit":
        os._exit(0)
    sys.exit(0)


def main(address: str, notes_path: str, seed: str, *figures: str) -> None:
    """Run all workers. Returns in this process only."""
    together, per_second, seconds = map(int, figures)
    total = together + per_second * seconds
    notes, chance = Notes(Path(notes_path), total), random.Random(seed)
    logger.remove()
    running: list[int] = []

    def come(number: int) -> None:
        pid = os.fork()
        if not pid:
            work(number, address, notes, random.Random(f"{seed} {number}"))
        running.append(pid)

    def go() -> None:
        os.kill(running.pop(chance.randrange(len(running))), signal.SIGTERM)

    for number in range(together):
        come(number)
    sys.stdin.readline()
    start = time.monotonic()
    late = 0.0
    for index in range(per_second * seconds):
        due = start + index / per_second
        late = max(late, time.monotonic() - due)
        time.sleep(max(due - time.monotonic(), 0.0))
        come(together + index)
        go()
    while running:
        go()
    for _ in range(total):
        os.wait()
    os.write(1, f" {time.monotonic() - start:.1f} {late:.1f}\n".encode())
    sys.stdin.readline()


if __name__ == "__main__":
    main(*sys.argv[1:])
