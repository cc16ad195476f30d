"""A signal handler that raises in the middle of log calls: what was accepted is written, once.

    python -m pytest tests/test_raising_handlers.py --long    # 10,000 interruptions

The exceptions come at instants that nobody chooses, as a task's time limit or Ctrl-C does.
"""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.processes import Account, ReceiverProcess, run_python

RAISING = """
import json, logging, random, signal, sys, time
from loguru import logger
from loguru_stdbridge import install_bridge
from tests.support.scripted import a_row

address, way, wanted, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
logger.remove()
bridge = install_bridge(address, when_full="block", spool_dir=False if way == "memory" else None)
chance, interrupted, calling = random.Random(seed), 0, False
stdlib, channel = logging.getLogger("std"), bridge._channel

class Interrupt(BaseException):
    pass

def on_alarm(*_):
    global calling, interrupted
    if calling:
        calling = False
        interrupted += 1
        raise Interrupt
    signal.setitimer(signal.ITIMER_REAL, 0.001)  # not so soon that it interrupts itself

signal.signal(signal.SIGALRM, on_alarm)

def log(number):
    if way == "logging":
        stdlib.warning("worker a number %d end", number)
    else:
        channel.emit(a_row(f"worker a number {number} end"))

log(0)
returned, number, slowest = [0], 0, 0.0
def log_until_interrupted():
    global number, calling
    number += 1
    signal.setitimer(signal.ITIMER_REAL, chance.random() / 5000 + 0.000005)
    calling = True
    while calling:  # until the signal comes
        log(number)
        returned.append(number)
        number += 1

while interrupted < wanted:
    try:
        log_until_interrupted()
    except Interrupt:
        pass
    if interrupted % 500 == 0:  # delivery goes on by itself, without a flush
        signal.setitimer(signal.ITIMER_REAL, 0)
        deadline = time.monotonic() + 60
        while bridge.stats().pending and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not bridge.stats().pending, bridge.stats()
signal.setitimer(signal.ITIMER_REAL, 0)
log(number + 1)
returned.append(number + 1)
assert bridge.flush(60), bridge.stats()
print(json.dumps([interrupted, returned, bridge.stats().dropped]))
"""


@pytest.mark.skipif(
    sys.version_info < (3, 10), reason="CPython 3.9 can raise between any two instructions"
)
@pytest.mark.parametrize("way", ["channel", "memory", "logging"])
def test_exceptions_at_random_instants_of_log_calls(tmp_path, scale, chance, tell, way):
    """Calls that returned are written once and in order, interrupted ones at most once."""
    count = scale(300, 10_000)
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        status, out, err = run_python(
            RAISING, receiver.address, way, str(count), str(chance.random()), timeout=900
        )
        assert status == 0, err[-3000:]
        assert receiver.stop() == 0
    interrupted, returned, dropped = json.loads(out.splitlines()[-1])
    account = Account(tmp_path / "app.log")
    tell(f"{interrupted:,} calls interrupted, {len(returned):,} returned, {account.torn[:3]}")
    assert dropped == {}
    assert not account.torn and not account.out_of_order
    assert set(account.found.values()) == {1}
    assert {("a", number) for number in returned} <= set(account.found)
    assert len(account.found) <= len(returned) + interrupted
