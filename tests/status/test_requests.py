"""A request is read by the stdlib's parser, and answered only to whom it may be."""

from __future__ import annotations

import base64

import pytest

from loguru_stdbridge.exceptions import AddressError, ConfigurationError
from loguru_stdbridge.status.options import read_status_options
from loguru_stdbridge.status.requests import Gate, Refused, is_whole, read_request

TOKEN = "0123456789abcdef"


def ask(*headers, path="/metrics", method="GET"):
    lines = [f"{method} {path} HTTP/1.1", *(headers or ("Host: 127.0.0.1:9021",))]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def status_of(refused):
    return int(refused.value.answer.split(b" ", 2)[1])


def test_a_request_is_read():
    """A request's path is decoded, its query and headers are read."""
    data = ask("Host: localhost", "X-Other: 1", path="/files/a%20b.log?level=error&text=x+y")
    assert is_whole(data)
    assert not is_whole(data[:-2])
    request = read_request(data)
    assert request.path == "/files/a b.log"
    assert request.query == {"level": "error", "text": "x y"}
    assert request.headers["x-other"] == "1"
    assert not request.is_head
    assert read_request(ask(method="HEAD")).is_head


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (ask(method="POST"), 405),
        (ask(path="/levels", method="POST"), 405),
        (ask(method="OPTIONS"), 405),
        (ask(path="http://elsewhere/"), 400),
        (ask(path="/?" + "&".join(f"a{n}=1" for n in range(100))), 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 505),
        (b"\r\n\r\n", 400),
        (b"\xff\xfe\x00 / HTTP/1.1\r\n\r\n", 405),
        (ask(*[f"X-{n}: 1" for n in range(200)]), 431),
    ],
)
def test_what_is_no_request_is_refused(data, status):
    """What is no GET or HEAD request is answered with an error that says so."""
    with pytest.raises(Refused) as refused:
        read_request(data)
    assert status_of(refused) == status
    assert b"Connection: close" in refused.value.answer


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9021", "[::1]:9021", "localhost", "10.0.0.7", "logs.example:9021"]
)
def test_a_known_host_is_answered(host):
    """A listener answers to IP addresses, to ``localhost`` and to names that are declared."""
    Gate(names=["Logs.example"]).check(read_request(ask(f"Host: {host}")), is_trusted=True)


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9021", ""]
)
def test_a_foreign_host_is_refused(host):
    """A listener refuses a name that somebody else may have pointed at it (DNS rebinding)."""
    with pytest.raises(Refused) as refused:
        Gate().check(read_request(ask(f"Host: {host}")), is_trusted=True)
    assert status_of(refused) == 421
    Gate(is_unix=True).check(read_request(ask(f"Host: {host}")), is_trusted=True)


def test_another_site_is_refused():
    """A listener refuses a request that the browser marks as another site's."""
    with pytest.raises(Refused) as refused:
        Gate().check(
            read_request(ask("Host: localhost", "Sec-Fetch-Site: cross-site")), is_trusted=True
        )
    assert status_of(refused) == 403


def test_another_user_is_refused_without_a_token():
    """A listener without a token answers its own user and root alone."""
    with pytest.raises(Refused) as refused:
        Gate().check(read_request(ask()), is_trusted=False)
    assert status_of(refused) == 403


def test_a_token_opens_the_gate_and_nothing_else_does():
    """A listener with a token answers whoever has it, and nobody else."""
    gate = Gate(token=TOKEN)
    basic = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {basic}"):
        request = read_request(ask("Host: 10.0.0.1", f"Authorization: {given}"))
        gate.check(request, is_trusted=False)
    wrong = base64.b64encode(b"anybody:other").decode()
    for given in (
        "",
        f"Bearer {TOKEN}x",
        f"Basic {wrong}",
        "Basic ???",
        f"Digest {TOKEN}",
        "Bearer \xff",
    ):
        request = read_request(ask("Host: 10.0.0.1", f"Authorization: {given}"))
        with pytest.raises(Refused) as refused:
            gate.check(request, is_trusted=True)
        assert status_of(refused) == 401
        assert b"WWW-Authenticate: Basic" in refused.value.answer


def test_beyond_loopback_a_token_is_needed(tmp_path):
    """An address that other machines reach is refused without a token, and so is an open token."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    for address in ("tcp://0.0.0.0:9021", "tcp://[::]:9021", "tcp://logs.example:9021"):
        with pytest.raises(ConfigurationError, match="--status-token-file"):
            read_status_options(address)
        assert read_status_options(address, file).token == TOKEN
    for address in ("tcp://127.0.0.1:0", "tcp://[::1]:0", "tcp://localhost:0", "unix:///run/x"):
        assert read_status_options([address]).token == ""
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_status_options("tcp://0.0.0.0:9021", file)
    file.chmod(0o600)
    file.write_text("short")
    with pytest.raises(ConfigurationError, match="at least 16"):
        read_status_options("tcp://0.0.0.0:9021", file)
    with pytest.raises(ConfigurationError, match="No such file"):
        read_status_options("tcp://0.0.0.0:9021", tmp_path / "none")


def test_options_that_mean_nothing_are_refused():
    """A host or a token without an address is refused, and so is the log's own socket."""
    assert read_status_options(None) is None
    with pytest.raises(ConfigurationError, match="--status"):
        read_status_options(None, hosts=["logs.example"])
    with pytest.raises(ConfigurationError, match="log's own socket"):
        read_status_options("log:///var/log/app.log")
    with pytest.raises(AddressError):
        read_status_options("udp://127.0.0.1")


def test_an_order_is_taken_at_the_log_s_own_socket_alone():
    """A POST is refused by every gate but the one of the log's own socket."""
    order = read_request(ask("Host: localhost", path="/level?logger=a", method="POST"))
    assert order.is_order
    for gate in (Gate(), Gate(is_unix=True), Gate(is_unix=True, token="secret" * 4)):
        with pytest.raises(Refused) as refused:
            gate.check(order, is_trusted=True)
        assert status_of(refused) == 405
    Gate(is_unix=True, takes_orders=True).check(order, is_trusted=True)
