"""``install_bridge(sink=...)``: the receiver starts by itself, alone, and leaves by itself."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import shlex
import signal
import subprocess
import sys

import pytest

from loguru_stdbridge import __version__, install_bridge
from loguru_stdbridge.exceptions import ConfigurationError
from tests.support.at_home import Home, copy_packages, receiver_pids, writer_of
from tests.support.processes import run_python, start_python
from tests.support.waiting import wait_until

SEED = random.SystemRandom().randrange(10**6)

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


@pytest.fixture
def sink(tmp_path, eventually):
    """A log whose receiver, if there is one, has ended by itself after the test."""
    path = tmp_path / "logs" / "app.log"
    yield path
    eventually(lambda: not receiver_pids(path), 60, "the receiver ends by itself")


PATIENT = "from loguru_stdbridge.worker import channel; channel.EXIT_TIMEOUT = 60"
"""For a machine on which a receiver takes longer to start than the end of a program waits for it."""


def end_receivers(sink):
    """Call for the end of each receiver of the log; return their process ids."""
    pids = receiver_pids(sink)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return pids


def test_a_script_of_two_lines_has_its_line_in_the_file(sink):
    """Nothing was started before, and the line is there when the script has ended."""
    assert run_python(SCRIPT + PATIENT, str(sink)) == (0, "", "")
    assert sink.read_text() == "a line\n"


def test_a_script_whose_receiver_cannot_start_ends_at_once(sink):
    """The end of a program does not wait for a receiver that could not begin."""
    code = SCRIPT.replace("linger=1", "rotation='nonsense'") + PATIENT
    status, out, err = run_python(code, str(sink), timeout=40)
    assert (status, out) == (0, "")
    assert "nonsense" in err


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
    eventually(lambda: receiver_pids(sink) or sink.exists(), what="a receiver lives on")


def test_many_processes_of_one_instant_have_one_receiver_and_another_after_a_kill(tmp_path):
    """Every line is there once, one receiver began and one more after the kill, and nothing is left."""
    home = Home(tmp_path / "home", SEED, processes=8, lines=40, kills=1, linger=1.0)
    try:
        home.play()
    finally:
        home.release()
    shown = home.finish()
    assert shown.wrong == [], f"seed {SEED}"
    assert shown.kills == 1 and len(shown.takeovers) == 1


def test_a_receiver_that_is_killed_is_started_again(sink, eventually):
    """The worker lives on; the next receiver takes over, and no line is lost or doubled."""
    worker = start_python(CROWD, str(sink), "w", "3", stdin=True)
    for count in range(3):
        with install_bridge(sink=sink, format="{message}", linger=1, loguru=False) as bridge:
            bridge._channel.emit(_row(f"before kill {count}"))
            assert bridge.flush(60)
            for pid in receiver_pids(sink):
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


CHILDREN = """
import os, threading
assert bridge.flush(60)
while True:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        break
    threading.Event().wait(0.01)
