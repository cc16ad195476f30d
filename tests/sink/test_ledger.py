"""The ledger tells the truth of what is written, whatever is killed, deleted or damaged."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loguru_stdbridge.exceptions import LedgerError, LedgerHeldError
from loguru_stdbridge.sink import ledger as ledger_module
from loguru_stdbridge.sink import only_writer
from loguru_stdbridge.sink.entries import ALL_LINES, MAGIC, SNAPSHOT, make_entry
from loguru_stdbridge.sink.files import FileId, find_file
from loguru_stdbridge.sink.ledger import Ledger
from loguru_stdbridge.system import locks
from tests.support.descriptors import descriptors
from tests.support.processes import start_python

A, B, C = (f"{digit}" * 32 for digit in "abc")


def kill(ledger):
    """Do what the death of the ledger's process does: close its files, write nothing."""
    ledger._only_writer.release()
    ledger.after_fork_in_child()


class Book:
    """A ledger and its log file, written as the sink writes them."""

    def __init__(self, path: Path):
        self.path = path
        self.told = []
        self.log = open(path, "ab", buffering=0)
        self.ledger = Ledger.open(path, report=self.told.append)
        self.file = self.ledger.path
        self.ledger.use_file(FileId.of(os.fstat(self.log.fileno())), str(path))
        self.next = {}

    def intend(self, *lines):
        """Note an intent of ``lines``, pairs of a sender and a text; the numbers follow on."""
        runs = []
        for sender, group in itertools.groupby(sender for sender, _ in lines):
            count = len(list(group))
            runs.append((sender, self.next.get(sender, 0) + 1, count))
            self.next[sender] = self.next.get(sender, 0) + count
        texts = [text for _, text in lines]
        lengths = list(map(len, texts))
        self.ledger.intend(self.path.stat().st_size, runs, lengths, b"".join(texts))

    def write(self, *lines, lines_written=None):
        self.intend(*lines)
        self.log.write(b"".join(text for _, text in lines[:lines_written]))
        self.ledger.settle(lines_written)

    def reopen(self):
        """Open the ledger again as after a kill, without a goodbye."""
        kill(self.ledger)
        self.ledger = Ledger.open(self.path, report=self.told.append)

    def last(self):
        return {sender: self.ledger.last(sender) for sender in (A, B, C)}

    def close(self):
        self.log.close()
        self.ledger.close()


@pytest.fixture
def book(memory_path):
    made = Book(memory_path / "app.log")
    yield made
    made.close()


@contextlib.contextmanager
def reopened(path, told):
    """Open the ledger as a restart does, and kill its process afterwards."""
    ledger = Ledger.open(path, report=told.append)
    try:
        yield ledger
    finally:
        kill(ledger)


# -- every instant of a kill

_lines = st.lists(
    st.tuples(st.sampled_from([A, B, None]), st.sampled_from([b"", b"x\n", b"line\n"])),
    min_size=1, max_size=4,
)  # fmt: skip
_blocks = st.lists(st.tuples(_lines, st.none() | st.integers(0, 4)), min_size=1, max_size=3)


