"""Reads ``nats://[user:password@]host:4222[,host:4222]/STREAM[?subject=...&creds=...]``.

Owns the text of an engine's address, what of it may be shown, and the text of a stream's settings.
No sockets here, and nothing of the engine's client.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

from ..exceptions import AddressError, ConfigurationError

DEFAULT_NATS_PORT = 4222

_FORM = "nats://[user:password@]host:4222[,host:4222]/STREAM[?subject=...&creds=...&tls_ca=...]"
_PARTS = ("subject", "creds", "tls_ca", "tls_cert", "tls_key", "consumer", "outage")
_STREAM = re.compile(r"[^\s.*>/\\]{1,255}")
_TOKEN = re.compile(r"[^\s.*>]+")
SETTINGS_FORM = "replicas=3,max_age=7d,max_bytes=50GB,retention=limits,storage=file"
_BYTES = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4, "B": 1}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

DEFAULT_OUTAGE = 86400.0
"""Seconds that the reader of a stream may be away without a record being lost: a stream that keeps
less is told at the start."""


class EngineAddress(NamedTuple):
    """Where a stream is, and how this end comes in."""

    servers: tuple[tuple[str, int], ...]
    """Host and port of each server."""
    stream: str
    user: str = ""
    """The user's name; a token, where there is no password."""
    password: str = ""
    subject: str = ""
    """To publish: what the subjects begin with. To read: the filter. Empty: the stream's own."""
    creds: str = ""
    """Path of a file with a JWT and its key."""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    consumer: str = ""
    """The durable consumer's name; empty: one of the log's own."""
    outage: float = DEFAULT_OUTAGE
    """Seconds that the stream's reader may be away."""

    def __str__(self) -> str:
        """Show it without what opens it."""
        places = ",".join(f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in self.servers)
        subject = f"?subject={self.subject}" if self.subject else ""
        return f"nats://{places}/{self.stream}{subject}"


def parse_engine_address(text: str) -> EngineAddress:
    """Read an engine's address. Raises :class:`AddressError`, which never shows the password."""
    scheme, _, rest = text.partition("://")
    rest, _, query = rest.partition("?")
    login, at, places = rest.rpartition("@")
    places, _, stream = places.partition("/")
    shown = f"{scheme}://{'...@' if at else ''}{places}/{stream}"
    if not _STREAM.fullmatch(stream):
        raise AddressError(f"the address {shown!r} names no stream: write {_FORM}")
    servers = tuple(_read_server(place, shown) for place in places.split(","))
    user, _, password = login.partition(":")
    given: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARTS:
            raise AddressError(f"{name}= in the address {shown!r}: use {', '.join(_PARTS)}")
        given[name] = value
    outage = given.pop("outage", None)
    address = EngineAddress(servers, stream, unquote(user), unquote(password), **given)
    if outage is not None:
        address = address._replace(outage=read_duration(outage, f"outage in {shown!r}"))
    if address.subject and not all(_is_token(part) for part in address.subject.split(".")):
        raise AddressError(f"subject={address.subject} in {shown!r}: tokens with dots between them")
    if address.consumer and not _STREAM.fullmatch(address.consumer):
        raise AddressError(f"consumer={address.consumer} in {shown!r}: no spaces, dots, * or >")
    if bool(address.tls_cert) != bool(address.tls_key) and not address.tls_cert:
        raise AddressError(f"tls_key in {shown!r} needs tls_cert, the certificate that it is of")
    return address


def read_duration(text: str, what: str) -> float:
    """Return the seconds of ``90``, ``30m``, ``12h`` or ``7d``. Raises :class:`AddressError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None:
        raise AddressError(f"{what}: {text!r} is no duration; write 90s, 30m, 12h or 7d")
    return float(match[1]) * _UNITS[match[2]]


def make_token(text: str) -> str:
    """Return one token of a subject for a name of any kind."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:64] or "unknown"


def _is_token(text: str) -> bool:
    return text in ("*", ">") or _TOKEN.fullmatch(text) is not None


def _read_server(place: str, shown: str) -> tuple[str, int]:
    host, colon, port = place.rpartition(":")
    if not colon or place.endswith("]"):
        host, port = place, str(DEFAULT_NATS_PORT)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not port.isdigit() or not 0 < int(port) <= 65535:
        raise AddressError(f"{place!r} in the address {shown!r} is no host:port: write {_FORM}")
    return host, int(port)


def read_stream_settings(text: str) -> dict[str, Any]:
    """Read ``replicas=3,max_age=7d`` of ``--nats-create``. Raises :class:`ConfigurationError`."""
    settings: dict[str, Any] = {
        "retention": "limits", "storage": "file", "discard": "old", "num_replicas": 1,
    }  # fmt: skip
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        name = name.strip().replace("-", "_")
        try:
            settings.update(_READ[name](value.strip()))
        except (KeyError, ValueError) as error:
            raise ConfigurationError(
                f"--nats-create {text}: {part!r} cannot be used; write settings of the stream, "
                f"such as {SETTINGS_FORM}"
            ) from error
    return settings


def _bytes(text: str) -> int:
    for unit, factor in _BYTES.items():
        if text.upper().endswith(unit):
            return int(float(text[: -len(unit)]) * factor)
    return int(text)


def _one_of(name: str, *values: str) -> Any:
    def read(text: str) -> dict[str, Any]:
        if text not in values:
            raise ValueError(text)
        return {name: text}

    return read


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


_READ: dict[str, Any] = {
    "replicas": lambda text: {"num_replicas": _whole(text)},
    "max_age": lambda text: {"max_age": int(read_duration(text, "max_age") * 1e9)},
    "max_bytes": lambda text: {"max_bytes": _bytes(text)},
    "max_msgs": lambda text: {"max_msgs": _whole(text)},
    "retention": _one_of("retention", "limits", "interest", "workqueue"),
    "storage": _one_of("storage", "file", "memory"),
    "discard": _one_of("discard", "old", "new"),
    "compression": _one_of("compression", "none", "s2"),
}
