"""What one client, one peer and all together may take; a thousand silent clients; other users."""

from __future__ import annotations

import contextlib
import json
import logging
import logging.handlers
import os
import resource
import socket
import stat
import subprocess
import sys
import threading

import pytest

from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver import admission
from loguru_stdbridge.receiver.limits import Limits, Pace, read_limits
from loguru_stdbridge.receiver.service import Service
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.processes import ReceiverProcess
from tests.support.scripted import a_row
from tests.support.workers import Worker

NOBODY = 65534


class Running:
    """A receiver in a thread, whose messages are kept."""

    def __init__(self, directory, *addresses, **options):
        self.sink = directory / "app.log"
        self.told = []
        self.service = Service(
            [{"sink": self.sink, "format": "{message}"}],
            addresses or ["tcp://127.0.0.1:0"],
            report=self.told.append,
            **options,
        )
        self.address = self.service.addresses[0]
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()

    def lines(self):
        return self.sink.read_text().splitlines() if self.sink.exists() else []

    def connect(self):
        return socket.create_connection((self.address.host, self.address.port), 30)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.service.stop()
        self.thread.join()


def frame(text):
    """Return what a stock client sends for one record."""
    handler = logging.handlers.SocketHandler("unused", 1)
    data = handler.makePickle(logging.makeLogRecord({"msg": text, "levelno": 20}))
    handler.close()
    return data


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "10"])
@pytest.mark.parametrize("name", ["max_connections", "max_peer_connections", "max_rate"])
def test_a_limit_is_a_number_from_1_on(name, value):
    """Any other value is refused, with the option's name."""
    given = dict.fromkeys(("max_connections", "max_peer_connections", "max_rate"))
    assert read_limits(**given) == Limits()
    with pytest.raises(ConfigurationError, match=f"{name}=.*a whole number from 1 on"):
        read_limits(**{**given, name: value})


def test_a_pace_lets_a_second_s_worth_through_at_once():
    """A client may send what a second allows at once, and then as the time goes by."""
    pace = Pace(10, 100.0)
    assert pace.take(10, 100.0) == 0.0
    assert pace.take(5, 100.0) == 0.5
    assert pace.take(0, 100.5) == 0.0
    assert pace.take(1, 100.5) == pytest.approx(0.1)
    assert pace.take(10, 200.0) == 0.0, "it saves up no more than a second's worth"
    assert pace.take(30, 200.0) == 3.0


def test_a_fast_client_waits_and_loses_nothing(tmp_path, eventually):
    """A client beyond ``max_rate`` is read no more for a while; all its records are written."""
    with Running(tmp_path, max_rate=200) as running, running.connect() as client:
        with running.connect() as other:
            client.sendall(b"".join(frame(f"fast {number}") for number in range(500)))
            eventually(lambda: running.lines(), 30, "it begins")
            (fast,) = list(running.service._receiver._clients._resting) or [None]
            assert fast is not None
            assert not fast.interest, "nothing is read of it meanwhile"
            other.sendall(frame("another"))
            eventually(lambda: "another" in running.lines(), 30, "another client is served")
    lines = [line for line in running.lines() if line != "another"]
    assert lines == [f"fast {number}" for number in range(500)]
    assert running.told == []


def test_a_peer_has_so_many_places(tmp_path, eventually):
    """One client too many of a host, or of a user, is refused and told; when one goes, it may come."""
    with Running(tmp_path, max_peer_connections=2) as running:
        first, second = running.connect(), running.connect()
        for number, client in enumerate((first, second)):
            client.sendall(frame(f"client {number}"))
        eventually(lambda: len(running.lines()) == 2, 30, "both are served")
        with running.connect() as third:
            assert third.recv(1) == b""
        eventually(lambda: running.told, 30, "it is told")
        assert "there are 2 clients of" in running.told[0]
        assert "--max-peer-connections" in running.told[0]
        first.close()

        def is_served():
            with contextlib.suppress(OSError), running.connect() as again:
                again.sendall(frame("again"))
                again.shutdown(socket.SHUT_WR)
                again.recv(1)
            return "again" in running.lines()

        eventually(is_served, 30, "there is a place again")
        second.close()


