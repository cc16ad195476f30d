"""Reads one HTTP request with the stdlib's ``http.server``, and says who may ask. No sockets here.

Why a page of another site learns nothing
-----------------------------------------
A browser on this machine reaches loopback for any page that it shows. Such a page may not read an
answer of another origin, unless the server allows it (CORS, which is never sent). It could claim
our origin by a name of its own that it lets point here (DNS rebinding). So ``Host`` has to be an IP
address, ``localhost`` or a name that the operator has declared. A request that the browser itself
marks as another site's is refused. Nothing is changed by any request of a browser: it may only GET
and HEAD. A POST is taken at the log's own socket alone, which no browser reaches.

Who may ask
-----------
At a Unix socket, whoever its mode lets connect. At a loopback port, processes of the receiver's own
user and of root, as far as the system tells whose a connection is. At any address, whoever has the
token, where there is one; beyond loopback there has to be one.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote

MAX_HEAD = 16 * 1024
"""Bytes of a request's head; browsers send one or two thousand."""

MAX_FIELDS = 20
"""Fields of a query that are read."""

ORDER_PATH = "/level"
"""The one path that takes a POST."""

REALM = "loguru_stdbridge"

_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Connection": "close",
}


class Request(NamedTuple):
    """A request that may be answered."""

    path: str
    """Decoded, without the query."""

    query: Mapping[str, str]
    headers: Mapping[str, str]
    is_head: bool
    is_order: bool = False
    """Whether it changes something: a POST, without a body."""


class Refused(Exception):
    """A request that is answered with an error: its bytes are :attr:`answer`."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


class _Reader(BaseHTTPRequestHandler):
    """Has the stdlib read a request from memory."""

    protocol_version = "HTTP/1.1"

    def __init__(self, data: bytes) -> None:  # its own would read a socket
        self.rfile = BytesIO(data)
        self.wfile = self.answer = BytesIO()
        self.client_address = ("", 0)
        self.raw_requestline = self.rfile.readline(65537)
        self.close_connection = True
        self.is_read = self.parse_request()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.wfile.write(make_error(code, message or ""))

    def send_response_only(self, code: int, message: str | None = None) -> None:
        """Send no ``100 Continue``: no request has a body that is read."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: an operator's stderr is no access log."""


def is_whole(data: bytes) -> bool:
    """Return whether the head of a request is there, whole."""
    return b"\r\n\r\n" in data or b"\n\n" in data


def read_request(data: bytes) -> Request:
    """Read the head of a request. Raises :class:`Refused` for what is none, or another method."""
    try:
        reader = _Reader(data)
    except Exception as error:  # the stdlib's parser is not ours, and met something odd
        raise Refused(make_error(HTTPStatus.BAD_REQUEST)) from error
    if not reader.is_read:
        raise Refused(reader.answer.getvalue() or make_error(HTTPStatus.BAD_REQUEST))
    target, _, query = reader.path.partition("?")
    is_order = (reader.command, target) == ("POST", ORDER_PATH)
    if not is_order and reader.command not in ("GET", "HEAD"):
        raise Refused(_NOT_ALLOWED)
    if not target.startswith("/"):
        raise Refused(make_error(HTTPStatus.BAD_REQUEST))
    try:
        fields = dict(parse_qsl(query, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise Refused(make_error(HTTPStatus.BAD_REQUEST)) from error
    headers = {name.lower(): value for name, value in reader.headers.items()}
    return Request(unquote(target), fields, headers, reader.command == "HEAD", is_order)


class Gate:
    """Says who may ask at one address."""

    def __init__(
        self,
        *,
        is_unix: bool = False,
        token: str = "",
        names: Iterable[str] = (),
        takes_orders: bool = False,
    ) -> None:
        """``names`` are those by which the listener may be called, besides its addresses.

        ``takes_orders``: the visitor is this user's or root's, at the log's own socket.
        """
        self._takes_orders = takes_orders
        self._is_unix = is_unix
        self._token = token.encode()
        self._names = frozenset(name.lower() for name in names)

    def check(self, request: Request, *, is_trusted: bool) -> None:
        """Raise :class:`Refused` unless the request may be answered.

        ``is_trusted``: it comes from a process of the receiver's own user or of root, or nobody
        can tell.
        """
        headers = request.headers
        if request.is_order and not self._takes_orders:
            raise Refused(_NOT_ALLOWED)
        if not self._is_unix and not self._is_known(headers.get("host", "")):
            raise Refused(
                make_error(
                    HTTPStatus.MISDIRECTED_REQUEST,
                    "call this listener by its IP address, by localhost, or by a name that "
                    "--status-host declares",
                )
            )
        if headers.get("sec-fetch-site") == "cross-site":
            raise Refused(make_error(HTTPStatus.FORBIDDEN, "a request of another site"))
        if self._token and not self._has_token(headers.get("authorization", "")):
            raise Refused(
                make_answer(
                    HTTPStatus.UNAUTHORIZED,
                    b"the token of --status-token-file is needed: as a bearer token, or as the "
                    b"password of any user\n",
                    more={"WWW-Authenticate": f'Basic realm="{REALM}", charset="UTF-8"'},
                )
            )
        if not self._token and not is_trusted:
            raise Refused(
                make_error(HTTPStatus.FORBIDDEN, "another user's receiver answers its own user")
            )

    def _is_known(self, host: str) -> bool:
        name = host.rpartition(":")[0] if ":" in host and not host.endswith("]") else host
        name = name.strip("[]").lower()
        if name == "localhost" or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, authorization: str) -> bool:
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() == "bearer":
            shown = given.strip().encode("utf-8", "replace")
        elif scheme.lower() == "basic":
            try:
                shown = base64.b64decode(given, validate=True).partition(b":")[2]
            except (binascii.Error, ValueError):
                return False
        else:
            return False
        return hmac.compare_digest(shown, self._token)


def make_head(
    status: int, kind: str, length: int | None, more: Mapping[str, str] | None = None
) -> bytes:
    """Return the head of an answer; ``length`` ``None``: it ends with the connection."""
    headers = {"Content-Type": kind, **_SAFE_HEADERS, **(more or {})}
    if length is not None:
        headers["Content-Length"] = str(length)
    lines = [f"HTTP/1.1 {int(status)} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def make_answer(
    status: int,
    body: bytes,
    kind: str = "text/plain; charset=utf-8",
    more: Mapping[str, str] | None = None,
    *,
    is_head: bool = False,
) -> bytes:
    """Return a whole answer; to HEAD without the body."""
    return make_head(status, kind, len(body), more) + (b"" if is_head else body)


def make_error(status: int, text: str = "") -> bytes:
    """Return an answer that says what is wrong."""
    text = text or HTTPStatus(status).phrase
    return make_answer(status, f"{text}\n".encode("utf-8", "replace"))


_NOT_ALLOWED = make_answer(
    HTTPStatus.METHOD_NOT_ALLOWED, b"only GET and HEAD\n", more={"Allow": "GET, HEAD"}
)
