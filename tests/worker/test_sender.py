"""A sender keeps its promises against a receiver that is scripted move by move."""

from __future__ import annotations

import errno
import os
import socket
import threading
from unittest import mock

import pytest

from loguru_stdbridge.addresses import Address
from loguru_stdbridge.spool.journal import Figures, Journal
from loguru_stdbridge.spool.segments import Batch
from loguru_stdbridge.wire.frames import encode_frame
from loguru_stdbridge.wire.receiving import GapReceived, GoodbyeReceived, RowsReceived
from loguru_stdbridge.worker import connecting
from loguru_stdbridge.worker import conversation as conversation_module
from loguru_stdbridge.worker.sender import Sender
from tests.support.scripted import ScriptedReceiver, a_row

SEGMENT = 16 * 1024
PER_SEGMENT = 4  # rows of some 3,500 bytes


def large(number):
    return a_row(f"{number} {'x' * 3500}")


def numbers(rows):
    """Return the number that each row's message begins with, by sequence number."""
    return {sequence: int(fields[9].split()[0]) for sequence, fields in rows.items()}


@pytest.fixture
def receiver():
    with ScriptedReceiver() as scripted:
        yield scripted


@pytest.fixture
def journal():
    journal = Journal.create(None, "tcp://127.0.0.1:1", segment_size=SEGMENT, limit=4 * SEGMENT)
    yield journal
    journal.close(remove=True)


@pytest.fixture
def backlog():
    """Make a journal of 40 MB in 200 rows: more than any socket takes."""
    journal = Journal.create(None, "tcp://127.0.0.1:1", limit=64 << 20)
    for number in range(1, 201):
        journal.append(a_row(f"{number} {'x' * 200_000}"))
    yield journal
    journal.close(remove=True)


@pytest.fixture
def told():
    """Collect what the operator was told."""
    return []


@pytest.fixture
def start(receiver, journal, told):
    """Start a sender of ``journal`` to ``receiver``; it is closed at the end."""
    started = []

    def start(begin=True, of=journal, **options):
        options = {"address": receiver.address, "report": told.append, "notice": a_row, **options}
        sender = Sender(of, **options)
        started.append(sender)
        if begin:
            sender.start()
        return sender

    yield start
    for sender in started:
        sender.close(0.0)


def fill(journal, count):
    for _ in range(count):
        journal.append(a_row(journal.next))


# -- to a receiver of ours


def test_a_journal_that_could_not_note_its_end_says_no_goodbye(receiver, tmp_path, start):
    """A sender whose disk took no acknowledgement is not forgotten: its journal may come back."""
    journal = Journal.create(str(tmp_path / "spool"), receiver.address)
    fill(journal, 2)

    def refuse(data, offset):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    journal._disk._file = mock.Mock(wraps=journal._disk._file, write=refuse)
    sender = start(of=journal)
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(2)
    client.acknowledge(2)
    assert sender.flush(2, 30)
    sender.close(5.0)
    assert client.event() is None
    journal.close(remove=True)


def test_rows_are_delivered_and_acknowledged(receiver, journal, start):
    """The hello carries the oldest row, dense frames the rest, each with its number."""
    fill(journal, 3)
    sender = start()
    client = receiver.accept()
    hello = client.hello(greet_with=0)
    assert (hello.sender, hello.base) == (journal.sender_id, 1)
    assert numbers(client.rows(3)) == {1: 1, 2: 2, 3: 3}
    assert not sender.flush(3, 0.01)
    client.acknowledge(2)
    assert sender.flush(2, 30)
    client.acknowledge(3)
    assert sender.flush(3, 30)
    assert (sender.connected, sender.peer, sender.unacknowledged) == (True, "bridge", 0)
    fill(journal, 2)
    assert numbers(client.rows(5)) == {4: 4, 5: 5}
    client.acknowledge(5)
    assert sender.flush(5, None)
    assert journal.figures() == Figures(5, 5, 0, {})


def test_nothing_is_opened_before_there_is_something_to_say(receiver, journal, start):
    """A sender of an empty journal never connects."""
    sender = start()
    receiver.listener.settimeout(0.05)
    with pytest.raises(OSError, match="timed out"):
        receiver.accept()
    assert sender.close(1)


