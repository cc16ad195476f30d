"""Tells files by what they are, whatever they are called.

The ledger, the archives and the rotated file share this look at the file system. Nothing here opens
a file for writing.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

from ..system.files import file_key

_ARCHIVE_SUFFIXES = (".gz", ".bz2", ".xz", ".lzma", ".tar", ".zip")  # loguru's and logrotate's


class FileId(NamedTuple):
    """What the system knows a file by, whatever its name."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileId:
        return cls(*file_key(status))


STREAM = FileId(0, 0)
"""What stands for a pipe, a terminal or another stream, which is no file to be found again."""


class NamedFile(NamedTuple):
    """A file, and the path under which it was opened."""

    id: FileId
    path: str


def find_file(file: FileId, path: str) -> str | None:
    """Return where the file is now: at ``path``, or under another name in the same directory.

    ``None`` where it is gone. The other name is one that a rotation gives, loguru's or logrotate's:
    it begins as the old one does, and is not an archive's. Any other file has been given the inode
    of a removed one, and must not be cut or compressed. An archive least of all: the next archive
    is often given the inode of the file that was removed last.
    """
    with contextlib.suppress(OSError):
        if FileId.of(os.stat(path)) == file:
            return path
    directory, name = os.path.split(path)
    root = os.path.splitext(name)[0]
    archives = () if name.endswith(_ARCHIVE_SUFFIXES) else _ARCHIVE_SUFFIXES
    with contextlib.suppress(OSError), os.scandir(directory or ".") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                name = entry.name
                if not name.startswith(root) or name.endswith(archives) or entry.is_symlink():
                    continue
                if FileId.of(os.stat(entry.path)) == file:  # Windows tells it to stat() alone
                    return entry.path
    return None
