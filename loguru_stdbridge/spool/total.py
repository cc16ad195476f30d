"""Bound what all journals of a spool directory take together.

Each process that logs while no receiver is there leaves a journal, however short its life is. So
the directory needs a bound of its own. What is over it is given up, from the oldest orphan on.

Why nothing is given up in silence
----------------------------------
An orphan that is given up keeps its ``meta``, with the last of its numbers as given up. Whoever
delivers it tells the log's readers how many records are missing, as for any gap. The number is
noted first and the rows go after that: a kill in between leaves an orphan that still has them.

Living owners are left alone: each has a limit of its own (``spool_limit``).
"""

from __future__ import annotations

import contextlib
import os
from typing import Callable

from ..exceptions import JournalError
from ..system.files import size_on_disk
from .directory import take_turn
from .finder import journal_directories
from .orphans import Orphan

DEFAULT_TOTAL = 1024 * 1024 * 1024
"""Bytes on disk of all journals of a spool directory."""

CHECK_INTERVAL = 10.0
"""Seconds between two checks, by whichever process: each looks at every file of the spool."""


def keep_within(spool_dir: str, total: int, report: Callable[[str], None]) -> None:
    """Give up the oldest orphans where all journals take more than ``total`` bytes.

    Does nothing where another process has looked within ``CHECK_INTERVAL``. Never raises.
    """
    with contextlib.suppress(OSError):
        if not take_turn(spool_dir, "total", CHECK_INTERVAL):
            return
        journals = sorted(map(_measure, journal_directories(spool_dir)))
        excess = sum(size for _, size, _ in journals) - total
        for _, size, path in journals:
            if excess <= 0:
                return
            try:
                orphan = Orphan.adopt(path)
            except (JournalError, OSError):
                continue
            if orphan is None:
                continue
            try:
                records = orphan.give_up()
            finally:
                orphan.release()
            if records:
                excess -= size - _measure(path)[1]
                report(
                    f"the journals in {spool_dir} take over {total} bytes (spool_total=): gave up "
                    f"{records} records that process {orphan.pid} left; the log will say so"
                )


def _measure(path: str) -> tuple[float, int, str]:
    """Return the time of its making, the bytes on disk, and the path of a journal."""
    made, size = 0.0, 0
    with contextlib.suppress(OSError):
        made = os.stat(os.path.join(path, "lock")).st_ctime
        for entry in os.scandir(path):
            size += size_on_disk(os.stat(entry.path))
    return made, size, path
