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
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Callable, List, Optional

from .internals import private_logger
from .ledger import Ledger, find_file

CLOSE_TIMEOUT = 30.0
"""Seconds that the end waits for archives in the making; the rest is done at the next start."""

_SUFFIX = ".compressing"
_PARTIAL = ".new"


class Archive:
    """Compresses what :meth:`take` is given, one file after the other, in a thread."""

    def __init__(
        self,
        compression: Any,
        sink: Path,
        ledger: Ledger,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        """``compression`` is loguru's word or a callable of the user's, which gets the path.

        Takes up what an earlier process left undone. Raises what loguru raises for a word that it
        does not know.
        """
        self._compression = compression
        self._report = report
        self._jobs: "SimpleQueue[Optional[Path]]" = SimpleQueue()
        self._thread: Optional[threading.Thread] = None
        if not callable(compression):
            _check(compression)
            self._take_up(Path(os.path.abspath(sink)), ledger)

    def take(self, path: str) -> None:
        """loguru's ``compression=`` callable: mark the rotated file, and leave it to the thread."""
        file = Path(path)
        self._submit(file if callable(self._compression) else _mark(file))

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
        while True:
            job = self._jobs.get()
            if job is None:
                return
            try:
                if callable(self._compression):
                    self._compression(str(job))
                else:
                    self._finish(job)
            except FileNotFoundError:
                continue  # a retention was quicker: there is nothing to keep
            except Exception as error:
                self._report(
                    f"cannot compress {job}: {type(error).__name__}: {error}; the file is kept, "
                    "and it is tried again at the next start"
                )

    def _finish(self, work: Path) -> None:
        """Go from wherever the work directory stands to the end."""
        original = work.with_name(work.name[1 : -len(_SUFFIX)])
        link = work / original.name
        if link.exists():
            for other in work.iterdir():
                if other != link:
                    other.unlink()  # half an archive
            _compress(link, self._compression)
        archives = list(work.iterdir())
        if archives and original.exists():
            os.rename(archives[0], _free_name(original.with_name(archives[0].name)))
        with contextlib.suppress(FileNotFoundError):
            original.unlink()
        shutil.rmtree(work, ignore_errors=True)

    def _take_up(self, sink: Path, ledger: Ledger) -> None:
        """Find first, then submit: the thread removes what is being looked at."""
        jobs: List[Path] = []
        is_ours = _rotated_names(sink.name).fullmatch  # other sinks may have the same directory
        for work in sorted(sink.parent.glob(f".*{_SUFFIX}*")):
            name, _, end = work.name[1:].rpartition(_SUFFIX)
            if is_ours(name) and not end:
                jobs.append(work)
            elif is_ours(name) and end == _PARTIAL:
                shutil.rmtree(work, ignore_errors=True)
        if ledger.interrupted is not None:
            file, path = ledger.interrupted
            found = find_file(file, path)
            if found is not None and found != path and _work_directory(Path(found)) not in jobs:
                jobs.append(_mark(Path(found)))
        for work in jobs:
            self._submit(work)


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
        os.link(file, partial / file.name)
    except OSError:  # a file system without hard links
        shutil.copy2(file, partial / file.name)
    os.rename(partial, work)
    return work


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


def _free_name(wanted: Path) -> Path:
    """``wanted``, or a name beside it that is free: an archive is never overwritten."""
    candidate, count = wanted, 1
    while candidate.exists():
        count += 1
        candidate = wanted.with_name(f"{wanted.stem}.{count}{wanted.suffix}")
    return candidate
