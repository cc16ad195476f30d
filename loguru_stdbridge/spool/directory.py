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
from ..record.line_format import LineFormat, dump_line_format, make_line_format
from ..record.sink_needs import SinkNeeds, dump_needs, load_needs
from ..system.files import open_file
from ..system.users import (
    HAS_USERS,
    current_groups,
    current_user,
    may_write_in,
    state_places,
    temporary_places,
)

GROUP_SPOOL_MODE = 0o1730
"""Mode of a spool directory for a group: see :mod:`group`."""

OWN_FOLDERS = ("peers", "streams")
"""Directories in the spool that are the receiver's own, beside the journals."""

SPOOL_VARIABLE = "LOGURU_STDBRIDGE_SPOOL_DIR"
_NAME = "loguru_stdbridge"
_NOTE_LIFETIME = 7 * 24 * 3600.0  # seconds; ports given by the system come and go
_NOTES = OWN_FOLDERS[0]


_MODE_ABOVE = 0o755  # of a directory that is made in order to hold the spool directory

_HINT = (
    ". Where a program gives up its privileges, start its receiver with --spool-group GROUP, a "
    "group that the program has afterwards"
)


def default_spool_dir(beside: str = "") -> str:
    """Return where journals go unless told otherwise; the same for every process of a user.

    ``$LOGURU_STDBRIDGE_SPOOL_DIR``, else ``loguru_stdbridge`` in the first of these that this user
    may write: ``$XDG_STATE_HOME``, ``~/.local/state``, the same in the home that the system knows
    (``$HOME`` may be another user's), and ``$STATE_DIRECTORY`` of a service. Where none is, it is
    ``loguru_stdbridge-<user id>`` in a temporary directory, which the system cleans. Where nothing
    of all this can be written, it is a hidden directory beside the log ``beside``.
    """
    named = os.environ.get(SPOOL_VARIABLE)
    if named:
        return named
    for place in state_places():
        candidate = os.path.join(place, _NAME)
        if os.path.isabs(candidate) and _is_usable(candidate):
            return candidate
    candidates = _temporary_spool_dirs()
    if beside:
        place = os.path.dirname(os.path.abspath(beside))
        candidates.append(os.path.join(place, f".{_NAME}-{current_user()}.spool"))
    return next(filter(_is_usable, candidates), candidates[-1])


def former_spool_dirs() -> list[str]:
    """Return where else processes of this user may have their default: another ``$TMPDIR``, say."""
    return [path for path in _temporary_spool_dirs() if os.path.isdir(path) and _is_safe(path)]


def _temporary_spool_dirs() -> list[str]:
    paths = [os.path.join(parent, f"{_NAME}-{current_user()}") for parent in temporary_places()]
    return [path for path in dict.fromkeys(paths) if os.path.isabs(path)]


def _is_usable(path: str) -> bool:
    """Return whether this user may make the directory, or write the one that is there."""
    existing = path
    # exists() of os.path is False for a path that this user may not look at.
    while not os.path.exists(existing) and existing != os.path.dirname(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing) or (existing == path and not _is_safe(path)):
        return False
    return may_write_in(existing)


def _is_safe(path: str) -> bool:
    try:
        _check(path)
    except (OSError, JournalError):
        return False
    return True


def make_spool_dir(path: str | os.PathLike[str]) -> str:
    """Make the directory (mode 0700), or check the existing one; return its absolute path.

    Raises :class:`JournalError` where it cannot be made, is a link, belongs to another user, or is
    open to others: a journal holds the log's text, and whoever can write one can put records into
    the log. A link might lead to another directory of this user's, by the hand of another one.
    """
    directory = os.fsdecode(path)
    try:
        if not os.path.isabs(directory):
            directory = os.path.join(os.getcwd(), directory)
        directory = directory.rstrip(os.sep) or directory  # behind which a link would be followed
        _make_directory(directory, 0o700)
        _check(directory)
    except OSError as error:
        hint = _HINT if isinstance(error, PermissionError) else ""
        raise JournalError(f"cannot make the spool directory {directory}: {error}{hint}") from error
    return directory


def _make_directory(directory: str, mode: int) -> None:
    """Make the directory and those above it, which nobody but their owner may write.

    A daemon has the umask 0. Whoever may write a directory above may exchange this one. Raises
    ``OSError``.
    """
    with contextlib.suppress(FileExistsError):
        try:
            os.mkdir(directory, mode)
        except FileNotFoundError:
            above = os.path.dirname(directory)
            if above == directory:
                raise
            _make_directory(above, _MODE_ABOVE)
            os.mkdir(directory, mode)


