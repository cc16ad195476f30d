"""Refuse addresses at which strangers could write to the log, unless the user asks for that.

Whoever reaches the socket can write. On loopback that is this machine. Beyond it every client has
to show a certificate of a CA that the receiver names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..addresses import Address
from ..exceptions import ConfigurationError
from ..system.tls_files import TlsFiles, read_tls_files

if TYPE_CHECKING:
    from .tls_connection import Certificates


def check_exposure(
    addresses: Iterable[Address], tls: TlsFiles | None, *, insecure: bool
) -> Certificates | None:
    """Return the certificates for ``addresses``; ``None`` where none of them is for TLS.

    ``tls=None``: the files that the environment names. Raises :class:`ConfigurationError` where
    strangers could write, unless ``insecure``, and where the files cannot be used.
    """
    files = read_tls_files({}) if tls is None else tls
    secure = []
    for address in addresses:
        if address.scheme == "tls":
            secure.append(address)
        if insecure or address.is_local:
            continue
        if address.scheme == "tcp":
            raise ConfigurationError(
                f"{address} can be reached from other machines, and whoever reaches it can write "
                f"to the log. Listen on tls://{str(address)[6:]} with --tls-cert, --tls-key and "
                f"--tls-ca, on tcp://127.0.0.1:{address.port} or on a Unix socket; or say "
                "--insecure (insecure=True)"
            )
        if files.ca is None:
            raise ConfigurationError(
                f"{address} can be reached from other machines, and no client has to show a "
                "certificate: name the CA of theirs with --tls-ca (tls_ca=), or say --insecure "
                "(insecure=True)"
            )
    if not secure:
        return None
    if files.cert is None:
        raise ConfigurationError(
            f"{secure[0]} needs the receiver's certificate: name it with --tls-cert (tls_cert=), "
            "and its key with --tls-key"
        )
    from .tls_connection import Certificates  # nobody else loads ssl

    return Certificates(files)
