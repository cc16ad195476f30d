"""The sockets at which the status listener waits for visitors, and whom each of them lets in.

Owns their binding and their end. Used by one thread.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from ..addresses import Address
from ..system.files import file_key
from ..system.peers import plain_host, users_of_clients
from ..system.runtime import AF_UNIX
from ..system.unix_sockets import bind_unix
from ..system.users import own_users
from .requests import Gate
from .visitors import Visitor

VISITORS_BACKLOG = 64
"""Visitors that the kernel holds until they are accepted."""


class Doors:
    """Listening sockets, each with its :class:`.Gate`."""

    def __init__(
        self,
        addresses: Sequence[Address],
        *,
        token: str = "",
        names: Sequence[str] = (),
        socket_mode: int = 0o600,
        socket_group: int | None = None,
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` that names one that cannot be bound."""
        self.addresses: list[Address] = []
        """Where it listens, with the ports that the system chose."""
        self._gates: dict[socket.socket, Gate] = {}
        self._paths: list[tuple[str, tuple[int, int]]] = []
        try:
            for address in addresses:
                is_unix = address.scheme == "unix"
                door = _open(address, socket_mode, socket_group)
                self._gates[door] = Gate(is_unix=is_unix, token=token, names=names)
                if is_unix:
                    self._paths.append((address.path, file_key(os.lstat(address.path))))
                    self.addresses.append(address)
                else:
                    host, port = door.getsockname()[:2]
                    self.addresses.append(Address("tcp", host=host, port=port))
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[socket.socket]:
        return iter(self._gates)

    def accept(self, door: socket.socket) -> Visitor | None:
        """Accept a visitor, if one is there."""
        try:
            connection, address = door.accept()
        except OSError:
            return None
        return Visitor(connection, self._gates[door], is_trusted=_is_trusted(connection, address))

    def after_fork_in_child(self) -> None:
        """Close a child's copies. Nothing is unlinked: the parent needs it."""
        for door in self._gates:
            door.close()
        self._paths.clear()

    def close(self) -> None:
        """Close all, and remove the paths of those that are ours still."""
        for door in self._gates:
            door.close()
        for path, file in self._paths:
            with contextlib.suppress(OSError):
                if file_key(os.lstat(path)) == file:
                    os.unlink(path)
        self._paths.clear()


def _open(address: Address, mode: int, group: int | None) -> socket.socket:
    """Return a listening socket that does not block. Raises ``OSError`` that names the address."""
    try:
        if address.scheme == "tcp":
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            door = socket.create_server(
                (address.host, address.port), family=family, backlog=VISITORS_BACKLOG
            )
        else:
            door = _open_unix(address.path, mode, group)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot show the status at {address}: {reason}") from error
    door.setblocking(False)
    return door


def _open_unix(path: str, mode: int, group: int | None) -> socket.socket:
    if AF_UNIX is None:
        raise OSError(errno.EAFNOSUPPORT, "this platform has no Unix sockets")
    door = socket.socket(AF_UNIX, socket.SOCK_STREAM)
    try:
        bind_unix(door, path, mode, group)
        try:
            door.listen(VISITORS_BACKLOG)
        except BaseException:
            os.unlink(path)
            raise
    except BaseException:
        door.close()
        raise
    return door


def _is_trusted(connection: socket.socket, address: Any) -> bool:
    """Return whether a visitor is of the receiver's own user or root, or nobody can tell."""
    if not isinstance(address, tuple):
        return True  # the socket's mode has let it in
    host = plain_host(address[0])
    if not (host.startswith("127.") or host == "::1"):
        return False
    port = connection.getsockname()[1]
    user = users_of_clients(port).get((host, address[1]))
    return user is None or not own_users() or user in own_users()
