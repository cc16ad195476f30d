"""Mode and owner of the log files: of those that loguru opens, and of their archives.

A file has them before its first line. An archive has those of the file that it is made of.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import NamedTuple

from ..exceptions import ConfigurationError
from ..system.users import HAS_USERS, change_mode, change_owner, find_group, find_user


class FilePermissions(NamedTuple):
    """What a new log file gets; ``None`` is what the system gives."""

    mode: int | None = None
    user: int | None = None
    group: int | None = None

    def open(self, path: str, flags: int) -> int:
        """Open a file as ``open(opener=...)`` asks for it. Raises ``OSError``."""
        descriptor = os.open(path, flags, 0o666 if self.mode is None else self.mode & 0o600)
        try:
            status = os.fstat(descriptor)
            user = -1 if self.user is None or self.user == status.st_uid else self.user
            group = -1 if self.group is None or self.group == status.st_gid else self.group
            if (user, group) != (-1, -1):
                change_owner(descriptor, user, group)
            if self.mode is not None and stat.S_IMODE(status.st_mode) != self.mode:
                change_mode(descriptor, self.mode)  # after the owner, whose change clears bits
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor


def copy_permissions(source: os.stat_result, path: str | os.PathLike[str]) -> None:
    """Give the file at ``path`` the mode and the owner in ``source``, as far as this user may."""
    with contextlib.suppress(OSError):
        made = os.stat(path)
        if (made.st_uid, made.st_gid) != (source.st_uid, source.st_gid):
            change_owner(path, source.st_uid, source.st_gid)
    with contextlib.suppress(OSError):
        change_mode(path, stat.S_IMODE(source.st_mode))


def read_permissions(mode: str | int | None, owner: str | None) -> FilePermissions | None:
    """Return the permissions; ``None`` where nothing is asked for.

    ``mode`` is a number, or octal digits as ``chmod`` reads them. ``owner`` is ``USER``,
    ``USER:GROUP`` or ``:GROUP``, by names or numbers, as ``chown`` reads them. Raises
    :class:`ConfigurationError`.
    """
    if mode is None and owner is None:
        return None
    if not HAS_USERS:
        raise ConfigurationError(
            f"--mode {mode!r}, --owner {owner!r} (file_mode=, file_owner=): on this system files "
            "have neither, but what the directory of the log lets its files inherit; leave them out"
        )
    number: int | None = None
    if mode is not None:
        try:
            number = int(mode, 8) if isinstance(mode, str) else mode
        except ValueError:
            number = -1
        if isinstance(mode, bool) or not 0 <= number <= 0o777 or number & 0o600 != 0o600:
            raise ConfigurationError(
                f"--mode (file_mode=) {mode!r}: octal digits from 0600 to 0777, as in 0640 for a "
                "group that reads; the owner reads and writes"
            )
    if owner is None:
        return FilePermissions(number)
    user, _, group = owner.partition(":") if isinstance(owner, str) else ("", "", "")
    if not user and not group:
        raise ConfigurationError(f"--owner (file_owner=) {owner!r}: USER, USER:GROUP or :GROUP")
    return FilePermissions(
        number, _id_of(user, owner, is_user=True), _id_of(group, owner, is_user=False)
    )


def _id_of(name: str, owner: str, *, is_user: bool) -> int | None:
    if not name:
        return None
    if name.isdigit():
        return int(name)
    number = find_user(name) if is_user else find_group(name)
    if number is None:
        raise ConfigurationError(
            f"--owner (file_owner=) {owner!r}: this system has no "
            f"{'user' if is_user else 'group'} {name!r}"
        )
    return number
