"""The status listener answers beside a real receiver, and no visitor holds it or the receiver up."""

from __future__ import annotations

import contextlib
import errno
import glob
import http.client
import json
import os
import socket
import stat

import pytest
from prometheus_client.parser import text_string_to_metric_families

from loguru_stdbridge import start_receiver
from loguru_stdbridge.receiver import writer as writer_module
from loguru_stdbridge.sink import rotating
from loguru_stdbridge.status import feed
from loguru_stdbridge.status import listener as listener_module
from tests.receiver.test_server import Running, encode_frame, payload
from tests.support.processes import ReceiverProcess, log_files, log_lines, run_python, start_python

needs_unix = pytest.mark.skipif(
    not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets"
)


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A receiver whose status is shown at a loopback port."""
    monkeypatch.setattr(
        "tests.receiver.test_server.OF_SERVICE", ("status", "status_token_file", "spool_dir")
    )
    receiver = Running(tmp_path / "app.log", status="tcp://127.0.0.1:0")
    receiver.port = receiver.service.status_addresses[0].port
    yield receiver
    receiver.stop()


def fetch(port, path, method="GET", **headers):
    """Return the status, the headers and the body of an answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.request(method, path, headers=headers)
        answer = client.getresponse()
        return answer.status, answer.headers, answer.read().decode("utf-8")


