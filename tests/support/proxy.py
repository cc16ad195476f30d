"""Put a TCP proxy between worker and receiver that delays, splits and cuts at random.

The proxy splits each piece that arrives, and pauses before it passes each part on. Now and then it
passes on only a part and then resets or ends both connections: in the middle of a frame, of a
greeting or of an acknowledgement.
"""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import struct
import threading
import time
from collections import deque

MAX_WAITING = 1 << 20
"""Bytes that may wait in one direction before the proxy stops reading there."""

_RESET = struct.pack("ii", 1, 0)


class _Side:
    """One socket of a pair, and the bytes that wait to be sent to it."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.other: _Side
        self.waiting: deque[tuple[float, bytes]] = deque()  # when each is due, and the bytes
        self.size = 0
        self.no_more = False  # no more bytes will come for it
        self.finished = False  # its peer has been told so
        self.ended = False  # its peer sends no more
        self.dead = False  # its connection is broken
        self.watched = False
        self.cut: str | None = None  # "reset" or "end", once the waiting bytes are sent


class Proxy:
    """Passes bytes from ``address`` to ``target`` (host, port) in a thread, until it is closed."""

    def __init__(
        self, target: tuple[str, int], seed: int, *, cut: float = 0.01, delay: float = 0.005
    ) -> None:
        """Start; ``cut``: the chance that a piece is the last; ``delay``: the longest pause in s."""
        self.target = target
        self.connections = 0
        self.cuts = 0
        self._random = random.Random(seed)
        self._cut = cut
        self._delay = delay
        self._sides: set[_Side] = set()
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="proxy")
        self._thread.start()

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()
        return f"tcp://{host}:{port}"

    def close(self) -> None:
        self._wake_writer.send(b"\0")
        self._thread.join()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while True:
                for key, _ in self._selector.select(self._pause()):
                    if key.fileobj is self._wake_reader:
                        return
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data in self._sides:
                        self._read(key.data)
                for side in list(self._sides):
                    if side in self._sides:
                        self._write(side)
                for side in self._sides:
                    self._watch(side)
        finally:
            for sock in [side.socket for side in self._sides]:
                sock.close()
            for sock in (self._listener, self._wake_reader, self._wake_writer):
                sock.close()
            self._selector.close()

    def _pause(self) -> float | None:
        due = [side.waiting[0][0] for side in self._sides if side.waiting]
        return None if not due else max(min(due) - time.monotonic(), 0.0005)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        try:
            server = socket.create_connection(self.target, 1)
        except OSError:
            client.close()
            return
        self.connections += 1
        pair = _Side(client), _Side(server)
        for side, other in zip(pair, reversed(pair)):
            side.other = other
            side.socket.setblocking(False)
            side.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sides.add(side)

    def _watch(self, side: _Side) -> None:
        other = side.other
        reading = not (side.ended or other.dead or other.cut) and other.size <= MAX_WAITING
        if reading and not side.watched:
            self._selector.register(side.socket, selectors.EVENT_READ, side)
        elif side.watched and not reading:
            self._selector.unregister(side.socket)
        side.watched = reading

    def _read(self, side: _Side) -> None:
        other = side.other
        try:
            data = side.socket.recv(self._random.choice((7, 100, 4096, 65536, 65536)))
        except BlockingIOError:
            return
        except OSError:
            self._broken(side)
            return
        if not data:
            side.ended = other.no_more = True
            return
        if self._random.random() < self._cut:
            data = data[: self._random.randrange(len(data) + 1)]
            other.cut = self._random.choice(("reset", "end"))
        due = other.waiting[-1][0] if other.waiting else time.monotonic()
        while data:
            size = self._random.choice((1, 3, 50, 2000, len(data), len(data)))
            due += self._random.choice((0.0, 0.0, 0.0, self._delay * self._random.random()))
            other.waiting.append((due, data[:size]))
            other.size += size
            data = data[size:]

    def _write(self, side: _Side) -> None:
        now = time.monotonic()
        try:
            while side.waiting and side.waiting[0][0] <= now:
                due, data = side.waiting[0]
                sent = side.socket.send(data)
                side.size -= sent
                if sent < len(data):
                    side.waiting[0] = (due, data[sent:])
                    return
                side.waiting.popleft()
        except BlockingIOError:
            side.waiting[0] = (now + 0.002, side.waiting[0][1])
            return
        except OSError:
            self._broken(side)
            return
        if side.waiting or side.dead:
            return
        if side.cut is not None:
            self.cuts += 1
            self._end(side, reset=side.cut == "reset")
        elif side.no_more and not side.finished:
            side.finished = True
            with contextlib.suppress(OSError):
                side.socket.shutdown(socket.SHUT_WR)
            if side.other.finished:
                self._end(side, reset=False)

    def _broken(self, side: _Side) -> None:
        """Note a broken connection; its waiting bytes still go on, then the other is reset."""
        side.dead = side.ended = True
        side.waiting.clear()
        side.other.cut = side.other.cut or "reset"

    def _end(self, side: _Side, *, reset: bool) -> None:
        for one in (side, side.other):
            if one in self._sides:
                self._sides.discard(one)
                if one.watched:
                    self._selector.unregister(one.socket)
                if reset:
                    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                one.socket.close()
