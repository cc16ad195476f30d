"""Reads where the status is shown, and to whom: the ``--status`` options. No sockets here."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from typing import NamedTuple

from ..addresses import Address, AddressLike, parse_address
from ..exceptions import ConfigurationError
from ..system.users import HAS_USERS

MIN_TOKEN = 16
"""Characters of the shortest token: 16 random ones cannot be guessed."""


class StatusOptions(NamedTuple):
    """Where and to whom a receiver shows its status."""

    addresses: tuple[Address, ...]
    token: str
    """What whoever asks has to know; empty where nobody has to."""

    names: tuple[str, ...]
    """Names by which the listener may be called, besides its addresses and ``localhost``."""


def read_status_options(
    status: AddressLike | list[AddressLike] | None,
    token_file: str | os.PathLike[str] | None = None,
    hosts: Sequence[str] = (),
    shows_files: bool = False,
) -> StatusOptions | None:
    """Return the options; ``None`` where there is no ``status``.

    Raises :class:`ConfigurationError` or :class:`AddressError`. A token is needed beyond loopback.
    """
    if not status:
        given = {"token_file": token_file is not None, "hosts": hosts, "files": shows_files}
        for option in (f"status_{name}" for name, is_given in given.items() if is_given):
            raise ConfigurationError(f"{option}: name an address with status= (--status), too")
        return None
    addresses = tuple(map(parse_address, status if isinstance(status, list) else [status]))
    token = "" if token_file is None else _read_token(token_file)
    for address in addresses:
        if address.scheme == "log":
            raise ConfigurationError(
                f"status={address}: use tcp://127.0.0.1:9021 or unix:///path; local tools use the "
                "log's own socket without it"
            )
        if not token and address.scheme == "tcp" and not _is_loopback_address(address.host):
            raise ConfigurationError(
                f"status={address} can be reached from other machines, by whoever asks: put a "
                "random token into a file of mode 0600, and name it with --status-token-file "
                "(status_token_file=); or use tcp://127.0.0.1 or a Unix socket"
            )
    return StatusOptions(addresses, token, tuple(hosts))


def _is_loopback_address(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read_token(path: str | os.PathLike[str]) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read(4096).strip()
            mode = os.fstat(file.fileno()).st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"status_token_file={os.fspath(path)!r}: {error}") from error
    if HAS_USERS and mode & 0o077:
        raise ConfigurationError(
            f"status_token_file={os.fspath(path)!r} has mode {mode & 0o777:04o}, so others can "
            "read it: chmod 600"
        )
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigurationError(
            f"status_token_file={os.fspath(path)!r}: a token is at least {MIN_TOKEN} printable "
            "ASCII characters, as secrets.token_urlsafe() of Python makes them"
        )
    return token
