"""One piece of a journal: a file that grows with what is written, or memory of this process.

Owns the file and where it ends. What the records mean, and which of them are needed still, is the
business of :mod:`spool.contents`.

Why a record is whole or not there
----------------------------------
Header and row are one write at a known place. A kill in the middle of it leaves a file that ends
inside the record: a call that had not returned. A file that does not take all of it (a full disk, a
limit, a broken device) is cut to where the record begins, and the segment ends there: the record
goes into another one.

Memory is taken instead where no file can be had. It grows with what is in it, too.
"""

from __future__ import annotations

import contextlib
import errno
import os

from ..system.own_file import OwnFile, freshen, open_to_read, read_at


class Segment:
    """A piece of the journal. Written under the journal's lock; read by the sender's thread."""

    __slots__ = ("end", "file", "first", "last", "memory", "path", "size", "start", "trouble")

    def __init__(self, path: str | None, first: int, size: int, start: int = 0) -> None:
        self.path = path
        self.first = first  # number of its first record, or lower where numbers were given up
        self.last = 0  # number of its last record, once it is closed
        self.start = start  # offset of the first record
        self.end = 0  # offset behind the last record, once it is closed
        self.size = size  # bytes to which it may grow
        self.trouble: OSError | None = None  # why its file takes no more
        self.file: OwnFile | None = None
        self.memory: bytearray | None = None  # what is in it, where that is not in a file

    @classmethod
    def in_file(cls, path: str, first: int, size: int, header: bytes) -> Segment:
        """Make a new file that begins with ``header``. Raises ``OSError``; leaves no file then."""
        segment = cls(path, first, size, len(header))
        segment.file = OwnFile.make(path)
        try:
            if not segment.write(header, 0):
                raise segment.trouble or OSError(errno.EIO, os.strerror(errno.EIO))
        except BaseException:
            segment.release()
            raise
        return segment

    @classmethod
    def in_memory(cls, first: int, size: int) -> Segment:
        """Make one that no other process will find."""
        segment = cls(None, first, size)
        segment.memory = bytearray()
        return segment

    def write(self, data: bytes, offset: int) -> bool:
        """Store ``data``, whole; where the file does not take it, end the segment: False."""
        try:
            if self.file is None:
                assert self.memory is not None
                self.memory[offset:] = data
                return True
            size, count = len(data), self.file.write(data, offset)
            if count == size:
                return True
            # The next attempt tells why, most likely.
            count += self.file.write(data[count:], offset + count)
            if count == size:
                return True
            self.trouble = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if error.errno is None:  # a signal handler's TimeoutError, say, which is the caller's
                raise
            self.trouble = error
        self.cut(offset)
        self.size = offset
        return False

    def cut(self, end: int) -> None:
        """Take away what may have been written behind ``end`` and does not count."""
        if self.memory is not None:
            del self.memory[end:]
        elif self.file is not None:
            self.file.cut(end)

    def is_intact(self, end: int) -> bool:
        """Return whether its file is there, is the one that was written, and has ``end`` bytes."""
        if self.memory is not None or self.path is None:
            return True
        if self.file is not None:
            return self.file.is_intact(end)
        try:
            return os.stat(self.path, follow_symlinks=False).st_size >= end
        except OSError:
            return False

    def seems_intact(self, end: int) -> bool:
        """Return whether its file, if it is open, has a name and ``end`` bytes: a quick look."""
        return self.file is None or self.file.is_linked(end)

    @property
    def is_open(self) -> bool:
        """Whether it can be read without opening its file anew."""
        return self.memory is not None or self.file is not None

    def freshen(self, older_than: float) -> None:
        """Set its file's times to now where it was changed ``older_than`` seconds ago."""
        if self.path is not None:
            freshen(self.path, older_than)

    def open_to_read(self) -> int:
        """Return a descriptor for :meth:`read`, which is the caller's to close; -1 for memory.

        The writer's own may be closed at any time, and its number be another file's. Raises
        ``OSError``.
        """
        if self.memory is not None or self.path is None:
            return -1
        file = self.file
        with contextlib.suppress(OSError):
            descriptor = open_to_read(self.path)
            if file is None or file.has(descriptor):
                return descriptor
            os.close(descriptor)
        if file is None:
            return open_to_read(self.path)
        return file.duplicate()  # it has no name any more

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        """Read up to ``size`` bytes at ``offset``. Raises ``OSError``."""
        memory = self.memory
        if memory is not None:
            return bytes(memory[offset : offset + size])
        return read_at(descriptor, size, offset) if descriptor >= 0 else b""

    def read_all(self) -> bytes:
        """Read all that can be read of it."""
        if self.memory is not None:
            return bytes(self.memory)
        chunks: list[bytes] = []
        size = 0
        with contextlib.suppress(OSError):
            descriptor = self.open_to_read()
            try:
                while size < self.size:
                    chunk = self.read(descriptor, min(self.size - size, 1 << 20), size)
                    if not chunk:
                        break
                    chunks.append(chunk)
                    size += len(chunk)
            finally:
                if descriptor >= 0:
                    os.close(descriptor)
        return b"".join(chunks)

    def close(self) -> None:
        """Close the file: it is not written any more."""
        file, self.file = self.file, None
        if file is not None:
            file.close()

    def release(self) -> None:
        """Remove it. Memory goes with its last reader."""
        self.close()
        if self.path is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.path)

    def leave_to_parent(self) -> None:
        """In a forked child: what it is in the middle of storing, its parent stores."""
        self.memory = bytearray()
        self.close()


NO_SEGMENT = Segment(None, 0, 0)
