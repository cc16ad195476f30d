"""Outages that outlast the journal keep its limit and the order, and count what is discarded."""

from __future__ import annotations

import contextlib
import signal
import threading

import pytest

from tests.support.processes import Account, ReceiverProcess, disk_usage, free_address
from tests.support.workers import Worker, check_counts, given_up

WEIGHED = ("--format", "{message}", "--render", "receiver")
"""What a receiver is told so that records go whole: a worker's finished line has no weight."""

LONG_OUTAGE = """
records = int(sys.argv[4])
log(0, records // 10)
tell()
log(records // 10, records)
tell()
sys.stdin.readline()
bridge.flush(300)
log(records, records + 10)
tell(flushed=bridge.flush(300))
"""


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "block"])
def test_a_long_outage(tmp_path, spool_dir, scale, tell, policy):
    """A worker in a long outage keeps its memory and journal bounded and counts its losses."""
    records, limit = scale(26_000, 1_000_000), scale(2 << 20, 64 << 20)
    address, sink = free_address(), tmp_path / "app.log"
    options = {"spool_limit": limit, "when_full": policy, "block_timeout": 0.0}
    with Worker(LONG_OUTAGE, address, records, **options) as worker:
        before, after = worker.stands(), worker.stands()
        held = disk_usage(spool_dir)
        with ReceiverProcess(sink, "--format", "{message}", listen=address) as receiver:
            worker.go_on()
            end = worker.stands()
            assert worker.process.wait(60) == 0
            assert receiver.stop() == 0
    account = Account(sink)
    grown = after["anonymous"] - before["anonymous"]
    tell(
        f"outage, {policy}: {records:,} records into {limit >> 20} MiB: {held >> 10:,} KiB on disk, "
        f"{grown} KiB more memory, {len(account.found):,} written, {end['dropped']} dropped, "
        f"{sum(given_up(account)):,} told in the log"
    )
    assert grown < 2048
    assert limit * 0.6 < held <= limit + 64 * 1024
    check_counts(account, [end], records + 10)
    assert list(end["dropped"]) == ["spool_full"]
    kept = len(account.found) - 10
    numbers = sorted(number for _, number in account.found)
    assert numbers[kept:] == list(range(records, records + 10))
    if policy == "drop_oldest":
        assert numbers[:kept] == list(range(records - kept, records))
    else:  # rows differ in length: a shorter one may still fit after a longer one did not
        assert numbers[: kept - 1] == list(range(kept - 1))


def test_blocked_calls_go_on_when_the_receiver_is_back(tmp_path):
    """Log calls held up by ``when_full="block"`` go on when the receiver is back, without loss."""
    address, sink = free_address(), tmp_path / "app.log"
    code = """
log(0, 1000)
tell()
log(1000, 20_000)
tell(flushed=bridge.flush(300))
"""
    options = {"spool_limit": 1 << 20, "when_full": "block", "block_timeout": 300}
    with Worker(code, address, **options) as worker:
        worker.stands()
        with ReceiverProcess(sink, "--format", "{message}", listen=address) as receiver:
            end = worker.stands()
            assert worker.process.wait(60) == 0
            assert receiver.stop() == 0
    assert check_counts(Account(sink), [end], 20_000) == 0


TOO_LARGE = """
logger.info("x" * 3_000_000)
if "more" in sys.argv:
    log(0, 1)
    logger.info("x" * 3_000_000)
tell()
if sys.stdin.readline():
    tell(flushed=bridge.flush(60))
"""


@pytest.mark.parametrize("more", ["more", "nothing more"])
@pytest.mark.parametrize("ending", ["stays", "ends"])
def test_records_that_were_given_up_last_are_told_too(tmp_path, more, ending, eventually):
    """Records discarded last are reported in the log, though no later record carries the news."""
    address, sink = free_address(), tmp_path / "app.log"
    dropped, whole = (2, 1) if more == "more" else (1, 0)
    with Worker(TOO_LARGE, address, more, spool_limit=1 << 20) as worker:
        start = worker.stands()
        assert (start["accepted"], start["dropped"]) == (dropped + whole, {"too_large": dropped})
        if ending == "ends":
            worker.process.communicate()
        with ReceiverProcess(sink, "--format", "{message}", listen=address) as receiver:
            if ending == "stays":
                worker.go_on()
                end = worker.stands()
                assert (end["flushed"], end["acknowledged"], end["pending"]) == (False, whole, 0)
                worker.process.communicate()
            assert receiver.stop() == 0
    account = Account(sink)
    told = given_up(account)
    assert (sum(told), len(account.found), len(account.torn)) == (dropped, whole, len(told))


