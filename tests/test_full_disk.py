"""A disk that is really full, under the log, under the spool, and under both."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

from tests.support.processes import Account, ReceiverProcess, free_address
from tests.support.workers import Worker, check_counts


class Disk:
    """A file system of its own, which can be filled up but for some bytes, and emptied again."""

    def __init__(self, path):
        self.path = path
        self._ballast = path / "ballast"

    def fill(self, but=0):
        free = os.statvfs(self.path).f_bavail * os.statvfs(self.path).f_frsize
        with open(self._ballast, "ab") as file:
            if free > but:
                with contextlib.suppress(OSError):  # somebody else has taken some of it meanwhile
                    os.posix_fallocate(file.fileno(), file.tell(), free - but)

    def empty(self):
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path):
    """Mount a tmpfs of 8 MB."""
    if not sys.platform.startswith("linux") or os.geteuid():
        pytest.skip("only root may mount a tmpfs")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "tmpfs", str(path)], check=True
    )
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", str(path)], check=True)


@pytest.mark.parametrize(
    "options", [(), ("--rotation", "100 KB", "--compression", "gz")], ids=["plain", "rotating"]
)
def test_the_log_s_disk_is_full(disk, eventually, options):
    """A full disk under the log loses and doubles nothing, and the receiver goes on by itself."""
    sink = disk.path / "logs" / "app.log"
    code = "log(0, 10_000); tell(); sys.stdin.readline(); tell(flushed=bridge.flush(60))"
    with contextlib.ExitStack() as stack:
        receiver = stack.enter_context(ReceiverProcess(sink, "--format", "{message}", *options))
        disk.fill(but=200_000)
        workers = [stack.enter_context(Worker(code, receiver.address, name=name)) for name in "ab"]
        for worker in workers:
            worker.stands()
        eventually(lambda: "cannot write" in receiver.stderr.read_text(), 60, "it is told")
        disk.empty()
        for worker in workers:
            worker.go_on()
        ends = [worker.stands() for worker in workers]
        assert receiver.stop() == 0
    assert check_counts(Account(sink), ends, 20_000) == 0
    assert receiver.stderr.read_text().count("takes records again") == 1


SPOOL = """
if "heavy" in sys.argv:
    weight.append("x" * 30_000)
log(0, 4000)
tell()
sys.stdin.readline()
weight.clear()
time.sleep(0.6)  # for so long the journal does not look whether there is space again
log(4000, 5000)
tell()
if sys.stdin.readline():
    tell(flushed=bridge.flush(60))
"""


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest"])
def test_the_spool_s_disk_is_full(disk, tmp_path, policy):
    """A full disk under the spool ends no worker, and each record given up is counted and told.

    What the disk cannot take is kept in memory, up to a limit. With space again the worker goes on.
    """
    address, sink = free_address(), tmp_path / "app.log"
    disk.fill(but=3_000_000)
    with Worker(SPOOL, address, "heavy", spool_dir=str(disk.path), when_full=policy) as worker:
        full = worker.stands()
        disk.empty()
        worker.go_on()
        after = worker.stands()
        with ReceiverProcess(sink, "--format", "{message}", listen=address) as receiver:
            worker.go_on()
            end = worker.stands()
            _, err = worker.process.communicate()
            assert receiver.stop() == 0
    account = Account(sink)
    assert 0 < check_counts(account, [end], 5000) < 4000
    assert b"is lost if this process is killed" in err
    if policy == "drop_newest":
        assert full["dropped"] == after["dropped"] == end["dropped"]
        assert all(account.found["a", number] for number in range(4000, 5000))


def test_the_spool_s_disk_is_full_from_the_start(disk, tmp_path):
    """A disk that is full from the start puts the journal into memory, which is told."""
    sink = tmp_path / "app.log"
    code = "log(0, 1000); tell(flushed=bridge.flush(60))"
    with ReceiverProcess(sink, "--format", "{message}") as receiver:
        disk.fill()
        with Worker(code, receiver.address, spool_dir=str(disk.path)) as worker:
            end = worker.stands()
            _, err = worker.process.communicate()
        assert receiver.stop() == 0
    assert check_counts(Account(sink), [end], 1000) == 0
    assert err.count(b"No space left on device") == err.count(b"in memory only") == 1
    assert os.listdir(disk.path) == ["ballast"]


def test_one_disk_for_all_is_full(disk, eventually):
    """A full disk under log, ledger and journals loses nothing that was accepted."""
    sink = disk.path / "logs" / "app.log"
    with ReceiverProcess(sink, "--format", "{message}") as receiver:
        disk.fill(but=1_100_000)
        with Worker(SPOOL, receiver.address, spool_dir=str(disk.path / "spool")) as worker:
            worker.stands()
            disk.fill()
            worker.go_on()
            worker.stands()

            def is_told():
                disk.fill()  # a journal gives back what is acknowledged
                return "cannot write" in receiver.stderr.read_text()

            eventually(is_told, 60, "it is told")
            disk.empty()
            worker.go_on()
            end = worker.stands()
        assert receiver.stop() == 0
    assert check_counts(Account(sink), [end], 5000) == 0
