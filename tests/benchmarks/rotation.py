"""Measure the longest gap in writing while a 100 MB file is rotated and compressed.

Four workers log records of 1 KB; each waits for acknowledgements after every 1,000. An observer looks
at the file about a thousand times a second and notes when it has grown or is a new file. The gap is
the longest time between two such moments, from 0.2 seconds before the rotation to the end of the
compression. Workers, receiver, compression and observer share the cores. So the table also shows the
observer's own longest pause: a gap cannot be measured more exactly than that.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import Callable

from loguru import logger

from tests.support.processes import log_files

from .bridges import deliver, install, start_receiver, stop
from .figure import Figure, Options, Sample, Samples, at_most, table
from .lines import count_lines, flaws, message
from .workers import Workers

_PAD = "x" * 800 + " "
_UNDER_WAY = 1000
_LOOK = 0.001  # seconds between two looks of the observer
_BEFORE = 0.2  # seconds before the rotation that count
_AFTER = 0.3  # seconds that the workers go on after the compression


class Rotation(Figure):
    name = "rotation"
    title = "Rotation with compression, milliseconds"

    def cases(self, options: Options) -> list[str]:
        return ["rotation"]

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        sink = directory / "logs" / "app.log"
        rotation = f"{options.rotation_size} MB"
        receiver = start_receiver(sink, options, "--rotation", rotation, "--compression", "gz")
        shared = mmap.mmap(-1, 8 + 8 * options.workers)  # a flag to end, and the counts

        def work(index: int) -> None:
            bridge = install(receiver.address)
            info, text = logger.info, _PAD + message("{}")
            number = 0
            while not shared[0]:
                for _ in range(_UNDER_WAY):
                    info(text, index, number)
                    number += 1
                deliver(bridge)
            struct.pack_into("Q", shared, 8 + 8 * index, number)
            bridge.close(60)

        workers = Workers(options.workers, work)
        observer = _Observer(sink)
        rotated = observer.until(lambda: observer.files > 1)
        compressed = observer.until(lambda: any(sink.parent.glob("*.gz")))
        observer.until(lambda: time.perf_counter() > compressed + _AFTER)
        shared[0] = 1
        workers.join()
        stop(receiver)
        expected = struct.unpack_from(f"{options.workers}Q", shared, 8)
        return {
            "gap_ms": observer.longest(observer.changes, rotated - _BEFORE, compressed) * 1000,
            "gap_before_ms": observer.longest(observer.changes, 0, rotated - _BEFORE) * 1000,
            "observer_ms": observer.longest(observer.looks, rotated - _BEFORE, compressed) * 1000,
            "compression_seconds": compressed - rotated,
            **count_lines(log_files(sink), expected),
        }

    def report(self, samples: Samples, options: Options) -> str:
        labels = {
            "gap_ms": "longest gap, rotation and compression",
            "gap_before_ms": "longest gap before",
            "observer_ms": "the observer's own longest pause",
        }
        rows = [
            [label, *samples.cells("rotation", measure, ".1f")] for measure, label in labels.items()
        ]
        worst = max(samples.column("rotation", "gap_ms"), default=float("nan"))
        what = f"{options.rotation_size} MB, gz: longest gap in milliseconds"
        took = samples.cells("rotation", "compression_seconds", ".1f")[0]
        return "\n".join([
            table(["", "median", "min", "max"], rows),
            "",
            at_most(what, samples.median("rotation", "gap_ms"), 250.0, ".1f"),
            f"         (the worst of the runs: {worst:.1f}; the compression took {took} s; "
            f"lines lost, doubled or torn: {sum(map(flaws, samples['rotation']))})",
        ])  # fmt: skip


class _Observer:
    """Looks at a file again and again. It uses no inotify, which would wake it for every write."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._seen: tuple[int, int] = (0, 0)
        self.files = 0
        self.looks: list[float] = []
        self.changes: list[float] = []

    def until(self, condition: Callable[[], bool]) -> float:
        """Look until ``condition`` holds after a look, and return the time of that look."""
        while True:
            time.sleep(_LOOK)
            self.look()
            if condition():
                return time.perf_counter()

    def look(self) -> None:
        try:
            status = os.stat(self._path)
        except FileNotFoundError:  # between the rename and the new file
            return
        finally:
            self.looks.append(time.perf_counter())
        now = (status.st_ino, status.st_size)
        if now != self._seen and status.st_size:
            self.files += now[0] != self._seen[0]
            self._seen = now
            self.changes.append(self.looks[-1])

    @staticmethod
    def longest(moments: list[float], first: float, last: float) -> float:
        """Return the seconds of the longest pause between two moments that touches the span."""
        pairs = zip(moments, moments[1:])
        return max((b - a for a, b in pairs if b >= first and a <= last), default=0.0)
