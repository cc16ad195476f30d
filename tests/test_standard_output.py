"""Standard output as the sink: each receiver has its own, and what was left is taken up."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

RECEIVER = [sys.executable, "-m", "loguru_stdbridge.receiver"]
SHORT = ["--format", "{message}"]

LOG = """
import os, signal, sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
bridge = install_bridge()
logger.info("from {}", sys.argv[1])
bridge.close(30)
"""


@pytest.mark.parametrize("name", ["/dev/stdout", "-", "/dev/fd/1"])
def test_each_receiver_has_its_own_standard_output(name):
    """Any number of receivers may run at once, and none leaves a file in ``/dev``."""
    before = set(os.listdir("/dev"))
    receivers = [
        subprocess.Popen(
            [*RECEIVER, name, *SHORT, "--", sys.executable, "-c", LOG, str(number % 2)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(3)
    ]
    for number, receiver in enumerate(receivers):
        out, err = receiver.communicate(timeout=120)
        assert receiver.returncode == 0, err.decode()
        assert out == b"from %d\n" % (number % 2)
    assert not set(os.listdir("/dev")) - before


LOG_AND_KILL = """
import os, pathlib, signal, sys
from loguru import logger
from loguru_stdbridge import install_bridge
mark = pathlib.Path(sys.argv[1])
logger.remove()
bridge = install_bridge()
if not mark.exists():
    mark.touch()
    for number in range(1000):
        logger.info("number {}", number)
    bridge.flush(30)
    os.kill(os.getppid(), signal.SIGKILL)
    for number in range(1000, 1500):
        logger.info("number {}", number)
    os._exit(0)
"""


def test_the_same_command_line_takes_up_what_was_left(tmp_path):
    """What a killed receiver has not written goes to the standard output of the next one."""
    command = [*RECEIVER, "-", *SHORT, "--", sys.executable, "-c", LOG_AND_KILL, tmp_path / "mark"]
    outputs = [
        subprocess.run(command, capture_output=True, timeout=120, check=False) for _ in range(3)
    ]
    assert [done.returncode for done in outputs] == [-9, 0, 0]
    numbers = [int(n) for done in outputs for n in re.findall(rb"number (\d+)\n", done.stdout)]
    assert numbers == list(range(1500))
    assert outputs[2].stdout == b""


def test_a_rotation_of_standard_output_is_refused():
    """A word that only a file can follow is bad configuration, told before anything starts."""
    done = subprocess.run(
        [*RECEIVER, "-", "--rotation", "1 MB", "--", "false"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 78
    assert b"rotation='1 MB': leave it out, standard output is a stream" in done.stderr
