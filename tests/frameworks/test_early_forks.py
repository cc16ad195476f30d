"""Forks right after the first log call, a part of ``early_forks.py`` for the suite."""

from __future__ import annotations

import pytest

from .early_forks import ADDRESSES, run


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_child_forked_during_the_first_connection_delivers_while_it_lives(
    tmp_path, scale, address
):
    """A child that Python forks within 4 ms of its parent's first record delivers its own."""
    found = run(tmp_path, address, "python", scale(15, 300))
    assert (found["status"], found["undelivered"], found["missing"], found["more"]) == (
        0,
        [],
        [],
        0,
    )
