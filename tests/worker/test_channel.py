"""A channel has one journal and one sender at a time, however often it is closed or forked."""

from __future__ import annotations

import errno
import gc
import os
import socket
import sys
import threading

import pytest

from loguru_stdbridge import start_receiver
from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.exceptions import JournalError
from loguru_stdbridge.spool import journal as journal_module
from loguru_stdbridge.spool.directory import noted_sink
from loguru_stdbridge.spool.finder import journal_directories
from loguru_stdbridge.worker import channel as module
from loguru_stdbridge.worker import pipeline as pipeline_module
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.sender import Sender
from loguru_stdbridge.worker.stats import Stats
from tests.support.processes import Account, ReceiverProcess, run_python
from tests.support.scripted import ScriptedReceiver, a_row


@pytest.fixture
def receiver(tmp_path):
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}"
    ) as running:
        running.path = tmp_path / "app.log"
        running.lines = lambda: running.path.read_text(encoding="utf-8").splitlines()
        yield running


def balance(channel):
    stats = channel.stats()
    assert stats.accepted == stats.acknowledged + stats.pending + sum(stats.dropped.values()), stats
    return stats


# -- its life


def test_nothing_is_made_before_the_first_record(make_channel, spool_dir):
    """A channel has no journal, no thread and nothing to wait for before its first record."""
    channel = make_channel()
    assert journal_directories(spool_dir) == []
    assert channel.stats() == Stats(0, 0, 0, 0)
    assert channel.flush(0)
    assert channel.close(0)


def test_a_channel_that_is_used_after_its_end_begins_anew(make_channel, receiver, spool_dir):
    """A record after the close makes another journal and sender, and the figures go on."""
    channel = make_channel(receiver.address)
    for part in range(3):
        for number in range(10):
            channel.emit(a_row(part * 10 + number))
        if part == 1:
            assert channel.flush(30)
            assert balance(channel).connected
        assert channel.close(30)
        assert balance(channel) == Stats(
            10 * part + 10, 10 * part + 10, 0, 0, {}, 0, False, "bridge"
        )
        assert journal_directories(spool_dir) == []
    assert receiver.lines() == [str(number) for number in range(30)]


def test_what_is_left_at_the_end_is_in_the_journal(make_channel, spool_dir):
    """A close leaves undelivered records on disk, counts them as pending, and never reopens their
    journal."""
    channel = make_channel()
    channel.emit(a_row("left"))
    assert not channel.close(0.0, patient=False)
    assert balance(channel) == Stats(1, 0, 0, 1)
    (orphan,) = journal_directories(spool_dir)
    channel.emit(a_row("next"))
    assert channel.stats().pending == 2
    assert not channel.close(0.0, patient=False)
    assert len(journal_directories(spool_dir)) == 2
    assert orphan in journal_directories(spool_dir)


def test_what_is_left_in_memory_at_the_end_is_counted(make_channel):
    """A close counts the undelivered records of a journal in memory as dropped."""
    channel = make_channel(spool_dir=False)
    channel.emit(a_row("lost"))
    assert not channel.close(0.0, patient=False)
    assert balance(channel) == Stats(1, 0, 0, 0, {"closed": 1})


