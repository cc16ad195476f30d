"""A journal over its whole life: what it holds, what it discards, what can get in its way."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path

import pytest

from loguru_stdbridge.exceptions import JournalError
from loguru_stdbridge.record.row import MAX_ROWS
from loguru_stdbridge.spool import journal as module
from loguru_stdbridge.spool import storage
from loguru_stdbridge.spool.finder import journal_directories
from loguru_stdbridge.spool.journal import REENTRANT, Figures, Journal
from loguru_stdbridge.spool.orphans import Orphan
from loguru_stdbridge.spool.segments import decode_meta, decode_segment_header, scan_segment
from loguru_stdbridge.system import forks, own_file
from loguru_stdbridge.wire.receiving import Sequencer
from tests.support.journals import (
    ADDRESS,
    PER_SEGMENT,
    SEGMENT,
    balance,
    fill,
    of_dead,
    of_orphan,
    read_all,
    row,
    segment_files,
    strip,
)
from tests.support.processes import run_python, start_python

LIMIT = 4 * SEGMENT


@pytest.fixture
def make(tmp_path):
    """Journals of small segments, in ``tmp_path / "spool"`` unless told otherwise."""
    made = []

    def make(spool_dir=tmp_path / "spool", **options):
        options = {"limit": LIMIT, "segment_size": SEGMENT, **options}
        journal = Journal.create(spool_dir, ADDRESS, **options)
        made.append(journal)
        return journal

    yield make
    for journal in made:
        journal.close(remove=False)


@pytest.fixture(params=["disk", "memory"])
def journal(request, make):
    return make() if request.param == "disk" else make(None)


def header_size(journal):
    """Bytes of a segment before its first record."""
    return decode_segment_header(segment_files(journal)[-1].read_bytes()).start


@pytest.fixture
def write_by(monkeypatch):
    """``write_by(function)``: every write of a file of the journal's is ``function``'s from now on,
    which is called as ``os.pwrite``; ``None`` ends that."""
    pwrite, locking = own_file._pwrite, own_file._locking_pwrite

    def write_by(function):
        monkeypatch.setattr(own_file, "_looked_for", True)
        monkeypatch.setattr(own_file, "_locking_pwrite", locking if function is None else None)
        monkeypatch.setattr(own_file, "_pwrite", function or pwrite)

    return write_by


def broken(descriptor, data, offset):
    """A disk that has failed."""
    raise OSError(5, "Input/output error")


def full(descriptor, data, offset):
    """A disk without room."""
    raise OSError(28, "No space left on device")


# -- what is in it


def test_rows_come_out_as_they_went_in(journal):
    """Rows come out in order, numbered from 1, over many segments and in batches of any size."""
    assert fill(journal, 20) == list(range(1, 21))
    for max_bytes in (1, 500, 501, 1200, 1 << 20):
        assert read_all(journal, max_bytes) == list(range(1, 21))
    assert balance(journal) == Figures(20, 0, 20, {})


def test_a_batch_has_one_row_at_least_and_ends_with_its_segment(journal):
    """A batch never cuts a row: one larger than ``max_bytes`` goes alone."""
    fill(journal, 10)
    assert [len(journal.read(0, size).rows) for size in (1, 999, 1000, 1 << 20)] == [1, 1, 2, 7]
    assert not journal.read(10, 1000).rows


def test_a_batch_is_what_a_receiver_takes_in_one_frame(make):
    """A batch has no more rows than a frame may have, and no large row behind others."""
    journal = make(None, segment_size=1 << 20, limit=1 << 24)
    for _ in range(MAX_ROWS + 5):
        journal.append(b"[]")
    journal.append(b'"' + b"x" * 200_000 + b'"')
    batches, after = [], 0
    while after < journal.next - 1:
        batch = journal.read(after, 128 * 1024)
        batches.append(len(batch.rows))
        after = batch.last
    assert batches == [MAX_ROWS, 5, 1]


@pytest.mark.parametrize("max_bytes", [1, 600, 1 << 20])
def test_reading_goes_on_over_numbers_given_up_in_the_middle_of_a_segment(make, max_bytes):
    """Reading goes on over discarded numbers, whether the reader is before or behind them."""
    journal = make()
    fill(journal, 1)
    assert journal.read(0, max_bytes).last == 1
    fill(journal, 2)
    journal.append(b"x" * LIMIT)
    fill(journal, 2)
    assert [number_of(item) for item in read_all(journal, max_bytes, after=1)] == [2, 3, 4, 5, 6]
    journal.append(b"x" * LIMIT)
    assert journal.read(6, max_bytes).gap == (7, 7, "too_large")
    fill(journal, 1)
    assert read_all(journal, max_bytes, after=7) == [8]


def test_rows_at_hand_are_not_looked_for(make, monkeypatch):
    """Rows kept in memory since the last reading are read without a look at the segments."""
    journal = make(None, segment_size=1 << 20, limit=1 << 24)
    fill(journal, 1)
    assert journal.read(0, 1 << 16).last == 1
    fill(journal, 5)
    with monkeypatch.context() as patch:
        patch.setattr(journal._contents, "_place", None)
        batch = journal.read(1, 1200)
        assert [bytes(r) for r in batch.rows] == [row(n) for n in range(2, 4)]
        fill(journal, 2)
        assert journal.read(3, 1 << 16).last == 8
    assert read_all(journal) == list(range(1, 9))


@pytest.mark.parametrize(
    "bend",
    [
        lambda journal: journal._contents.at_hand.rows.pop(0),
        lambda journal: journal._contents.at_hand.rows.pop(),
        lambda journal: journal.append(b"x" * (1 << 25)),
        lambda journal: [journal.append(row(n)) for n in range(7, 7 + 2 * MAX_ROWS)],
    ],
    ids=["first", "last", "too large", "many"],
)
def test_rows_at_hand_that_may_not_be_all_are_looked_for(make, bend):
    """Rows in memory that an exception left incomplete are read from the segments."""
    journal = make(None, segment_size=1 << 20, limit=1 << 24)
    fill(journal, 1)
    assert journal.read(0, 1200).last == 1
    fill(journal, 5)
    bend(journal)
    numbers = [number_of(item) for item in read_all(journal, 1 << 20, after=1)]
    assert numbers == list(range(2, journal.next))
    assert not journal._contents.at_hand.rows


def test_large_rows_are_not_kept_at_hand(make):
    """Large rows, and too many rows, are not kept in memory."""
    journal = make(None, segment_size=1 << 20, limit=1 << 24)
    for _ in range(10):
        journal.append(b'"' + b"x" * 100_000 + b'"')
        assert sum(map(len, journal._contents.at_hand.rows)) == 0
    assert journal.read(0, 1).last == 1
    fill(journal, 3 * MAX_ROWS)
    assert MAX_ROWS // 2 <= len(journal._contents.at_hand.rows) < MAX_ROWS


def number_of(item):
    return item[0] if isinstance(item, tuple) else item


def test_reading_goes_on_from_anywhere(journal):
    """Reading goes on from any number, as a reconnected sender asks."""
    fill(journal, 20)
    rng = random.Random(1)
    for _ in range(50):
        after = rng.randrange(20)
        batch = journal.read(after, rng.choice([1, 1200, 10_000]))
        assert batch.first == after + 1
        assert batch.rows[0] == row(after + 1)


def test_reading_while_it_is_written(journal):
    """A sender that is up to date reads each row as it comes, from segment to segment."""
    after = 0
    for number in range(1, 60):
        journal.append(row(number))
        batch = journal.read(after, 1 << 20)
        assert batch.rows == [row(number)]
        after = batch.last
        journal.acknowledge(after - 1)
    assert balance(journal) == Figures(59, 58, 1, {})


def test_a_row_is_in_the_file_when_append_returns(make):
    """A row is whole in the file, with its checksum, when ``append`` returns."""
    journal = make()
    for number in range(1, 20):
        journal.append(row(number))
        (scan, data) = [
            (scan_segment(f.read_bytes()), f.read_bytes()) for f in segment_files(journal)
        ][-1]
        found, start, end = scan.records[-1]
        assert (found, data[start:end]) == (number, row(number))


def test_rows_of_any_size(make):
    """A row larger than a segment gets a segment of its own, and the next one a usual one."""
    journal = make(limit=64 * SEGMENT)
    sizes = [1, 10, SEGMENT - 48, SEGMENT - 47, 3 * SEGMENT, 1 << 17, 5]
    rows = [b"x" * size for size in sizes]
    assert [journal.append(r) for r in rows] == list(range(1, 8))
    found, after = [], 0
    while after < 7:
        batch = journal.read(after, 1)
        found += batch.rows
        after = batch.last
    assert found == rows
    sizes = [file.stat().st_size - header_size(journal) for file in segment_files(journal)]
    assert sizes == [
        16 * 2 + 11,
        16 + SEGMENT - 48,
        16 + SEGMENT - 47,
        16 + 3 * SEGMENT,
        16 + (1 << 17),
        21,
    ]


def test_the_meta_file_says_whose_it_is(make):
    """``meta`` holds sender, address and process, and each acknowledgement as it comes."""
    journal = make()
    fill(journal, 5)
    journal.acknowledge(3)
    meta = decode_meta(Path(journal.path, "meta").read_bytes())
    assert (meta.sender_id, meta.address, meta.acked, meta.pid) == (
        journal.sender_id,
        ADDRESS,
        3,
        os.getpid(),
    )
    assert os.path.basename(journal.path) == journal.sender_id
    assert os.stat(journal.path).st_mode & 0o777 == 0o700
    assert {f.stat().st_mode & 0o777 for f in segment_files(journal)} == {0o600}


def test_a_journal_cannot_be_made_where_nothing_can(tmp_path, make):
    """A journal that cannot be made raises JournalError that names the place."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="file"):
        make(tmp_path / "file")
    with pytest.raises(JournalError, match="5000 bytes; "):
        Journal.create(tmp_path / "spool", "unix:///" + "x" * 4992)


