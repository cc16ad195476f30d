"""The bound for all journals of a spool directory: the oldest orphans go, and the log is told."""

from __future__ import annotations

import os

from loguru_stdbridge import start_receiver
from loguru_stdbridge.spool import total
from loguru_stdbridge.spool.finder import journal_directories
from loguru_stdbridge.spool.orphans import Orphan
from loguru_stdbridge.spool.total import keep_within
from tests.support.processes import disk_usage, free_address, run_python

WORKER = """
import os, sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
install_bridge(sys.argv[1])
for number in range(1000):
    logger.info("{} {} {}", sys.argv[2], number, "x" * 500)
os._exit(0)
"""
SIZE = 512 * 1024  # a journal of such a worker takes more


def leave_orphans(address, count):
    """Let so many workers die, one after the other; each leaves 1,000 records."""
    for number in range(count):
        status, _, err = run_python(WORKER, address, f"worker{number}")
        assert status == 0, err


def check(spool, bytes_allowed):
    """Look whether the spool is within a bound, whoever has looked before; what was told."""
    told = []
    for mark in spool.glob("peers/*.done"):
        mark.unlink()
    keep_within(str(spool), bytes_allowed, told.append)
    return told


def test_the_oldest_orphans_are_given_up_and_the_log_says_how_many(spool_dir, tmp_path, eventually):
    """Two of three workers' records go, the newest ones stay, and no record is missing untold."""
    address, sink = free_address(), tmp_path / "app.log"
    leave_orphans(address, 3)
    told = check(spool_dir, SIZE + 300 * 1024)
    assert len(told) == 2 and all("gave up 1000 records" in text for text in told)
    assert disk_usage(spool_dir) < 2 * SIZE
    with start_receiver(sink, address=address, format="{message}"):
        eventually(lambda: not journal_directories(str(spool_dir)), what="all is delivered")
    text = sink.read_text()
    assert text.count("1000 records of sender") == 2
    assert [text.count(f"worker{number} ") for number in range(3)] == [0, 0, 1000]


def test_a_spool_within_its_bound_loses_nothing(spool_dir):
    """Nothing is given up, and nothing told, where there is room."""
    leave_orphans(free_address(), 1)
    assert check(spool_dir, 1 << 30) == []
    [path] = journal_directories(str(spool_dir))
    orphan = Orphan.adopt(path)
    assert orphan.last == 1000
    orphan.release()


def test_a_kill_between_the_note_and_the_removal_loses_nothing(spool_dir, monkeypatch):
    """The number is noted first: the rows are there still, and are delivered."""
    leave_orphans(free_address(), 1)
    [path] = journal_directories(str(spool_dir))
    orphan = Orphan.adopt(path)
    monkeypatch.setattr(os, "unlink", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
    try:
        orphan.give_up()
    except KeyboardInterrupt:
        pass
    monkeypatch.undo()
    orphan.release()
    again = Orphan.adopt(path)
    batch = again.read(0, 1 << 20)
    assert (batch.first, batch.last, batch.gap) == (1, 1000, None)
    again.release()


def test_a_living_owner_s_journal_is_left_alone(spool_dir):
    """The owner holds the lock; its own limit bounds it."""
    code = WORKER.replace("os._exit(0)", "print(flush=True); sys.stdin.read()")
    from tests.support.processes import start_python

    worker = start_python(code, free_address(), "worker", stdin=True)
    try:
        worker.stdout.readline()
        assert check(spool_dir, 1) == []
    finally:
        worker.kill()
        worker.communicate()


def test_a_worker_without_a_receiver_looks_by_itself(spool_dir):
    """Its sender finds nobody, and bounds the spool; the others have had their turn then."""
    address = free_address()
    leave_orphans(address, 3)
    for mark in spool_dir.glob("peers/*.done"):
        mark.unlink()
    code = WORKER.replace(
        "install_bridge(sys.argv[1])", "bridge = install_bridge(sys.argv[1], spool_total=1 << 20)"
    )
    status, _, err = run_python(
        code.replace("os._exit(0)", "bridge.flush(2); os._exit(0)"), address, "last"
    )
    assert status == 0
    assert "spool_total=" in err
    assert total.DEFAULT_TOTAL == 1 << 30
