"""The pieces of a journal, each a file or anonymous memory that is mapped while it is needed.

Owns the mapping and the file, and that the file has its blocks: storing into a hole of a full disk
is SIGBUS, and logging would kill the application. What stands in it is the journal's.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
from typing import Any

from .segments import encode_segment_header


class Segment:
    """One mapped (or, in the middle of a backlog, unmapped) piece of the journal."""

    __slots__ = ("end", "first", "last", "map", "path", "size")

    def __init__(self, path: str | None, first: int, size: int) -> None:
        self.path = path
        self.first = first  # number of its first record, or lower where numbers were given up
        self.last = 0  # number of its last record, once it is closed
        self.end = 0  # offset behind it, once it is closed
        self.size = size
        self.map: Any = None

    @classmethod
    def in_file(cls, path: str, first: int, size: int) -> Segment:
        """A new one, of a file with all its blocks. Raises ``OSError`` or ``ValueError``."""
        segment = cls(path, first, size)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            reserve(descriptor, size)
            segment.map = mmap.mmap(descriptor, size)
        except BaseException:
            segment.release()
            raise
        finally:
            os.close(descriptor)
        header = encode_segment_header(first)
        segment.map[: len(header)] = header
        return segment

    @classmethod
    def in_memory(cls, first: int, size: int) -> Segment:
        """A new one that no other process will find. Raises ``OSError``."""
        segment = cls(None, first, size)
        segment.map = mmap.mmap(-1, size)
        return segment

    def mapped(self) -> Any:
        """The mapping, made again where it was let go. Raises ``OSError`` or ``ValueError``."""
        if self.map is None:
            assert self.path is not None
            descriptor = os.open(self.path, os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
            try:
                self.map = mmap.mmap(descriptor, self.size)
            finally:
                os.close(descriptor)
        return self.map

    def unmap(self) -> None:
        if self.path is not None:  # in memory the mapping is all there is
            self.map = None  # closed with its last reference: a reader may hold one

    def release(self) -> None:
        """It is needed no more."""
        self.map = None
        if self.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


NO_SEGMENT = Segment(None, 0, 0)


def reserve(descriptor: int, size: int) -> None:
    """Give the file its blocks now. Raises ``OSError`` where there are none."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise  # else a file system without it, and a C library that does not stand in
    block = bytes(65536)
    for start in range(0, size, len(block)):
        if os.write(descriptor, block[: size - start]) != min(size - start, len(block)):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
