"""Archives are made in the background, whole or not at all, whatever is killed or full."""

from __future__ import annotations

import contextlib
import errno
import gzip
import os
import shutil
import threading
from pathlib import Path

import pytest

from loguru_stdbridge.sink import archive as archive_module
from loguru_stdbridge.sink.archive import Archiver
from loguru_stdbridge.sink.blocks import Block
from loguru_stdbridge.sink.ledger import Ledger
from loguru_stdbridge.sink.rotating import RotatingSink
from tests.support.processes import log_lines
from tests.support.stepwise import kills
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("fast_handlers")
SENDER = "a" * 32


class Stock:
    """An archiver of the sink ``app.log`` in a directory, and what it reports."""

    def __init__(self, directory: Path, compression="gz", name="app.log"):
        self.directory, self.compression, self.name = directory, compression, name
        self.told = []
        self.open()

    def open(self):
        self.ledger = Ledger.open(self.directory / self.name, report=self.told.append)
        self.archive = Archiver(
            self.compression, self.directory / self.name, self.ledger, self.told.append
        )

    def take(self, name, text="text\n"):
        (self.directory / name).write_text(text)
        self.archive.add_rotated(str(self.directory / name))

    def close(self):
        self.archive.close()
        self.ledger.close()

    def found(self):
        """Return the text of every file but the ledger's, hidden ones and archives included."""
        found = {}
        for directory, _, names in os.walk(self.directory):  # which bears that one vanishes
            for path in (Path(directory, name) for name in names):
                if path.name.endswith((".ledger", ".lock")):
                    continue
                with contextlib.suppress(FileNotFoundError, EOFError):  # the thread is at work
                    data = path.read_bytes()
                    data = gzip.decompress(data) if path.suffix == ".gz" else data
                    found[str(path.relative_to(self.directory))] = data.decode()
        return found


DATED = "app.2024-01-02_03-04-05_000006.log"


@pytest.fixture
def stock(tmp_path):
    made = Stock(tmp_path)
    yield made
    made.close()


@pytest.fixture
def gate(monkeypatch):
    """Hold compressions up until ``gate.set()``; ``gate.waiting`` is set when one waits."""
    real = archive_module._compress
    gate = threading.Event()
    gate.waiting = threading.Event()

    def compress(link, compression):
        gate.waiting.set()
        assert gate.wait(30)
        real(link, compression)

    monkeypatch.setattr(archive_module, "_compress", compress)
    yield gate
    gate.set()


def test_a_file_becomes_its_archive(stock):
    """A rotated file becomes an archive under loguru's name, and nothing else is left."""
    stock.take(DATED)
    stock.close()
    assert stock.found() == {f"{DATED}.gz": "text\n"}
    assert stock.told == []
    stock.open()


def test_taking_does_not_wait_for_the_compression(stock, gate):
    """A rotation does not wait for the compression, and the file is readable meanwhile."""
    stock.take(DATED)
    assert gate.waiting.wait(30)
    assert (stock.directory / DATED).read_text() == "text\n"
    gate.set()
    stock.close()
    assert stock.found() == {f"{DATED}.gz": "text\n"}
    stock.open()


def test_an_archive_has_the_time_of_its_file(stock):
    """An archive has the time of its file, however long the file waited."""
    (stock.directory / DATED).write_text("text\n")
    os.utime(stock.directory / DATED, ns=(10**18, 10**18))
    stock.archive.add_rotated(str(stock.directory / DATED))
    stock.close()
    assert os.stat(stock.directory / f"{DATED}.gz").st_mtime_ns == 10**18
    stock.open()


