"""A port on loopback that lets in only those who know its token, and shows that it knows it too.

Takes the part of a Unix socket that is its user's alone, where a system has none. The receiver
writes port and token into a file that only its user may read (:mod:`system.runtime`). Any user of
the machine can connect to the port, and can listen there once the receiver has gone.

Why both sides are sure
-----------------------
* The worker sends a random number and its HMAC-SHA256 by the token. Who does not know the token
  cannot make that, so the receiver ends the connection and has read nothing else of it.
* The receiver answers with another HMAC of the same number. Who has taken the port of a receiver
  that was killed cannot make that, so the worker ends the connection and has sent nothing else.
* Each receiver makes a token of its own, and a port has one listener
  (:func:`.listening.claim_port`). So what somebody was sent at the port of a receiver that has gone
  is good for no other.
"""

from __future__ import annotations

import hmac
import os
import socket
from typing import Any

from .runtime import Entrance

TOKEN_SIZE = 32
_NONCE_SIZE = _PROOF_SIZE = 32
_HELLO_SIZE = _NONCE_SIZE + _PROOF_SIZE
_WORKER, _RECEIVER = b"loguru_stdbridge worker", b"loguru_stdbridge receiver"


def _proof(token: bytes, side: bytes, nonce: bytes) -> bytes:
    return hmac.new(token, side + nonce, "sha256").digest()


class GuardedSocket:
    """A client of the receiver's: a socket that gives nothing until the proof has come."""

    def __init__(self, client: socket.socket, token: bytes) -> None:
        self._socket = client
        self._token = token
        self._hello = b""
        self._is_admitted = False

    def recv(self, size: int) -> bytes:
        """Receive as a socket that does not block; ``b""`` where the proof is wrong."""
        if self._is_admitted:
            return self._socket.recv(size)
        data = self._socket.recv(_HELLO_SIZE - len(self._hello))
        if not data:
            return b""
        self._hello += data
        if len(self._hello) == _HELLO_SIZE:
            nonce, proof = self._hello[:_NONCE_SIZE], self._hello[_NONCE_SIZE:]
            if not hmac.compare_digest(proof, _proof(self._token, _WORKER, nonce)):
                return b""
            self._socket.send(_proof(self._token, _RECEIVER, nonce))  # it has room for 32 bytes
            self._is_admitted = True
        raise BlockingIOError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


class EntranceProof:
    """The worker's side of the proof, on one connection."""

    def __init__(self, entrance: Entrance) -> None:
        self._token = entrance.token
        self._nonce = b""
        self._answer = b""

    def go_on(self, connection: socket.socket) -> bool:
        """Do what can be done without waiting; return whether the proof is over.

        Raises ``OSError`` where the other side has ended the connection, and ``PermissionError``
        where it is not the receiver.
        """
        if not self._nonce:
            self._nonce = os.urandom(_NONCE_SIZE)
            connection.send(self._nonce + _proof(self._token, _WORKER, self._nonce))
            return False
        try:
            data = connection.recv(_PROOF_SIZE - len(self._answer))
        except BlockingIOError:
            return False
        if not data:
            raise ConnectionResetError("the log's receiver has ended the connection")
        self._answer += data
        if len(self._answer) < _PROOF_SIZE:
            return False
        if not hmac.compare_digest(self._answer, _proof(self._token, _RECEIVER, self._nonce)):
            raise PermissionError("another program has taken the port of the log's receiver")
        return True