def test_what_the_receiver_holds_already_is_not_sent_again(receiver, journal, start):
    """The sender skips the rows that the greeting counts."""
    fill(journal, 20)
    start()
    client = receiver.accept()
    client.hello(greet_with=15)
    client.rows(1)  # it was in the hello
    assert list(client.rows(20)) == [16, 17, 18, 19, 20]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_lost_connection_is_followed_by_the_next(receiver, journal, told, start, reset):
    """After lost connections the sender goes on from the last acknowledgement and tells the
    operator once."""
    fill(journal, 10)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(10)
    client.acknowledge(4)
    assert sender.flush(4, 30)
    client.close(reset=reset)
    for _ in range(2):
        client = receiver.accept()
        assert client.hello().base == 5
        client.close(reset=reset)
    client = receiver.accept()
    client.hello(greet_with=7)
    client.rows(5)
    assert list(client.rows(10)) == [8, 9, 10]
    client.acknowledge(10)
    assert sender.flush(10, 30)
    assert sender.reconnects == 3
    assert len(told) == 1 and "cannot deliver" in told[0]


def test_a_connection_that_breaks_in_the_middle_of_a_frame(receiver, backlog, start):
    """A frame that was sent in part comes again whole on the next connection."""
    sender = start(of=backlog)
    client = receiver.accept()
    client.hello(greet_with=0)
    client.socket.recv(100_000)
    client.close(reset=True)
    client = receiver.accept()
    client.hello(greet_with=0)
    assert numbers(client.rows(200)) == {n: n for n in range(1, 201)}
    client.acknowledge(200)
    assert sender.flush(200, 30)


def test_a_receiver_that_does_not_read_for_a_while(receiver, backlog, start):
    """The sender reads acknowledgements while its own frames wait for room in the socket."""
    sender = start(of=backlog)
    client = receiver.accept()
    client.hello(greet_with=0)
    client.acknowledge(1)
    assert sender.flush(1, 30)
    assert not sender.flush(2, 0.1)
    assert numbers(client.rows(200)) == {n: n for n in range(1, 201)}
    client.acknowledge(200)
    assert sender.flush(200, 30)


def test_an_idle_connection_that_ends_is_no_outage(receiver, journal, told, start, eventually):
    """The end of an idle connection is not told; the next record opens another."""
    fill(journal, 1)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.acknowledge(1)
    assert sender.flush(1, 30)
    client.close()
    eventually(lambda: not sender.connected)
    fill(journal, 1)
    client = receiver.accept()
    assert client.hello(greet_with=1).base == 2
    assert told == []


def test_a_receiver_that_refuses_is_told_and_tried_again(receiver, journal, told, start):
    """The operator is told the reason of a refusal, and the sender tries again."""
    fill(journal, 1)
    start()
    client = receiver.accept()
    client.hello()
    client.socket.sendall(client.protocol.error("the moon is in the wrong house"))
    assert receiver.accept().hello().base == 1
    assert "the moon is in the wrong house" in told[0]


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", encode_frame(b"[]"), b"\xff" * 9]
)
def test_an_answer_that_is_none_ends_the_connection(receiver, journal, told, start, answer):
    """A peer that answers in another protocol is told to the operator and costs no record."""
    fill(journal, 1)
    start()
    client = receiver.accept()
    client.hello()
    client.socket.sendall(answer)
    assert receiver.accept().hello().base == 1
    assert "PeerError" in told[0] or "FrameError" in told[0]
    assert journal.figures().pending == 1


def test_a_host_has_several_addresses(receiver, journal, start, monkeypatch):
    """The sender tries a host's addresses in turn until one accepts."""
    good = connecting.targets(receiver.address)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        bad = (socket.AF_INET, closed.getsockname())
        monkeypatch.setattr(connecting, "targets", lambda address, trusted: [bad, *good])
        fill(journal, 1)
        start()
        receiver.accept().hello(greet_with=0)


