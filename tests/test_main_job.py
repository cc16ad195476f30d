"""The main job: many workers write one rotated, compressed file, and each record is in it once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.processes import Account, ReceiverProcess, log_files, start_python

WORKER = """
import logging, sys
from loguru import logger
from loguru_stdbridge import install_bridge

name, count, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]
logger.remove()
bridge = install_bridge(address, level="DEBUG")
stdlib = logging.getLogger("std")
for number in range(count):
    if number % 2:
        stdlib.info("worker %s number %d end", name, number)
    else:
        logger.info("worker {} number {} end", name, number)
if "hang" not in sys.argv:
    assert bridge.close(60)
"""


def test_four_workers_at_full_speed_into_a_rotating_sink(tmp_path, scale):
    """Four workers get 20,000 records each into one rotated file, each once and in order."""
    for run in range(scale(2, 5)):
        sink = tmp_path / f"logs-{run}" / "app.log"
        options = ("--rotation", "1 MB", "--compression", "gz", "--format", "{message}")
        with ReceiverProcess(sink, *options) as receiver:
            workers = [start_python(WORKER, name, "20000", receiver.address) for name in "abcd"]
            for worker in workers:
                _, err = worker.communicate(timeout=120)
                assert worker.returncode == 0, err.decode()
            assert receiver.stop() == 0
        Account(sink).check(dict.fromkeys("abcd", 20_000))
        assert len(log_files(sink)) > 2
        assert all(path.suffix == ".gz" for path in log_files(sink)[:-1])


def test_the_demo_alone_compares(tmp_path):
    """The demo alone compares both set-ups and shows nothing lost with the bridge."""
    status, out, err = _run_demo(tmp_path, "--records", "2000", "--workers", "2")
    assert status == 0, err
    row = re.search(r"^loguru_stdbridge +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)", out, re.M)
    assert row and row.groups() == ("4000", "4000", "0", "0", "0")
    assert "a sink per process" in out


def _run_demo(directory: Path, *options: str):
    done = subprocess.run(
        [sys.executable, "-m", "loguru_stdbridge.demo", *options],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=directory,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