# -- space


def test_it_grows_while_the_receiver_is_away_and_shrinks_after(make):
    """A journal grows segment by segment and gives each back once it is acknowledged."""
    journal = make(limit=64 * SEGMENT)
    fill(journal, 20 * PER_SEGMENT)
    assert len(segment_files(journal)) == 20
    assert journal.size_bytes == 20 * SEGMENT
    for segments in range(1, 20):
        journal.acknowledge(segments * PER_SEGMENT - 1)
        assert len(segment_files(journal)) == 21 - segments
        journal.acknowledge(segments * PER_SEGMENT)
        assert len(segment_files(journal)) == 20 - segments
    journal.acknowledge(journal.next - 1)
    assert journal.size_bytes == SEGMENT
    fill(journal, 5)
    assert read_all(journal) == list(range(141, 146))


def test_a_backlog_takes_neither_descriptors_nor_memory(make):
    """A backlog keeps only the segments in use open and takes no memory."""
    journal = make(limit=64 * SEGMENT)
    fill(journal, 1)
    descriptors = len(os.listdir("/proc/self/fd"))
    fill(journal, 30 * PER_SEGMENT)
    read_all(journal)
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 2
    with open("/proc/self/maps") as maps:
        assert str(journal.path) not in maps.read()


def test_a_journal_of_one_line_takes_two_blocks(make):
    """A journal of one line takes two blocks of the disk."""
    journal = make(segment_size=1 << 20, limit=1 << 28)
    fill(journal, 1)
    used = sum(file.stat().st_blocks * 512 for file in Path(journal.path).iterdir())
    assert used <= 8192