@pytest.mark.parametrize(
    "error",
    [OSError("no such host"), UnicodeError("label too long")],
    ids=["unknown", "impossible"],
)
def test_a_host_that_is_not_known_yet_is_tried_again(
    receiver, journal, told, start, monkeypatch, error
):
    """The sender waits for a name server that comes up later than the worker."""
    original, errors = connecting.targets, [error] * 3

    def targets(address, trusted):
        if errors:
            raise errors.pop()
        return original(address)

    monkeypatch.setattr(connecting, "targets", targets)
    fill(journal, 1)
    start()
    receiver.accept().hello(greet_with=0)
    assert len(told) == 1 and str(error) in told[0]


def test_a_host_without_any_address(journal, told, start, monkeypatch, eventually):
    """A name server's empty answer is told like any other error."""
    monkeypatch.setattr(connecting, "targets", lambda address, trusted: [])
    fill(journal, 1)
    start()
    eventually(lambda: told)
    assert "has no address" in told[0]


def test_a_bug_of_ours_does_not_end_the_thread(receiver, journal, told, start, monkeypatch):
    """An unexpected error in the sender is told, and the next attempt delivers the records."""
    original, errors = journal.read, [ZeroDivisionError("division by zero")]

    def read(after, max_bytes):
        if errors:
            raise errors.pop()
        return original(after, max_bytes)

    monkeypatch.setattr(journal, "read", read)
    fill(journal, 1)
    start()
    receiver.accept()
    assert receiver.accept().hello(greet_with=0).base == 1
    assert "ZeroDivisionError" in told[0]


def test_a_journal_that_has_not_what_it_says_is_no_busy_loop(
    receiver, journal, told, start, monkeypatch, eventually
):
    """A journal that lacks what it counts makes the sender pause, not spin."""
    monkeypatch.setattr(journal, "read", lambda after, size: Batch(after + 1, (), after))
    fill(journal, 1)
    sender = start()
    receiver.accept()
    receiver.accept()
    eventually(lambda: sender._outage.pause() > 0, what="it pauses")
    assert "not in the journal" in told[0]


def test_the_journal_s_trouble_is_told(receiver, journal, told, start, eventually):
    """The sender tells the journal's trouble once, with and without a connection."""
    fill(journal, 1)
    start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(1)
    journal.trouble = "the disk is full"
    fill(journal, 1)
    client.rows(2)
    eventually(lambda: told == ["the disk is full"])
    receiver.close()
    client.close()
    journal.trouble = "still"
    eventually(lambda: "still" in told)
    assert told.count("the disk is full") == told.count("still") == 1


# -- what was given up


def fill_over(journal, count=1):
    """Fill the journal, and have it drop its ``count`` oldest segments."""
    for _ in range((4 + count - 1) * PER_SEGMENT + 1):
        journal.append(large(journal.next))


def test_a_gap_comes_first_and_is_told_after_the_greeting(receiver, journal, start):
    """A gap at the front is told after the greeting and before the rows, with exact figures."""
    fill_over(journal)
    sender = start()
    client = receiver.accept()
    assert client.hello(greet_with=0).base == 1
    assert client.event() == GapReceived(journal.sender_id, 1, 4, "spool_full")
    assert numbers(client.rows(17)) == {n: n for n in range(5, 18)}
    client.acknowledge(17)
    assert sender.flush(17, 30)
    assert journal.figures() == Figures(17, 13, 0, {"spool_full": 4})


def test_of_a_gap_only_what_the_receiver_lacks_is_told(receiver, journal, start):
    """The sender tells of a gap only the numbers that the greeting does not count."""
    fill_over(journal)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=2)
    assert client.event() == GapReceived(journal.sender_id, 3, 4, "spool_full")
    client.rows(17)
    client.acknowledge(17)
    assert sender.flush(17, 30)
    assert journal.figures() == Figures(17, 15, 0, {"spool_full": 2})


