"""Which user is at the other end of a local connection.

A port on loopback belongs to whoever takes it first. While a receiver is away, another user of the
machine can take its port and read what workers send there. So a worker asks the system who listens
before it sends a record.

Why the answer can be trusted
-----------------------------
* Of a TCP port the system tells the user of each socket that listens (``/proc/net/tcp``). The
  accepted socket itself is no proof: until somebody accepts it, it belongs to nobody, and some
  kernels show that as root. Of several sockets that could have taken the connection, all count.
* Of a Unix socket it tells the user at the time of ``listen`` (``SO_PEERCRED``).

Where the system tells nothing (no ``/proc``, no such option, a user that this namespace does not
know), the answer is ``None``, and the caller has to decide.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

from .users import HAS_USERS

_LISTENING = "0A"
_CONNECTED = frozenset({"01", "08"})  # established, or closed by the other side only
_CREDENTIALS = struct.Struct("=iII")  # of SO_PEERCRED: process id, user id, group id
_MAPPED = bytes(10) + b"\xff\xff"  # what stands before an IPv4 address in IPv6
_NO_USER = 0xFFFFFFFF  # what a socket that has no credentials shows
_UNKNOWN_USER = 65534
"""What the kernel shows for a user that this namespace does not know
(``/proc/sys/kernel/overflowuid``)."""


def users_listening_at(host: str, port: int) -> set[int] | None:
    """Return the user ids of the sockets that listen at an address of this machine.

    ``host`` is a numeric address. Returns ``None`` where it cannot be known.
    """
    if not HAS_USERS:
        return None
    wanted = _packed(host.partition("%")[0])
    found = set()
    for path in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        try:
            with open(path, encoding="utf-8") as table:
                next(table, None)
                for line in table:
                    fields = line.split()
                    if fields[3] == _LISTENING and _takes(fields[1], wanted, port):
                        found.add(int(fields[7]))
        except (OSError, ValueError, IndexError):
            continue
    if not found or _UNKNOWN_USER in found:
        return None
    return found


def can_tell_listeners() -> bool:
    """Return whether this system tells who listens at its ports."""
    return HAS_USERS and os.path.exists("/proc/self/net/tcp")


def users_of_clients(port: int) -> dict[tuple[str, int], int]:
    """Return the users of the sockets on this machine that are connected to TCP ``port``.

    The keys are host and port of the client, as :func:`plain_host` writes the host. A client on
    another machine, or in another network namespace, is not among them.
    """
    users: dict[tuple[str, int], int] = {}
    if not HAS_USERS:
        return users
    peers = [f":{port:04X} {state} " for state in _CONNECTED]
    for path in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        try:
            with open(path, encoding="utf-8") as table:
                next(table, None)
                for line in table:
                    if any(peer in line for peer in peers):  # most may be connections that ended
                        fields = line.split()
                        address, _, number = fields[1].partition(":")
                        users[_text(_address_bytes(address)), int(number, 16)] = int(fields[7])
        except (OSError, ValueError, IndexError):
            continue
    return users


def plain_host(host: str) -> str:
    """Return a numeric address as IPv4 where IPv6 only maps it, and without a zone."""
    packed = _packed(host.partition("%")[0])
    return _text(packed) if packed else host


def place_of(address: object) -> str:
    """Return the same text of a socket address at both of its ends."""
    if isinstance(address, tuple):
        return f"{plain_host(address[0])} {address[1]}"
    return str(address)


def _text(packed: bytes) -> str:
    if len(packed) == 16 and packed.startswith(_MAPPED):
        packed = packed[12:]
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def _packed(host: str) -> bytes:
    """Return a numeric address as 16 bytes, an IPv4 one as IPv6 maps it; ``b""`` for another."""
    try:
        if ":" in host:
            return socket.inet_pton(socket.AF_INET6, host)
        return _MAPPED + socket.inet_aton(host)
    except (OSError, AttributeError):
        return b""


def _takes(local: str, wanted: bytes, port: int) -> bool:
    """Return whether a socket bound to ``local``, as the table shows it, takes such a connection.

    The table has each four bytes of an address as a number in the machine's own byte order.
    """
    address, _, number = local.partition(":")
    if int(number, 16) != port:
        return False
    bound = _address_bytes(address)
    if not any(bound):  # it listens on every address
        return True
    return (bound if len(bound) == 16 else _MAPPED + bound) == wanted


def _address_bytes(shown: str) -> bytes:
    """Return the bytes of an address that the table shows."""
    words = (int(shown[at : at + 8], 16) for at in range(0, len(shown), 8))
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words)


def process_at(connection: socket.socket) -> int | None:
    """Return the process at the other end of a connected Unix socket; ``None``: not known."""
    credentials = _credentials(connection)
    return None if credentials is None else credentials[0]


def user_at(connection: socket.socket) -> int | None:
    """Return the user id at the other end of a connected Unix socket; ``None``: not known."""
    credentials = _credentials(connection)
    user = _UNKNOWN_USER if credentials is None else credentials[1]
    return None if user in (_UNKNOWN_USER, _NO_USER) else user


def _credentials(connection: socket.socket) -> tuple[int, int, int] | None:
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    except OSError:
        return None
    process, user, group = _CREDENTIALS.unpack(data)
    return process, user, group
