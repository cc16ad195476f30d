"""Signals and limits are asked of the system that there is."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver import group_witness, sharing
from loguru_stdbridge.receiver.group_witness import GroupWitness
from loguru_stdbridge.system import limits, signals


def test_only_the_signals_of_this_system_have_numbers():
    """A name that the system does not know is left out."""
    found = signals.signal_numbers([*signals.STOP_SIGNALS, "SIGNOTHING"])
    assert found["SIGTERM"] == signal.SIGTERM
    assert "SIGNOTHING" not in found
    assert ("SIGBREAK" in found) == (os.name == "nt")


def test_where_each_signal_reaches_everybody_none_is_handed_on(monkeypatch):
    """Without signals that wait, the command has got each one by itself, or none has."""
    monkeypatch.setattr(group_witness, "CAN_WAIT_FOR_SIGNALS", False)
    for reach in (True, False):
        monkeypatch.setattr(group_witness, "REACH_EVERYBODY", reach)
        witness = GroupWitness()
        assert witness.has_seen(signal.SIGINT) == reach
        witness.close()


def test_a_system_without_a_limit_of_files_has_none(monkeypatch):
    """No limit, and no way to ask for one, are the same; else it is the system's number."""
    monkeypatch.setattr(limits, "_resource", None)
    assert limits.socket_limit() is None
    there = SimpleNamespace(RLIMIT_NOFILE=7, RLIM_INFINITY=-1, getrlimit=lambda kind: (-1, -1))
    monkeypatch.setattr(limits, "_resource", there)
    assert limits.socket_limit() is None
    there.getrlimit = lambda kind: (1024, 4096)
    assert limits.socket_limit() == 1024


def test_a_system_without_groups_refuses_them(monkeypatch):
    """A group that nobody could check is refused, and the message says what to do."""
    monkeypatch.setattr(sharing, "HAS_USERS", False)
    with pytest.raises(ConfigurationError, match="leave it out"):
        sharing.group_id("spool_group", 5)
    assert sharing.group_id("spool_group", None) is None
