"""What others do to the files of a journal while its owner lives, and what the owner makes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest

from loguru_stdbridge.spool import owned, storage
from loguru_stdbridge.spool.finder import journal_directories
from loguru_stdbridge.spool.journal import Journal
from loguru_stdbridge.spool.orphans import Orphan
from loguru_stdbridge.system.locks import let_go, take_lock
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
from tests.support.processes import run_python

HISTORY = 3 * PER_SEGMENT + 2
"""Records in four segments, of which two are open."""


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool"


@pytest.fixture
def journal(spool):
    made = Journal.create(spool, ADDRESS, limit=1 << 20, segment_size=SEGMENT)
    yield made
    made.close(remove=False)


def look(journal):
    """Have the owner look at its files now."""
    journal._look_at = 0.0
    assert 0 < journal.look_after() < 60


def forget_rows_at_hand(journal):
    """As if the sender had taken them: what is in the files has to do."""
    journal._contents.at_hand.rows, journal._contents.at_hand.first = [], journal.next


def files_of(journal):
    return sorted(path.name for path in Path(journal.path).iterdir())


def merged(found):
    """Gaps side by side as one."""
    items = []
    for item in found:
        if items and isinstance(item, tuple) and isinstance(items[-1], tuple):
            items[-1] = (items[-1][0], *item[1:])
        else:
            items.append(item)
    return items


# -- files that are gone


@pytest.mark.parametrize("name", ["lock", "meta"])
def test_a_lock_or_a_meta_file_that_was_removed_is_made_anew(journal, name):
    """A lock or meta file that a cleaner removes is back at the next look, and no record is lost."""
    fill(journal, HISTORY)
    journal.acknowledge(2)
    before = files_of(journal)
    os.unlink(os.path.join(journal.path, name))
    look(journal)
    assert files_of(journal) == before
    assert "no records are gone" in journal.trouble
    assert Orphan.adopt(journal.path) is None
    look(journal)
    assert fill(journal, 1) == [HISTORY + 1]
    assert of_dead(journal) == list(range(3, HISTORY + 2))


def test_the_log_that_a_journal_belongs_to_is_noted_anew(journal):
    """The log that a journal was greeted by is noted anew where a cleaner has removed the note."""
    from loguru_stdbridge.addresses import LogName

    log = LogName("/var/log/app.log", "0" * 32)
    journal.belong_to(log)
    for path in Path(journal.path).iterdir():
        path.unlink()
    look(journal)
    fill(journal, 1)
    journal.close(remove=False)
    orphan = Orphan.adopt(journal.path)
    assert orphan.log == log
    orphan.release()


@pytest.mark.parametrize("what", ["files", "journal", "spool"])
def test_a_directory_that_was_removed_is_made_again(journal, spool, what):
    """Records in open files are in new ones after a removal, and those in closed ones are a gap."""
    fill(journal, HISTORY)
    forget_rows_at_hand(journal)
    fill(journal, 1)
    if what == "files":
        for path in Path(journal.path).iterdir():
            path.unlink()
    else:
        shutil.rmtree(spool if what == "spool" else journal.path)
    look(journal)
    assert (spool.stat().st_mode & 0o777, Path(journal.path).stat().st_mode & 0o777) == (0o700,) * 2
    assert f"{2 * PER_SEGMENT} records are gone" in journal.trouble
    assert fill(journal, 1) == [HISTORY + 2]
    # The first segment and the last are open, and two between them are not.
    expected = [*range(1, 8), (8, 21), *range(22, HISTORY + 3)]
    assert strip(merged(read_all(journal))) == expected
    assert balance(journal).dropped == {"damaged": 2 * PER_SEGMENT}
    assert strip(of_dead(journal)) == expected


def test_a_record_after_a_pause_finds_out_that_its_segment_was_removed(journal):
    """A record that finds the sender asleep finds out before it is stored that the file is gone."""
    fill(journal, 3)
    for path in Path(journal.path).iterdir():
        path.unlink()
    journal.sender_waiting = True
    assert fill(journal, 2) == [4, 5]
    assert of_dead(journal) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [0, 100, 1000])
@pytest.mark.parametrize("which", [1, -1], ids=["closed", "written"])
@pytest.mark.parametrize("looks", [True, False], ids=["looked at", "read"])
def test_a_segment_that_somebody_cut_loses_only_what_was_cut(journal, size, which, looks):
    """A cut segment loses only what was cut: by a look, by reading it, and for an adopter."""
    fill(journal, HISTORY)
    forget_rows_at_hand(journal)
    file = segment_files(journal)[which]
    first = 1 + PER_SEGMENT * (1 if which == 1 else 3)
    last = min(first + PER_SEGMENT - 1, HISTORY)
    os.truncate(file, size)
    if looks:
        look(journal)
    elif which == -1:
        assert fill(journal, 1) == [HISTORY + 1]
        forget_rows_at_hand(journal)
    whole = max(min((size - 260) // 516, last - first + 1), 0)
    following = journal.next
    expected = list(range(1, following))
    expected[first + whole - 1 : last] = [(first + whole, last)]
    assert strip(read_all(journal)) == expected
    assert fill(journal, 2) == [following, following + 1]
    assert strip(read_all(journal)) == [*expected, following, following + 1]
    assert strip(of_dead(journal)) == [*expected, following, following + 1]


def test_rows_at_hand_fill_what_was_cut(journal):
    """Rows that the sender has not taken survive a cut of their segment."""
    fill(journal, PER_SEGMENT - 1)
    os.truncate(segment_files(journal)[0], 0)
    journal.sender_waiting = True
    assert fill(journal, 1) == [PER_SEGMENT]
    assert "no records are gone" in journal.trouble
    assert read_all(journal) == list(range(1, PER_SEGMENT + 1))
    assert of_dead(journal) == list(range(1, PER_SEGMENT + 1))


def test_an_adopter_delivers_what_is_behind_a_cut(journal):
    """An adopter delivers the records behind a cut, and tells how many are missing."""
    fill(journal, 3)
    os.truncate(segment_files(journal)[0], 0)
    fill(journal, 2)
    journal.close(remove=False)
    orphan = Orphan.adopt(journal.path)
    assert orphan.read(0, 1 << 20).gap[:2] == (1, 3)
    assert list(orphan.read(3, 1 << 20).rows) == [row(4), row(5)]
    (kept,) = orphan.remove()
    assert ".seg.damaged-" in kept


def test_an_adopter_tells_what_the_owner_has_seen_and_somebody_cut(journal):
    """An adopter tells a gap where the last segment was cut to nothing after its owner's look."""
    fill(journal, 5)
    look(journal)
    os.truncate(segment_files(journal)[0], 0)
    journal.close(remove=False)
    orphan = Orphan.adopt(journal.path)
    assert (orphan.last, orphan.read(0, 1).gap) == (5, (1, 5, "damaged"))
    orphan.release()


