"""Keeps a log's ``retention`` from the files of other logs in the same directory.

Loguru finds the old files of ``app.log`` by the pattern ``app.*.log``. So it also finds
``app.errors.log``, which another sink writes, and the old files of that one. A retention of
``app.log`` would remove them, and acknowledged records with them.

How it is known whose file it is
--------------------------------
Each log of this package has a lock file, ``.NAME.lock``, which is made once and stays. Where the
name of another log fits the patterns of this one, its patterns are the narrower ones. So what fits
those is the other log's. Loguru's own functions then decide about the rest.

Why a file in use stops no rotation
-----------------------------------
On Windows a program that has an old file open may keep it from being removed. A retention that
raises would be taken for a rotation that has failed, and the next one would be put off.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import string
from typing import Any, Callable

from .internals import SinkPath, escape_path

LOCK_SUFFIX = ".lock"


def spare_other_logs(
    retention: Any, path: SinkPath, report: Callable[[str], None] = lambda text: None
) -> Any:
    """Return a ``retention=`` for loguru that does what ``retention`` says with this log's files.

    A file that cannot be removed is told once; the next retention tries it again. Raises what
    loguru raises for a value that it cannot read. Where this version of loguru compiles a retention
    in another way, the value is returned as it is.
    """
    remove = _compile(retention)
    if remove is None:
        return retention
    told: list[PermissionError] = []

    def remove_own(files: list[str]) -> None:
        try:
            remove(_leave_out_other_logs(files, path))
        except PermissionError as error:
            if not told:
                told.append(error)
                report(
                    f"a retention of {path.template} could not remove all that it should: {error}; "
                    "it is tried again at each rotation"
                )

    return remove_own


def _compile(retention: Any) -> Callable[[list[str]], object] | None:
    if retention is None or callable(retention):
        return retention  # type: ignore[no-any-return]
    try:
        from loguru._file_sink import FileSink

        make = FileSink._make_retention_function
    except (ImportError, AttributeError):
        return None
    compiled: Any = make(retention)  # type: ignore[no-untyped-call]
    return compiled if callable(compiled) else None


def _leave_out_other_logs(files: list[str], path: SinkPath) -> list[str]:
    own = _patterns(path.template)
    foreign: list[str] = []
    for directory in {os.path.dirname(file) for file in files}:
        for name in _logs_in(directory):
            other = os.path.join(directory, name)
            if escape_path(other) != path.template and _fits(other, own):
                foreign += _patterns(escape_path(other))
    return [file for file in files if not _fits(file, foreign)]


def _logs_in(directory: str) -> list[str]:
    """Return the names of the logs that have a lock file in ``directory``."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    return [
        name[1 : -len(LOCK_SUFFIX)]
        for name in names
        if name.startswith(".") and name.endswith(LOCK_SUFFIX)
    ]


def _patterns(template: str) -> list[str]:
    """Return the patterns by which loguru finds the files of a log, old ones included."""
    fields = string.Formatter().parse(template)
    any_time = "".join(glob.escape(text) + "*" * (name is not None) for text, name, *_ in fields)
    root, extension = os.path.splitext(any_time)
    patterns = [any_time, f"{any_time}.*"]
    if extension:
        patterns += [f"{root}.*{extension}", f"{root}.*{extension}.*"]
    return patterns


def _fits(file: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(file, pattern) for pattern in patterns)
