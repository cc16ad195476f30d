"""A pipe that takes nothing: what a supervisor that hangs makes of a program's stderr."""

from __future__ import annotations

import contextlib
import os


class FullPipe:
    """A stderr that takes nothing until :meth:`read` is called."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(self.writer, b"x" * 4096)
        os.set_blocking(self.writer, True)
        self.stream = os.fdopen(self.writer, "w")

    def read(self) -> str:
        """Return what is in the pipe now."""
        os.set_blocking(self.reader, False)
        read = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                read += os.read(self.reader, 1 << 20)
        return read.decode().lstrip("x")

    def close(self) -> None:
        self.stream.close()
        os.close(self.reader)
