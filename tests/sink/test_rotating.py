"""The sink makes the files that loguru would make, and loses or doubles nothing when it fails."""

from __future__ import annotations

import contextlib
import copy
import datetime
import decimal
import errno
import gzip
import os
import re
import sys
import tarfile
import types
import zipfile

import pytest
from loguru import logger

from loguru_stdbridge.exceptions import ConfigurationError, LedgerHeldError, SinkError
from loguru_stdbridge.sink import rotating as sink_module
from loguru_stdbridge.sink.blocks import Block
from loguru_stdbridge.sink.internals import private_loguru
from loguru_stdbridge.sink.ledger import Ledger
from loguru_stdbridge.sink.rotating import RotatingSink
from tests.support.parameters import name_of

pytestmark = pytest.mark.usefixtures("fast_handlers")
SENDER = "5" * 32
SECOND = datetime.timedelta(seconds=1)
START = datetime.datetime(2024, 2, 28, 20, 0, 0)


class Clock:
    """Gives both logurus the time, and a file's time of creation."""

    def __init__(self, monkeypatch):
        self.now = START
        self.created = {}
        private_loguru()
        for package in ("loguru", "_loguru_of_stdbridge"):
            for name in ("_logger", "_file_sink"):
                module = sys.modules[f"{package}.{name}"]
                aware = module.aware_now
                monkeypatch.setattr(module, "aware_now", lambda aware=aware: self._aware(aware()))
            monkeypatch.setattr(module, "datetime", self._datetime_module())
            monkeypatch.setattr(module, "get_ctime", self.get_ctime)
            monkeypatch.setattr(module, "set_ctime", self.set_ctime)

    def _aware(self, real):
        now = self.now.astimezone()
        return real.replace(
            year=now.year, month=now.month, day=now.day, hour=now.hour, minute=now.minute,
            second=now.second, microsecond=now.microsecond, tzinfo=now.tzinfo,
        )  # fmt: skip

    def _datetime_module(self):
        clock = self

        class Faked(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return clock.now.astimezone(tz) if tz else clock.now

        return types.SimpleNamespace(**{**vars(datetime), "datetime": Faked})

    def get_ctime(self, path):
        status = os.stat(path)
        return self.created.get((status.st_dev, status.st_ino), START.timestamp())

    def set_ctime(self, path, timestamp):
        status = os.stat(path)
        self.created[status.st_dev, status.st_ino] = timestamp


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def opened(path, told=None, **options):
    """Open a sink and its ledger; their messages go to ``told``."""
    report = [].append if told is None else told.append
    ledger = Ledger.open(path, report=report)
    try:
        return RotatingSink(path, ledger, report=report, **options)
    except BaseException:
        ledger.close()
        raise


def closed(sink):
    sink.close()
    sink._ledger.close()


_DATED = re.compile(r"\.(\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_\d{6})(?:\.(\d+))?")


def contents(directory):
    """Return ``(name without its date, bytes)`` of every visible file, the oldest first.

    Of an archive, the bytes are those of the file in it.
    """
    found = []
    for path in directory.rglob("[!.]*"):
        if path.is_dir():
            continue
        dated = _DATED.search(path.name)
        order = (dated.group(1), int(dated.group(2) or 1)) if dated else ("9",)
        name = str(path.relative_to(directory))
        found.append((order, _DATED.sub("", name) if dated else name, unpacked(path)))
    return [(name, data) for _, name, data in sorted(found)]


def unpacked(path):
    if path.name.endswith(".gz") and ".tar" not in path.name:
        return gzip.decompress(path.read_bytes())
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            (member,) = archive.namelist()
            return archive.read(member)
    if ".tar" in path.name:
        with tarfile.open(path) as archive:
            (member,) = archive.getmembers()
            return archive.extractfile(member).read()
    return path.read_bytes()


class Twins:
    """A plain loguru file sink and ours, which get the same messages."""

    def __init__(self, directory, clock, name="app.log", **options):
        self.clock = clock
        self.plain, self.ours = directory / "plain", directory / "ours"
        core = copy.deepcopy(_bare())
        core.add(self.plain / name, format="{message}", catch=False, **self._options(options))
        core.add(self._keep, format="{message}", catch=False)
        self.logger = core
        self.told = []
        self.sink = opened(self.ours / name, self.told, **self._options(options))
        self.kept = []
        self.count = 0

    @staticmethod
    def _options(options):
        """Make the options of one sink; a class becomes an instance with its own memory."""
        return {
            key: value() if isinstance(value, type) else value for key, value in options.items()
        }

    def _keep(self, message):
        self.kept.append(message)

    def log(self, texts, *, batch=1, step=datetime.timedelta(0)):
        for text in texts:
            self.logger.info(text)
            if len(self.kept) >= batch:
                self.flush()
            self.clock.now += step
        self.flush()

    def flush(self):
        """Write the kept messages in two blocks, as of two senders."""
        kept, self.kept = self.kept, []
        blocks = []
        for sender, part in ((SENDER, kept[: len(kept) // 2]), (None, kept[len(kept) // 2 :])):
            records = [message.record for message in part] if self.sink.needs_records else []
            blocks.append(Block(sender, self.count + 1, list(map(str, part)), records))
            self.count += len(part)
        assert self.sink.write([block for block in blocks if block.texts]) == len(kept)

    def check(self):
        self.logger.remove()
        closed(self.sink)
        plain, ours = contents(self.plain), contents(self.ours)
        assert ours == plain
        assert self.told == []
        return ours

    @staticmethod
    def names(directory):
        return sorted(str(path.relative_to(directory)) for path in directory.rglob("[!.]*"))


def _bare():
    """Copy loguru's logger without its handlers; the application's stays as it is."""
    handlers = logger._core.handlers
    logger._core.handlers = {}
    try:
        return copy.deepcopy(logger)
    finally:
        logger._core.handlers = handlers


TEXTS = [f"{number} " + "x" * (number * 7 % 40) for number in range(60)] + ["", "é" * 30, "ends"]


def by_length(message, file):
    file.seek(0, 2)
    return file.tell() + len(message) > 130


def by_file_size(message, file):
    return os.path.getsize(file.name) > 130


def by_status(message, file):
    return os.fstat(file.fileno()).st_size > 130


class EverySeventh:
    def __init__(self):
        self.asked = 0

    def __call__(self, message, file):
        self.asked += 1
        return self.asked % 7 == 0


def by_record(message, file):
    return message.record["message"].startswith("3") and message.endswith("\n")


SIZES = ["130 B", "0.1 kB", 200, 90.5, decimal.Decimal(300), 1, "1 MB"]
CALLABLES = [by_length, by_file_size, by_status, by_record, EverySeventh]


@pytest.mark.parametrize("batch", [1, 5, 1000])
@pytest.mark.parametrize("rotation", [None, *SIZES, *CALLABLES], ids=name_of)
def test_rotated_by_size_or_by_a_function_the_files_are_those_of_loguru(
    tmp_path, clock, rotation, batch
):
    """A sink rotated by size or by a function has loguru's files, line by line or in batches."""
    twins = Twins(tmp_path, clock, rotation=rotation)
    twins.log(TEXTS, batch=batch)
    files = twins.check()
    assert (len(files) > 1) == (rotation not in (None, "1 MB"))


ZONE = datetime.timezone(datetime.timedelta(hours=-7))


@pytest.mark.parametrize(
    "rotation",
    ["00:00", "12:30", "daily", "1 day", "1 week", "36 h", "monday", "friday at 06:00", "monthly",
     datetime.timedelta(hours=20), datetime.time(13, 5), datetime.time(13, 5, tzinfo=ZONE)],
    ids=name_of,
)  # fmt: skip
def test_rotated_by_time_the_files_are_those_of_loguru(tmp_path, clock, rotation):
    """A sink rotated by time has loguru's files, under loguru's names, over six weeks."""
    twins = Twins(tmp_path, clock, rotation=rotation)
    twins.log(map(str, range(150)), step=datetime.timedelta(hours=7))
    assert len(twins.check()) > 1
    assert twins.names(twins.ours) == twins.names(twins.plain)


def test_a_rotation_by_time_goes_by_the_receiver_s_clock(tmp_path, clock):
    """A rotation by time ignores the time that a record claims."""
    sink = opened(tmp_path / "app.log", rotation="1 hour")
    future = {"time": datetime.datetime(2096, 1, 1, tzinfo=datetime.timezone.utc)}
    sink.write([Block(SENDER, 1, ["one\n", "two\n"], [future, future])])
    clock.now += datetime.timedelta(hours=2)
    sink.write([Block(SENDER, 3, ["three\n"], [])])
    closed(sink)
    assert [data for _, data in contents(tmp_path)] == [b"one\ntwo\n", b"three\n"]


@pytest.mark.parametrize(
    "compression", [None, "gz", "bz2", "xz", "lzma", "tar", "tar.gz", "tar.bz2", "tar.xz", "zip"]
)
def test_archives_hold_what_those_of_loguru_hold(tmp_path, clock, compression):
    """Each of loguru's words for compression makes loguru's archives, under the same names."""
    twins = Twins(tmp_path, clock, rotation=150, compression=compression)
    twins.log(TEXTS, step=SECOND)
    assert len(twins.check()) > 5
    assert twins.names(twins.ours) == twins.names(twins.plain)
    assert not list(twins.ours.glob(".*compressing*"))


@pytest.mark.parametrize("rotation", [150, None], ids=["rotation", "none"])
@pytest.mark.parametrize(
    "name", ["{time}.log", "app_{time:YYYY-MM-DD}.log", "{time:YYYY}/{time:MM}/app.log", "a{{b}}.log", "noext",
             "a b [x] *?.log", "\u00e9\u6f22.log", ".hidden", "many.dots.log", "new/deep/app.log"],
)  # fmt: skip
@pytest.mark.parametrize("compression", [None, "gz"])
def test_any_path_is_taken_as_loguru_takes_it(tmp_path, clock, name, compression, rotation):
    """Braces, glob characters, spaces, any script and missing directories are read as by loguru."""
    twins = Twins(tmp_path, clock, name, rotation=rotation, compression=compression, retention=3)
    twins.log(TEXTS[:20], step=SECOND)
    twins.check()
    assert twins.names(twins.ours) == twins.names(twins.plain)


@pytest.mark.parametrize(
    "retention", [0, 2, "1 hour", datetime.timedelta(hours=3), "30 days"], ids=name_of
)
@pytest.mark.parametrize("compression", [None, "gz"])
def test_retention_keeps_what_loguru_keeps(tmp_path, clock, monkeypatch, retention, compression):
    """A retention by count or by age keeps the files that loguru keeps."""
    clock.now = datetime.datetime.now()
    twins = Twins(tmp_path, clock, rotation=150, compression=compression, retention=retention)
    for hour in range(4):
        twins.log(TEXTS[hour * 15 : (hour + 1) * 15], step=SECOND)
        clock.now += datetime.timedelta(hours=1)
    twins.log(TEXTS, step=SECOND)
    twins.check()
    assert twins.names(twins.ours) == twins.names(twins.plain)


# -- the file is not alone


def test_a_file_that_someone_moved_or_removed_is_made_anew(tmp_path):
    """With ``watch``, a moved file keeps its lines, and the next lines make a new file."""
    sink = opened(tmp_path / "logs" / "app.log")
    sink.write([Block(SENDER, 1, ["one\n"], [])])
    (tmp_path / "logs" / "app.log").rename(tmp_path / "moved.log")
    sink.write([Block(SENDER, 2, ["two\n"], [])])
    for path in (tmp_path / "logs").iterdir():
        path.unlink()
    (tmp_path / "logs").rmdir()
    sink.write([Block(SENDER, 3, ["three\n"], [])])
    closed(sink)
    assert (tmp_path / "moved.log").read_text() == "one\n"
    assert (tmp_path / "logs" / "app.log").read_text() == "three\n"


def test_a_file_that_becomes_another_receiver_s_is_left_alone(tmp_path):
    """Another receiver's file at our path ends the writing, and is neither rotated nor removed."""
    theirs = opened(tmp_path / "theirs.log")
    for options in ({"rotation": 10}, {"compression": "gz"}):
        ours = opened(tmp_path / "app.log", **options)
        ours.write([Block(SENDER, 1, ["one\n"], [])])
        (tmp_path / "app.log").rename(tmp_path / "moved.log")
        os.link(tmp_path / "theirs.log", tmp_path / "app.log")
        with pytest.raises(LedgerHeldError, match="app.log"):
            ours.write([Block(SENDER, 2, ["two two two two\n", "three\n"], [])])
        closed(ours)
        assert (tmp_path / "app.log").samefile(tmp_path / "theirs.log")
        (tmp_path / "app.log").unlink()
        assert (tmp_path / "moved.log").read_text() == "one\n"
    assert (tmp_path / "theirs.log").read_text() == ""
    closed(theirs)


def test_a_file_that_is_replaced_just_before_a_rotation_is_not_rotated(tmp_path):
    """A file that somebody puts at the path becomes ours before it can be rotated."""
    sink = opened(tmp_path / "app.log", rotation=10)
    sink.write([Block(SENDER, 1, ["one one\n"], [])])
    note = sink._ledger.note_rotation

    def note_and_replace():
        note()
        if not (tmp_path / "moved.log").exists():
            (tmp_path / "app.log").rename(tmp_path / "moved.log")
            (tmp_path / "app.log").write_text("new\n")

    sink._ledger.note_rotation = note_and_replace
    sink.write([Block(SENDER, 2, ["two two\n"], [])])
    closed(sink)
    assert sorted(path.name for path in tmp_path.glob("[!.]*")) == ["app.log", "moved.log"]
    assert (tmp_path / "app.log").read_text() == "new\ntwo two\n"


def test_without_watch_lines_stay_with_the_file(tmp_path):
    """Without ``watch``, lines go to a file that was moved away until the sink is reopened."""
    sink = opened(tmp_path / "app.log", watch=False)
    sink.write([Block(SENDER, 1, ["one\n"], [])])
    (tmp_path / "app.log").rename(tmp_path / "moved.log")
    sink.write([Block(SENDER, 2, ["two\n"], [])])
    sink.reopen()
    sink.write([Block(SENDER, 3, ["three\n"], [])])
    closed(sink)
    assert (tmp_path / "moved.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "app.log").read_text() == "three\n"


def test_with_delay_the_file_comes_with_the_first_line(tmp_path):
    """With ``delay``, the first line makes the file; without a line there is none."""
    closed(opened(tmp_path / "none.log", delay=True))
    sink = opened(tmp_path / "app.log", delay=True)
    assert sink.path == ""
    assert not list(tmp_path.glob("[!.]*"))
    sink.write([Block(SENDER, 1, ["one\n"], [])])
    closed(sink)
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["app.log"]


def test_a_symbolic_link_is_written_through(tmp_path):
    """A symbolic link is written through; a rotation renames the file, and the link stays."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "real.log").write_text("before\n")
    (tmp_path / "app.log").symlink_to("logs/real.log")
    sink = opened(tmp_path / "app.log", rotation=20)
    sink.write([Block(SENDER, 1, ["one\n", "two\n", "three three three\n"], [])])
    closed(sink)
    assert (tmp_path / "app.log").is_symlink()
    assert (tmp_path / "app.log").read_text() == "three three three\n"
    assert [data for _, data in contents(tmp_path / "logs")] == [
        b"before\none\ntwo\n",
        b"three three three\n",
    ]


@pytest.mark.parametrize("here", ["plain", "{braces}"])
def test_a_relative_path_stays_where_it_was(tmp_path, monkeypatch, here):
    """A program that changes its directory does not take a relative log path with it."""
    (tmp_path / here).mkdir()
    monkeypatch.chdir(tmp_path / here)
    sink = opened("logs/app.log", rotation=10)
    monkeypatch.chdir(tmp_path)
    sink.write([Block(SENDER, 1, ["one\n", "two two two\n"], [])])
    sink.reopen()
    sink.write([Block(SENDER, 3, ["3\n"], [])])
    closed(sink)
    assert not (tmp_path / "logs").exists()
    assert [data for _, data in contents(tmp_path / here)] == [b"one\n", b"two two two\n", b"3\n"]
    assert (tmp_path / here / "logs" / ".app.log.ledger").exists()


# -- encodings


@pytest.mark.parametrize("errors", ["backslashreplace", "replace", "xmlcharrefreplace", "ignore"])
@pytest.mark.parametrize("encoding", ["utf8", "ascii", "latin-1", "cp1252", "gb18030"])
def test_an_encoding_is_kept_as_loguru_keeps_it(tmp_path, clock, encoding, errors):
    """An encoding makes loguru's file byte for byte, and sizes are counted in bytes."""
    twins = Twins(tmp_path, clock, rotation=100, encoding=encoding, errors=errors)
    twins.log(
        ["plain", "\u00e9" * 40, "\u6f22\u5b57 " * 9, "lone \ud83d", "+&~\\", "\U0001f600"] * 4,
        batch=5,
    )
    twins.check()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf8"])
def test_a_strict_encoding_loses_no_record(tmp_path, encoding):
    """A character that a strict encoding refuses is escaped, where loguru would drop the line."""
    sink = opened(tmp_path / "app.log", encoding=encoding, errors="strict")
    sink.write([Block(SENDER, 1, ["one\n", "\u6f22\ud83d\n", "three\n"], [])])
    assert sink._ledger.last(SENDER) == 3
    closed(sink)
    first, second, third = (tmp_path / "app.log").read_bytes().decode(encoding).splitlines()
    assert (first, third) == ("one", "three")
    assert "\\ud83d" in second


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-8-sig", "utf-7", "unicode_escape", "cp037", "no such"]
)
def test_an_encoding_that_cannot_be_kept_is_refused(tmp_path, encoding):
    """An encoding that marks the start of each line, or changes ASCII, is refused."""
    with pytest.raises(ConfigurationError, match=encoding):
        opened(tmp_path / "app.log", encoding=encoding)


@pytest.mark.parametrize(
    "options", [{"enqueue": False}, {"catch": True}, {"mode": "w"}, {"buffering": 1}], ids=name_of
)
def test_words_that_cannot_be_kept_are_refused(tmp_path, options):
    """An option of loguru's that means nothing here is refused by name."""
    (name,) = options
    with pytest.raises(ConfigurationError, match=name):
        opened(tmp_path / "app.log", **options)


@pytest.mark.parametrize("path", ["{user}.log", "{}/app.log", "a{b.log", "a}b.log", "{timer}.log"])
def test_a_path_that_loguru_cannot_use_is_refused(tmp_path, path):
    """A path that loguru cannot use is refused by name, and no file is made."""
    with pytest.raises(ConfigurationError, match="app|log"):
        opened(tmp_path / path)
    assert list(tmp_path.iterdir()) == []


# -- failures


class Disk:
    """A disk that fails: it stands between the sink and ``os.write`` and ``os.ftruncate``."""

    def __init__(self, monkeypatch):
        self.error = None
        self.room = 0  # bytes that a failing disk still takes
        self.fails_once = False
        self.on_error = lambda: None
        self.cuts = True
        self.real_write, self.real_ftruncate = os.write, os.ftruncate
        monkeypatch.setattr(os, "write", self.write)
        monkeypatch.setattr(os, "ftruncate", self.ftruncate)

    def write(self, descriptor, data):
        if self.error is None:
            return self.real_write(descriptor, data)
        if not self.room:
            error = self.error
            self.error = None if self.fails_once else error
            self.on_error()
            raise OSError(error, os.strerror(error))
        taken, self.room = bytes(data)[: self.room], max(self.room - len(data), 0)
        return self.real_write(descriptor, taken)

    def ftruncate(self, descriptor, size):
        if not self.cuts:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self.real_ftruncate(descriptor, size)


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


ERRORS = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG]


@pytest.mark.parametrize("fsync", [False, True], ids=["", "fsync"])
@pytest.mark.parametrize("error", ERRORS, ids=errno.errorcode.get)
@pytest.mark.parametrize("room", range(12))
def test_a_failed_write_leaves_whole_lines_and_a_true_ledger(tmp_path, disk, room, error, fsync):
    """A write that fails after any byte leaves whole lines, and the ledger knows how many."""
    sink = opened(tmp_path / "app.log", fsync=fsync)
    sink.write([Block(SENDER, 1, ["zero\n"], [])])
    disk.error, disk.room = error, room
    block = Block(SENDER, 2, ["one\n", "", "two\n", "six\n"], [])
    with pytest.raises(SinkError, match=os.strerror(error)) as caught:
        sink.write([block])
    whole = 0 if fsync else [0, 0, 0, 0, 2, 2, 2, 2, 3, 3, 3, 3][room]
    assert caught.value.written == whole
    assert sink._ledger.last(SENDER) == 1 + whole
    assert (tmp_path / "app.log").read_text() == "zero\n" + "".join(block.texts[:whole])
    disk.error = None
    sink.write([block.rest(whole)])
    closed(sink)
    assert (tmp_path / "app.log").read_text() == "zero\none\ntwo\nsix\n"


def test_half_a_line_that_cannot_be_cut_off_is_cut_off_later(tmp_path, disk):
    """Half a line that cannot be cut off at once is cut off before the next write."""
    sink = opened(tmp_path / "app.log")
    disk.error, disk.room, disk.cuts = errno.EIO, 6, False
    block = Block(SENDER, 1, ["one\n", "two\n", "three\n"], [])
    with pytest.raises(SinkError) as caught:
        sink.write([block])
    assert caught.value.written == 1
    assert (tmp_path / "app.log").read_text() == "one\ntw"
    disk.error = None
    with pytest.raises(SinkError, match="cannot write"):
        sink.write([block.rest(1)])
    disk.cuts = True
    sink.write([block.rest(1)])
    closed(sink)
    assert (tmp_path / "app.log").read_text() == "one\ntwo\nthree\n"


def test_half_a_line_is_not_cut_off_another_file(tmp_path, disk):
    """Half a line is not cut off a new file that has taken the place of the old one."""
    sink = opened(tmp_path / "app.log")
    disk.error, disk.room, disk.cuts = errno.EIO, 6, False
    with pytest.raises(SinkError):
        sink.write([Block(SENDER, 1, ["one\n", "two\n"], [])])
    disk.error, disk.cuts = None, True
    (tmp_path / "app.log").rename(tmp_path / "moved.log")
    (tmp_path / "app.log").write_text("long enough to be cut\n")
    sink.write([Block(SENDER, 2, ["two\n"], [])])
    closed(sink)
    assert (tmp_path / "app.log").read_text() == "long enough to be cut\ntwo\n"


@pytest.mark.parametrize("cuts", [True, False], ids=["at once", "later"])
@pytest.mark.parametrize("room", [0, 2, 4, 6])
def test_a_foreign_line_behind_a_failed_write_is_never_cut_off(tmp_path, disk, room, cuts):
    """Half a line stays in the file once another program has appended to it."""
    told, log = [], tmp_path / "app.log"

    def append():
        with open(log, "ab") as file:
            file.write(b"foreign\n")

    sink = opened(log, told)
    disk.error, disk.room, disk.cuts = errno.ENOSPC, room, cuts
    if cuts:
        disk.on_error = append
    block = Block(SENDER, 1, ["one\n", "two\n", "three\n"], [])
    with pytest.raises(SinkError) as caught:
        sink.write([block])
    if not cuts:
        append()
    disk.error, disk.cuts = None, True
    written = caught.value.written
    assert written == room // 4
    sink.write([block.rest(written)])
    closed(sink)
    rest = "".join(block.texts[written:])
    assert log.read_text() == "one\ntwo\n"[:room] + "foreign\n" + rest
    torn = [text for text in told if "another program has appended" in text]
    assert len(torn) == (room % 4 != 0)


def test_a_foreign_line_before_a_failed_write_does_not_keep_half_a_line(tmp_path, disk):
    """Another program may append between the intent and the write: half a line is cut off still."""
    log, real = tmp_path / "app.log", disk.real_write
    sink = opened(log)

    def append_first(descriptor, data):
        disk.real_write = real
        with open(log, "ab") as file:
            file.write(b"foreign\n")
        return real(descriptor, data)

    disk.error, disk.room, disk.real_write = errno.ENOSPC, 6, append_first
    block = Block(SENDER, 1, ["one\n", "two\n"], [])
    with pytest.raises(SinkError):
        sink.write([block])
    assert log.read_text() == "foreign\none\n"
    disk.error = None
    sink.write([block.rest(1)])
    closed(sink)
    assert log.read_text() == "foreign\none\ntwo\n"


@pytest.mark.parametrize("rotation", [None, 12], ids=["", "rotation"])
def test_a_full_disk_in_the_ledger_stops_the_writing_too(tmp_path, monkeypatch, rotation):
    """A block whose intent cannot be noted is not written, at whichever entry the disk is full."""
    real, left = os.pwrite, 0

    def pwrite(descriptor, data, offset):
        nonlocal left
        left -= 1
        if left == 0:
            real(descriptor, data[:10], offset)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", pwrite)
    texts = [f"line {number}\n" for number in range(6)]
    for entry in range(1, 30):
        directory = tmp_path / str(entry)
        left = 0
        sink = opened(directory / "app.log", rotation=rotation)
        block, failed = Block(SENDER, 1, texts, []), 0
        left = entry
        while block.texts:
            try:
                block = block.rest(sink.write([block]))
            except SinkError as error:
                failed += 1
                block = block.rest(error.written)
                assert sink._ledger.last(SENDER) == len(texts) - len(block.texts)
                assert b"".join(data for _, data in contents(directory)).decode() == "".join(
                    texts[: len(texts) - len(block.texts)]
                )
        left = 0
        closed(sink)
        assert b"".join(data for _, data in contents(directory)).decode() == "".join(texts)
        if not failed:
            assert entry > 1
            return
    raise AssertionError("it never came to an end")


def test_a_rotation_that_fails_is_told_once_and_lines_go_on(tmp_path, monkeypatch):
    """A rotation whose rename is denied is told once, and lines go on into the old file."""
    real, told = os.rename, []

    def rename(source, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source)

    sink = opened(tmp_path / "app.log", told, rotation=10)
    monkeypatch.setattr(os, "rename", rename)
    monkeypatch.setattr(sink_module, "ROTATION_RETRY", 0.0)
    for number in range(3):
        sink.write([Block(SENDER, number * 2 + 1, ["line\n", "line\n"], [])])
    assert (tmp_path / "app.log").read_text() == "line\n" * 6
    (text,) = told
    assert "Permission denied" in text
    monkeypatch.setattr(os, "rename", real)
    sink.write([Block(SENDER, 7, ["next\n"], [])])
    assert (tmp_path / "app.log").read_text() == "next\n"
    monkeypatch.setattr(os, "rename", rename)
    sink.write([Block(SENDER, 8, ["one\n", "two two\n"], [])])
    assert len(told) == 2
    closed(sink)


def test_a_rotation_that_failed_is_left_alone_for_a_while(tmp_path, monkeypatch):
    """A rotation that failed is not tried again at every line."""
    tries = []

    def rename(source, target):
        tries.append(source)
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), source)

    sink = opened(tmp_path / "app.log", rotation=10)
    monkeypatch.setattr(os, "rename", rename)
    for number in range(50):
        sink.write([Block(SENDER, number + 1, ["line\n"], [])])
    closed(sink)
    assert len(tries) == 1


def test_a_retention_that_raises_harms_no_line(tmp_path, monkeypatch):
    """A retention that raises is told once, and the rotation itself is done."""
    told = []

    def retention(files):
        raise ValueError("no retention")

    monkeypatch.setattr(sink_module, "ROTATION_RETRY", 0.0)
    sink = opened(tmp_path / "app.log", told, rotation=10, retention=retention)
    for number in range(9):
        sink.write([Block(SENDER, number + 1, [f"line {number}\n"], [])])
    closed(sink)
    assert [data for _, data in contents(tmp_path)] == [
        b"line %d\n" % number for number in range(9)
    ]
    (text,) = told
    assert "no retention" in text


def test_a_retention_that_meets_a_file_in_use_does_not_stop_the_rotation(tmp_path):
    """A file that somebody else lets nobody remove is told of once, and removed later."""
    told, busy = [], [True]

    def retention(files):
        for file in sorted(files)[:-2]:
            if busy:
                raise PermissionError(13, "in use", file)
            os.remove(file)

    sink = opened(tmp_path / "app.log", told, rotation=10, retention=retention)
    for number in range(9):
        sink.write([Block(SENDER, number + 1, [f"line {number}\n"], [])])
    assert [data for _, data in contents(tmp_path)] == [
        b"line %d\n" % number for number in range(9)
    ]
    (text,) = told
    assert "could not remove all" in text
    busy.clear()
    sink.write([Block(SENDER, 10, ["line 9\n"], [])])
    closed(sink)
    assert len(contents(tmp_path)) == 3


@pytest.mark.parametrize("kind", [ValueError, OSError, FileNotFoundError])
def test_a_rotation_function_that_raises_harms_no_line(tmp_path, monkeypatch, kind):
    """A rotation function that raises means no rotation, is told once and asked again later."""
    told, asked = [], []

    def rotation(message, file):
        asked.append(str(message))
        if len(asked) < 4:
            raise kind("no answer")
        return len(asked) == 5

    monkeypatch.setattr(sink_module, "ROTATION_RETRY", 0.0)
    sink = opened(tmp_path / "app.log", told, rotation=rotation)
    texts = [f"line {number}\n" for number in range(7)]
    assert sink.write([Block(SENDER, 1, texts, [{}] * 7)]) == 7
    closed(sink)
    assert asked == texts
    assert [data.count(b"\n") for _, data in contents(tmp_path)] == [4, 3]
    (text,) = told
    assert "no answer" in text


def test_a_rotation_function_may_not_swallow_a_failed_write(tmp_path, disk):
    """A rotation function that looks at the file cannot swallow the error of a failed write."""

    def rotation(message, file):
        with contextlib.suppress(OSError):
            return os.path.getsize(file.name) > 1000
        return False

    sink = opened(tmp_path / "app.log", rotation=rotation)
    disk.error, disk.fails_once = errno.ENOSPC, True
    block = Block(SENDER, 1, ["one\n", "two\n"], [{}, {}])
    with pytest.raises(SinkError) as caught:
        sink.write([block])
    assert caught.value.written == 0
    assert sink.write([block]) == 2
    closed(sink)
    assert (tmp_path / "app.log").read_text() == "one\ntwo\n"


def test_a_file_that_cannot_be_opened_anew_is_tried_again(tmp_path, monkeypatch):
    """A file that cannot be opened anew is an error, until a later write opens it."""
    real = open
    denied = True

    def deny(path, *arguments, **options):
        if denied and str(path).endswith("app.log"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *arguments, **options)

    sink = opened(tmp_path / "app.log")
    sink.write([Block(SENDER, 1, ["one\n"], [])])
    monkeypatch.setattr("builtins.open", deny)
    (tmp_path / "app.log").rename(tmp_path / "moved.log")
    with pytest.raises(SinkError, match="Permission denied"):
        sink.write([Block(SENDER, 2, ["two\n"], [])])
    with pytest.raises(SinkError, match="Permission denied"):
        sink.reopen()
    with pytest.raises(SinkError, match="Permission denied"):
        sink.write([Block(SENDER, 2, ["two\n"], [])])
    denied = False
    sink.write([Block(SENDER, 2, ["two\n"], [])])
    closed(sink)
    assert (tmp_path / "app.log").read_text() == "two\n"


def test_closing_never_raises(tmp_path, monkeypatch):
    """An error at the close is told, not raised, and the ledger is closed."""
    told = []
    sink = opened(tmp_path / "app.log", told, retention=lambda files: 1 / 0)
    closed(sink)
    (text,) = told
    assert "ZeroDivisionError" in text


# -- a power cut


class PowerCut:
    """Which bytes of which file the disk itself holds, by the calls of ``fsync`` so far."""

    def __init__(self, monkeypatch):
        self.held = {}
        self.calls = []
        self.writes = []
        for name in ("fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self.fsync)
        self.real = os.write
        monkeypatch.setattr(os, "write", self.write)

    def fsync(self, descriptor):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        self.calls.append(path)
        self.held[path] = os.fstat(descriptor).st_size

    def write(self, descriptor, data):
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        ledger = os.path.join(os.path.dirname(path), ".app.log.ledger")
        if path.endswith("app.log"):
            self.writes.append(self.held.get(ledger) == os.path.getsize(ledger))
        return self.real(descriptor, data)


def test_with_fsync_the_intent_is_on_the_disk_before_the_lines_and_they_before_the_answer(
    memory_path, monkeypatch
):
    """With ``fsync``, the disk holds the intent before the lines, and these before the answer."""
    cut = PowerCut(monkeypatch)
    log, ledger = str(memory_path / "app.log"), str(memory_path / ".app.log.ledger")
    sink = opened(memory_path / "app.log", fsync=True, rotation=3000)
    assert str(memory_path) in cut.calls
    for number in range(3):
        cut.calls.clear()
        sink.write([Block(SENDER, number * 100 + 1, ["line\n"] * 100, [])])
        assert cut.held[log] == os.path.getsize(log)
        assert cut.calls == [ledger, log]
    cut.calls.clear()
    sink.write([Block(SENDER, 301, ["line\n"] * 400, [])])
    assert cut.calls.count(log) == 2
    assert cut.calls.count(str(memory_path)) == 1
    assert cut.held[log] == os.path.getsize(log)
    assert cut.writes and all(cut.writes)
    closed(sink)


def test_without_fsync_the_disk_is_not_asked(tmp_path, monkeypatch):
    """Without ``fsync``, the disk is never waited for."""
    cut = PowerCut(monkeypatch)
    sink = opened(tmp_path / "app.log", rotation=30)
    sink.write([Block(SENDER, 1, ["line\n"] * 20, [])])
    closed(sink)
    assert cut.calls == []
