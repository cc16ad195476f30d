"""Lists the files of a log: the one that is written, and those that a rotation has left.

A file belongs to the log if its name is one that loguru's rotation or logrotate makes of the log's.
Nothing is opened here but by :func:`open_listed`, and only what is listed.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import NamedTuple

from ..system.files import SAFELY, open_file

MAX_FILES = 200
"""Files that are listed, the newest."""

_ARCHIVE = r"(?:\.(?:gz|bz2|xz|lzma|zip|tar|tar\.gz|tar\.bz2|tar\.xz|tgz|zst))?"
_TIME = r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6}(?:\.\d+)?"


class LogFile(NamedTuple):
    """One file of a log."""

    name: str
    size: int
    time: float
    """When it was written last, in seconds since the epoch."""


def list_files(path: str) -> list[LogFile]:
    """Return the files of the log that is written at ``path``; that one first, then the newest.

    Empty for a stream.
    """
    directory, name = os.path.split(path)
    stem, extension = os.path.splitext(name)
    old = re.compile(
        f"{re.escape(stem)}{_TIME}{re.escape(extension)}{_ARCHIVE}"
        f"|{re.escape(name)}[.-]\\d+{_ARCHIVE}"
    )
    found = []
    with contextlib.suppress(OSError), os.scandir(directory or ".") as entries:
        for entry in entries:
            if entry.name != name and not old.fullmatch(entry.name):
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found.append(LogFile(entry.name, status.st_size, status.st_mtime))
    found.sort(key=lambda file: (file.name != name, -file.time, file.name))
    return found[:MAX_FILES]


def open_listed(path: str, name: str) -> tuple[int, int] | None:
    """Open a file of the log at ``path`` by the name that it is listed under.

    Return the descriptor and the size; ``None`` where no such file is listed. The name is looked up
    and never joined to a path before that.
    """
    if all(file.name != name for file in list_files(path)):
        return None
    try:
        descriptor = open_file(os.path.join(os.path.dirname(path), name), os.O_RDONLY | SAFELY)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    return descriptor, status.st_size
