"""Files by what they are, whatever their names.

Owns the look at the file system that the ledger, the archive and the sink share. Nothing is opened
for writing here.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

ARCHIVES = (".gz", ".bz2", ".xz", ".lzma", ".tar", ".zip")
"""What the names of archives end with: those that loguru makes, and logrotate."""


class FileId(NamedTuple):
    """What a file is, whatever its name."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> FileId:
        return cls(status.st_dev, status.st_ino)


def find_file(file: FileId, path: str) -> str | None:
    """Where the file is now: at ``path``, or under another name beside it after a rotation.

    That name begins as the old one does, by loguru's rules and by logrotate's, and is no archive's.
    Any other file has been given the inode of one that is gone, and is not ours to cut or to
    compress: an archive least of all, and the next one is often given the inode of the last file.
    """
    with contextlib.suppress(OSError):
        if FileId.of(os.stat(path)) == file:
            return path
    directory, name = os.path.split(path)
    root = os.path.splitext(name)[0]
    archives = () if name.endswith(ARCHIVES) else ARCHIVES
    with contextlib.suppress(OSError), os.scandir(directory or ".") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                ours = entry.inode() == file.inode and entry.name.startswith(root)
                if ours and not entry.name.endswith(archives) and FileId.of(entry.stat()) == file:
                    return entry.path
    return None


def sync_directory(directory: str | Path) -> None:
    """Have the disk itself hold the names in a directory; a file that is new has none there yet."""
    descriptor = os.open(directory or ".", os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that cannot
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
