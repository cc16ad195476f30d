"""Compresses rotated files in a background thread, each in one atomic step.

loguru does the compressing itself: a file sink of a private logger, without a rotation, compresses
its file when it is removed. This module sees to what happens before and after that.

Why no kill leaves half an archive, or loses a file
---------------------------------------------------
1. At the rotation, on the writing thread, a work directory ``.NAME.compressing`` appears beside the
   file, by one rename, with a hard link to the file in it. The work directory says that the file is
   to be compressed.
2. In the background loguru compresses the link inside the work directory, and unlinks it there.
3. The archive is renamed to its place, in one step, under a name that is free.
4. The original is unlinked, then the work directory is removed.

After a kill the work directory tells which step was reached. If the link is there, the archive is
not whole, and step 2 comes again. If only an archive is there, it is whole, and step 3 comes next.
If nothing is there, the archive is in place, and step 4 comes next. A kill between loguru's rename
and step 1 leaves no work directory; then the ledger's note of the rotation names the file by its
inode, and the next start compresses it.

As in loguru, a sink without a rotation is compressed when it is closed. The name of its file will
be used again. So the file itself moves into a work directory, ``.NAME.closing``, and nothing has to
be unlinked in step 4.

Why a retention keeps the right files
-------------------------------------
An archive gets the time of its file's last line. Else a file that waits for its compression would
pass for older than the archive of an earlier file. When it was made is noted beside that, as loguru
does it for a log file: an older archive of the same name is set aside under that time. Between
steps 3 and 4 a file is there twice, and a retention would count it twice. So the thread holds
:attr:`Archiver.swap_lock` from 3 to 4, and a rotation, which calls the retention, holds it too.

What happens after a failure
----------------------------
A compression that fails, on a full disk perhaps, is told once and tried again until it works. Until
then the file stays as it is. Half an archive is removed at once.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import glob
import os
import re
import shutil
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Callable

from ..system.files import REMOVAL_PATIENCE
from .files import find_file
from .internals import (
    SinkPath,
    creation_time,
    escape_path,
    note_creation_time,
    private_logger,
    read_sink_path,
)
from .ledger import Ledger
from .permissions import copy_permissions

CLOSE_TIMEOUT = 30.0
"""Seconds that :meth:`Archiver.close` waits for the thread; the next start does the rest."""

FIRST_COMPRESSION_RETRY = 1.0
"""Seconds from the first failed compression to the next attempt; doubled after each failure."""

LAST_COMPRESSION_RETRY = 300.0
"""Seconds between two attempts, at most."""

_COMPRESSING = ".compressing"
_CLOSING = ".closing"
_PARTIAL = ".new"
_WORK_NAME = re.compile(r"\.(.+)(\.compressing|\.closing)(\.\d+|\.new)?", re.DOTALL)


class Archiver:
    """Compresses files in a thread, one after the other."""

    def __init__(
        self,
        compression: Any,
        sink: str | Path,
        ledger: Ledger,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Resume what an earlier process of the sink at ``sink`` left undone.

        ``compression`` is one of loguru's words, or a function of the user's that gets the path.
        Raises what loguru raises for a word that it does not know.
        """
        self._compression = compression
        self._report = report
        self._jobs: SimpleQueue[Path | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failing = False
        self.swap_lock = threading.Lock()
        """Held while a file and its archive are both in place, while a work directory is made or
        removed, and during a rotation."""
        if not callable(compression):
            check_compression(compression)
            self._resume(read_sink_path(sink), ledger)

    def change(self, compression: Any) -> None:
        """Compress what comes from now on in another way. Raises what ``__init__`` raises."""
        if not callable(compression):
            check_compression(compression)
        self._compression = compression

    def add_rotated(self, path: str) -> None:
        """Have the thread compress a rotated file. This is what loguru gets as ``compression=``."""
        job = Path(path)
        if not callable(self._compression):
            with contextlib.suppress(OSError):  # a full disk: the thread tries it again
                job = _make_work_directory(job)
        self._submit(job)

    def add_closed(self, path: str) -> None:
        """Have the thread compress the file of a closed sink that has no rotation."""
        job = Path(path)
        if not callable(self._compression):
            with self.swap_lock:  # the thread may be about to remove one of these names
                work, count = job.with_name(f".{job.name}{_CLOSING}"), 1
                while work.exists():  # the file of an earlier run still waits
                    count += 1
                    work = job.with_name(f".{job.name}{_CLOSING}.{count}")
                work.mkdir()
                os.rename(job, work / job.name)
            job = work
        self._submit(job)

    def close(self) -> None:
        """Wait until everything is compressed; :data:`CLOSE_TIMEOUT` seconds at most."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(CLOSE_TIMEOUT)

    def _submit(self, job: Path) -> None:
        self._jobs.put(job)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name="loguru_stdbridge-archive", daemon=True
            )
            self._thread.start()

    def _run(self) -> None:
        failed: list[Path] = []
        retry_at = pause = 0.0
        while True:
            try:
                job = self._jobs.get(
                    timeout=max(retry_at - time.monotonic(), 0) if failed else None
                )
            except Empty:
                failed = [job for job in failed if not self._try(job)]
            else:
                if job is None:
                    return
                if self._try(job):
                    continue
                failed.append(job)
            pause = (
                min(max(2 * pause, FIRST_COMPRESSION_RETRY), LAST_COMPRESSION_RETRY)
                if failed
                else 0.0
            )
            retry_at = time.monotonic() + pause
            self._failing = bool(failed)

    def _try(self, job: Path) -> bool:
        """Do a job; return whether it need not be tried again."""
        try:
            if callable(self._compression):
                self._compression(str(job))
            else:
                work = job if _WORK_NAME.fullmatch(job.name) else _make_work_directory(job)
                finish_work(work, self._compression, self.swap_lock)
        except Exception as error:
            gone = not os.path.lexists(job)
            if gone and isinstance(error, FileNotFoundError):
                return True  # a retention has removed it: nobody wants the archive
            if not self._failing:
                what = "the file is gone" if gone else "the file is kept, and tried again later"
                self._report(f"cannot compress {job}: {type(error).__name__}: {error}; {what}")
            return gone
        return True

    def _resume(self, sink: SinkPath, ledger: Ledger) -> None:
        """Find what an earlier process has left, and only then submit it to the thread.

        The thread removes the directories that are looked at here. A rotated file that has no work
        directory gets one at once: soon the ledger will not name it any more.
        """
        jobs: list[Path] = []
        for work in own_work_directories(sink):
            if work.name.endswith(_PARTIAL):
                shutil.rmtree(work, ignore_errors=True)
            else:
                jobs.append(work)
        if ledger.interrupted_rotation is not None:
            file, path = ledger.interrupted_rotation
            found = find_file(file, path)
            if found is not None and found != path and _work_directory(Path(found)) not in jobs:
                self.add_rotated(found)
        for work in jobs:
            self._submit(work)


def finish_work(
    work: Path, compression: Any, swapping: contextlib.AbstractContextManager[Any]
) -> None:
    """Do the steps that a work directory says are left, as the module's text has them.

    ``swapping`` is held while a file and its archive are both in place, and while the directory is
    removed.
    """
    named = _WORK_NAME.fullmatch(work.name)
    assert named is not None
    original, closing = work.with_name(named.group(1)), named.group(2) == _CLOSING
    link = work / original.name
    if os.path.lexists(link):
        _remove_all(work, link)  # half an archive
        status = os.stat(link)
        try:
            _compress(link, compression)
        except BaseException:
            _remove_all(work, link)
            raise
        for archive in _archives_in(work, link):
            note_creation_time(archive, datetime.datetime.now().timestamp())
            copy_permissions(status, archive)
            os.utime(archive, ns=(status.st_mtime_ns, status.st_mtime_ns))
    with swapping:
        for archive in _archives_in(work, link):
            if closing or os.path.lexists(original):  # else a retention has removed it
                _move_beside(archive, original)
        if not closing:
            with contextlib.suppress(FileNotFoundError):
                original.unlink()
    until = time.monotonic() + REMOVAL_PATIENCE
    while True:
        with swapping:  # or another may begin one of that name meanwhile: see add_closed
            shutil.rmtree(work, ignore_errors=True)
            if not os.path.lexists(work):
                return
        if time.monotonic() >= until:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(work))
        time.sleep(0.01)


def own_work_directories(sink: SinkPath) -> list[Path]:
    """Return the work directories of a sink, half-made ones too: other sinks' are left out."""
    is_ours = _rotated_names(sink.name).fullmatch
    return [
        work
        for work in sorted(_work_directories(sink))
        if (named := _WORK_NAME.fullmatch(work.name)) is not None and is_ours(named.group(1))
    ]


def closing_directory(file: str) -> str:
    """Return the path of the work directory that a file moves into."""
    directory, name = os.path.split(file)
    return os.path.join(directory, f".{name}{_CLOSING}")


def _work_directories(sink: SinkPath) -> list[Path]:
    """List the work directories beside a sink: its own, half-made ones, and other sinks'."""
    return [
        Path(path)
        for suffix in (_COMPRESSING, _CLOSING)
        for path in glob.glob(os.path.join(sink.glob_directory, f".*{suffix}*"))
    ]


def _rotated_names(name: str) -> re.Pattern[str]:
    """Return a pattern for loguru's names of the rotated files of the sink ``name``.

    The name may have ``{time}`` in it. The pattern for ``app.log`` does not match the files of
    ``app.error.log``.
    """
    root, extension = os.path.splitext(re.sub(r"\{[^{}]*\}", "\0", name))
    root, extension = (re.escape(part).replace("\0", ".*") for part in (root, extension))
    date = r"(\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6}(\.\d+)?)?"
    return re.compile(f"{root}{date}{extension}")


def _work_directory(file: Path) -> Path:
    return file.with_name(f".{file.name}{_COMPRESSING}")


def _make_work_directory(file: Path) -> Path:
    """Make the work directory of a file; it appears in one step, with the link in it."""
    work = _work_directory(file)
    partial = work.with_name(work.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        if file.is_symlink():  # a hard link to it would name a target relative to elsewhere
            os.symlink(os.path.realpath(file), partial / file.name)
        else:
            _link(file, partial / file.name)
        os.rename(partial, work)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return work


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without hard links
        shutil.copy2(file, link)


def _archives_in(work: Path, link: Path) -> list[Path]:
    """List the archives in a work directory.

    The link is none. On Windows it may be there still after it was removed, until the last one who
    has the file open closes it.
    """
    return [path for path in work.iterdir() if path.name != link.name]


def _remove_all(work: Path, link: Path) -> None:
    """Remove everything in a work directory but the link."""
    for other in work.iterdir():
        if other != link:
            other.unlink()


def _compress(link: Path, compression: Any) -> None:
    """Have loguru compress ``link`` in its directory, and remove it there."""
    logger = private_logger()
    handler = logger.add(
        escape_path(str(link)), compression=compression, catch=False, format="{message}"
    )
    logger.remove(handler)


def check_compression(compression: Any) -> None:
    """Raise what loguru raises for a word that it does not know."""
    logger = private_logger()
    logger.remove(logger.add(os.devnull, compression=compression, delay=True))


def _move_beside(archive: Path, original: Path) -> None:
    """Move an archive beside its original; an older one of that name gets a date, as in loguru."""
    target = original.with_name(archive.name)
    if target.exists():
        when = datetime.datetime.fromtimestamp(creation_time(target))
        extension = archive.name[len(original.name) :]
        dated = f"{original.stem}.{when:%Y-%m-%d_%H-%M-%S_%f}"
        aside, count = original.with_name(f"{dated}{original.suffix}{extension}"), 1
        while aside.exists():
            count += 1
            aside = original.with_name(f"{dated}.{count}{original.suffix}{extension}")
        os.rename(target, aside)
    os.rename(archive, target)
