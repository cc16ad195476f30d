"""Wake a thread that sleeps on a selector: register a :class:`WakeUp`, call :meth:`WakeUp.wake`.

A socket pair rather than a pipe, since selectors on Windows watch sockets only.

Why a foreign descriptor gets no byte
-------------------------------------
Some programs close all descriptors. The number of ours may then belong to a connection of the
program's, and a byte for the thread would go to its peer. So :meth:`WakeUp.wake` looks whether the
socket is still the one that was opened; a wake-up costs little beside the thread that it wakes.
The look does not let the interpreter's lock go (:mod:`~loguru_stdbridge.system.short_calls`): the
thread that sleeps here looks after each sleep, and would have to wait for a log call to give the
lock back.
"""

from __future__ import annotations

import socket
import sys
from typing import Callable

from .files import move_descriptor
from .short_calls import State, calls


def move_socket(made: socket.socket) -> socket.socket:
    """Return ``made``, or another socket in its place if its number is a standard stream's.

    Raises ``OSError``, with ``made`` closed, where the process may open no more files.
    """
    if sys.platform == "win32" or made.fileno() > 2:
        return made
    family, kind, protocol = made.family, made.type, made.proto
    return socket.socket(family, kind, protocol, move_descriptor(made.detach()))


class WakeUp:
    """One thread sleeps on it; any thread or signal handler may wake that thread.

    Not for use across a fork: a child closes its copy.
    """

    __slots__ = ("_identity", "_looks", "_reader", "_writer")

    def __init__(self) -> None:
        """Raises ``OSError`` where the process may open no more files."""
        self._reader, self._writer = map(move_socket, socket.socketpair())
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        calls.find()
        ends = (self._reader, self._writer) if sys.platform != "win32" else ()
        self._looks: list[Callable[[], State]] = [calls.make_look(end.fileno()) for end in ends]
        """Nobody closes all descriptors on Windows, where a socket's number is no file's."""
        self._identity = self._identify()

    def fileno(self) -> int:
        """Return the descriptor that a selector watches for reading."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Make the selector return. Never blocks, never raises."""
        try:  # log calls come here: ``contextlib.suppress`` would cost three calls more
            if self.is_intact():
                self._writer.send(b"\0")
        except OSError:  # full: the thread is being woken already; closed: it has ended
            pass

    def is_intact(self) -> bool:
        """Return whether both ends are still what was opened. Never raises."""
        return self._identify() == self._identity

    def _identify(self) -> list[tuple[int, ...]]:
        """Return what the system knows the two sockets by."""
        states = [look() for look in self._looks]
        return [(number, *device) for number, _, *device in states]

    def drain(self) -> None:
        """Forget the calls so far, before looking at what they were about. Never blocks."""
        try:
            self._reader.recv(4096)
        except OSError:
            pass

    def detach(self) -> None:
        """Let go of both ends without closing them: their numbers are other files' by now."""
        self._reader.detach()
        self._writer.detach()

    def close(self) -> None:
        """Close both ends. Later calls of :meth:`wake` do nothing."""
        self._reader.close()
        self._writer.close()
