"""What the operator is told: once, in a minute's measure, and nothing that a terminal obeys."""

from __future__ import annotations

import pytest

from loguru_stdbridge.receiver import complaints
from loguru_stdbridge.receiver.complaints import INTERVAL, MAX_TOLD, Complaints, to_stderr


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def told():
    """What was told, by a ``complaints`` whose clock is ``told.clock``."""

    class Told(list):
        clock = Clock()

    told = Told()
    told.complaints = Complaints(told.append, told.clock)
    return told


def test_the_same_host_and_kind_is_told_once_in_an_interval(told):
    """Whatever port it comes from; then with the number of those that were left out."""
    for port in range(1000):
        told.complaints.complain(f"127.0.0.1:{port}", "truncated", "cut")
    assert told == ["refused from 127.0.0.1:0: cut"]
    told.clock.now = INTERVAL
    told.complaints.complain("127.0.0.1:5", "truncated", "cut")
    assert told[1:] == [
        "refused from 127.0.0.1:5: cut (999 more of this kind since the last message)"
    ]
    assert told.complaints.total == 1001


def test_another_host_or_kind_is_told_beside_it(told):
    """IPv6 hosts and the processes behind a Unix socket are told apart, too."""
    for peer in ("127.0.0.1:1", "127.0.0.2:1", "::1:1", "fe80::2:1", "process 5", "process 6"):
        for kind in ("opcode", "truncated"):
            told.complaints.complain(peer, kind, "x")
    assert len(told) == len(set(told)) + 6 == 12


def test_hosts_without_number_are_not_told_without_end(told):
    """A hundred messages in an interval; the next one says how many there were beside them."""
    for host in range(10 * MAX_TOLD):
        told.complaints.complain(f"10.0.{host // 250}.{host % 250}:1", "opcode", "x")
    assert len(told) == MAX_TOLD
    told.clock.now = INTERVAL
    told.complaints.complain("10.1.0.0:1", "opcode", "x")
    assert f"{9 * MAX_TOLD} of other clients" in told[-1]


def test_the_table_does_not_grow(told, monkeypatch):
    """Kinds and hosts that a peer makes up push out the oldest."""
    monkeypatch.setattr(complaints, "MAX_KINDS", 10)
    for number in range(1000):
        told.complaints.complain(f"host{number}:1", "x", "y")
    assert len(told.complaints._told) == 10


def test_what_a_stranger_sent_does_not_reach_the_terminal_as_it_is(capfd):
    """Escape sequences, new lines, and what a terminal's encoding may lack are escaped."""
    to_stderr("\x1b[2J\n\r\x7f\x9b é 漢 \ud83d \\ 'quoted'")
    assert capfd.readouterr().err == (
        "loguru_stdbridge.receiver: \\x1b[2J\\x0a\\x0d\\x7f\\x9b \\xe9 \\u6f22 \\ud83d \\ 'quoted'\n"
    )


def test_a_long_detail_is_cut(told):
    """A name of a megabyte takes no megabyte of stderr."""
    told.complaints.complain("h:1", "x", "y" * 1_000_000)
    assert len(told[0]) < 400


def test_a_stderr_that_fails_is_no_error(monkeypatch):
    """The log itself must go on."""

    class Broken:
        def write(self, text):
            raise OSError("closed")

    monkeypatch.setattr("sys.stderr", Broken())
    to_stderr("lost")
    monkeypatch.setattr("sys.stderr", None)
    to_stderr("lost")
