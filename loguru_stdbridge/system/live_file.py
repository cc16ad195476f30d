"""A file that is believed only while the process that wrote it lives.

The writer keeps a lock on it. A process that is killed leaves the file behind, but not the lock, so
a later process can tell a file from before and remove it.
"""

from __future__ import annotations

import contextlib
import os

from .files import let_others_read, replace_file
from .locks import is_file_at, let_go, take_lock


class LiveFile:
    """Owns the file at ``path``, once it is written."""

    def __init__(self, path: str | os.PathLike[str], *, is_public: bool = True) -> None:
        """``is_public``: other users may read it, as they might any file."""
        self._is_public = is_public
        self.path = os.fsdecode(path)
        self._descriptor: int | None = None

    def remove_old(self) -> None:
        """Remove the file of a process that has ended; leave that of a living one alone."""
        if not os.path.isfile(self.path):
            return
        with contextlib.suppress(OSError):
            descriptor = take_lock(self.path)
            if descriptor is not None:
                os.unlink(self.path)
                let_go(descriptor)

    def write(self, text: str) -> None:
        """Make the file appear, whole and locked. Raises ``OSError``."""
        directory, name = os.path.split(self.path)
        partial = os.path.join(directory, f".{name}.{os.getpid()}")
        descriptor = take_lock(partial, create=True)
        if descriptor is None:
            raise OSError(f"{partial} is locked by another process")
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, text.encode("utf-8"))
            if self._is_public:
                let_others_read(descriptor)
            replace_file(partial, self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(partial)
            let_go(descriptor)
            raise
        self._descriptor = descriptor

    def remove(self) -> None:
        """Remove the file, unless another process has put its own there."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        with contextlib.suppress(OSError):
            if is_file_at(descriptor, self.path):
                os.unlink(self.path)
        let_go(descriptor)
