"""Find the receiver that is meant, and ask it: by HTTP at its log's own socket, or at ``--status``.

``SINK`` is the path of a log file; without one the only receiver of this user is meant.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..addresses import Address, log_address, parse_address
from ..exceptions import AddressError, StdbridgeError
from ..system.host import host_facts
from ..system.runtime import (
    AF_UNIX,
    log_socket_name,
    runtime_directories,
    shared_directory,
)
from ..system.unix_sockets import connect_unix
from ..system.users import own_users

ASK_TIMEOUT = 10.0
"""Seconds to wait for an answer."""

TOKEN_VARIABLE = "LOGURU_STDBRIDGE_STATUS_TOKEN"
"""Environment variable with the token of a status listener that wants one."""


class NobodyThereError(StdbridgeError):
    """No receiver answers where one was looked for; the message says where."""


class Endpoint(NamedTuple):
    """Where to ask: a Unix socket's path, or a host and a port."""

    path: str
    host: str
    port: int
    name: str
    """What it is called in messages."""


class _Connection(http.client.HTTPConnection):
    def __init__(self, target: Endpoint, timeout: float) -> None:
        super().__init__(target.host or "localhost", target.port, timeout=timeout)
        self._path = target.path
        self._seconds = timeout

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = connect_unix(self._path, self._seconds)


def find_targets(meant: str | None) -> list[Endpoint]:
    """Return where the receiver that is meant may answer.

    ``meant`` is the path of a log file, an address, ``http://host:port``, or ``None``. Raises
    :class:`NobodyThereError` or :class:`AddressError`.
    """
    if AF_UNIX is None and "tcp://" not in (meant or "") and "http://" not in (meant or ""):
        raise NobodyThereError(
            "logs have no sockets of their own here: start the receiver with --status "
            "tcp://127.0.0.1:9021, and name that address"
        )
    if not meant:
        found = list(_running())
        if len(found) == 1:
            return found
        if not found:
            raise NobodyThereError("no receiver of this user runs; name a log file or an address")
        names = ", ".join(sorted(target.name for target in found))
        raise NobodyThereError(f"{len(found)} receivers run; name the log of one of them: {names}")
    if meant.startswith("http://"):
        address = parse_address("tcp://" + meant[len("http://") :].rstrip("/"))
    elif "://" in meant:
        address = parse_address(meant)
    else:
        address = log_address(meant)
    if address.scheme == "tcp":
        return [Endpoint("", address.host, address.port, str(address))]
    if address.scheme == "unix":
        return [Endpoint(address.path, "", 0, str(address))]
    if address.scheme != "log":
        raise AddressError(f"{address}: name a log file, or the address of --status")
    targets = [Endpoint(path, "", 0, address.path) for path in _sockets_of(address)]
    if not targets:
        raise NobodyThereError(f"no receiver of {address.path} runs")
    return targets


def _directories(beside: str = "") -> list[str]:
    shared = [found for user in sorted(own_users()) if (found := shared_directory(user))]
    return [*runtime_directories(beside=beside), *shared]


def _sockets_of(address: Address) -> list[str]:
    name = log_socket_name(address.path, host_facts().network)
    paths = [os.path.join(directory, name) for directory in _directories(address.path)]
    return [path for path in paths if os.path.exists(path)]


def _running() -> Iterator[Endpoint]:
    """Yield the receivers of this user that answer."""
    for directory in _directories():
        with contextlib.suppress(OSError):
            for name in sorted(os.listdir(directory)):
                path = os.path.join(directory, name)
                if not name.endswith(".sock") or not stat.S_ISSOCK(os.lstat(path).st_mode):
                    continue
                target = Endpoint(path, "", 0, path)
                with contextlib.suppress(NobodyThereError):
                    state = ask_json([target], "/status.json", 2.0)
                    yield target._replace(name=str(state.get("log", path)))


def ask(
    targets: list[Endpoint],
    path: str,
    timeout: float = ASK_TIMEOUT,
    method: str = "GET",
    **headers: str,
) -> tuple[_Connection, http.client.HTTPResponse]:
    """Ask the first of ``targets`` that answers. Raises :class:`NobodyThereError`."""
    token = os.environ.get(TOKEN_VARIABLE)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    trouble = ""
    for target in targets:
        connection = _Connection(target, timeout)
        try:
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            trouble = f"{target.name} does not answer: {error or type(error).__name__}"
            continue
        if answer.status == http.client.OK:
            return connection, answer
        said = answer.read(1000).decode("utf-8", "replace").strip()
        connection.close()
        trouble = f"{target.name} says: {said}"
        if answer.status == http.client.UNAUTHORIZED:
            trouble += f" (set ${TOKEN_VARIABLE})"
    raise NobodyThereError(trouble)


def ask_json(
    targets: list[Endpoint], path: str, timeout: float = ASK_TIMEOUT, method: str = "GET"
) -> dict[str, Any]:
    """Return what is answered, as a JSON object. Raises :class:`NobodyThereError`."""
    connection, answer = ask(targets, path, timeout, method)
    with contextlib.closing(connection):
        try:
            fields = json.loads(answer.read())
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise NobodyThereError(f"{targets[0].name} answers what cannot be read") from error
    if type(fields) is not dict:
        raise NobodyThereError(f"{targets[0].name} is no receiver")
    return fields


def read_events(
    answer: http.client.HTTPResponse,
) -> Iterator[tuple[str, str, Any]]:
    """Yield server-sent events: id, name, data. Ends with the connection; raises ``OSError``."""
    fields: dict[str, str] = {}
    while True:
        line = answer.readline().decode("utf-8", "replace")
        if not line:
            return
        line = line.rstrip("\r\n")
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
        elif "data" in fields:
            yield fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"])
            fields = {}
