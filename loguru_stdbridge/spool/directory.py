"""The spool directory: where a user's journals lie, and what is known there of receivers.

Chooses the directory, checks that it is safe, and keeps the marks by which processes tell each
other that a receiver of ours serves an address. The files of one journal are the business of
:mod:`spool.journal`.

Paths are texts in all that a worker loads: ``pathlib`` takes as long to import as a third of this
package.

Why marks are needed
--------------------
Silence after a hello has two meanings. A stock receiver never answers, and a receiver of ours that
is stopped or busy answers late. A worker that takes the second for the first sends without
acknowledgement, and loses records when that receiver is killed. So a receiver marks the addresses
that it is bound to, a worker marks an address whose receiver has greeted it, and a marked address
is never taken for a stock receiver's.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
import zlib

from ..addresses import Address
from ..exceptions import JournalError
from ..record.line_format import LineFormat, make_line_format

SPOOL_VARIABLE = "LOGURU_STDBRIDGE_SPOOL_DIR"
_MARK_LIFETIME = 7 * 24 * 3600.0  # seconds; ports given by the system come and go
_MARKS = "peers"


def default_spool_dir() -> str:
    """Return where journals go unless told otherwise; the same for every process of a user.

    ``$LOGURU_STDBRIDGE_SPOOL_DIR``, else ``loguru_stdbridge`` in ``$XDG_STATE_HOME`` or
    ``~/.local/state``. Where the home cannot be written: ``loguru_stdbridge-<user>`` in the
    temporary directory.
    """
    named = os.environ.get(SPOOL_VARIABLE)
    if named:
        return named
    state = os.environ.get("XDG_STATE_HOME")
    if not state or not os.path.isabs(state):
        state = os.path.expanduser("~/.local/state")  # unchanged where no home is known
    existing = candidate = os.path.join(state, "loguru_stdbridge")
    # exists() of os.path is False for a path that this user may not look at.
    while not os.path.exists(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing)
    usable = os.path.isabs(existing) and os.path.isdir(existing)
    if usable and os.access(existing, os.W_OK | os.X_OK):
        return candidate
    user = os.getuid() if hasattr(os, "getuid") else "user"
    import tempfile  # seldom needed, and slow to import

    return os.path.join(tempfile.gettempdir(), f"loguru_stdbridge-{user}")


def make_spool_dir(path: str | os.PathLike[str]) -> str:
    """Make the directory (mode 0700), or check the existing one; return its absolute path.

    Raises :class:`JournalError` where it cannot be made, belongs to another user, or is open to
    others: a journal holds the log's text, and whoever can write one can put records into the log.
    """
    directory = os.fsdecode(path)
    try:
        if not os.path.isabs(directory):
            directory = os.path.join(os.getcwd(), directory)
        os.makedirs(directory, 0o700, exist_ok=True)
        status = os.stat(directory)
    except OSError as error:
        raise JournalError(f"cannot make the spool directory {directory}: {error}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise JournalError(f"the spool directory {directory} is not a directory")
    if hasattr(os, "getuid"):
        if status.st_uid != os.getuid():
            raise JournalError(
                f"the spool directory {directory} belongs to user {status.st_uid}, not to user "
                f"{os.getuid()}: name another one with spool_dir="
            )
        if status.st_mode & 0o077:
            raise JournalError(
                f"the spool directory {directory} is open to others (mode "
                f"{stat.S_IMODE(status.st_mode):04o}): make it 0700 or name another one"
            )
    return directory


def _mark_path(spool_dir: str, address: Address) -> str:
    text = str(address).encode()
    name = f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}"
    return os.path.join(spool_dir, _MARKS, name)


def _make_directory_of(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(path), 0o700)


def mark_peer(spool_dir: str, address: Address, line_format: LineFormat | None = None) -> None:
    """Note that a receiver of ours serves ``address``, and in which format its sink writes lines.

    A failure is ignored: without the mark a worker only starts more slowly.
    """
    with contextlib.suppress(OSError):
        path = _mark_path(spool_dir, address)
        _make_directory_of(path)
        text = f"{address}\n" if line_format is None else f"{address}\n{json.dumps(line_format)}\n"
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        expired = time.time() - _MARK_LIFETIME
        for mark in list(os.scandir(os.path.dirname(path))):
            if mark.stat().st_mtime < expired:
                os.unlink(mark.path)


def is_marked_peer(spool_dir: str, address: Address) -> bool:
    """Return whether a process has noted that a receiver of ours serves ``address``."""
    try:
        marked = os.stat(_mark_path(spool_dir, address)).st_mtime
    except OSError:
        return False
    return time.time() - marked < _MARK_LIFETIME


def marked_line_format(spool_dir: str, address: Address) -> LineFormat | None:
    """Return the line format of the receiver's sink, where a mark has it: workers begin with it.

    A receiver that ends in order removes it from the mark. A receiver that was killed and comes
    back with another format gets a few lines in the old one, as from any worker that logged
    meanwhile.
    """
    try:
        with open(_mark_path(spool_dir, address), encoding="utf-8") as file:
            text = file.read()
        return make_line_format(*json.loads(text.split("\n")[1]))
    except (OSError, ValueError, TypeError, IndexError):
        return None


def until_turn(spool_dir: str, address: Address, pause: float) -> float:
    """Return the seconds until a worker for this address may scan for orphans; 0 means now.

    However many workers share the address, one scans per ``pause`` seconds, or a few that ask at
    the same instant.
    """
    path = f"{_mark_path(spool_dir, address)}.looked"
    try:
        since = time.time() - os.stat(path).st_mtime
        if 0 <= since < pause:
            return pause - since
        os.utime(path)
    except OSError:
        with contextlib.suppress(OSError):
            _make_directory_of(path)
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    return 0.0


def remove_journal(directory: str) -> None:
    """Remove a journal whose lock the caller holds, ``meta`` first.

    Without ``meta`` a journal is half made or half removed. Any later owner of its lock may remove
    it, and nobody delivers it.
    """
    with contextlib.suppress(OSError):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(directory, "meta"))
        for entry in list(os.scandir(directory)):
            if entry.name != "lock":
                os.unlink(entry.path)
        os.unlink(os.path.join(directory, "lock"))
        os.rmdir(directory)
