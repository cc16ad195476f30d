"""The next worker delivers the journal of a dead one if the receiver cannot do it itself."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from loguru_stdbridge.addresses import LogName, parse_address
from loguru_stdbridge.spool import belonging
from loguru_stdbridge.spool import finder as finder_module
from loguru_stdbridge.spool.finder import journal_directories
from loguru_stdbridge.spool.journal import Journal
from loguru_stdbridge.spool.orphans import Orphan
from loguru_stdbridge.system.host import host_facts
from loguru_stdbridge.wire.receiving import GapReceived, GoodbyeReceived
from loguru_stdbridge.worker import adoption as module
from loguru_stdbridge.worker.adoption import OrphanDelivery
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.processes import (
    Account,
    ReceiverProcess,
    free_address,
    run_python,
    start_python,
)
from tests.support.scripted import ScriptedReceiver, a_row
from tests.support.waiting import wait_until


@pytest.fixture
def receiver():
    with ScriptedReceiver() as scripted:
        yield scripted


@pytest.fixture
def at_once(monkeypatch):
    """A worker looks all the time, and leaves nothing to a receiver of this machine."""
    monkeypatch.setattr(module, "RECEIVER_HEAD_START", 0.0)
    monkeypatch.setattr(module, "INTERVAL", 0.01)


@pytest.fixture
def leave(spool_dir, receiver):
    """Leave a journal behind, as a worker does that is killed; returns its sender's id."""

    def leave(count=3, acked=0, address=None, name="dead", **options):
        journal = Journal.create(spool_dir, str(address or receiver.address), **options)
        for number in range(1, count + 1):
            journal.append(a_row(f"{name} {number}"))
        journal.acknowledge(acked)
        journal.close(remove=False)
        return journal.sender_id

    return leave


@pytest.fixture
def worker(receiver):
    """A channel that has logged its first record, and is closed at the end."""
    made = []

    def worker(**options):
        channel = Channel(check_options(receiver.address, **options))
        made.append(channel)
        channel.emit(a_row("alive"))
        return channel

    yield worker
    for channel in made:
        channel.close(0.0, patient=False)


def messages(rows):
    return {number: fields[9] for number, fields in rows.items()}


# -- delivery


def test_the_next_worker_delivers_it_under_the_original_id(
    receiver, leave, worker, at_once, spool_dir, eventually
):
    """A worker delivers an orphan over a connection of its own, under the orphan's sender id."""
    dead = leave(acked=1)
    channel = worker()
    own = receiver.accept()
    assert own.hello(greet_with=0).sender != dead
    client = receiver.accept()
    hello = client.hello(greet_with=1)
    assert (hello.sender, hello.base) == (dead, 2)
    assert messages(client.rows(3)) == {2: "dead 2", 3: "dead 3"}
    assert Orphan.adopt(spool_dir / dead) is None  # it has the lock
    client.acknowledge(2)
    client.acknowledge(3)
    assert client.event() == GoodbyeReceived(dead)
    client.close()
    eventually(lambda: not (spool_dir / dead).exists(), what="it is removed")
    channel.emit(a_row("goes on"))
    assert messages(own.rows(2)) == {1: "alive", 2: "goes on"}
    assert channel.stats().accepted == 2


def test_what_the_receiver_holds_already_is_not_sent_again(
    receiver, leave, worker, at_once, spool_dir, eventually
):
    """A row that the receiver holds already is not sent again."""
    dead = leave(count=5)
    worker()
    receiver.accept().hello(greet_with=0)
    client = receiver.accept()
    client.hello(greet_with=4)
    client.rows(1)  # in the hello
    assert messages(client.rows(5)) == {5: "dead 5"}
    client.acknowledge(5)
    assert client.event() == GoodbyeReceived(dead)
    client.close()
    eventually(lambda: not (spool_dir / dead).exists())


def test_what_it_gave_up_is_told(receiver, leave, worker, at_once):
    """A gap of the orphan is told in its place, as its owner would have told it."""
    dead = leave(count=2000, limit=64 * 1024, segment_size=16 * 1024)
    worker()
    receiver.accept().hello(greet_with=0)
    client = receiver.accept()
    client.hello(greet_with=0)
    gap = client.event()
    assert isinstance(gap, GapReceived)
    assert (gap.sender, gap.first, gap.reason) == (dead, 1, "spool_full")
    assert list(client.rows(2000)) == list(range(gap.last + 1, 2001))