def moments(path, blocks):
    """Yield every state of ledger and log that a kill can leave, and what is written then.

    Blocks are ``(lines, how many of them the disk had room for)``.
    """
    book = Book(path)
    content = {A: [], B: [], None: []}  # the numbers that are written
    settled = b""

    def written(upto):
        return {
            sender: max(numbers[: upto.count(sender)] or [0]) for sender, numbers in content.items()
        }

    before = book.file.read_bytes()
    whole = []  # senders of the lines that stand
    for lines, room in blocks:
        numbers = dict(book.next)
        fits = len(lines) if room is None else min(room, len(lines))
        while fits < len(lines) and not lines[fits][1]:
            fits += 1  # an empty line needs no room
        book.intend(*lines)
        after = book.file.read_bytes()
        for cut in range(len(before), len(after)):
            yield after[:cut], settled, written(whole), settled
        data = b"".join(text for _, text in lines)
        for sender, _ in lines:
            numbers[sender] = numbers.get(sender, 0) + 1
            content[sender].append(numbers[sender])
        for size in range(len(data) + 1):
            if size > sum(len(text) for _, text in lines[: fits + 1]):
                break  # the disk is full
            stand, end = 0, 0
            for _, text in lines:
                if end + len(text) > size:
                    break
                stand, end = stand + 1, end + len(text)
            senders = whole + [sender for sender, _ in lines[:stand]]
            yield after, settled + data[:size], written(senders), settled + data[:end]
        whole += [sender for sender, _ in lines[:fits]]
        settled += b"".join(text for _, text in lines[:fits])
        for sender, _ in lines[fits:]:  # they come again, under the same numbers
            content[sender].pop()
            numbers[sender] -= 1
        book.log.truncate(0)
        book.log.write(settled)
        book.ledger.settle(None if room is None else fits)
        book.next = numbers
        before = after
    yield before, settled, written(whole), settled
    book.close()


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(blocks=_blocks)
@example(
    blocks=[([(A, b"one\n"), (B, b""), (None, b"x\n"), (A, b"two\n")], 2), ([(A, b"two\n")], None)]
)
def test_whatever_byte_a_kill_stops_at_the_ledger_is_right(memory_path, blocks):
    """A restart counts exactly the whole lines, whatever byte a kill stopped at."""
    path = Path(tempfile.mkdtemp(dir=memory_path)) / "app.log"
    for entries, log, expected, whole in list(moments(path, blocks)):
        with open(path, "r+b") as file:  # the same file: the ledger knows it by its inode
            file.truncate(0)
            file.write(log)
        told = []
        (path.parent / ".app.log.ledger").write_bytes(entries)
        for _ in range(1 + (log != whole)):  # killed again after the repair: the same answer
            with reopened(path, told) as ledger:
                assert [ledger.last(key) for key in (A, B)] == [expected[key] for key in (A, B)]
            assert path.read_bytes() == whole
        assert told == []


def test_a_ledger_cut_anywhere_at_its_beginning_is_a_new_one(book):
    """A ledger that ends within its first 16 bytes takes no record for written."""
    book.write((A, b"one\n"))
    data = book.file.read_bytes()
    for cut in range(16):
        book.file.write_bytes(data[:cut])
        book.reopen()
        assert book.last() == {A: 0, B: 0, C: 0}
    assert book.path.read_bytes() == b"one\n"


# -- what it remembers


def test_it_remembers_senders_over_restarts(book):
    """The ledger remembers the numbers of many senders over an orderly end and a start."""
    book.write((A, b"1\n"), (A, b"2\n"), (B, b"1\n"), (None, b"stranger\n"), (A, b"3\n"))
    book.write((B, b"2\n"))
    assert book.last() == {A: 3, B: 2, C: 0}
    assert len(book.ledger) == 2
    book.ledger.close()
    book.ledger = Ledger.open(book.path, report=book.told.append)
    assert book.last() == {A: 3, B: 2, C: 0}
    assert book.told == []


def test_a_number_may_jump(book):
    """The ledger takes a number that jumps: a gap is one line under its last number."""
    book.ledger.intend(0, [(A, 7, 1), (A, 20, 2)], [2, 2, 2], b"a\nb\nc\n")
    book.log.write(b"a\nb\n")
    book.reopen()
    assert book.ledger.last(A) == 20


def test_a_sender_that_said_goodbye_is_forgotten_in_time(book, monkeypatch):
    """A sender that said goodbye is forgotten after a while, unless it sends again."""
    book.write((A, b"1\n"), (B, b"1\n"), (C, b"1\n"))
    for sender in (A, B):
        book.ledger.retire_sender(sender)
    book.write((B, b"2\n"))
    book.reopen()
    assert book.last() == {A: 1, B: 2, C: 1}
    monkeypatch.setattr(ledger_module, "FORGET_AFTER", 0)
    book.reopen()
    assert book.last() == {A: 0, B: 2, C: 1}


