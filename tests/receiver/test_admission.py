"""Clients are admitted as far as descriptors reach, and nothing half-made is left."""

from __future__ import annotations

import errno
import logging
import logging.handlers
import os
import selectors
import socket
import threading

import pytest

from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.receiver import admission as module
from loguru_stdbridge.receiver.admission import Admission
from loguru_stdbridge.receiver.limits import Limits
from loguru_stdbridge.receiver.listeners import Listener
from loguru_stdbridge.receiver.places import Standing
from loguru_stdbridge.receiver.service import Service


@pytest.fixture
def scene():
    """An admission on a free port, and what it has told and whom it has dismissed."""

    class Scene:
        def __init__(self):
            self.told, self.dismissed = [], []
            self.selector = selectors.DefaultSelector()
            self.admission = Admission(
                [parse_address("tcp://127.0.0.1:0")],
                self.selector,
                limits=Limits(4),
                read_client=lambda connection: None,
                dismiss=self.dismiss,
                report=self.told.append,
            )
            (self.address,) = self.admission.addresses
            self.clients = []

        def dismiss(self, connection, reason):
            connection.ended = True
            self.dismissed.append((connection, reason))

        def connect(self):
            self.clients.append(socket.create_connection((self.address.host, self.address.port)))

        def ready(self):
            """The listeners that the loop is told of."""
            return [key.fileobj for key, _ in self.selector.select(0)]

        def round(self):
            self.selector.select(10)
            for target in self.ready():
                if isinstance(target, Listener):
                    self.admission.accept_from(target)

    scene = Scene()
    yield scene
    scene.admission.close()
    scene.selector.close()
    for client in scene.clients:
        client.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_a_receiver_without_a_free_descriptor_rests(scene, monkeypatch, number):
    """The listener is not asked again until the next look of the loop; that is told once."""

    def fail(listener):
        raise OSError(number, os.strerror(number))

    scene.connect()
    with monkeypatch.context() as patch:
        patch.setattr("socketserver.TCPServer.get_request", fail)
        scene.round()
        assert scene.ready() == []
        scene.admission.look_for_room()
        assert len(scene.ready()) == 1
        scene.round()
        assert scene.ready() == []
    (told,) = scene.told
    assert os.strerror(number) in told
    assert "ulimit" in told
    scene.admission.look_for_room()
    scene.round()
    assert len(scene.admission.connections) == 1


def test_a_receiver_without_a_free_descriptor_ends_a_silent_client(scene, monkeypatch):
    """A client that can leave gives its descriptor to one that waits."""
    scene.connect()
    scene.round()
    (silent,) = scene.admission.connections
    silent.opened_at -= 1000.0
    monkeypatch.setattr(
        "socketserver.TCPServer.get_request",
        lambda listener: (_ for _ in ()).throw(OSError(errno.EMFILE, "Too many open files")),
    )
    scene.connect()
    scene.round()
    assert [connection for connection, _ in scene.dismissed] == [silent]
    assert scene.ready() == []
    scene.admission.look_for_room()
    scene.round()
    assert len(scene.dismissed) == 1  # nobody else leaves while one is on its way


def test_a_client_that_cannot_be_watched_is_not_kept(scene, monkeypatch, capfd):
    """A connection that the selector refuses is closed, and does not count."""
    scene.connect()
    register = scene.selector.register

    def refuse(target, *args):
        if isinstance(target, Listener):
            return register(target, *args)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(scene.selector, "register", refuse)
    scene.round()
    assert scene.admission.connections == set()
    assert scene.clients[0].recv(1) == b""


def test_a_stranger_without_a_place_is_told_why(scene):
    """The reason names the number of places."""
    for _ in range(3):
        scene.connect()
    while len(scene.admission.connections) < 3:
        scene.round()
    stay = [scene.admission.classify(c, Standing.STRANGER) for c in scene.admission.connections]
    assert stay == [True, True, False]
    ((connection, reason),) = scene.dismissed
    assert connection.ended
    assert reason == "all 2 places for clients other than local workers are taken by busy ones"


def test_clients_of_this_machine_are_known_by_their_user(scene):
    """A client on loopback counts for its user, where the system tells, and else for its host."""
    scene.connect()
    scene.round()
    (connection,) = scene.admission.connections
    assert scene.admission._origin(connection) in (("user", os.getuid()), ("host", "127.0.0.1"))


def test_a_receiver_that_cannot_be_made_leaves_nothing_open(tmp_path, monkeypatch):
    """A failure at any place of the making closes what was opened until then."""

    def fail(*args, **kwargs):
        raise OSError(errno.EMFILE, "Too many open files")

    for place in (
        "loguru_stdbridge.receiver.server.WakeUp",
        "loguru_stdbridge.receiver.clients.Admission",
        "loguru_stdbridge.receiver.service.make_spool_dir",
        "loguru_stdbridge.receiver.service.OrphanIntake",
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, fail)
            with pytest.raises(OSError, match="Too many"):
                Service([{"sink": tmp_path / "app.log"}], ["tcp://127.0.0.1:0"])


def test_a_receiver_whose_thread_cannot_start_leaves_nothing_open(tmp_path, monkeypatch):
    """The sink, the ledger and the address are free for the next attempt."""
    from loguru_stdbridge import start_receiver

    def fail(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="new thread"):
            start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0")
    with start_receiver(tmp_path / "app.log", address="tcp://127.0.0.1:0") as receiver:
        handler = logging.handlers.SocketHandler(receiver.address.host, receiver.address.port)
        handler.handle(logging.makeLogRecord({"msg": "served"}))
        handler.close()
    assert "served" in (tmp_path / "app.log").read_text()


def test_the_limit_of_open_files_bounds_the_places(monkeypatch):
    """The receiver keeps descriptors for its files, and serves some clients in any case."""
    resource = pytest.importorskip("resource")
    for soft, expected in ((1064, 1000), (100, 36), (10, 8), (resource.RLIM_INFINITY, 1000)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, soft=soft: (soft, soft))
        assert module._descriptors_left() == expected
