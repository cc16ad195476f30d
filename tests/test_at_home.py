"""``install_bridge(sink=...)``: the receiver starts by itself, alone, and leaves by itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter

import pytest

from loguru_stdbridge import install_bridge
from loguru_stdbridge.exceptions import ConfigurationError
from tests.support.processes import run_python, start_python

SCRIPT = """
import sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
install_bridge(sink=sys.argv[1], format="{message}", linger=1)
logger.info("a line")
"""
CROWD = """
import sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
bridge = install_bridge(sink=sys.argv[1], format="{message}", linger=1)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    logger.info("worker {} number {}", sys.argv[2], number)
print(bridge.flush(60))
"""


def receivers_of(sink):
    """The process ids of the receivers of a sink that run now."""
    found = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    pattern = rf"^ *(\d+) .*loguru_stdbridge\.receiver {re.escape(str(sink))} "
    return [int(pid) for pid in re.findall(pattern, found.stdout, re.MULTILINE)]


@pytest.fixture
def sink(tmp_path, eventually):
    """A log whose receiver, if there is one, has ended by itself after the test."""
    path = tmp_path / "logs" / "app.log"
    yield path
    eventually(lambda: not receivers_of(path), 60, "the receiver ends by itself")


def test_a_script_of_two_lines_has_its_line_in_the_file(sink, eventually):
    """Nothing was started before; the script ends at once, and its line comes."""
    status, out, err = run_python(SCRIPT, str(sink))
    assert (status, out, err) == (0, "", "")
    eventually(sink.exists, what="the file is there")
    eventually(lambda: sink.read_text() == "a line\n", what="the line is in the file")


@pytest.mark.parametrize("environment", [{}, {"LOGURU_LEVEL": "WARNING"}])
def test_what_the_level_sends_the_file_takes(sink, environment):
    """A level below the one from which loguru's files take records is the file's, too."""
    code = SCRIPT.replace("install_bridge(s", "b = install_bridge(level='trace', s")
    code += "logger.trace('a small line'); assert b.flush(60)"
    assert run_python(code, str(sink), **environment) == (0, "", "")
    assert sink.read_text() == "a line\na small line\n"


def test_who_reads_the_script_s_output_is_not_kept_waiting(sink, eventually):
    """The receiver holds no stream of the script's: its reader sees the end when the script ends."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(sink)], capture_output=True, check=True, timeout=60
    )
    assert done.stdout == done.stderr == b""
    eventually(lambda: receivers_of(sink) or sink.exists(), what="a receiver lives on")


def test_many_processes_at_once_have_one_receiver(sink, eventually):
    """Each of them asks in the same instant; every line is there once, and one receiver wrote."""
    workers = [start_python(CROWD, str(sink), str(name), "20", stdin=True) for name in range(12)]
    for worker in workers:
        worker.stdin.write(b"\n")
        worker.stdin.flush()
    for worker in workers:
        out, err = worker.communicate(timeout=120)
        assert (out, err) == (b"True\n", b"")
    assert len(receivers_of(sink)) <= 1
    found = Counter(sink.read_text().splitlines())
    assert found == Counter(
        f"worker {name} number {number}" for name in range(12) for number in range(20)
    )


def test_a_receiver_that_is_killed_is_started_again(sink, eventually):
    """The worker lives on; the next receiver takes over, and no line is lost or doubled."""
    worker = start_python(CROWD, str(sink), "w", "3", stdin=True)
    for count in range(3):
        with install_bridge(sink=sink, format="{message}", linger=1, loguru=False) as bridge:
            bridge._channel.emit(_row(f"before kill {count}"))
            assert bridge.flush(60)
            for pid in receivers_of(sink):
                os.kill(pid, 9)
            bridge._channel.emit(_row(f"after kill {count}"))
            assert bridge.flush(60)
    assert worker.communicate(b"\n", timeout=120)[0] == b"True\n"
    expected = [f"{when} kill {count}" for count in range(3) for when in ("before", "after")]
    lines = sink.read_text().splitlines()
    assert lines == expected + [f"worker w number {number}" for number in range(3)]


def _row(message):
    from tests.wire.test_protocol import a_row

    return a_row(message)


def test_a_receiver_that_runs_keeps_its_options_and_the_worker_says_so(sink, eventually):
    """The second program asks for another rotation: each difference is named once, on stderr."""
    code = SCRIPT.replace("linger=1", "linger=600, rotation=sys.argv[2]").replace(
        "install_bridge(sink", "b = install_bridge(sink"
    )
    code += "assert b.flush(60); logger.info('again'); assert b.flush(60)"
    assert run_python(code, str(sink), "1 MB") == (0, "", "")
    status, out, err = run_python(code, str(sink), "2 MB")
    assert (status, out) == (0, "")
    assert err.count("rotation='1 MB' there, '2 MB' here") == 1
    assert sink.read_text() == "a line\nagain\n" * 2
    for pid in receivers_of(sink):  # it would stay for ten minutes
        os.kill(pid, signal.SIGTERM)


def test_a_word_that_loguru_does_not_know_is_told_once_with_the_place(sink):
    """The receiver could not begin: stderr names the file that has the reason."""
    code = SCRIPT.replace("linger=1", "linger=1, rotation='nonsense'") + "sys.stdin.read()"
    worker = start_python(code, str(sink), stdin=True)
    err = worker.stderr.readline().decode()
    assert worker.communicate() == (b"", b"")
    assert "could not begin" in err
    messages = sink.parent / ".app.log.receiver"
    assert str(messages) in err
    assert "nonsense" in messages.read_text()


@pytest.mark.parametrize("prepare", ["sys.executable = ''", "sys.frozen = True"])
def test_a_program_that_is_no_python_has_its_line_in_the_file(sink, eventually, prepare):
    """Another Python of the same prefix runs the receiver, or else a thread of the program."""
    code = f"import sys\n{prepare}\n" + SCRIPT.replace("install_bridge(s", "b = install_bridge(s")
    status, out, err = run_python(code + "print(b.flush(30))", str(sink))
    assert (status, out) == (0, "True\n"), err
    assert ("in a thread of this process" in err) == ("frozen" in prepare)
    assert sink.read_text() == "a line\n"


def test_the_command_line_has_loguru_s_words(tmp_path):
    """Texts, numbers, durations and times of the day go to the receiver's process."""
    from datetime import time, timedelta

    from loguru_stdbridge.sink_words import read_sink_words

    words = read_sink_words(
        tmp_path / "app.log",
        {"rotation": time(12, 30), "retention": timedelta(days=2), "compression": "gz",
         "serialize": True, "level": 10, "encoding": None, "linger": 3},
    )  # fmt: skip
    assert words.linger == 3
    assert words.command_line() == [
        str(tmp_path / "app.log"), "--compression=gz", "--level=10", "--retention=172800.0 seconds",
        "--rotation=12:30:00", "--serialize",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"sink": "app.log", "address": "tcp://127.0.0.1:1"}, "not both"),
        ({"sink": "app.log", "rotation": print}, "cannot go to the receiver's process"),
        ({"sink": "app.log", "filter": print}, "run start_receiver"),
        ({"sink": "app.log", "linger": -1}, "linger=-1: seconds"),
        ({"sink": "-"}, "sink='-': name a file; a receiver in the background"),
        ({"sink": "/dev/stdout"}, "sink='/dev/stdout': name a file"),
        ({"rotation": "1 MB"}, "rotation: the receiver's to know"),
    ],
)
def test_what_cannot_be_done_is_explained(options, told):
    """The error names the word and the way out."""
    with pytest.raises(ConfigurationError, match=told):
        install_bridge(**options)
