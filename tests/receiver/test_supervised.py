"""The receiver under a stand-in of systemd: notices, watchdog, passed sockets, and its signals."""

from __future__ import annotations

import contextlib
import logging
import logging.handlers
import os
import signal
import socket
import subprocess
import sys

import pytest

from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver.passed import address_of
from loguru_stdbridge.system.supervisor import PassedSocket, Supervisor, passed_sockets
from tests.support.processes import ReceiverProcess


class Manager:
    """Takes the notices of a service, in a socket of its own."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(30)

    def notice(self, *, watchdog=False):
        """Return the next notice as a mapping; those of the watchdog only if asked for."""
        while True:
            text = self._socket.recv(65536).decode()
            fields = dict(line.partition("=")[::2] for line in text.splitlines())
            if ("WATCHDOG" in fields) == watchdog:
                return fields

    def until(self, name):
        """Return the next notice that has the field ``name``."""
        while True:
            fields = self.notice()
            if name in fields:
                return fields

    def close(self):
        self._socket.close()


@pytest.fixture
def manager(tmp_path):
    with contextlib.closing(Manager(tmp_path)) as manager:
        yield manager


def test_the_manager_is_told_of_start_reload_and_end(tmp_path, manager):
    """A receiver tells READY with its process, RELOADING and READY at SIGHUP, STOPPING at its end."""
    sink = tmp_path / "app.log"
    with ReceiverProcess(sink, NOTIFY_SOCKET=manager.path) as receiver:
        ready = manager.notice()
        assert (ready["READY"], ready["MAINPID"]) == ("1", str(receiver.process.pid))
        assert str(sink) in ready["STATUS"]
        receiver.process.send_signal(signal.SIGHUP)
        reloading = manager.until("RELOADING")
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert manager.until("READY")["READY"] == "1"
        receiver.process.terminate()
        assert manager.until("STOPPING")["STOPPING"] == "1"
        assert receiver.process.wait(30) == 0


def test_the_loop_feeds_the_watchdog(tmp_path, manager):
    """A receiver without clients feeds the watchdog, and tells what it writes, again and again."""
    with ReceiverProcess(
        tmp_path / "app.log", NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="300000"
    ) as receiver:
        for _ in range(4):
            assert manager.notice(watchdog=True) == {"WATCHDOG": "1"}
        handler = logging.handlers.SocketHandler("127.0.0.1", int(receiver.address.split(":")[2]))
        handler.emit(logging.makeLogRecord({"msg": "hello", "levelno": 20}))
        status = ""
        while status != "writing: 1 records, 1 clients":
            status = manager.until("STATUS")["STATUS"]
        handler.close()


def test_a_watchdog_of_another_process_is_not_fed():
    """``WATCHDOG_PID`` names who feeds: no other process does."""
    environment = {"NOTIFY_SOCKET": "/no/such", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    assert Supervisor.of(environment).pause(0.0) == 3600.0
    environment["WATCHDOG_PID"] = str(os.getpid())
    supervisor = Supervisor.of(environment)
    assert supervisor.pause(0.0) == 0.0
    supervisor.feed(10.0)  # that nobody takes it does no harm
    assert 0.3 < supervisor.pause(10.0) < 0.4


STARTER = """
import os, sys
count, names = sys.argv[1:3]
environment = {**os.environ, "LISTEN_FDS": count, "LISTEN_FDNAMES": names, "LISTEN_PID": str(os.getpid())}
for index, descriptor in enumerate(map(int, sys.argv[3].split(","))):
    os.dup2(descriptor, 3 + index)
    os.set_inheritable(3 + index, True)
os.execve(sys.executable, [sys.executable, "-m", "loguru_stdbridge.receiver", *sys.argv[4:]], environment)
"""


@contextlib.contextmanager
def activated(sink, ready, listeners, names, *options):
    """Run a receiver to which listening sockets are passed, until it is killed."""
    numbers = [os.dup(listener.fileno()) for listener in listeners]
    above = [os.dup2(number, 50 + index) for index, number in enumerate(numbers)]
    for number in numbers:
        os.close(number)
    process = subprocess.Popen(
        [
            sys.executable, "-c", STARTER, str(len(listeners)), names, ",".join(map(str, above)),
            str(sink), "--format", "{message}", "--ready-file", str(ready), *options,
        ],
        pass_fds=above,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    for number in above:
        os.close(number)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def emit(address, text):
    """Send one record as a stock client does."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as client:
        client.connect(address)
        handler = logging.handlers.SocketHandler("unused", 1)
        client.sendall(handler.makePickle(logging.makeLogRecord({"msg": text, "levelno": 20})))
        handler.close()


