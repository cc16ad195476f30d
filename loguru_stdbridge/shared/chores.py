"""Compresses rotated files and sweeps old ones, outside of the lock, whichever process does it.

Why a killed process leaves no half archive, and no file uncompressed
----------------------------------------------------------------------
A rotation moves the file into a work directory of its own, by one rename
(:mod:`~loguru_stdbridge.sink.archive`, which also says why no archive is ever half). From there on
the directory says what is left to do. Whoever does it holds the directory's own lock, which goes
with the process. The next program that rotates or opens the log looks at all work directories of
the log, takes those whose lock is free, and goes on where the other one has stopped.

Why two programs never compress one file
----------------------------------------
The lock belongs to the directory that was opened. Whoever gets it looks whether the directory is
still at its path: the other one may just have finished.

*On Windows* a file that was compressed is there until the last program that has it open writes its
next line. Its work directory gets a note then that nothing is left to do but to remove it, which a
later look does. (A kill between the archive and the note leaves the file to be compressed twice.)

A retention is asked after each rotation, by the program that has rotated. It is not shown the file
that all write to: loguru, too, asks before the new file is there. Two programs that sweep at the
same time want to remove the same files; one of them finds a file gone, and looks again.
"""

from __future__ import annotations

import contextlib
import errno
import os
from functools import partial
from pathlib import Path
from typing import Any, Callable

from ..sink.archive import check_compression, finish_work, own_work_directories
from ..sink.internals import SinkPath, private_logger
from ..sink.retention import spare_other_logs
from ..system.files import file_key, open_file
from ..system.locks import let_go, take_directory_lock

_DONE = "done"
"""The note in a work directory whose archive is in its place. No log file has the name."""

_SWEEPS = 5
"""Attempts of a retention that finds files gone."""


class Chores:
    """What is left to do after rotations of one log. Thread-safe."""

    def __init__(
        self,
        sink: SinkPath,
        lock_path: str,
        compression: Any,
        retention: Any,
        report: Callable[[str], None],
    ) -> None:
        """Raises what loguru raises for values that it cannot use. Loads what the chores need."""
        self._sink = sink
        self._lock_path = lock_path
        self._compression = compression
        self._report = report
        self._is_failing = False
        self.moves_files = compression is not None and not callable(compression)
        """Whether a rotation is to move the file into a work directory."""
        if self.moves_files:
            check_compression(compression)
        self._retention = spare_other_logs(retention, sink)
        self._current = ""
        if self._retention is not None:
            self._make_sweeper()

    def run(self, rotated: list[str], current: str) -> None:
        """Compress what waits for it, then sweep. ``current`` is the log file. Never raises."""
        if callable(self._compression):
            for file in rotated:
                self._try(f"compress {file}", partial(self._compression, file))
        elif self.moves_files:
            self.finish_all()
        if self._retention is not None and rotated:
            self._current = current
            self._try("remove old files", self._sweep)

    def finish_all(self) -> None:
        """Finish all work directories that nobody works on. Never raises."""
        if self.moves_files:
            with contextlib.suppress(OSError):  # a directory that cannot be listed
                for work in own_work_directories(self._sink):
                    self._try(f"compress what is in {work}", partial(self._finish, work))

    def _finish(self, work: Path) -> None:
        try:
            lock = take_directory_lock(str(work), self._lock_path)
        except FileNotFoundError:
            return
        if lock is None:  # somebody works on it
            return
        try:
            with os.scandir(work) as entries:
                names = {entry.name for entry in entries}
            if _DONE in names:
                _remove_done(work)
            elif not names:  # somebody was killed, or is about to move a file here
                with contextlib.suppress(OSError):
                    os.rmdir(work)
            else:
                try:
                    finish_work(work, self._compression, contextlib.nullcontext())
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        raise
                    self._note_done(work)
        finally:
            let_go(lock)

    @staticmethod
    def _note_done(work: Path) -> None:
        """Note that the archive is in its place, though its file is not gone yet."""
        with contextlib.suppress(OSError):
            os.close(open_file(str(work / _DONE), os.O_WRONLY | os.O_CREAT))

    def _make_sweeper(self) -> Any:
        retention: Any = self._retention

        def leave_out_current(files: list[str]) -> None:
            current = _key_of(self._current)
            retention([file for file in files if current is None or _key_of(file) != current])

        logger = private_logger()
        logger.add(
            self._sink.template,
            retention=leave_out_current if callable(retention) else retention,
            delay=True,
            catch=False,
        )
        return logger

    def _sweep(self) -> None:
        for attempt in range(_SWEEPS):
            try:
                self._make_sweeper().remove()
            except FileNotFoundError:
                if attempt == _SWEEPS - 1:
                    raise
            else:
                return

    def _try(self, what: str, do: Callable[[], object]) -> None:
        try:
            do()
        except FileNotFoundError:  # another program was quicker
            pass
        except Exception as error:
            if not self._is_failing:
                self._report(f"cannot {what}: {type(error).__name__}: {error}; tried again later")
            self._is_failing = True
        else:
            self._is_failing = False


def _remove_done(work: Path) -> None:
    """Remove a work directory whose note says so, the note last; a later look tries it again."""
    with contextlib.suppress(OSError):
        for file in work.iterdir():
            if file.name != _DONE:
                with contextlib.suppress(FileNotFoundError):  # it goes when it is closed
                    file.unlink()
        if [file.name for file in work.iterdir()] == [_DONE]:
            (work / _DONE).unlink()
            work.rmdir()


def _key_of(path: str) -> tuple[int, int] | None:
    """Return what the system knows a file by: on Windows it may be called by several paths."""
    try:
        return file_key(os.stat(path)) if path else None
    except OSError:
        return None
