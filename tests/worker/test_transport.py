"""A connection begins, stalls and ends in every way, and attempts pause in between."""

from __future__ import annotations

import errno
import os
import select
import socket

import pytest

from loguru_stdbridge.addresses import Address, parse_address
from loguru_stdbridge.system.host import host_facts
from loguru_stdbridge.system.runtime import log_socket_name, runtime_directories
from loguru_stdbridge.worker import transport as module
from loguru_stdbridge.worker.transport import Backoff, Transport, targets
from tests.support.processes import start_python
from tests.support.scripted import ScriptedReceiver


@pytest.fixture
def peer():
    with ScriptedReceiver() as receiver:
        yield receiver


def connect(address):
    (target,) = targets(address)
    transport = Transport(target)
    select.select([], [transport], [], 30)
    try:
        transport.finish_connect()
    except BaseException:
        transport.close()
        raise
    return transport


@pytest.fixture
def pair(peer):
    """Make a connected transport and the other end of it."""
    transport = connect(peer.address)
    yield transport, peer.accept().socket
    transport.close()


# -- where to


def test_a_unix_socket_is_one_target():
    """A ``unix:`` address has its path as its only target."""
    assert targets(parse_address("unix:///run/log")) == [(socket.AF_UNIX, "/run/log")]


def test_a_log_is_found_by_its_own_socket(tmp_path, monkeypatch):
    """A ``log:`` address leads to the socket of the log's receiver, by any name of the file."""
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "link.log").symlink_to(tmp_path / "app.log")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    address = parse_address(f"log://{tmp_path}/link.log")
    with pytest.raises(FileNotFoundError, match="no receiver of this log is running"):
        targets(address)
    name = log_socket_name(f"{tmp_path}/app.log", host_facts().network)
    path = os.path.join(runtime_directories(make=True)[0], name)
    monkeypatch.chdir(os.path.dirname(path))  # the whole path may be too long for a socket
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        assert targets(address) == [(socket.AF_UNIX, path)]


@pytest.mark.skipif(
    getattr(os, "getuid", lambda: 1)() != 0, reason="only root can listen as another user"
)
def test_a_port_that_another_user_has_taken_gets_nothing():
    """A port that another user has taken gets no record, and the error names that user."""
    code = (
        "import os, socket, sys; os.setuid(1234); s = socket.socket(); s.bind(('127.0.0.1', 0)); "
        "s.listen(); print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    process = start_python(code, stdin=True)
    try:
        address = Address("tcp", "127.0.0.1", int(process.stdout.readline()))
        with pytest.raises(PermissionError, match="user 1234 listens there.*receiver_user="):
            connect(address)
        (target,) = targets(address)
        transport = Transport(target, {1234})
        select.select([], [transport], [], 30)
        transport.finish_connect()
        transport.close()
    finally:
        process.communicate()


def test_a_host_has_the_targets_that_the_system_knows():
    """IPv4 addresses, IPv6 addresses and names have the system's targets."""
    assert targets(parse_address("tcp://127.0.0.1:9020")) == [(socket.AF_INET, ("127.0.0.1", 9020))]
    assert targets(parse_address("tcp://[::1]:9020"))[0][0] == socket.AF_INET6
    assert (socket.AF_INET, ("127.0.0.1", 9020)) in targets(parse_address("tcp://localhost:9020"))


def test_the_name_of_loopback_needs_no_look_up(monkeypatch):
    """The C library is not asked: a child forked meanwhile might wait for its lock for ever."""
    monkeypatch.setattr(socket, "getaddrinfo", None)
    found = targets(parse_address("tcp://localhost:9020"))
    assert [address[0] for _, address in found] == ["127.0.0.1", "::1"]


def test_a_name_that_is_not_ascii_is_looked_up_by_its_encoded_form(monkeypatch):
    """A host's name with other letters goes to the system as IDNA has it."""
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, **_: asked.append(host) or [])
    for host in ("plain.example", "bücher.example"):
        targets(Address("tcp", host, 9020))
    assert asked == [b"plain.example", b"xn--bcher-kva.example"]


