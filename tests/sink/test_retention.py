"""A retention removes old files of its own log, and no other log's."""

from __future__ import annotations

import datetime

import pytest
from loguru import logger

from loguru_stdbridge import BridgeHandler, start_receiver
from loguru_stdbridge.sink.internals import read_sink_path
from loguru_stdbridge.sink.retention import spare_other_logs


def names(directory):
    """The files there that are no lock and no ledger."""
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))


def test_a_retention_leaves_the_log_beside_it_alone(tmp_path, quiet_loguru):
    """``app.log`` keeps one old file; ``app.errors.log``, which loguru's pattern finds too, keeps
    every record."""
    errors = tmp_path / "app.errors.log"
    handlers = [
        {"sink": tmp_path / "app.log", "format": "{message}", "rotation": "200 B", "retention": 1},
        {"sink": errors, "format": "{message}", "level": "ERROR", "rotation": "1 KB"},
    ]
    sent = "record {:03} " + "x" * 40
    with start_receiver(handlers=handlers, address="tcp://127.0.0.1:0") as receiver:
        handler = BridgeHandler(receiver.address)
        bridged = logger.add(handler, format="{message}", catch=False)
        try:
            for number in range(200):
                logger.log("ERROR" if number % 2 else "INFO", sent.format(number))
                assert number % 50 or handler.wait(
                    30
                )  # else the one sink is written, then the other
            assert handler.wait(30)
        finally:
            logger.remove(bridged)
            handler.close()
    kept = [name for name in names(tmp_path) if name.startswith("app.errors")]
    lines = "".join((tmp_path / name).read_text() for name in kept)
    assert lines.count("record") == 100
    assert len(kept) > 3
    others = [name for name in names(tmp_path) if name not in [*kept, "spool"]]
    assert len(others) == 2, "the log and one old file"


@pytest.fixture
def directory(tmp_path):
    """A directory with two logs and their old files."""
    for name in (
        "app.log", "app.1.log", "app.2.log.gz", "app.log.1", "app.errors.log", "app.errors.1.log",
        "app.errors.2.log.gz", ".app.log.lock", ".app.errors.log.lock", "other.log",
    ):  # fmt: skip
        (tmp_path / name).touch()
    return tmp_path


OWN = {"app.1.log", "app.2.log.gz", "app.log.1"}


@pytest.mark.parametrize("retention", [0, "0 days", datetime.timedelta(0), "function"], ids=repr)
def test_a_retention_of_each_kind_removes_its_own_old_files(directory, retention):
    """A number, a duration, a ``timedelta`` and a function are given this log's files alone."""
    before, seen = set(names(directory)), []
    given = seen.extend if retention == "function" else retention
    wrapped = spare_other_logs(given, read_sink_path(directory / "app.log"))
    number = logger.add(directory / "app.log", retention=wrapped, delay=True)
    logger.remove(number)
    if retention == "function":
        assert {path.rpartition("/")[2] for path in seen} == OWN | {"app.log"}
    else:
        assert before - set(names(directory)) in (OWN, OWN | {"app.log"})


def test_the_narrower_log_has_nothing_of_the_wider_one(directory):
    """The retention of ``app.errors.log`` removes its own old files, and none of ``app.log``."""
    wrapped = spare_other_logs(0, read_sink_path(directory / "app.errors.log"))
    before = set(names(directory))
    logger.remove(logger.add(directory / "app.errors.log", retention=wrapped, delay=True))
    removed = before - set(names(directory))
    assert removed - {"app.errors.log"} == {"app.errors.1.log", "app.errors.2.log.gz"}


def test_a_retention_that_loguru_cannot_read_is_refused_as_by_loguru(tmp_path):
    """The error is loguru's own."""
    with pytest.raises(ValueError, match="Cannot parse retention"):
        spare_other_logs("nonsense", read_sink_path(tmp_path / "app.log"))


def test_no_retention_stays_none(tmp_path):
    """Without a retention nothing is removed."""
    assert spare_other_logs(None, read_sink_path(tmp_path / "app.log")) is None
