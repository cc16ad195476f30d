"""Under gevent's monkey-patching the sender is a greenlet: nothing deadlocks, and all arrives."""

from __future__ import annotations

import json

import pytest

from tests.support.processes import Account, ReceiverProcess, run_python

pytest.importorskip("gevent")

PRELUDE = """
import json, os, sys
address, when = sys.argv[1:3]
if when == "late":  # as under Gunicorn, whose configuration is read before its worker patches
    from loguru import logger
    from loguru_stdbridge import install_bridge
    logger.remove()
    install_bridge(address, level="INFO")
    pid = os.fork()
    if pid:
        sys.exit(os.waitpid(pid, 0)[1] >> 8)
from gevent import monkey
monkey.patch_all()
import gevent, logging
from loguru import logger
from loguru_stdbridge import install_bridge
if when == "early":
    logger.remove()
bridge = install_bridge(address, level="INFO")
stdlib = logging.getLogger("std")

def log(name, count, pause=None):
    for number in range(count):
        if number % 2:
            stdlib.info("worker %s number %d end", name, number)
        else:
            logger.info("worker {} number {} end", name, number)
        if pause is not None:
            gevent.sleep(pause)
"""

WORK = """
gevent.joinall([gevent.spawn(log, f"g{number}", 300, 0) for number in range(8)])
assert bridge.flush(60)
log("busy", 5000)  # never yields: the sender has no turn, and it is all in the journal
assert bridge.stats().pending
pid = os.fork()  # with records of the parent's pending, and its sender's greenlet in the child
if not pid:
    log("child", 100, 0.005)
    assert bridge.flush(60)
    assert bridge.stats().reconnects == 0 and bridge.stats().accepted == 100
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
log("last", 1000)
print(json.dumps({"busy": 5000, "child": 100, "last": 1000, **{f"g{n}": 300 for n in range(8)}}))
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_greenlets_that_log(tmp_path, when):
    """Greenlets lose nothing, patched before or after the bridge is imported, over a fork and at
    the end."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        status, out, err = run_python(PRELUDE + WORK, receiver.address, when)
        assert status == 0, err[-3000:]
        assert receiver.stop() == 0
        refused = receiver.stderr.read_text()
    assert "ogging error" not in err and "cannot deliver" not in err, err[-3000:]
    assert "refused from" not in refused
    Account(tmp_path / "app.log").check(json.loads(out))
