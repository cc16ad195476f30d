"""``install_bridge(sink=...)`` in programs that are no plain Python; a part of ``at_home.py``."""

from __future__ import annotations

import os

import pytest

from .at_home import readonly, zipapp


def test_a_zipapp_starts_its_receiver_out_of_itself(tmp_path):
    """Processes of one zipapp have one receiver, of the package in it, also after a kill."""
    assert zipapp(tmp_path, processes=3, kills=1) == ""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may make a file system read-only")
def test_the_log_s_own_directory_is_enough(tmp_path):
    """Where nothing else can be written, socket and journals are in a directory beside the log."""
    assert readonly(tmp_path) == ""
