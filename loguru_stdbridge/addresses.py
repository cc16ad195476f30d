"""Addresses of receivers: ``log:///path``, ``tcp://host:port``, ``tls://host:port``, ``unix:///path``.

Owns the reading and the writing of address texts. No sockets here; the file system is asked only
where a log's path leads.
"""

from __future__ import annotations

import os
from typing import NamedTuple, Union

from .exceptions import AddressError

DEFAULT_PORT = 9020
"""The port of :data:`logging.handlers.DEFAULT_TCP_LOGGING_PORT`: stock clients find us there."""

DEFAULT_ADDRESS = f"tcp://127.0.0.1:{DEFAULT_PORT}"

ADDRESS_VARIABLE = "LOGURU_STDBRIDGE_ADDRESS"
"""Environment variable that names the receiver where the program does not."""

HANDED_ON_VARIABLE = "LOGURU_STDBRIDGE_HANDED_ON"
"""Environment variable by which a receiver tells its command that the address is its own: one at
which another receiver cannot listen."""

_FORMS = (
    '"log:///path/of/app.log", "tcp://host:port", "tls://host:port", "unix:///path/to/socket" '
    'or ("host", port)'
)
_WITH_A_PORT = ("tcp", "tls")
_ENGINE = "nats://"
_WILDCARDS = frozenset({"", "0.0.0.0", "::"})
_LOOPBACK_NAMES = frozenset({"localhost", "::1", "ip6-localhost"})

AddressLike = Union[str, tuple[str, int]]
"""What :func:`parse_address` reads: a text, which may be an :class:`Address`, or a pair."""


class Address(str):
    """Where a receiver is reached: a text that :func:`parse_address` reads, and its parts.

    ``scheme`` is ``"log"`` (``path`` is the log file's, resolved: whoever writes that file on this
    machine), ``"unix"`` (``path`` is the socket's), ``"tcp"`` or ``"tls"`` (``host`` and ``port``).
    """

    __slots__ = ("host", "path", "port", "scheme")

    scheme: str
    host: str
    port: int
    path: str

    def __new__(cls, scheme: str, host: str = "", port: int = 0, path: str = "") -> Address:
        """Make the text of these parts, which are taken as they are."""
        if scheme in _WITH_A_PORT:
            bracketed = f"[{host}]" if ":" in host else host
            self = super().__new__(cls, f"{scheme}://{bracketed}:{port}")
        elif scheme == "log":
            self = super().__new__(cls, f"log://{_as_in_a_url(path)}")
        else:
            self = super().__new__(cls, f"{scheme}://{path}")
        self.scheme, self.host, self.port, self.path = scheme, host, port, path
        return self

    def __getnewargs__(self) -> tuple[str, str, int, str]:  # type: ignore[override]
        """Go to another process as the parts."""
        return self.scheme, self.host, self.port, self.path

    def __repr__(self) -> str:
        return f"<Address {self}>"

    @property
    def is_local(self) -> bool:
        """Whether it can only mean this machine."""
        return not self.has_port or _is_loopback(self.host)

    @property
    def has_port(self) -> bool:
        """Whether it names a host and a port."""
        return self.scheme in _WITH_A_PORT

    @property
    def log_path(self) -> str:
        """The path of the log that it names; empty where it names none."""
        return self.path if self.scheme == "log" else ""

    def serves(self, wanted: Address) -> bool:
        """Whether a receiver on this machine bound to ``self`` is what ``wanted`` names.

        Used to decide whose orphaned journals a receiver may deliver. A name of another machine
        with the same port is never taken for ours.
        """
        if self.scheme != wanted.scheme:
            return False
        if self.scheme == "log":
            return is_same_path(self.path, wanted.path)
        if self.scheme == "unix":
            return resolve_path(self.path) == resolve_path(wanted.path)
        if self.port != wanted.port:
            return False
        if self.host == wanted.host:
            return True
        ours_is_local = self.host in _WILDCARDS or _is_loopback(self.host)
        return ours_is_local and (_is_loopback(wanted.host) or wanted.host in _WILDCARDS)


class LogName(NamedTuple):
    """What identifies a log."""

    path: str  # resolved; ``{time}`` and the like are in it as they are
    id: str = ""  # 32 random hex digits, kept with the ledger; "" where no receiver has told it
    directory: str = ""  # see :func:`~loguru_stdbridge.system.host.directory_id`

    def is_same(self, other: LogName) -> bool:
        """Return whether both name one log, seen from one host.

        A ledger that was lost is made anew with another id, so the path alone is enough.
        """
        return bool(self.id and self.id == other.id) or is_same_path(self.path, other.path)


def is_same_path(path: str, other: str) -> bool:
    """Return whether two resolved paths are one: on Windows upper and lower case are the same."""
    return path == other or os.path.normcase(path) == os.path.normcase(other)


def _as_in_a_url(path: str) -> str:
    """Return a path as it stands behind ``log://``: ``/C:/logs/app.log`` for one with a drive."""
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    return path if path.startswith("/") else f"/{path}"


