"""Look at the journals of a spool directory without adopting one: whose they are, and how large.

Nothing is written, moved or kept locked here. What is seen may have changed a moment later.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from ..addresses import parse_address
from ..exceptions import AddressError, JournalError
from ..system.locks import is_locked
from .belonging import noted_log, read_origin
from .finder import journal_directories
from .foreign import open_journal_file
from .segments import META_SIZE, decode_meta


class JournalFacts(NamedTuple):
    """What a journal shows of itself."""

    path: str
    sender_id: str
    wanted: str
    """The log, or the address, that its records wait for; empty where it cannot be read."""

    program: str
    pid: int
    created: float
    """Seconds since the epoch."""

    is_owned: bool
    """Whether a process has it open, that has made it or delivers it."""

    bytes: int
    """Bytes of its segments."""

    acked: int
    """The highest number that was delivered."""

    trouble: str
    """Why it cannot be read; empty where it can."""


def inspect_spool(spool_dir: str) -> list[JournalFacts]:
    """Return what the journals of a spool directory show, oldest first. Never raises."""
    found = []
    for path in journal_directories(spool_dir):
        with contextlib.suppress(OSError):  # it is gone by now, or another user's
            found.append(_inspect(path))
    return sorted(found, key=lambda journal: journal.created)


def _inspect(path: str) -> JournalFacts:
    size = 0
    for entry in os.scandir(path):
        with contextlib.suppress(FileNotFoundError):
            if entry.name.endswith(".seg"):
                size += entry.stat(follow_symlinks=False).st_size
    is_owned = is_locked(os.path.join(path, "lock"))
    facts = JournalFacts(path, os.path.basename(path), "", "", 0, 0.0, is_owned, size, 0, "")
    try:
        with open(os.path.join(path, "meta"), "rb", opener=open_journal_file) as file:
            meta = decode_meta(file.read(META_SIZE + 1))
        origin = read_origin(parse_address(meta.address), meta.origin, noted_log(path))
    except (JournalError, AddressError, FileNotFoundError) as error:
        created = os.stat(path).st_mtime
        return facts._replace(created=created, trouble=str(error) or type(error).__name__)
    return facts._replace(
        wanted=origin.wanted, program=origin.program, pid=meta.pid, created=meta.created,
        acked=meta.acked,
    )  # fmt: skip