def test_a_silent_sender_is_forgotten_after_an_age(book, monkeypatch):
    """A sender that was killed, and said no goodbye, is forgotten for its silence."""
    book.write((A, b"1\n"))
    book.reopen()
    assert book.ledger.last(A) == 1
    monkeypatch.setattr(ledger_module, "MAX_SILENCE", 0)
    book.reopen()
    assert len(book.ledger) == 0


def test_hundreds_of_thousands_of_senders_leave_it_small(book, monkeypatch):
    """Forgotten senders take no room in the file or in memory; the others stay known."""
    monkeypatch.setattr(ledger_module, "FORGET_AFTER", 0)
    monkeypatch.setattr(ledger_module, "COMPACT_SIZE", 64 * 1024)
    book.reopen()
    book.write((C, b"kept\n"))
    largest = 0
    for block in range(200):
        senders = [f"{block * 1000 + number:032x}" for number in range(1000)]
        book.ledger.intend(0, [(sender, 1, 1) for sender in senders], [0] * 1000, b"")
        book.ledger.settle()
        for sender in senders:
            book.ledger.retire_sender(sender)
        largest = max(largest, book.file.stat().st_size)
    assert largest < 300_000
    book.write((C, b"kept\n"))
    book.reopen()
    assert len(book.ledger) <= 2001
    assert book.ledger.last(C) == 2
    assert book.file.stat().st_size < 100_000


def test_of_too_many_senders_the_latest_are_remembered(book, monkeypatch):
    """Of too many senders the ledger forgets first those that said goodbye, then the oldest."""
    monkeypatch.setattr(ledger_module, "MAX_SENDERS", 2)
    clock = itertools.count(1_700_000_000)
    monkeypatch.setattr(ledger_module.time, "time", lambda: next(clock))
    book.write((A, b"1\n"))
    book.write((B, b"1\n"))
    book.write((C, b"1\n"))
    book.ledger.retire_sender(B)
    book.reopen()
    assert book.last() == {A: 1, B: 0, C: 1}
    book.write((B, b"1\n"))
    book.reopen()
    assert book.last() == {A: 0, B: 2, C: 1}


# -- the log's identity


def test_a_log_keeps_its_identity(memory_path):
    """A log's id is made once, and stays over kills, closes and a renamed directory."""
    (memory_path / "logs").mkdir()
    book = Book(memory_path / "logs" / "app.log")
    made = book.ledger.log_id
    assert len(bytes.fromhex(made)) == 16
    book.reopen()
    assert book.ledger.log_id == made
    book.close()
    (memory_path / "logs").rename(memory_path / "moved")
    for name in ("app.log", "other.log"):
        ledger = Ledger.open(memory_path / "moved" / name)
        assert (ledger.log_id == made) == (name == "app.log")
        ledger.close()


def test_a_ledger_without_an_identity_gets_one(book):
    """A ledger of the last version that knew no ids gets one at its first opening, and keeps it."""
    book.write((A, b"1\n"), (B, b"1\n"))
    entries = [make_entry(SNAPSHOT, ALL_LINES, b""), book.file.read_bytes()[8 + 16 + 16 :]]
    book.file.write_bytes(MAGIC + b"".join(entries))
    book.reopen()
    made = book.ledger.log_id
    assert book.last() == {A: 1, B: 1, C: 0}
    book.reopen()
    assert book.ledger.log_id == made
    assert book.told == []


# -- rotation


def test_a_rotation_that_was_interrupted_is_known(book):
    """A restart knows of a rotation that had begun, until the next line is written."""
    book.write((A, b"1\n"))
    assert book.ledger.interrupted_rotation is None
    book.ledger.note_rotation()
    book.write((A, b"2\n"))  # it failed: lines go on into the old file
    book.reopen()
    assert book.ledger.interrupted_rotation is None
    book.ledger.note_rotation()
    file = FileId.of(os.fstat(book.log.fileno()))
    for _ in range(2):
        book.reopen()
        assert book.ledger.interrupted_rotation == (file, str(book.path))
    rotated = book.path.rename(book.path.with_name("app.2024.log"))
    assert find_file(file, str(book.path)) == str(rotated)
    book.log.close()
    book.log = open(book.path, "ab", buffering=0)
    book.ledger.use_file(FileId.of(os.fstat(book.log.fileno())), str(book.path))
    book.reopen()
    assert book.ledger.interrupted_rotation is None


