"""Everything is killed and the same command line started again: every record finds its log."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.support import restarts


@pytest.fixture
def place():
    """A directory with a short name: a Unix socket is in it, and the name of one is limited."""
    directory = Path(tempfile.mkdtemp(prefix="lsb"))
    yield directory
    shutil.rmtree(directory)


@pytest.mark.parametrize("kind", restarts.KINDS)
def test_the_same_command_line_loses_and_doubles_nothing(place, chance, scale, kind):
    """Receiver, command and workers are killed at random; no journal is left at the end."""
    wrong = restarts.restarts(place, chance, scale(2, 60), kind, standby=kind == "log")
    assert not wrong, wrong


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None,
    reason="only root can make network namespaces, with the tools ip and unshare",
)
@pytest.mark.parametrize("kind", ["log", "tcp"])
def test_containers_that_share_a_spool_never_mix_their_logs(place, chance, scale, kind):
    """Two containers with the same port are killed at random; each record is in its own log."""
    wrong = restarts.containers(place, chance, scale(1, 25), kind)
    assert not wrong, wrong