def test_acknowledgements_never_go_back_or_beyond(journal):
    """An acknowledgement is ignored if it is lower than the last or higher than any row."""
    fill(journal, 10)
    journal.acknowledge(5)
    journal.acknowledge(3)
    assert journal.first == 6
    journal.acknowledge(99)
    assert (journal.first, journal.pending) == (11, 0)
    assert fill(journal, 1) == [11]


# -- what is given up


def test_drop_oldest_keeps_the_newest(journal):
    """``drop_oldest`` always keeps the limit and discards the oldest segment as one gap."""
    for _ in range(200):
        fill(journal, 1)
        assert journal.size_bytes <= LIMIT
        if journal.path is not None:
            assert sum(f.stat().st_size for f in segment_files(journal)) <= LIMIT
    gap, *rest = read_all(journal)
    assert gap == (1, rest[0] - 1, "spool_full")
    assert rest == list(range(rest[0], 201))
    assert 3 * PER_SEGMENT < len(rest) <= 4 * PER_SEGMENT
    assert balance(journal) == Figures(200, 0, len(rest), {"spool_full": 200 - len(rest)})


def test_drop_newest_keeps_the_oldest(make):
    """``drop_newest`` numbers and discards what comes to a full journal, until a row fits again."""
    journal = make(when_full="drop_newest")
    taken = fill(journal, 200)
    assert taken == list(range(1, 4 * PER_SEGMENT + 1))
    assert journal.append(b"[]") == 201  # small enough for what is left
    journal.acknowledge(PER_SEGMENT)
    assert fill(journal, 3) == [202, 203, 204]
    assert journal.read(200, 100).rows == [b"[]"]
    kept = read_all_but(journal, 201)
    assert kept == [*range(8, 29), (29, 200, "spool_full"), 202, 203, 204]
    assert balance(journal) == Figures(204, 7, 25, {"spool_full": 172})


def read_all_but(journal, odd):
    """``read_all`` where the row of number ``odd`` is another one."""
    found, after = [], journal.first - 1
    while after < journal.next - 1:
        batch = journal.read(after, 1)
        after = batch.gap.last if batch.gap else batch.last
        if after != odd:
            found.append(batch.gap or after)
    return found


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest", "block"])
def test_a_row_that_is_larger_than_the_limit_is_given_up_alone(make, when_full):
    """A row larger than the limit is discarded alone, and nobody waits for it."""
    journal = make(when_full=when_full, block_timeout=60)
    fill(journal, 5)
    assert journal.append(b"x" * LIMIT) == 0
    fill(journal, 2)
    assert read_all(journal) == [1, 2, 3, 4, 5, (6, 6, "too_large"), 7, 8]
    assert balance(journal) == Figures(8, 0, 7, {"too_large": 1})


def test_a_row_as_large_as_the_limit_takes_all_of_it(make):
    """A row as large as the limit pushes out all others with ``drop_oldest``."""
    journal = make()
    fill(journal, 20)
    largest = LIMIT - header_size(journal) - 16
    assert journal.append(b"x" * largest) == 21
    assert journal.read(0, 1).gap == (1, 20, "spool_full")
    assert len(journal.read(20, 1).rows[0]) == largest
    assert fill(journal, 1) == [22]
    assert read_all(journal) == [(1, 21, "spool_full"), 22]


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
def test_an_adopter_sees_what_a_killed_process_gave_up(make, when_full):
    """An adopter sees what a killed process had discarded, in the middle and at the end."""
    journal = make(when_full=when_full)
    fill(journal, 30)
    journal.append(b"x" * LIMIT)
    if when_full == "drop_newest":
        journal.acknowledge(2 * PER_SEGMENT)
    fill(journal, 10)
    journal.append(b"x" * LIMIT)
    seen = [item[:2] if isinstance(item, tuple) else item for item in read_all(journal)]
    journal.close(remove=False)
    found = [item[:2] if isinstance(item, tuple) else item for item in of_orphan(journal.path)]
    assert merged(found) == merged(seen)
    assert found[-1][1] == 42


def merged(found):
    """Gaps side by side as one: on disk they have no reasons."""
    items = []
    for item in found:
        if items and isinstance(item, tuple) and isinstance(items[-1], tuple):
            items[-1] = (items[-1][0], item[1])
        else:
            items.append(item)
    return items


# -- gaps and acknowledgements


def test_a_gap_whose_records_had_arrived_is_none(make):
    """A record that was discarded on its way does not count as dropped once it is acknowledged."""
    journal = make()
    fill(journal, 4 * PER_SEGMENT)
    assert journal.read(0, PER_SEGMENT * 500).last == PER_SEGMENT  # sent
    fill(journal, 1)  # drops them
    assert balance(journal).dropped == {"spool_full": 7}
    journal.acknowledge(5)
    assert balance(journal) == Figures(29, 5, 22, {"spool_full": 2})
    journal.acknowledge(10)
    assert balance(journal) == Figures(29, 10, 19, {})


def test_of_a_gap_that_is_told_only_what_is_told_counts(make):
    """Only the numbers that the receiver was told of count as dropped."""
    journal = make()
    fill(journal, 4 * PER_SEGMENT + 1)
    assert journal.read(3, 1).gap == (4, 7, "spool_full")
    journal.tell(4, 7)
    assert balance(journal).dropped == {"spool_full": 4}
    journal.acknowledge(3)
    assert balance(journal) == Figures(29, 3, 22, {"spool_full": 4})
    journal.acknowledge(29)
    assert balance(journal) == Figures(29, 25, 0, {"spool_full": 4})