@pytest.mark.parametrize("spool", [None, False], ids=["disk", "memory"])
def test_closing_while_others_log(make_channel, receiver, spool_dir, eventually, spool):
    """While three threads log and one closes again and again, every record is in exactly one
    journal."""
    channel = make_channel(receiver.address, spool_dir=spool)
    counts = dict.fromkeys("abc", 3000)

    def log(name):
        for number in range(counts[name]):
            channel.emit(a_row(f"worker {name} number {number} end"))

    threads = [threading.Thread(target=log, args=(name,)) for name in counts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        channel.close(0.01)
    channel.emit(a_row("worker z number 0 end"))  # of the rest, memory may have lost everything
    assert channel.close(30) or spool is None or channel.stats().dropped
    stats = balance(channel)
    assert stats.accepted == sum(counts.values()) + 1
    if spool is None:
        eventually(lambda: journal_directories(spool_dir) == [], what="what was left is adopted")
    receiver.stop()
    account = Account(receiver.path)
    assert set(account.found.values()) == {1}
    assert not account.torn
    if spool is None:
        assert len(account.found) == stats.acknowledged + stats.pending == 9001
    else:
        assert account.found["z", 0]
        assert set(stats.dropped) <= {"closed"}
        assert stats.acknowledged <= len(account.found)  # the rest was written, and no answer read


# -- where the journal is


def test_a_directory_that_cannot_be_used_costs_the_journal_not_the_record(
    make_channel, spool_dir, capfd, receiver
):
    """With an unusable default directory the journal is in memory, stderr says so, and records
    arrive."""
    spool_dir.mkdir(exist_ok=True)
    spool_dir.chmod(0o755)
    channel = make_channel(receiver.address)
    channel.emit(a_row("in memory"))
    assert channel.close(30)
    assert receiver.lines() == ["in memory"]
    assert capfd.readouterr().err.count("kept in memory only") == 1


def test_a_directory_that_was_named_and_cannot_be_used_is_an_error(make_channel, tmp_path):
    """A directory that the program named and that is open to others raises JournalError."""
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(JournalError, match="open to others"):
        make_channel(spool_dir=tmp_path / "open")


def test_a_directory_that_is_gone_at_the_first_record(make_channel, tmp_path, capfd, receiver):
    """A log call succeeds in memory if the spool directory is gone, and stderr says so."""
    channel = make_channel(receiver.address, spool_dir=tmp_path / "mine")
    (tmp_path / "mine").rmdir()
    (tmp_path / "mine").write_text("in the way")
    channel.emit(a_row("in memory"))
    assert channel.close(30)
    assert receiver.lines() == ["in memory"]
    assert "Records are kept in memory only" in capfd.readouterr().err


def test_an_address_that_does_not_fit_a_journal(make_channel, monkeypatch):
    """An address too long for a journal's file is kept in memory, and stderr says so."""
    told = []
    monkeypatch.setattr(pipeline_module, "report", told.append)
    channel = make_channel("unix:///" + "x" * 5000)
    channel.emit(a_row("in memory"))
    assert channel.stats().accepted == 1
    assert any("5008 bytes" in text for text in told)


def test_the_options_reach_the_journal(make_channel):
    """The journal keeps the limit, the policy and the time that the channel was given."""
    channel = make_channel(spool_limit=2 << 20, when_full="block", block_timeout=0.0)
    row = a_row("x" * 1000)
    while not channel.stats().dropped:
        channel.emit(row)
    assert 1500 < balance(channel).pending < 2000


def test_the_line_format_of_a_receiver_that_greeted_is_noted(make_channel, receiver, tmp_path):
    """A worker notes the line format of its receiver in its own spool directory."""
    own = tmp_path / "own"
    address = parse_address(receiver.address)
    channel = make_channel(receiver.address, spool_dir=own)
    assert noted_sink(own, address)[0] is None
    channel.emit(a_row("hi"))
    assert channel.close(30)
    assert noted_sink(own, address)[0].format == "{message}"


def test_a_receiver_counts_as_one_of_ours_when_it_has_greeted(make_channel):
    """The figures show a peer only when it has greeted, or was named a stock one."""
    with ScriptedReceiver() as scripted:
        channel = make_channel(str(scripted.address))
        channel.emit(a_row("hi"))
        client = scripted.accept()
        assert channel.stats().peer is None
        client.hello(greet_with=0)
        client.rows(1)
        client.acknowledge(1)
        assert channel.flush(30)
        assert channel.stats().peer == "bridge"


# -- log calls out of the middle of things


def test_a_signal_handler_that_logs_while_the_journal_is_made(
    make_channel, receiver, monkeypatch, spool_dir
):
    """Two first records at once, one by a signal handler, leave exactly one journal."""
    channel = make_channel(receiver.address)
    create, inner = module.Journal.create, [a_row("inner")]

    def interrupted(*arguments, **options):
        if inner:
            channel.emit(inner.pop())
        return create(*arguments, **options)

    monkeypatch.setattr(module.Journal, "create", interrupted)
    channel.emit(a_row("outer"))
    assert channel.flush(30)
    assert len(journal_directories(spool_dir)) == 1
    assert channel.close(30)
    assert receiver.lines() == ["inner", "outer"]


def test_a_signal_handler_that_logs_at_any_line_of_the_opening(make_channel, spool_dir):
    """At whatever line of the opening a handler logs, both records count, and the spare journal is
    closed."""
    channel, count, reached = None, 0, True
    while reached:
        count, reached, channel = count + 1, False, make_channel()
        at = count

        def trace(frame, event, argument):
            nonlocal at, reached
            if frame.f_code is not Channel._open.__code__:
                return None
            at -= event == "line"
            if at == 0:
                at, reached = -1, True
                sys.settrace(None)
                channel.emit(a_row("inner"))
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            channel.emit(a_row("outer"))
        finally:
            sys.settrace(before)
        assert channel.stats().accepted == 1 + reached, count
        channel.close(0.0, patient=False)
        assert len(journal_directories(spool_dir)) == count
    assert count > 5


def test_what_garbage_logs_in_the_sender_s_own_thread_arrives(make_channel, receiver, monkeypatch):
    """A ``__del__`` that the garbage collector runs in the sender's thread may log like any other
    code."""

    class Dying:
        def __init__(self):
            self.ring = self

        def __del__(self):
            assert threading.current_thread().name == "loguru_stdbridge-sender"
            channel.emit(a_row("inner"))

    channel = make_channel(receiver.address)
    for method in ("acknowledge", "read"):  # in its section, and in the middle of its work
        original, garbage = getattr(module.Journal, method), []

        def collecting(journal, *arguments, original=original, garbage=garbage):
            if threading.current_thread().name == "loguru_stdbridge-sender" and not garbage:
                garbage.append(Dying() and None)
                gc.collect()
            return original(journal, *arguments)

        with monkeypatch.context() as patch:
            patch.setattr(module.Journal, method, collecting)
            channel.emit(a_row("outer"))
            assert channel.flush(30)
    assert channel.close(30)
    assert sorted(receiver.lines()) == ["inner", "inner", "outer", "outer"]
    assert balance(channel).accepted == 4


def test_what_the_sender_s_own_work_logs_does_not_feed_itself_for_ever(
    make_channel, receiver, monkeypatch, eventually
):
    """The sender's own records stop at an allowance, as with a socket that logs what it sends."""
    monkeypatch.setattr(module, "OWN_ALLOWANCE", 20)
    channel = make_channel(receiver.address)
    original = journal_module.Journal.acknowledge

    def chatty(journal, through):
        original(journal, through)
        channel.emit(a_row("acknowledged"))

    monkeypatch.setattr(journal_module.Journal, "acknowledge", chatty)
    for number in range(40):
        channel.emit(a_row(number))
    eventually(lambda: channel.stats().dropped, what="it has come to rest")
    monkeypatch.undo()
    assert channel.close(30)  # these are no records of the application's
    stats = balance(channel)
    own = receiver.lines().count("acknowledged")
    assert 40 <= own <= 40 + 20 + 1
    assert stats.acknowledged == len(receiver.lines()) == 40 + own
    assert stats.dropped == {"own": 1}


def test_closing_out_of_a_signal_handler_in_the_middle_of_a_log_call(
    make_channel, monkeypatch, spool_dir
):
    """A SIGTERM handler that closes inside a log call waits for nothing, and the record is stored."""
    channel = make_channel()
    channel.emit(a_row(1))
    original, closed = journal_module._crc32, []

    def checksum(data, number):
        if not closed:
            closed.append(channel.close(0.0, patient=False))
        return original(data, number)

    monkeypatch.setattr(journal_module, "_crc32", checksum)
    channel.emit(a_row(2))
    assert closed == [False]
    channel.emit(a_row(3))
    assert channel.stats().accepted >= 2
    assert len(journal_directories(spool_dir)) == 2


def test_closing_out_of_a_signal_handler_while_it_is_closed(make_channel, monkeypatch):
    """A signal handler that closes during a close neither waits nor counts a record twice."""
    channel, closed = make_channel(), []
    original = Sender.close

    def close(sender, timeout, **options):
        if not closed:
            closed.append(None)
            closed.append(channel.close(0.0, patient=False))
        return original(sender, timeout, **options)

    monkeypatch.setattr(Sender, "close", close)
    channel.emit(a_row(1))
    assert not channel.close(0.0, patient=False)
    assert closed == [None, False]
    assert balance(channel) == Stats(1, 0, 0, 1)


SIGNALS = """
import itertools, os, signal, sys, threading
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row

channel = Channel(check_options(sys.argv[1], spool_limit=1 << 20, when_full="block"))
inner = itertools.count()
logging = True

def on_alarm(*_):
    channel.emit(a_row(f"worker s number {next(inner)} end"))
    if logging:
        signal.setitimer(signal.ITIMER_REAL, 0.001)

signal.signal(signal.SIGALRM, on_alarm)
signal.setitimer(signal.ITIMER_REAL, 0.001)
for number in range(20_000):
    channel.emit(a_row(f"worker a number {number} end"))
logging = False
signal.setitimer(signal.ITIMER_REAL, 0)
assert channel.close(60)
print(channel.stats().accepted, channel.stats().dropped, next(inner))
"""


def test_block_with_a_signal_handler_that_logs(tmp_path):
    """A full journal with ``block``, interrupted a thousand times a second, neither hangs nor
    loses."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as process:
        status, out, err = run_python(SIGNALS, process.address)
        assert status == 0, err
        assert process.stop() == 0
    accepted, dropped, inner = out.split()
    account = Account(tmp_path / "app.log")
    assert dropped == "{}"
    assert int(accepted) == 20_000 + int(inner)
    assert sorted(n for worker, n in account.found if worker == "s") == list(range(int(inner)))
    assert [n for worker, n in account.found if worker == "a"] == list(range(20_000))
    assert set(account.found.values()) == {1} and not account.torn


# -- what cannot start, or ends


class Shortage:
    """Makes ``owner.name`` raise ``error`` while :attr:`lasts`."""

    def __init__(self, monkeypatch, owner, name, error):
        self.lasts = True
        original = getattr(owner, name)

        def short(*arguments, **options):
            if self.lasts:
                raise type(error)(*error.args)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, name, short)


THREADS = (threading.Thread, "start", RuntimeError("can't start new thread"))
DESCRIPTORS = (socket, "socketpair", OSError(errno.EMFILE, "Too many open files"))
MEMORY = (socket, "socketpair", MemoryError())


@pytest.mark.parametrize("spool", [None, False], ids=["disk", "memory"])
@pytest.mark.parametrize(
    "shortage", [THREADS, DESCRIPTORS, MEMORY], ids=["threads", "descriptors", "memory"]
)
def test_a_sender_that_cannot_start_is_tried_again_by_later_records(
    make_channel, receiver, monkeypatch, capfd, eventually, shortage, spool
):
    """Records wait while no sender can start, stderr says so once, and a later record starts it."""
    monkeypatch.setattr(pipeline_module, "START_PAUSE", 0.0)
    channel = make_channel(receiver.address, spool_dir=spool)
    short = Shortage(monkeypatch, *shortage)
    for number in range(10):
        channel.emit(a_row(number))
    assert channel.stats().pending == 10
    short.lasts = False
    channel.emit(a_row(10))
    eventually(lambda: channel.stats().acknowledged == 11, what="all is delivered")
    assert receiver.lines() == [str(number) for number in range(11)]
    err = capfd.readouterr().err
    assert err.count("cannot start the thread that sends records") == 1
    assert str(shortage[2]) in err
    assert ("wait in memory" if spool is False else "wait in the journal") in err


def test_a_sender_that_cannot_start_is_not_tried_by_each_record(make_channel, monkeypatch):
    """Log calls do not pay for one attempt after the other."""
    attempts = []

    def start(thread):
        attempts.append(thread)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(pipeline_module, "START_PAUSE", 3600.0)
    monkeypatch.setattr(threading.Thread, "start", start)
    channel = make_channel()
    for number in range(100):
        channel.emit(a_row(number))
    assert len(attempts) == 1


@pytest.mark.parametrize("way", ["flush", "close"])
def test_a_sender_that_could_not_start_is_tried_again_at_a_flush_and_at_the_end(
    make_channel, receiver, monkeypatch, way
):
    """A flush and a close start the sender, however soon after the last attempt they come."""
    channel = make_channel(receiver.address)
    short = Shortage(monkeypatch, *THREADS)
    channel.emit(a_row("waits"))
    assert not channel.flush(3600)
    short.lasts = False
    assert getattr(channel, way)(30)
    assert receiver.lines() == ["waits"]


@pytest.mark.parametrize(
    "error",
    [SystemExit(), KeyboardInterrupt(), MemoryError()],
    ids=lambda error: type(error).__name__,
)
def test_a_sender_that_an_error_has_ended_is_started_again(
    make_channel, receiver, monkeypatch, capfd, eventually, error
):
    """Whatever ends the sender's thread, stderr says so and the records are delivered."""
    original, errors = Sender._wait_for_rows, [error]

    def wait_for_rows(sender):
        if errors:
            raise type(errors.pop())()
        return original(sender)

    monkeypatch.setattr(pipeline_module, "START_PAUSE", 0.0)
    monkeypatch.setattr(Sender, "_wait_for_rows", wait_for_rows)
    channel = make_channel(receiver.address)
    channel.emit(a_row("safe"))
    eventually(lambda: channel.stats().acknowledged == 1, what="it is delivered")
    err = capfd.readouterr().err
    assert err.count("the thread that sends records to") == 1
    assert type(error).__name__ in err


def test_a_program_that_closes_all_descriptors(tmp_path):
    """A sender whose descriptors were closed touches no file of the application's, and goes on."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as process:
        status, out, err = run_python(CLOSING_ALL, process.address)
        assert (status, out) == (0, "True\n"), err
        assert process.stop() == 0
    assert (tmp_path / "app.log").read_text() == "before\nafter\n"


CLOSING_ALL = """
import os, socket, sys
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row

channel = Channel(check_options(sys.argv[1], spool_dir=False))
channel.emit(a_row("before"))
assert channel.flush(60)
highest = max(map(int, os.listdir("/proc/self/fd")))
os.closerange(3, highest + 1)
pairs = [socket.socketpair() for _ in range(highest)]  # the application's own, by the same numbers
channel.emit(a_row("after"))
print(channel.flush(60))
for pair in pairs:
    for end in pair:
        end.setblocking(False)
        try:
            raise AssertionError(end.recv(100))
        except BlockingIOError:
            pass
"""


def test_a_sender_that_ends_before_its_first_line_is_started_again(tmp_path):
    """A tracer that raises in each new thread holds records up only while it is there."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as process:
        status, out, err = run_python(RAISING_TRACER, process.address)
        assert (status, out) == (0, "True\n"), err
        assert process.stop() == 0
    assert (tmp_path / "app.log").read_text() == "first\n"


RAISING_TRACER = """
import sys, threading
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row


def trace(*arguments):
    raise ValueError("a tracer")


channel = Channel(check_options(sys.argv[1], spool_dir=False))
threading.settrace(trace)
channel.emit(a_row("first"))
threading.settrace(None)
channel._pipeline.sender._thread.join()
print(channel.flush(60))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="numbers of files are no system's there")
def test_nothing_of_ours_takes_the_number_of_a_closed_standard_stream(tmp_path):
    """A program without standard streams that writes to them all the same writes into no journal."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as process:
        status, _, _ = run_python(WITHOUT_STREAMS, process.address, str(tmp_path))
        assert process.stop() == 0
    assert (status, (tmp_path / "low").read_text()) == (0, "[]")
    assert (tmp_path / "app.log").read_text() == "before\nafter\n"


WITHOUT_STREAMS = """
import os, sys, time
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row

os.closerange(0, 3)
channel = Channel(check_options(sys.argv[1], spool_dir=sys.argv[2] + "/spool"))
channel.emit(a_row("before"))
assert channel.flush(60)


def taken():
    for number in range(3):
        try:
            yield number, os.fstat(number)
        except OSError:
            pass


deadline = time.monotonic() + 30  # a directory is read meanwhile, now and then
while (low := list(taken())) and time.monotonic() < deadline:
    pass
with open(sys.argv[2] + "/low", "w") as told:
    told.write(repr(low))
channel.emit(a_row("after"))
assert channel.flush(60)
"""


def test_a_wake_up_that_a_signal_handler_s_exception_has_eaten(make_channel, receiver, eventually):
    """A sender that sleeps looks for records by itself."""
    channel = make_channel(receiver.address)
    channel.emit(a_row("first"))
    assert channel.flush(30)
    journal = channel._pipeline.journal
    eventually(lambda: journal.sender_waiting, what="the sender sleeps")
    original = journal.on_append

    def interrupted():
        journal.on_append = original
        raise KeyboardInterrupt

    journal.on_append = interrupted
    with pytest.raises(KeyboardInterrupt):
        channel.emit(a_row("second"))
    eventually(lambda: receiver.lines() == ["first", "second"], what="it is delivered")


def test_an_exception_at_any_line_of_the_opening_leaves_nothing(
    make_channel, receiver, spool_dir, scale, chance
):
    """A first record whose call is interrupted leaves at most one journal, and the next one works.

    Every second line is tried; the seed says which. ``--long`` tries all.
    """
    step, reached = scale(2, 1), True
    count = -chance.randrange(step)
    while reached:
        count, reached, channel = count + step, False, make_channel(receiver.address)
        at = count

        def trace(frame, event, argument):
            nonlocal at, reached
            if "loguru_stdbridge/worker" not in frame.f_code.co_filename:
                return None
            if threading.current_thread() is not threading.main_thread():
                return None
            at -= event == "line"
            if at == 0:
                at, reached = -1, f"{frame.f_code.co_name}:{frame.f_lineno}"
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            channel.emit(a_row("interrupted"))
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        channel.emit(a_row("next"))
        assert channel.flush(30), reached
        assert channel.stats().accepted in (1, 2), reached
        assert channel.close(30)
        assert journal_directories(spool_dir) == [], reached
    assert count > 50


# -- policies, to the end


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest", "block"])
def test_what_was_given_up_is_counted_and_told_in_the_log(
    make_channel, tmp_path, spool_dir, when_full
):
    """After an outage beyond the limit, the written and the told records add up to the logged ones."""
    count = 10_000
    with ScriptedReceiver() as scripted:
        address = str(scripted.address)
    channel = make_channel(address, spool_limit=1 << 20, when_full=when_full, block_timeout=0.0)
    for number in range(count):
        channel.emit(a_row(f"worker a number {number} end"))
    before = balance(channel)
    assert before.accepted == count
    assert before.pending + before.dropped["spool_full"] == count
    with start_receiver(
        tmp_path / "app.log", address=address, format="{level}|{message}"
    ) as receiver:
        assert not channel.flush(60)  # not all of it can be written
        channel.emit(a_row("last"))
        assert not channel.close(30)
        assert not channel.flush(0)
        after = channel.stats()
        assert receiver.counts["duplicates"] == 0
    lines = (tmp_path / "app.log").read_text().splitlines()
    told = [line for line in lines if "given up" in line]
    numbers = [int(line.split()[3]) for line in lines if line.startswith("INFO|worker a")]
    assert all(line.startswith("WARNING|") and line.endswith(": spool_full") for line in told)
    missing = sum(int(line.split("|")[1].split()[0]) for line in told)
    assert (
        missing
        == count - len(numbers)
        == after.dropped["spool_full"]
        == before.dropped["spool_full"]
    )
    assert numbers == sorted(set(numbers))
    assert (numbers[0] == 0) == (when_full != "drop_oldest")
    assert lines[-1] == "INFO|last"
    assert after == Stats(
        count + 1, len(numbers) + 1, 0, 0, {"spool_full": missing}, 0, False, "bridge"
    )
    assert journal_directories(spool_dir) == []


# -- other processes


def test_a_child_begins_anew(make_channel, receiver, spool_dir):
    """A forked child has its own journal, sender and figures, and the parent's go on."""
    channel = make_channel(receiver.address)
    channel.emit(a_row("parent"))
    assert channel.flush(30)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert channel.stats() == Stats(0, 0, 0, 0)
            assert channel.flush(0)
            channel.emit(a_row("child"))
            status = 0 if channel.flush(30) and channel.stats().accepted == 1 else 2
            channel.close(30)
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    channel.emit(a_row("parent again"))
    assert channel.close(30)
    assert receiver.lines() == ["parent", "child", "parent again"]
    assert balance(channel).accepted == 2


def test_a_child_of_a_child_and_one_that_never_logs(make_channel, receiver):
    """Only the descendants that log make a journal, each its own."""
    channel = make_channel(receiver.address)
    channel.emit(a_row("a"))
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            channel.emit(a_row("c"))
            os._exit(0 if channel.close(30) else 1)
        os._exit(os.wait()[1] >> 8)
    assert os.waitpid(child, 0)[1] == 0
    assert channel.close(30)
    assert sorted(receiver.lines()) == ["a", "c"]


EXIT = """
import sys, threading
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row

channel = Channel(check_options(sys.argv[1]))
if sys.argv[2] == "no thread":
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")
    threading.Thread.start = refuse
for number in range(100):
    channel.emit(a_row(f"worker a number {number} end"))

class Late:
    def __del__(self, emit=channel.emit, row=a_row("worker late number 0 end")):
        emit(row)

if sys.argv[2] == "del":
    late = Late()
"""


@pytest.mark.parametrize("way", ["plain", "no thread", "del"])
def test_the_end_of_the_process(tmp_path, spool_dir, eventually, way):
    """The exit delivers what was logged; what no thread can deliver any more is adopted."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as process:
        status, out, err = run_python(EXIT, process.address, way)
        assert status == 0
        assert err.count("cannot start the thread") == (way != "plain"), err
        eventually(lambda: journal_directories(spool_dir) == [], what="all is delivered")
        assert process.stop() == 0
    account = Account(tmp_path / "app.log")
    account.check({"a": 100, **({"late": 1} if way == "del" else {})})


FLUSH = """
import sys
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row

channel = Channel(check_options(sys.argv[1]))
channel.emit(a_row("first"))
assert channel.flush(60)
with channel._pipeline.journal._section():  # as in the middle of a log call
    channel._pipeline.journal._store(a_row("second"))
    print(channel.flush())
print(channel.flush())
"""


def test_a_flush_in_the_middle_of_a_log_call_does_not_wait(tmp_path, spool_dir):
    """A flush inside a log call returns at once, since the sender needs what its caller holds."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as process:
        status, out, err = run_python(FLUSH, process.address, timeout=30)
        assert (status, err) == (0, "")
    assert out.split() == ["False", "True"]
    assert (tmp_path / "app.log").read_text() == "first\nsecond\n"