def test_a_file_in_the_place_of_a_segment_is_not_taken_for_it(journal):
    """A file that somebody put in the place of a segment is replaced by the segment's records."""
    fill(journal, 3)
    forget_rows_at_hand(journal)
    file = segment_files(journal)[0]
    file.rename(file.with_name("elsewhere"))
    file.write_bytes(b"x" * 5000)
    look(journal)
    assert read_all(journal) == [1, 2, 3]
    assert of_dead(journal) == [1, 2, 3]


def test_files_that_cannot_be_made_again_are_told_once(journal, spool):
    """A directory that cannot be made again is told once, and is there as soon as it can be."""
    fill(journal, 3)
    shutil.rmtree(spool)
    spool.write_text("in the way")
    look(journal)
    assert "cannot be made again" in journal.trouble
    journal.trouble = None
    look(journal)
    assert journal.trouble is None
    fill(journal, PER_SEGMENT)
    spool.unlink()
    look(journal)
    fill(journal, PER_SEGMENT)
    assert read_all(journal) == list(range(1, 4 + 2 * PER_SEGMENT))
    assert (journal_directories(str(spool))) == [journal.path]


def test_the_times_of_a_journal_s_files_are_kept_fresh(journal):
    """The files of a quiet owner get new times at its look, but not at each."""
    fill(journal, HISTORY)
    for path in Path(journal.path).iterdir():
        os.utime(path, (1.0, 1.0))
    look(journal)
    assert all(time.time() - path.stat().st_mtime < 60 for path in Path(journal.path).iterdir())
    times = {path: path.stat().st_mtime_ns for path in Path(journal.path).glob("*.seg")}
    look(journal)
    assert {path: path.stat().st_mtime_ns for path in times} == times  # not each time


