"""A receiver's files are those that ``logger.add`` would have made, whoever renders the lines."""

from __future__ import annotations

import datetime
import gzip
import json
import os

import pytest
from loguru import logger

from loguru_stdbridge import ConfigurationError, install_bridge, start_receiver
from loguru_stdbridge.sink_words import parse_sink_words, read_sink_words
from tests.support.processes import ReceiverProcess

pytestmark = pytest.mark.usefixtures("quiet_loguru")


def at_one_time(record):
    """Give a record the same time in every run."""
    record["time"] = type(record["time"]).fromtimestamp(1.7e9, datetime.timezone.utc)
    record["elapsed"] = datetime.timedelta(seconds=1)


def files_in(directory):
    """Return the bytes of each file in a directory, hidden ones left out; those in an archive."""
    return {
        path.name: gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for path in sorted(directory.iterdir())
        if not path.name.startswith(".")
    }


@pytest.fixture(params=["worker", "receiver"])
def beside(request, tmp_path):
    """Return a function that makes calls with a local sink and through a bridge, side by side.

    It returns the files of both. The first calls are made before the receiver has greeted.
    """

    def run(calls, *, name="app.log", before=lambda directory: None, **options):
        options.setdefault("format", "{message}")
        found = []
        for way in ("local", "bridge"):
            directory = tmp_path / way
            directory.mkdir()
            before(directory)
            if way == "local":
                handler = logger.add(directory / name, catch=False, **options)
                calls(logger.patch(at_one_time))
                logger.remove(handler)
            else:
                with start_receiver(
                    directory / name, address="tcp://127.0.0.1:0", render=request.param,
                    spool_dir=False, **options,
                ) as receiver:  # fmt: skip
                    with install_bridge(
                        receiver.address, stdlib=False, spool_dir=tmp_path / "spool"
                    ) as bridge:
                        calls(logger.patch(at_one_time))
                        assert bridge.flush(20)
            found.append(files_in(directory))
        return found

    return run


@pytest.mark.parametrize("newline", [None, "", "\n", "\r", "\r\n"])
def test_a_line_ends_as_the_sink_says(beside, newline):
    """A line ends with the sink's ``newline``, a message of several lines and a raw one too."""

    def calls(log):
        log.info("one\ntwo\r\nthree é")
        log.opt(raw=True).info("raw\n")
        log.info("four")

    local, bridge = beside(calls, newline=newline)
    assert bridge == local
    assert local["app.log"]


def test_files_rotate_at_the_same_line_with_every_newline(beside):
    """A line end of two bytes counts for the size at which a file is rotated."""

    def calls(log):
        for number in range(60):
            log.info("line {}", number)

    local, bridge = beside(calls, newline="\r\n", rotation=100)
    assert sorted(bridge.values()) == sorted(local.values())
    assert len(local) > 5


def test_an_impossible_newline_is_refused(tmp_path):
    """A ``newline`` that no file can have is refused, and the message has the values."""
    with pytest.raises(ConfigurationError, match="newline='x'.*or leave it out"):
        start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0", newline="x")


def has_lists():
    """Return whether this loguru takes a list of rotations."""
    try:
        logger.remove(logger.add(os.devnull, rotation=["1 MB"], delay=True))
    except TypeError:
        return False
    return True


@pytest.mark.parametrize(
    "rotation",
    [
        ["1 week", 60],
        [70, lambda message, file: message.record["message"] == "line 7"],
        [["1 day", "10 MB"], 60],
    ],
    ids=["time and size", "size and function", "a list in a list"],
)
def test_several_rotations_cut_the_same_files(beside, rotation, tmp_path):
    """A list of rotations cuts the files of a local sink, or is refused as by loguru."""

    def calls(log):
        for number in range(30):
            log.info("line {}", number)

    if has_lists():
        local, bridge = beside(calls, rotation=rotation)
        assert sorted(bridge.values()) == sorted(local.values())
        assert len(local) > 3
    else:
        with pytest.raises(TypeError, match="type: 'list'"):
            start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0", rotation=rotation)


