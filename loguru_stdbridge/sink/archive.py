"""Compression of rotated files, off the writing path and atomic.

Owns what happens to a file between its rotation and its archive. The compressing itself is
loguru's: a private logger's file sink without a rotation compresses when it is removed.

Why no kill leaves half an archive, or loses a file
---------------------------------------------------
1. At the rotation, on the writing thread, a work directory ``.NAME.compressing`` appears beside the
   file, by one rename, with a hard link of the file in it: the mark that it is to be compressed.
2. In the background loguru compresses the link inside the work directory, and unlinks it there.
3. The archive is renamed to its place, in one step, under a name that is free.
4. The original is unlinked, then the work directory.

After a kill the work directory tells which step was reached: the link is there, so the archive is
not whole (done again from 2); an archive alone is whole (from 3); nothing is in it, so the archive
is in place (from 4). A kill between loguru's rename and step 1 leaves no mark: the ledger's note of
the rotation names the file by its inode, and it is compressed then.

A sink without a rotation is compressed when it is closed, as loguru does it. Its name will be used
again, so the file itself moves into its work directory, ``.NAME.closing``, and 4 falls away.

What a retention sees
---------------------
An archive has the time of its file's last line, or a file that waits for its compression would pass
for older than the archive of one before it. Between 3 and 4 a file is there twice: ``swapping`` is
held for that long, and by whoever rotates.

Failure
-------
A compression that fails, on a full disk perhaps, is told once and tried again until it works. The
file stays as it is meanwhile; half an archive is removed at once.
"""

from __future__ import annotations

import contextlib
import datetime
import glob
import os
import re
import shutil
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Callable

from .files import find_file
from .internals import SinkPath, private_logger, read_sink_path
from .ledger import Ledger

CLOSE_TIMEOUT = 30.0
"""Seconds that the end waits for archives in the making; the rest is done at the next start."""

RETRY_START = 1.0  # seconds, after a failed compression; doubled up to RETRY_MAX
RETRY_MAX = 300.0

_SUFFIX = ".compressing"
_CLOSING = ".closing"
_PARTIAL = ".new"
_WORK = re.compile(r"\.(.+)(\.compressing|\.closing)(\.\d+|\.new)?", re.DOTALL)


