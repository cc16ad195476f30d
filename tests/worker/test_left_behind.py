"""A channel goes on in another journal where its own has closed itself."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import threading
from pathlib import Path

import pytest

from loguru_stdbridge import start_receiver
from loguru_stdbridge.spool.finder import journal_directories
from tests.support.processes import ReceiverProcess, run_python
from tests.support.scripted import a_row

NOWHERE = "tcp://127.0.0.1:1"


@pytest.fixture
def receiver(tmp_path):
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}", spool_dir=False
    ) as running:
        running.lines = lambda: (tmp_path / "app.log").read_text(encoding="utf-8").splitlines()
        yield running


def emit(channel, *numbers):
    for number in numbers:
        channel.emit(a_row(str(number)))


def retire(channel):
    """Have the channel's journal close itself, as one whose user may make no files any more."""
    journal = channel._pipeline.journal
    with journal._section():
        journal._retire("the journal")
    return journal


def balance(channel):
    stats = channel.stats()
    assert stats.accepted == stats.acknowledged + stats.pending + sum(stats.dropped.values()), stats
    return stats


def test_what_is_in_a_journal_that_closed_itself_is_delivered(make_channel, receiver, eventually):
    """The sender of a journal that closed itself delivers the rest, and the next record opens another.

    The figures are those of both.
    """
    channel = make_channel(receiver.address)
    emit(channel, *range(5))
    old = retire(channel)
    emit(channel, *range(5, 10))
    assert channel._pipeline.journal is not old
    assert channel.flush(30)
    eventually(lambda: not os.path.exists(old.path), what="the old sender ends")
    eventually(lambda: channel.stats().acknowledged == 10, what="the figures are those of both")
    assert sorted(map(int, receiver.lines())) == list(range(10))
    assert balance(channel).accepted == 10


def test_a_flush_waits_for_what_was_left_behind(make_channel, spool_dir):
    """A flush is false while the receiver is away, and both journals stay as orphans."""
    channel = make_channel()
    emit(channel, 1, 2)
    retire(channel)
    emit(channel, 3)
    assert not channel.flush(0.05)
    assert balance(channel).pending == 3
    assert not channel.close(0.0, patient=False)
    assert balance(channel).pending == 3
    assert len(journal_directories(str(spool_dir))) == 2


def test_many_threads_find_the_journal_closed_at_once(make_channel, receiver):
    """Records of many threads that find the journal closed are taken once, by one new journal."""
    channel = make_channel(receiver.address)
    emit(channel, 0)
    retire(channel)
    barrier = threading.Barrier(8)

    def log(first):
        barrier.wait(30)
        emit(channel, *range(first, first + 100))

    threads = [threading.Thread(target=log, args=(100 * n + 1,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert channel.flush(60)
    assert sorted(map(int, receiver.lines())) == list(range(801))
    assert len(channel._left_behind) <= 1


def test_a_child_has_no_part_in_what_its_parent_left_behind(make_channel):
    """A forked child drops both journals, and begins one of its own."""
    channel = make_channel()
    emit(channel, 1)
    retire(channel)
    emit(channel, 2)
    child = os.fork()
    if child == 0:
        emit(channel, 3)
        stats = channel.stats()
        os._exit(0 if (stats.accepted, len(channel._left_behind)) == (1, 0) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert balance(channel).pending == 2


ADOPTED = """
import os, sys
from loguru_stdbridge.spool.orphans import Orphan
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row

channel = Channel(check_options("tcp://127.0.0.1:1"))
channel.emit(a_row("before"))
path = channel._pipeline.journal.path
null = os.open(os.devnull, os.O_RDWR)
for number in range(3, 100):
    os.dup2(null, number)
child = os.fork()
if child == 0:
    orphan = Orphan.adopt(path)
    os._exit(0 if orphan is not None and orphan.remove() == [] else 1)
assert os.waitpid(child, 0)[1] == 0
channel.emit(a_row("after"))
assert channel._pipeline.journal.path != path
print(channel.stats().accepted, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_journal_that_was_adopted_is_followed_by_another(spool_dir, tmp_path):
    """A process whose descriptors were closed and whose journal was adopted begins another one."""
    status, out, err = run_python(ADOPTED)
    assert (status, out) == (-signal.SIGKILL, "2\n"), err
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}", listen=NOWHERE) as receiver:
        assert receiver.stop() == 0
    assert (tmp_path / "app.log").read_text() == "after\n"


SETUID = """
import json, os, sys
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row

channel = Channel(check_options("tcp://127.0.0.1:1"))
if sys.argv[1] == "before":
    channel.emit(a_row("as root"))
os.setgid(65534), os.setuid(65534)
channel.emit(a_row("as nobody"))
print(json.dumps(channel._pipeline.journal.path), flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def open_path():
    """A directory that all users may enter. Another run of pytest closes the one of ``tmp_path``."""
    with tempfile.TemporaryDirectory(prefix="lsb") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("begun", ["before", "after"])
def test_a_process_that_drops_its_privileges_keeps_its_records_on_disk(open_path, begun):
    """A journal that root has begun goes on; one that is begun later is in the new user's default."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    (open_path / "tmp").mkdir()
    (open_path / "tmp").chmod(0o1777)
    code = SETUID.replace(
        "channel = Channel",
        "from loguru_stdbridge.system import users\n"
        f"users._TEMPORARY_PLACES = ({str(open_path / 'tmp')!r},) * 2\nchannel = Channel",
    )
    status, out, err = run_python(
        code, begun, HOME=str(open_path / "home"), LOGURU_STDBRIDGE_SPOOL_DIR="", TMPDIR=""
    )
    assert status == -signal.SIGKILL, err
    path = json.loads(out)
    if begun == "before":
        assert path.startswith(str(open_path / "home/.local/state/loguru_stdbridge/"))
    else:
        assert path.startswith(str(open_path / "tmp/loguru_stdbridge-65534/"))
        assert "Records are kept in" in err
    rows = b"".join(f.read_bytes() for f in open_path.rglob("*.seg"))
    assert b"as nobody" in rows