def test_a_client_of_another_user_is_refused(tmp_path, runtime_dir, monkeypatch, eventually):
    """Where the system tells that a client of the private socket is another user's, it goes."""
    monkeypatch.setattr(admission, "own_users", lambda: {4711})
    address = f"unix://{runtime_dir}/socket"
    with Running(tmp_path, address) as running:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{runtime_dir}/socket")
            assert client.recv(1) == b""
        eventually(lambda: running.told, 30, "it is told")
        assert f"it is of user {os.getuid()}, and the socket is for user" in running.told[0]
    with Running(tmp_path, address, socket_mode="0666") as running:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(f"{runtime_dir}/socket")
            client.sendall(frame("shared"))
            eventually(lambda: running.lines() == ["shared"], 30, "a shared socket takes it")


LOOK = """
import json, os, socket, sys
os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))
outcomes = {}
for path in json.loads(sys.argv[2]):
    try:
        if path.endswith("socket"):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
        elif os.path.isdir(path):
            os.listdir(path)
        else:
            open(path, "rb").close()
        outcomes[path] = "open"
    except OSError as error:
        outcomes[path] = type(error).__name__
print(json.dumps(outcomes))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")
def test_another_user_gets_at_nothing(tmp_path, runtime_dir, spool_dir):
    """A user with another uid reaches no socket, no journal, no ledger, no status, no file of mode 0600."""
    for parent in [tmp_path, *tmp_path.parents][:3]:
        os.chmod(parent, os.stat(parent).st_mode | 0o055)
    log, status = f"{runtime_dir}/log.socket", f"{runtime_dir}/status.socket"
    sink = tmp_path / "logs" / "app.log"
    options = ("--mode", "0600", "--status", f"unix://{status}")
    with ReceiverProcess(sink, *options, listen=f"unix://{log}") as receiver:
        for directory in (sink.parent, runtime_dir):  # what is open on the way shows the rest
            os.chmod(directory, 0o755)
        with Worker("log(0, 3); bridge.flush(30); tell(); input()", receiver.address) as worker:
            worker.stands()
            journals = [str(p) for p in spool_dir.rglob("*") if p.is_file()]
            assert journals
            ledger = [str(p) for p in sink.parent.iterdir() if p.name.startswith(".")]
            assert any(path.endswith(".ledger") for path in ledger)
            own = next(p for p in os.listdir(f"{runtime_dir}/loguru_stdbridge"))
            wanted = [
                log, status, str(spool_dir), *journals, *ledger, str(sink),
                f"{runtime_dir}/loguru_stdbridge", f"{runtime_dir}/loguru_stdbridge/{own}",
            ]  # fmt: skip
            done = subprocess.run(
                [sys.executable, "-c", LOOK, str(NOBODY), json.dumps(wanted)],
                stdout=subprocess.PIPE, check=True, timeout=60, cwd="/",
            )  # fmt: skip
            worker.go_on()
    outcomes = json.loads(done.stdout)
    assert set(outcomes.values()) == {"PermissionError"}, outcomes
    assert stat.S_IMODE(os.stat(sink).st_mode) == 0o600


def test_a_thousand_silent_clients_keep_no_worker_out(tmp_path):
    """A worker is served beside 1,000 clients that each sent one good record and are silent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip(f"only {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, hard))
    clients = []
    try:
        with Running(tmp_path) as running:
            good = frame("one good record")
            for _ in range(1000):
                clients.append(running.connect())
                clients[-1].sendall(good)
            channel = Channel(check_options(running.address))
            channel.emit(a_row("the worker's"))
            assert channel.flush(30.0)
            channel.close(5.0)
            for client in clients:
                client.close()
        assert "the worker's" in running.lines()
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