def test_many_are_delivered_one_after_the_other(
    receiver, leave, worker, at_once, spool_dir, eventually
):
    """A worker delivers many orphans one after the other."""
    dead = {leave(count=2) for _ in range(5)}
    worker()
    own = receiver.accept()
    own.hello(greet_with=0)
    own.acknowledge(1)
    while dead:
        client = receiver.accept()
        sender = client.hello(greet_with=0).sender
        assert messages(client.rows(2)) == {1: "dead 1", 2: "dead 2"}
        client.acknowledge(2)
        client.event()
        client.close()
        dead.remove(sender)
    eventually(lambda: len(journal_directories(spool_dir)) == 1)


def test_a_journal_that_was_delivered_and_not_removed(
    leave, worker, receiver, at_once, spool_dir, eventually
):
    """A journal that was delivered but not removed is removed without a connection."""
    dead = leave(acked=3)
    worker()
    receiver.accept().hello(greet_with=0)
    eventually(lambda: not (spool_dir / dead).exists())
    receiver.listener.settimeout(0.05)
    with pytest.raises(OSError, match="timed out"):
        receiver.accept()


def test_a_damaged_segment_is_kept_and_told(
    receiver, leave, worker, at_once, spool_dir, eventually, capfd
):
    """The whole records of a damaged segment are delivered, and the segment is kept and told."""
    dead = leave(count=3)
    (segment,) = (spool_dir / dead).glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"dead 2")] ^= 1
    segment.write_bytes(data)
    worker()
    receiver.accept().hello(greet_with=0)
    client = receiver.accept()
    client.hello(greet_with=0)
    assert messages(client.rows(1)) == {1: "dead 1"}
    assert client.event() == GapReceived(dead, 2, 2, "damaged")
    assert messages(client.rows(3)) == {3: "dead 3"}
    client.acknowledge(3)
    client.event()
    client.close()
    pattern = f"{dead}-{segment.name}.damaged-*"
    eventually(lambda: list(spool_dir.glob(pattern)))
    (kept,) = spool_dir.glob(pattern)
    eventually(lambda: not (spool_dir / dead).exists())
    told = []  # after all that
    eventually(lambda: told.append(capfd.readouterr().err) or str(kept) in "".join(told))


def test_a_journal_that_is_not_understood_is_told(
    receiver, leave, worker, at_once, spool_dir, eventually, capfd
):
    """A journal that cannot be read is kept aside and told once."""
    dead = leave()
    (spool_dir / dead / "meta").write_bytes(b"x")
    (segment,) = (spool_dir / dead).glob("*.seg")
    segment.write_bytes(b"rubbish")
    worker()
    receiver.accept().hello(greet_with=0)
    eventually(lambda: list(spool_dir.glob(f"{dead}.damaged-*")))
    told = []

    def is_told():
        told.append(capfd.readouterr().err)
        return "1 bytes, not 4096" in "".join(told)

    eventually(is_told, what="it is told, which comes after the renaming")


def test_a_stock_receiver_gets_it_too(receiver, leave, worker, at_once, spool_dir, eventually):
    """A stock receiver gets an orphan's records too, and what its kernel took counts."""
    dead = leave()
    worker(peer="stock")
    assert receiver.accept().record().getMessage() == "alive"
    client = receiver.accept()
    assert [client.record().getMessage() for _ in range(3)] == ["dead 1", "dead 2", "dead 3"]
    assert client.record() is None
    eventually(lambda: not (spool_dir / dead).exists())


# -- what is left alone


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "unix:///run/other"])
def test_what_goes_elsewhere_is_left_alone(leave, worker, receiver, at_once, spool_dir, address):
    """A journal for another receiver is left to that receiver and its workers."""
    dead = leave(address=parse_address(address))
    worker()
    receiver.accept().hello(greet_with=0)
    receiver.listener.settimeout(0.2)
    with pytest.raises(OSError, match="timed out"):
        receiver.accept()
    assert (spool_dir / dead).exists()


@pytest.mark.parametrize("whose", ["another host's", "a log's"])
def test_a_receiver_that_names_no_log_gets_no_other_s_records(
    leave, worker, receiver, at_once, spool_dir, monkeypatch, whose
):
    """A stock receiver gets no journal of another host's loopback address, nor one of a log."""
    with monkeypatch.context() as patch:
        if whose == "another host's":
            facts = host_facts()._replace(network="1")
            patch.setattr(belonging, "host_facts", lambda: facts)
        dead = leave()
    if whose == "a log's":
        belonging.note_log(str(spool_dir / dead), LogName("/logs/app.log", "a" * 32))
    worker(peer="stock")
    assert receiver.accept().record().getMessage() == "alive"
    receiver.listener.settimeout(0.2)
    with pytest.raises(OSError, match="timed out"):
        receiver.accept()
    assert (spool_dir / dead).exists()


