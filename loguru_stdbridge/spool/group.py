"""A spool directory for a group: its members make journals in it, and see no others' names.

For servers that are started by one user and become another (``gunicorn -u``, ``celery --uid``).
Owns how the receiver makes the directory, and what makes it safe.

Why it is safe
--------------
* The mode is 1730. Members may make entries (``wx``) and not list them (no ``r``). A name is 128
  random bits, so nobody finds another's journal. The sticky bit keeps each from removing or
  renaming what is another's.
* A journal in it has mode 0700 as ever: no other member can read or write it. The receiver has to
  be root, or of the same user, to deliver what a dead member has left.
* A member may put anything into a journal of its own, links among it. A receiver of another user
  follows none of them (:mod:`foreign`).
* The receiver makes the directories of its own in it, and the secret (:mod:`proof`), before any
  member can. What it finds there has to be its own.
* A worker takes only a directory of root or of its own user for such a one.
"""

from __future__ import annotations

import os
import stat

from ..exceptions import JournalError
from ..system.users import change_owner, current_user
from .directory import GROUP_SPOOL_MODE, OWN_FOLDERS
from .proof import SECRET_NAME, make_secret

_SHARED_PARENTS = ("/var/lib", "/var/tmp", "/tmp")
"""Where the directory is by default: what members can reach, which root's home is not."""


def default_group_spool(group: int) -> str:
    """Return where the journals of a group go unless told otherwise."""
    user = current_user()
    parents = _SHARED_PARENTS if user == 0 else _SHARED_PARENTS[1:]
    parent = next((place for place in parents if os.access(place, os.W_OK)), parents[-1])
    return os.path.join(parent, f"loguru_stdbridge-{user}-{group}")


def make_group_spool(path: str | os.PathLike[str], group: int) -> str:
    """Make the spool directory of a group, or open an existing one to it; return its path.

    Raises :class:`JournalError` where it cannot be made, is not this user's, is open to others than
    the group, or cannot be reached by the group.
    """
    directory = os.path.abspath(os.fsdecode(path))
    try:
        os.makedirs(os.path.dirname(directory), 0o755, exist_ok=True)
        if not os.path.lexists(directory):
            os.mkdir(directory, 0o700)
        status = os.lstat(directory)
        _check_owner(directory, status)
        if stat.S_IMODE(status.st_mode) & 0o047:
            raise JournalError(
                f"the spool directory {directory} is open to others (mode "
                f"{stat.S_IMODE(status.st_mode):04o}): make it 0700 or name another one"
            )
        os.chmod(directory, 0o700)  # no member makes anything meanwhile
        secret = os.path.join(directory, SECRET_NAME)
        if os.path.lexists(secret):
            _check_owner(secret, os.lstat(secret), stat.S_IFREG)
        else:
            make_secret(directory)
        for name in OWN_FOLDERS:
            folder = os.path.join(directory, name)
            if not os.path.lexists(folder):
                os.mkdir(folder, 0o700)
            _check_owner(folder, os.lstat(folder))
        change_owner(directory, -1, group)
        os.chmod(directory, GROUP_SPOOL_MODE)
    except OSError as error:
        raise JournalError(
            f"cannot make the spool directory {directory} for group {group}: {error}"
        ) from error
    _check_reachable(directory, group)
    return directory


def _check_owner(path: str, status: os.stat_result, kind: int = stat.S_IFDIR) -> None:
    if stat.S_IFMT(status.st_mode) != kind:
        what = "directory" if kind == stat.S_IFDIR else "file"
        raise JournalError(f"{path} is no {what}, or is a link: name another spool directory")
    if status.st_uid != current_user():
        raise JournalError(
            f"{path} belongs to user {status.st_uid}, not to user {current_user()}: name "
            "another spool directory"
        )


def _check_reachable(directory: str, group: int) -> None:
    """Raise :class:`JournalError` for a directory above that keeps the group out."""
    parent = os.path.dirname(directory)
    while True:
        status = os.stat(parent)
        by_group = status.st_gid == group and status.st_mode & 0o010
        if not (status.st_mode & 0o001 or by_group):
            raise JournalError(
                f"group {group} cannot reach the spool directory {directory}: {parent} is closed "
                f"to it (mode {stat.S_IMODE(status.st_mode):04o}); name another one with "
                "--spool-dir (or spool_dir=)"
            )
        if parent == os.path.dirname(parent):
            return
        parent = os.path.dirname(parent)
