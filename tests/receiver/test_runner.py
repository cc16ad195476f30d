"""The receiver as the parent of a command: signals, process groups, orphans, what it hands on."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from loguru_stdbridge.addresses import default_listen
from loguru_stdbridge.receiver import group_witness
from loguru_stdbridge.receiver.command import Command
from loguru_stdbridge.receiver.group_witness import GroupWitness
from tests.support.processes import ReceiverProcess

RECEIVER = [sys.executable, "-m", "loguru_stdbridge.receiver"]
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc shows it on Linux")

COUNTING = """
import os, pathlib, signal, sys
here, signals = pathlib.Path(sys.argv[1]), [int(number) for number in sys.argv[2:]]
signal.pthread_sigmask(signal.SIG_BLOCK, [*signals, signal.SIGUSR2])
(here / "pid").write_text(str(os.getpid()))
(here / "up").touch()
got = []
while True:
    got.append(signal.sigwait([*signals, signal.SIGUSR2]))
    if got[-1] == signal.SIGUSR2:
        break
    (here / f"got {len(got)}").touch()
(here / "got").write_text(" ".join(str(int(number)) for number in got[:-1]))
"""
"""A command that notes each signal, until SIGUSR2."""


@contextlib.contextmanager
def started(tmp_path, *command, **options):
    """The receiver with a command, in a process group of its own."""
    process = subprocess.Popen(
        [*RECEIVER, "app.log", "--", *map(str, command)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        preexec_fn=os.setpgrp,  # noqa: PLW1509
        **options,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for_start(process):
    """Wait until the receiver says that its command runs: earlier, it cannot know who got a signal."""
    while b", running " not in process.stderr.readline():
        assert process.poll() is None


def counting(tmp_path, *signals):
    return [sys.executable, "-c", COUNTING, tmp_path, *(int(number) for number in signals)]


TOLD = [signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


@pytest.mark.parametrize("number", TOLD, ids=str)
def test_a_signal_for_the_group_reaches_the_command_once(tmp_path, eventually, number):
    """Ctrl-C, and what a supervisor sends to the group, is not sent a second time by the receiver;
    the next one, for the receiver alone, is handed on."""
    with started(tmp_path, *counting(tmp_path, number, signal.SIGWINCH)) as process:
        eventually((tmp_path / "up").exists, 30, "the command runs")
        wait_for_start(process)
        process.send_signal(signal.SIGSTOP)  # so that two could not fall together into one
        os.killpg(process.pid, number)
        eventually((tmp_path / "got 1").exists, 30, "the command has it")
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGWINCH)  # the receiver comes to it after the one before
        eventually((tmp_path / "got 2").exists, 30, "the receiver has handled both")
        process.send_signal(number)
        eventually((tmp_path / "got 3").exists, 30, "the command has the one for the receiver")
        process.send_signal(signal.SIGUSR2)
        process.wait(30)
    expected = [number, signal.SIGWINCH, number]
    assert (tmp_path / "got").read_text().split() == [str(int(each)) for each in expected]


@pytest.mark.parametrize("number", TOLD, ids=str)
def test_a_signal_for_the_receiver_is_handed_on(tmp_path, eventually, number):
    """Each signal for the receiver alone reaches the command."""
    with started(tmp_path, *counting(tmp_path, number)) as process:
        eventually((tmp_path / "up").exists, 30, "the command runs")
        for count in range(1, 4):
            process.send_signal(number)
            eventually((tmp_path / f"got {count}").exists, 30, "the command has it")
        process.send_signal(signal.SIGUSR2)
        process.wait(30)
    assert (tmp_path / "got").read_text().split() == [str(int(number))] * 3


def test_without_a_witness_signals_are_handed_on(tmp_path, eventually):
    """The witness was killed, as by the system when memory is short: the command is told still."""
    with started(tmp_path, *counting(tmp_path, signal.SIGINT)) as process:
        eventually((tmp_path / "up").exists, 30, "the command runs")
        wait_for_start(process)
        command = int((tmp_path / "pid").read_text())
        (witness,) = children(process.pid) - {command}
        os.kill(witness, signal.SIGKILL)
        eventually(lambda: witness not in children(process.pid), 30, "it is gone")
        process.send_signal(signal.SIGINT)
        eventually((tmp_path / "got 1").exists, 30, "the command has it")
        process.send_signal(signal.SIGUSR2)
        assert process.wait(30) == 0


def children(pid):
    """The children of a process, zombies included."""
    found = set()
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid:
                found.add(int(entry.name))
    return found


def state(pid):
    """The state of a process: ``T`` is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


