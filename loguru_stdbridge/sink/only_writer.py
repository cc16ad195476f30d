"""Makes this process the only writer of a log file, whatever names the file has.

Why a file has one writer
-------------------------
A receiver holds two OS locks: one on the file ``.NAME.lock`` beside the log, and one on the log
file itself.

* The path is resolved once, at the start, so a symbolic link to the log or to a directory above it
  leads to the same lock file. A bind mount of the directory does, too.
* Programs that share the log without a server take the first lock for each write, and hold a claim
  beside it all the time (:mod:`~loguru_stdbridge.system.common_lock`). The receiver claims the log
  for itself alone. So neither comes to the other's log.
* A hard link, or a bind mount of the file alone, has another lock file. There the lock on the log
  file itself, whatever its name, keeps the second receiver out.
* Somebody may rename the directory or remove what is in it, while the receiver runs. loguru opens
  the file anew at its path. Then, and every few seconds, the ledger checks that the lock file and
  the ledger itself are where they belong, and makes anew what is missing. The ledger in a renamed
  directory is emptied, or a receiver started there would take the same identity for its log.
* Where another receiver holds one of the locks by then, :class:`LedgerHeldError` ends this one
  before it writes or rotates a file that is not its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from pathlib import Path
from typing import Callable

from ..exceptions import LedgerHeldError
from ..system.common_lock import set_claim
from ..system.files import pwrite
from ..system.locks import is_file_at, is_locked, let_go, take_lock
from .files import STREAM, FileId
from .internals import SinkPath, read_sink_path

_STANDBY_POLL = 0.02  # seconds between two attempts of a standby to take the locks


class OnlyWriter:
    """The two locks of one log. Used by the receiver's one thread."""

    def __init__(self, sink: SinkPath) -> None:
        """Take nothing yet: :meth:`become` does."""
        self._sink = sink.file or sink.template
        self._fixed_path = sink.file
        self._lock_path = sink.directory / f".{sink.name}.lock"
        self._lock_descriptor = -1
        self._log_lock_descriptor = -1
        self._locked_log: FileId | None = None

    def become(self, wait: Callable[[], bool] | None) -> None:
        """Take both locks; ``wait`` is called before each new attempt.

        Raises :class:`LedgerHeldError` where another process has one of them and ``wait`` is
        ``None`` or returns false.
        """
        while True:
            try:
                self._take_lock()
                if self._fixed_path is not None:
                    with contextlib.suppress(FileNotFoundError):  # nobody writes it
                        self.lock_log(FileId.of(os.stat(self._fixed_path)), self._fixed_path)
                return
            except LedgerHeldError:
                let_go(self._lock_descriptor)
                self._lock_descriptor = -1
                if wait is None or not wait():
                    raise
            time.sleep(_STANDBY_POLL)

    def lock_log(self, file: FileId, path: str) -> None:
        """Lock the log file itself, whatever its name, and let go of the one before.

        Where the file system has no locks, the lock on the lock file has to do.
        """
        if file == self._locked_log:
            return
        descriptor: int | None = -1
        if file != STREAM:
            try:
                descriptor = take_lock(path)
            except FileNotFoundError:
                raise
            except OSError:
                descriptor = -1
        if descriptor is None:
            if FileId.of(os.stat(path)) != file:
                raise OSError(errno.ESTALE, "it was replaced while it was opened", path)
            raise LedgerHeldError(
                f"{path} is written by another process already, perhaps under another name (a "
                "hard link, or a mount of the file alone): end one of them"
            )
        let_go(self._log_lock_descriptor)
        self._log_lock_descriptor, self._locked_log = descriptor, file

    def has_locked(self, file: FileId) -> bool:
        """Return whether this process is known to be the only writer of the file."""
        return file == self._locked_log

    def restore_lock_file(self) -> None:
        """Make the lock file anew, and lock it, where somebody removed it.

        Where its directory is missing, a later call does it. Raises :class:`LedgerHeldError` where
        another process has become the writer meanwhile.
        """
        if not is_file_at(self._lock_descriptor, str(self._lock_path)):
            lost = self._lock_descriptor
            with contextlib.suppress(OSError):  # no directory
                self._take_lock()
                let_go(lost)

    def release(self) -> None:
        """Let go of both locks."""
        let_go(self._lock_descriptor)
        let_go(self._log_lock_descriptor)
        self._lock_descriptor = self._log_lock_descriptor = -1

    def after_fork_in_child(self) -> None:
        """Forget the parent's locks; :mod:`system.locks` has closed the child's copies."""
        self._lock_descriptor = self._log_lock_descriptor = -1

    def _take_lock(self) -> None:
        """Lock the lock file. Nobody removes that file: only its lock counts."""
        descriptor = take_lock(str(self._lock_path), create=True)
        if descriptor is not None and not set_claim(descriptor, alone=True):
            let_go(descriptor)
            descriptor = None
        if descriptor is not None:
            self._lock_descriptor = descriptor
            with contextlib.suppress(OSError):  # the content is for messages only
                os.ftruncate(descriptor, 0)
                pwrite(descriptor, b"%d\n" % os.getpid(), 0)
            return
        raise _held_error(self._sink, self._lock_path)


def _held_error(sink: str, lock_path: Path) -> LedgerHeldError:
    text = ""
    with contextlib.suppress(OSError):
        text = lock_path.read_text("ascii", "replace").strip()
    if text.startswith("shared"):
        return LedgerHeldError(
            f"{sink} is written without a server, by programs with a SharedFileSink or a "
            "SharedFileHandler: end them, or have them send their records to a receiver"
        )
    holder = int(text) if text.isdigit() else None
    who = "another process" if holder is None else f"process {holder}"
    return LedgerHeldError(f"{sink} is written by {who} already", holder)


def find_writer(path: str | Path) -> None:
    """Raise :class:`LedgerHeldError` where a process writes the log at ``path``. Makes nothing."""
    sink = read_sink_path(path)
    lock_path = sink.directory / f".{sink.name}.lock"
    for lock in (str(lock_path), sink.file):
        held = False
        with contextlib.suppress(OSError):  # a file that is not ours to open
            held = lock is not None and is_locked(lock)
        if held:
            raise _held_error(sink.file or sink.template, lock_path)