@pytest.mark.parametrize("kind", ["gz", "function"])
@pytest.mark.parametrize("old", ["an old line\n", None])
def test_a_file_that_got_no_line_is_compressed_at_the_end(beside, kind, old):
    """A file without a rotation is compressed when its receiver ends, also without a new line."""
    seen = []

    def note(path):
        seen.append(os.path.basename(path))

    def before(directory):
        if old is not None:
            (directory / "app.log").write_text(old)

    options = {"compression": "gz" if kind == "gz" else note}
    local, bridge = beside(lambda log: None, before=before, **options)
    assert bridge == local
    assert list(local) == ["app.log.gz" if kind == "gz" else "app.log"]
    assert seen == ([] if kind == "gz" else ["app.log", "app.log"])


def test_an_archive_in_the_way_is_set_aside_under_loguru_s_name(beside):
    """An archive of the same name gets the date of its creation, as loguru has it."""

    def before(directory):
        (directory / "app.log.gz").write_bytes(gzip.compress(b"older\n", mtime=0))
        os.utime(directory / "app.log.gz", (1.6e9, 1.6e9))

    local, bridge = beside(lambda log: log.info("newer"), before=before, compression="gz")
    assert bridge == local
    assert sorted(local.values()) == [b"newer\n", b"older\n"]


class RefusedError(KeyError):
    """An exception of the application's."""


def is_division(record):
    return record["exception"].type is ZeroDivisionError


def is_lookup(record):
    return issubclass(record["exception"].type, LookupError)


def has_value(record):
    value = record["exception"].value
    return isinstance(value, ArithmeticError) and str(value) == "division by zero"


@pytest.mark.parametrize("wanted", [is_division, is_lookup, has_value])
def test_a_filter_may_ask_for_an_exception_s_type(beside, wanted):
    """A filter that asks for a builtin exception, or for what derives from one, finds it."""

    def calls(log):
        for raised in (ZeroDivisionError("division by zero"), RefusedError("x"), IndexError("i"),
                       UnicodeDecodeError("utf8", b"", 0, 1, "r"), OSError(2, "no")):  # fmt: skip
            log.opt(exception=raised).error("{}", type(raised).__name__)

    local, bridge = beside(calls, filter=wanted)
    assert bridge == local
    assert local["app.log"]


def test_a_class_of_the_application_s_says_that_it_is_a_stand_in(tmp_path):
    """A class that is no builtin stands for the application's, under its name and another module."""
    seen = []

    def look(record):
        seen.append(record["exception"].type)
        return True

    with start_receiver(tmp_path / "a.log", address="tcp://127.0.0.1:0", filter=look) as receiver:
        with install_bridge(receiver.address, stdlib=False) as bridge:
            for kind in (type("ZeroDivisionError", (ValueError,), {}), RefusedError):
                logger.opt(exception=kind("x")).error("failed")
            assert bridge.flush(20)
    assert [f"{kind.__module__}.{kind.__name__}" for kind in seen[-2:]] == [
        "another_process.ZeroDivisionError", "another_process.RefusedError"
    ]  # fmt: skip
    assert issubclass(seen[-2], ValueError) and seen[-2] is not ZeroDivisionError


@pytest.fixture
def own_levels():
    """Let a test add and edit levels, and take them out again."""
    core = logger._core
    names = ("levels", "levels_lookup", "levels_ansi_codes")
    saved = {name: dict(getattr(core, name)) for name in names}
    yield
    for name, value in saved.items():
        setattr(core, name, value)


@pytest.fixture
def audit(own_levels):
    """Add a level as an application does."""
    logger.level("AUDIT", no=27, color="<yellow>", icon="@")


def log_around_audit(log):
    for level in ("INFO", "AUDIT", 26, 28, "ERROR"):
        log.log(level, "at {}", level)