def _check(directory: str) -> None:
    """Raise :class:`JournalError` or ``OSError`` for a spool directory that is not safe."""
    status = os.lstat(directory)
    if stat.S_ISLNK(status.st_mode):
        raise JournalError(
            f"the spool directory {directory} is a link to {os.readlink(directory)}: name the "
            "directory itself"
        )
    if not stat.S_ISDIR(status.st_mode):
        raise JournalError(f"the spool directory {directory} is not a directory")
    if HAS_USERS:
        user = current_user()
        if stat.S_IMODE(status.st_mode) == GROUP_SPOOL_MODE and status.st_uid in (0, user):
            if not may_write_in(directory):
                raise JournalError(
                    f"the spool directory {directory} is for group {status.st_gid}, and user "
                    f"{user} has the groups {', '.join(map(str, sorted(current_groups())))}"
                )
            return
        if status.st_uid != user:
            raise JournalError(
                f"the spool directory {directory} belongs to user {status.st_uid}, not to user "
                f"{user}: name another one with spool_dir={_HINT}"
            )
        if status.st_mode & 0o077:
            raise JournalError(
                f"the spool directory {directory} is open to others (mode "
                f"{stat.S_IMODE(status.st_mode):04o}): make it 0700 or name another one"
            )


def note_path(spool_dir: str, address: Address, network: str = "") -> str:
    """Return the path of what is noted for an address, in a network namespace if one is named."""
    text = f"{network}\0{address}".lstrip("\0").encode()
    name = f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}"
    return os.path.join(spool_dir, _NOTES, name)


def _make_directory_of(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(path), 0o700)


def note_sink(
    spool_dir: str,
    address: Address,
    line_format: LineFormat | None,
    needs: SinkNeeds | None = None,
    network: str = "",
) -> None:
    """Note how the receiver at ``address`` writes lines, and what its sinks need of a record.

    Both ``None`` remove the note. A failure is ignored: without the note a worker knows it from its
    first greeting on.
    """
    path = note_path(spool_dir, address, network)
    with contextlib.suppress(OSError):
        if line_format is None and needs is None:
            os.unlink(path)
            return
        _make_directory_of(path)
        line = None if line_format is None else dump_line_format(line_format)
        needed = None if needs is None else dump_needs(needs)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{each}\n" for each in (address, json.dumps(line), json.dumps(needed)))
        expired = time.time() - _NOTE_LIFETIME
        for note in list(os.scandir(os.path.dirname(path))):
            if note.stat().st_mtime < expired:
                os.unlink(note.path)


def noted_sink(
    spool_dir: str, address: Address, network: str = ""
) -> tuple[LineFormat | None, SinkNeeds | None]:
    """Return the line format and the needs that are noted for ``address``: workers begin with them.

    A receiver that ends in order removes the note. A receiver that was killed and comes back with
    another format gets a few lines in the old one, as from any worker that logged meanwhile.
    """
    try:
        with open(note_path(spool_dir, address, network), encoding="utf-8") as file:
            _, line, needed = (*file.read().split("\n"), "null", "null")[:3]
        given = json.loads(line)
        line_format = make_line_format(*given) if type(given) is list else None
        return line_format, load_needs(json.loads(needed or "null"))
    except (OSError, ValueError, TypeError):
        return None, None


def until_turn(spool_dir: str, address: Address, pause: float) -> float:
    """Return the seconds until a worker for this address may scan for orphans; 0 means now.

    However many workers share the address, one scans per ``pause`` seconds, or a few that ask at
    the same instant.
    """
    return _until_turn(f"{note_path(spool_dir, address)}.looked", pause)


def take_turn(spool_dir: str, what: str, pause: float) -> bool:
    """Return whether this process may do ``what`` now; some process does it once per ``pause``."""
    return _until_turn(os.path.join(spool_dir, _NOTES, f"{what}.done"), pause) == 0.0


def _until_turn(path: str, pause: float) -> float:
    try:
        since = time.time() - os.stat(path).st_mtime
        if 0 <= since < pause:
            return pause - since
        os.utime(path)
    except OSError:
        with contextlib.suppress(OSError):
            _make_directory_of(path)
            os.close(open_file(path, os.O_WRONLY | os.O_CREAT))
    return 0.0


def remove_journal(directory: str, named: str = "") -> bool:
    """Remove a journal whose lock the caller holds, and of which everything is acknowledged.

    ``named`` is its path where ``directory`` is another way to it.

    The segments go first, from the oldest on, and ``meta`` after them, which says that they are
    acknowledged. So whatever a kill leaves is no journal with something to deliver. The lock goes
    last: until then nobody else has it.

    Return whether all is gone. On Windows what is open stays until it is closed: the caller lets
    the lock go and calls :func:`remove_emptied`. A file that somebody else has open without sharing
    it stays with those that come after it, and the next look at the orphans removes them.
    """
    with contextlib.suppress(OSError):
        names = sorted(entry.name for entry in os.scandir(directory))
        last = ("meta", "lock")
        for name in [*(name for name in names if name not in last), *last]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))
        os.rmdir(named or directory)
        return True
    return False


def remove_emptied(directory: str) -> None:
    """Remove a journal's directory, if nothing is in it any more."""
    with contextlib.suppress(OSError):
        os.rmdir(directory)
