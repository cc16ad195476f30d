"""Who listens at an address, as far as the system tells."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from loguru_stdbridge import start_receiver
from loguru_stdbridge.system.listening import logs_written_by, process_listening_at
from tests.support.processes import start_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc of Linux")


def test_a_tcp_port_tells_its_process():
    """A port where this process listens tells this process, and no other port does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert process_listening_at(port=port) == os.getpid()
    assert process_listening_at(port=port) is None


def test_a_unix_socket_tells_its_process(runtime_dir):
    """A Unix socket where this process listens tells this process."""
    path = f"{runtime_dir}/socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        assert process_listening_at(path=path) is None
        server.listen()
        assert process_listening_at(path=path) == os.getpid()


def test_a_receiver_tells_its_log(tmp_path):
    """The process of a receiver tells which log it writes."""
    with start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0"):
        assert str(tmp_path / "app.log") in logs_written_by(os.getpid())


def test_an_address_in_use_names_its_process_its_log_and_the_way_out(tmp_path):
    """A receiver that cannot listen says who does, what that one writes, and what to do."""
    with start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0") as receiver:
        port = receiver.address.port
        with pytest.raises(OSError) as refused:
            start_receiver(tmp_path / "other.log", address=receiver.address)
    assert refused.value.strerror == (
        f"cannot listen on tcp://127.0.0.1:{port}: process {os.getpid()}, which writes "
        f"{tmp_path}/app.log and {tmp_path}/other.log, listens there already; end it, or name "
        f"another address with --listen (or address=), as in tcp://127.0.0.1:{port + 1}"
    )


def test_a_port_of_another_program_names_that(tmp_path):
    """Where another program has the port, its process and name are told."""
    code = (
        "import socket, sys; server = socket.create_server(('127.0.0.1', 0)); "
        "print(server.getsockname()[1], flush=True); sys.stdin.read()"
    )
    other = start_python(code, stdin=True)
    try:
        port = int(other.stdout.readline())
        with pytest.raises(OSError, match=rf"process {other.pid} \(.+\), listens there already"):
            start_receiver(tmp_path / "app.log", address=f"tcp://127.0.0.1:{port}")
    finally:
        other.communicate()
