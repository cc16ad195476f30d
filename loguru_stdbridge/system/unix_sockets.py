"""Bind Unix sockets, connect to them, and remove those that a killed process has left."""

from __future__ import annotations

import os
import socket
import stat

from .runtime import AF_UNIX, short_path
from .users import change_owner

OWNER_MODE = 0o600
"""Mode of a socket that nobody else may use."""


def bind_unix(listener: socket.socket, path: str, mode: int, group: int | None) -> None:
    """Bind a socket at ``path``, in the place of one that is dead. Raises ``OSError``."""
    remove_dead_socket(path)
    old = os.umask(0o777 & ~OWNER_MODE)  # it is its owner's alone from the first instant
    try:
        with short_path(path) as shorter:
            listener.bind(shorter)
    finally:
        os.umask(old)
    try:
        if group is not None:
            change_owner(path, -1, group)
        if mode != OWNER_MODE:
            os.chmod(path, mode)
    except BaseException:
        os.unlink(path)
        raise


def remove_dead_socket(path: str) -> None:
    """Remove the socket that a killed process has left. One that is served stays, and so does a
    file that is no socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return
    except OSError:
        return
    try:
        connect_unix(path, 1.0).close()
    except ConnectionRefusedError:
        os.unlink(path)
    except OSError:
        return


def connect_unix(path: str, timeout: float) -> socket.socket:
    """Return a connection to the socket at ``path``; ``timeout`` is its seconds for each call.

    Raises ``OSError``.
    """
    connection = socket.socket(AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        with short_path(path) as shorter:
            connection.connect(shorter)
    except BaseException:
        connection.close()
        raise
    return connection