def test_two_passed_sockets_survive_the_receiver(tmp_path, eventually):
    """A receiver serves two sockets that are passed to it; killed, it refuses no client meanwhile."""
    sink, ready = tmp_path / "app.log", tmp_path / "ready"

    def lines():
        return sink.read_text().splitlines() if sink.exists() else []

    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        path = str(tmp_path / "socket")
        unix.bind(path)
        unix.listen()
        place = tcp.getsockname()
        with activated(sink, ready, [tcp, unix], "log:local") as process:
            eventually(ready.exists, 30, "it is ready")
            assert ready.read_text().split() == [f"tcp://127.0.0.1:{place[1]}", f"unix://{path}"]
            emit(place, "by TCP")
            emit(path, "by the Unix socket")
            eventually(lambda: len(lines()) == 2, 30, "both arrive")
            process.kill()
            process.wait()
        emit(path, "while nobody is there")
        emit(place, "the same by TCP")
        ready.unlink()
        with activated(sink, ready, [tcp, unix], "log:local") as process:
            eventually(lambda: len(lines()) == 4, 30, "those arrive, too")
            process.terminate()
            assert process.wait(30) == 0
        assert os.path.exists(path), "the manager's socket stays"
    assert sorted(lines()) == [
        "by TCP", "by the Unix socket", "the same by TCP", "while nobody is there"
    ]  # fmt: skip


def test_a_passed_socket_that_is_none_is_refused(tmp_path):
    """A passed descriptor that does not listen, or is no socket, is named with the way out."""
    with socket.socket() as idle, open(os.devnull, "rb") as file:
        idle.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigurationError, match="does not listen: use ListenStream="):
            address_of(PassedSocket(idle.fileno(), "log"))
        with pytest.raises(ConfigurationError, match="is no socket"):
            address_of(PassedSocket(file.fileno(), ""))
    mine = {"LISTEN_PID": str(os.getpid())}
    with pytest.raises(ValueError, match="LISTEN_FDS='many'"):
        passed_sockets({**mine, "LISTEN_FDS": "many"})
    assert passed_sockets({"LISTEN_FDS": "1", "LISTEN_PID": "1"}) == []


def test_a_passed_socket_is_open_to_no_strangers_unasked(tmp_path):
    """A passed socket beyond loopback is refused as an address in ``--listen`` is."""
    with socket.create_server(("0.0.0.0", 0)) as wide:
        with activated(tmp_path / "app.log", tmp_path / "ready", [wide], "log") as process:
            assert process.wait(60) == 78
            assert b"whoever reaches it can write" in process.stderr.read()


def test_a_command_gets_nothing_of_the_manager(tmp_path, manager):
    """A command's environment has no address of the manager: it would speak for the receiver."""
    code = "import os; print([n for n in os.environ if n in ('NOTIFY_SOCKET', 'WATCHDOG_USEC')])"
    done = subprocess.run(
        [
            sys.executable, "-m", "loguru_stdbridge.receiver", str(tmp_path / "app.log"),
            "--", sys.executable, "-c", code,
        ],
        env={**os.environ, "NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "60000000"},
        capture_output=True,
        check=True,
        timeout=60,
    )  # fmt: skip
    assert done.stdout == b"[]\n"


def test_signals_reopen_and_tell_the_state(tmp_path, eventually):
    """SIGUSR1 has a receiver open its file anew; SIGUSR2 has it tell files, counts and clients."""
    sink = tmp_path / "app.log"
    with ReceiverProcess(sink, "--format", "{message}") as receiver:
        handler = logging.handlers.SocketHandler("127.0.0.1", int(receiver.address.split(":")[2]))
        handler.emit(logging.makeLogRecord({"msg": "one", "levelno": 20}))
        eventually(lambda: sink.read_text() == "one\n", 30, "it is written")
        sink.rename(tmp_path / "moved.log")
        receiver.process.send_signal(signal.SIGUSR1)
        eventually(sink.exists, 30, "the file is opened anew")
        handler.emit(logging.makeLogRecord({"msg": "two", "levelno": 20}))
        eventually(lambda: sink.read_text() == "two\n", 30, "it is written there")
        receiver.process.send_signal(signal.SIGUSR2)
        eventually(lambda: "state: stock client" in receiver.stderr.read_text(), 30, "it is told")
        told = receiver.stderr.read_text()
        assert f"state of process {receiver.process.pid}" in told
        assert "2 records written" in told
        assert f"state: writing {sink}" in told
        handler.close()
        assert receiver.stop() == 0