def test_an_archive_is_never_overwritten(stock):
    """An archive whose name is taken leaves the older one there, under a name with a date."""
    for number, text in enumerate(("one\n", "two\n", "three\n", "four\n")):
        (stock.directory / DATED).write_text(text)
        second = 10**9 + number // 2  # two of the same time
        os.utime(stock.directory / DATED, (second, second))
        stock.archive.add_rotated(str(stock.directory / DATED))
        stock.archive.close()
        stock.archive = Archiver("gz", stock.directory / "app.log", stock.ledger, stock.told.append)
    names = sorted(stock.found())
    assert {stock.found()[name] for name in names} == {"one\n", "two\n", "three\n", "four\n"}
    assert all(name.startswith(DATED[:-4]) and name.endswith(".log.gz") for name in names)
    assert stock.found()[f"{DATED}.gz"] == "four\n"


def test_a_file_that_a_retention_removes_meanwhile_has_no_archive(stock, gate, eventually):
    """A file that a retention removes during its compression has no archive; nothing is told."""
    stock.take(DATED)
    assert gate.waiting.wait(30)
    (stock.directory / DATED).unlink()
    gate.set()
    stock.close()
    assert stock.found() == {}
    assert stock.told == []
    stock.open()


def test_a_link_that_is_still_open_is_no_archive(stock, monkeypatch, eventually):
    """A removed link that somebody has open stays for a while, and doubles no line."""
    monkeypatch.setattr(archive_module, "FIRST_COMPRESSION_RETRY", 0.01)
    real, kept = archive_module._compress, []

    def compress(link, compression):
        kept.append(link)
        copy = link.read_bytes()
        real(link, compression)
        link.write_bytes(copy)  # as Windows shows it

    rmtree = shutil.rmtree

    def remove_tree(path, **more):
        if kept and path == kept[0].parent:  # it is not empty
            kept.pop().unlink()
        else:
            rmtree(path, **more)

    monkeypatch.setattr(archive_module, "_compress", compress)
    monkeypatch.setattr(shutil, "rmtree", remove_tree)
    stock.take(DATED)
    eventually(lambda: not list(stock.directory.glob(".*.compressing")) and not kept)
    stock.close()
    assert stock.found() == {f"{DATED}.gz": "text\n"}
    stock.open()


@pytest.mark.parametrize("patience", [0, 30])
def test_a_work_directory_in_use_is_removed_later(stock, monkeypatch, eventually, patience):
    """Where somebody keeps the work directory from being removed, it is removed when it can be.

    Nothing is told where that is soon.
    """
    monkeypatch.setattr(archive_module, "FIRST_COMPRESSION_RETRY", 0.01)
    monkeypatch.setattr(archive_module, "REMOVAL_PATIENCE", patience)
    real, busy = shutil.rmtree, [True]

    def rmtree(path, **more):
        if str(path).endswith(".compressing") and busy:
            busy.clear()
        else:
            real(path, **more)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    stock.take(DATED)
    eventually(lambda: not busy and not list(stock.directory.glob(".*.compressing")))
    stock.close()
    assert len(stock.told) == (patience == 0)
    assert stock.found() == {f"{DATED}.gz": "text\n"}
    stock.open()


def test_an_unknown_word_is_refused_at_once(tmp_path):
    """A word for compression that loguru does not know is loguru's error, at once."""
    ledger = Ledger.open(tmp_path / "app.log")
    try:
        with pytest.raises(ValueError, match="rar"):
            Archiver("rar", tmp_path / "app.log", ledger)
    finally:
        ledger.close()
    assert os.path.exists(os.devnull)


def test_a_symbolic_link_is_archived_by_its_content(stock):
    """A rotated symbolic link becomes an archive of what it names, which stays."""
    (stock.directory / "elsewhere").mkdir()
    (stock.directory / "elsewhere" / "real.log").write_text("real\n")
    (stock.directory / DATED).symlink_to("elsewhere/real.log")
    stock.archive.add_rotated(str(stock.directory / DATED))
    stock.close()
    assert stock.found() == {f"{DATED}.gz": "real\n", "elsewhere/real.log": "real\n"}
    stock.open()