# -- descriptors that are closed


CLOSED = """
import json, os, sys
from tests.support.journals import ADDRESS, fill, read_all
from loguru_stdbridge.spool.journal import Journal

journal = Journal.create(sys.argv[1], ADDRESS, limit=1 << 20, segment_size=4096)
fill(journal, 20)
os.closerange(3, 1000)
others = [open(f"{sys.argv[2]}/{n}", "wb", buffering=0) for n in range(100)]
taken = fill(journal, 20)
print(json.dumps([taken, journal.trouble, read_all(journal)]))
assert not any(os.path.getsize(f"{sys.argv[2]}/{n}") for n in range(100))
os.kill(os.getpid(), 9)
"""


def test_a_process_that_closes_all_descriptors_goes_on_with_its_journal(tmp_path, spool):
    """A process that closes all descriptors writes no row into its next files, and loses none."""
    (tmp_path / "others").mkdir()
    status, out, err = run_python(CLOSED, str(spool), str(tmp_path / "others"))
    assert status == -signal.SIGKILL, err
    taken, trouble, found = json.loads(out)
    assert taken == list(range(21, 41))
    assert "no records are gone" in trouble
    assert found == list(range(1, 41))
    (path,) = journal_directories(str(spool))
    assert of_orphan(path) == list(range(1, 41))


@pytest.fixture
def close():
    """``close(numbers)``: they are closed, and are another file's from now on."""
    taken = []

    def close(numbers):
        null = os.open(os.devnull, os.O_RDWR)
        for number in numbers:
            os.dup2(null, number)
        taken.extend([null, *numbers])

    yield close
    for number in taken:
        os.close(number)


@pytest.fixture
def close_all(close):
    """``close_all(journal)``: the descriptors are closed behind the journal's back."""

    def close_all(journal):
        numbers = {s.file.descriptor for s in journal._contents.segments if s.file is not None}
        close({*numbers, journal._disk._lock, journal._disk._file.descriptor})

    return close_all


def test_a_lost_lock_is_taken_back_before_the_next_record(journal, close_all):
    """A journal whose descriptors were all closed is its owner's again before the next record."""
    fill(journal, 3)
    close_all(journal)
    assert fill(journal, 1) == [4]
    assert Orphan.adopt(journal.path) is None
    assert of_dead(journal) == [1, 2, 3, 4]


def test_what_an_adopter_has_delivered_meanwhile_is_acknowledged(journal, close_all):
    """An owner goes on behind what an adopter had delivered before it was killed."""
    fill(journal, 5)
    close_all(journal)
    orphan = Orphan.adopt(journal.path)
    orphan.acknowledge(3)
    orphan.release()
    assert fill(journal, 1) == [6]
    assert journal.first == 4
    assert of_dead(journal) == [4, 5, 6]