def test_an_adopted_journal_belongs_to_the_log_that_has_greeted(
    receiver, leave, worker, at_once, spool_dir
):
    """A journal of which a part is delivered notes the log, so that no other one gets the rest."""
    dead = leave()
    worker()
    log = LogName("/logs/app.log", "a" * 32, "1:2")
    for _ in range(2):
        client = receiver.accept()
        hello = client.hello()
        client.socket.sendall(client.protocol.greeting(0, None, log))
        client.rows(1)
    assert hello.sender == dead
    client.rows(2)
    assert belonging.noted_log(str(spool_dir / dead)) == log


def test_a_living_worker_keeps_its_journal(receiver, worker, at_once, spool_dir):
    """Two workers that live side by side adopt nothing of each other."""
    first, second = worker(), worker()
    clients = [receiver.accept() for _ in range(2)]
    for client in clients:
        client.hello(greet_with=0)
    receiver.listener.settimeout(0.2)
    with pytest.raises(OSError, match="timed out"):
        receiver.accept()
    assert len(journal_directories(spool_dir)) == 2
    assert first.stats().pending == second.stats().pending == 1


@pytest.fixture
def look_out(spool_dir):
    """Make an :class:`OrphanDelivery` whose senders are noted as ``(sender id, peer)`` and do nothing."""
    ends = []

    def look_out(address, started, error=None):
        class Sender:
            def __init__(self, journal, *, peer, on_end):
                self.what = (journal.sender_id, peer)
                ends.append(on_end)

            def start(self, until_empty):
                if error is not None:
                    raise error
                started.append(self.what)

            def close(self, timeout, patient=True):
                started.append("closed")

        return OrphanDelivery(spool_dir, parse_address(address), report=print, make_sender=Sender)

    yield look_out
    for end in ends:
        end()


