"""The address of an engine's stream, and the settings of a stream, as texts."""

from __future__ import annotations

import pytest

from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.engine.address import (
    make_token,
    parse_engine_address,
    read_stream_settings,
)
from loguru_stdbridge.exceptions import AddressError, ConfigurationError


def test_an_address_has_its_parts():
    """An engine's address names servers, a stream, a login and what stands behind the ``?``."""
    address = parse_engine_address(
        "nats://shop:p%40ss@a.example,[::1]:4333/logs?subject=logs.web.*&creds=/c&outage=2d"
    )
    assert address.servers == (("a.example", 4222), ("::1", 4333))
    assert (address.stream, address.user, address.password) == ("logs", "shop", "p@ss")
    assert (address.subject, address.creds, address.outage) == ("logs.web.*", "/c", 172800)


def test_the_login_is_never_shown():
    """Neither the text of an address nor an error about it shows the password."""
    assert str(parse_engine_address("nats://u:secret@h/logs")) == "nats://h:4222/logs"
    with pytest.raises(AddressError) as caught:
        parse_engine_address("nats://u:secret@h/")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("nats://h", "names no stream"),
        ("nats://h/a.b", "names no stream"),
        ("nats:///logs", "no host:port"),
        ("nats://h:x/logs", "no host:port"),
        ("nats://h/logs?size=3", "size="),
        ("nats://h/logs?outage=soon", "no duration"),
        ("nats://h/logs?subject=a..b", "tokens"),
    ],
)
def test_an_address_that_cannot_be_read_says_why(text, what):
    """What is wrong with an engine's address stands in the error."""
    with pytest.raises(AddressError, match=what):
        parse_engine_address(text)


def test_a_worker_is_told_that_the_address_is_for_a_receiver():
    """An engine's address where a program's is expected is refused with the way out."""
    with pytest.raises(AddressError, match="an address for a receiver"):
        parse_address("nats://h/logs")


def test_a_name_becomes_one_token_of_a_subject():
    """Whatever a program is called, its name is one token."""
    assert make_token("my app.v2 > x*") == "my_app_v2___x_"
    assert make_token("") == "unknown"


def test_settings_of_a_stream_are_read():
    """The settings of a missing stream are those of the text, and file storage with limits."""
    settings = read_stream_settings("replicas=3, max_age=7d,max-bytes=1.5GB")
    assert settings["num_replicas"] == 3
    assert settings["max_age"] == 7 * 86400 * 10**9
    assert settings["max_bytes"] == 1_500_000_000
    assert (settings["storage"], settings["retention"]) == ("file", "limits")


@pytest.mark.parametrize("text", ["replicas", "replicas=0", "colour=red", "storage=tape"])
def test_settings_that_cannot_be_used_are_refused(text):
    """A setting that is none is refused with the form of all of them."""
    with pytest.raises(ConfigurationError, match="such as replicas=3"):
        read_stream_settings(text)