def test_a_rewritten_ledger_knows_the_file_that_follows_an_interrupted_rotation(book, monkeypatch):
    """A ledger that is rewritten long after a kill in a rotation names the file of today."""
    book.write((A, b"1\n"))
    book.ledger.note_rotation()
    monkeypatch.setattr(ledger_module, "COMPACT_SIZE", 0)
    book.reopen()
    book.log.close()
    book.path = book.path.with_name("next.log")  # as of a sink with {time} in its path
    book.log = open(book.path, "ab", buffering=0)
    book.ledger.use_file(FileId.of(os.fstat(book.log.fileno())), str(book.path))
    book.write((A, b"2\n"))
    book.intend((A, b"3\n"))
    book.log.write(b"3\n")
    book.path = book.path.with_name("app.log")
    book.reopen()
    assert book.last() == {A: 3, B: 0, C: 0}
    assert book.told == []


def test_a_torn_line_is_cut_off_under_another_name_too(book):
    """A torn line is cut off although somebody renamed the log while the receiver was dead."""
    book.write((A, b"one\n"))
    book.intend((A, b"two\n"), (A, b"three\n"))
    book.log.write(b"two\nthr")
    moved = book.path.rename(book.path.with_name("app.moved.log"))
    book.reopen()
    assert book.ledger.last(A) == 2
    assert moved.read_bytes() == b"one\ntwo\n"


# -- someone else was at the log file


@pytest.mark.parametrize("what", ["deleted", "replaced", "emptied", "edited"])
def test_a_log_file_that_someone_changed_is_told(book, what):
    """The last lines of a log that somebody changed come again, and no foreign file is touched."""
    book.write((A, b"one\n"))
    book.write((A, b"two\n"), (B, b"one\n"))
    other = book.path.with_name("other")
    other.write_bytes(b"another file, long enough to be taken for the log\n")
    if what == "deleted":
        book.path.unlink()
    elif what == "replaced":
        other.rename(book.path)
    elif what == "emptied":
        os.truncate(book.path, 0)
    else:
        book.path.write_bytes(b"edited, in place, and longer than before\n")
    content = book.path.read_bytes() if book.path.exists() else None
    book.reopen()
    assert book.last() == {A: 1, B: 0, C: 0}
    assert (book.path.read_bytes() if book.path.exists() else None) == content
    assert len(book.told) == (what != "emptied")
    assert all(str(book.path) in text and "written again" in text for text in book.told)


# -- damage


def damaged_ledgers(book):
    return [path.read_bytes() for path in book.path.parent.glob(".app.log.ledger.damaged-*")]


@pytest.mark.parametrize(
    "data",
    [b"LSBLEDG\2 of the next version", b"garbage" * 1000, bytes(5000), b"\n"],
    ids=["2", "x", "0", "n"],
)
def test_a_ledger_of_another_version_is_kept_aside(book, data):
    """A ledger of another version is kept aside and told, and the log file is not touched."""
    book.write((A, b"one\n"))
    book.file.write_bytes(data)
    book.reopen()
    assert book.last() == {A: 0, B: 0, C: 0}
    assert damaged_ledgers(book) == [data]
    (told,) = book.told
    assert "another version" in told and "written twice" in told
    book.reopen()
    assert len(book.told) == 1
    assert book.path.read_bytes() == b"one\n"