def test_a_gap_that_grows_while_it_is_told(make):
    """A gap that grows while the sender tells it is told in two parts."""
    journal = make()
    fill(journal, 4 * PER_SEGMENT + 1)
    first, last, _ = journal.read(2, 1).gap
    fill(journal, PER_SEGMENT)
    journal.tell(first, last)
    assert balance(journal).dropped == {"spool_full": 5 + PER_SEGMENT}
    fill(journal, PER_SEGMENT)
    assert [item for item in read_all(journal) if isinstance(item, tuple)] == [
        (1, 7, "spool_full"), (8, 21, "spool_full")
    ]  # fmt: skip
    assert journal.read(7, 1).gap == (8, 21, "spool_full")


class World:
    """A sender's bookkeeping over a journal, and a receiver, with connections that are lost."""

    def __init__(self, journal, rng):
        self.journal, self.rng = journal, rng
        self.written = {}  # number: how often
        self.ledger = 0
        self.missing = 0
        self.sequencer = Sequencer(lambda sender: self.ledger)
        self.connect()

    def connect(self):
        """Greeted: what is on its way in either direction is gone."""
        self.on_the_way, self.answers = [], []
        self.sent = max(self.journal.first - 1, self.sequencer.greet("s", self.journal.first))

    def send(self):
        batch = self.journal.read(self.sent, 1200)
        if batch.gap is not None:
            self.journal.tell(*batch.gap[:2])
            self.sent = batch.gap.last
        elif batch.rows:
            self.sent = batch.last
        self.on_the_way.append(batch)

    def receive(self):
        """The receiver takes what comes next; it writes and answers at once, or it is killed first."""
        if not self.on_the_way:
            return
        batch = self.on_the_way.pop(0)
        if batch.gap is not None:
            self.missing += self.sequencer.skip("s", batch.gap.last)
        elif batch.rows:
            skip = self.sequencer.admit("s", batch.first, len(batch.rows))
            for number in range(batch.first + skip, batch.last + 1):
                self.written[number] = self.written.get(number, 0) + 1
        self.ledger = self.sequencer.last("s")
        self.answers.append(self.ledger)

    def answer(self):
        if self.answers:
            self.journal.acknowledge(self.answers.pop(0))

    def run(self, steps):
        for _ in range(steps):
            self.rng.choice([self.send, self.send, self.receive, self.answer, self.connect])()

    def finish(self):
        self.connect()
        while self.journal.pending:
            self.send()
            self.receive()
            self.answer()


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
@pytest.mark.parametrize("seed", range(40))
def test_every_record_is_written_or_counted_whatever_is_lost(make, when_full, seed):
    """The figures stay exact for log calls, sending, answers and lost connections in any order."""
    rng = random.Random(seed)
    journal = make(when_full=when_full)
    world = World(journal, rng)
    for _ in range(60):
        for _ in range(rng.randrange(20)):
            journal.append(b"x" * (LIMIT if rng.random() < 0.02 else rng.choice([20, 500, 2000])))
        world.run(rng.randrange(20))
        balance(journal)
    world.finish()
    figures = balance(journal)
    assert set(world.written.values()) <= {1}
    assert figures.pending == 0
    assert figures.acknowledged == len(world.written)
    assert sum(figures.dropped.values()) == figures.accepted - len(world.written) == world.missing
    assert figures.dropped


# -- block


def test_block_waits_until_there_is_room(make, eventually):
    """A log call with ``block`` waits for room and then goes on, and nothing is dropped."""
    journal = make(when_full="block", block_timeout=60)
    fill(journal, 4 * PER_SEGMENT)
    results = []
    blocked = threading.Thread(target=lambda: results.append(journal.append(row(29))))
    blocked.start()
    journal.acknowledge(3)  # makes no room
    blocked.join(0.05)
    assert results == []
    journal.acknowledge(PER_SEGMENT)
    blocked.join(30)
    assert results == [29]
    assert balance(journal) == Figures(29, 7, 22, {})


def test_block_waits_for_a_bounded_time(make):
    """A log call with ``block`` waits for its timeout, and the newest row is then discarded."""
    journal = make(when_full="block", block_timeout=0.05)
    assert fill(journal, 4 * PER_SEGMENT + 3) == list(range(1, 29))
    assert balance(journal) == Figures(31, 0, 28, {"spool_full": 3})
    assert read_all(journal) == [*range(1, 29), (29, 31, "spool_full")]


def test_all_that_are_blocked_go_on_when_there_is_room_for_all(make):
    """All blocked log calls go on together if the new segment has room for their rows."""
    journal = make(when_full="block", block_timeout=60)
    fill(journal, 4 * PER_SEGMENT)
    results = []
    blocked = [
        threading.Thread(target=lambda: results.append(journal.append(row(0)))) for _ in range(5)
    ]
    for thread in blocked:
        thread.start()
    journal.acknowledge(PER_SEGMENT)
    for thread in blocked:
        thread.join(30)
    assert sorted(results) == [29, 30, 31, 32, 33]
    assert len(segment_files(journal)) == 4


def test_the_thread_that_empties_it_never_waits_for_room(make):
    """The sender's thread never waits for room, since nobody else would make it."""
    journal = make(when_full="block", block_timeout=60)
    journal.sender_thread_id = threading.get_ident()
    assert fill(journal, 4 * PER_SEGMENT + 1) == list(range(1, 29))
    assert balance(journal).dropped == {"spool_full": 1}


def test_the_sender_keeps_what_is_logged_in_its_section_until_there_is_room(make):
    """A row logged inside the sender's own section waits there until the sender has freed room."""
    journal = make(when_full="block", block_timeout=60)
    fill(journal, 4 * PER_SEGMENT)
    journal.sender_thread_id = threading.get_ident()
    in_section(journal, lambda: journal.append(row(29)))
    journal.read(0, 1)
    assert balance(journal) == Figures(28, 0, 28, {})
    journal.acknowledge(PER_SEGMENT)
    assert read_all(journal) == list(range(8, 30))