def test_a_gap_that_the_receiver_has_taken_is_not_told_twice(receiver, journal, start):
    """A gap that the receiver has taken is not told again after a reconnect, nor counted again."""
    fill_over(journal)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.event()
    client.rows(5)
    client.close(reset=True)
    for number in range(18, 22):
        journal.append(large(number))  # drops 5 to 8, of which 5 has arrived
    client = receiver.accept()
    assert client.hello(greet_with=5).base == 1
    assert client.event() == GapReceived(journal.sender_id, 6, 8, "spool_full")
    assert list(client.rows(21)) == list(range(9, 22))
    client.acknowledge(21)
    assert sender.flush(21, 30)
    assert journal.figures() == Figures(21, 14, 0, {"spool_full": 7})


def test_gaps_side_by_side_are_told_one_after_the_other(receiver, journal, start):
    """Two neighbouring gaps are told in order, without an endless round."""
    fill_over(journal)
    start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.event()
    client.close(reset=True)
    fill_over(journal)
    client = receiver.accept()
    client.hello(greet_with=0)
    first, second = client.event(), client.event()
    assert (first.first, first.last) == (1, 4)
    assert second.first == 5
    assert list(client.rows(34)) == list(range(second.last + 1, 35))


def test_a_gap_and_no_rows(receiver, journal, start):
    """A journal that holds nothing but a gap tells it."""
    journal.append(b"x" * (5 * SEGMENT))
    sender = start()
    client = receiver.accept()
    assert client.hello(greet_with=0).base == 1
    assert client.event() == GapReceived(journal.sender_id, 1, 1, "too_large")
    client.acknowledge(1)
    assert sender.flush(1, 30)
    assert journal.figures() == Figures(1, 0, 0, {"too_large": 1})
    fill(journal, 1)
    assert numbers(client.rows(2)) == {2: 2}


def test_rows_that_are_dropped_while_they_are_read_arrive(receiver, journal, start, monkeypatch):
    """Rows that the journal drops while the sender has them in hand are sent and counted as sent."""
    for number in range(1, 17):
        journal.append(large(number))
    contents = journal._contents
    original, dropping = contents.find, [17]

    def find(after, max_bytes):
        found = original(after, max_bytes)
        if after == 0 and dropping:
            for number in range(4):  # while it reads that very segment
                journal._store(large(dropping[0] + number))
            dropping.clear()
        return found

    monkeypatch.setattr(contents, "find", find)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    assert numbers(client.rows(1)) == {1: 1}
    assert client.event() == GapReceived(journal.sender_id, 2, 4, "spool_full")
    assert numbers(client.rows(20)) == {n: n for n in range(5, 21)}
    client.acknowledge(20)
    assert sender.flush(20, 30)
    assert journal.figures() == Figures(20, 17, 0, {"spool_full": 3})


# -- stock peers


def test_a_stock_peer_gets_each_record_in_a_frame_of_its_own(
    receiver, journal, told, start, eventually
):
    """A stock peer gets each record once, and what its kernel took counts as unacknowledged."""
    fill(journal, 5)
    sender = start(peer="stock")
    client = receiver.accept()
    assert [client.record().getMessage() for _ in range(5)] == ["1", "2", "3", "4", "5"]
    fill(journal, 1)
    assert client.record().getMessage() == "6"
    eventually(lambda: journal.pending == 0)
    assert (sender.known_peer, sender.unacknowledged) == ("stock", 6)
    assert journal.figures() == Figures(6, 6, 0, {})
    assert told == []


def flushing(sender, through, timeout=30):
    """Begin a flush in a thread; return what waits for its result."""
    results = []
    thread = threading.Thread(target=lambda: results.append(sender.flush(through, timeout)))
    thread.start()

    def result():
        thread.join(60)
        return results

    return result


def test_a_flush_to_a_stock_peer_is_true_when_it_has_read_to_the_end(receiver, journal, start):
    """A stock peer that closes after the end of the stream has read everything; it goes on then."""
    fill(journal, 3)
    sender = start(peer="stock")
    client = receiver.accept()
    result = flushing(sender, 3)
    assert [client.record().getMessage() for _ in range(3)] == ["1", "2", "3"]
    assert client.record() is None
    client.close()
    assert result() == [True]
    assert sender.flush(3, 0.0)
    fill(journal, 1)
    client = receiver.accept()
    assert client.record().getMessage() == "4"
    result = flushing(sender, 4)
    assert client.record() is None
    client.close()
    assert result() == [True]


