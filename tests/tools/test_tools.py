"""The terminal's programs look at real receivers and journals, and say what they find."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import threading

import pytest
from loguru import logger

from loguru_stdbridge.__main__ import main
from loguru_stdbridge.receiver import writer as writer_module
from loguru_stdbridge.sink import rotating
from loguru_stdbridge.tools import finding
from tests.receiver.test_server import Running, encode_frame, payload
from tests.support.processes import ReceiverProcess, log_lines, run_python, start_python

pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork"), reason="logs have no sockets on this system"
)

LEAVER = """
import os, sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
install_bridge(sys.argv[1], level=0)
for number in range(int(sys.argv[2])):
    logger.info("worker left number {} end", number)
os._exit(0)
"""


@pytest.fixture
def running(tmp_path):
    receiver = Running(tmp_path / "app.log")
    yield receiver
    receiver.stop()


@pytest.fixture
def run(capsys):
    """Return ``run(words)``: the exit code, stdout and stderr of a command."""

    def run(*words):
        try:
            code = main(list(map(str, words)))
        except SystemExit as leaving:
            code = leaving.code
        return (code, *capsys.readouterr())

    return run


def log(running, *messages, **fields):
    with running.connect() as client:
        for message in messages:
            client.sendall(encode_frame(payload(message, **fields)))


def test_status_tells_whether_a_receiver_writes(running, run, eventually, monkeypatch, runtime_dir):
    """``status`` exits with 0 while it writes, 1 while it cannot, 3 where nobody is."""
    with running.connect() as client:
        client.sendall(encode_frame(payload("a")) * 3)
        eventually(lambda: len(running.lines()) == 3, 20, "they are written")
        code, out, _ = run("status", running.path)
        assert code == 0
        assert re.match(rf"{running.path}  writing  receiver {os.getpid()}, up \d+ s\n", out)
        assert "written 3 " in out
        assert "PROGRAM" in out
        with monkeypatch.context() as alone:  # other tests may run receivers of this user
            own = os.path.join(runtime_dir, "loguru_stdbridge")
            alone.setattr(finding, "_directories", lambda beside="": [own])
            assert run("status")[0] == 0  # the only one that runs
        state = json.loads(run("status", running.path, "--json")[1])
        assert (state["written"], len(state["workers"])) == (3, 1)
    monkeypatch.setattr(writer_module, "RETRY_MAX", 0.05)
    with monkeypatch.context() as broken:
        broken.setattr(rotating.os, "write", lambda fd, data: os.open("/none", os.O_RDONLY))
        log(running, "late")
        eventually(lambda: running.service._receiver._writer.failing, 20, "it fails")
        code, out, _ = run("status", running.path, "--brief")
        assert (code, out.count("\n")) == (1, 1)
        assert "cannot write" in out
    eventually(lambda: len(running.lines()) == 4, 20, "it is written at last")
    code, out, err = run("status", running.path.with_name("other.log"))
    assert (code, out) == (3, "")
    assert "no receiver" in err


def test_tail_prints_what_was_and_filters_it(running, run, eventually):
    """``tail`` prints the last records of its filter, as text without codes, or as JSON."""
    assert run("tail", running.path, "--no-follow")[:2] == (0, "")  # it is watched from now on
    log(running, *[f"number {n}" for n in range(30)])
    log(
        running,
        "\x1b[2J<b>\u202e",
        levelno=40,
        levelname="ERROR",
        name="shop.pay",
        exc_text="Traceback (most recent call last):\n  File x\nOdd: 1",
    )
    eventually(lambda: len(running.lines()) >= 31, 20, "they are written")
    code, out, _ = run("tail", running.path, "--no-follow", "-n", 3, "number")
    assert code == 0
    assert [line.rpartition(" ")[2] for line in out.splitlines()] == ["27", "28", "29"]
    _, out, _ = run("tail", running.path, "--no-follow", "level:error", "logger:shop", "-number")
    lines = out.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} ERROR 0 shop\.pay <b>‹U\+202E›", lines[0])  # noqa: RUF001
    assert lines[1:] == ["    Traceback (most recent call last):", "      File x", "    Odd: 1"]
    _, out, _ = run("tail", running.path, "--no-follow", "--json", "-n", 1)
    assert json.loads(out)["exception"]["type"] == "Odd"
    assert run("tail", running.path.with_name("other.log"))[0] == 3
    assert run("tail", "--nothing")[0] == 2


def test_tail_reads_the_file_of_a_receiver_that_nobody_has_watched(running, run, eventually):
    """``tail`` prints the last lines of the file where the receiver has kept no records."""
    log(running, *[f"number {n} \x07" for n in range(30)])
    eventually(lambda: len(running.lines()) == 30, 20, "they are written")
    _, out, _ = run("tail", running.path, "--no-follow", "-n", 2, "number", "2")
    assert out == "number 28 ␇\nnumber 29 ␇\n"


def test_tail_follows_and_goes_on_after_a_restart(tmp_path, run):
    """``tail`` prints records as they come, each once, over a restart of the receiver."""
    sink = tmp_path / "app.log"
    with ReceiverProcess(sink) as receiver:
        tail = start_python(
            "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); from loguru_stdbridge.__main__ import main; sys.exit(main(sys.argv[1:]))",
            "tail",
            str(sink),
            "-n",
            "0",
            "worker",
        )

        def probe(text):
            threading.Event().wait(0.1)
            assert run("send", sink, text)[0] == 0

        lines = []
        reader = io.TextIOWrapper(tail.stdout, "utf-8")
        number = 0
        while not lines:  # it may not be connected yet
            probe(f"worker {number}")
            number += 1
            os.set_blocking(tail.stdout.fileno(), False)
            lines += reader.readlines()
        os.set_blocking(tail.stdout.fileno(), True)
        receiver.kill()
        receiver.start()
        receiver.wait_ready()
        os.set_blocking(tail.stdout.fileno(), False)
        while not any("restarted" in line for line in lines):
            probe(f"worker {number}")
            number += 1
            lines += reader.readlines()
        os.set_blocking(tail.stdout.fileno(), True)
        probe("worker last")
        while "worker last" not in lines[-1]:
            lines.append(reader.readline())
        texts = [line.rpartition("worker ")[2].strip() for line in lines if "worker " in line]
        assert texts == sorted(set(texts), key=texts.index)
        tail.send_signal(signal.SIGINT)
        reader.close()
        tail.stderr.close()
        assert tail.wait(30) in (0, -signal.SIGINT)


def test_send_goes_the_whole_way(running, run, eventually):
    """``send`` writes one record and tells its time; it says where nobody is there."""
    for where in (running.path, running.address, running.service.log_address):
        code, out, err = run("send", where, "hello there", "--level", "error")
        assert code == 0, err
        assert re.match(rf"in {running.path} after [\d.]+ ms: connected [\d.]+, greeted", out)
    assert running.lines() == ["hello there"] * 3
    assert run("send", "tcp://127.0.0.1:1", "x")[0] == 3
    assert run("send", running.path, "two", "words")[0] == 2
    assert run("send", running.path, "x", "--level", "odd")[0] == 2


def test_the_spool_is_listed_exported_delivered_and_discarded(tmp_path, spool_dir, run, eventually):
    """``spool`` shows what waits for whom; it exports, delivers elsewhere, or discards it."""
    for log_name, count in (("one.log", 5), ("two.log", 7), ("three.log", 3)):
        assert run_python(LEAVER, f"log://{tmp_path / log_name}", str(count))[0] == 0
    code, out, _ = run("spool", "list")
    assert code == 0
    assert len(out.splitlines()) == 4
    rows = [json.loads(line) for line in run("spool", "list", "--json")[1].splitlines()]
    by_log = {os.path.basename(row["wanted"]): row for row in rows}
    assert {name: row["records"] for name, row in by_log.items()} == {
        "one.log": 5,
        "two.log": 7,
        "three.log": 3,
    }
    one, two, three = (by_log[f"{name}.log"]["id"] for name in ("one", "two", "three"))
    assert all(
        len(each) == 8 and len(row["path"]) < len(str(spool_dir)) + 10
        for each, row in zip((one, two, three), rows)
    )

    exported = tmp_path / "exported"
    assert run("spool", "export", one, "--output", exported)[0] == 0
    messages = [json.loads(line)["message"] for line in exported.read_text().splitlines()]
    assert messages == [f"worker left number {n} end" for n in range(5)]
    assert run("spool", "export", one, "--output", exported)[0] == 1  # it is there already

    with contextlib.closing(
        Running(tmp_path / "other.log", spool_dir=tmp_path / "elsewhere")
    ) as other:
        other.close = other.stop
        code, _, err = run("spool", "deliver", one, "--to", other.address)
        assert (code, other.lines()) == (0, messages), err
    code, _, err = run("spool", "discard", two)
    assert (code, err) == (0, f"{two}: 7 records discarded\n")
    assert run("spool", "discard", three, "--forget")[0] == 0
    left = [json.loads(line) for line in run("spool", "list", "--json")[1].splitlines()]
    assert [(row["id"], row["bytes"]) for row in left] == [(two, 0)]
    with ReceiverProcess(tmp_path / "two.log") as receiver:
        eventually(lambda: "7 records" in "".join(log_lines(receiver.sink)), 30, "the gap is told")
    assert run("spool", "deliver", two)[0] == 2
    assert run("spool", "discard", "none")[0] == 1


def test_an_open_journal_is_left_alone(running, run, spool_dir, eventually):
    """``spool`` does nothing to a journal whose process lives."""
    from loguru_stdbridge import install_bridge, uninstall_bridge

    install_bridge(running.address, stdlib=False)
    try:
        logger.info("alive")
        (name,) = (n for n in os.listdir(spool_dir) if len(n) == 32)
        code, _, err = run("spool", "discard", name[:8])
        assert code == 1
        assert "has it open" in err
    finally:
        uninstall_bridge()
