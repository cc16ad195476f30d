"""Lines rendered in the worker and lines rendered by the receiver are the same bytes."""

from __future__ import annotations

import datetime
import json
import logging
import os
import pickle
import sys
import threading

import pytest
from loguru import logger

from loguru_stdbridge import ConfigurationError, install_bridge, start_receiver
from loguru_stdbridge.record.bounded_json import decode_json
from loguru_stdbridge.record.row import FLAG_RENDERED, encode_rendered_row, rendered_row_head
from loguru_stdbridge.sink.replay import default_format
from loguru_stdbridge.wire.sending import SenderConnection
from tests.support.parameters import name_of
from tests.support.processes import log_files

FORMATS = [
    None,
    "{message}",
    "<red>{time:YYYY-MM-DD HH:mm:ss.SSSSSS ZZ zz}</red> [{level.no:>3}|{level.icon}|{level}] {message}",
    "{file} {file.path} {line:0>5} {module} {name!r:>30} {function} {message!s:>40}",
    "{process} {process.name} {thread} {thread.name} {message} {{literal}}",
    "{message} {exception}",
]  # fmt: skip


pytestmark = pytest.mark.usefixtures("quiet_loguru")


def fixed_time(record):
    """Give each record the same time and thread in both runs."""
    record["time"] = type(record["time"]).fromtimestamp(
        1.7e9, datetime.timezone(datetime.timedelta(hours=5, minutes=30), "IST")
    )
    record["elapsed"] = datetime.timedelta(seconds=1)
    if record["message"] == "elsewhere":  # its thread has another identifier in each run
        record["thread"].id = 7


def fail(value):
    return 1 / value


class Odd:
    def __format__(self, spec):
        raise ValueError("no format")

    __repr__ = __str__ = lambda self: "odd"


def log_everything(log):
    """Make every kind of call whose line could come out in two ways."""
    for level in ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL"):
        log.log(level, "at {}", level)
    log.log(35, "a number")
    for text in (
        "{braces} %s <red>x</red>",
        "a\nb\r\nc",
        "\0\x1b[31m",
        "\ud83d é 😀",
        "x" * 200_000,
        "",
    ):
        log.info(text) if "{" not in text else log.info("{}", text)
    log.opt(raw=True).info("raw\n")
    log.opt(colors=True).info("<blue>{}</blue> \\<kept>", "text")
    log.opt(lazy=True).info("lazy {}", lambda: 5)
    log.opt(record=True).info("record {record[level].no}")
    log.bind(user="u").info("bound")
    for exception in (True, ValueError("given"), None):
        try:
            fail(0)
        except ZeroDivisionError:
            log.opt(exception=exception).error("failed")
    for key, value in (
        ("message", Odd()), ("name", None), ("function", 5),
        ("module", Odd()), ("message", 1.5), ("new", 1),
    ):  # fmt: skip
        log.patch(lambda record, key=key, value=value: record.update({key: value})).info("patched")
    log.patch(lambda record: record.pop("module")).info("a key is missing")
    for key, value in (("name", 5), ("name", Odd()), ("no", True)):
        log.patch(
            lambda record, key=key, value=value: setattr(record["level"], key, value)
        ).warning("a level that is bent")
    thread = threading.Thread(target=log.info, args=("elsewhere",), name="a {thread} <name>")
    thread.start()
    thread.join()
    logging.getLogger("std").warning("stdlib %s", "between")


def run(directory, render, *, calls=log_everything, patch=fixed_time, **options):
    """Run the calls; return the files, and how many rows came as finished lines."""
    directory.mkdir()
    sink = directory / "app.log"
    rendered = 0
    with start_receiver(sink, address="tcp://127.0.0.1:0", render=render, **options) as receiver:
        with install_bridge(receiver.address, spool_dir=directory / "spool") as bridge:
            logging.getLogger("std").warning("the first record is whole")
            assert bridge.flush(30)
            emit = bridge._channel.emit

            def counting(row):
                nonlocal rendered
                fields = decode_json(row)
                rendered += fields[0] == FLAG_RENDERED
                emit(row)

            bridge._channel.emit = counting
            calls(logger.patch(patch))
            assert bridge.flush(60)
            del bridge._channel.emit
            assert bridge.stats().dropped == {}
    return [path.read_bytes() for path in log_files(sink)], rendered


def comparable(contents):
    """Leave out the stdlib's records (each has its own time) and the test's variables."""
    lines = b"".join(contents).decode("utf-8").split("\n")
    return [line for line in lines if not any(part in line for part in ("std", "whole", "│", "└"))]


@pytest.mark.parametrize("template", FORMATS)
@pytest.mark.parametrize("level", ["DEBUG", 25])
def test_both_ways_write_the_same_bytes(tmp_path, template, level):
    """Every kind of call gives the same bytes from both sides, in every format, at two levels."""
    options = {"level": level} if template is None else {"level": level, "format": template}
    (there, rendered), (here, none) = (
        run(tmp_path / place, place, **options) for place in ("worker", "receiver")
    )
    assert none == 0
    assert rendered >= (5 if level == 25 else 15)
    assert comparable(there) == comparable(here)


@pytest.mark.parametrize("template", FORMATS)
def test_a_line_is_the_one_that_a_local_sink_writes(tmp_path, template):
    """A line is a local sink's, whatever a patcher puts into the record; markup is stripped."""
    options = {} if template is None else {"format": template}
    local = tmp_path / "local.log"

    def calls(log):
        handler = logger.add(local, **{"format": default_format(), **options})
        log.info("learned from")
        for key, value in (("line", "x"), ("line", 2.5), ("module", 7), ("message", 1.5)):
            log.patch(lambda record, key=key, value=value: record.update({key: value})).info("odd")
        log.bind(user=1).log(25, "braces {} and <red>tags</red>", "{}")
        logger.remove(handler)

    written, rendered = run(tmp_path / "w", "worker", calls=calls, **options)
    assert rendered >= 5
    assert b"".join(written).splitlines(True)[1:] == local.read_bytes().splitlines(True)


