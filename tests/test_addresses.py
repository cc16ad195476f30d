"""Addresses: what is read, what is refused and with which words, whose journals are whose."""

import copy
import os
import pickle

import pytest

from loguru_stdbridge.addresses import Address, default_address, log_address, parse_address
from loguru_stdbridge.exceptions import AddressError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("tcp://127.0.0.1:9020", Address("tcp", host="127.0.0.1", port=9020)),
        ("tcp://logs.example:1", Address("tcp", host="logs.example", port=1)),
        ("tcp://logs.example", Address("tcp", host="logs.example", port=9020)),
        ("localhost:80", Address("tcp", host="localhost", port=80)),
        ("tcp://[::1]:9020", Address("tcp", host="::1", port=9020)),
        ("tls://logs.example:1", Address("tls", host="logs.example", port=1)),
        ("tls://[::1]:80", Address("tls", host="::1", port=80)),
        ("unix:///run/log.sock", Address("unix", path="/run/log.sock")),
        ("log:///logs/app_{time}.log", Address("log", path="/logs/app_{time}.log")),
        (("localhost", 0), Address("tcp", host="localhost", port=0)),
    ],
)
def test_an_address_is_read(given, expected):
    """Every form of the documentation is read, and its text is read as the same address."""
    assert parse_address(given) == expected
    assert parse_address(str(parse_address(given))) == expected
    assert parse_address(expected) is expected


@pytest.mark.parametrize(
    "text",
    [
        "tcp://127.0.0.1:9020",
        "tcp://[::1]:80",
        "tls://logs.example:1",
        "unix:///run/log",
        "log:///logs/app.log",
    ],
)
def test_an_address_is_a_text_with_parts(text):
    """An address can stand wherever its text can, and goes to other processes with its parts."""
    address = parse_address(text)
    assert isinstance(address, str)
    assert address == text
    assert hash(address) == hash(text)
    for copied in (pickle.loads(pickle.dumps(address)), copy.deepcopy(address)):
        assert type(copied) is Address
        assert copied == address
        assert (copied.scheme, copied.host, copied.port, copied.path) == (
            address.scheme, address.host, address.port, address.path
        )  # fmt: skip
    assert text in repr(address)
    assert type(str(address)) is str


@pytest.mark.parametrize(
    "given",
    [
        "", "tcp://", "tcp://:9020", "tcp://host:port", "tcp://host:65536", "tcp://host:-1",
        "tcp://::1:9020", "unix://relative", "unix://", "log://app.log", "log://", "http://host:1", "tls://", "tls://host:x",
        ("host",), ("host", "port"), (1, 2), 9020, None, b"tcp://host:1",
    ],
)  # fmt: skip
def test_a_bad_address_is_refused_with_its_value(given):
    """The error shows what was given."""
    with pytest.raises(AddressError) as caught:
        parse_address(given)
    assert str(given) in str(caught.value) or repr(given) in str(caught.value)


def test_all_names_of_a_log_give_one_address(tmp_path):
    """A link to the file or to its directory, and a way around, name the same log."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "logs")
    (tmp_path / "app.log").symlink_to(tmp_path / "logs" / "app.log")
    expected = parse_address(f"log://{tmp_path}/logs/app.log")
    for name in ("link/app.log", "app.log", "logs/../link/./app.log"):
        assert parse_address(f"log://{tmp_path}/{name}") == expected
        assert log_address(tmp_path / name) == expected


def test_the_default_comes_from_the_environment(monkeypatch):
    """The variable names the receiver; without it, it is the stdlib's port on loopback."""
    monkeypatch.delenv("LOGURU_STDBRIDGE_ADDRESS", raising=False)
    assert str(default_address()) == "tcp://127.0.0.1:9020"
    monkeypatch.setenv("LOGURU_STDBRIDGE_ADDRESS", "unix:///run/log")
    assert str(default_address()) == "unix:///run/log"


@pytest.mark.parametrize(
    ("bound", "wanted", "serves"),
    [
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:1", True),
        ("tcp://127.0.0.1:1", "tcp://localhost:1", True),
        ("tcp://0.0.0.0:1", "tcp://127.0.0.1:1", True),
        ("tcp://127.0.0.1:1", "tcp://127.0.0.1:2", False),
        ("tcp://127.0.0.1:1", "tcp://logs.example:1", False),
        ("tcp://0.0.0.0:1", "tcp://logs.example:1", False),
        ("tcp://logs.example:1", "tcp://127.0.0.1:1", False),
        ("unix:///a/b", "unix:///a/./b", True),
        ("unix:///a/b", "unix:///a/c", False),
        ("unix:///a/b", "tcp://127.0.0.1:1", False),
    ],
)
def test_a_receiver_knows_the_addresses_that_mean_it(bound, wanted, serves):
    """A journal bound for another machine is never taken for one of this receiver's."""
    assert parse_address(bound).serves(parse_address(wanted)) is serves


def test_a_path_that_cannot_be_resolved_is_made_absolute(tmp_path, monkeypatch):
    """Where Windows cannot tell the real path of a file, a log is named by its absolute path."""

    def refuse(path):
        raise OSError(234, "more data is available", path)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "realpath", refuse)
    assert log_address("app.log").path == str(tmp_path / "app.log")