def test_a_file_system_without_links_gets_a_copy(stock, monkeypatch):
    """A file system without hard links gets the same archive, made of a copy."""

    def link(*paths):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    stock.take(DATED)
    stock.close()
    assert stock.found() == {f"{DATED}.gz": "text\n"}
    stock.open()


# -- a compression that fails


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(archive_module, "FIRST_COMPRESSION_RETRY", 0.01)
    monkeypatch.setattr(archive_module, "LAST_COMPRESSION_RETRY", 0.02)


class Failing:
    """A compression that leaves half an archive and fails, until it is told to work."""

    def __init__(self, monkeypatch):
        self.real, self.tries = archive_module._compress, 0
        self.working = False
        monkeypatch.setattr(archive_module, "_compress", self)

    def __call__(self, link, compression):
        self.tries += 1
        if self.working:
            return self.real(link, compression)
        link.with_name(f"{link.name}.gz").write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_compression_that_fails_is_told_once_and_tried_again(
    stock, quick, monkeypatch, eventually
):
    """A compression that fails is told once, keeps the file, and is tried again until it works."""
    failing = Failing(monkeypatch)
    stock.take(DATED)
    stock.take(DATED.replace("2024", "2025"))
    eventually(lambda: failing.tries > 6, 30, "it is tried again")
    assert stock.found()[DATED] == "text\n"
    (told,) = stock.told
    assert "No space left" in told and DATED in told
    failing.working = True
    expected = {f"{DATED}.gz": "text\n", f"{DATED.replace('2024', '2025')}.gz": "text\n"}
    eventually(lambda: stock.found() == expected, 30, "both are archived")
    stock.close()
    failing.working = False
    stock.open()
    stock.take(DATED)
    eventually(lambda: len(stock.told) == 2, 30, "a later failure is told again")
    failing.working = True


def test_what_still_fails_at_the_end_is_done_at_the_next_start(stock, monkeypatch, eventually):
    """A file that could not be compressed by the end is compressed at the next start."""
    failing = Failing(monkeypatch)
    stock.take(DATED)
    eventually(lambda: stock.told, 30, "it fails")
    stock.close()
    assert stock.found() == {DATED: "text\n", f".{DATED}.compressing/{DATED}": "text\n"}
    failing.working = True
    stock.open()
    stock.archive.close()
    assert stock.found() == {f"{DATED}.gz": "text\n"}


