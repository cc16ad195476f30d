"""Orphans: which journals can be adopted, by whom, and what is read of them."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from loguru_stdbridge.exceptions import JournalError, JournalVersionError
from loguru_stdbridge.record.row import MAX_ROWS
from loguru_stdbridge.spool import orphans
from loguru_stdbridge.spool.finder import OrphanFinder, journal_directories
from loguru_stdbridge.spool.orphans import Orphan
from loguru_stdbridge.spool.segments import (
    ACKED_AT,
    NUMBER,
    SEGMENT_HEADER,
    Meta,
    decode_meta,
    encode_meta,
    encode_meta_part,
    encode_record,
    encode_segment_header,
)
from loguru_stdbridge.system.locks import let_go, take_lock
from tests.support.processes import start_python

SENDER = "0123456789abcdef" * 2
ADDRESS = "tcp://127.0.0.1:9020"


PART = encode_meta_part(Meta(SENDER, ADDRESS, 4, 77, 1.0, origin="[]"))


def row(number):
    return b'["%d"]' % number


def a_segment(first, numbers, size=2048, meta=b""):
    records = b"".join(encode_record(row(n), n) for n in numbers)
    return (encode_segment_header(first, meta) + records).ljust(size, b"\0")


def make_orphan(spool, *segments, acked=0, given_up=0, sender=SENDER, pid=1):
    """A journal whose owner is dead. ``segments``: bytes, or the numbers that one holds."""
    path = spool / sender
    path.mkdir(parents=True)
    (path / "lock").touch()
    (path / "meta").write_bytes(encode_meta(Meta(sender, ADDRESS, acked, pid, 0.0, given_up)))
    for index, segment in enumerate(segments, 1):
        data = segment if isinstance(segment, bytes) else a_segment(segment[0], segment)
        (path / f"{index:010d}.seg").write_bytes(data)
    return path


def read_all(orphan, max_bytes=1):
    """Everything that it delivers, in order: numbers, and gaps as ``(first, last, reason)``."""
    found, after = [], orphan.acked
    while True:
        batch = orphan.read(after, max_bytes)
        if batch.gap is not None:
            assert batch.gap.first == after + 1
            found.append(batch.gap)
            after = batch.gap.last
        elif batch.rows:
            assert batch.first == after + 1
            assert batch.last == after + len(batch.rows)
            assert list(batch.rows) == [row(n) for n in range(batch.first, batch.last + 1)]
            found += range(batch.first, batch.last + 1)
            after = batch.last
        else:
            assert after == orphan.last
            return found


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def adopt():
    """``Orphan.adopt`` of what is released at the end, whatever becomes of the test."""
    adopted = []

    def adopt(path):
        orphan = Orphan.adopt(path)
        if orphan is not None:
            adopted.append(orphan)
        return orphan

    yield adopt
    for orphan in adopted:
        orphan.release()


# -- what is read


@pytest.mark.parametrize("max_bytes", [1, 13, 1 << 20])
def test_everything_that_was_not_acknowledged_is_read_in_order(spool, adopt, max_bytes):
    """Every unacknowledged row is read in order, in batches of any size, as often as asked."""
    path = make_orphan(spool, range(1, 11), range(11, 21), range(21, 26), acked=4, pid=77)
    orphan = adopt(path)
    assert (orphan.sender_id, orphan.address, orphan.pid) == (SENDER, ADDRESS, 77)
    assert orphan.last == 25
    for _ in range(2):
        assert read_all(orphan, max_bytes) == list(range(5, 26))
    assert orphan.damaged == []


def test_a_batch_holds_one_row_at_least_and_ends_at_its_size(spool, adopt):
    """A batch holds the rows that fit its size, and at least one."""
    orphan = adopt(make_orphan(spool, range(1, 11)))
    assert [len(orphan.read(0, size).rows) for size in (1, 9, 10, 1000)] == [1, 1, 2, 10]


def test_a_batch_is_what_a_receiver_takes_in_one_frame(spool, adopt):
    """A batch has no more rows than a frame may have."""
    count = MAX_ROWS + 5
    orphan = adopt(make_orphan(spool, a_segment(1, range(1, count + 1), size=1 << 20)))
    assert [len(orphan.read(after, 1 << 20).rows) for after in (0, MAX_ROWS)] == [MAX_ROWS, 5]


def test_reading_on_does_not_read_what_is_behind(spool, adopt):
    """Reading ahead of the acknowledgements loads each segment once."""
    path = make_orphan(spool, range(1, 11), range(11, 21), range(21, 31))
    orphan = adopt(path)
    assert read_all(orphan) == list(range(1, 31))
    (path / "0000000001.seg").unlink()
    (path / "0000000002.seg").unlink()
    assert orphan.read(20, 1000).last == 30


@pytest.mark.parametrize(
    ("segments", "acked", "given_up", "expected"),
    [
        ([[5, 6]], 0, 4, [(1, 4, "spool_full"), 5, 6]),  # the oldest were given up
        ([[1, 2], [7, 8]], 0, 0, [1, 2, (3, 6, "damaged"), 7, 8]),  # a file is missing
        ([[1, 2, 7, 8]], 0, 6, [1, 2, (3, 6, "spool_full"), 7, 8]),  # the newest were, for a while
        ([[1, 2]], 0, 9, [1, 2, (3, 9, "spool_full")]),  # and to the end
        ([[1, 2, 7]], 0, 6, [1, 2, (3, 6, "spool_full"), 7]),
        ([], 3, 9, [(4, 9, "spool_full")]),  # all of it
        ([[1, 2]], 4, 6, [(5, 6, "spool_full")]),
        ([[1, 2], b"rubbish"], 0, 0, [1, 2]),  # what followed cannot be known
        ([[1, 2]], 2, 2, []),
        ([[1, 2]], 2, 0, []),
        ([], 0, 0, []),
    ],
)
def test_numbers_without_a_record_are_gaps(spool, adopt, segments, acked, given_up, expected):
    """Every number is delivered or told as a gap: at the start, in the middle and at the end."""
    orphan = adopt(make_orphan(spool, *segments, acked=acked, given_up=given_up))
    assert read_all(orphan) == expected


def test_a_segment_may_begin_with_numbers_that_were_given_up(spool, adopt):
    """A segment may begin with discarded numbers, and a missing segment is noticed."""
    orphan = adopt(make_orphan(spool, [1, 2], a_segment(3, [7, 8]), given_up=6))
    assert read_all(orphan) == [1, 2, (3, 6, "spool_full"), 7, 8]
    assert orphan.damaged == []


@pytest.mark.parametrize(
    "unused",
    [b"", bytes(2048), *(a_segment(3, [], meta=PART)[:size] for size in (2048, 140, 60, 31, 3))],
    ids=len,
)
def test_a_segment_that_never_came_into_use_says_nothing(spool, adopt, unused):
    """A segment that its owner had only begun adds nothing."""
    orphan = adopt(make_orphan(spool, [1, 2, 3, 4], unused, [5, 6], unused))
    assert read_all(orphan) == [1, 2, 3, 4, 5, 6]
    assert orphan.damaged == []


# -- damage


def flipped(data, index):
    changed = bytearray(data)
    changed[index] ^= 0x81
    return bytes(changed)


@pytest.mark.parametrize(
    ("damaged", "lost"),
    [
        (flipped(a_segment(11, range(11, 21)), 3), None),  # the header
        (bytes(32) + a_segment(11, range(11, 21))[32:], None),
        (a_segment(11, range(11, 21))[40:], (11, 11)),
        (b"rubbish", (11, 20)),
        (flipped(a_segment(11, range(11, 21)), 50), (11, 11)),  # the first record
        (flipped(a_segment(11, range(11, 21)), 150), (16, 16)),  # in the middle
        (a_segment(11, range(11, 18)), (18, 20)),  # the end: zeros
        (a_segment(11, range(11, 21))[:200], (18, 20)),  # the end: cut off
    ],
    ids=["header", "no header", "begin", "rubbish", "first", "middle", "end", "short"],
)
def test_what_is_whole_around_damage_is_delivered_and_the_rest_is_kept(spool, adopt, damaged, lost):
    """Rows around damage are delivered; the hole is a gap, and only that segment is kept aside."""
    orphan = adopt(make_orphan(spool, range(1, 11), damaged, range(21, 31)))
    expected = list(range(1, 31))
    if lost is not None:
        expected[lost[0] - 1 : lost[1]] = [(*lost, "damaged")]
    assert read_all(orphan) == expected
    (kept,) = orphan.remove()
    assert kept.startswith(str(spool / f"{SENDER}-0000000002.seg.damaged-"))
    assert Path(kept).read_bytes() == damaged
    assert list(spool.iterdir()) == [Path(kept)]


def test_damage_at_the_very_end_is_noticed(spool, adopt):
    """A last record with a whole header and a wrong checksum is damage, not a call under way."""
    orphan = adopt(make_orphan(spool, flipped(a_segment(1, [1, 2]), SEGMENT_HEADER + 16 + 5 + 20)))
    assert read_all(orphan) == [1]
    assert len(orphan.remove()) == 1


def test_a_segment_that_cannot_be_read_is_a_gap(spool, adopt):
    """A segment that cannot be read is a gap and stops nothing else."""
    path = make_orphan(spool, range(1, 11), range(11, 21), range(21, 31))
    orphan = adopt(path)
    (path / "0000000002.seg").unlink()
    assert read_all(orphan) == [*range(1, 11), (11, 20, "damaged"), *range(21, 31)]
    assert orphan.remove() == []


@pytest.mark.parametrize(
    ("meta", "told"),
    [
        (b"", "0 bytes"),
        (b"x" * 4096, "not with"),
        (flipped(encode_meta(Meta(SENDER, ADDRESS, 0, 1, 0.0)), 100), "damaged"),
        (None, "no meta file"),
    ],
    ids=["empty", "other", "damaged", "none"],
)
def test_a_journal_that_is_not_understood_is_kept_aside(spool, meta, told):
    """A journal that cannot be read is kept aside whole, told once and not tried again."""
    path = make_orphan(spool, range(1, 11))
    (path / "meta").unlink()
    if meta is not None:
        (path / "meta").write_bytes(meta)
    with pytest.raises(JournalError, match=told) as caught:
        Orphan.adopt(path)
    (aside,) = spool.iterdir()
    assert aside.name.startswith(f"{SENDER}.damaged-")
    assert str(aside) in str(caught.value)
    assert (aside / "0000000001.seg").read_bytes() == a_segment(1, range(1, 11))
    assert journal_directories(spool) == []
    let_go(take_lock(str(aside / "lock")))


# -- delivery


def test_what_is_acknowledged_is_not_delivered_again(spool, adopt):
    """An acknowledgement is stored at once, and the next adopter goes on from there."""
    path = make_orphan(spool, range(1, 11), acked=2)
    orphan = adopt(path)
    orphan.acknowledge(5)
    orphan.acknowledge(4)
    orphan.release()
    assert NUMBER.unpack_from((path / "meta").read_bytes(), ACKED_AT) == (5,)
    again = adopt(path)
    assert again.acked == 5
    assert read_all(again) == [6, 7, 8, 9, 10]


def test_an_acknowledgement_that_cannot_be_stored_stops_nothing(spool, adopt):
    """An acknowledgement that cannot be stored only makes the next adopter deliver again."""
    path = make_orphan(spool, range(1, 11))
    orphan = adopt(path)
    (path / "meta").unlink()
    orphan.acknowledge(5)
    assert orphan.acked == 5


def test_what_is_delivered_is_removed(spool, adopt):
    """A delivered journal is removed with its directory."""
    orphan = adopt(make_orphan(spool, range(1, 11)))
    assert orphan.remove() == []
    assert list(spool.iterdir()) == []
    orphan.release()


# -- who may adopt


def test_a_journal_of_a_later_version_is_left_to_a_later_reader(spool):
    """A journal of a later version stays where it is, and the message gives both versions."""
    path = make_orphan(spool, range(1, 11))
    later = flipped(encode_meta(Meta(SENDER, ADDRESS, 0, 1, 0.0)), 8)
    (path / "meta").write_bytes(later)
    with pytest.raises(JournalVersionError, match="version 131; this is version 2"):
        Orphan.adopt(path)
    assert (path / "meta").read_bytes() == later
    assert list(spool.iterdir()) == [path]
    let_go(take_lock(str(path / "lock")))


@pytest.mark.parametrize("damage", ["none", "empty", "flipped"])
@pytest.mark.parametrize("lock", ["a lock", "no lock"])
def test_a_journal_without_its_meta_file_is_delivered_by_its_segments(spool, adopt, damage, lock):
    """A journal without ``meta`` is delivered from its segments, each of which names its sender.

    What an adopter has delivered is noted anew.
    """
    path = make_orphan(spool, a_segment(1, range(1, 6)), a_segment(6, range(6, 9), meta=PART))
    meta = (path / "meta").read_bytes()
    (path / "meta").unlink()
    if damage != "none":
        (path / "meta").write_bytes(b"" if damage == "empty" else flipped(meta, 60))
    if lock == "no lock":
        (path / "lock").unlink()
        old = time.time() - orphans.HALF_MADE_AGE - 1
        os.utime(path, (old, old))
    orphan = adopt(path)
    assert (orphan.sender_id, orphan.address, orphan.pid) == (SENDER, ADDRESS, 77)
    assert read_all(orphan) == [5, 6, 7, 8]
    orphan.acknowledge(6)
    orphan.release()
    assert read_all(adopt(path)) == [7, 8]


def test_a_journal_without_its_lock_file_is_delivered(spool, adopt):
    """A journal without its lock file is delivered if its ``meta`` is not locked either."""
    path = make_orphan(spool, [1, 2])
    (path / "lock").unlink()
    assert read_all(adopt(path)) == [1, 2]


def test_a_journal_of_version_1_without_its_lock_file_waits_for_its_process(spool, adopt):
    """A journal of version 1 without its lock file waits until its process has ended."""
    for pid, expected in ((os.getpid(), None), (dead_process(), [1, 2])):
        path = make_orphan(spool, [1, 2])
        meta = Meta(SENDER, ADDRESS, 0, pid, 0.0, version=1)
        (path / "meta").write_bytes(encode_meta(meta))
        (path / "lock").unlink()
        orphan = adopt(path)
        assert (orphan and read_all(orphan)) == expected
        shutil.rmtree(path)


def dead_process():
    """The number of a process that has ended."""
    process = start_python("pass")
    process.communicate()
    return process.pid


@pytest.mark.parametrize("kept", ["meta", "0000000002.seg"])
def test_one_lock_is_enough_to_tell_that_the_owner_lives(spool, adopt, kept):
    """One lock that is left shows that the owner lives."""
    path = make_orphan(spool, [1, 2], [3, 4])
    if kept != "meta":
        (path / "meta").unlink()
    (path / "lock").unlink()
    old = time.time() - orphans.HALF_MADE_AGE - 1
    os.utime(path, (old, old))
    held = take_lock(str(path / kept))
    assert adopt(path) is None
    assert (path / kept).exists()
    let_go(held)


def test_a_journal_that_may_have_an_owner_gets_some_time(spool, adopt):
    """A journal without lock and ``meta`` is left alone for some time."""
    path = make_orphan(spool, a_segment(1, [1, 2], meta=PART))
    (path / "lock").unlink()
    (path / "meta").unlink()
    assert adopt(path) is None
    old = time.time() - orphans.HALF_MADE_AGE - 1
    os.utime(path, (old, old))
    assert adopt(path) is not None


def test_records_that_are_known_to_have_been_there_are_told(spool, adopt):
    """Records whose segment was cut or removed are told if their owner had noted them."""
    path = make_orphan(spool, [1, 2])
    (path / "meta").write_bytes(encode_meta(Meta(SENDER, ADDRESS, 0, 1, 0.0, known=9)))
    assert read_all(adopt(path)) == [1, 2, (3, 9, "damaged")]


@pytest.mark.parametrize("size", [1 << 20, 1 << 40])
def test_a_segment_of_zeros_is_not_looked_through(spool, adopt, size, monkeypatch):
    """A segment of zeros is not read beyond its header."""
    path = make_orphan(spool, range(1, 11), b"", range(11, 21))
    os.truncate(path / "0000000002.seg", size)
    monkeypatch.setattr(orphans, "_read_data", limited(orphans._read_data, 1 << 16))
    orphan = adopt(path)
    assert read_all(orphan) == list(range(1, 21))
    assert orphan.damaged == []


def limited(read, most):
    """``read``, which must not return more than ``most`` bytes."""

    def limited(path):
        data = read(path)
        assert len(data) <= most
        return data

    return limited


def test_a_hole_in_a_segment_is_passed(spool, adopt):
    """A file that somebody has stretched to a terabyte is read only where it holds data."""
    data = a_segment(11, range(11, 16), size=0)
    path = make_orphan(spool, range(1, 11), data)
    with open(path / "0000000002.seg", "r+b") as file:
        file.seek(1 << 40)
        file.write(encode_record(row(20), 20))
    orphan = adopt(path)
    assert read_all(orphan) == [*range(1, 16), (16, 19, "damaged"), 20]
    assert len(orphan.remove()) == 1


def test_what_is_half_made_or_half_removed_is_swept_up(spool):
    """A directory without segments is swept up, and one without a lock after some time."""
    path = make_orphan(spool)
    (path / "meta").unlink()
    assert Orphan.adopt(path) is None
    assert not path.exists()
    path.mkdir()
    assert Orphan.adopt(path) is None
    assert path.exists()
    old = time.time() - orphans.HALF_MADE_AGE - 1
    os.utime(path, (old, old))
    assert Orphan.adopt(path) is None
    assert not path.exists()
    assert Orphan.adopt(path) is None


def test_other_things_in_the_spool_directory_are_no_journals(spool):
    """Marks, kept files and other people's files in the spool are not taken for journals."""
    make_orphan(spool, [1])
    for name in ("peers", f"{SENDER}.damaged-1-1", SENDER[:-1], SENDER.upper(), "x" * 32):
        (spool / name).mkdir()
    assert journal_directories(spool) == [str(spool / SENDER)]
    assert journal_directories(spool / "absent") == []


