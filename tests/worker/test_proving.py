"""A worker that cannot know whose its receiver is asks for a proof, before it tells it anything."""

from __future__ import annotations

import pytest

from loguru_stdbridge import start_receiver
from loguru_stdbridge.addresses import LogName, parse_address
from loguru_stdbridge.spool import proof as proof_module
from loguru_stdbridge.spool.journal import Journal
from loguru_stdbridge.spool.proof import ReceiverProof, make_secret, prepare_to_prove
from loguru_stdbridge.wire.receiving import ChallengeReceived
from loguru_stdbridge.worker import transport as transport_module
from loguru_stdbridge.worker.sender import Sender
from tests.support.processes import free_address, free_port
from tests.support.scripted import ScriptedReceiver, a_row


@pytest.fixture(autouse=True)
def no_tables(monkeypatch):
    """Let the system tell nobody who listens."""
    monkeypatch.setattr(transport_module, "users_listening_at", lambda host, port: None)
    monkeypatch.setattr(proof_module, "can_tell_listeners", lambda: False)


@pytest.fixture
def worker(spool_dir):
    """Start a journal and a sender to an address; they are closed at the end."""
    started = []

    def start(address):
        journal, told = Journal.create(str(spool_dir), address), []
        address = parse_address(address)
        prepare_to_prove(str(spool_dir), address)
        proof = ReceiverProof.of(str(spool_dir), address)
        sender = Sender(journal, address, report=told.append, notice=a_row, proof=proof)
        started.append((sender, journal))
        return sender, journal, told

    yield start
    for sender, journal in started:
        sender.close(0.0)
        journal.close(remove=True)


def log(sender, journal, text):
    journal.append(a_row(text))
    sender.start()


def test_whoever_takes_the_port_of_a_receiver_is_told_nothing(tmp_path, worker, eventually):
    """A stranger at the port where a receiver has proved itself gets no record and no sender's id."""
    address = free_address()
    with start_receiver(tmp_path / "app.log", address=address, format="{message}"):
        sender, journal, told = worker(address)
        log(sender, journal, "one")
        assert sender.flush(1, 30)
    with ScriptedReceiver(parse_address(address).port) as stranger:
        log(sender, journal, "secret")
        client = stranger.accept()
        data = client.socket.recv(65536)
        assert b"secret" not in data and journal.sender_id.encode() not in data
        (challenge,) = client.protocol.receive(data)
        assert isinstance(challenge, ChallengeReceived)
        client.socket.sendall(client.protocol.proof("0" * 64))
        assert client.socket.recv(65536) == b""  # the worker has left
        eventually(lambda: told, what="the operator is told")
    assert "cannot prove that it has the spool directory" in told[0]
    assert sender.proof.note in told[0]
    with start_receiver(tmp_path / "app.log", address=address, format="{message}"):
        assert sender.flush(2, 30)
    assert (tmp_path / "app.log").read_text() == "one\nsecret\n"


def test_another_worker_of_the_spool_knows_it_too(tmp_path, worker):
    """A worker that starts later requires the proof from its first connection on."""
    address = free_address()
    with start_receiver(tmp_path / "app.log", address=address, format="{message}"):
        sender, journal, _ = worker(address)
        log(sender, journal, "one")
        assert sender.flush(1, 30)
    sender, journal, _ = worker(address)
    log(sender, journal, "two")
    with ScriptedReceiver(parse_address(address).port) as stranger:
        assert isinstance(stranger.accept().event(), ChallengeReceived)


def test_a_greeting_is_no_proof(tmp_path, worker, eventually):
    """A stranger that greets instead of proving itself cannot make the journal another log's."""
    address = free_address()
    with start_receiver(tmp_path / "app.log", address=address, format="{message}"):
        sender, journal, _ = worker(address)
        log(sender, journal, "one")
        assert sender.flush(1, 30)
    sender, journal, told = worker(address)  # whose records belong to no log yet
    with ScriptedReceiver(parse_address(address).port) as stranger:
        log(sender, journal, "two")
        client = stranger.accept()
        assert isinstance(client.event(), ChallengeReceived)
        another = LogName("/logs/other.log", "b" * 32)
        client.socket.sendall(client.protocol.greeting(0, None, another))
        eventually(lambda: told, what="the operator is told")
    assert journal.log is None


def test_a_receiver_that_never_proved_anything_works(worker, spool_dir):
    """A receiver of another spool directory is greeted as ever, whatever it answers."""
    spool_dir.mkdir(mode=0o700)
    make_secret(str(spool_dir))
    with ScriptedReceiver(free_port()) as receiver:
        sender, journal, told = worker(receiver.address)
        log(sender, journal, "one")
        client = receiver.accept()
        hello = client.hello()
        assert hello.sender == journal.sender_id and hello.nonce
        client.socket.sendall(client.protocol.greeting(0, proof="0" * 64))
        client.acknowledge(1)
        assert sender.flush(1, 30)
        assert not sender.proof.is_required() and not told


def test_a_listener_that_the_system_knows_needs_no_proof(tmp_path, worker, monkeypatch):
    """Where the system tells whose the receiver is, the worker asks for no proof."""
    address = free_address()
    with start_receiver(tmp_path / "app.log", address=address, format="{message}"):
        sender, journal, _ = worker(address)
        monkeypatch.setattr(transport_module, "users_listening_at", lambda host, port: {0})
        log(sender, journal, "one")
        assert sender.flush(1, 30)
    assert not sender.proof.is_required()


def test_a_receiver_without_a_spool_has_no_proof(tmp_path, worker, eventually):
    """A receiver that has lost the spool is refused by those who have seen its proof, and told why."""
    address = free_address()
    with start_receiver(tmp_path / "app.log", address=address, format="{message}"):
        sender, journal, told = worker(address)
        log(sender, journal, "one")
        assert sender.flush(1, 30)
    with start_receiver(tmp_path / "app.log", address=address, format="{message}", spool_dir=False):
        log(sender, journal, "two")
        eventually(lambda: told, what="the operator is told")
    assert "remove" in told[0]
