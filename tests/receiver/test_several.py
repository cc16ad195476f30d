"""A receiver of several sinks writes each record once to each of them."""

from __future__ import annotations

import json
import os
import random

import pytest
from loguru import logger

from loguru_stdbridge import ConfigurationError, LedgerHeldError, install_bridge, start_receiver
from loguru_stdbridge.exceptions import FurtherSinkHeldError, SinkError
from loguru_stdbridge.receiver.several import SeveralWriters
from loguru_stdbridge.receiver.writer import Writer
from loguru_stdbridge.record.row import encode_rendered_row, rendered_row_head
from loguru_stdbridge.sink.ledger import Ledger
from loguru_stdbridge.sink.replay import Replay
from tests.support import several_sinks
from tests.support.processes import ReceiverProcess, run_python, start_python

pytestmark = pytest.mark.usefixtures("quiet_loguru")

SENDER, OTHER = "1" * 32, "2" * 32
FORMAT_ID = "0123456789abcdef"
LEVELS = {"INFO": 20, "ERROR": 40}
SEED = random.SystemRandom().randrange(10**6)


def rendered(line, level="INFO"):
    """A finished line as it comes out of a frame."""
    head = rendered_row_head(LEVELS[level], level, FORMAT_ID)
    return json.loads(encode_rendered_row(1, head, f"{line}\n"))


class Sink:
    """Takes lines and counts them as its ledger does, or fails."""

    needs_records = False

    def __init__(self, **settled):
        self.lines = []
        self.settled = settled
        self.fails = False

    def last(self, sender):
        return self.settled.get(sender, 0)

    def write(self, blocks):
        if self.fails:
            raise SinkError("no room", 0)
        for block in blocks:
            self.lines += filter(None, block.texts)
            self.settled[block.sender] = block.first + len(block.texts) - 1
        return sum(len(block.texts) for block in blocks)


def writers_of(*sinks, told=None, levels=(None, None)):
    report = (lambda text: None) if told is None else told.append
    return SeveralWriters(
        [
            (
                Writer(
                    Replay(format="{message}"), sink, report,
                    format_id=FORMAT_ID, least_level=level, name=f"sink {number}",
                ),
                sink.last,
            )
            for number, (sink, level) in enumerate(zip(sinks, levels))
        ]
    )  # fmt: skip


def test_a_sink_gets_only_what_its_ledger_lacks():
    """Rows that are sent again go to the sink that lacks them, and to no other."""
    behind, ahead = Sink(**{SENDER: 1}), Sink(**{SENDER: 3})
    writers = writers_of(behind, ahead)
    writers.take_rows(SENDER, 2, [rendered(text) for text in "bcd"])
    writers.take_rows(OTHER, 1, [rendered("x")])
    assert not writers.write()
    assert behind.lines == ["b\n", "c\n", "d\n", "x\n"]
    assert ahead.lines == ["d\n", "x\n"]
    assert behind.settled == ahead.settled == {SENDER: 4, OTHER: 1}
    assert writers.records == 4
    assert not writers


def test_each_sink_is_told_how_many_records_it_lacks():
    """A gap counts the records that this sink has not got, and is nothing to one that has all."""
    behind, ahead, whole = Sink(), Sink(**{SENDER: 3}), Sink(**{SENDER: 9})
    writers = writers_of(behind, ahead, whole, levels=(None,) * 3)
    writers.take_gap(SENDER, 1, 5, "(a process) were given up")
    writers.write()
    assert behind.lines == ["5 records of sender 11111111 (a process) were given up\n"]
    assert ahead.lines == ["2 records of sender 11111111 (a process) were given up\n"]
    assert whole.lines == []
    assert behind.settled == ahead.settled == {SENDER: 5}