@pytest.mark.parametrize("end", ["adopts", "has delivered"])
def test_a_journal_that_an_adopter_has_is_left_to_it(journal, end, close_all):
    """An owner takes no more rows once an adopter has the journal, which has every record."""
    fill(journal, HISTORY)
    close_all(journal)
    orphan = Orphan.adopt(journal.path)
    if end == "has delivered":
        orphan.acknowledge(HISTORY)
        orphan.remove()
    assert journal.append(row(HISTORY + 1)) == 0
    assert journal.closed
    assert "another process has adopted it" in journal.trouble
    assert journal.pending == 0
    look(journal)
    if end == "adopts":
        assert orphan.last == HISTORY
        orphan.release()


def test_rows_in_memory_are_not_left_to_an_adopter(journal, monkeypatch, close_all):
    """Rows that are only in memory go to the caller's next journal where an adopter has the files."""
    taken = []
    journal.on_row_after_close = taken.append
    fill(journal, 1)
    with monkeypatch.context() as patch:
        patch.setattr(journal, "_file_failed", True)
        fill(journal, PER_SEGMENT)
    assert any(segment.memory is not None for segment in journal._contents.segments)
    in_memory = journal._contents.rows_of_this_process(with_removed=False)
    close_all(journal)
    orphan = Orphan.adopt(journal.path)
    look(journal)
    assert journal.closed
    assert taken == in_memory != []
    orphan.release()


def test_two_journals_of_a_process_do_not_write_into_each_other(spool, close_all):
    """Two journals whose descriptors were closed keep apart, though one gets the other's numbers."""
    journals = [Journal.create(spool, ADDRESS, segment_size=1 << 20) for _ in range(2)]
    for journal in journals:
        fill(journal, 5)
    for journal in journals:
        close_all(journal)
    for journal in journals:
        assert fill(journal, 5) == list(range(6, 11))
    for journal in journals:
        assert of_dead(journal) == list(range(1, 11))


def test_a_number_that_was_given_to_another_file_gets_no_row(journal, tmp_path):
    """A file that ``dup2`` puts in the place of a segment's descriptor gets no row."""
    fill(journal, 3)
    with open(tmp_path / "theirs", "wb") as theirs:
        number = journal._contents.segments[0].file.descriptor
        os.dup2(theirs.fileno(), number)
        assert fill(journal, 3) == [4, 5, 6]
        os.close(number)
    assert (tmp_path / "theirs").read_bytes() == b""
    assert of_dead(journal) == [1, 2, 3, 4, 5, 6]


def test_one_lock_that_is_left_keeps_adopters_away(journal, close):
    """The lock of any one file keeps adopters away, and the owner's look takes back the others."""
    fill(journal, 3)
    close([journal._disk._lock])
    assert Orphan.adopt(journal.path) is None
    look(journal)
    held = take_lock(os.path.join(journal.path, "lock"))
    assert held is None
    assert of_dead(journal) == [1, 2, 3]


def test_an_adopter_that_looks_in_the_same_instant_takes_nothing_away(journal):
    """An adopter that has made and locked another lock file for an instant changes nothing."""
    fill(journal, 3)
    lock = os.path.join(journal.path, "lock")
    os.unlink(lock)
    held = take_lock(lock, create=True)
    look(journal)
    assert not journal.closed
    let_go(held)
    look(journal)
    assert Orphan.adopt(journal.path) is None
    assert of_dead(journal) == [1, 2, 3]


# -- another user


@pytest.fixture
def become(journal, monkeypatch):
    """``become(user)``: this process is that user from now on, and may make no files there."""

    def become(user):
        for module in (owned, storage):
            monkeypatch.setattr(module, "current_user", lambda: user)
        original = journal._disk.new_segment

        def new_segment(first, size):
            if user == 4711:
                raise PermissionError(13, "Permission denied")
            return original(first, size)

        monkeypatch.setattr(journal._disk, "new_segment", new_segment)

    return become