def test_any_damaged_byte_is_told_and_costs_no_more_than_its_entry(book):
    """Any damaged byte costs no more than its entry, and makes no number too high."""
    sizes = [book.file.stat().st_size]
    for sender in (A, B, C, A, B):
        book.write((sender, b"line\n"))
        sizes.append(book.file.stat().st_size)
    data = book.file.read_bytes()
    for position in range(8, len(data)):
        book.told.clear()
        book.file.write_bytes(
            data[:position] + bytes([data[position] ^ 0x55]) + data[position + 1 :]
        )
        book.reopen()
        entry = sum(size <= position for size in sizes)  # 0: the file; 1: A; 2: B; 3: C; 4: A; 5: B
        expected = {A: 2, B: 2, C: 1}
        expected.update({3: {C: 0}, 4: {A: 1}, 5: {B: 1}}.get(entry, {}))
        assert book.last() == expected, position
        torn = sizes[4] <= position < sizes[4] + 4  # a last entry that seems to go on
        assert torn or any("damaged at byte" in text for text in book.told), position
        assert book.path.read_bytes() == b"line\n" * 5
        book.reopen()
        assert book.last() == expected
    assert len(damaged_ledgers(book)) > 300


def test_a_hole_in_the_middle_is_told_and_what_follows_counts(book):
    """A run of zeros, as a power cut may leave it, is told, and the entries behind it count."""
    for number in range(100):
        book.write(((A, B)[number % 2], b"line\n"))
    book.write((C, b"line\n"))
    data = bytearray(book.file.read_bytes())
    data[200:3000] = bytes(2800)
    book.file.write_bytes(data)
    book.reopen()
    assert book.last() == {A: 50, B: 50, C: 1}
    assert damaged_ledgers(book) == [bytes(data)]
    assert "damaged at byte" in book.told[0]


def test_damage_is_not_taken_for_a_failure_of_the_block_before(book):
    """An entry behind a lost intent says nothing of the intent before that one."""
    book.write((A, b"one\n"), (A, b"two\n"))
    before = book.file.stat().st_size
    book.write((B, b"lost\n"), lines_written=0)
    after = book.file.stat().st_size
    book.write((C, b"one\n"))
    data = bytearray(book.file.read_bytes())
    data[before:after] = bytes(after - before)
    book.file.write_bytes(data)
    book.reopen()
    assert book.last() == {A: 2, B: 0, C: 1}


def test_a_damaged_ledger_that_cannot_be_kept_is_told_all_the_same(book, monkeypatch):
    """A damaged ledger is told although a full disk has no room for a copy of it."""
    for _ in range(3):
        book.write((A, b"line\n"))
    data = bytearray(book.file.read_bytes())
    data[150] ^= 1
    book.file.write_bytes(data)

    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    book.reopen()
    assert book.ledger.last(A) == 3
    assert "No space left" in book.told[0]


# -- a disk that is full


@pytest.fixture
def full_disk(monkeypatch):
    """Return ``fill(n)``: from then on a write takes n bytes, and the next write fails."""
    real = os.pwrite

    def fill(room):
        def pwrite(descriptor, data, offset):
            nonlocal room
            if not room:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken, room = bytes(data)[:room], max(room - len(data), 0)
            return real(descriptor, taken, offset)

        monkeypatch.setattr(os, "pwrite", real if room is None else pwrite)

    yield fill
    monkeypatch.setattr(os, "pwrite", real)


@pytest.mark.parametrize("room", [0, 1, 20, 60, 100])
def test_a_full_disk_leaves_nothing_half_in_the_ledger(book, full_disk, room):
    """An intent that does not fit on the disk raises, and later entries are no damage."""
    book.write((A, b"one\n"))
    full_disk(room)
    with pytest.raises(OSError, match="No space"):
        book.intend(*[(sender, b"x\n") for sender in (B, C) * 20])
    full_disk(None)
    book.next.clear()
    book.next[A] = 1
    book.write((A, b"two\n"))
    book.reopen()
    assert book.last() == {A: 2, B: 0, C: 0}
    assert book.told == []


def test_a_failed_block_is_known_after_any_later_entry(book, full_disk):
    """The next entry tells how much of a failed block was written, although it fails at first."""
    book.write((A, b"one\n"), (A, b"two\n"), (A, b"three\n"), lines_written=2)
    assert book.ledger.last(A) == 2
    full_disk(0)
    with pytest.raises(OSError, match="No space"):
        book.ledger.note_rotation()
    full_disk(None)
    book.ledger.note_rotation()
    book.path.write_bytes(b"one\ntwo\nthree, by someone else\n")
    book.reopen()
    assert book.ledger.last(A) == 2


