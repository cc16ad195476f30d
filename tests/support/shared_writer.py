"""A process that logs into a shared file, and may kill itself at a named point.

::

    python -m tests.support.shared_writer NAME PATH RECORDS [--words JSON] [--by loguru|logging|plain]
        [--point POINT --passage N] [--fork] [--threads N]

``plain`` is loguru's own file sink, which is no shared file. Each line is ``NAME NUMBER FILLER``.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Sequence
from typing import Any, Callable

from loguru import logger

from loguru_stdbridge import SharedFileHandler, SharedFileSink

FILLER = "x" * 60


def arm(point: str, passage: int) -> None:
    """Have this process kill itself at the passage of a point."""
    from loguru_stdbridge.shared import chores, log_file
    from loguru_stdbridge.sink import archive
    from loguru_stdbridge.system.locks import TAKE_NOW
    from loguru_stdbridge.system.short_calls import calls

    from .crashing import after, before, burn, passages_left, set_passages

    calls.find()
    calls.note_slow = lambda now: None  # type: ignore[method-assign] # no point is passed by

    set_passages(passage)
    file: Any = log_file.CurrentFile

    def is_line(descriptor: int, data: bytes, size: int) -> bool:
        return bytes(data).endswith(b"x\n")

    def takes(descriptor: int, operation: int) -> bool:
        return operation == TAKE_NOW

    def with_the_lock() -> None:
        change_lock = calls.change_lock

        def dying(descriptor: int, operation: int) -> int:
            refused = change_lock(descriptor, operation)
            if operation == TAKE_NOW and not refused:
                burn()
            return refused

        calls.change_lock = dying

    def within_a_line() -> None:
        write = calls.write

        def dying(descriptor: int, data: bytes, size: int) -> int:
            if is_line(descriptor, data, size):
                if passages_left() == 1:
                    write(descriptor, data[: size // 2], size // 2)
                burn()
            return write(descriptor, data, size)

        calls.write = dying

    points: dict[str, Callable[[], None]] = {
        "before the lock": lambda: before(calls, "change_lock", takes),
        "with the lock": with_the_lock,
        "in the middle of a line": within_a_line,
        "after the write": lambda: after(calls, "write", is_line),
        "before a rotation": lambda: before(file, "rotate"),
        "with an empty work directory": lambda: after(os, "mkdir"),
        "after the rename": lambda: after(os, "rename", lambda old, new: new.endswith(".log")),
        "with the new file": lambda: after(file, "rotate"),
        "before a compression": lambda: before(archive, "_compress"),
        "in the middle of a compression": lambda: before(shutil, "copyfileobj"),
        "before the archive's move": lambda: before(archive, "_move_beside"),
        "after the archive's move": lambda: after(archive, "_move_beside"),
        "before a retention": lambda: before(chores.Chores, "_sweep"),
    }
    points[point]()


POINTS = (
    "before the lock",
    "with the lock",
    "in the middle of a line",
    "after the write",
    "before a rotation",
    "with an empty work directory",
    "after the rename",
    "with the new file",
    "before a compression",
    "in the middle of a compression",
    "before the archive's move",
    "after the archive's move",
    "before a retention",
)


def log_all(name: str, records: int, log: Callable[[str], object]) -> None:
    for number in range(records):
        log(f"{name} {number} {FILLER}")


def _begin_by_streams() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


def main(
    arguments: Sequence[str] | None = None, begin: Callable[[], None] = _begin_by_streams
) -> None:
    """Log what the arguments say; ``begin`` is called when the file is open."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("path")
    parser.add_argument("records", type=int)
    parser.add_argument("--words", default="{}")
    parser.add_argument("--by", default="loguru")
    parser.add_argument("--point")
    parser.add_argument("--passage", type=int, default=1)
    parser.add_argument("--fork", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args(arguments)
    words = json.loads(chosen.words)
    if chosen.point:
        arm(chosen.point, chosen.passage)
    log: Callable[[str], object]
    if chosen.by == "logging":
        handler = SharedFileHandler(chosen.path, **words)
        root = logging.getLogger()
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        log = root.info
    else:
        logger.remove()
        sink = chosen.path if chosen.by == "plain" else SharedFileSink(chosen.path, **words)
        more = words if chosen.by == "plain" else {}
        logger.add(sink, format="{message}", **more)
        log = logger.info
    begin()
    if chosen.fork:
        half = chosen.records // 2
        log_all(chosen.name, half, log)
        child = os.fork()
        name = f"{chosen.name}c" if child == 0 else f"{chosen.name}p"
        log_all(name, chosen.records - half, log)
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    elif chosen.threads > 1:
        threads = [
            threading.Thread(target=log_all, args=(f"{chosen.name}t{index}", chosen.records, log))
            for index in range(chosen.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    else:
        log_all(chosen.name, chosen.records, log)
    logger.remove()
    logging.shutdown()


if __name__ == "__main__":
    main()
