"""Users and groups are told by number where the system has numbers."""

from __future__ import annotations

import os

from loguru_stdbridge.system import users


def test_own_users_are_this_one_and_root():
    """This user and root are trusted, so a receiver that root started is."""
    assert users.own_users() == {os.getuid(), 0}


def test_names_are_looked_up_and_unknown_ones_are_nobody():
    """A user and a group are found by name, and what the system does not know is ``None``."""
    assert users.find_user("root") == 0
    assert users.find_group("no such group") is None
    assert users.find_user(1.5) is None


def test_a_system_without_users_keeps_state_where_it_says(monkeypatch):
    """Without users by number, the state of programs lies in the user's own application data."""
    monkeypatch.setattr(users, "HAS_USERS", False)
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("LOCALAPPDATA", "/data/local")
    assert list(users.state_places())[1] == "/data/local"
    assert len(users.temporary_places()) == 1