@pytest.mark.parametrize("options", [{"level": "AUDIT"}, {"filter": {"": "AUDIT"}}])
def test_a_level_of_the_application_s_is_known_to_a_receiver_in_its_process(beside, audit, options):
    """A level that the application has added may be a sink's ``level``, and stand in ``filter``."""
    local, bridge = beside(log_around_audit, **options)
    assert bridge == local
    assert local["app.log"] == b"at AUDIT\nat 28\nat ERROR\n"


def test_a_level_of_the_application_s_is_told_to_a_process_of_its_own(tmp_path, audit):
    """A receiver in another process gets the numbers of such levels, and the other four words."""
    sink = tmp_path / "app.log"
    with install_bridge(
        sink=sink, format="<level>{message}</level>", filter={"": "AUDIT", "noisy": False},
        colorize=True, encoding="ascii", errors="replace", newline="\r\n", linger=0.1,
        stdlib=False,
    ) as bridge:  # fmt: skip
        log_around_audit(logger)
        logger.log("AUDIT", "é")
        assert bridge.flush(20)
    lines = sink.read_bytes().split(b"\r\n")
    assert lines[0] == b"\x1b[33mat AUDIT\x1b[0m"
    assert lines[1:] == [b"at 28\x1b[0m", b"\x1b[31m\x1b[1mat ERROR\x1b[0m",
                         b"\x1b[33m?\x1b[0m", b""]  # fmt: skip


def test_a_level_that_nobody_here_knows_is_refused_with_a_way_out(tmp_path):
    """A receiver that does not know a level's name says so, and asks for its number."""
    with pytest.raises(ConfigurationError, match="'NOWHERE' does not exist; .* give its number"):
        start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0", level="NOWHERE")


WORDS = {
    "rotation": ["1 MB", "00:00", 1000], "filter": {"": 27, "shop": False, "a.b": "INFO"},
    "colorize": True, "errors": "replace", "newline": "\r\n",
}  # fmt: skip


def test_the_words_go_to_another_process_and_back(tmp_path):
    """Lists, mappings and line ends are texts on the command line, and come out as they were."""
    words = read_sink_words(tmp_path / "app.log", WORDS)
    assert parse_sink_words(dict(words.words)) == WORDS
    again = read_sink_words(tmp_path / "app.log", dict(words.words))
    assert again.command_line() == words.command_line()
    assert "--colorize" in words.command_line() and "--newline=crlf" in words.command_line()


@pytest.mark.parametrize(("text", "way_out"), [("{x", '{"": "INFO"'), ('{"a": 1', "no JSON")])
def test_a_filter_that_is_no_json_is_refused(text, way_out):
    """A ``--filter`` that begins like a mapping and is none is refused with an example."""
    with pytest.raises(ConfigurationError, match=way_out):
        parse_sink_words({"filter": text})


def test_the_command_line_has_the_words_for_each_sink(tmp_path):
    """The command line takes ``--filter``, ``--colorize``, ``--errors``, ``--newline`` per sink."""
    options = [
        "--format", "<red>{message}</red>", "--colorize", "--newline", "crlf",
        "--filter", json.dumps({"": "INFO", __name__: "WARNING"}),
        "--sink", str(tmp_path / "b.log"), "--format", "{message}", "--filter", __name__,
        "--encoding", "ascii", "--errors", "xmlcharrefreplace",
    ]  # fmt: skip
    with ReceiverProcess(tmp_path / "a.log", *options) as receiver:
        with install_bridge(receiver.address, stdlib=False) as bridge:
            logger.info("é one")
            logger.warning("é two")
            assert bridge.flush(20)
    assert (tmp_path / "a.log").read_bytes() == "\x1b[31mé two\x1b[0m\r\n".encode()
    assert (tmp_path / "b.log").read_bytes() == b"&#233; one\n&#233; two\n"