def test_one_that_fails_holds_its_lines_and_the_other_writes_its_own_once():
    """While a sink fails, nothing is written twice to the other, and nothing is lost to it."""
    good, full, told = Sink(), Sink(), []
    writers = writers_of(good, full, told=told)
    full.fails = True
    writers.take_rows(SENDER, 1, [rendered("a"), rendered("b")])
    assert writers.write()
    assert writers and writers.failing
    assert not writers.write()  # it is not time yet
    assert (good.lines, full.lines) == (["a\n", "b\n"], [])
    full.fails = False
    assert writers.retry_at > 0
    for writer, _ in writers._writers:
        writer.retry_at = 0.0
    assert writers.write()
    assert not writers and not writers.failing
    assert good.lines == full.lines == ["a\n", "b\n"]
    assert told[1:] == ["sink 1 takes records again"]


def test_a_finished_line_goes_to_the_sinks_of_its_level():
    """A sink of a higher level leaves a worker's line out, and counts it as settled."""
    everything, errors = Sink(), Sink()
    writers = writers_of(everything, errors, levels=(None, 40))
    writers.take_rows(SENDER, 1, [rendered("a"), rendered("b", "ERROR"), rendered("c")])
    writers.write()
    assert everything.lines == ["a\n", "b\n", "c\n"]
    assert errors.lines == ["b\n"]
    assert everything.settled == errors.settled == {SENDER: 3}


def log_through(receiver):
    with install_bridge(receiver.address, level="DEBUG") as bridge:
        logger.debug("one")
        logger.error("two")
        logger.bind(user=7).info("three")
        assert bridge.flush(20)
        return bridge._channel.far_sinks.renderer


@pytest.mark.parametrize(
    ("words", "lines", "by_worker"),
    [
        ({"format": "{message}", "level": "ERROR"}, ["two"], True),
        ({"format": "{level} {message}"}, ["DEBUG one", "ERROR two", "INFO three"], False),
        ({"format": "{message}", "filter": lambda record: "t" in record["message"]},
         ["two", "three"], False),
    ],
)  # fmt: skip
def test_each_sink_has_its_format_level_and_filter(tmp_path, words, lines, by_worker):
    """Workers render where one line suits every sink; else each sink's own lines come out."""
    first, second = tmp_path / "app.log", tmp_path / "second.log"
    handlers = [{"sink": first, "format": "{message}", "level": 0}, {"sink": second, **words}]
    with start_receiver(handlers=handlers, address="tcp://127.0.0.1:0") as receiver:
        rendering = log_through(receiver)
        assert receiver.counts == {"records": 3, "duplicates": 0, "refused": 0}
    assert first.read_text().split() == ["one", "two", "three"]
    assert second.read_text().splitlines() == lines
    assert (rendering is not None) == by_worker
    settled = []
    for path in (first, second):
        ledger = Ledger.open(path)
        settled += [state.last for state in ledger._senders.values()]
        ledger.close()
    assert settled == [3, 3]


def test_a_second_sink_may_serialize(tmp_path):
    """One sink has text, the other one JSON documents with everything that the record holds."""
    handlers = [
        {"sink": tmp_path / "app.log", "format": "{message}", "level": 0},
        {"sink": tmp_path / "app.json", "serialize": True, "level": "INFO"},
    ]
    with start_receiver(handlers=handlers, address="tcp://127.0.0.1:0") as receiver:
        log_through(receiver)
    records = [
        json.loads(line)["record"] for line in (tmp_path / "app.json").read_text().split("\n")[:-1]
    ]
    assert [record["message"] for record in records] == ["two", "three"]
    assert records[1]["extra"] == {"user": 7}


COMMAND_LINE = """
import sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
with install_bridge():
    logger.info("one")
    logger.error("two")
"""


def test_the_command_line_repeats_its_sinks(tmp_path):
    """Words behind ``--sink`` are for that sink, and standard output may be among them."""
    code = f"import sys; sys.argv = sys.argv[:1]\n{COMMAND_LINE}"
    status, out, err = run_python(
        "import sys; from loguru_stdbridge.receiver.cli import main; sys.exit(main())",
        str(tmp_path / "app.log"), "--format", "{message}",
        "--sink", str(tmp_path / "errors.log"), "--level", "ERROR", "--format", "E {message}",
        "--sink", "-", "--format", "> {message}", "--", os.sys.executable, "-c", code,
    )  # fmt: skip
    assert status == 0, err
    assert (tmp_path / "app.log").read_text() == "one\ntwo\n"
    assert (tmp_path / "errors.log").read_text() == "E two\n"
    assert out == "> one\n> two\n"