def test_a_receiver_of_this_machine_comes_first(leave, look_out, spool_dir, monkeypatch):
    """A worker adopts an orphan only after the receiver of this machine had time to do it."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    started = []
    address = "tcp://127.0.0.1:9020"
    dead = leave(address=address)
    adoption = look_out(address, started)
    assert adoption.look("bridge") == module.RECEIVER_HEAD_START
    assert started == []
    assert Orphan.adopt(spool_dir / dead).release() is None  # it is free for the receiver
    now[0] += module.RECEIVER_HEAD_START - 0.5
    later = leave(address=address)
    assert adoption.look("bridge") == 0.5
    now[0] += 0.5
    assert adoption.look("bridge") == module.INTERVAL
    assert started == [(dead, "bridge")]
    assert adoption.look("bridge") == module.INTERVAL  # one at a time
    assert Orphan.adopt(spool_dir / later).release() is None


def test_a_receiver_that_is_elsewhere_is_not_waited_for(leave, look_out):
    """A worker whose receiver is on another machine adopts an orphan at once."""
    started = []
    address = "tcp://log.example.com:9020"
    dead = leave(address=address)
    assert look_out(address, started).look("bridge") == module.INTERVAL
    assert started == [(dead, "bridge")]


def test_a_journal_that_was_seen_and_went_is_forgotten(leave, look_out, spool_dir):
    """A worker forgets an orphan that the receiver has taken meanwhile."""
    address = "tcp://127.0.0.1:9020"
    dead = leave(address=address)
    adoption = look_out(address, [])
    assert adoption.look("bridge") <= module.RECEIVER_HEAD_START
    Orphan.adopt(spool_dir / dead).remove()
    assert adoption.look("bridge") == module.INTERVAL
    assert adoption._seen == {}


def test_what_cannot_be_read_is_passed(leave, look_out, monkeypatch):
    """An orphan that cannot be read keeps the worker neither from sending nor from the next one."""
    started = []
    address = "tcp://log.example.com:9020"
    broken, dead = sorted([leave(address=address), leave(address=address)])
    leave(address="not an address")
    adopt = Orphan.adopt

    def failing(path):
        if os.path.basename(path) == broken:
            raise PermissionError(13, "Permission denied")
        return adopt(path)

    monkeypatch.setattr(Orphan, "adopt", failing)
    look_out(address, started).look("bridge")
    assert started == [(dead, "bridge")]


def test_without_another_thread_it_stays_an_orphan(leave, look_out, spool_dir):
    """An orphan for which no thread can start at shutdown is let go whole."""
    started = []
    address = "tcp://log.example.com:9020"
    dead = leave(address=address)
    look_out(address, started, RuntimeError("can't start new thread")).look("bridge")
    assert started == ["closed"]
    assert Orphan.adopt(spool_dir / dead).release() is None


def test_a_look_that_is_under_way_does_not_outlive_the_end(leave, look_out, monkeypatch):
    """A delivery that begins while its worker closes is ended too.

    Else its thread would hold the journal while the receiver has its last look.
    """
    started, looking, go_on = [], threading.Event(), threading.Event()
    address = "tcp://log.example.com:9020"
    dead = leave(address=address)
    adoption = look_out(address, started)
    paths = adoption._finder.paths

    def slow_paths():
        looking.set()
        assert go_on.wait(30)
        return paths()

    monkeypatch.setattr(adoption._finder, "paths", slow_paths)
    look = threading.Thread(target=adoption.look, args=("bridge",))
    look.start()
    assert looking.wait(30)
    close = threading.Thread(target=adoption.close, args=(30.0,))
    close.start()
    close.join(0.1)
    go_on.set()
    look.join()
    close.join()
    assert started in ([], [(dead, "bridge"), "closed"])


# -- when something ends


def test_a_receiver_that_is_lost_half_way(receiver, leave, worker, at_once, spool_dir, eventually):
    """An orphan whose receiver is lost half way is adopted again, from the last answer on."""
    dead = leave(count=4)
    channel = worker()
    own = receiver.accept()
    own.hello(greet_with=0)
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(4)
    client.acknowledge(2)
    eventually(lambda: spool_dir.joinpath(dead, "meta").read_bytes()[16] == 2)
    client.close(reset=True)
    client = receiver.accept()
    assert client.hello(greet_with=2).base == 3
    client.rows(4)
    client.acknowledge(4)
    assert client.event() == GoodbyeReceived(dead)
    client.close()
    eventually(lambda: not (spool_dir / dead).exists())
    assert channel.stats().connected


def test_a_worker_that_ends_half_way_lets_go(receiver, leave, worker, at_once, spool_dir):
    """A worker that closes half way lets the orphan go within its timeout."""
    dead = leave()
    channel = worker()
    own = receiver.accept()
    own.hello(greet_with=0)
    own.acknowledge(1)
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(3)
    assert channel.flush(30)
    channel.close(0.2)
    orphan = Orphan.adopt(spool_dir / dead)
    assert orphan.acked == 0
    orphan.release()


def test_a_worker_that_ends_waits_for_what_it_delivers(receiver, leave, worker, at_once, spool_dir):
    """A worker that closes waits for an orphan that is delivered within its timeout."""
    dead = leave()
    channel = worker()
    own = receiver.accept()
    own.hello(greet_with=0)
    own.acknowledge(1)
    client = receiver.accept()
    client.hello(greet_with=0)
    assert channel.flush(30)
    closing = threading.Thread(target=channel.close, args=(30,))
    closing.start()
    while own.event() is not None:
        pass
    own.close()
    client.rows(3)
    client.acknowledge(3)
    assert client.event() == GoodbyeReceived(dead)
    client.close()
    closing.join(30)
    assert not (spool_dir / dead).exists()


def test_a_child_has_no_part_in_it(receiver, leave, worker, at_once, spool_dir, eventually):
    """A child that is forked during a delivery holds neither the lock nor the connection."""
    dead = leave()
    channel = worker()
    receiver.accept().hello(greet_with=0)
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(3)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"%d" % (channel.stats().accepted,))
            signal.pause()
        finally:
            os._exit(0)
    try:
        assert os.read(reader, 9) == b"0"
        client.acknowledge(3)
        assert client.event() == GoodbyeReceived(dead)
        assert client.event() is None  # the child has no copy of the socket
        client.close()
        eventually(lambda: not (spool_dir / dead).exists())
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        os.close(writer)


# -- real processes


WORKER = """
import signal, sys
from loguru_stdbridge.worker import adoption
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row

adoption.RECEIVER_HEAD_START, adoption.INTERVAL = 0.0, 0.05
channel = Channel(check_options(sys.argv[1], peer="bridge"))
name, count = sys.argv[2], int(sys.argv[3])
for number in range(count):
    channel.emit(a_row(f"worker {name} number {number} end"))
