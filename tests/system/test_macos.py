"""The package on a system that offers what macOS offers; the kernel under it is still Linux."""

from __future__ import annotations

import re
import sys

from tests.support.processes import Account, run_python

RECEIVER = """
import sys
from tests.support import like_macos
from loguru_stdbridge.receiver.cli import main
status = main(sys.argv[1:])
print("full syncs", like_macos.FULL_SYNCS[0])
sys.exit(status)
"""

WORKER = """
import os
from tests.support import like_macos
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
bridge = install_bridge()
for number in range(500):
    logger.info("worker a number {} end", number)
if os.fork() == 0:
    for number in range(500):
        logger.info("worker b number {} end", number)
    os._exit(0)
os.wait()
assert bridge.flush(30)
"""


def test_a_log_is_written_with_what_macos_offers(tmp_path):
    """Without what Linux alone has, a worker, its fork and a receiver lose and double nothing."""
    sink = tmp_path / "app.log"
    words = ["--rotation", "20 KB", "--compression", "gz", "--format", "{message}", "--fsync"]
    status, out, err = run_python(
        RECEIVER,
        str(sink),
        *words,
        "--listen",
        "tcp://127.0.0.1:0",
        "--",
        sys.executable,
        "-c",
        WORKER,
    )
    assert status == 0, err
    verdict = Account(sink).verdict({"a": 500, "b": 500})
    assert verdict.clean, verdict
    syncs = re.search(r"full syncs (\d+)", out)
    assert syncs is not None
    assert int(syncs[1]) > 0
