"""Forks that run no hook of Python's, as C servers fork: each child logs on its own.

The forks come while no other thread wants the interpreter's lock. Beside a thread that waits for it,
CPython itself leaves some children waiting for ever at their next instruction, with this package or
without: a child still counts that thread as waiting. So uWSGI's master gets no thread of ours.
"""

from __future__ import annotations

import json

import pytest

from tests.support.processes import Account, ReceiverProcess, run_python

FORKING = """
import ctypes, json, logging, os, sys, threading
from loguru import logger
from loguru_stdbridge import install_bridge

address, when, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
logger.remove()
bridge = install_bridge(address)
fork = ctypes.PyDLL(None).fork
stdlib = logging.getLogger("std")

def log(name, count):
    for number in range(count):
        if number % 2:
            stdlib.warning("worker %s number %d end", name, number)
        else:
            logger.info("worker {} number {} end", name, number)

def is_written():
    # All is written, and the sender sleeps: see the text of the module.
    if not bridge.flush(60):
        return False
    pipeline = bridge._channel._pipeline
    while pipeline is not None and not pipeline.journal.sender_waiting:
        threading.Event().wait(0.001)
    return True

def child(number):
    log(f"c{number}", 20)
    if not is_written() or bridge.stats().accepted != 20:
        return 1
    if number % 3 == 0:  # a child of a child
        pid = fork()
        if pid == 0:
            log(f"g{number}", 10)
            os._exit(0 if bridge.flush(60) and bridge.stats().accepted == 10 else 1)
        if os.waitpid(pid, 0)[1]:
            return 2
    return 0

logged = {}
if when != "before the first record":
    log("parent", 10)
    assert is_written()
pids = []
for number in range(count):
    pid = fork()
    if pid == 0:
        os._exit(child(number))
    pids.append(pid)
statuses = [os.waitpid(pid, 0)[1] for pid in pids]
assert not any(statuses), statuses
log("last", 10)
assert bridge.flush(60)
logged = {"last": 10, **{f"c{n}": 20 for n in range(count)}}
logged.update({f"g{n}": 10 for n in range(0, count, 3)})
if when != "before the first record":
    logged["parent"] = 10
print(json.dumps(logged))
os._exit(0)
"""


@pytest.mark.parametrize("when", ["before the first record", "connected"])
def test_children_of_a_plain_fork_deliver_while_they_live(tmp_path, when):
    """Each child has its own journal, thread and connection, and the parent goes on."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        status, out, err = run_python(FORKING, receiver.address, when, "6")
        assert status == 0, err[-3000:]
        assert receiver.stop() == 0
        assert "refused from" not in receiver.stderr.read_text()
    Account(tmp_path / "app.log").check(json.loads(out))