WAITING = """
import os, pathlib, sys, threading
pathlib.Path("pid").write_text(str(os.getpid()))
pathlib.Path("up").touch()
while not pathlib.Path("done").exists(): threading.Event().wait(0.01)
"""


@linux
@pytest.mark.parametrize("whom", ["the group", "the receiver"])
def test_ctrl_z_stops_both_and_both_go_on(tmp_path, eventually, whom):
    """A terminal stops the whole group, ``kill -TSTP`` one process: the other stops with it."""
    send = os.killpg if whom == "the group" else os.kill
    with started(tmp_path, sys.executable, "-c", WAITING) as process:
        eventually((tmp_path / "up").exists, 30, "the command runs")
        wait_for_start(process)
        command = int((tmp_path / "pid").read_text())
        for _ in range(2):
            send(process.pid, signal.SIGTSTP)
            for pid in (process.pid, command):
                eventually(lambda pid=pid: state(pid) == "T", 30, f"{pid} stops")
            send(process.pid, signal.SIGCONT)
            for pid in (process.pid, command):
                eventually(lambda pid=pid: state(pid) != "T", 30, f"{pid} goes on")
        (tmp_path / "done").touch()
        assert process.wait(30) == 0


ORPHANS = (
    """
import os, pathlib, sys, threading
for number in range(20):
    if os.fork() == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.wait()
"""
    + WAITING
)

SUBREAPER = """
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
os.execv(sys.executable, [sys.executable, "-m", "loguru_stdbridge.receiver", *sys.argv[1:]])
"""


