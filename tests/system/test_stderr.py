"""What the package says on stderr: one line, which no terminal obeys and for which nobody waits."""

from __future__ import annotations

import fcntl
import io
import re
import threading

import pytest

from loguru_stdbridge.system import stderr as module
from loguru_stdbridge.system.stderr import (
    MAX_LINE,
    MAX_WAITING,
    StderrThread,
    printable,
    tell_operator,
)
from tests.support.pipes import FullPipe
from tests.support.processes import run_python


@pytest.fixture(params=["at once", "by a thread"])
def tell(request, capfd):
    """Tell the operator something in one of the two ways; what was written is there afterwards."""
    if request.param == "at once":
        return lambda text: tell_operator("me", text)
    thread = StderrThread("me")

    def tell(text):
        thread.tell(text)
        assert thread.flush(30)

    return tell


@pytest.fixture
def full_pipe(monkeypatch):
    pipe = FullPipe()
    monkeypatch.setattr("sys.__stderr__", pipe.stream)
    yield pipe
    pipe.close()


def test_a_message_is_one_line_of_printable_ascii(tell, capfd):
    """Escape sequences, new lines, and what a terminal's encoding may lack are escaped."""
    tell("\x1b[2J\n\r\x7f\x9b é 漢 \ud83d \\ 'quoted'")
    assert capfd.readouterr().err == (
        "me: \\x1b[2J\\x0a\\x0d\\x7f\\x9b \\xe9 \\u6f22 \\ud83d \\ 'quoted'\n"
    )


def test_a_pipe_without_a_reader_ends_no_program():
    """A program that SIGPIPE ends, and whose stderr nobody reads any more, outlives a message."""
    assert run_python(WITHOUT_A_READER) == (0, "here\n", "")


WITHOUT_A_READER = """
import os, signal
from loguru_stdbridge.system.stderr import tell_operator

signal.signal(signal.SIGPIPE, signal.SIG_DFL)
reader, writer = os.pipe()
os.dup2(writer, 2)
os.close(reader)
tell_operator("me", "nobody reads this")
print("here")
"""


def test_a_long_message_is_cut(tell, capfd):
    """A line goes into a pipe in one piece, and never between two halves of another's."""
    tell("漢" * 10_000)
    written = capfd.readouterr().err
    assert len(written) == MAX_LINE
    assert written.endswith("...\n")


class Broken:
    def fileno(self):
        raise io.UnsupportedOperation

    def write(self, text):
        raise OSError("closed")


@pytest.mark.parametrize("stream", [None, Broken()])
def test_a_stderr_that_fails_is_no_error(monkeypatch, tell, stream):
    """A message that cannot be written is lost, and its caller goes on."""
    monkeypatch.setattr("sys.__stderr__", stream)
    tell("lost")


def test_a_stderr_that_is_no_file_is_written(monkeypatch, tell):
    """A host of Python may put an object of its own in the place of stderr."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.__stderr__", stream)
    tell("hello")
    assert stream.getvalue() == "me: hello\n"


def test_a_message_does_not_go_to_the_stream_of_an_application(monkeypatch, tell, capfd):
    """An application's own sys.stderr may log, and so would the message: for ever."""
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    tell("hello")
    assert stream.getvalue() == ""
    assert capfd.readouterr().err == "me: hello\n"


# -- a stderr that takes nothing


def test_a_message_that_cannot_be_written_now_is_counted(full_pipe):
    """A worker leaves the message out, and the next one that it can write says so."""
    for number in range(5):
        tell_operator("me", f"lost {number}")
    assert full_pipe.read() == ""
    tell_operator("me", "first")
    tell_operator("me", "second")
    assert full_pipe.read() == (
        "me: first (5 messages before this one could not be written)\nme: second\n"
    )


def test_a_receiver_never_waits_for_its_stderr(full_pipe):
    """Messages wait up to a bound; those beyond it are counted, and all is told later."""
    thread = StderrThread("me")
    for number in range(1000):
        thread.tell(f"message {number}")
    assert not thread.flush(0.0)
    told = full_pipe.read()
    while not thread.flush(0.01):
        told += full_pipe.read()
    told += full_pipe.read()
    *lines, last = told.splitlines()
    numbers = [int(line.removeprefix("me: message ")) for line in lines]
    assert numbers[:MAX_WAITING] == list(range(MAX_WAITING))
    assert numbers == sorted(set(numbers))
    assert MAX_WAITING <= len(lines) <= MAX_WAITING + 1
    left_out = re.fullmatch(r"me: (\d+) messages were left out while stderr took none", last)
    assert len(lines) + int(left_out[1]) == 1000
    thread.tell("goes on")
    assert thread.flush(30)
    assert full_pipe.read() == "me: goes on\n"


def test_a_thread_that_has_nothing_to_write_ends(capfd, monkeypatch, eventually):
    """The thread ends by itself, and another one starts for a later message."""
    monkeypatch.setattr(module, "IDLE_TIMEOUT", 0.01)
    before = threading.active_count()
    thread = StderrThread("me")
    for number in range(3):
        thread.tell(str(number))
        eventually(lambda: threading.active_count() == before, 30, "it ends")
    assert capfd.readouterr().err == "me: 0\nme: 1\nme: 2\n"


def test_without_a_thread_the_message_is_written_at_once(capfd, monkeypatch):
    """Where no thread can be started, the message is written in its caller's."""

    def fail(thread):
        raise RuntimeError("can't start new thread")

    thread = StderrThread("me")
    monkeypatch.setattr(threading.Thread, "start", fail)
    thread.tell("hello")
    assert capfd.readouterr().err == "me: hello\n"
    assert thread.flush(0.0)


STUCK_FORK = """
import os, sys, warnings
warnings.filterwarnings("ignore", message="This process .* is multi-threaded")  # stderr is stuck
from loguru_stdbridge.system.stderr import StderrThread
thread = StderrThread("me")
reader, writer = os.pipe()
own, child_err = os.dup(2), os.dup(2)
os.dup2(writer, 2)
for number in range(50):
    thread.tell("x" * 4000)
if os.fork() == 0:
    os.dup2(child_err, 2)
    thread.tell("child")
    assert thread.flush(30)
    os._exit(0)
assert os.wait()[1] == 0
os.dup2(own, 2)
print(len(os.read(reader, 1 << 20)) > 0)
"""


def test_a_forked_child_speaks_for_itself(tmp_path):
    """A child has a thread of its own, and says nothing that waits in its parent; the parent ends
    although a write of its thread waits."""
    status, out, err = run_python(STUCK_FORK)
    assert (status, out.strip()) == (0, "True"), err
    assert err.count("me: child\n") == 1
    assert "xxx" not in err.splitlines()[0]


def test_the_pipe_of_another_process_stays_as_it_is(tell, monkeypatch):
    """The description of stderr is shared with other processes: its flags are theirs, too."""
    pipe = FullPipe()
    pipe.read()
    monkeypatch.setattr("sys.__stderr__", pipe.stream)
    before = fcntl.fcntl(pipe.writer, fcntl.F_GETFL)
    tell("hello")
    assert fcntl.fcntl(pipe.writer, fcntl.F_GETFL) == before
    pipe.close()


def test_printable_text_stays_as_it_is():
    """Printable ASCII needs no escape."""
    text = "".join(map(chr, range(32, 127)))
    assert printable(text) == text
