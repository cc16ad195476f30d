"""The secret of a spool directory, by which a receiver proves to a worker that they share it.

A receiver makes the secret: 32 random bytes in the file ``secret`` of its spool directory. A worker
with the same directory sends a random number, the *nonce*, and the receiver answers with the
HMAC-SHA256 of it. Owns the file, the answer, and the worker's note that a receiver at an address
has answered right before.

What the proof protects
-----------------------
While a receiver is away, another user may take its port and read what workers send there. On this
machine the system tells who listens (:mod:`system.peers`), and no proof is asked for. Where it does
not tell (a system without ``/proc/net/tcp``, a port in another container or on another machine), a
worker goes by what it has seen. Where a receiver has answered right once, each one has to, before
it is told a record or the sender's id. Nobody else can: the directory is its user's alone.

The answer is bound to the address of the connection, so another one cannot have it answered by the
true receiver at another port. Where addresses are translated on the way, no answer is right, and
nothing is noted.

What it does not protect
------------------------
The first connection to an address; a receiver with another spool directory; a worker that has begun
before there was a secret; and the records on their way, since whoever can change packets on a
network gets the records after the proof.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

from ..addresses import Address
from ..system.files import open_file
from ..system.host import HostFacts, host_facts
from ..system.own_file import freshen
from ..system.peers import can_tell_listeners
from .directory import note_path

SECRET_SIZE = 32
MAX_NONCE = 64
"""Characters of a nonce that a receiver answers."""

SECRET_NAME = "secret"
_FRESH = 24 * 3600.0  # seconds
_PURPOSE = b"loguru_stdbridge receiver 1"


def read_secret(spool_dir: str) -> bytes | None:
    """Return the secret of a spool directory; ``None`` where there is none."""
    with contextlib.suppress(OSError):
        with open(os.path.join(spool_dir, SECRET_NAME), "rb") as file:
            secret = file.read(SECRET_SIZE + 1)
        if len(secret) == SECRET_SIZE:
            return secret
    return None


def make_secret(spool_dir: str) -> bytes | None:
    """Return the secret, made now where there is none; ``None`` where it cannot be made.

    Of several receivers that make it at once, one is first, and the others take that one's.
    """
    path = os.path.join(spool_dir, SECRET_NAME)
    secret = read_secret(spool_dir)
    if secret is not None:
        freshen(path, _FRESH)  # whatever removes old files goes by their times
        return secret
    temporary = f"{path}.{os.urandom(8).hex()}"
    with contextlib.suppress(OSError):
        descriptor = open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(descriptor, os.urandom(SECRET_SIZE))
        finally:
            os.close(descriptor)
        try:
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            os.unlink(temporary)
    return read_secret(spool_dir)


def answer_nonce(spool_dir: str | None, nonce: str, place: str) -> str:
    """Return a receiver's answer, as hex digits; "" where it has no secret.

    ``place`` is the address at which the client has reached it.
    """
    secret = None if spool_dir is None else make_secret(spool_dir)
    if secret is None:
        return ""
    import hmac  # only where it is asked for: the receiver's loop may import

    return hmac.new(secret, _message(nonce, place), "sha256").hexdigest()


def _message(nonce: str, place: str) -> bytes:
    return b"\0".join(
        [_PURPOSE, nonce.encode("utf-8", "replace"), place.encode("utf-8", "replace")]
    )


def prepare_to_prove(spool_dir: str | None, address: Address) -> None:
    """Import what a worker needs, where it may ask for a proof: no thread of ours imports anything.

    That is where there is a secret, and the system does not tell who listens at the address.
    """
    told = address.scheme != "tcp" or (address.is_local and can_tell_listeners())
    if not told and spool_dir is not None and read_secret(spool_dir) is not None:
        import hmac  # noqa: F401


class ReceiverProof:
    """A worker's side of it, for one spool directory and one address."""

    def __init__(self, spool_dir: str, address: Address, hmac: Any) -> None:
        """Use :meth:`of`."""
        self._hmac = hmac
        self._spool_dir = spool_dir
        self._address = address
        self.note = f"{note_path(spool_dir, address)}.proved"
        """The file that notes that a receiver at the address has the secret."""

    @classmethod
    def of(cls, spool_dir: str | None, address: Address) -> ReceiverProof | None:
        """Return the worker's side; ``None`` where :func:`prepare_to_prove` has not prepared it."""
        hmac = sys.modules.get("hmac")
        if spool_dir is None or address.scheme != "tcp" or hmac is None:
            return None
        return cls(spool_dir, address, hmac)

    def is_required(self) -> bool:
        """Return whether a receiver at the address has answered right before."""
        if read_secret(self._spool_dir) is None:  # who may remove it may read the journals, too
            return False
        with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
            with open(self.note, encoding="utf-8") as file:
                host = HostFacts(*map(str, json.loads(file.read(4096))))
            return not self._address.is_local or host_facts().is_same_host(host)
        return False

    def new_nonce(self) -> str:
        """Return a number that nobody has seen before."""
        return os.urandom(MAX_NONCE // 2).hex()

    def is_right(self, nonce: str, place: str, answer: str) -> bool:
        """Return whether ``answer`` is that of a receiver that has the secret."""
        secret = read_secret(self._spool_dir)
        if secret is None:
            return False
        expected = self._hmac.new(secret, _message(nonce, place), "sha256").hexdigest()
        return bool(self._hmac.compare_digest(expected.encode(), answer.encode("utf-8", "replace")))

    def require(self) -> None:
        """Note that a receiver at the address has the secret. A failure is ignored."""
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self.note), 0o700, exist_ok=True)
            with open(self.note, "w", encoding="utf-8") as file:
                file.write(json.dumps(list(host_facts())))