def in_section(journal, action):
    """``action`` happens in the middle of the next call but ``append``."""

    contents = journal._contents
    find = contents.find

    def found(*arguments):
        contents.find = find
        action()
        return find(*arguments)

    contents.find = found


def test_closing_ends_the_wait(make, eventually):
    """A close ends the wait of a blocked log call, which puts its row elsewhere."""
    journal = make(when_full="block", block_timeout=60)
    fill(journal, 4 * PER_SEGMENT)
    results = []
    blocked = threading.Thread(target=lambda: results.append(journal.append(row(29))))
    blocked.start()
    eventually(lambda: journal._room._waiters, what="it waits")
    assert not journal.close(remove=True)
    blocked.join(30)
    assert results == [0]
    assert journal.closed
    assert balance(journal) == Figures(28, 0, 28, {})


def test_a_signal_handler_that_logs_while_its_thread_is_blocked(make):
    """A signal handler that logs in a blocked log call does not wait, and both are stored."""
    journal = make(when_full="block", block_timeout=60)
    fill(journal, 4 * PER_SEGMENT)
    inner, outer = row(1000), row(2000)

    def on_alarm(number, frame):
        assert journal.append(inner) == REENTRANT
        sender.start()

    sender = threading.Thread(target=journal.acknowledge, args=(PER_SEGMENT,))
    before = signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, 0.05)  # for as long it is blocked at least
    try:
        assert journal.append(outer) in (29, 30)
    finally:
        signal.signal(signal.SIGALRM, before)
    sender.join()
    assert sorted(journal.read(28, 1 << 20).rows) == [inner, outer]


# -- a disk that does not take it


LIMITED = """
import os, resource, signal, sys
from pathlib import Path
from loguru_stdbridge.spool.journal import Journal
journal = Journal.create(Path(sys.argv[1]), "tcp://127.0.0.1:9020", limit=1 << 20, segment_size=4096)
for letter, limit in ((b"x", -1), (b"y", 2000), (b"z", -1)):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, -1))
    for number in range(10):
        assert journal.append(letter * 500)
    print(journal.trouble)
found, after = b"", 0
while after < 30:
    batch = journal.read(after, 1 << 20)
    found += b"".join(row[:1] for row in batch.rows)
    after = batch.last
print(found.decode(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_segment_that_the_disk_does_not_take_is_in_memory(tmp_path):
    """Rows that the disk does not take go on in memory, and on disk again when it takes them."""
    status, out, err = run_python(LIMITED, str(tmp_path / "spool"))
    assert status == -signal.SIGKILL, err
    before, full, after, found = out.split("\n")[:4]
    assert before == "None"
    assert "cannot add to the journal" in full and "kept in memory" in full
    assert after == full
    assert found == "x" * 10 + "y" * 10 + "z" * 10
    (path,) = journal_directories(tmp_path / "spool")
    orphan = Orphan.adopt(path)
    assert orphan.read(0, 1 << 20).last == 7
    assert orphan.read(7, 1 << 20).last == 10
    assert orphan.read(10, 1).gap[:2] == (11, 17)  # what was in memory has died with the process
    assert orphan.read(17, 1 << 20).last == 24
    assert orphan.read(24, 1 << 20).last == 30
    orphan.release()


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
def test_a_disk_and_a_memory_that_are_full(make, monkeypatch, write_by, when_full):
    """The policy decides when disk and memory are full, and no log call tries again at once."""
    journal = make(when_full=when_full)
    fill(journal, 2 * PER_SEGMENT)
    attempts = []

    def attempt(descriptor, data, offset):
        if len(data) > 8:  # else it is a number in the meta file, which takes no room
            attempts.append(offset)
        full(descriptor, data, offset)

    write_by(attempt)
    monkeypatch.setattr(storage, "MEMORY_LIMIT", SEGMENT)
    monkeypatch.setattr(storage, "NO_SPACE_PAUSE", 3600.0)
    fill(journal, 4 * PER_SEGMENT)
    if when_full == "drop_oldest":
        gap, *rest = read_all(journal)
        assert gap == (1, 2 * PER_SEGMENT, "spool_full")
        assert rest[-1][2] == "no_space"
    else:
        assert read_all(journal) == [
            *range(1, 3 * PER_SEGMENT + 1),
            (3 * PER_SEGMENT + 1, 42, "no_space"),
        ]
    assert len(attempts) <= 5
    balance(journal)
    journal._no_space_until = 0.0
    write_by(None)
    assert fill(journal, 1) == [43]
    balance(journal)


@pytest.mark.parametrize("fault", [full, broken])
def test_a_segment_that_cannot_be_begun_leaves_no_file(make, write_by, fault):
    """A segment that cannot be begun leaves neither a file nor a descriptor."""
    journal = make()
    write_by(fault)
    fill(journal, 1)
    assert segment_files(journal) == []
    assert read_all(journal) == [1]


@pytest.mark.parametrize("takes", [0, 1, 15, 16, 17, 515])
def test_a_file_that_takes_a_part_of_a_record(make, write_by, takes):
    """A file that takes only a part of a record is cut, and the record goes on in memory."""
    journal = make()
    fill(journal, 3)
    pwrite, left = os.pwrite, [takes]

    def short(descriptor, data, offset):
        if not left[0]:
            full(descriptor, data, offset)
        count = pwrite(descriptor, data[: left[0]], offset)
        left[0] -= count
        return count

    write_by(short)
    assert fill(journal, 1) == [4]
    write_by(None)
    assert "No space left" in journal.trouble
    assert fill(journal, 10) == list(range(5, 15))
    assert read_all(journal) == list(range(1, 15))
    sizes = [header_size(journal) + count * 516 for count in (3, 4)]
    assert [file.stat().st_size for file in segment_files(journal)] == sizes
    journal.close(remove=False)
    orphan = Orphan.adopt(journal.path)
    assert list(orphan.read(0, 1 << 20).rows) == [row(number) for number in (1, 2, 3)]
    assert orphan.read(3, 1).gap[:2] == (4, 10)
    assert list(orphan.read(10, 1 << 20).rows) == [row(number) for number in range(11, 15)]
    orphan.release()


def test_what_is_at_hand_survives_a_disk_that_fails(make, write_by, monkeypatch):
    """Rows in memory that the sender has not taken survive a disk that fails."""
    journal = make(segment_size=1 << 20, limit=1 << 24)
    fill(journal, 20)
    assert journal.read(0, 1 << 20).last == 20
    fill(journal, 30)
    write_by(broken)
    monkeypatch.setattr(own_file, "_pread", lambda *at: broken(*at))
    assert fill(journal, 3) == [51, 52, 53]
    fill(journal, 2 * MAX_ROWS)  # the others are not at hand any more
    found = read_all(journal, after=0)
    assert found[0] == (1, 20, "damaged")
    assert found[1:] == list(range(21, 54 + 2 * MAX_ROWS))
    assert balance(journal).dropped == {"damaged": 20}
    assert "Input/output error" in journal.trouble


def test_a_segment_whose_bytes_have_changed_loses_only_those(make):
    """A segment whose bytes have changed loses those rows only, while it is still written."""
    journal = make()
    fill(journal, 10)
    journal._contents.at_hand.rows.clear()
    file = segment_files(journal)[1]
    data = bytearray(file.read_bytes())
    data[data.index(b"000009")] ^= 1
    file.write_bytes(data)
    assert read_all(journal) == [*range(1, 9), (9, 9, "damaged"), 10]
    assert fill(journal, 3) == [11, 12, 13]
    assert read_all(journal, after=10) == [11, 12, 13]
    assert balance(journal).dropped == {"damaged": 1}
    assert strip(of_dead(journal)) == [*range(1, 9), (9, 9), *range(10, 14)]


def test_a_process_that_has_no_descriptors_left_goes_on_logging(tmp_path):
    """A process that has no descriptors left goes on logging."""
    code = (
        LIMITED.replace("RLIMIT_FSIZE", "RLIMIT_NOFILE")
        .replace("2000, -1", "3, 1000")
        .replace("(limit, -1)", "(3 if limit == 2000 else 1000, 1000)")
    )
    status, out, err = run_python(code, str(tmp_path / "spool"))
    assert status == -signal.SIGKILL, err
    assert "Too many open files" in out
    assert out.split("\n")[3] == "x" * 10 + "y" * 10 + "z" * 10


# -- log calls inside log calls


@pytest.fixture
def in_append(monkeypatch):
    """``in_append(action)``: what happens once in the middle of the next ``append``."""

    def in_append(action):
        def interrupted(original):
            def checksum(data, number):
                nonlocal action
                todo, action = action, None
                if todo is not None:
                    todo()
                return original(data, number)

            return checksum

        # Where there is a new segment, and where there is none.
        for place, name in ((storage, "encode_record"), (module, "_crc32")):
            monkeypatch.setattr(place, name, interrupted(getattr(place, name)))

    return in_append


def test_a_log_call_inside_a_log_call(journal, in_append):
    """A row logged inside a log call is stored whole, right after the outer one."""
    in_append(lambda: [journal.append(row(n)) for n in (2, 3)])
    assert journal.append(row(1)) == 1
    assert fill(journal, 1) == [4]
    assert read_all(journal) == [1, 2, 3, 4]


def test_a_log_call_inside_the_sender_s_own_section(journal):
    """A ``__del__`` that logs inside the sender's section does not deadlock and is stored."""
    fill(journal, 3)

    results = []
    in_section(journal, lambda: results.append(journal.append(row(4))))
    journal.read(0, 1)
    assert results == [REENTRANT]
    assert read_all(journal) == [1, 2, 3, 4]