def samples(text):
    """Return the metrics of a page: name and labels, and the value."""
    return {
        (sample.name.replace("loguru_stdbridge_", ""), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def log(running, *messages):
    with running.connect() as client:
        for message in messages:
            client.sendall(encode_frame(payload(message)))


def test_a_healthy_receiver_says_so(watched):
    """A receiver that turns and writes is healthy and ready; HEAD gets no body."""
    assert fetch(watched.port, "/healthz")[::2] == (200, "alive\n")
    assert fetch(watched.port, "/readyz")[::2] == (200, "ready\n")
    status, headers, body = fetch(watched.port, "/readyz", "HEAD")
    assert (status, headers["Content-Length"], body) == (200, "6", "")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert fetch(watched.port, "/nothing")[0] == 404
    assert fetch(watched.port, "/metrics", "POST")[0] == 405
    assert fetch(watched.port, "/level?logger=a&level=10&seconds=60", "POST")[0] == 405


def test_a_sink_that_fails_makes_it_unready_with_the_reason(watched, monkeypatch, eventually):
    """A receiver whose disk is full is healthy but not ready, and says why in one line."""

    def fail(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writer_module, "RETRY_MAX", 0.05)
    with monkeypatch.context() as broken:
        broken.setattr(rotating.os, "write", fail)
        log(watched, "late")
        eventually(lambda: fetch(watched.port, "/readyz")[0] == 503, 20, "it is not ready")
        _, _, body = fetch(watched.port, "/readyz")
        assert "No space left on device" in body
        assert body.count("\n") == 1
        assert fetch(watched.port, "/healthz")[0] == 200
        assert (
            samples(fetch(watched.port, "/metrics")[2])["sink_errors_total", str(watched.path)] >= 1
        )
    eventually(lambda: fetch(watched.port, "/readyz")[0] == 200, 20, "it is ready again")
    assert watched.lines() == ["late"]


def test_a_loop_that_hangs_is_not_healthy(watched, monkeypatch, eventually):
    """A receiver whose loop has not turned for seconds is not healthy, and the listener says so."""
    monkeypatch.setattr("loguru_stdbridge.status.board.STUCK_AFTER", -1.0)
    status, _, body = fetch(watched.port, "/healthz")
    assert status == 503
    assert "has not turned" in body
    assert fetch(watched.port, "/readyz")[0] == 503


WORKER = """
import sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
with install_bridge(sys.argv[1], level=0) as bridge:
    for number in range(int(sys.argv[2])):
        logger.log(("DEBUG", "INFO", "ERROR")[number % 3], "worker number {} end", number)
    assert bridge.flush(60)
    sys.stdin.read()
"""


@needs_unix
def test_the_metrics_are_the_counted_lines(tmp_path, eventually):
    """The totals of a run of workers and a stock client, read by Prometheus' own parser, are the
    lines, bytes and files that are there.
    """
    sink = tmp_path / "logs" / "app.log"
    shown = tmp_path / "status.sock"
    options = ("--rotation", "50 kB", "--level", "DEBUG", "--status", f"unix://{shown}")
    with ReceiverProcess(sink, *options) as receiver:
        assert stat.S_IMODE(shown.stat().st_mode) == 0o600
        workers = [start_python(WORKER, receiver.address, str(n), stdin=True) for n in (600, 900)]
        host, port = receiver.address[6:].split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(encode_frame(payload("worker number 0 end")) * 50)
            client.sendall(encode_frame(b"rubbish"))
            client.shutdown(socket.SHUT_WR)
            client.recv(1)

        def lines():
            return list(log_lines(sink))

        eventually(lambda: len(lines()) == 1550, 60, "all lines are there")
        with contextlib.closing(UnixConnection(str(shown))) as status:
            status.request("GET", "/metrics")
            page = status.getresponse().read().decode()
        with contextlib.closing(UnixConnection(str(shown))) as status:
            status.request("GET", "/status.json")
            state = json.loads(status.getresponse().read())
        for worker in workers:
            worker.communicate(timeout=60)
        found = samples(page)
        for source, level in (("worker", "DEBUG"), ("worker", "INFO"), ("worker", "ERROR")):
            counted = sum(f"| {level: <8}" in line for line in lines())
            assert (
                found["records_written_total", source, level] + (50 if level == "INFO" else 0)
                == counted
            )
        assert found["records_written_total", "stock", "INFO"] == 50
        assert found["sink_records_written_total", str(sink)] == 1550
        sizes = [path.stat().st_size for path in log_files(sink)]
        assert found["sink_bytes_written_total", str(sink)] == sum(sizes)
        assert found["sink_rotations_total", str(sink)] == len(sizes) - 1
        assert found["duplicates_total",] == 0
        assert sum(value for key, value in found.items() if key[0] == "refused_total") == 1
        assert found["workers", "worker"] == 2
        assert found["write_delay_seconds_count",] >= 3
        assert {worker["pid"] for worker in state["workers"]} == {worker.pid for worker in workers}
        assert receiver.stop() == 0
    assert not shown.exists()


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


def test_visitors_that_stall_hold_nobody_up(watched, monkeypatch, eventually):
    """Many visitors that send half a request, or read no answer, hold up neither others nor logs."""
    monkeypatch.setattr(listener_module, "HEAD_TIMEOUT", 0.3)
    with contextlib.ExitStack() as stalled:
        for _ in range(listener_module.MAX_VISITORS + 10):
            visitor = socket.create_connection(("127.0.0.1", watched.port), 20)
            stalled.enter_context(visitor)
            visitor.sendall(b"GET /metr")
        log(watched, "beside them")
        eventually(lambda: watched.lines() == ["beside them"], 20, "the record is there")
        assert fetch(watched.port, "/healthz")[0] == 200
        with contextlib.suppress(ConnectionError):
            assert visitor.recv(100) == b""  # it is too late
    with socket.create_connection(("127.0.0.1", watched.port), 20) as flood:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                flood.sendall(b"X-Much: " + b"x" * 4096)
        with contextlib.suppress(ConnectionError):
            assert b" 431 " in flood.recv(1000)
    assert fetch(watched.port, "/healthz")[0] == 200


@pytest.mark.skipif(
    not hasattr(os, "setuid") or os.geteuid() != 0, reason="needs root, to be another user"
)
def test_another_user_sees_nothing(watched, tmp_path):
    """A process of another user can use neither the port nor the socket of the status."""
    code = (
        "import encodings.idna, os, sys, urllib.request; os.setgid(65533); os.setuid(65533)\n"
        "try: urllib.request.urlopen(sys.argv[1], timeout=20)\n"
        "except urllib.error.HTTPError as error: print(error.code)"
    )
    status, out, err = run_python(code, f"http://127.0.0.1:{watched.port}/metrics")
    assert (status, out) == (0, "403\n"), err


def test_a_receiver_that_nobody_watches_loads_nothing_for_it(tmp_path):
    """A receiver without the option loads no HTTP, no board and no listener."""
    code = (
        "import sys; from loguru_stdbridge import start_receiver\n"
        "with start_receiver(sys.argv[1], address='tcp://127.0.0.1:0') as receiver:\n"
        "    assert receiver.status_addresses == []\n"
        "    names = [n for n in sys.modules if n == 'http.server' or '_stdbridge.status.' in n]\n"
        "    print(sorted(names))"
    )
    status, out, err = run_python(code, str(tmp_path / "app.log"))
    expected = ["loguru_stdbridge.status.pieces", "loguru_stdbridge.status.state"]
    assert (status, out) == (0, f"{expected}\n"), err


def test_an_address_in_use_is_told(watched, tmp_path):
    """A status address that is in use keeps the receiver from starting, with the address."""
    with pytest.raises(OSError, match=f"cannot show the status at tcp://127.0.0.1:{watched.port}"):
        start_receiver(
            tmp_path / "b.log",
            address="tcp://127.0.0.1:0",
            status=f"tcp://127.0.0.1:{watched.port}",
        )


@needs_unix
def test_a_file_that_is_no_socket_stays(tmp_path):
    """A status socket replaces a dead socket, but no file."""
    path = tmp_path / "status"
    path.write_text("mine")
    with pytest.raises(OSError, match="cannot show the status at unix://"):
        start_receiver(tmp_path / "a.log", address="tcp://127.0.0.1:0", status=f"unix://{path}")
    assert path.read_text() == "mine"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with start_receiver(tmp_path / "a.log", address="tcp://127.0.0.1:0", status=f"unix://{path}"):
        with contextlib.closing(UnixConnection(str(path))) as client:
            client.request("GET", "/healthz")
            assert client.getresponse().status == 200


class Events:
    """The events of a viewer, as they come."""

    def __init__(self, port, query="", **headers):
        self.client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.client.request("GET", f"/events{query}", headers=headers)
        self.answer = self.client.getresponse()

    def next(self, *names):
        """Return the next event of these names: id, name, data."""
        fields = {}
        while True:
            line = self.answer.fp.readline().decode("ascii").rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif fields.get("event") in names:
                return fields.get("id"), fields["event"], json.loads(fields["data"])
            else:
                assert fields, "the stream has ended"
                fields = {}

    def close(self):
        self.client.close()


def test_events_show_what_is_and_what_comes(watched, eventually):
    """A viewer is greeted, shown what was before it and what comes, and goes on where it was."""
    log(watched, "before")
    eventually(lambda: watched.lines() == ["before"], 20, "it is written")
    with contextlib.closing(Events(watched.port)) as events:
        assert events.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        _, _, hello = events.next("hello")
        assert (hello["sink"], hello["pid"]) == (str(watched.path), os.getpid())
        assert events.next("files")[2][0]["name"] == "app.log"
        assert [r["message"] for r in events.next("records")[2]] == ["before"]
        log(watched, "<b>while</b>")
        last, _, records = events.next("records")
        assert [r["message"] for r in records] == ["<b>while</b>"]
        figures = events.next("figures")[2]
        assert (figures["written"], figures["state"]) == (2, "ok")
        assert [w["stock"] for w in events.next("workers")[2]] in ([], [True, True], [True])
    log(watched, "after")
    with contextlib.closing(Events(watched.port, **{"Last-Event-ID": last})) as events:
        assert [r["message"] for r in events.next("records", "missed")[2]] == ["after"]
    with contextlib.closing(Events(watched.port, "?after=other-1&n=1")) as events:
        assert events.next("records", "missed")[2]["why"] == "restarted"
        assert [r["message"] for r in events.next("records", "missed")[2]] == ["after"]


def test_viewers_beyond_the_limit_are_told(watched):
    """The ninth viewer gets 503, and one that leaves makes room."""
    with contextlib.ExitStack() as viewers:
        for _ in range(8):
            viewer = Events(watched.port)
            viewers.callback(viewer.close)
            assert viewer.next("hello")
        assert fetch(watched.port, "/events")[0] == 503
        assert fetch(watched.port, "/healthz")[0] == 200


def test_a_viewer_that_reads_nothing_is_closed(watched, monkeypatch, eventually):
    """A viewer that reads nothing is closed after its time, and the records are all written."""
    monkeypatch.setattr(listener_module, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(feed, "BYTES_A_SECOND", 10**9)
    monkeypatch.setattr(feed, "RECORDS_A_SECOND", 10**6)
    with socket.create_connection(("127.0.0.1", watched.port), 20) as viewer:
        viewer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        viewer.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with watched.connect() as client:
            for _ in range(80):
                client.sendall(encode_frame(payload("x" * 4000)) * 50)
        eventually(lambda: len(watched.lines()) == 4000, 30, "all is written")
        clients = watched.service._shown._listener._visitors
        eventually(lambda: not clients, 20, "it is closed")


def test_the_logs_files_are_fetched_where_that_is_asked_for(tmp_path, watched):
    """A listed file is fetched whole with ``status_files``, and nothing without it."""
    log(watched, "secret")
    assert fetch(watched.port, "/files/app.log")[0] == 404
    path = tmp_path / "other.log"
    path.write_text("lines\n" * 100_000)
    (tmp_path / "private").write_text("private")
    with start_receiver(
        path, address="tcp://127.0.0.1:0", status="tcp://127.0.0.1:0", status_files=True
    ) as receiver:
        port = receiver.status_addresses[0].port
        status, headers, body = fetch(port, "/files/other.log")
        assert (status, body) == (200, "lines\n" * 100_000)
        assert headers["Content-Disposition"] == "attachment"
        for name in ("private", "../private", "..%2fprivate", "%2e%2e/private", "", "app.log"):
            assert fetch(port, f"/files/{name}")[0] == 404
        assert fetch(port, "/files/other.log", "HEAD")[2] == ""


def test_the_page_comes_with_its_policy(watched):
    """The page is sent with the policy that lets it run, and no store keeps it."""
    status, headers, body = fetch(watched.port, "/")
    assert status == 200
    assert body.startswith("<!doctype html>")
    assert "script-src 'sha256-" in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"


@needs_unix
def test_local_tools_ask_at_the_logs_own_socket(tmp_path, runtime_dir, monkeypatch, eventually):
    """A receiver without the option answers HTTP at its log's own socket, and forgets it later."""
    from loguru_stdbridge.receiver import status_service

    monkeypatch.setattr(status_service, "IDLE", 0.2)
    running = Running(tmp_path / "app.log")
    try:
        (path,) = glob.glob(os.path.join(runtime_dir, "*", "*.sock"))
        for expected in (1, 2):
            log(running, f"record {expected}")
            eventually(lambda e=expected: len(running.lines()) == e, 20, "it is written")
            with contextlib.closing(UnixConnection(path)) as client:
                client.request("GET", "/metrics")
                page = client.getresponse().read().decode()
            assert samples(page)["sink_records_written_total", str(running.path)] == expected
            eventually(lambda: running.service._receiver._board is None, 20, "nobody looks")
        assert running.told == []
    finally:
        running.stop()