def test_a_journal_has_one_adopter(spool, adopt):
    """A second adopter of a journal is refused until the first lets go."""
    path = make_orphan(spool, [1])
    first = adopt(path)
    assert adopt(path) is None
    first.release()
    assert adopt(path) is not None


def test_a_journal_that_another_delivered_in_between_is_left_alone(spool, monkeypatch):
    """A journal that another adopter has delivered and removed meanwhile is left alone."""
    path = make_orphan(spool, [1])

    def late(lock, **options):
        Orphan(path, decode_meta((path / "meta").read_bytes()), take_lock(lock)).remove()
        return take_lock(lock, **options)

    monkeypatch.setattr(orphans, "take_lock", late)
    assert Orphan.adopt(path) is None
    assert not path.exists()


def test_an_error_leaves_the_journal_to_others(spool, adopt, monkeypatch):
    """An error during an adoption lets the lock go."""
    path = make_orphan(spool, [1])

    def broken(data):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(orphans, "decode_segment_header", broken)
        with pytest.raises(OSError, match="Input/output"):
            Orphan.adopt(path)
    assert read_all(adopt(path)) == [1]


# -- real processes


OWNER = """
import os, signal, sys
from pathlib import Path
from loguru_stdbridge.spool.journal import Journal
journal = Journal.create(Path(sys.argv[1]), "tcp://127.0.0.1:9020")
for number in range(1, int(sys.argv[2]) + 1):
    journal.append(b'["%d"]' % number)
print(journal.path, os.getpid(), flush=True)
signal.pause()
"""