STOPPED = """
import itertools
phase, slowest = ["calm"], {}

def follow():
    for line in sys.stdin:
        phase.append(line.strip())
        weight[:] = ["x" * int(sys.argv[4])] if phase[-1] == "stopped" else []

threading.Thread(target=follow, daemon=True).start()
tell()
for first in itertools.count(0, 20):
    for number in range(first, first + 20):
        start = time.perf_counter()
        log(number, number + 1)
        taken = time.perf_counter() - start
        slowest[phase[-1]] = max(slowest.get(phase[-1], 0.0), taken)
    if phase[-1] == "end":
        break
    time.sleep(0.002)  # a load that four workers and the receiver can carry on two processors
tell(flushed=bridge.flush(300), slowest=slowest, logged=first + 20)
"""


@pytest.mark.parametrize("overflows", [False, True], ids=["holds", "overflows"])
def test_a_stopped_receiver_under_load(tmp_path, scale, tell, overflows):
    """A stopped receiver gets each record in order after SIGCONT, or a count of those missing.

    A journal that overflows also discards records that are already in the socket.
    """
    sink, workers = tmp_path / "app.log", []
    names, seconds = scale("ab", "abcd"), scale(2, 30)
    limit, weight = (1 << 20, 50_000) if overflows else (256 << 20, 0)
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(ReceiverProcess(sink, *WEIGHED))
        for name in names:
            worker = Worker(STOPPED, receiver.address, weight, name=name, spool_limit=limit)
            workers.append(stack.enter_context(worker))
        for worker in workers:
            worker.stands()
        for number, phase in (None, "calm"), (signal.SIGSTOP, "stopped"), (signal.SIGCONT, "end"):
            if number is not None:
                receiver.process.send_signal(number)
            for worker in workers:
                worker.go_on(phase)
            if phase != "end":
                threading.Event().wait(seconds)
        ends = [worker.stands() for worker in workers]
        assert receiver.stop() == 0
    account = Account(sink)
    slowest = {phase: max(end["slowest"][phase] for end in ends) for phase in ("calm", "stopped")}
    logged = sum(end["logged"] for end in ends)
    dropped = check_counts(account, ends, logged)
    tell(
        f"stopped for {seconds} s, {len(names)} workers, {limit >> 20} MiB each: {logged:,} records, "
        f"{dropped:,} dropped; slowest call {slowest['calm'] * 1000:.2f} ms before, "
        f"{slowest['stopped'] * 1000:.2f} ms with the receiver stopped"
    )
    assert (dropped > 0) == overflows


ON_THE_WAY = """
log(0, 10)
bridge.flush(60)
tell()
sys.stdin.readline()
weight.append("x" * 5000)
for number in range(10, 600):  # slow enough for the sender to put each into the socket
    log(number, number + 1)
    time.sleep(0.002)
tell()
sys.stdin.readline()
tell(flushed=bridge.flush(60))
"""


def test_what_was_on_its_way_when_it_was_given_up_is_not_counted_as_dropped(tmp_path):
    """A record that was in the socket when its journal discarded it does not count as dropped."""
    sink = tmp_path / "app.log"
    with ReceiverProcess(sink, *WEIGHED) as receiver:
        with Worker(ON_THE_WAY, receiver.address, spool_limit=1 << 20) as worker:
            worker.stands()
            receiver.process.send_signal(signal.SIGSTOP)
            worker.go_on()
            stopped = worker.stands()
            receiver.process.send_signal(signal.SIGCONT)
            worker.go_on()
            end = worker.stands()
        assert receiver.stop() == 0
    dropped = check_counts(Account(sink), [end], 600)
    assert dropped < sum(stopped["dropped"].values())


SHORT = """
logger.info("x")
assert bridge.flush(60)
tell()
sys.stdin.readline()
for _ in range(20_000):
    logger.info("x")
tell()
sys.stdin.readline()
tell(flushed=bridge.flush(60))
"""


def test_a_backlog_of_very_short_records(tmp_path):
    """A backlog of very short records goes in frames that keep the receiver's limit on rows."""
    address, sink = free_address(), tmp_path / "app.log"
    with Worker(SHORT, address) as worker:
        with ReceiverProcess(sink, "--format", "{message}", listen=address):
            worker.stands()
        worker.go_on()
        worker.stands()
        with ReceiverProcess(sink, "--format", "{message}", listen=address) as receiver:
            worker.go_on()
            assert worker.stands()["flushed"]
            assert receiver.stop() == 0
    assert sink.read_text() == "x\n" * 20_001
    assert "refused from" not in receiver.stderr.read_text()