def test_figures_out_of_the_middle_of_a_log_call(journal, in_append):
    """A signal handler may ask for the figures in the middle of a log call."""
    found = []
    in_append(lambda: found.append(journal.figures()))
    journal.append(row(1))
    assert found == [Figures(0, 0, 0, {})]


def test_a_log_call_of_another_thread_waits_for_this_one(journal, in_append):
    """A log call of another thread waits for this one, and its row follows."""
    started, results = threading.Event(), []

    def other():
        started.set()
        results.append(journal.append(row(2)))

    thread = threading.Thread(target=other)

    def meanwhile():
        thread.start()
        started.wait()
        thread.join(0.05)

    in_append(meanwhile)
    assert journal.append(row(1)) == 1
    thread.join()
    assert results == [2]
    assert read_all(journal) == [1, 2]


def test_the_inner_row_that_comes_at_the_last_moment(journal):
    """A row logged just before the outer call lowers its flag is stored all the same."""

    class Late(type(journal._state())):
        """The flag; when it goes down, a signal handler logs just before."""

        late = [row(2)]

        def __setattr__(self, name, value):
            if name == "inside" and not value and getattr(self, "inside", False) and self.late:
                assert journal.append(self.late.pop()) == REENTRANT
            super().__setattr__(name, value)

    journal._threads.state = Late()
    assert journal.append(row(1)) == 1
    assert read_all(journal) == [1, 2]


def test_the_inner_row_that_comes_before_its_thread_is_known(journal, monkeypatch):
    """A ``__del__`` may log while the journal prepares what it keeps for the thread."""
    late = [row(2)]

    class Made(module._ThreadState):
        def __init__(self):
            super().__init__()
            if late:
                assert journal.append(late.pop()) == 1

    monkeypatch.setattr(module, "_ThreadState", Made)
    results = []
    thread = threading.Thread(target=lambda: results.append(journal.append(row(1))))
    thread.start()
    thread.join()
    assert results == [2]