def test_a_mark_that_cannot_be_made_is_made_later(stock, quick, monkeypatch, eventually):
    """A work directory that a full disk has no room for is made later."""
    real = Path.mkdir

    def mkdir(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    stock.take(DATED)
    eventually(lambda: stock.told, 30, "it is told")
    assert stock.found() == {DATED: "text\n"}
    monkeypatch.setattr(Path, "mkdir", real)
    eventually(lambda: stock.found() == {f"{DATED}.gz": "text\n"}, 30, "it is archived")
    assert len(stock.told) == 1


# -- a function of the user's


def test_a_function_gets_the_path_in_the_background(tmp_path):
    """A function of the user's gets one path after the other, in the background."""
    seen = []
    stock = Stock(tmp_path, lambda path: seen.append((path, threading.current_thread().name)))
    stock.take("one.log")
    stock.take("two.log")
    stock.close()
    assert [path for path, _ in seen] == [str(tmp_path / "one.log"), str(tmp_path / "two.log")]
    assert all(name != threading.current_thread().name for _, name in seen)
    assert stock.told == []


@pytest.mark.parametrize("removes", [False, True], ids=["file kept", "file gone"])
def test_a_function_that_raises_is_told_once_and_called_again(tmp_path, quick, eventually, removes):
    """A function that raises is called again as long as the file is there, and told once."""
    calls = []

    def compress(path):
        calls.append(path)
        if path.endswith("bad.log") and calls.count(path) < 4:
            if removes:
                os.unlink(path)
            raise (
                FileNotFoundError(2, "no such target") if not removes else ValueError("afterwards")
            )

    stock = Stock(tmp_path, compress)
    stock.take("bad.log")
    stock.take("good.log")
    bad, good = str(tmp_path / "bad.log"), str(tmp_path / "good.log")
    eventually(
        lambda: calls.count(bad) == (1 if removes else 4) and good in calls, 30, "both are done"
    )
    stock.close()
    assert calls.count(good) == 1
    (told,) = stock.told
    assert bad in told and ("afterwards" in told) == removes


# -- beside a retention


def test_a_retention_never_sees_a_file_and_its_archive(memory_path, monkeypatch):
    """A retention never sees a file beside its own archive, which would count twice."""
    place = archive_module._move_beside

    def place_slowly(archive, original):
        place(archive, original)
        threading.Event().wait(0.003)

    monkeypatch.setattr(archive_module, "_move_beside", place_slowly)
    seen = []
    ledger, sink = sink_at(memory_path, [], rotation=1, compression="gz", retention=seen.append)
    for number in range(60):
        sink.write([Block(SENDER, number + 1, ["line\n"], [])])
    sink.close()
    ledger.close()
    assert len(seen) == 60
    for files in seen:
        assert not [name for name in files if f"{name}.gz" in files]


def test_a_retention_keeps_the_newest_whatever_is_compressed_by_then(memory_path, gate):
    """A retention keeps the newest files, whether or not they are compressed yet."""
    ledger, sink = sink_at(memory_path, [], rotation=1, compression="gz", retention=3)
    for number in range(10):
        if number == 5:
            gate.set()
            wait_until(lambda: len(list(memory_path.glob("*.gz"))) >= 3)
            gate.clear()
        sink.write([Block(SENDER, number + 1, [f"{number}\n"], [])])
        threading.Event().wait(0.01)  # a file's time has the kernel's grain
    gate.set()
    sink.close()
    ledger.close()
    assert list(log_lines(memory_path / "app.log")) == ["6\n", "7\n", "8\n", "9\n"]


# -- killed


ROWS = [f"line {number}\n" for number in range(7)]


def sink_at(directory: Path, told, **options):
    ledger = Ledger.open(directory / "app.log", report=told.append)
    return ledger, RotatingSink(directory / "app.log", ledger, report=told.append, **options)


def write_rows(ledger, sink):
    """Write the rows that are not written, in twos, as a worker sends them after a reconnection."""
    first = ledger.last(SENDER)
    for start in range(first, len(ROWS), 2):
        sink.write([Block(SENDER, start + 1, ROWS[start : start + 2], [])])


OPTIONS = {
    "all": {"rotation": 25, "compression": "gz", "retention": 100},
    "fsync": {"rotation": 25, "fsync": True},
    "end": {"compression": "gz"},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_whatever_step_a_kill_stops_at_nothing_is_lost_doubled_or_torn(memory_path, name):
    """A kill at any step on disk loses, doubles and tears nothing.

    After the restart the files hold what the ledger takes for written, once, in order, whole, and
    nothing else. When the rest has come again, no trace of the kill is left.
    """
    options = OPTIONS[name]

    def scenario(directory: Path) -> None:
        ledger, sink = sink_at(directory, [], **options)
        write_rows(ledger, sink)
        sink.close()
        ledger.close()

    (memory_path / "warm").mkdir()
    scenario(memory_path / "warm")  # the children shall not all import what it needs
    count = 0
    for place in kills(scenario, memory_path):
        count += 1
        told = []
        ledger, sink = sink_at(place, told, **options)
        written = ledger.last(SENDER)
        sink.close()
        ledger.close()
        assert "".join(log_lines(place / "app.log")) == "".join(ROWS[:written]), place
        ledger, sink = sink_at(place, told, **options)
        write_rows(ledger, sink)
        sink.close()
        ledger.close()
        assert "".join(log_lines(place / "app.log")) == "".join(ROWS), place
        assert told == [], place
        names = {path.name for path in place.glob("app.*")} - {"app.log"}
        assert "compression" not in options or all(name.endswith(".gz") for name in names), place
        assert {path.name for path in place.glob(".*")} == {".app.log.ledger", ".app.log.lock"}, (
            place
        )
    assert count > 50


def test_a_restart_leaves_alone_what_is_another_sink_s(tmp_path):
    """A restart leaves the work directories of other sinks alone, whose names may begin alike."""
    for name in (
        "app.log.1",
        "app.error.log",
        "app.error.2024-01-02_03-04-05_000006.log",
        "other.log",
    ):
        work = tmp_path / f".{name}.compressing"
        work.mkdir()
        (work / name).write_text("another's\n")
        (tmp_path / f".{name}.compressing.new").mkdir()
    before = sorted(tmp_path.rglob("*"))
    stock = Stock(tmp_path)
    stock.close()
    assert [path for path in sorted(tmp_path.rglob("*")) if ".app.log.l" not in path.name] == before


def test_files_that_wait_for_the_end_do_not_replace_each_other(tmp_path, monkeypatch, eventually):
    """Files that wait for compression after several closes do not replace each other."""
    failing = Failing(monkeypatch)
    for number in range(3):
        stock = Stock(tmp_path)
        (tmp_path / "app.log").write_text(f"{number}\n")
        stock.archive.add_closed(str(tmp_path / "app.log"))
        eventually(lambda: stock.told, 30, "it fails")
        stock.close()
    assert not (tmp_path / "app.log").exists()
    failing.working = True
    stock = Stock(tmp_path)
    stock.close()
    found = stock.found()
    assert sorted(found.values()) == ["0\n", "1\n", "2\n"]
    assert "app.log.gz" in found
    assert all(name.endswith(".log.gz") for name in found)


def test_no_directory_is_made_while_one_of_its_name_is_removed(stock, tmp_path, monkeypatch):
    """A file that is closed while the directory of the one before goes waits until that is gone."""
    log, remove, threads = tmp_path / "app.log", shutil.rmtree, []

    def close_another_one(work, **options):
        remove(work, **options)
        if not threads:
            log.write_text("second\n")
            threads.append(threading.Thread(target=stock.archive.add_closed, args=[str(log)]))
            threads[0].start()
            threads[0].join(0.2)

    monkeypatch.setattr(shutil, "rmtree", close_another_one)
    log.write_text("first\n")
    stock.archive.add_closed(str(log))
    wait_until(lambda: threads and not threads[0].is_alive(), 30, "the second one is taken")
    stock.close()
    assert stock.told == []
    assert sorted(stock.found().values()) == ["first\n", "second\n"]


@pytest.mark.parametrize("name", ["app.log", "app_{time}.log", "{time}/app.log", "a [b] {{c}}.log"])
def test_a_restart_takes_up_what_was_marked(tmp_path, name):
    """A restart finds work directories wherever ``{time}`` is in the path."""
    named = {
        "app.log": DATED,
        "app_{time}.log": "app_2024.log",
        "{time}/app.log": "2024/app.log",
        "a [b] {{c}}.log": DATED.replace("app", "a [b] {c}"),
    }[name]
    (tmp_path / "2024").mkdir()
    child = os.fork()
    if child == 0:
        archive_module._compress = lambda *paths: os._exit(0)
        Stock(tmp_path, name=name).take(named)
        threading.Event().wait(30)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    work = (tmp_path / named).with_name(f".{Path(named).name}.compressing")
    assert work.is_dir()
    work.with_name(f"{work.name}.new").mkdir()
    stock = Stock(tmp_path, name=name)
    stock.close()
    assert stock.found() == {f"{named}.gz": "text\n"}
    assert not list(tmp_path.rglob("*compressing*"))