class Archive:
    """Compresses what :meth:`take` is given, one file after the other, in a thread."""

    def __init__(
        self,
        compression: Any,
        sink: str | Path,
        ledger: Ledger,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        """``compression`` is loguru's word or a callable of the user's, which gets the path.

        Takes up what an earlier process left undone. Raises what loguru raises for a word that it
        does not know.
        """
        self._compression = compression
        self._report = report
        self._jobs: SimpleQueue[Path | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._failing = False
        self.swapping = threading.Lock()
        """Held while a file and its archive are both in place, and by whoever rotates."""
        if not callable(compression):
            _check(compression)
            self._take_up(read_sink_path(sink), ledger)

    def take(self, path: str) -> None:
        """loguru's ``compression=`` callable: mark the rotated file, and leave it to the thread."""
        job = Path(path)
        if not callable(self._compression):
            with contextlib.suppress(OSError):  # a full disk: the thread tries it again
                job = _mark(job)
        self._submit(job)

    def take_closed(self, path: str) -> None:
        """Compress the file of a sink that has no rotation, now that it is closed."""
        job = Path(path)
        if not callable(self._compression):
            work, count = job.with_name(f".{job.name}{_CLOSING}"), 1
            while work.exists():  # an earlier one still waits
                count += 1
                work = job.with_name(f".{job.name}{_CLOSING}.{count}")
            work.mkdir()
            os.rename(job, work / job.name)
            job = work
        self._submit(job)

    def close(self) -> None:
        """Finish what is being done, for a bounded time."""
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
            pause = min(max(2 * pause, RETRY_START), RETRY_MAX) if failed else 0.0
            retry_at = time.monotonic() + pause
            self._failing = bool(failed)

    def _try(self, job: Path) -> bool:
        """Whether a job is done, or there is nothing to do any more."""
        try:
            if callable(self._compression):
                self._compression(str(job))
            else:
                self._finish(job if _WORK.fullmatch(job.name) else _mark(job))
        except Exception as error:
            gone = not os.path.lexists(job)
            if gone and isinstance(error, FileNotFoundError):
                return True  # a retention was quicker: there is nothing to keep
            if not self._failing:
                what = "the file is gone" if gone else "the file is kept, and it is tried again"
                self._report(f"cannot compress {job}: {type(error).__name__}: {error}; {what}")
            return gone
        return True

    def _finish(self, work: Path) -> None:
        """Go from wherever the work directory stands to the end."""
        named = _WORK.fullmatch(work.name)
        assert named is not None
        original, closing = work.with_name(named.group(1)), named.group(2) == _CLOSING
        link = work / original.name
        if os.path.lexists(link):
            _remove_all(work, link)  # half an archive
            last_line = os.stat(link).st_mtime_ns
            try:
                _compress(link, self._compression)
            except BaseException:
                _remove_all(work, link)
                raise
            for archive in work.iterdir():
                os.utime(archive, ns=(last_line, last_line))
        with self.swapping:
            for archive in list(work.iterdir()):
                if closing or os.path.lexists(original):
                    _place(archive, original)
            if not closing:
                with contextlib.suppress(FileNotFoundError):
                    original.unlink()
        shutil.rmtree(work, ignore_errors=True)

    def _take_up(self, sink: SinkPath, ledger: Ledger) -> None:
        """Find first, then submit: the thread removes what is being looked at."""
        jobs: list[Path] = []
        is_ours = _rotated_names(sink.name).fullmatch  # other sinks may have the same directory
        for work in sorted(_work_directories(sink)):
            named = _WORK.fullmatch(work.name)
            if named is None or not is_ours(named.group(1)):
                continue
            if named.group(3) == _PARTIAL:
                shutil.rmtree(work, ignore_errors=True)
            else:
                jobs.append(work)
        if ledger.interrupted is not None:
            file, path = ledger.interrupted
            found = find_file(file, path)
            if found is not None and found != path and _work_directory(Path(found)) not in jobs:
                jobs.append(Path(found))
        for work in jobs:
            self._submit(work)


def _work_directories(sink: SinkPath) -> list[Path]:
    """Those of a sink, half-made ones too, and of others beside it."""
    return [
        Path(path)
        for suffix in (_SUFFIX, _CLOSING)
        for path in glob.glob(os.path.join(sink.glob_directory, f".*{suffix}*"))
    ]


def _rotated_names(name: str) -> re.Pattern[str]:
    """What loguru calls the rotated files of the sink ``name``, which may have ``{time}`` in it.

    Not those of ``app.error.log``, for ``app.log``.
    """
    root, extension = os.path.splitext(re.sub(r"\{[^{}]*\}", "\0", name))
    root, extension = (re.escape(part).replace("\0", ".*") for part in (root, extension))
    date = r"(\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6}(\.\d+)?)?"
    return re.compile(f"{root}{date}{extension}")


def _work_directory(file: Path) -> Path:
    return file.with_name(f".{file.name}{_SUFFIX}")


def _mark(file: Path) -> Path:
    """Make the work directory of a file; it appears whole."""
    work = _work_directory(file)
    partial = work.with_name(work.name + _PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        if file.is_symlink():  # a link to it would be one to its name, which is relative perhaps
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


def _remove_all(work: Path, link: Path) -> None:
    """Remove what is in a work directory beside the link."""
    for other in work.iterdir():
        if other != link:
            other.unlink()


def _compress(link: Path, compression: Any) -> None:
    """Have loguru compress ``link`` in its directory, and remove it there."""
    logger = private_logger()
    # A path with braces in it would be loguru's to fill in.
    path = str(link).replace("{", "{{").replace("}", "}}")
    handler = logger.add(path, compression=compression, catch=False, format="{message}")
    logger.remove(handler)


def _check(compression: Any) -> None:
    """Have loguru say now what it thinks of a word."""
    logger = private_logger()
    logger.remove(logger.add(os.devnull, compression=compression, delay=True))


def _place(archive: Path, original: Path) -> None:
    """Move an archive beside its original. One that has its name is given a date, as by loguru."""
    target = original.with_name(archive.name)
    if target.exists():
        when = datetime.datetime.fromtimestamp(target.stat().st_mtime)
        extension = archive.name[len(original.name) :]
        dated = f"{original.stem}.{when:%Y-%m-%d_%H-%M-%S_%f}"
        aside, count = original.with_name(f"{dated}{original.suffix}{extension}"), 1
        while aside.exists():
            count += 1
            aside = original.with_name(f"{dated}.{count}{original.suffix}{extension}")
        os.rename(target, aside)
    os.rename(archive, target)