def test_an_inner_row_survives_the_exception_of_the_outer_call(journal, in_append):
    """A row logged inside a call that then raises is stored all the same."""

    def log_and_interrupt():
        journal.append(row(1))
        raise Interrupted

    in_append(log_and_interrupt)
    with pytest.raises(Interrupted):
        journal.append(row(0))
    assert read_all(journal) == [1]


class Interrupted(Exception):
    """What a signal handler raises."""


def test_a_handler_that_raises_in_the_middle_leaves_no_trace(journal, in_append):
    """A row that an exception interrupted gives its place and number to the next one."""
    fill(journal, 3)

    def interrupt():
        raise Interrupted

    in_append(interrupt)
    with pytest.raises(Interrupted):
        journal.append(b'["' + b"begun" * 200 + b'"]')
    assert fill(journal, 10) == list(range(4, 14))
    assert read_all(journal) == list(range(1, 14))
    balance(journal)


def raise_at(count):
    """A profile function that raises at the ``count``-th place where CPython looks for signals.

    Since 3.10 these are the entry of a Python function and the return of one in C (and loops).
    ``open`` is left out: what it has opened would be lost, a descriptor and an empty file. So is
    hypothesis, which has the garbage collector call it. So is the place where a generator goes on
    before 3.11: a profile function that raises there ends it, and none of its ``finally`` runs.
    """

    def profile(frame, event, argument):
        nonlocal count
        here = "hypothesis" not in frame.f_code.co_filename and argument is not os.open
        if sys.version_info < (3, 11) and event == "call" and frame.f_lasti >= 0:
            here = False
        if here and event in ("call", "c_return"):
            count -= 1
            if count == 0:
                raise Interrupted

    return profile


@pytest.mark.parametrize("when_full", ["drop_oldest", "drop_newest"])
@pytest.mark.parametrize("filled", [3, PER_SEGMENT, 4 * PER_SEGMENT], ids=["store", "roll", "full"])
def test_a_handler_that_raises_anywhere_in_a_log_call(make, when_full, filled):
    """An exception anywhere in a log call costs no other row and leaves no lock held."""
    count, finished = 0, False
    while not finished:
        count += 1
        journal = make(when_full=when_full)
        fill(journal, filled)
        sys.setprofile(raise_at(count))
        try:
            journal.append(row(filled + 1))
            finished = True
        except Interrupted:
            pass
        finally:
            sys.setprofile(None)
        assert not journal.is_inside, count
        assert not forks._fork_lock._is_owned(), count
        for _ in range(2 * PER_SEGMENT):
            assert journal.append(row(journal.next)) != REENTRANT
        live = read_all(journal)
        rows = [item for item in live if isinstance(item, int)]
        assert rows == sorted(set(rows)), count
        told = sum(item[1] - item[0] + 1 for item in live if isinstance(item, tuple))
        assert len(rows) + told == journal.next - 1, count
        balance(journal)
        assert merged(strip(of_dead(journal))) == merged(strip(live)), count
    assert count > 5


# -- waking the sender


def test_the_sender_is_woken_once_when_it_sleeps(journal):
    """A sleeping sender is woken once, by discarded rows as well as by stored ones."""
    woken = []
    journal.on_append = lambda: woken.append(journal.next)
    fill(journal, 2)
    assert woken == []
    journal.sender_waiting = True
    fill(journal, 2)
    assert woken == [4]
    journal.sender_waiting = True
    journal.append(b"x" * LIMIT)
    assert woken == [4, 6]


def test_a_row_that_came_in_the_middle_of_another_call_wakes_it_too(journal):
    """A row logged while the figures are asked for wakes the sender too."""
    woken = []
    journal.on_append = lambda: woken.append(journal.next)
    journal.sender_waiting = True
    with journal._section():
        assert journal.append(row(1)) == REENTRANT
        assert woken == []
    assert woken == [2]


def test_a_call_that_ends_by_an_exception_wakes_it_too(journal, in_append, monkeypatch):
    """A call that ends by an exception wakes the sender for the row of a signal handler."""
    woken = []
    journal.on_append = lambda: woken.append(journal.next)

    def log_and_interrupt():
        journal.append(row(1))
        raise Interrupted

    journal.sender_waiting = True
    in_append(log_and_interrupt)
    with pytest.raises(Interrupted):
        journal.append(row(0))
    assert woken == [2]


# -- the end


def test_a_journal_that_is_empty_is_removed(make):
    """An empty journal is removed whole, and one with pending rows stays as an orphan."""
    empty, full, kept = make(), make(), make()
    for journal in (empty, full, kept):
        fill(journal, 10)
    empty.acknowledge(10)
    kept.acknowledge(10)
    full.acknowledge(4)
    assert empty.close(remove=True)
    assert not full.close(remove=True)
    assert kept.close(remove=False)
    assert not os.path.exists(empty.path)
    assert of_orphan(full.path) == [5, 6, 7, 8, 9, 10]
    assert of_orphan(kept.path) == []
    assert empty.close(remove=True)  # again: harmless
    assert balance(full) == Figures(10, 4, 6, {})


def test_a_closed_journal_takes_nothing(journal):
    """A closed journal takes and counts no row, so that the caller goes elsewhere."""
    fill(journal, 3)
    journal.acknowledge(3)
    journal.close(remove=True)
    assert journal.append(row(4)) == 0
    assert journal.closed
    assert balance(journal) == Figures(3, 3, 0, {})
    journal.acknowledge(4)  # by a sender that has not noticed yet
    assert not journal.read(0, 1000).rows


