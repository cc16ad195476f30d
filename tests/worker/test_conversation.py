"""A conversation paces its frames, and wakes the sender only for a log call that needs it."""

from __future__ import annotations

import math
import types

import pytest

from loguru_stdbridge.exceptions import JournalError
from loguru_stdbridge.spool.journal import SEGMENT_SIZE, Journal
from loguru_stdbridge.wire.sending import Greeting
from loguru_stdbridge.worker import conversation as module
from loguru_stdbridge.worker.conversation import (
    BUSY_PACE,
    BUSY_ROWS,
    FILL,
    FRAME_BYTES,
    LAG_FACTOR,
    MAX_PACE,
    PACE,
    Conversation,
)
from loguru_stdbridge.worker.sender import Sender
from tests.support.scripted import ScriptedReceiver, a_row

LIMIT = 8 << 20
ROW = a_row("x")


def fill(journal, size):
    """Append ``size`` bytes of records of 1,000 bytes each; return the last number."""
    row = a_row("x" * 800)
    for _ in range(size // len(row) + 1):
        journal.append(row)
    return journal.next - 1


@pytest.fixture
def journal():
    journal = Journal.create(None, "tcp://127.0.0.1:1", limit=LIMIT)
    yield journal
    journal.close(remove=True)


@pytest.fixture
def slow(journal, monkeypatch):
    """Make a sender that has sent records 1 and 2 and paces the next frame in an hour; and its
    peer."""
    monkeypatch.setattr(module, "PACE", 3600.0)
    monkeypatch.setattr(module, "MAX_PACE", 3600.0)
    with ScriptedReceiver() as receiver:
        sender = Sender(journal, receiver.address, report=lambda text: None, notice=a_row)
        journal.append(a_row("1"))
        sender.start()
        client = receiver.accept()
        client.hello(greet_with=0)
        client.acknowledge(1)
        assert sender.flush(1, 30)
        journal.append(a_row("2"))
        client.rows(2)
        yield sender, client
        sender.close(0.0)


def test_a_sender_that_will_look_by_itself_is_not_woken(slow, journal):
    """While records flow, no log call wakes the sender, which would cost a system call."""
    woken = []
    journal.on_append = lambda: woken.append(True)
    for number in range(3, 103):
        journal.append(a_row(str(number)))
    assert woken == []


def test_who_waits_for_a_flush_does_not_wait_for_the_pace(slow, journal):
    """A flush has everything sent at once."""
    sender, client = slow
    journal.append(a_row("3"))
    assert not sender.flush(3, 0.0)
    assert list(client.rows(3)) == [3]
    last = fill(journal, 20 * FRAME_BYTES)  # many frames, and more than a segment
    assert not sender.flush(last, 0.0)
    assert list(client.rows(last)) == list(range(4, last + 1))
    client.acknowledge(last)
    assert sender.flush(last, 30)


def test_where_room_runs_short_nothing_waits_for_the_pace(slow, journal):
    """A journal that runs short of room has everything sent at once, before it gives anything up."""
    sender, client = slow
    last = fill(journal, LIMIT - SEGMENT_SIZE // 2)  # into the last segment that there is room for
    assert len(client.rows(last - last // 8)) >= last * 3 // 4


def test_who_waits_for_the_end_does_not_wait_for_the_pace(slow, journal):
    """A close has everything sent at once."""
    sender, client = slow
    journal.append(a_row("3"))
    sender.close(0.1)
    assert list(client.rows(3)) == [3]


def test_between_the_frames_of_a_backlog_the_receiver_is_heard(journal, monkeypatch):
    """Between the frames of a backlog the sender reads acknowledgements, which free journal space."""
    fill(journal, 10 * FRAME_BYTES)
    sender = converse(journal, monkeypatch, rows=0, late=0.0)
    assert sender.waits[:5] == [0] * 5


def test_who_waits_while_a_frame_does_not_wait_for_the_pace_either(journal, monkeypatch):
    """A flush that comes while a frame is stuck has the next frame sent right behind it."""
    taken = iter([0])
    monkeypatch.setattr(Stepwise, "asked_again", True)
    journal.append(a_row("x"))
    sender = converse(
        journal, monkeypatch, 1, 0.0, send=lambda data, **options: next(taken, len(data))
    )
    assert sender.waits[:3] == pytest.approx([None, 0, PACE])


def test_records_that_are_not_there_are_not_looked_for_again_and_again(tmp_path, monkeypatch):
    """A conversation raises JournalError for a journal that was closed in its own thread."""
    journal = Journal.create(tmp_path / "spool", "tcp://127.0.0.1:1")
    journal.append(ROW)
    journal.close(remove=False)
    with pytest.raises(JournalError, match="records 1 to 1 are not in the journal"):
        converse(journal, monkeypatch, 0, 0.0)


class Stepwise:
    """A sender without a thread, whose clock only a wait moves."""

    peer, greeted, silence_told = "bridge", False, False
    send_now = done = False
    asked_again = leaving = False

    def __init__(self, journal, rows, late):
        self.journal = journal
        self.ending = types.SimpleNamespace(until=math.inf, is_over=self.is_over)
        self.now = 1000.0
        self.waits = []
        self._rows = rows
        self._late = late

    def monotonic(self):
        return self.now

    def delivering(self):
        """No outage."""

    def look_around(self):
        """Nothing to adopt."""

    def is_over(self):
        self.leaving = len(self.waits) >= 5
        return self.leaving

    def wait(self, interest, timeout, *, beyond_end=False):
        self.waits.append(timeout)
        assert beyond_end == self.leaving
        before = self.now
        self.now += (timeout or 0.0) + self._late
        self.send_now = self.asked_again
        rows = self._rows(self.now - before) if callable(self._rows) else self._rows
        for _ in range(rows):
            self.journal.append(ROW)
        return False


def converse(journal, monkeypatch, rows, late, *, send=lambda data, **options: len(data)):
    """A conversation of five waits, ``late`` seconds longer than they should be each, in each of
    which ``rows`` records come; returns its sender. It ends without having spun."""
    sender = Stepwise(journal, rows, late)
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=sender.monotonic))
    transport = types.SimpleNamespace(send=send, finish=lambda: None, is_listener_known=True)
    conversation = Conversation(sender, transport)
    conversation._connection.greeting = Greeting(1, 0)
    conversation._deliver()
    return sender


@pytest.mark.parametrize(
    ("rows", "late", "pace"),
    [
        (1, 0.0, PACE),
        (BUSY_ROWS, 0.0, BUSY_PACE),
        (1, 0.03, 0.03 * LAG_FACTOR),
        (BUSY_ROWS, 0.001, BUSY_PACE),
        (1, 10.0, MAX_PACE),
    ],
    ids=["slow", "fast", "busy machine", "a little late", "hardly any processor"],
)
def test_the_pace_is_the_flow_s_and_the_machine_s(journal, monkeypatch, rows, late, pace):
    """Frames come less often while records flow fast and while the machine makes them late."""
    journal.append(a_row("x"))
    sender = converse(journal, monkeypatch, rows, late)
    assert sender.waits[1:4] == pytest.approx([pace] * 3)


def test_no_more_gathers_than_goes_into_a_frame(journal, monkeypatch):
    """At 10,000 records a second a late frame waits no longer than it takes to fill one."""
    journal.append(ROW)
    sender = converse(journal, monkeypatch, lambda seconds: round(10_000 * seconds), 0.02)
    pace = FILL * FRAME_BYTES / (10_000 * (len(ROW) + 1))
    assert sender.waits[1:4] == pytest.approx([pace] * 3, rel=0.01)
    assert BUSY_PACE < pace < LAG_FACTOR * 0.02
