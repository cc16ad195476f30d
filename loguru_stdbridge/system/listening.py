"""Who listens at an address of this machine: claim a port, tell who has it.

Who has a port, or a Unix socket, is for messages about an address in use. It is read from ``/proc``
of Linux; elsewhere, and of other users' processes, nothing is known. No decision hangs on it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

_LISTENS = "0A"  # in /proc/net/tcp
_ACCEPTS = 0x10000  # a flag in /proc/net/unix


def claim_port(listener: socket.socket) -> None:
    """Have a socket that will be bound be the one listener at its port.

    On POSIX nobody else can bind a port at which somebody listens, and ``SO_REUSEADDR`` lets a
    receiver that comes back have the port of the one before. On Windows that option would let any
    program take the port of a running receiver; ``SO_EXCLUSIVEADDRUSE`` keeps it.
    """
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    listener.setsockopt(
        socket.SOL_SOCKET, socket.SO_REUSEADDR if exclusive is None else exclusive, 1
    )


def process_listening_at(*, port: int = 0, path: str = "") -> int | None:
    """Return the id of a process that listens at a TCP ``port``, or at a Unix socket's ``path``."""
    wanted = {f"socket:[{inode}]" for inode in (_unix(path) if path else _tcp(port))}
    if wanted:
        for pid in _processes():
            if wanted.intersection(_open_files(pid)):
                return pid
    return None


def logs_written_by(pid: int) -> list[str]:
    """Return the paths of the logs whose receiver a process is: it has their lock files open."""
    logs = []
    for file in _open_files(pid):
        directory, name = os.path.split(file)
        if name.startswith(".") and name.endswith(".lock"):
            logs.append(os.path.join(directory, name[1 : -len(".lock")]))
    return sorted(logs)


def program_of(pid: int) -> str:
    """Return the name of a process's program; empty where it is not known."""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _tcp(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen at a port, whatever the address."""
    for table in ("tcp", "tcp6"):
        for fields in _lines(table):
            if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]


def _unix(path: str) -> Iterator[str]:
    for fields in _lines("unix"):
        if int(fields[3], 16) & _ACCEPTS and fields[7:] == [path]:
            yield fields[6]


def _lines(table: str) -> Iterator[list[str]]:
    try:
        with open(f"/proc/self/net/{table}", encoding="utf-8", errors="replace") as file:
            lines = file.readlines()[1:]
    except OSError:
        return
    for line in lines:
        yield line.split()


def _processes() -> list[int]:
    with contextlib.suppress(OSError):
        return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
    return []


def _open_files(pid: int) -> Iterator[str]:
    directory = f"/proc/{pid}/fd"
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            yield os.readlink(f"{directory}/{name}")
