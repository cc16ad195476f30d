"""A disk that shuts down under four workers ends none of them, and loses nothing that is not told."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount a disk")
@pytest.mark.parametrize("scene", ["live on", "killed"])
def test_a_disk_that_shuts_down(chance, scene):
    """A spool on an ext4 that shuts down holds what was accepted, and each other record is told.

    ``python -m tests.support.real_disks`` plays it with other file systems and other faults.
    """
    arguments = ["--kinds", "ext4", "--faults", "shut down", "--scenes", scene, "--rounds", "1"]
    seed = str(chance.randrange(10**6))
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.real_disks", *arguments, "--seed", seed],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = done.stdout.splitlines()[-1].partition("1: ")[2]
    if told.startswith("not played"):
        pytest.skip(told)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "written" in told