def test_a_full_disk_stops_no_compaction_for_good(book, monkeypatch):
    """The old ledger goes on, and is right, while the disk has no room for a rewritten one."""
    monkeypatch.setattr(ledger_module, "COMPACT_SIZE", 500)
    book.reopen()
    real = os.write

    tries = []

    def full(descriptor, data):
        tries.append(1)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    for _ in range(50):
        book.write((A, b""))
    assert book.file.stat().st_size > 3000
    assert 1 < len(tries) < 15  # again, and not at every block
    monkeypatch.setattr(os, "write", real)
    for _ in range(50):
        book.write((A, b""))
    assert book.file.stat().st_size < 3000
    book.reopen()
    assert book.ledger.last(A) == 100
    assert not list(book.path.parent.glob("*.new"))


def test_goodbyes_never_fail(book, full_disk):
    """A goodbye that a full disk cannot note raises nothing."""
    book.write((A, b"one\n"))
    full_disk(0)
    book.ledger.retire_sender(A)
    book.ledger.retire_sender(B)  # never heard of


# -- the only writer


def test_a_second_writer_is_told_who_is_the_first(book):
    """A second writer of a log, in the same process too, is told the process id of the first."""
    with pytest.raises(LedgerHeldError, match=str(os.getpid())) as caught:
        Ledger.open(book.path)
    assert caught.value.holder == os.getpid()


HOLD = """
import sys
from loguru_stdbridge.sink.ledger import Ledger
ledger = Ledger.open(sys.argv[1])
print("held", flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("end", [getattr(signal, "SIGKILL", 9), signal.SIGTERM, None])
def test_a_standby_takes_over_however_the_first_one_ends(tmp_path, end):
    """A standby waits as long as it is told to, and takes over however the first writer ends."""
    path = tmp_path / "app.log"
    first = start_python(HOLD, str(path), stdin=True)
    assert first.stdout.readline() == b"held\n"
    with pytest.raises(LedgerHeldError) as caught:
        Ledger.open(path, wait=lambda: False)
    assert caught.value.holder == first.pid
    waits = []

    def wait():
        waits.append(1)
        if len(waits) == 3:
            first.communicate(b"\n") if end is None else (
                first.send_signal(end),
                first.communicate(),
            )
        return True

    Ledger.open(path, wait=wait).close()
    assert len(waits) >= 3
    assert (tmp_path / ".app.log.lock").read_text() == f"{os.getpid()}\n"


def test_a_forked_child_does_not_keep_the_lock(book):
    """A child of the receiver's process may outlive the receiver; the lock does not."""
    holding = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(holding[1])
        os.read(holding[0], 1)
        os._exit(0)
    try:
        book.ledger.close()
        Ledger.open(book.path).close()  # the child lives, and holds nothing
        book.ledger = Ledger.open(book.path)
    finally:
        for end in holding:
            os.close(end)
        os.waitpid(child, 0)


def test_forks_at_any_instant_leave_no_lock_behind(tmp_path, scale):
    """No forked child holds the lock of a ledger that a thread opens and closes all the time."""
    path, over = tmp_path / "app.log", threading.Event()
    failures = []

    def open_and_close():
        while not over.is_set():
            try:
                Ledger.open(path).close()
            except LedgerError as error:
                failures.append(error)

    thread = threading.Thread(target=open_and_close)
    thread.start()
    statuses = []
    try:
        for _ in range(scale(70, 200)):
            child = os.fork()
            if child == 0:
                os._exit(any(".app.log.lock" in target for _, target in descriptors()))
            statuses.append(os.waitpid(child, 0)[1])
    finally:
        over.set()
        thread.join()
    assert failures == []
    assert set(statuses) == {0}