def test_an_unknown_host_is_an_oserror(monkeypatch):
    """An unknown host raises ``OSError``, as all that prevents a connection does."""

    def unknown(host, port, **options):
        raise socket.gaierror(socket.EAI_NONAME, f"{host.decode()} is not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match=r"no.such.host is not known"):
        targets(Address("tcp", "no.such.host", 9020))


def test_a_platform_without_unix_sockets_says_so(monkeypatch):
    """The error of a platform without Unix sockets names the address."""
    monkeypatch.setattr(module, "AF_UNIX", None)
    with pytest.raises(OSError, match="unix:///run/log"):
        targets(parse_address("unix:///run/log"))


# -- connecting


def test_a_connection_over_a_unix_socket(tmp_path):
    """A transport over a Unix socket sends and receives."""
    path = str(tmp_path / "log.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        transport = connect(Address("unix", path=path))
        other, _ = listener.accept()
        with other:
            assert transport.send(memoryview(b"there"), end_of_record=True) == 5
            assert other.recv(10) == b"there"
        transport.close()


@pytest.mark.parametrize("path", ["absent", "file", "x" * 200])
def test_a_unix_socket_that_is_none_is_refused_at_once(tmp_path, path):
    """A path that is no socket raises ``OSError`` at once and leaves nothing open."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError):
        Transport((socket.AF_UNIX, str(tmp_path / path)))


def test_a_port_where_nobody_listens_is_refused(peer):
    """``finish_connect`` raises the error of a port where nobody listens."""
    peer.close()
    with pytest.raises(ConnectionRefusedError):
        connect(peer.address)


def test_a_connection_is_under_way_without_being_waited_for(peer):
    """A transport is made before the peer has accepted."""
    transport = Transport(targets(peer.address)[0])
    assert transport.fileno() > 0
    peer.accept()
    transport.close()
    assert transport.fileno() == -1


def test_a_socket_that_meets_itself_is_no_connection(monkeypatch):
    """A socket that the system has connected to itself counts as refused."""

    class OnThatPort(socket.socket):
        def connect_ex(self, address):
            self.bind(address)
            return super().connect_ex(address)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = Address("tcp", *probe.getsockname())
    monkeypatch.setattr(module.socket, "socket", OnThatPort)
    transport = Transport(targets(address)[0])
    select.select([], [transport], [], 30)
    with pytest.raises(ConnectionRefusedError, match="met itself"):
        transport.finish_connect()
    transport.close()


# -- bytes


def test_sending_takes_what_the_kernel_takes(pair):
    """``send`` returns what the kernel took, then 0, and never waits; all of it arrives."""
    transport, other = pair
    data, sent = memoryview(bytes(range(256)) * 4096), 0
    while True:
        count = transport.send(data[sent % len(data) :])
        if not count:
            break
        sent += count
    assert sent
    received = 0
    while received < sent:
        received += len(other.recv(1 << 20))
    assert received == sent
    assert transport.send(data[:100], end_of_record=True) == 100


def test_receiving_tells_nothing_yet_from_the_end(pair):
    """``receive`` returns ``None`` for nothing yet and ``b""`` at the end of the stream."""
    transport, other = pair
    assert transport.receive() is None
    other.sendall(b"answer")
    select.select([transport], [], [], 30)
    assert transport.receive() == b"answer"
    other.shutdown(socket.SHUT_WR)
    select.select([transport], [], [], 30)
    assert transport.receive() == b""


def test_a_reset_is_an_error(pair):
    """A reset connection raises from ``receive`` and from ``send``, not from ``finish``."""
    transport, other = pair
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    other.close()
    select.select([transport], [], [], 30)
    with pytest.raises(ConnectionResetError):
        transport.receive()
    with pytest.raises(BrokenPipeError):
        transport.send(memoryview(b"x"))
    transport.finish()  # no error: there is nothing to say goodbye to


def test_finishing_ends_one_direction(pair):
    """After ``finish`` the peer reads everything and the end, and its answers can still be read."""
    transport, other = pair
    transport.send(memoryview(b"last words"))
    transport.finish()
    assert other.recv(100) == b"last words"
    assert other.recv(100) == b""
    other.sendall(b"heard")
    select.select([transport], [], [], 30)
    assert transport.receive() == b"heard"


# -- pauses


@pytest.fixture
def clock(monkeypatch):
    """Stop the time, and make the spread of the pauses 1."""

    class Clock:
        now = 1000.0

    monkeypatch.setattr(module.time, "monotonic", lambda: Clock.now)
    monkeypatch.setattr(module, "_spread", lambda: 1.0)
    return Clock


def test_the_pauses_grow_and_end(clock):
    """Pauses double up to a maximum and begin anew after a success."""
    backoff = Backoff(start=0.1, maximum=1.0, factor=2.0)
    assert backoff.remaining() == 0.0
    pauses = []
    for _ in range(6):
        backoff.failed()
        pauses.append(round(backoff.remaining(), 6))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    clock.now += 0.75
    assert round(backoff.remaining(), 6) == 0.25
    clock.now += 1
    assert backoff.remaining() == 0.0
    backoff.succeeded()
    backoff.failed()
    assert round(backoff.remaining(), 6) == 0.1


@pytest.mark.parametrize(("drawn", "factor"), [(b"\0\0", 0.75), (b"\xff\xff", 1.25)])
def test_many_workers_do_not_come_back_in_step(monkeypatch, clock, drawn, factor):
    """Each pause is spread by a quarter, up and down."""
    monkeypatch.undo()
    monkeypatch.setattr(module.time, "monotonic", lambda: clock.now)
    monkeypatch.setattr(module.os, "urandom", lambda count: drawn[:count])
    backoff = Backoff(start=0.1)
    backoff.failed()
    assert round(backoff.remaining(), 6) == round(0.1 * factor, 6)


def test_the_errors_keep_their_number(monkeypatch, peer):
    """The error of a refused connection keeps the system's number."""
    monkeypatch.setattr(socket.socket, "connect_ex", lambda self, address: errno.ENETUNREACH)
    with pytest.raises(OSError) as caught:
        Transport(targets(peer.address)[0])
    assert caught.value.errno == errno.ENETUNREACH