@pytest.mark.parametrize("end", ["silence", "reset", "lost before"])
def test_a_flush_to_a_stock_peer_is_false_where_nothing_shows_that_it_has_read(
    receiver, journal, start, monkeypatch, end
):
    """What a stock peer's kernel took is written by nobody, as far as the sender knows."""
    monkeypatch.setattr(conversation_module, "PROOF_TIMEOUT", 0.05)
    fill(journal, 3)
    sender = start(peer="stock")
    client = receiver.accept()
    assert [client.record().getMessage() for _ in range(3)] == ["1", "2", "3"]
    if end == "lost before":
        client.close(reset=True)
        fill(journal, 1)
        client = receiver.accept()
        assert client.record().getMessage() == "4"
    result = flushing(sender, journal.next - 1)
    if end == "reset":
        client.close(reset=True)
    assert result() == [False]
    assert not sender.flush(journal.next - 1, 0.0)


def test_one_that_is_named_stock_is_not_waited_for(receiver, journal, told, start):
    """``peer="stock"`` sends at once and tells the operator nothing."""
    fill(journal, 2)
    sender = start(peer="stock", greeting_timeout=3600.0)
    client = receiver.accept()
    assert [client.record().getMessage() for _ in range(2)] == ["1", "2"]
    assert sender.peer == "stock"
    assert told == []


def test_after_a_reconnect_a_stock_peer_gets_what_was_not_taken(
    receiver, journal, start, eventually
):
    """A reconnected stock peer gets no record that its kernel had taken."""
    fill(journal, 3)
    sender = start(peer="stock")
    client = receiver.accept()
    assert [client.record().getMessage() for _ in range(3)] == ["1", "2", "3"]
    client.close()
    eventually(lambda: not sender.connected)
    fill(journal, 2)
    client = receiver.accept()
    assert [client.record().getMessage() for _ in range(2)] == ["4", "5"]
    eventually(lambda: sender.unacknowledged == 5)
    assert not sender.flush(5, 30)


def test_a_stock_peer_that_does_not_read(receiver, start, backlog, eventually):
    """A record that a stock peer's kernel took in part comes again whole on the next connection."""
    sender = start(peer="stock", of=backlog)
    client = receiver.accept()
    eventually(lambda: backlog.first > 1)
    client.close(reset=True)
    client = receiver.accept()
    found = [int(client.record().getMessage().split()[0])]
    assert found[0] > 1
    while found[-1] < 200:
        found.append(int(client.record().getMessage().split()[0]))
    assert found == list(range(found[0], 201))
    eventually(lambda: sender.unacknowledged == 200)


def test_leaving_a_stock_peer(receiver, journal, start):
    """A stock peer gets every record and the end of the stream, and no goodbye."""
    fill(journal, 3)
    sender = start(peer="stock")
    client = receiver.accept()
    assert [client.record().getMessage() for _ in range(3)] == ["1", "2", "3"]
    closing = threading.Thread(target=sender.close, args=(30,))
    closing.start()
    assert client.record() is None
    client.close()
    closing.join(30)
    assert not closing.is_alive()


def test_what_was_given_up_is_told_to_a_stock_peer(receiver, journal, start, eventually):
    """A stock peer gets a gap as a record of its own, in its place, with exact figures."""
    fill_over(journal)
    sender = start(peer="stock")
    client = receiver.accept()
    assert client.record().getMessage() == "4 records were given up: spool_full"
    assert [int(client.record().getMessage().split()[0]) for _ in range(13)] == list(range(5, 18))
    journal.append(b"x" * (5 * SEGMENT))
    assert client.record().getMessage() == "1 records were given up: too_large"
    fill(journal, 1)
    assert client.record().getMessage() == "19"
    eventually(lambda: journal.pending == 0)
    assert sender.unacknowledged == 14
    assert journal.figures() == Figures(19, 14, 0, {"spool_full": 4, "too_large": 1})


