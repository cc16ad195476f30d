"""Users and groups, where the system has them by number; names are looked up when asked for.

On Windows a file's user is not told by a number, and the directories of a user are closed to others
by what they inherit. There every user is 0, and nothing is checked by numbers.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

HAS_USERS = hasattr(os, "geteuid")
"""Whether files have a user and a group, by number."""

_TEMPORARY_PLACES = ("/var/tmp", "/tmp")
"""Where a user without a home may keep files. The system keeps them in the first one for a month
and through a start, in the second one for days."""


def current_user() -> int:
    """Return the user as whom files are made now; 0 on a system without."""
    if sys.platform == "win32":
        return 0
    return os.geteuid()


def real_user() -> int:
    """Return the user who has started this process; 0 on a system without."""
    if sys.platform == "win32":
        return 0
    return os.getuid()


def own_users() -> set[int]:
    """Return the users whose sockets this process trusts: its own and root."""
    return {real_user(), 0} if HAS_USERS else set()


def current_groups() -> set[int]:
    """Return the groups by which this process is allowed what a group is."""
    if sys.platform == "win32":
        return set()
    return {os.getegid(), *os.getgroups()}


def change_owner(file: str | int | os.PathLike[str], user: int, group: int) -> None:
    """Give a file, by its path or descriptor, to a user and a group; -1 leaves what it has.

    Raises ``OSError``. On a system without users by number nothing is done.
    """
    if sys.platform != "win32":
        os.chown(file, user, group)


def change_mode(file: str | int | os.PathLike[str], mode: int) -> None:
    """Say who may do what with a file, by its path or descriptor. Raises ``OSError``.

    On a system without users by number nothing is done: there the mode says only whether its owner
    may write.
    """
    if sys.platform != "win32":
        os.chmod(file, mode)


def may_write_in(directory: str) -> bool:
    """Return whether this user may make files in a directory, as far as the system tells."""
    effective = os.access in os.supports_effective_ids
    return os.access(directory, os.W_OK | os.X_OK, effective_ids=effective)


def find_user(name: object) -> int | None:
    """Return a user's number by its name; ``None`` where the system knows none."""
    if sys.platform != "win32":
        with contextlib.suppress(ImportError, KeyError, TypeError):
            import pwd

            return pwd.getpwnam(name).pw_uid  # type: ignore[arg-type]
    return None


def find_group(name: object) -> int | None:
    """Return a group's number by its name; ``None`` where the system knows none."""
    if sys.platform != "win32":
        with contextlib.suppress(ImportError, KeyError, TypeError):
            import grp

            return grp.getgrnam(name).gr_gid  # type: ignore[arg-type]
    return None


def state_places() -> Iterator[str]:
    """Yield the directories in which programs of this user keep their state, best first.

    ``""`` and relative ones are among them where a variable says so.
    """
    yield os.environ.get("XDG_STATE_HOME", "")
    if sys.platform == "win32" or not HAS_USERS:
        yield os.environ.get("LOCALAPPDATA", "")
        yield os.path.join(os.path.expanduser("~"), "AppData", "Local")
        return
    yield os.path.expanduser("~/.local/state")  # unchanged where no home is known
    try:
        import pwd

        yield os.path.join(pwd.getpwuid(current_user()).pw_dir, ".local", "state")
    except (ImportError, KeyError):
        pass
    yield os.environ.get("STATE_DIRECTORY", "").split(os.pathsep)[0]


def temporary_places() -> list[str]:
    """Return the directories for what may go one day, those first that are cleaned the latest."""
    if not HAS_USERS:
        import tempfile  # seldom needed, and slow to import

        return [tempfile.gettempdir()]
    return [_TEMPORARY_PLACES[0], os.environ.get("TMPDIR", ""), _TEMPORARY_PLACES[1]]
