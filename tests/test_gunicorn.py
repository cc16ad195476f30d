"""A real Gunicorn under a receiver, with two lines in its configuration: all is in the file."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support.processes import free_port, log_lines

RECIPES = Path(__file__).parent / "support" / "recipes"
REQUESTS = 1_600
CLIENTS = 8


def get(port, numbers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in numbers:
        connection.request("GET", f"/?{number}")
        assert connection.getresponse().read() == b"ok"
        connection.close()


def answers(port):
    try:
        get(port, ["probe"])
    except OSError:
        return False
    return True


@pytest.mark.parametrize("options", [(), ("--preload",)], ids=["plain", "preload"])
def test_four_workers_and_a_graceful_stop(tmp_path, eventually, options):
    """Gunicorn's application and access lines of 1,600 requests are in the files once each."""
    port = free_port()
    sink = tmp_path / "logs" / "app.log"
    receiver = subprocess.Popen(
        [
            sys.executable, "-m", "loguru_stdbridge.receiver", str(sink), "--rotation", "100 KB",
            "--compression", "gz", "--format", "{name} {message}", "--",
            sys.executable, "-m", "gunicorn", "-w", "4", "-b", f"127.0.0.1:{port}",
            "-c", str(RECIPES / "gunicorn.conf.py"), "--chdir", str(RECIPES), *options,
            "wsgi_app:app",
        ],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: answers(port), 60, "gunicorn answers")
        clients = [
            threading.Thread(target=get, args=(port, range(first, REQUESTS, CLIENTS)))
            for first in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(60) == 0
    finally:
        if receiver.poll() is None:
            receiver.kill()
            receiver.wait()
    found = Counter(log_lines(sink))
    for number in range(REQUESTS):
        assert found[f"wsgi_app worker loguru number {number} end\n"] == 1
        assert found[f"shop worker stdlib number {number} end\n"] == 1
    access = [line for line in found if line.startswith("gunicorn.access ") and "probe" not in line]
    assert sum(found[line] for line in access) == REQUESTS
    own = [line for line in found if line.startswith("gunicorn.error ")]
    assert any("Starting gunicorn" in line for line in own)
    assert any("Shutting down: Master" in line for line in own)