def test_a_process_that_has_become_another_user_goes_on_in_its_open_file(journal, become):
    """A segment grows on where its process has become another user, and that is told once."""
    fill(journal, 3)
    become(4711)
    look(journal)
    assert journal.trouble is None
    assert fill(journal, 5 * PER_SEGMENT) == list(range(4, 4 + 5 * PER_SEGMENT))
    assert "user 4711 cannot make files" in journal.trouble
    assert len(segment_files(journal)) == 1
    assert read_all(journal) == list(range(1, 4 + 5 * PER_SEGMENT))
    journal.acknowledge(PER_SEGMENT)
    assert of_dead(journal) == list(range(PER_SEGMENT + 1, 4 + 5 * PER_SEGMENT))


def test_the_file_that_grows_on_is_cut_when_all_of_it_is_acknowledged(journal, become):
    """A file that grows on is cut when all of it is acknowledged, so that it stays small."""
    fill(journal, 3)
    become(4711)
    for _ in range(10):
        fill(journal, 3 * PER_SEGMENT)
        assert journal.read(journal.first - 1, 1200).rows
        journal.acknowledge(journal.next - 1)
    assert segment_files(journal)[0].stat().st_size < 400
    fill(journal, 2)
    assert read_all(journal) == [journal.next - 2, journal.next - 1]
    assert of_dead(journal) == [journal.next - 2, journal.next - 1]


def test_a_journal_without_an_open_file_is_followed_by_another(journal, become):
    """A journal without an open file closes itself where its process has become another user."""
    become(4711)
    fill(journal, 1)
    assert journal.closed
    assert (journal.append(row(1)), journal.pending) == (0, 0)


def test_a_limit_holds_for_the_file_that_grows_on(journal, become):
    """A file that grows on ends at the journal's limit, and drops nothing."""
    journal._limit = 10 * SEGMENT
    fill(journal, 3)
    become(4711)
    while not journal.closed:
        journal.append(row(journal.next))
    assert journal.pending > 9 * PER_SEGMENT - 7
    last = journal.pending
    assert read_all(journal) == list(range(1, last + 1))
    assert segment_files(journal)[0].stat().st_size <= 10 * SEGMENT
    assert journal.trouble.endswith("records go on in another journal")
    journal.acknowledge(last - 1)
    assert not journal.close(remove=True)
    assert of_orphan(journal.path) == [last]


def test_a_backlog_of_another_user_is_left_to_whoever_may_read_it(journal, become):
    """A backlog that a changed user may not read any more is left whole to an adopter."""
    fill(journal, HISTORY)
    become(4711)
    look(journal)
    assert journal.closed
    assert (journal.pending, journal.append(row(1))) == (0, 0)
    assert of_orphan(journal.path) == list(range(1, HISTORY + 1))


def test_a_removed_file_of_another_user_goes_on_in_the_next_journal(journal, become):
    """Rows of a removed file that its changed user cannot make anew go to the next journal."""
    taken = []
    journal.on_row_after_close = taken.append
    fill(journal, 3)
    become(4711)
    for path in Path(journal.path).iterdir():
        path.unlink()
    journal.sender_waiting = True
    assert journal.append(row(4)) == 0
    assert journal.closed
    assert taken == [row(1), row(2), row(3)]


SETUID = """
import json, os, sys
from tests.support.journals import ADDRESS, fill, read_all
from loguru_stdbridge.spool.journal import Journal

journal = Journal.create(sys.argv[1], ADDRESS, limit=1 << 20, segment_size=4096)
fill(journal, 3)
os.setgid(65534), os.setuid(65534)
fill(journal, 200)
journal._look_at = 0.0
journal.look_after()
print(json.dumps([journal.trouble, read_all(journal)]))
sys.stdout.flush()
os.kill(os.getpid(), 9)
"""


def test_privileges_that_are_dropped_lose_nothing(spool):
    """A process that drops root's privileges and is killed leaves every record in root's journal."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    status, out, err = run_python(SETUID, str(spool))
    assert status == -signal.SIGKILL, err
    trouble, found = json.loads(out)
    assert "user 65534 cannot make files" in trouble
    assert found == list(range(1, 204))
    (path,) = journal_directories(str(spool))
    assert of_orphan(path) == list(range(1, 204))