def test_handlers_that_cannot_be_used_are_refused(tmp_path):
    """The error names the handler and the way out, and no lock is left."""
    path = tmp_path / "app.log"
    (tmp_path / "link.log").symlink_to(path)
    for handlers, told in (
        ([], "a list of mappings"),
        ("app.log", "a list of mappings"),
        ([{"rotation": "1 MB"}], "names no sink"),
        ([{"sink": 5}], "must be the path of a file, not 5"),
        ([{"sink": path}, {"sink": tmp_path / "link.log"}], "are one file"),
        ([{"sink": tmp_path / f"{number}.log"} for number in range(21)], "at most 20 sinks"),
        ([{"sink": path}, {"sink": tmp_path / "b.log", "format": 5}], "loguru refuses"),
    ):
        with pytest.raises(ConfigurationError, match=told):
            start_receiver(handlers=handlers, address="tcp://127.0.0.1:0")
    for options in ({"rotation": "1 MB"}, {"sink": path}):
        with pytest.raises(ConfigurationError, match="say it in the handler"):
            start_receiver(handlers=[{"sink": path}], address="tcp://127.0.0.1:0", **options)
    start_receiver(path, address="tcp://127.0.0.1:0").stop()


def test_a_further_sink_of_another_log_is_told(tmp_path, monkeypatch):
    """Another log's receiver writes the second file: the error says so, and the first one is free."""
    monkeypatch.setattr("loguru_stdbridge.receiver.outlets._LEAVING", 0.1)
    handlers = [{"sink": tmp_path / "app.log"}, {"sink": tmp_path / "other.log"}]
    with ReceiverProcess(tmp_path / "other.log") as other:
        with pytest.raises(FurtherSinkHeldError, match=f"process {other.process.pid} already"):
            start_receiver(handlers=handlers, address="tcp://127.0.0.1:0")
    with start_receiver(handlers=handlers, address="tcp://127.0.0.1:0"):
        for name in ("app.log", "other.log"):
            with pytest.raises(LedgerHeldError):
                start_receiver(tmp_path / name, address="tcp://127.0.0.1:0")


@pytest.mark.parametrize(("kind", "kills"), [("json", 4), ("text", 2)])
def test_a_kill_between_two_sinks_loses_and_doubles_nothing(tmp_path, kind, kills):
    """Killed at each point between the writes of two sinks, the receiver goes on in each file."""
    figures = several_sinks.two_sinks(tmp_path / "scene", SEED, kind, kills, several_sinks.SHORT)
    assert figures.clean and not figures.complaints, f"seed {SEED}: {figures}"
    assert sum(figures.kills.values()) == kills


HOME = """
import sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
handlers = [
    {"sink": sys.argv[1], "format": "{message}"},
    {"sink": sys.argv[2], "level": "ERROR", "serialize": True},
]
bridge = install_bridge(handlers=handlers, linger=0)
logger.info("one")
logger.error("two")
print(bridge.flush(60))
sys.stdin.read()
"""


def test_install_bridge_starts_one_receiver_of_several_files(tmp_path, eventually):
    """``install_bridge(handlers=...)`` has each record in each file that takes it."""
    first, second = tmp_path / "app.log", tmp_path / "errors.json"
    workers = [start_python(HOME, str(first), str(second), stdin=True) for _ in range(3)]
    for worker in workers:
        assert worker.stdout.readline() == b"True\n"
    for worker in workers:
        assert worker.communicate() == (b"", b"")
    assert sorted(first.read_text().split()) == ["one"] * 3 + ["two"] * 3
    documents = map(json.loads, second.read_text().splitlines())
    assert [document["record"]["message"] for document in documents] == ["two"] * 3
    eventually(lambda: is_free(first), 60, "the receiver ends")


def is_free(path):
    try:
        Ledger.open(path).close()
    except LedgerHeldError:
        return False
    return True
