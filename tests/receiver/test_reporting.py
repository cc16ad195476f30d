"""What the operator is told of refused input: each kind once, and no flood."""

from __future__ import annotations

import pytest

from loguru_stdbridge.receiver import reporting
from loguru_stdbridge.receiver.reporting import (
    MAX_REPORTS,
    REPORT_INTERVAL,
    RateLimitedReporter,
    flush_stderr,
    to_stderr,
)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told():
    """What the operator was told."""
    return []


@pytest.fixture
def reporter(told, clock):
    return RateLimitedReporter(told.append, clock)


def test_the_reporter_tells_of_a_host_and_kind_once_in_an_interval(reporter, told, clock):
    """The reporter ignores the port, and later says how many refusals it left out."""
    for port in range(1000):
        reporter.report_refusal(f"127.0.0.1:{port}", "truncated", "cut")
    assert told == ["refused from 127.0.0.1:0: cut"]
    clock.now = REPORT_INTERVAL
    reporter.report_refusal("127.0.0.1:5", "truncated", "cut")
    assert told[1:] == [
        "refused from 127.0.0.1:5: cut (999 more of this kind since the last message)"
    ]
    assert reporter.refusals == 1001


def test_the_reporter_tells_of_each_other_host_and_kind(reporter, told):
    """The reporter tells IPv6 hosts apart, and the processes behind a Unix socket."""
    for peer in ("127.0.0.1:1", "127.0.0.2:1", "::1:1", "fe80::2:1", "process 5", "process 6"):
        for kind in ("opcode", "truncated"):
            reporter.report_refusal(peer, kind, "x")
    assert len(told) == len(set(told)) + 6 == 12


def test_the_reporter_bounds_its_messages_whoever_they_are_about(reporter, told, clock):
    """The reporter tells of a hundred hosts in an interval, and then how many more there were."""
    for host in range(10 * MAX_REPORTS):
        reporter.report_refusal(f"10.0.{host // 250}.{host % 250}:1", "opcode", "x")
    assert len(told) == MAX_REPORTS
    clock.now = REPORT_INTERVAL
    reporter.report_refusal("10.1.0.0:1", "opcode", "x")
    assert f"{9 * MAX_REPORTS} of other clients" in told[-1]


def test_the_table_of_the_reporter_does_not_grow(reporter, monkeypatch):
    """Kinds and hosts that a peer makes up push out the oldest ones."""
    monkeypatch.setattr(reporting, "MAX_KINDS", 10)
    for number in range(1000):
        reporter.report_refusal(f"host{number}:1", "x", "y")
    assert len(reporter._last_reports) == 10


def test_the_reporter_cuts_a_long_detail(reporter, told):
    """A name of a megabyte takes no megabyte of stderr."""
    reporter.report_refusal("h:1", "x", "y" * 1_000_000)
    assert len(told[0]) < 400


def test_a_message_names_the_receiver(capfd):
    """A message on stderr says which program speaks."""
    to_stderr("hello")
    assert flush_stderr(30)
    assert capfd.readouterr().err == "loguru_stdbridge.receiver: hello\n"
