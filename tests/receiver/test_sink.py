"""The sink: the files that loguru would have made, and nothing lost or half written when it fails."""

from __future__ import annotations

import copy
import datetime
import decimal
import gzip
import os
import re
import sys
import tarfile
import types
import zipfile

import pytest
from loguru import logger

from loguru_stdbridge.receiver.internals import private_loguru
from loguru_stdbridge.receiver.ledger import Ledger
from loguru_stdbridge.receiver.sink import Block, RotatingSink

pytestmark = pytest.mark.usefixtures("fast_handlers")
SENDER = "5" * 32
SECOND = datetime.timedelta(seconds=1)
START = datetime.datetime(2024, 2, 28, 20, 0, 0)


class Clock:
    """What loguru, ours and the application's, takes for the time; and a file's time of creation."""

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
    """A sink with its ledger; messages go to ``told``."""
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
    """``(name without its date, bytes)`` of every visible file, oldest first; archives are opened."""
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
    """The same messages to a plain loguru file sink and to ours."""

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
        """Callables with a memory are made for each of the two."""
        return {key: value() if isinstance(value, type) else value for key, value in options.items()}

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
        """Two blocks, as of two senders."""
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
    """loguru's logger without handlers, leaving the application's as it is."""
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
@pytest.mark.parametrize("rotation", [None, *SIZES, *CALLABLES], ids=str)
def test_rotated_by_size_or_by_a_function_the_files_are_those_of_loguru(tmp_path, clock, rotation, batch):
    """Line by line or in batches: the same lines in the same files."""
    twins = Twins(tmp_path, clock, rotation=rotation)
    twins.log(TEXTS, batch=batch)
    files = twins.check()
    assert (len(files) > 1) == (rotation not in (None, "1 MB"))


ZONE = datetime.timezone(datetime.timedelta(hours=-7))


@pytest.mark.parametrize(
    "rotation",
    ["00:00", "12:30", "daily", "1 day", "1 week", "36 h", "monday", "friday at 06:00", "monthly",
     datetime.timedelta(hours=20), datetime.time(13, 5), datetime.time(13, 5, tzinfo=ZONE)],
    ids=str,
)  # fmt: skip
def test_rotated_by_time_the_files_are_those_of_loguru(tmp_path, clock, rotation):
    """For six weeks of lines, hours apart: the same lines in files of the same names."""
    twins = Twins(tmp_path, clock, rotation=rotation)
    twins.log(map(str, range(150)), step=datetime.timedelta(hours=7))
    assert len(twins.check()) > 1
    assert twins.names(twins.ours) == twins.names(twins.plain)


def test_a_rotation_by_time_goes_by_the_receiver_s_clock(tmp_path, clock):
    """Whatever time a record claims."""
    sink = opened(tmp_path / "app.log", rotation="1 hour")
    future = {"time": datetime.datetime(2096, 1, 1, tzinfo=datetime.timezone.utc)}
    sink.write([Block(SENDER, 1, ["one\n", "two\n"], [future, future])])
    clock.now += datetime.timedelta(hours=2)
    sink.write([Block(SENDER, 3, ["three\n"], [])])
    closed(sink)
    assert [data for _, data in contents(tmp_path)] == [b"one\ntwo\n", b"three\n"]


@pytest.mark.parametrize("compression", [None, "gz", "bz2", "xz", "lzma", "tar", "tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_archives_hold_what_those_of_loguru_hold(tmp_path, clock, compression):
    """Every word of loguru's, under the same names."""
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
    """Braces, glob characters, spaces, letters of any script, directories that are not there."""
    twins = Twins(tmp_path, clock, name, rotation=rotation, compression=compression, retention=3)
    twins.log(TEXTS[:20], step=SECOND)
    twins.check()
    assert twins.names(twins.ours) == twins.names(twins.plain)


@pytest.mark.parametrize("retention", [0, 2, "1 hour", datetime.timedelta(hours=3), "30 days"], ids=str)
@pytest.mark.parametrize("compression", [None, "gz"])
def test_retention_keeps_what_loguru_keeps(tmp_path, clock, monkeypatch, retention, compression):
    """By count and by age; the age of a file is the time since its last line."""
    clock.now = datetime.datetime.now()
    twins = Twins(tmp_path, clock, rotation=150, compression=compression, retention=retention)
    for hour in range(4):
        twins.log(TEXTS[hour * 15 : (hour + 1) * 15], step=SECOND)
        clock.now += datetime.timedelta(hours=1)
    twins.log(TEXTS, step=SECOND)
    twins.check()
    assert twins.names(twins.ours) == twins.names(twins.plain)