@linux
def test_a_subreaper_waits_for_orphans(tmp_path, eventually):
    """Processes that lose their parent and end become no zombies, and the command's status is
    not taken for one of theirs."""
    process = subprocess.Popen(
        [sys.executable, "-c", SUBREAPER, "app.log", "--",
         sys.executable, "-c", ORPHANS + "sys.exit(7)"],
        cwd=tmp_path, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually((tmp_path / "up").exists, 30, "the command runs")
        command = int((tmp_path / "pid").read_text())
        eventually(lambda: len(children(process.pid)) == 2, 30, "only the witness is beside it")
        assert command in children(process.pid)
        (tmp_path / "done").touch()
        assert process.wait(30) == 7
    finally:
        process.kill()
        process.wait()


@linux
@pytest.mark.parametrize("kind", ["with a command", "alone"])
def test_the_first_process_of_a_container_waits_for_orphans(tmp_path, eventually, kind):
    """As PID 1 the receiver is given every orphan of its namespace, with a command or without."""
    unshare = shutil.which("unshare")
    can = (
        unshare
        and not subprocess.run(
            [unshare, "--pid", "--fork", "--mount-proc", "true"], capture_output=True, check=False
        ).returncode
    )
    if not can:
        pytest.skip("it takes root and unshare(1) to make a PID namespace")
    listen = ["--listen", f"unix://{tmp_path}/socket", "--ready-file", "ready"]
    command = ["--", sys.executable, "-c", ORPHANS] if kind == "with a command" else []
    process = subprocess.Popen(
        [unshare, "--pid", "--fork", "--mount-proc", "--kill-child", *RECEIVER, "app.log",
         *listen, *command],
        cwd=tmp_path, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually((tmp_path / "ready").exists, 30, "it is ready")
        (receiver,) = children(process.pid)
        if not command:
            enter = [shutil.which("nsenter"), "-t", str(receiver), "-p", "-m"]
            detached = "import os; [os.fork() or os._exit(0) for _ in range(1)]"
            for _ in range(5):
                subprocess.run([*enter, sys.executable, "-c", detached], check=True)
        else:
            eventually((tmp_path / "up").exists, 30, "the command runs")
        expected = 2 if command else 0
        eventually(lambda: len(children(receiver)) == expected, 30, "no zombies")
        (tmp_path / "done").touch()
        if not command:
            os.kill(receiver, signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_signal_that_nohup_ignores_is_ignored_by_the_command(tmp_path, eventually):
    """``nohup receiver SINK -- COMMAND`` keeps the command from SIGHUP, as ``nohup COMMAND``."""
    code = (
        "import pathlib, signal; "
        "pathlib.Path('out').write_text(str(signal.getsignal(signal.SIGHUP)))"
    )
    before = signal.getsignal(signal.SIGHUP)
    try:
        for disposition in (signal.SIG_DFL, signal.SIG_IGN):
            signal.signal(signal.SIGHUP, disposition)
            with started(tmp_path, sys.executable, "-c", code) as process:
                assert process.wait(30) == 0
            assert (tmp_path / "out").read_text() == str(disposition)
    finally:
        signal.signal(signal.SIGHUP, before)


# -- what is told, and what is handed on


def test_the_start_is_told_with_the_command(tmp_path):
    """The operator learns the sink, the addresses and the command."""
    with started(tmp_path, sys.executable, "-c", "") as process:
        _, told = process.communicate(timeout=30)
    first = told.decode().splitlines()[0]
    assert f"writing {tmp_path}/app.log, listening on log://{tmp_path}/app.log" in first
    assert f"running {sys.executable} (process " in first


def test_the_ready_file_is_there_while_the_receiver_is(tmp_path, eventually):
    """A file of a receiver that was killed is gone before the next one is ready, and the file is
    gone when the receiver has ended."""
    ready = tmp_path / "ready"
    ready.write_text("tcp://127.0.0.1:1\n")
    code = "import pathlib; assert 'log://' in pathlib.Path('ready').read_text()"
    arguments = ["app.log", "--ready-file", "ready", "--", sys.executable, "-c", code]
    done = subprocess.run([*RECEIVER, *arguments], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert not ready.exists()
    ready.write_text("tcp://127.0.0.1:1\n")
    bad = subprocess.run(
        [*RECEIVER, "app.log", "--ready-file", "ready", "--rotation", "nonsense"],
        cwd=tmp_path, capture_output=True, check=False,
    )  # fmt: skip
    assert bad.returncode == 78
    assert not ready.exists()


def test_the_ready_file_of_a_living_receiver_stays(tmp_path):
    """A second receiver that finds the sink held does not take the first one's file away."""
    with ReceiverProcess(tmp_path / "app.log") as receiver:
        arguments = [str(receiver.sink), "--ready-file", str(receiver.ready)]
        second = subprocess.run([*RECEIVER, *arguments], capture_output=True, check=False)
        assert second.returncode == 1
        assert receiver.ready.read_text() == f"{receiver.address}\n"
        assert receiver.stop() == 0
        assert not receiver.ready.exists()


LOG = (
    "from loguru import logger; from loguru_stdbridge import install_bridge; "
    "b = install_bridge(); logger.info('needle'); assert b.close(30)"
)


@pytest.mark.parametrize("address", [None, "tcp://127.0.0.1:0"])
def test_a_receiver_in_a_command_is_no_clash(tmp_path, address):
    """A receiver inside another one's command binds addresses of its own, and takes none of the
    outer one's options, however those were given."""
    outer = ["outer.log"] if address is None else ["outer.log", "--listen", address]
    inner = ["inner.log", "--format", "inner {message}"]
    done = subprocess.run(
        [*RECEIVER, *outer, "--", *RECEIVER, *inner, "--", sys.executable, "-c", LOG],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={
            **os.environ,
            "LOGURU_STDBRIDGE_READY_FILE": str(tmp_path / "ready"),
            "LOGURU_STDBRIDGE_ROTATION": "1 KB",
            "LOGURU_STDBRIDGE_SERIALIZE": "1",
            "LOGURU_STDBRIDGE_LISTEN": "tcp://127.0.0.1:0",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "inner.log").read_text() == "inner needle\n"
    assert "rotat" not in done.stderr


def test_an_address_that_was_handed_on_is_not_listened_at(monkeypatch):
    """The address of a receiver around this process is for workers; one that a user has set is for
    a receiver, too."""
    monkeypatch.setenv("LOGURU_STDBRIDGE_ADDRESS", "tcp://127.0.0.1:5")
    assert default_listen() == ["tcp://127.0.0.1:5"]
    monkeypatch.setenv("LOGURU_STDBRIDGE_HANDED_ON", "tcp://127.0.0.1:5")
    assert default_listen() == ["tcp://127.0.0.1:9020"]
    assert default_listen(needed=False) == []
    monkeypatch.setenv("LOGURU_STDBRIDGE_ADDRESS", "tcp://127.0.0.1:6")
    assert default_listen() == ["tcp://127.0.0.1:6"]
    monkeypatch.setenv("LOGURU_STDBRIDGE_ADDRESS", "log:///logs/app.log")
    assert default_listen() == []
    monkeypatch.delenv("LOGURU_STDBRIDGE_ADDRESS")
    assert default_listen() == ["tcp://127.0.0.1:9020"]


def test_a_signal_during_the_start_is_handed_on_after_it(tmp_path, eventually, monkeypatch):
    """A signal that the receiver gets while the system starts its command is not lost."""
    arguments = map(str, counting(tmp_path, signal.SIGWINCH))
    command = Command(list(arguments), lambda: None)
    start = subprocess.Popen

    def start_slowly(*arguments, **options):
        process = start(*arguments, **options)
        if arguments[0] is command.arguments:
            eventually((tmp_path / "up").exists, 30, "the command runs")
            assert command.forward(signal.SIGWINCH)
        return process

    monkeypatch.setattr(subprocess, "Popen", start_slowly)
    command.start(os.environ)
    try:
        eventually((tmp_path / "got 1").exists, 30, "the command has it")
    finally:
        command.send(signal.SIGKILL)
        eventually(lambda: command.reap() or not command.running, 30, "the command has ended")
        command.close()


def test_two_questions_to_the_witness_may_cross(monkeypatch):
    """A signal's handler that interrupts another one takes no answer away from it."""
    witness, wait, nested = GroupWitness(), select.select, []

    def interrupted(*arguments):
        ready = wait(*arguments)
        if not nested:
            nested.append(True)
            assert not witness.has_seen(signal.SIGWINCH)
        return ready

    monkeypatch.setattr(select, "select", interrupted)
    try:
        assert not witness.has_seen(signal.SIGUSR1)
    finally:
        witness.close()


def test_a_late_answer_of_the_witness_is_not_taken_for_the_next(monkeypatch):
    """The witness answers too late: the next question about that signal gets its own answer."""
    monkeypatch.setattr(group_witness, "ANSWER_TIMEOUT", 0.0)
    witness = GroupWitness()
    try:
        assert not witness.has_seen(signal.SIGUSR1)
        monkeypatch.setattr(group_witness, "ANSWER_TIMEOUT", 30.0)
        assert select.select([witness._process.stdout], [], [], 30)[0], "the answer has come"
        os.kill(witness._process.pid, signal.SIGUSR1)
        assert not witness.has_seen(signal.SIGUSR2)  # the late one is in the pipe before this one
        assert witness.has_seen(signal.SIGUSR1)
    finally:
        witness.close()
