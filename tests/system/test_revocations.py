"""Revocation lists are read as the library that made them reads them."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from loguru_stdbridge.system.revocations import name_of_certificate, read_revoked

pytest.importorskip("trustme", reason="trustme makes the certificates")
from tests.support.certificates import Authority


def name_of(path):
    """Return the name of the first certificate in a file."""
    text = Path(path).read_text(encoding="ascii")
    begin = text.index("-----BEGIN CERTIFICATE")
    end = text.index("-----END CERTIFICATE-----", begin) + len("-----END CERTIFICATE-----")
    return name_of_certificate(ssl.PEM_cert_to_DER_cert(text[begin:end]))


def test_a_list_names_what_it_revokes(tmp_path):
    """A list names the certificates that it revokes, and no other one; an empty one names none."""
    authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other", "other")
    certificates = [authority.issue(name=f"client-{number}") for number in range(12)]
    revoked = read_revoked(authority.revoke(*certificates[:11]))
    assert revoked == {name_of(path) for path in certificates[:11]}
    assert name_of(certificates[11]) not in revoked
    assert name_of(other.issue()) not in revoked
    assert read_revoked(authority.revoke()) == set()
    both = Path(authority.revoke(certificates[0])).read_bytes()
    (tmp_path / "both.crl").write_bytes(both + Path(other.revoke(other.issue())).read_bytes())
    assert len(read_revoked(str(tmp_path / "both.crl"))) == 2


def test_what_is_no_list_names_nobody(tmp_path):
    """A list, or a certificate, that is cut off or changed raises nothing."""
    authority = Authority(tmp_path)
    text = Path(authority.ca).read_text(encoding="ascii")
    der = ssl.PEM_cert_to_DER_cert(text)
    for cut in range(len(der)):
        name_of_certificate(der[:cut])
        name_of_certificate(der[:cut] + b"\xff" + der[cut + 1 :])
    assert name_of_certificate(b"") is None
    path = tmp_path / "changed.crl"
    crl = Path(authority.revoke(authority.issue())).read_bytes()
    for at in range(30, len(crl), 5):
        path.write_bytes(crl[:at] + b"/" + crl[at + 1 :])
        assert len(read_revoked(str(path))) <= 1
    path.write_bytes(text.encode("ascii"))
    assert read_revoked(str(path)) == set()
