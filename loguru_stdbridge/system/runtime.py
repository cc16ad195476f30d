"""Where a log's own socket is: a directory of this user's, found without being told.

Every receiver listens on a Unix socket that is named after its log. A worker that knows the log's
path finds it there, whatever else the receiver listens on. Where the system has no Unix sockets, a
file of that name holds the number of a port on loopback, and a token that only those who may read
the file know (:mod:`~loguru_stdbridge.system.gate`).

Why nobody else can stand in for a receiver
-------------------------------------------
The directory belongs to this user and is closed to all others (mode 0700). A directory that is not
so is passed over, and so is a symbolic link. Only root and this user can put a socket into it. On
Windows it lies in the user's own ``%LOCALAPPDATA%``, which is closed to other users by what it
inherits.

Why both sides find the same directory
--------------------------------------
Not every process of a user has the same environment: cron sets no ``XDG_RUNTIME_DIR``. A receiver
takes the first directory that it can use. A worker tries all that are there, in the same order. No
variable but ``XDG_RUNTIME_DIR`` has a say, ``TMPDIR`` neither. Where none of these can be made (a
service that may write its log's directory and nothing else), a hidden directory beside the log
takes their part.

A receiver whose socket others may use, too (``--socket-group``), has it in another directory, at a
fixed place for each user. A worker looks there for its own user, for root and for the user that
``receiver_user=`` names: those to whom it gives records. It asks the system who listens before it
sends one.

How a socket that lies deep is reached
--------------------------------------
An address takes 108 bytes on Linux, and a log's directory may lie deeper. Linux shows each open
directory by a short name of its own, by which a socket in it can be bound and connected to.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from .files import move_descriptor, open_file
from .users import HAS_USERS, real_user

_FOLDER = "loguru_stdbridge"

AF_UNIX: Any = getattr(socket, "AF_UNIX", None)
"""The family of Unix sockets; ``None`` where the system, or its Python, has none."""

END_OF_RECORD = getattr(socket, "MSG_EOR", 0)
"""Sent with a frame, it keeps the next one apart: a stock receiver may take a part of a length for
the end of the stream."""

MAX_SOCKET_PATH = 100
"""Bytes that an address takes everywhere: 108 on Linux and 104 on macOS, with the final zero."""

_OPEN_FILES = "/proc/self/fd"


class Entrance(NamedTuple):
    """The port of a log's receiver, where there are no Unix sockets."""

    host: str
    port: int
    token: bytes

    def to_text(self) -> str:
        """Return what the file holds."""
        return f"{self.host} {self.port} {self.token.hex()}\n"


def read_entrance(path: str) -> Entrance | None:
    """Return the entrance that the file at ``path`` tells; ``None`` where it tells none."""
    try:
        with open(path, encoding="utf-8", opener=open_file) as file:
            host, port, token = file.read(1000).split()
        return Entrance(host, int(port), bytes.fromhex(token))
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def short_path(path: str) -> Iterator[str]:
    """Give a name for the socket at ``path`` that fits an address, where the system has one.

    The name is good within the context. Raises ``OSError`` where the directory cannot be opened.
    """
    directory, name = os.path.split(path)
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH or not os.path.isdir(_OPEN_FILES):
        yield path
        return
    flags = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_CLOEXEC", 0)
    descriptor = move_descriptor(os.open(directory or ".", flags))
    try:
        yield f"{_OPEN_FILES}/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def runtime_directories(*, make: bool = False, beside: str = "") -> list[str]:
    """Return the directories for sockets that this user can trust, best first.

    ``beside`` is the path of a log: a directory beside it comes last. With ``make``, the first one
    that can be made, or is there and can be written, is alone returned. The list is empty where
    there is none.
    """
    found = []
    for parent, name in _candidates(beside):
        path = os.path.join(parent, name)
        if make:
            try:
                os.mkdir(path, 0o700)
            except OSError:
                pass  # it is there already, or cannot be made: the look tells
        if is_private_directory(path) and (not make or os.access(path, os.W_OK | os.X_OK)):
            found.append(path)
            if make:
                break
    return found


def shared_directory(user: int, *, make: bool = False) -> str | None:
    """Return the directory for sockets of ``user``'s receivers that others may use, or ``None``.

    Everybody may look a name up in it, nobody may list it, and its owner alone may change it. With
    ``make`` it is made, for this process's own user.
    """
    if not HAS_USERS:
        return None
    places = [("/tmp", f"{_FOLDER}-{user}.shared")]
    if user == 0:
        places.insert(0, ("/run", _FOLDER))
    for place in places:
        path = os.path.join(*place)
        with contextlib.suppress(OSError, ValueError):
            if make and not os.path.lexists(path):
                os.mkdir(path, 0o700)
                os.chmod(path, 0o711)
            status = os.lstat(path)
            closed = not status.st_mode & 0o022
            if stat.S_ISDIR(status.st_mode) and status.st_uid == user and closed:
                return path
    return None


def log_socket_name(log_path: str, network: str) -> str:
    """Return the file name of a log's socket.

    ``log_path`` is the log's resolved path. ``network`` is the network namespace: containers that
    share the directory may each have a log of that path.
    """
    text = f"{network}\0{os.path.normcase(log_path)}".encode("utf-8", "surrogateescape")
    kind = "port" if AF_UNIX is None else "sock"
    return f"{zlib.crc32(text):08x}{zlib.adler32(text):08x}.{kind}"


def messages_path(sink: str) -> str:
    """Return the path of the file for the messages of a receiver that nobody's stderr hears.

    It is hidden beside the sink.
    """
    directory, name = os.path.split(sink)
    return os.path.join(directory, f".{name}.receiver")


def _candidates(beside: str) -> list[tuple[str, str]]:
    """Return parent and name of each directory that may be used."""
    named = os.environ.get("XDG_RUNTIME_DIR", "")
    parents = [named] if os.path.isabs(named) else []
    if not HAS_USERS:
        local = os.environ.get("LOCALAPPDATA", "")
        parents.append(local or os.path.join(os.path.expanduser("~"), "AppData", "Local"))
        return [(parent, f"{_FOLDER}.run") for parent in parents]
    user = real_user()
    parents.append(f"/run/user/{user}")
    found = [(parent, _FOLDER) for parent in dict.fromkeys(parents)]
    found.append(("/tmp", f"{_FOLDER}-{user}"))
    if beside:
        found.append((os.path.dirname(beside), f".{_FOLDER}-{user}"))
    return found


def is_private_directory(path: str) -> bool:
    """Return whether a directory, no link to one, is this user's and closed to all others.

    On a system without users by number only the first half can be seen.
    """
    try:
        status = os.lstat(path)
    except (OSError, ValueError):
        return False
    if not stat.S_ISDIR(status.st_mode):
        return False
    return not HAS_USERS or (status.st_uid == real_user() and not status.st_mode & 0o077)
