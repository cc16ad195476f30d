"""Which certificate files a program names for TLS. Light: nothing of ``ssl`` is loaded here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..exceptions import ConfigurationError

TLS_OPTIONS = ("tls_cert", "tls_key", "tls_ca", "tls_crl")
"""The options of both sides, each with an environment variable of its own."""

_VARIABLE_PREFIX = "LOGURU_STDBRIDGE_"


class TlsFiles(NamedTuple):
    """Paths of PEM files, and the name that a worker asks a receiver's certificate for."""

    cert: str | None = None
    """The own certificate, with those between it and its CA behind it."""
    key: str | None = None
    """Its key; ``None``: it is in the certificate's file."""
    ca: str | None = None
    """The CAs of which the other side may be. ``None``: a worker trusts those of the system, and a
    receiver asks for no certificate."""
    crl: str | None = None
    """What those CAs have revoked."""
    hostname: str | None = None
    """``None``: the host of the address."""

    def state(self) -> tuple[object, ...]:
        """Return what tells whether one of the files has changed."""
        return tuple(_identify(path) for path in (self.cert, self.key, self.ca, self.crl))


def _identify(path: str | None) -> tuple[int, ...] | None:
    if path is None:
        return None
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_tls_files(options: Mapping[str, Any], *, from_environment: bool = True) -> TlsFiles:
    """Return the files that ``options`` name, by their names with ``tls_`` before them.

    What is ``None`` there is looked up in the environment, as ``LOGURU_STDBRIDGE_TLS_CERT``. Raises
    :class:`ConfigurationError` for what is no path.
    """
    paths: list[str | None] = []
    for name in TLS_OPTIONS:
        value = options.get(name)
        if value is None and from_environment:
            value = os.environ.get(_VARIABLE_PREFIX + name.upper()) or None
        try:
            paths.append(None if value is None else os.path.abspath(os.fsdecode(value)))
        except TypeError:
            raise ConfigurationError(f"{name}={value!r}: the path of a file in PEM") from None
    hostname = options.get("tls_hostname")
    if hostname is not None and (not isinstance(hostname, str) or not hostname):
        raise ConfigurationError(f"tls_hostname={hostname!r}: the name in the certificate")
    cert, key, ca, crl = paths
    files = TlsFiles(cert, key, ca, crl, hostname)
    if files.key is not None and files.cert is None:
        raise ConfigurationError(f"tls_key={files.key!r} without tls_cert=: name both")
    if files.crl is not None and files.ca is None:
        raise ConfigurationError(f"tls_crl={files.crl!r} without tls_ca=: name the CA of the list")
    return files
