"""``install_bridge(sink=...)`` in programs that are no plain Python; a part of ``at_home.py``."""

from __future__ import annotations

from .at_home import zipapp


def test_a_zipapp_starts_its_receiver_out_of_itself(tmp_path):
    """Processes of one zipapp have one receiver, of the package in it, also after a kill."""
    assert zipapp(tmp_path, processes=3, kills=1) == ""