def test_the_owner_that_is_alive_after_all_keeps_its_journal(spool, adopt):
    """A stopped owner keeps its journal; a killed one loses it at once."""
    owner = start_python(OWNER, str(spool), "50")
    try:
        owner.stdout.readline()
        (path,) = journal_directories(spool)
        for number in (signal.SIGSTOP, signal.SIGCONT):
            assert adopt(path) is None
            owner.send_signal(number)
        assert adopt(path) is None
    finally:
        owner.kill()
        owner.communicate()
    orphan = adopt(path)
    assert orphan.pid == owner.pid
    assert read_all(orphan) == list(range(1, 51))


def test_a_recycled_process_id_decides_nothing(spool, adopt):
    """A living process with the owner's process id keeps nobody from adopting."""
    for sender, pid in ((SENDER, os.getpid()), (SENDER[::-1], 1)):
        assert read_all(adopt(make_orphan(spool, [1, 2], sender=sender, pid=pid))) == [1, 2]


ADOPTER = """
import sys
from pathlib import Path
from loguru_stdbridge.spool.finder import OrphanFinder, journal_directories
from loguru_stdbridge.spool.orphans import Orphan
spool = Path(sys.argv[1])
while journal_directories(spool):
    for path in journal_directories(spool):
        orphan = Orphan.adopt(path)
        if orphan is None:
            continue
        after = orphan.acked
        while True:
            batch = orphan.read(after, 100)
            if not batch.rows:
                break
            print(*(data.decode()[2:-2] for data in batch.rows), sep="\\n", flush=True)
            orphan.acknowledge(batch.last)
            after = batch.last
        orphan.remove()
"""