def test_a_lock_file_without_a_process_id_is_a_lock_all_the_same(book):
    """A lock file without a process id is a lock: its content is for messages only."""
    (book.path.parent / ".app.log.lock").write_bytes(b"")
    with pytest.raises(LedgerHeldError, match="another process") as caught:
        Ledger.open(book.path)
    assert caught.value.holder is None


def test_files_that_cannot_be_made_are_told(tmp_path):
    """A ledger that cannot be made is an error that names the log file and the cause."""
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"app\.log.*file"):
        Ledger.open(tmp_path / "file" / "app.log")
    (tmp_path / ".b.log.ledger").mkdir()
    with pytest.raises(LedgerError, match=r"b\.log"):
        Ledger.open(tmp_path / "b.log")
    os.rmdir(tmp_path / ".b.log.ledger")
    Ledger.open(tmp_path / "b.log").close()  # the lock was let go


def test_it_stands_in_the_last_directory_that_is_fixed(tmp_path):
    """A sink with ``{time}`` in its path has one ledger, in the last directory without it."""
    Ledger.open(tmp_path / "logs" / "{time:YYYY}" / "app_{time}.log").close()
    names = sorted(path.name for path in (tmp_path / "logs").iterdir())
    assert names == [".app_{time}.log.ledger", ".app_{time}.log.lock"]


# -- its place


@pytest.mark.parametrize("what", ["ledger", "lock", "both", "directory"])
def test_it_comes_back_where_someone_removed_it(tmp_path, what):
    """A ledger that somebody removed comes back with what it knew, and keeps its only writer."""
    (tmp_path / "logs").mkdir()
    book = Book(tmp_path / "logs" / "app.log")
    book.write((A, b"one\n"), (B, b"one\n"))
    if what == "directory":
        for path in (tmp_path / "logs").iterdir():
            path.unlink()
        (tmp_path / "logs").rmdir()
        book.ledger.restore_files()  # there is no place yet
        assert not (tmp_path / "logs").exists()
        (tmp_path / "logs").mkdir()
    for name in ("ledger", "lock"):
        if what in (name, "both"):
            (tmp_path / "logs" / f".app.log.{name}").unlink()
    book.ledger.restore_files()
    with pytest.raises(LedgerHeldError, match=str(os.getpid())):
        Ledger.open(book.path)
    book.reopen()
    if what != "directory":
        assert book.last() == {A: 1, B: 1, C: 0}
    book.close()


def test_another_writer_in_its_place_is_not_overrun(book):
    """A writer whose files were removed ends where another process has become the writer."""
    (book.path.parent / ".app.log.lock").unlink()
    book.path.unlink()
    other = Ledger.open(book.path)
    with pytest.raises(LedgerHeldError):
        book.ledger.restore_files()
    other.close()


def test_a_removed_lock_file_lets_no_second_writer_in(book):
    """The lock on the log file keeps a second writer out where the lock file was removed."""
    (book.path.parent / ".app.log.lock").unlink()
    with pytest.raises(LedgerHeldError):
        Ledger.open(book.path)
    book.ledger.restore_files()
    with pytest.raises(LedgerHeldError, match=str(os.getpid())):
        Ledger.open(book.path)


# -- the log file itself


def test_a_hard_link_is_no_second_log(book):
    """A second writer of the file under another name, in another directory, is refused."""
    book.write((A, b"one\n"))
    (book.path.parent / "other").mkdir()
    os.link(book.path, book.path.parent / "other" / "hard.log")
    waits = []
    with pytest.raises(LedgerHeldError, match="under another name") as caught:
        Ledger.open(
            book.path.parent / "other" / "hard.log",
            wait=lambda: bool(waits.append(1)) or len(waits) < 3,
        )
    assert len(waits) == 3
    assert "hard.log" in str(caught.value)
    assert not (book.path.parent / "other" / ".hard.log.ledger").exists()
    book.close()
    Ledger.open(book.path.parent / "other" / "hard.log").close()
    book.ledger, book.log = Ledger.open(book.path), open(book.path, "ab")