print("logged", flush=True)
signal.pause()
"""


def start_worker(address, name, count):
    worker = start_python(WORKER, address, name, str(count))
    assert worker.stdout.readline() == b"logged\n", worker.communicate()
    return worker


@pytest.mark.parametrize("adopters", [1, 3])
def test_killed_workers_of_a_receiver_with_a_spool_directory_of_its_own(
    tmp_path, spool_dir, eventually, adopters
):
    """Workers deliver killed ones' records once if the receiver has another spool directory."""
    counts = {f"dead{n}": 3000 for n in range(4)}
    options = ("--format", "{message}", "--spool-dir", str(tmp_path / "its own"))
    with ReceiverProcess(tmp_path / "app.log", *options) as receiver:
        os.kill(receiver.process.pid, signal.SIGSTOP)
        for name, count in counts.items():
            worker = start_worker(receiver.address, name, count)
            worker.kill()
            worker.communicate()
        assert len(journal_directories(spool_dir)) == 4
        alive = [start_worker(receiver.address, f"alive{n}", 1) for n in range(adopters)]
        os.kill(receiver.process.pid, signal.SIGCONT)
        try:
            if adopters > 1:  # one of them is killed in the middle of it all
                first = alive.pop(0)
                eventually((tmp_path / "app.log").exists)
                eventually(lambda: (tmp_path / "app.log").stat().st_size > 50_000)
                first.kill()
                first.communicate()
            eventually(
                lambda: len(journal_directories(spool_dir)) == len(alive), 60, "all are delivered"
            )
        finally:
            for worker in alive:
                worker.kill()
                worker.communicate()
        assert receiver.stop() == 0
    account = Account(tmp_path / "app.log")
    account.check({**counts, **{f"alive{n}": 1 for n in range(adopters)}})


def test_workers_take_turns_in_looking(look_out, spool_dir, monkeypatch):
    """Hundreds of workers share a few looks at the spool, since each look tries every lock."""
    looks = []
    monkeypatch.setattr(finder_module, "journal_directories", lambda path: looks.append(path) or [])
    spool_dir.mkdir(mode=0o700, exist_ok=True)
    address, other = parse_address("tcp://127.0.0.1:1"), parse_address("tcp://127.0.0.1:2")
    workers = [look_out(address, []) for _ in range(50)]
    pauses = [worker.look("stock") for worker in workers]
    assert len(looks) == 1
    assert pauses[0] == module.INTERVAL
    assert all(0 < pause <= module.INTERVAL / 10 for pause in pauses[1:])
    look_out(other, []).look("stock")
    assert len(looks) == 2
    for path in spool_dir.rglob("*.looked"):
        os.utime(path, (0, 0))
    assert workers[1].look("stock") == module.INTERVAL
    assert len(looks) == 3
    assert workers[2].look("stock") == module.INTERVAL  # the second time it waits its whole turn
    assert len(looks) == 3


def test_a_segment_that_vanishes_while_it_is_adopted_is_a_gap(leave, spool_dir):
    """A segment that vanishes during the delivery is told as a gap."""
    leave(count=60, segment_size=4096, limit=1 << 20)
    (path,) = journal_directories(spool_dir)
    orphan = Orphan.adopt(path)
    try:
        journal = module.AdoptedJournal(orphan)
        first = journal.read(0, 1 << 20)
        assert 0 < first.last < 60
        for segment in Path(path).glob("*.seg"):
            segment.unlink()
        orphan._loaded = None  # as another segment had been read meanwhile
        assert journal.read(first.last, 1 << 20).gap == (first.last + 1, 60, "damaged")
        assert journal.read(60, 1 << 20).gap is None
    finally:
        orphan.release()


ISOLATED = """
import sys
import _interpreters
code = f'''
import sys
sys.path[:] = {sys.path!r}
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
bridge = install_bridge({sys.argv[1]!r})
logger.info("worker sub number 0 end")
logger.info("worker sub number 1 end")
assert not bridge.flush(0) and bridge.stats().pending == 2
'''
interpreter = _interpreters.create("isolated")
failed = _interpreters.exec(interpreter, code)
assert failed is None, failed
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="older Pythons have no _interpreters")
def test_what_an_isolated_interpreter_has_logged_is_delivered_after_it(tmp_path):
    """No thread of ours may start there: stderr says so, and a receiver takes the journal."""
    address = free_address()
    status, _, told = run_python(ISOLATED, address)
    assert status == 0, told
    assert told.count("cannot start the thread") == 1
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}", listen=address) as receiver:
        wait_until(lambda: len(Account(receiver.sink).found) == 2, 30, "both are delivered")
        assert receiver.stop() == 0