def test_rotation_by_size_falls_at_the_same_line(tmp_path):
    """Rotation by size cuts hundreds of files where loguru itself would cut them."""

    def calls(log):
        for number in range(3000):
            log.info("number {} {}", number, "é" * (number % 50))

    options = {"format": "{message}", "rotation": "1 KB"}
    there, rendered = run(tmp_path / "worker", "worker", calls=calls, **options)
    here, _ = run(tmp_path / "receiver", "receiver", calls=calls, **options)
    sink = tmp_path / "plain" / "app.log"
    handler = logger.add(sink, **options)
    logger.warning("the first record is whole")
    calls(logger)
    logger.remove(handler)
    assert rendered == 3000
    assert len(there) > 150
    assert there == here == [path.read_bytes() for path in log_files(sink)]


def test_a_rotation_function_of_the_user_s_gets_whole_records(tmp_path):
    """A user's rotation function gets whole records, none of them rendered away."""
    seen = []

    def rotation(message, file):
        seen.append(message.record["message"])
        return False

    def calls(log):
        log.info("one")
        log.info("two")

    _, rendered = run(tmp_path / "w", "worker", calls=calls, rotation=rotation, format="{message}")
    assert rendered == 0
    assert seen[-2:] == ["one", "two"]


@pytest.mark.parametrize(
    "options",
    [
        {"serialize": True}, {"filter": lambda record: True}, {"colorize": True},
        {"format": lambda record: "{message}\n"}, {"format": "{extra} {message}"},
        {"format": "{message:>10000}"},
    ],
    ids=name_of,
)  # fmt: skip
def test_any_other_sink_gets_whole_records(tmp_path, options):
    """A sink that needs whole records gets them, and renders them itself."""
    _, rendered = run(tmp_path / "w", "worker", calls=lambda log: log.info("one"), **options)
    assert rendered == 0


def test_a_sink_that_has_changed_meanwhile_takes_finished_lines_as_they_are(tmp_path, spool_dir):
    """Lines rendered for one format are written as they are by a receiver of another, or of JSON."""
    sink, address = tmp_path / "app.log", None
    with start_receiver(sink, address="tcp://127.0.0.1:0", format="old {message}") as receiver:
        address = receiver.address
        bridge = install_bridge(address)
        logger.info("whole")
        assert bridge.flush(30)
    logger.warning("first")
    with start_receiver(sink, address=address, format="new {message}"):
        assert bridge.flush(30)
        logger.warning("second")
        assert bridge.flush(30)
    logger.warning("third")
    with start_receiver(sink, address=address, serialize=True):
        assert bridge.flush(30)
        logger.warning("fourth")
        assert bridge.close(30)
    lines = sink.read_text().splitlines()
    assert lines[:3] == ["old whole", "old first", "new second"]
    third, fourth = map(json.loads, lines[3:])
    assert third["record"]["message"] == "new third\n"
    assert third["record"]["level"]["name"] == "WARNING"
    assert abs(third["record"]["time"]["timestamp"] - fourth["record"]["time"]["timestamp"]) < 60
    assert fourth["record"]["message"] == "fourth"


def test_a_stock_receiver_gets_finished_lines_as_messages():
    """A stock receiver that replaces a worker's own gets each finished line as a message."""
    row = encode_rendered_row(
        1_700_000_000_000_000_000, rendered_row_head(30, "WARNING", "ab"), "line\n"
    )
    fields = pickle.loads(SenderConnection("0" * 32).stock(row, 7)[4:])
    record = logging.makeLogRecord(fields)
    assert (record.getMessage(), record.levelname, record.levelno) == ("line", "WARNING", 30)
    assert record.created == 1.7e9


def test_a_bad_place_to_render_is_refused(tmp_path):
    """The error for a bad place to render shows the value and the choices."""
    with pytest.raises(ConfigurationError, match="'elsewhere'.*'worker', 'receiver'"):
        start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0", render="elsewhere")


def test_a_forked_child_renders_at_once(tmp_path):
    """A forked child goes on with the line format, which is the receiver's."""
    with start_receiver(
        tmp_path / "app.log", address="tcp://127.0.0.1:0", format="{message}"
    ) as receiver:
        with install_bridge(receiver.address) as bridge:
            logger.info("parent")
            assert bridge.flush(30)
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    logger.info("child")
                    status = 0 if bridge.flush(30) else 2
                finally:
                    os._exit(status)
            assert os.waitpid(pid, 0)[1] == 0
    assert (tmp_path / "app.log").read_text() == "parent\nchild\n"


def test_the_first_record_is_rendered_where_the_receiver_is_known(tmp_path, spool_dir):
    """A receiver tells its line format in the spool directory, and takes it away when it ends."""
    options = {"address": "tcp://127.0.0.1:0", "format": "{message}"}
    with start_receiver(tmp_path / "app.log", **options) as receiver:
        with install_bridge(receiver.address) as bridge:
            assert bridge._channel.far_sinks.renderer is not None
        with install_bridge(receiver.address, peer="stock") as bridge:
            assert bridge._channel.far_sinks.renderer is None
    with install_bridge(receiver.address) as bridge:
        assert bridge._channel.far_sinks.renderer is None
