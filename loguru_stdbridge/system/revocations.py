"""Read which certificates a revocation list names, and which one a client has shown.

OpenSSL looks at the list during a handshake alone. A client that is connected when its certificate
is revoked has to be found by this. Only what leads to issuer and number is read: OpenSSL has loaded
the list before, and what is no list here names nobody.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from typing import NamedTuple

_INTEGER, _SEQUENCE, _VERSION = 0x02, 0x30, 0xA0  # tags of ASN.1; the last one is explicit [0]
_TIMES = (0x17, 0x18)
_LIST = re.compile(rb"-----BEGIN X509 CRL-----(.*?)-----END X509 CRL-----", re.DOTALL)


class CertificateName(NamedTuple):
    """Tells one certificate from all others."""

    issuer: bytes
    """The name of its CA, as ASN.1 has it."""

    number: bytes


def read_revoked(path: str) -> frozenset[CertificateName]:
    """Return the certificates that the lists in a file of PEM revoke. Raises ``OSError``."""
    with open(path, "rb") as file:
        text = file.read()
    revoked: set[CertificateName] = set()
    for found in _LIST.finditer(text):
        try:
            revoked.update(_read_list(b64decode(found[1])))
        except (ValueError, IndexError, StopIteration):
            continue
    return frozenset(revoked)


def name_of_certificate(encoded: bytes) -> CertificateName | None:
    """Return the name of a certificate in DER; ``None`` for what is none."""
    try:
        (_, certificate), *_ = _read(encoded)
        (_, signed), *_ = _read(certificate)
        parts = [part for part in _read(signed) if part[0] != _VERSION]
        (_, number), _, (_, issuer) = parts[:3]
    except (ValueError, IndexError):
        return None
    return CertificateName(issuer, number)


def _read_list(encoded: bytes) -> Iterator[CertificateName]:
    (_, whole), *_ = _read(encoded)
    (_, signed), *_ = _read(whole)
    parts = [part for part in _read(signed) if part[0] != _INTEGER]  # a version may come first
    _, (_, issuer), *rest = parts
    for tag, entries in rest:
        if tag == _SEQUENCE:
            for _, entry in _read(entries):
                yield CertificateName(issuer, next(_read(entry))[1])
        elif tag not in _TIMES:
            return


def _read(encoded: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of the values that stand one behind the other."""
    at = 0
    while at < len(encoded):
        tag, size = encoded[at], encoded[at + 1]
        at += 2
        if size & 0x80:
            digits = size & 0x7F
            size = int.from_bytes(encoded[at : at + digits], "big")
            at += digits
        if at + size > len(encoded):
            raise ValueError("a value is cut off")
        yield tag, encoded[at : at + size]
        at += size
