"""Make certificate authorities, certificates and revocation lists for tests, with trustme."""

from __future__ import annotations

import datetime
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization


class Authority:
    """A certificate authority whose files are in a directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._ca = trustme.CA(organization_name=name)
        self.ca = str(directory / f"{name}.pem")
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(
        self, *hosts: str, name: str = "", expired: bool = False, file: str | None = None
    ) -> str:
        """Issue a certificate; return the path of the file that has it and its key."""
        past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
        more = {"not_before": past - datetime.timedelta(days=1), "not_after": past}
        made = self._ca.issue_cert(
            *(hosts or ("localhost", "127.0.0.1", "::1")),
            common_name=name or None,
            **(more if expired else {}),
        )
        path = self.directory / f"{file or name or 'server'}.pem"
        made.private_key_and_cert_chain_pem.write_to_path(str(path))
        return str(path)

    def revoke(self, *certificates: str) -> str:
        """Return the path of a list that revokes the certificates in these files."""
        key = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        own = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        now = datetime.datetime.now(datetime.timezone.utc)
        crl = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(own.subject)
            .last_update(now - datetime.timedelta(days=1))
            .next_update(now + datetime.timedelta(days=1))
        )
        for path in certificates:
            revoked = x509.load_pem_x509_certificate(Path(path).read_bytes())
            crl = crl.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(revoked.serial_number)
                .revocation_date(now - datetime.timedelta(hours=1))
                .build()
            )
        path = self.directory / "revoked.crl"
        signed = crl.sign(key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        return str(path)
