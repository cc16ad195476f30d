"""A receiver that stands by shows that it does, until it takes over."""

from __future__ import annotations

import http.client
import json

from tests.support.processes import ReceiverProcess, free_port
from tests.support.waiting import wait_until


def ask(port, path):
    """Return the status and the text of an answer; ``(0, "")`` where nobody answers."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        client.request("GET", path)
        answer = client.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        client.close()


def test_a_standby_shows_its_state_and_then_the_log_s(tmp_path):
    """A standby is alive and not ready; once it has taken over, it is ready."""
    sink, port = tmp_path / "app.log", free_port()
    with ReceiverProcess(sink) as active:
        options = ("--standby", "--status", f"tcp://127.0.0.1:{port}")
        waiting = ReceiverProcess(sink, *options)
        try:
            wait_until(lambda: ask(port, "/readyz")[0] == 503, what="it stands by")
            assert f"standing by: {sink} is written by another process" in ask(port, "/readyz")[1]
            assert ask(port, "/healthz") == (200, "alive\n")
            state = json.loads(ask(port, "/status.json")[1])
            assert state["is_standby"]
            assert state["figures"]["state"] == "standby"
            active.kill()
            wait_until(lambda: ask(port, "/readyz") == (200, "ready\n"), what="it has taken over")
            assert not json.loads(ask(port, "/status.json")[1])["is_standby"]
            assert waiting.stop() == 0
        finally:
            waiting.kill()


def test_a_standby_at_the_address_of_the_active_one_waits(tmp_path):
    """A standby whose status address is the active one's waits all the same, and has it later."""
    sink, port = tmp_path / "app.log", free_port()
    options = ("--status", f"tcp://127.0.0.1:{port}")
    with ReceiverProcess(sink, *options) as active:
        waiting = ReceiverProcess(sink, "--standby", *options)
        try:
            wait_until(lambda: "standing by" in waiting.stderr.read_text(), what="it stands by")
            pid = json.loads(ask(port, "/status.json")[1])["pid"]
            assert pid == active.process.pid
            active.kill()
            waiting.wait_ready()
            assert json.loads(ask(port, "/status.json")[1])["pid"] == waiting.process.pid
            assert waiting.stop() == 0
        finally:
            waiting.kill()