def test_what_was_in_memory_ends_with_it(make):
    """Rows in memory that end with their journal are counted as dropped."""
    journal = make(None)
    fill(journal, 10)
    journal.acknowledge(4)
    assert not journal.close(remove=True)
    assert balance(journal) == Figures(10, 4, 0, {"closed": 6})


def test_what_a_journal_on_disk_had_to_keep_in_memory_is_told_by_its_adopter(make, write_by):
    """An adopter tells which rows a dead journal had in memory only."""
    journal = make()
    fill(journal, PER_SEGMENT)
    write_by(
        lambda descriptor, data, offset: (
            full(descriptor, data, offset) if len(data) > 8 else os.pwrite(descriptor, data, offset)
        )
    )
    fill(journal, PER_SEGMENT)
    assert not journal.close(remove=True)
    assert balance(journal) == Figures(14, 0, 7, {"closed": 7})
    assert of_orphan(journal.path) == [*range(1, 8), (8, 14, "spool_full")]


def test_the_inner_row_of_a_journal_that_was_closed_goes_to_its_successor(make, in_append):
    """A row logged inside a call whose journal was closed goes to the next journal."""
    journal, taken = make(), []
    journal.on_row_after_close = taken.append

    def close():
        assert journal.append(row(2)) == REENTRANT
        journal.closed = True  # by another thread, the moment the lock was free

    in_append(close)
    assert journal.append(row(1)) == 1
    journal.closed = False
    assert taken == [row(2)]


def test_closing_out_of_the_middle_of_a_log_call(make, in_append):
    """A signal handler that closes inside a log call does not deadlock, and the row is stored."""
    for remove in (True, False):
        journal = make()
        fill(journal, 2)
        in_append(lambda journal=journal, remove=remove: journal.close(remove=remove))
        assert journal.append(row(3)) == 3
        assert journal.closed
        assert of_orphan(journal.path) == [1, 2, 3]


def test_a_signal_handler_that_logs_while_its_thread_closes(make):
    """A signal handler that logs during a close does not deadlock; the next journal has its row."""
    journal, taken = make(), []
    journal.on_row_after_close = taken.append

    class Room:
        def notify_all(self):
            assert journal.append(row(4)) == REENTRANT

    fill(journal, 3)
    journal._room = Room()
    assert not journal.close(remove=False)
    assert taken == [row(4)]
    assert of_orphan(journal.path) == [1, 2, 3]


# -- forks


def test_a_child_has_no_part_in_its_parent_s_journal(make):
    """A forked child stores, unlocks and removes nothing of its parent's journal."""
    journal = make()
    fill(journal, 10)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            journal.after_fork_in_child()
            assert journal.append(row(11)) == 0
            journal.acknowledge(5)
            journal.close(remove=True)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert Orphan.adopt(journal.path) is None
    assert read_all(journal) == list(range(1, 11))
    assert fill(journal, 1) == [11]
    assert of_dead(journal) == list(range(1, 12))


def test_a_child_that_is_forked_while_another_thread_holds_the_lock(make, in_append):
    """A child that is forked while another thread holds the lock never asks for that lock."""
    journal = make()
    locked, go_on = threading.Event(), threading.Event()

    def hold():
        locked.set()
        go_on.wait(60)

    in_append(hold)
    holder = threading.Thread(target=journal.append, args=(row(1),))
    holder.start()
    locked.wait(60)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            journal.after_fork_in_child()
            own = Journal.create(os.path.dirname(journal.path), ADDRESS)
            status = 0 if own.append(row(1)) == 1 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    go_on.set()
    holder.join()
    assert read_all(journal) == [1]
    (other,) = [
        path for path in journal_directories(os.path.dirname(journal.path)) if path != journal.path
    ]
    assert of_orphan(other) == [1]


def test_a_child_that_is_forked_in_the_middle_of_a_log_call(make, in_append):
    """A log call in which a signal handler forks ends in both processes and is stored once."""
    journal = make()
    fill(journal, 3)
    inside = []

    def fork():
        inside.append(os.fork())
        if inside[0] == 0:
            journal.after_fork_in_child()
        else:
            os.waitpid(inside[0], 0)

    in_append(fork)
    try:
        journal.append(row(4))
    finally:
        if inside and inside[0] == 0:
            os._exit(0)
    assert fill(journal, 1) == [5]
    assert of_dead(journal) == [1, 2, 3, 4, 5]


# -- a kill


KILLED = """
import mmap, os, struct, sys
from pathlib import Path
from loguru_stdbridge.spool.journal import Journal
counter = mmap.mmap(os.open(sys.argv[2], os.O_RDWR), 8)
journal = Journal.create(Path(sys.argv[1]), "tcp://127.0.0.1:9020", segment_size=4096, limit=1 << 24)
number = 0
while True:
    number += 1
    journal.append(b'["%06d%s"]' % (number, b"x" * 490))
    counter[:] = struct.pack("<Q", number)
    if number % 100 == 0:
        journal.acknowledge(number - 90)
    if number == 200:
        print("go", flush=True)
"""


@pytest.mark.parametrize("run", range(10))
def test_a_process_that_is_killed_leaves_every_row_whose_call_returned(tmp_path, run):
    """A killed process leaves every row whose call returned, and at most one more."""
    spool, counter = tmp_path / "spool", tmp_path / "counter"
    counter.write_bytes(bytes(8))
    process = start_python(KILLED, str(spool), str(counter))
    try:
        assert process.stdout.readline() == b"go\n"
        threading.Event().wait(0.002 * run)  # somewhere else each time
    finally:
        process.kill()
        process.communicate()
    returned = int.from_bytes(counter.read_bytes(), "little")
    (path,) = journal_directories(spool)
    found = of_orphan(path)
    assert found == list(range(found[0], found[-1] + 1))
    assert found[0] <= returned - 9
    assert returned <= found[-1] <= returned + 1