def test_a_receiver_of_ours_that_is_named_stock_is_taken_at_its_word(
    receiver, journal, start, eventually
):
    """A peer that was named stock and greets all the same acknowledges from then on."""
    fill(journal, 2)
    sender = start(peer="stock")
    client = receiver.accept()
    client.hello()
    assert client.event().sequence == 1
    assert client.event().sequence == 2
    client.socket.sendall(client.protocol.greeting(2))
    eventually(lambda: sender.greeted, 30, "the greeting is read")
    fill(journal, 1)
    event = client.event()
    while not isinstance(event, RowsReceived):
        event = client.event()
    assert event.first == 3
    assert not sender.flush(3, 0.01)
    client.acknowledge(3)
    assert sender.flush(3, 30)


def test_a_silent_receiver_is_waited_for(receiver, journal, told, start, eventually):
    """Records wait for a receiver that does not greet; the operator is told once what to do."""
    fill(journal, 2)
    sender = start(greeting_timeout=0.01)
    client = receiver.accept()
    client.hello()
    eventually(lambda: told, what="the silence is told")
    assert not sender.flush(1, 0.1)
    assert sender.known_peer is None
    client.socket.sendall(client.protocol.greeting(0))
    client.rows(2)
    client.acknowledge(2)
    assert sender.flush(2, 30)
    assert sender.known_peer == "bridge"
    (text,) = told
    assert str(receiver.address) in text and 'peer="stock"' in text and "0.01 s" in text


# -- the end


def test_leaving_says_goodbye_and_reads_what_is_still_said(receiver, journal, start):
    """A sender that leaves reads all answers, since unread ones would make its close a reset."""
    fill(journal, 3)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(3)
    client.acknowledge(3)
    assert sender.flush(3, 30)
    closing = threading.Thread(target=sender.close, args=(30,))
    closing.start()
    assert client.event() == GoodbyeReceived(journal.sender_id)
    assert client.event() is None
    for _ in range(100):
        client.acknowledge(3)  # heard, not refused
    client.close()
    closing.join(30)
    assert not closing.is_alive()
    assert not sender.connected


def test_leaving_with_something_left_says_no_goodbye(receiver, journal, start):
    """A sender that leaves with records pending says no goodbye: whoever adopts its journal comes
    back."""
    fill(journal, 3)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(3)
    assert not sender.close(0.05)
    assert client.event() is None


def test_closing_waits_for_what_is_left(receiver, journal, start):
    """A close waits until all is acknowledged, or for its timeout."""
    fill(journal, 1)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(1)
    results = []
    closing = threading.Thread(target=lambda: results.append(sender.close(30)))
    closing.start()
    fill(journal, 1)  # another thread is logging still
    client.rows(2)
    client.acknowledge(2)
    assert isinstance(client.event(), GoodbyeReceived)
    client.close()
    closing.join(30)
    assert results == [True]


@pytest.mark.parametrize(
    "state", ["absent", "not accepting", "not greeting", "not reading", "stock"]
)
def test_closing_is_bounded_whatever_the_receiver_does(receiver, backlog, start, state):
    """A close ends the thread within its timeout, whatever the receiver does."""
    filler = None
    if state == "absent":
        receiver.close()
    elif state == "not accepting":
        receiver.listener.listen(0)
        filler = socket.create_connection(receiver.listener.getsockname())
    sender = start(of=backlog, peer="stock" if state == "stock" else "bridge")
    if state in ("not greeting", "not reading", "stock"):
        client = receiver.accept()
        if state == "not reading":
            client.hello(greet_with=0)
    assert not sender.close(0.1)
    sender._thread.join(30)
    assert not sender._thread.is_alive()
    if filler is not None:
        filler.close()


def test_an_impatient_close_does_not_wait_for_one_that_is_away(
    receiver, journal, start, eventually
):
    """An impatient close returns at once while the receiver is away."""
    receiver.close()
    fill(journal, 1)
    sender = start()
    eventually(lambda: sender._outage.is_on)
    assert not sender.close(3600, patient=False)
    assert not sender._thread.is_alive()


def test_a_sender_that_was_never_started_closes_its_sockets(journal, start, monkeypatch):
    """A sender whose thread could not start closes its sockets, and a flush of it returns."""

    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    fill(journal, 1)
    sender = start(begin=False)
    with pytest.raises(RuntimeError):
        sender.start()
    assert not sender.flush(1, 3600)
    assert not sender.close(3600)


