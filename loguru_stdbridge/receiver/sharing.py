"""Who besides the receiver's own user may reach it: modes and groups, as they are named.

A server that is started as root often becomes another user before it serves. Its group then needs
the log's socket and a spool directory in which its members make journals. Owns the reading of those
options. What is done by them is :mod:`listeners`' business, and :mod:`spool.group`'s.
"""

from __future__ import annotations

from typing import NamedTuple

from ..exceptions import ConfigurationError
from ..system.unix_sockets import OWNER_MODE
from ..system.users import HAS_USERS, find_group

GROUP_MODE = 0o660
"""Mode of a socket whose group is named, where no mode is."""


class SocketAccess(NamedTuple):
    """Mode and group of the receiver's Unix sockets."""

    mode: int = OWNER_MODE
    group: int | None = None
    """A group's id; ``None``: the one that the system gives."""

    @property
    def is_shared(self) -> bool:
        """Whether others than the owner may connect, so that they have to find the socket."""
        return bool(self.mode & 0o077)


NOT_SHARED = SocketAccess()
"""The owner's alone."""


def read_socket_access(mode: str | int | None, group: int | None) -> SocketAccess:
    """Return the access to the sockets. ``mode`` is a number, or octal digits as ``chmod`` reads
    them; ``None``: 0660 where a group is named, else 0600.

    Raises :class:`ConfigurationError`.
    """
    if mode is None:
        return SocketAccess(OWNER_MODE if group is None else GROUP_MODE, group)
    try:
        number = int(mode, 8) if isinstance(mode, str) else mode
    except ValueError:
        number = -1
    if not 0 <= number <= 0o777 or isinstance(mode, bool):
        raise ConfigurationError(
            f"socket_mode={mode!r}: octal digits from 0600 to 0777, as in 0660 for owner and group"
        )
    return SocketAccess(number | OWNER_MODE, group)


def group_id(option: str, group: str | int | None) -> int | None:
    """Return a group's id by its name or number; ``None`` for ``None``.

    Raises :class:`ConfigurationError` that names the ``option``.
    """
    if group is None:
        return None
    if not HAS_USERS:
        raise ConfigurationError(f"{option}={group!r}: leave it out, this system has no groups")
    if isinstance(group, int) and not isinstance(group, bool) and group >= 0:
        return group
    if isinstance(group, str) and group.isdigit():
        return int(group)
    number = find_group(group)
    if number is None:
        raise ConfigurationError(
            f"{option}={group!r}: the name or the number of a group of this system"
        )
    return number