def test_links_lead_to_one_ledger(book):
    """A second writer by a symbolic link to the log, or to its directory, is refused."""
    (book.path.parent / "other").mkdir()
    (book.path.parent / "other" / "current.log").symlink_to(book.path)
    (book.path.parent / "other" / "logs").symlink_to(book.path.parent)
    for path in ("other/current.log", "other/logs/app.log", "other/logs/other/../app.log"):
        with pytest.raises(LedgerHeldError, match=str(os.getpid())):
            Ledger.open(book.path.parent / path)
    assert [
        path.name for path in (book.path.parent / "other").iterdir() if path.name[0] == "."
    ] == []


def test_a_file_that_another_receiver_writes_is_not_used(book):
    """A log file that is another receiver's by now ends a receiver that opens it anew."""
    theirs = Book(book.path.with_name("theirs.log"))
    book.path.unlink()
    os.link(theirs.path, book.path)
    with pytest.raises(LedgerHeldError, match="under another name"):
        book.ledger.use_file(FileId.of(os.stat(book.path)), str(book.path))
    theirs.close()
    book.ledger.use_file(FileId.of(os.stat(book.path)), str(book.path))


def test_a_file_that_is_replaced_while_it_is_opened_is_tried_again(book):
    """A path that names another file than the open one is an ``OSError``."""
    opened = FileId.of(os.stat(book.path))
    book.ledger._only_writer._locked_log = None
    book.path.rename(book.path.with_name("moved.log"))
    book.path.touch()
    theirs = locks.take_lock(str(book.path))
    with pytest.raises(OSError, match="replaced while it was opened"):
        book.ledger.use_file(opened, str(book.path))
    locks.let_go(theirs)


def test_a_file_system_without_locks_is_written_all_the_same(book, monkeypatch):
    """A log file that cannot be locked is written: the lock file's lock has to do."""

    def no_locks(path, **options):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(only_writer, "take_lock", no_locks)
    book.log.close()
    book.path.unlink()
    book.log = open(book.path, "ab", buffering=0)
    file = FileId.of(os.stat(book.path))
    book.ledger.use_file(file, str(book.path))
    assert book.ledger.is_locked(file)


def test_a_renamed_directory_is_left_and_the_ledger_comes_along(memory_path):
    """A receiver whose directory was renamed is the only writer at its path, and lets the old go."""
    (memory_path / "logs").mkdir()
    book = Book(memory_path / "logs" / "app.log")
    book.write((A, b"one\n"))
    (memory_path / "logs").rename(memory_path / "logs.old")
    book.log.close()
    (memory_path / "logs").mkdir()
    book.log = open(book.path, "ab", buffering=0)
    book.ledger.use_file(FileId.of(os.fstat(book.log.fileno())), str(book.path))
    with pytest.raises(LedgerHeldError):
        Ledger.open(book.path)
    other = Ledger.open(memory_path / "logs.old" / "app.log")
    assert other.log_id != book.ledger.log_id
    assert other.last(A) == 0
    other.close()
    book.write((A, b"two\n"))
    book.reopen()
    assert book.ledger.last(A) == 2
    assert book.told == []
    book.close()


def test_a_removed_lock_file_is_missed_after_a_while(book, monkeypatch):
    """A write looks for the lock file every few seconds, also where the log file stays the same."""
    clock = iter([10.0, 14.9, 15.1])
    monkeypatch.setattr(ledger_module.time, "monotonic", lambda: next(clock))
    file, lock = FileId.of(os.stat(book.path)), book.path.parent / ".app.log.lock"
    book.ledger._check_at = 0
    book.ledger.use_file(file, str(book.path))
    lock.unlink()
    book.ledger.use_file(file, str(book.path))
    assert not lock.exists()
    book.ledger.use_file(file, str(book.path))
    assert lock.exists()


# -- a power cut


def test_sync_asks_the_disk(book, monkeypatch):
    """``sync`` asks the disk to hold the ledger's data."""
    synced = []
    monkeypatch.setattr(
        os,
        "fdatasync",
        lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")),
    )
    book.ledger.sync()
    assert synced == [str(book.file)]
