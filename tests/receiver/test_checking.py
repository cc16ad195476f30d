"""``--check``: what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import os

import pytest

from loguru_stdbridge.exceptions import ConfigurationError, LedgerHeldError
from loguru_stdbridge.receiver.checking import check_sinks
from loguru_stdbridge.receiver.cli import main
from tests.support.processes import ReceiverProcess, run_python


def check_sink(path, spool_dir=None, fsync=False, render="worker", **words):
    """Check one sink."""
    check_sinks([{"sink": path, **words}], spool_dir=spool_dir, fsync=fsync, render=render)


def tree(directory):
    """Return everything below a directory, with what changes when it is touched."""
    return {
        os.path.join(parent, name): os.lstat(os.path.join(parent, name)).st_mtime_ns
        for parent, names, files in os.walk(directory)
        for name in (*names, *files)
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rotation": "1 MB", "retention": 3, "compression": "gz", "level": "ERROR"},
        {"format": "{extra[user][name]} {extra[id]:>8} {message}"},
        {"format": "{message}", "serialize": True, "fsync": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["app.log", "new/folder/app.log", "{time}/app.log"])
def test_a_check_leaves_nothing_behind(tmp_path, spool_dir, runtime_dir, path, options):
    """A check of a sink that is not there yet makes no file and no directory, nor does it touch any."""
    before = tree(tmp_path), tree(runtime_dir)
    check_sink(tmp_path / path, **options)
    assert (tree(tmp_path), tree(runtime_dir)) == before


def test_a_check_leaves_a_log_as_it_is(tmp_path):
    """A check of a log with lines in it neither opens nor compresses it."""
    sink = tmp_path / "app.log"
    sink.write_text("a line\n")
    before = tree(tmp_path)
    check_sink(sink, compression="gz", retention=1)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{nothing} {message}", "no record has 'nothing'"),
        ("{level.nothing}", "AttributeError: "),
        ("{message:%Y}", "ValueError: "),
    ],
)
def test_a_format_that_no_record_fits_is_refused(tmp_path, template, reason):
    """A check shows the format and says why no record fits it."""
    with pytest.raises(ConfigurationError) as refused:
        check_sink(tmp_path / "app.log", format=template)
    assert f"format={template!r} fits no record: {reason}" in str(refused.value)


@pytest.mark.parametrize(
    "options",
    [
        {"rotation": "nonsense"},
        {"retention": "x y z"},
        {"compression": "rar"},
        {"level": "NONE"},
        {"encoding": "utf-16"},
        {"render": "nowhere"},
    ],
    ids=str,
)
def test_a_check_refuses_what_a_receiver_refuses(tmp_path, options):
    """A value that loguru or the receiver cannot use is shown, and nothing is made."""
    before = tree(tmp_path)
    with pytest.raises((ConfigurationError, ValueError), match=next(iter(options.values()))):
        check_sink(tmp_path / "app.log", **options)
    assert tree(tmp_path) == before


def test_a_sink_below_a_file_cannot_be_written(tmp_path):
    """A check names what stands in the way of the sink's directory."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        check_sink(tmp_path / "file" / "app.log")


def test_a_sink_that_is_a_directory_cannot_be_written(tmp_path):
    """A check of a directory says that it is no file."""
    with pytest.raises(OSError, match="no file"):
        check_sink(tmp_path)


def test_an_unsafe_spool_directory_is_refused(tmp_path):
    """A check of a spool directory that is open to others says so."""
    spool = tmp_path / "open"
    spool.mkdir(mode=0o755)
    with pytest.raises(ConfigurationError, match="open to others"):
        check_sink(tmp_path / "app.log", spool_dir=spool)


def test_a_check_of_a_log_that_is_written_names_the_writer(tmp_path):
    """A check does not wait for a sink that is held, and leaves its receiver at work."""
    with ReceiverProcess(tmp_path / "app.log", "--format", "{message}") as receiver:
        with pytest.raises(LedgerHeldError, match=f"process {receiver.process.pid}"):
            check_sink(tmp_path / "app.log")
        code = (
            "import sys; from loguru import logger; from loguru_stdbridge import install_bridge; "
            "b = install_bridge(sys.argv[1]); logger.info('after'); assert b.close(20)"
        )
        assert run_python(code, receiver.address)[0] == 0
    assert (tmp_path / "app.log").read_text() == "after\n"


def test_the_exit_code_of_a_check(tmp_path):
    """A check ends with 0 or, like the receiver, with 78, and makes nothing."""
    sink = str(tmp_path / "app.log")
    assert main([sink, "--check"]) == 0
    assert main([sink, "--check", "--standby", "--rotation", "1 MB", "--", "anything"]) == 0
    assert main([sink, "--check", "--format", "{nothing}"]) == 78
    assert main([sink, "--check", "--listen", "9021"]) == 78
    assert tree(tmp_path) == {}


def test_each_of_several_sinks_is_checked(tmp_path):
    """A fault of the second sink is found as that of the first one, and so is one file named twice."""
    good = {"sink": tmp_path / "app.log", "level": "INFO"}
    check_sinks([good, {"sink": tmp_path / "errors.log", "level": "ERROR"}])
    with pytest.raises(ConfigurationError, match="fits no record"):
        check_sinks([good, {"sink": tmp_path / "errors.log", "format": "{nothing}"}])
    with pytest.raises(ConfigurationError, match="are one file"):
        check_sinks([good, good])
    assert list(tmp_path.iterdir()) == []
