"""A disk that shuts down under four workers ends none of them, and loses nothing that is not told."""

from __future__ import annotations

import os

import pytest

from tests.support import real_disks


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a disk")
@pytest.mark.parametrize("scene", [real_disks.live_on, real_disks.killed])
def test_a_disk_that_shuts_down(chance, monkeypatch, spool_dir, scene):
    """A spool on an ext4 that shuts down holds what was accepted, and each other record is told.

    ``python -m tests.support.real_disks`` plays it with other file systems and other faults.
    """
    monkeypatch.setenv("LOGURU_STDBRIDGE_SPOOL_DIR", str(spool_dir))  # the scene sets it anew
    told = real_disks.play(scene, "ext4", "shut down", chance)
    if told.startswith("not played"):
        pytest.skip(told)
    assert not told.startswith("WRONG"), told
