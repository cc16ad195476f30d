"""Run workers that end in every way a process can end, to see that their records are written.

::

    python -m tests.support.leavers ADDRESS NOTES COUNT SEED

This process, which has imported everything, forks the workers, a few at a time. Each worker notes in
the shared file ``NOTES`` how many of its log calls have returned. So the test knows how many records
were accepted, at whatever instant the worker ended.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import mmap
import multiprocessing
import os
import random
import signal
import struct
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loguru import logger

from loguru_stdbridge import install_bridge

TOGETHER = 6
_NOTE = struct.Struct("<Q")


class Notes:
    """Counts the returned log calls of each worker, in a file that all workers share."""

    def __init__(self, path: Path, count: int):
        with open(path, "a+b") as file:
            file.truncate(_NOTE.size * count)
            self._map = mmap.mmap(file.fileno(), _NOTE.size * count)

    def __setitem__(self, worker: int, returned: int) -> None:
        _NOTE.pack_into(self._map, _NOTE.size * worker, returned)

    def __getitem__(self, worker: int) -> int:
        return int(_NOTE.unpack_from(self._map, _NOTE.size * worker)[0])


class Leaver:
    """One worker and its ways to leave. ``second`` is the number of one that logs beside or after it."""

    def __init__(self, number: int, address: str, notes: str, count: int, seed: str):
        self.number, self.second = number, number + count
        self.arguments = (address, notes, count, seed)
        self.notes = Notes(Path(notes), 2 * count)
        self.random = random.Random(f"{seed} {number}")
        install_bridge(address, level="INFO", excepthook=False)  # its record is nobody's note

    def log(self, worker: int, numbers: Iterator[int], *, loguru: bool = True) -> None:
        for number in numbers:
            if number % 2 or not loguru:
                logging.getLogger("std").info("worker %d number %d end", worker, number)
            else:
                logger.info("worker {} number {} end", worker, number)
            self.notes[worker] = number + 1

    def some(self) -> Iterator[int]:
        return iter(range(self.random.randrange(300)))

    def killed_soon(self, number: int) -> None:
        """Log until a signal ends this process at a random instant."""
        pause = self.random.random() / 20
        threading.Timer(pause, os.kill, (os.getpid(), number)).start()
        self.log(self.number, itertools.count())

    def in_a_child(self, method: str) -> None:
        context = multiprocessing.get_context(method)
        child = context.Process(target=_child, args=(self.number, *self.arguments))
        child.start()
        self.log(self.second, self.some())
        child.join()

    # -- the ways; each is the last thing that the process does

    def by_sys_exit(self) -> None:
        self.log(self.number, self.some())
        sys.exit(0)

    def by_os_exit(self) -> None:
        self.log(self.number, self.some())
        os._exit(0)

    def by_the_end(self) -> None:
        self.log(self.number, self.some())

    def by_exception(self) -> None:
        self.log(self.number, self.some())
        raise RuntimeError("uncaught, on purpose")

    def by_sigterm(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.killed_soon(signal.SIGTERM)

    def by_sigterm_handler_that_exits(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        self.killed_soon(signal.SIGTERM)

    def by_sigterm_handler_that_logs_and_exits(self) -> None:
        def leave(*_: object) -> None:
            self.log(self.second, self.some())
            sys.exit(0)

        signal.signal(signal.SIGTERM, leave)
        self.killed_soon(signal.SIGTERM)

    def by_sigkill(self) -> None:
        self.killed_soon(signal.SIGKILL)

    def by_the_end_while_a_daemon_thread_logs(self) -> None:
        def log_on() -> None:  # loguru itself removes all sinks at exit: not through it
            self.log(self.second, itertools.count(), loguru=False)

        threading.Thread(target=log_on, daemon=True).start()
        self.log(self.number, self.some())

    def by_the_end_while_a_thread_logs(self) -> None:
        threading.Thread(target=self.log, args=(self.second, self.some())).start()
        self.log(self.number, self.some())

    def by_the_end_with_atexit(self) -> None:
        atexit.register(self.log, self.second, self.some())
        self.log(self.number, self.some())

    def by_the_end_with_a_child_by_fork(self) -> None:
        self.in_a_child("fork")

    def by_the_end_with_a_child_by_spawn(self) -> None:
        self.in_a_child("spawn")

    def by_exec(self) -> None:
        self.log(self.number, self.some())
        os.execv("/bin/true", ["true"])


WAYS = [name for name in vars(Leaver) if name.startswith("by_")]


def _child(number: int, *arguments: Any) -> None:
    leaver = Leaver(number, *arguments)
    leaver.log(number, leaver.some())


def main(address: str, notes: str, count: int, seed: str) -> None:
    """Run all workers. Returns in the workers as well."""
    logger.remove()
    order = [WAYS[number % len(WAYS)] for number in range(count)]
    random.Random(seed).shuffle(order)
    running = 0
    for number, way in enumerate(order):
        if running == TOGETHER:
            os.wait()
            running -= 1
        if not os.fork():
            getattr(Leaver(number, address, notes, count, seed), way)()
            return
        running += 1
    for _ in range(running):
        os.wait()
    print(*order)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
