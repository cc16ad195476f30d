"""Where there are no Unix sockets, a log's own port lets in only those who know its token."""

from __future__ import annotations

import socket

import pytest

from loguru_stdbridge.system.gate import TOKEN_SIZE, EntranceProof, GuardedSocket
from loguru_stdbridge.system.runtime import Entrance, read_entrance
from tests.support.processes import run_python

TOKEN = bytes(range(TOKEN_SIZE))


@pytest.fixture
def ends():
    """Return the two ends of a connection that do not block."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def receive(guarded):
    """Return what a guarded socket gives now; ``None`` for nothing yet."""
    try:
        return guarded.recv(100)
    except BlockingIOError:
        return None


def test_a_worker_and_a_receiver_with_one_token_meet(ends):
    """Both sides prove that they know the token before a byte of a record goes either way."""
    ours, theirs = ends
    guarded, proof = GuardedSocket(theirs, TOKEN), EntranceProof(Entrance("127.0.0.1", 1, TOKEN))
    assert receive(guarded) is None
    assert not proof.go_on(ours)
    assert not proof.go_on(ours)
    assert receive(guarded) is None  # the proof is no byte for the receiver
    assert proof.go_on(ours)
    ours.send(b"record")
    assert guarded.recv(100) == b"record"
    assert guarded.fileno() == theirs.fileno()


def test_a_client_with_another_token_is_told_nothing(ends):
    """A client that does not know the token meets the end of the stream, and nothing is answered."""
    ours, theirs = ends
    guarded = GuardedSocket(theirs, TOKEN)
    assert not EntranceProof(Entrance("127.0.0.1", 1, bytes(TOKEN_SIZE))).go_on(ours)
    assert receive(guarded) == b""
    with pytest.raises(BlockingIOError):
        ours.recv(1)


@pytest.mark.parametrize("sizes", [[1] * 64, [63, 1], [32, 32]])
def test_a_proof_in_pieces_is_a_proof(ends, sizes):
    """A proof may come byte by byte, and a record right behind it waits its turn."""
    ours, theirs = ends
    guarded, proof = GuardedSocket(theirs, TOKEN), EntranceProof(Entrance("127.0.0.1", 1, TOKEN))

    class Kept:
        data = b""

        def send(self, data):
            self.data += data

    kept = Kept()
    proof.go_on(kept)
    for size in sizes:
        ours.send(kept.data[:size])
        kept.data = kept.data[size:]
        assert receive(guarded) is None
    ours.send(b"record")
    assert proof.go_on(ours)
    assert guarded.recv(100) == b"record"


def test_who_has_taken_the_port_gets_no_record(ends):
    """A program at the port of a receiver that has gone cannot answer, and is no receiver."""
    ours, theirs = ends
    proof = EntranceProof(Entrance("127.0.0.1", 1, TOKEN))
    proof.go_on(ours)
    theirs.recv(100)
    theirs.send(b"x" * 31)
    assert not proof.go_on(ours)
    theirs.send(b"x")
    with pytest.raises(PermissionError, match="has taken the port"):
        proof.go_on(ours)


def test_a_connection_that_ends_before_the_answer_is_an_error_of_the_connection(ends):
    """A receiver that ends the connection instead of answering is tried again later."""
    ours, theirs = ends
    proof = EntranceProof(Entrance("127.0.0.1", 1, TOKEN))
    proof.go_on(ours)
    theirs.recv(100)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError):
        proof.go_on(ours)


@pytest.mark.parametrize("text", ["", "127.0.0.1 x 00", "127.0.0.1 1", "127.0.0.1 1 0g", "ü 1 00"])
def test_a_note_that_cannot_be_read_is_none(tmp_path, text):
    """A file with anything else in it leads to no receiver."""
    (tmp_path / "note").write_text(text, encoding="latin-1")
    assert read_entrance(str(tmp_path / "note")) is None
    assert read_entrance(str(tmp_path / "absent")) is None


def test_a_note_is_read_as_it_was_written(tmp_path):
    """Port and token come back from the file as they went in."""
    entrance = Entrance("127.0.0.1", 5, TOKEN)
    (tmp_path / "note").write_text(entrance.to_text(), encoding="ascii")
    assert read_entrance(str(tmp_path / "note")) == entrance


WITHOUT = """
import sys
from loguru import logger
from loguru_stdbridge.system import runtime
runtime.AF_UNIX = None
from loguru_stdbridge import install_bridge, start_receiver
logger.remove()
sink = sys.argv[1]
with start_receiver(sink, format="{message}", address="tcp://127.0.0.1:0") as receiver:
    bridge = install_bridge(f"log://{sink}")
    logger.info("by the port")
    assert bridge.close(30)
print(open(sink).read(), end="")
"""


def test_a_log_is_reached_by_its_path_without_unix_sockets(tmp_path):
    """A worker that knows only the log's path finds the port of its receiver."""
    status, out, err = run_python(WITHOUT, str(tmp_path / "app.log"))
    assert (status, out) == (0, "by the port\n"), err