"""


def test_no_child_is_left_of_the_start(sink):
    """The process by which a receiver was started is waited for, while nothing else is logged."""
    code = SCRIPT.replace("install_bridge(sink", "bridge = install_bridge(sink") + CHILDREN
    assert run_python(code, str(sink)) == (0, "", "")


LEAVING = SCRIPT + "import os; os._exit(0)"


def test_an_idle_worker_has_a_killed_receiver_started_again(sink, eventually):
    """What dead processes have left is delivered, though nobody logs any more; and again."""
    with install_bridge(sink=sink, format="{message}", linger=600, loguru=False) as bridge:
        bridge._channel.emit(_row("first"))
        assert bridge.flush(60)
        for count in (1, 2):
            eventually(lambda: writer_of(sink), 60, "a receiver is there")
            pid = writer_of(sink)
            os.kill(pid, signal.SIGSTOP)  # or it would deliver the orphan at once
            assert run_python(LEAVING, str(sink))[0] == 0
            os.kill(pid, signal.SIGKILL)
            text = "first\n" + "a line\n" * count
            eventually(lambda: sink.read_text() == text, 60, "the orphan is delivered")
    for pid in receiver_pids(sink):  # it would stay for ten minutes
        os.kill(pid, signal.SIGTERM)


@pytest.mark.parametrize(
    "step",
    [
        'out=$(python_here); echo "$out"', "python_here | cat", "exec 9>&1 8>&2; python_here",
        "python_here & wait; python_here",
    ],
)  # fmt: skip
def test_a_shell_step_ends_with_its_script(sink, step, eventually):
    """Whoever reads the output of a shell, over ``ssh`` or in a CI job, sees its end at once.

    The receiver is there for ten minutes and holds no descriptor of the shell's.
    """
    script = f'python_here() {{ {shlex.quote(sys.executable)} -c "$CODE" "$SINK"; }}\n{step}'
    code = SCRIPT.replace("linger=1", "linger=600") + "print('done')"
    done = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, "CODE": code, "SINK": str(sink)},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert set(done.stdout.split()) == {b"done"}
    assert end_receivers(sink)
    eventually(lambda: not end_receivers(sink), 60, "also one that was only beginning has ended")


def test_a_terminal_that_closes_leaves_the_receiver_alone(sink, eventually):
    """As in ``ssh -t``: the terminal sees its end with the script, and its hang-up ends nobody."""
    code = SCRIPT.replace("linger=1", "linger=600") + "print('done')"
    pid, master = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", code, str(sink)])
    shown = b""
    with contextlib.suppress(OSError):  # EIO: nobody holds the other end any more
        while True:
            shown += os.read(master, 1000)
    os.close(master)
    assert os.waitpid(pid, 0)[1] == 0
    assert shown == b"done\r\n"
    eventually(lambda: sink.exists() and sink.read_text() == "a line\n", 60, "the line is there")
    assert receiver_pids(sink)
    for receiver in receiver_pids(sink):
        os.kill(receiver, signal.SIGTERM)


LAST = """
import os, sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
bridge = install_bridge(sink=sys.argv[1], format="{message}", linger=1)
logger.info("first")
assert bridge.flush(60)
print("logged", flush=True)
sys.stdin.readline()
logger.info("last")
"""


def test_the_last_process_of_a_log_leaves_no_record_to_nobody(sink, eventually):
    """A process that ends just when its receiver is gone starts another one, which delivers."""
    worker = start_python(LAST, str(sink), stdin=True)
    assert worker.stdout.readline() == b"logged\n"
    first = writer_of(sink)
    os.kill(first, signal.SIGKILL)
    assert worker.communicate(b"\n", timeout=60) == (b"", b"")
    eventually(lambda: sink.read_text() == "first\nlast\n", 60, "the record is delivered")


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
    for pid in receiver_pids(sink):  # it would stay for ten minutes
        os.kill(pid, signal.SIGTERM)


def test_a_receiver_of_an_older_version_serves_until_its_last_worker_has_gone(sink, tmp_path):
    """A newer worker says so once; its end is the old receiver's, and the next one is new."""
    copy_packages(tmp_path / "older", "0.0.1")
    code = SCRIPT.replace("linger=1", "linger=600").replace(
        "install_bridge(s", "b = install_bridge(s"
    )
    code = f"import sys; sys.path.remove('')\n{code}"  # where the tests run is this very version
    code += "assert b.flush(60); logger.info('again'); assert b.flush(60)"
    older = {"PYTHONPATH": str(tmp_path / "older")}
    assert run_python(code, str(sink), **older) == (0, "", "")
    first = writer_of(sink)
    status, out, err = run_python(code, str(sink))
    assert (status, out) == (0, "")
    assert err.count(f"is of loguru_stdbridge 0.0.1, this program is of {__version__}") == 1
    wait_until(lambda: not receiver_pids(sink), 60, "the older receiver ends")
    assert run_python(code, str(sink)) == (0, "", "")
    second = writer_of(sink)
    assert second != first
    assert run_python(code, str(sink), **older) == (
        0,
        "",
        "",
    )  # what is newer suits an older worker
    assert sink.read_text() == "a line\nagain\n" * 4
    os.kill(second, signal.SIGTERM)


def test_what_lies_in_the_working_directory_is_not_run(sink, tmp_path, monkeypatch):
    """The receiver imports no module of the directory in which a program happens to run."""
    for name in ("loguru", "loguru_stdbridge", "argparse", "selectors"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    (tmp_path / "program.py").write_text(
        SCRIPT.replace("install_bridge(s", "b = install_bridge(s") + "assert b.flush(60)"
    )
    (tmp_path / "elsewhere").mkdir()
    program = tmp_path / "elsewhere" / "program.py"
    (tmp_path / "program.py").rename(program)
    command = [sys.executable, program, sink]
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sink.read_text() == "a line\n"
    assert not (tmp_path / "run").exists()


def test_a_word_that_loguru_does_not_know_is_told_once(sink):
    """The receiver could not begin: stderr has the reason, and so has the file of its messages."""
    code = SCRIPT.replace("linger=1", "linger=1, rotation='nonsense'") + "sys.stdin.read()"
    worker = start_python(code, str(sink), stdin=True)
    err = worker.stderr.readline().decode()
    assert worker.communicate() == (b"", b"")
    assert "could not begin" in err
    assert "nonsense" in err
    assert "nonsense" in (sink.parent / ".app.log.receiver").read_text()


@pytest.mark.parametrize("prepare", ["sys.executable = ''", "sys.frozen = True"])
def test_a_program_that_is_no_python_has_its_line_in_the_file(sink, eventually, prepare):
    """Another Python of the same prefix runs the receiver, or else a thread of the program."""
    code = f"import sys\n{prepare}\n" + SCRIPT.replace("install_bridge(s", "b = install_bridge(s")
    status, out, err = run_python(code + "print(b.flush(30))", str(sink))
    assert (status, out) == (0, "True\n"), err
    assert ("in a thread of this process" in err) == ("frozen" in prepare)
    assert sink.read_text() == "a line\n"


def test_a_program_that_can_run_no_receiver_at_all_says_so_and_goes_on(sink):
    """No Python is there, and the receiver cannot be imported: the log call returns all the same."""
    code = f"""
import sys
sys.frozen = True
sys.modules["hashlib"] = None
{SCRIPT.replace("install_bridge(s", "b = install_bridge(s")}
print(b.flush(1), b.stats().pending)
"""
    status, out, err = run_python(code, str(sink))
    assert (status, out) == (0, "False 1\n"), err
    assert "this process cannot run it either (ModuleNotFoundError" in err.splitlines()[0]


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
        ({"sink": "/tmp"}, "sink='/tmp' is a directory: name a file in it, as in '/tmp/app.log'"),
        ({"rotation": "1 MB"}, "rotation: the receiver's to know"),
    ],
)
def test_what_cannot_be_done_is_explained(options, told):
    """The error names the word and the way out."""
    with pytest.raises(ConfigurationError, match=told):
        install_bridge(**options)