def test_many_adopters_deliver_each_journal_once(spool):
    """Four adopters of 40 journals deliver each record once and in order."""
    for index in range(40):
        numbers = range(100 * index + 1, 100 * index + 100)
        make_orphan(
            spool, a_segment(numbers[0], numbers, 4096), acked=100 * index, sender=f"{index:032x}"
        )
    adopters = [start_python(ADOPTER, str(spool)) for _ in range(4)]
    outputs = [adopter.communicate(timeout=60) for adopter in adopters]
    assert [adopter.returncode for adopter in adopters] == [0] * 4, outputs
    delivered = [[int(line) for line in out.split()] for out, _ in outputs]
    assert sorted(sum(delivered, [])) == [n for n in range(1, 4000) if n % 100]
    for numbers in delivered:
        for index in {n // 100 for n in numbers}:
            assert [n for n in numbers if n // 100 == index] == list(
                range(100 * index + 1, 100 * index + 100)
            )
    assert list(spool.iterdir()) == []


@pytest.mark.parametrize("run", range(5))
def test_an_adopter_that_is_killed_half_way_is_followed_by_the_next(spool, adopt, run):
    """An adopter that is killed leaves at most one batch to be delivered again."""
    path = make_orphan(
        spool, *(a_segment(n, range(n, n + 1000), 32768) for n in range(1, 20_000, 1000))
    )
    adopter = start_python(ADOPTER, str(spool))
    try:
        lines = [adopter.stdout.readline() for _ in range(1 + 1000 * run)]
    finally:
        adopter.kill()
        delivered = lines + adopter.stdout.readlines()
        adopter.communicate()
    if not delivered[-1].endswith(b"\n"):
        delivered.pop()  # the kill, in the middle of a line
    delivered = [int(line) for line in delivered]
    orphan = adopt(path)
    rest = read_all(orphan, 1000)
    assert delivered == list(range(1, len(delivered) + 1))
    assert rest == list(range(orphan.acked + 1, 20_001))
    assert orphan.acked <= len(delivered) <= orphan.acked + 20  # rows of one batch of 100 bytes


def test_looking_at_a_journal_in_the_making_does_not_harm_it(spool):
    """A finder that sees a journal in the making does it no harm."""
    from loguru_stdbridge.spool.journal import Journal

    spool.mkdir(0o700)
    stop = threading.Event()

    def sweep():
        while not stop.is_set():
            for path in journal_directories(spool):
                assert Orphan.adopt(path) is None

    sweepers = [threading.Thread(target=sweep) for _ in range(2)]
    for sweeper in sweepers:
        sweeper.start()
    try:
        journals = []
        for _ in range(50):
            journal = Journal.create(spool, ADDRESS, segment_size=4096)
            assert journal.append(b"[1]") == 1
            journals.append(journal)
    finally:
        stop.set()
        for sweeper in sweepers:
            sweeper.join()
    assert sorted(journal_directories(spool)) == sorted(journal.path for journal in journals)
    for journal in journals:
        assert [batch.rows for batch in [journal.read(0, 10)]] == [[b"[1]"]]
        journal.acknowledge(1)
        assert journal.close(remove=True)
    assert list(spool.iterdir()) == []


# -- the finder


def test_a_finder_adopts_only_what_its_rule_calls_its_own(spool):
    """A finder lets a journal for another address go: its own program can adopt it at once."""
    path = str(make_orphan(spool, [1, 2]))
    told = []
    stranger = OrphanFinder(str(spool), lambda origin: False, told.append)
    owner = OrphanFinder(str(spool), lambda origin: origin.address.port == 9020, told.append)
    assert stranger.paths() == [path]
    assert stranger.adopt(path) is None
    orphan = owner.adopt(path)
    assert orphan.sender_id == SENDER
    assert owner.adopt(path) is None  # it has an adopter now
    owner.remove(orphan)
    assert owner.paths() == []
    assert told == []


def test_a_finder_tells_each_trouble_once(spool, monkeypatch):
    """A finder that fails at a journal again and again says so once, and goes on."""
    path = str(make_orphan(spool, [1]))
    told = []
    finder = OrphanFinder(str(spool), lambda address: True, told.append)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", path)

    with monkeypatch.context() as patch:
        patch.setattr(orphans, "take_lock", refuse)
        assert finder.adopt(path) is finder.adopt(path) is None
    assert len(told) == 1
    assert "Permission denied" in told[0]
    finder.adopt(path).release()


def test_a_finder_tells_where_damaged_segments_are_kept(spool):
    """A finder that removes a journal with a damaged segment names the file that it keeps."""
    broken = bytearray(a_segment(1, [1, 2]))
    broken[SEGMENT_HEADER + 20] ^= 1
    path = str(make_orphan(spool, bytes(broken), [3]))
    told = []
    finder = OrphanFinder(str(spool), lambda address: True, told.append)
    orphan = finder.adopt(path)
    read_all(orphan)
    finder.remove(orphan)
    (kept,) = spool.iterdir()
    assert len(told) == 1
    assert str(kept) in told[0]


def test_a_journal_that_a_downgrade_has_set_aside_is_taken_back(spool):
    """A journal that version 1 could not read, and has renamed, is found by whoever may deliver it."""
    journal = make_orphan(spool, [1])
    set_aside, other = spool / f"damaged-{SENDER}", spool / f"damaged-{'f' * 32}"
    journal.rename(set_aside)
    other.mkdir()
    (other / "meta").write_bytes(b"really damaged")
    stranger = OrphanFinder(str(spool), lambda origin: False, lambda text: None)
    finder = OrphanFinder(str(spool), lambda origin: origin.address == ADDRESS, lambda text: None)
    assert stranger.paths() == []
    assert finder.paths() == [str(journal)]
    assert other.exists()
    journal.rename(set_aside)
    journal.mkdir()  # it has come back by another hand
    assert finder.paths() == [str(journal)] and set_aside.exists()
