"""The spool directory: where a user's journals lie, and which line format each receiver wants.

Chooses the directory, checks that it is safe, and keeps the notes by which processes tell each
other the line format of the receiver at an address. The files of one journal are the business of
:mod:`spool.journal`.

Paths are texts in all that a worker loads: ``pathlib`` takes as long to import as a third of this
package.
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
_NOTE_LIFETIME = 7 * 24 * 3600.0  # seconds; ports given by the system come and go
_NOTES = "peers"


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


def _note_path(spool_dir: str, address: Address) -> str:
    text = str(address).encode()
    name = f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}"
    return os.path.join(spool_dir, _NOTES, name)


def _make_directory_of(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(path), 0o700)


def note_line_format(spool_dir: str, address: Address, line_format: LineFormat | None) -> None:
    """Note in which format the receiver at ``address`` writes lines; ``None`` removes the note.

    A failure is ignored: without the note a worker renders from its first greeting on.
    """
    path = _note_path(spool_dir, address)
    with contextlib.suppress(OSError):
        if line_format is None:
            os.unlink(path)
            return
        _make_directory_of(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"{address}\n{json.dumps(line_format)}\n")
        expired = time.time() - _NOTE_LIFETIME
        for note in list(os.scandir(os.path.dirname(path))):
            if note.stat().st_mtime < expired:
                os.unlink(note.path)


def noted_line_format(spool_dir: str, address: Address) -> LineFormat | None:
    """Return the line format that is noted for ``address``: workers begin with it.

    A receiver that ends in order removes the note. A receiver that was killed and comes back with
    another format gets a few lines in the old one, as from any worker that logged meanwhile.
    """
    try:
        with open(_note_path(spool_dir, address), encoding="utf-8") as file:
            text = file.read()
        return make_line_format(*json.loads(text.split("\n")[1]))
    except (OSError, ValueError, TypeError, IndexError):
        return None


def until_turn(spool_dir: str, address: Address, pause: float) -> float:
    """Return the seconds until a worker for this address may scan for orphans; 0 means now.

    However many workers share the address, one scans per ``pause`` seconds, or a few that ask at
    the same instant.
    """
    path = f"{_note_path(spool_dir, address)}.looked"
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
    """Remove a journal whose lock the caller holds, and of which everything is acknowledged.

    The segments go first, from the oldest on, and ``meta`` after them, which says that they are
    acknowledged. So whatever a kill leaves is no journal with something to deliver. The lock goes
    last: until then nobody else has it.
    """
    with contextlib.suppress(OSError):
        names = sorted(entry.name for entry in os.scandir(directory))
        last = ("meta", "lock")
        for name in [*(name for name in names if name not in last), *last]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))
        os.rmdir(directory)
