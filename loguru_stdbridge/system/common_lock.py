"""A lock file that many processes take in turn, and the claim of each that it uses the file.

The lock is ``flock``'s, taken and let go for each write. The claim is a second lock, on one byte
far behind the file's end: those who share the log hold it together, from opening to closing, and
a receiver holds it alone. So an idle program that shares the log keeps a receiver out, and the
other way round. The claim is Linux's lock of an open file description, which knows nothing of
``flock`` on local file systems. Elsewhere, and where ``flock`` is made of such locks (NFS), there
is no claim, and only the lock itself tells that a receiver has the file. On Windows both are locks
of single bytes.

Why no lock outlives its process
--------------------------------
Both belong to the open file description, which the system closes with the process, however that
ended. A forked child closes its copy at once (:mod:`~loguru_stdbridge.system.locks`), and opens
the file anew when it writes. The file itself is made once and stays: a file that is removed while
somebody holds its lock would give two processes the same lock.

Why waiting is a series of attempts
-----------------------------------
A wait for ``flock`` has no time limit. The pauses grow from a fraction of what a write takes to
two milliseconds: after a process was killed with the lock, the next has it that much later.
"""

from __future__ import annotations

import contextlib
import os
import time

from .file_systems import file_system_of, is_remote
from .files import pread, pwrite
from .forks import block_forks
from .locks import LET_GO, TAKE_NOW, is_file_at, let_go, lock_byte, lock_file, open_lock_file
from .short_calls import calls

_CLAIMED_BYTE = 1 << 40
_MAX_CONTENT = 8192
FIRST_PAUSE = 0.00002
"""Seconds from the first failed attempt to the next."""

LAST_PAUSE = 0.002
"""Seconds between two attempts, at most."""


class CommonLock:
    """The lock file of one log. One thread at a time may use it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = -1
        """The open lock file; -1 while it is closed."""
        self._claims = False

    def open(self) -> None:
        """Open the lock file, made where it is missing. Raises ``OSError``."""
        if self.descriptor < 0:
            with block_forks():
                self.descriptor = open_lock_file(self.path)
            self._claims = not is_remote(file_system_of(os.path.dirname(self.path)))

    def close(self) -> None:
        """Let go of the lock and the claim. In a forked child this closes nothing."""
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            let_go(descriptor)

    def forget(self) -> None:
        """In a forked child, whose copy is closed already: be as before the opening."""
        self.descriptor = -1

    @property
    def is_open(self) -> bool:
        """Whether the lock file is open."""
        return self.descriptor >= 0

    def is_in_place(self) -> bool:
        """Return whether the open lock file is the one that others find."""
        return is_file_at(self.descriptor, self.path)

    def take(self, timeout: float) -> bool:
        """Take the lock; return whether that worked within ``timeout`` seconds.

        Raises ``OSError`` on a file system without locks.
        """
        if not calls.change_lock(self.descriptor, TAKE_NOW):
            return True
        deadline, pause = time.monotonic() + timeout, FIRST_PAUSE
        while time.monotonic() < deadline:
            time.sleep(pause)
            pause = min(1.5 * pause, LAST_PAUSE)
            if lock_file(self.descriptor):
                return True
        return False

    def release(self) -> None:
        """Let the lock go."""
        calls.change_lock(self.descriptor, LET_GO)

    def claim(self, *, alone: bool = False) -> bool:
        """Claim the log, together with others or alone; return whether nobody's claim forbids it.

        A claim replaces this process's own. Where there are no claims, everything is allowed.
        """
        return not self._claims or set_claim(self.descriptor, alone=alone)

    def read(self) -> bytes:
        """Return the content of the lock file. Nobody's safety depends on it."""
        return pread(self.descriptor, _MAX_CONTENT, 0)

    def write(self, content: bytes) -> None:
        """Replace the content, with the lock held."""
        with contextlib.suppress(OSError):
            pwrite(self.descriptor, content, 0)
            os.ftruncate(self.descriptor, len(content))


def set_claim(descriptor: int, *, alone: bool) -> bool:
    """Claim the log of an open lock file; return whether nobody's claim forbids it.

    Returns true where the system has no such locks.
    """
    return lock_byte(descriptor, _CLAIMED_BYTE, alone=alone)