def _from_a_url(text: str) -> str:
    """Return the path of :func:`_as_in_a_url`."""
    return text[1:] if os.path.splitdrive(text[1:])[0] else text


def _is_loopback(host: str) -> bool:
    return host in _LOOPBACK_NAMES or host.startswith("127.")


def local_names(address: Address) -> list[Address]:
    """The addresses by which processes of this machine may know a receiver bound to ``address``."""
    names = [address]
    if address.has_port and (address.host in _WILDCARDS or _is_loopback(address.host)):
        names += [
            Address(address.scheme, host=name, port=address.port)
            for name in ("127.0.0.1", "localhost")
        ]
    return names


def parse_address(value: AddressLike) -> Address:
    """Read an address.

    ``value`` is a text in one of the forms above, a ``(host, port)`` pair as the stdlib's
    ``SocketHandler`` takes it, or an :class:`Address`. Port 0 asks a receiver for any free port.
    Raises :class:`AddressError` that shows the value and the accepted forms.
    """
    if isinstance(value, Address):
        return value
    if isinstance(value, tuple):
        if len(value) != 2 or not isinstance(value[0], str):
            raise AddressError(f"cannot read the address {value!r}: use {_FORMS}")
        return Address("tcp", host=value[0], port=_check_port(value[1], value))
    if not isinstance(value, str):
        raise AddressError(f"cannot read the address {value!r}: use {_FORMS}")
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "tcp", value
    if scheme == "log":
        rest = _from_a_url(rest)
        if not rest.startswith("/") and not os.path.isabs(rest):
            raise AddressError(
                f"the log address {value!r} needs an absolute path, as in log:///var/log/app.log"
            )
        return log_address(rest)
    if scheme == "unix":
        if not rest.startswith("/"):
            raise AddressError(
                f"the Unix socket address {value!r} needs an absolute path, as in unix:///run/log"
            )
        return Address("unix", path=rest)
    if is_engine_address(value):
        raise AddressError(
            f"{scheme}:// is an address for a receiver, as its sink or with --listen: a program "
            "sends to the receiver of its own machine"
        )
    if scheme not in _WITH_A_PORT:
        raise AddressError(f"unknown scheme {scheme!r} in the address {value!r}: use {_FORMS}")
    host, colon, port = rest.rpartition(":")
    if not colon:
        host, port = rest, str(DEFAULT_PORT)
    if not colon and host.isdigit():
        raise AddressError(f"the address {value!r} names no host: use {scheme}://127.0.0.1:{host}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise AddressError(
            f"an IPv6 host needs brackets: {scheme}://[{host}]:{port}, not {value!r}"
        )
    if not host:
        raise AddressError(f"the address {value!r} names no host: use {_FORMS}")
    return Address(scheme, host=host, port=_check_port(port, value))


def is_engine_address(value: object) -> bool:
    """Return whether a text names a stream of NATS: what a receiver reads, or writes to."""
    return isinstance(value, str) and value.startswith(_ENGINE)


def log_address(path: str | os.PathLike[str]) -> Address:
    """Return the address of the receiver that writes the log file at ``path``.

    Links are followed, so that all names of a file give one address.
    """
    return Address("log", path=plain_path(resolve_path(os.fsdecode(path))))


def resolve_path(path: str) -> str:
    """Return the absolute path of a file, with its links followed as far as the system tells.

    Windows answers for some file systems with an error that Python does not expect, and so does
    Wine for a long path. The links are not followed then.
    """
    try:
        return os.path.realpath(path)
    except OSError:
        return os.path.abspath(path)


def plain_path(path: str) -> str:
    """Return a path of Windows without the prefix by which it may be long; any other as it is."""
    if path.startswith("\\\\?\\UNC\\"):
        return "\\" + path[7:]
    return path[4:] if path.startswith("\\\\?\\") else path


def _check_port(port: object, value: object) -> int:
    try:
        number = int(port)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= 65535:
        raise AddressError(f"the port in {value!r} must be a whole number from 0 to 65535")
    return int(number)


def default_address() -> Address:
    """Return the address in ``LOGURU_STDBRIDGE_ADDRESS``, else ``tcp://127.0.0.1:9020``."""
    value = os.environ.get(ADDRESS_VARIABLE)
    if not value:
        return parse_address(DEFAULT_ADDRESS)
    try:
        return parse_address(value)
    except AddressError as error:
        raise AddressError(f"in the environment variable {ADDRESS_VARIABLE}: {error}") from None


def default_listen(*, needed: bool = True) -> list[Address]:
    """Return where a receiver listens, besides its log's own socket, if nobody says it.

    That is the address in ``LOGURU_STDBRIDGE_ADDRESS``, unless it is a log's, or is the address of
    a receiver around this process, which has handed it on. Without one it is
    ``tcp://127.0.0.1:9020`` if an address is ``needed``, else none.
    """
    text = os.environ.get(ADDRESS_VARIABLE)
    if not text or text == os.environ.get(HANDED_ON_VARIABLE):
        return [parse_address(DEFAULT_ADDRESS)] if needed else []
    address = parse_address(text)
    return [] if address.scheme == "log" else [address]