def test_a_sender_can_end_by_itself(receiver, journal, start, eventually):
    """A sender with ``until_empty`` ends, and tells its owner, when all is delivered or the
    receiver is lost."""
    fill(journal, 2)
    ended = []
    sender = start(begin=False, on_end=lambda: ended.append(journal.pending))
    sender.start(until_empty=True)
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(2)
    client.acknowledge(2)
    assert isinstance(client.event(), GoodbyeReceived)
    client.close()
    eventually(lambda: ended == [0])
    fill(journal, 1)
    lost = start(begin=False, on_end=lambda: ended.append(journal.pending))
    lost.start(until_empty=True)
    client = receiver.accept()
    client.hello(greet_with=2)
    client.close(reset=True)
    eventually(lambda: ended == [0, 1])


def test_a_flush_ends_with_the_thread(receiver, journal, start, eventually):
    """A flush returns False when the sender's thread ends."""
    fill(journal, 1)
    sender = start()
    results = []
    flushing = threading.Thread(target=lambda: results.append(sender.flush(1, None)), daemon=True)
    flushing.start()
    eventually(lambda: sender._progress._waiters, what="it waits")
    sender.close(0.05)
    flushing.join(30)
    assert results == [False]


def test_a_signal_handler_that_flushes_while_its_thread_does(receiver, journal, start):
    """A flush inside a flush of the same thread does not deadlock."""
    fill(journal, 1)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    results = []

    class Journal:
        """What the outer call asks, and in the middle of it the signal comes."""

        @property
        def first(self):
            if not results:
                results.append(None)
                results.append(sender.flush(1, 0.05))
                client.acknowledge(1)
            return journal.first

        def __getattr__(self, name):
            return getattr(journal, name)

    sender.journal = Journal()
    assert sender.flush(1, 30)
    assert results == [None, False]
    sender.journal = journal


def test_what_is_to_be_looked_for_is_looked_for_while_records_are_taken(receiver, journal, start):
    """The sender looks for orphans after the greeting and whenever it was asked to, and only then."""
    looked, again = [], threading.Event()

    def look(peer):
        looked.append(peer)
        if len(looked) == 3:
            again.set()
        return 0.0 if len(looked) < 3 else 3600.0

    fill(journal, 1)
    sender = start(look=look)
    client = receiver.accept()
    client.hello()
    assert looked == []
    client.socket.sendall(client.protocol.greeting(0))
    assert again.wait(30)
    fill(journal, 1)
    client.rows(2)
    client.acknowledge(2)
    assert sender.flush(2, 30)
    assert looked == ["bridge"] * 3


def test_a_stock_peer_takes_what_is_adopted_too(receiver, journal, start):
    """The sender looks for orphans for a stock peer too, and says that it is one."""
    looked = threading.Event()
    fill(journal, 1)
    start(peer="stock", look=lambda peer: looked.set() or 3600.0 if peer == "stock" else 0.0)
    receiver.accept()
    assert looked.wait(30)


def test_a_child_closes_its_copies_and_ends_nothing(receiver, journal, start):
    """A forked child closes its copies of the sockets, and the parent's connection goes on."""
    fill(journal, 1)
    sender = start()
    client = receiver.accept()
    client.hello(greet_with=0)
    client.rows(1)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            before = len(os.listdir("/proc/self/fd"))
            sender.after_fork_in_child()
            status = 0 if len(os.listdir("/proc/self/fd")) == before - 4 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    fill(journal, 1)
    client.rows(2)
    client.acknowledge(2)
    assert sender.flush(2, 30)


def test_the_address_may_be_a_unix_socket(journal, told, tmp_path, start, eventually):
    """The sender waits for a Unix socket that is not there yet."""
    path = tmp_path / "log.sock"
    fill(journal, 1)
    start(address=Address("unix", path=str(path)))
    eventually(lambda: told)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(30)
        connection, _ = listener.accept()
        with connection:
            assert connection.recv(4)
