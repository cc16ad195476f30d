"""The HTTP listener: one thread with a selector, beside the receiver's loop.

Owns its sockets and its thread. What is answered is :mod:`~loguru_stdbridge.status.answers`'
business, and who may ask :mod:`~loguru_stdbridge.status.requests`'.

Why no visitor can hold it up
----------------------------
Nothing here waits for a visitor: sockets do not block, and each has a deadline, to send its head
and to read its answer. Heads are bounded, and so are the visitors. Where they are too many, the one
that has been still for longest leaves.

Why it costs the loop little
----------------------------
The thread shares the interpreter with the loop. So it works for :data:`WORK` seconds and rests for
the remainder of :data:`TURN`, whatever viewers want.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import stat
import threading
import time
from collections.abc import Sequence
from typing import Any, Callable, Protocol

from ..addresses import Address
from ..system.files import file_key
from ..system.forks import block_forks, drop_in_children
from ..system.peers import plain_host, users_of_clients
from ..system.runtime import AF_UNIX, short_path
from ..system.signals import start_thread
from ..system.users import change_owner, own_users
from ..system.wakeup import WakeUp
from .requests import MAX_HEAD, Gate, Refused, Request, is_whole, make_error, read_request

TURN = 0.1
"""Seconds of one turn of the thread while somebody watches."""

WORK = 0.02
"""Seconds of a turn in which it may use the processor."""

MAX_VISITORS = 40
"""Visitors at a time, viewers included."""

HEAD_TIMEOUT = 5.0
"""Seconds that a visitor may take to send the head of its request."""

READ_TIMEOUT = 10.0
"""Seconds that a visitor may take to read a part of what waits for it."""

END_TIMEOUT = 1.0
"""Seconds to wait for the visitor's end of the connection: a socket that is closed with bytes that
nobody has read destroys what is on its way."""


class Visitor:
    """One connection. Times are of ``time.monotonic``."""

    def __init__(self, connection: socket.socket, gate: Gate, *, is_trusted: bool) -> None:
        connection.setblocking(False)
        self.socket = connection
        self.gate = gate
        self.is_trusted = is_trusted
        self.received = b""
        self.request: Request | None = None
        self.out = bytearray()
        self.more: Callable[[], bytes] | None = None
        """Gives the next part of a long answer; empty at its end."""
        self.file: Any = None
        """What a long answer is read from; closed when the visitor leaves."""
        self.feed: Any = None
        """What a viewer is sent (``events``), until it leaves."""
        self.moved_at = time.monotonic()
        """When it has sent or read something last, or nothing waited for it."""
        self.is_leaving = False
        """Whether all is sent, and its end is waited for."""
        self.interest = selectors.EVENT_READ

    def fileno(self) -> int:
        """Return the descriptor that a selector watches."""
        return self.socket.fileno()

    def answer(self, data: bytes) -> None:
        """Have bytes sent."""
        if not self.out:
            self.moved_at = time.monotonic()
        self.out += data


class Answerer(Protocol):
    """Decides what requests get."""

    def answer(self, visitor: Visitor, request: Request) -> None:
        """Answer a request by :meth:`Visitor.answer`, or set ``more`` or ``feed``."""

    def turn(self, visitors: Sequence[Visitor], until: float) -> float | None:
        """Feed the viewers, until a monotonic time at most.

        Return the seconds until it wants the next turn, or ``None`` where nobody watches."""

    def close(self) -> None:
        """Let go of what is open."""


class StatusListener:
    """Listens at addresses, and takes connections that others have accepted."""

    def __init__(
        self,
        addresses: Sequence[Address],
        answerer: Answerer,
        *,
        token: str = "",
        names: Sequence[str] = (),
        socket_mode: int = 0o600,
        socket_group: int | None = None,
        idle_timeout: float | None = None,
        report: Callable[[str], None],
    ) -> None:
        """Bind ``addresses``. Raises ``OSError`` that names one that cannot be bound.

        ``idle_timeout``: end by itself after so many seconds without a visitor; ``None``: never.
        """
        self._answerer = answerer
        self._report = report
        self._idle_timeout = idle_timeout
        self._visitors: set[Visitor] = set()
        self._handed: list[Visitor] = []  # by another thread
        self._is_closing = False
        self._is_over = False
        self._lock = threading.Lock()  # for the hand-over and the end, never while working
        with contextlib.ExitStack() as opened, block_forks():
            self._selector = opened.enter_context(selectors.DefaultSelector())
            self._wakeup = WakeUp()
            opened.callback(self._wakeup.close)
            self._listeners: dict[socket.socket, Gate] = {}
            self._paths: list[tuple[str, tuple[int, int]]] = []
            opened.callback(self._unlink)
            self.addresses: list[Address] = []
            for address in addresses:
                is_unix = address.scheme == "unix"
                listener = _listen(address, socket_mode, socket_group)
                opened.callback(listener.close)
                listener.setblocking(False)
                self._listeners[listener] = Gate(is_unix=is_unix, token=token, names=names)
                self._selector.register(listener, selectors.EVENT_READ)
                if is_unix:
                    status = os.lstat(address.path)
                    self._paths.append((address.path, file_key(status)))
                    self.addresses.append(address)
                else:
                    host, port = listener.getsockname()[:2]
                    self.addresses.append(Address("tcp", host=host, port=port))
            self._selector.register(self._wakeup, selectors.EVENT_READ)
            self._opened = opened.pop_all()
        self._thread = threading.Thread(
            target=self._serve, name="loguru_stdbridge-status", daemon=True
        )
        drop_in_children(self)

    def start(self) -> None:
        """Start the thread."""
        start_thread(self._thread)

    def after_fork_in_child(self) -> None:
        """Close a child's copies of the sockets. Nothing is unlinked: the parent needs it."""
        for each in [*self._listeners, *(visitor.socket for visitor in self._visitors)]:
            each.close()
        self._wakeup.close()
        self._selector.close()
        self._paths.clear()
        self._is_over = True

    def adopt(self, connection: socket.socket, received: bytes) -> bool:
        """Take over a local connection, whose first bytes are ``received``. From any thread.

        Return ``False`` where the listener has ended.
        """
        visitor = Visitor(connection, Gate(is_unix=True), is_trusted=True)
        visitor.received = received
        with self._lock:
            if self._is_over:
                return False
            self._handed.append(visitor)
        self._wakeup.wake()
        return True

    def close(self, timeout: float = 2.0) -> None:
        """End the thread and close everything. May be called again."""
        self._is_closing = True
        self._wakeup.wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout)
        elif not self._thread.ident:
            self._end()

    # -- the thread

    def _serve(self) -> None:
        wanted: float | None = None
        idle_since = time.monotonic()
        try:
            while not self._is_closing:
                turn_began = time.monotonic()
                pause = 1.0 if wanted is None else wanted
                ready = self._selector.select(max(pause, 0.0))
                began = time.monotonic()
                for key, events in ready:
                    self._serve_ready(key.fileobj, events)
                self._take_handed()
                wanted = self._answerer.turn(list(self._visitors), began + WORK)
                self._sweep(time.monotonic())
                now = time.monotonic()
                if self._visitors:
                    idle_since = now
                elif self._idle_timeout is not None and now - idle_since > self._idle_timeout:
                    with self._lock:
                        self._is_over = not self._handed
                    if self._is_over:
                        return
                if wanted is not None and now - began >= WORK:  # the loop has its turn first
                    self._rest(turn_began + TURN)
        except Exception as error:
            self._report(f"the status listener has ended by {type(error).__name__}: {error}")
        finally:
            self._end()

    def _rest(self, until: float) -> None:
        pause = until - time.monotonic()
        if pause > 0 and not self._is_closing:
            time.sleep(pause)

    def _serve_ready(self, target: object, events: int) -> None:
        if target is self._wakeup:
            self._wakeup.drain()
        elif isinstance(target, Visitor):
            if events & selectors.EVENT_WRITE:
                self._send(target)
            if events & selectors.EVENT_READ and target in self._visitors:
                self._receive(target)
        elif isinstance(target, socket.socket):
            self._accept(target)

    def _accept(self, listener: socket.socket) -> None:
        with block_forks():
            try:
                connection, address = listener.accept()
            except OSError:
                return
            visitor = Visitor(
                connection, self._listeners[listener], is_trusted=_is_trusted(connection, address)
            )
            self._add(visitor)

    def _take_handed(self) -> None:
        with self._lock:
            handed, self._handed = self._handed, []
        for visitor in handed:
            self._add(visitor)
            self._take_head(visitor)

    def _add(self, visitor: Visitor) -> None:
        if len(self._visitors) >= MAX_VISITORS:
            others = [other for other in self._visitors if other.feed is None]
            self._drop(min(others or self._visitors, key=lambda other: other.moved_at))
        self._visitors.add(visitor)
        self._selector.register(visitor, visitor.interest)

    def _receive(self, visitor: Visitor) -> None:
        try:
            data = visitor.socket.recv(16384)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:  # its end: of a viewer, too
            self._drop(visitor)
            return
        if visitor.request is None and not visitor.is_leaving and not visitor.out:
            visitor.received += data
            self._take_head(visitor)

    def _take_head(self, visitor: Visitor) -> None:
        if not is_whole(visitor.received):
            if len(visitor.received) > MAX_HEAD:
                self._finish(visitor, make_error(431))
            return
        data, visitor.received = visitor.received[: MAX_HEAD + 4], b""
        try:
            request = read_request(data)
            visitor.gate.check(request, is_trusted=visitor.is_trusted)
            visitor.request = request
            self._answerer.answer(visitor, request)
        except Refused as refused:
            self._finish(visitor, refused.answer)
            return
        except Exception as error:  # a bug of ours: this visitor alone suffers
            self._report(f"a bug in the status listener: {type(error).__name__}: {error}")
            visitor.out.clear()
            visitor.more = visitor.feed = None
            self._finish(visitor, make_error(500))
            return
        self._send(visitor)

    def _finish(self, visitor: Visitor, data: bytes) -> None:
        visitor.answer(data)
        self._send(visitor)

    def _send(self, visitor: Visitor) -> None:
        """Send what waits, as far as the visitor takes it; at the end, take leave of it."""
        try:
            while True:
                if not visitor.out and visitor.more is not None:
                    visitor.out += visitor.more()
                    if not visitor.out:
                        visitor.more = None
                if not visitor.out:
                    break
                sent = visitor.socket.send(visitor.out)
                del visitor.out[:sent]
                visitor.moved_at = time.monotonic()
                if visitor.more is not None:  # a long answer: a part in each turn
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._drop(visitor)
            return
        if (
            not visitor.out
            and visitor.more is None
            and visitor.feed is None
            and not visitor.is_leaving
        ):
            visitor.is_leaving = True
            visitor.moved_at = time.monotonic()
            with contextlib.suppress(OSError):
                visitor.socket.shutdown(socket.SHUT_WR)
        self._watch(visitor)

    def _watch(self, visitor: Visitor) -> None:
        waits = visitor.out or visitor.more is not None
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
        if interest != visitor.interest:
            visitor.interest = interest
            self._selector.modify(visitor, interest)

    def _sweep(self, now: float) -> None:
        for visitor in list(self._visitors):
            if visitor.feed is not None and visitor.out:
                self._send(visitor)
            still = now - visitor.moved_at
            if visitor.out or visitor.more is not None:
                late = still > READ_TIMEOUT
            elif visitor.is_leaving:
                late = still > END_TIMEOUT
            elif visitor.request is None:
                late = still > HEAD_TIMEOUT
            else:
                visitor.moved_at, late = now, False
            if late:
                self._drop(visitor)

    def _drop(self, visitor: Visitor) -> None:
        if visitor in self._visitors:
            self._visitors.discard(visitor)
            self._selector.unregister(visitor)
            visitor.feed = visitor.more = None
            visitor.socket.close()
            if visitor.file is not None:
                visitor.file.close()

    def _end(self) -> None:
        with self._lock:
            self._is_over = True
            handed, self._handed = self._handed, []
        for visitor in handed:
            visitor.socket.close()
        for visitor in list(self._visitors):
            self._drop(visitor)
        self._answerer.close()
        self._opened.close()

    def _unlink(self) -> None:
        for path, file in self._paths:
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                if file_key(status) == file:
                    os.unlink(path)


def _listen(address: Address, mode: int, group: int | None) -> socket.socket:
    """Return a listening socket. Raises ``OSError`` that names the address."""
    try:
        if address.scheme == "tcp":
            family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
            return socket.create_server((address.host, address.port), family=family, backlog=64)
        return _listen_unix(address.path, mode, group)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(error.errno, f"cannot show the status at {address}: {reason}") from error


def _listen_unix(path: str, mode: int, group: int | None) -> socket.socket:
    if AF_UNIX is None:
        raise OSError(errno.EAFNOSUPPORT, "this platform has no Unix sockets")
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.lstat(path).st_mode) and not _is_served(path):
            os.unlink(path)
    listener = socket.socket(AF_UNIX, socket.SOCK_STREAM)
    try:
        old = os.umask(0o177)  # the socket is its owner's alone from the first instant
        try:
            with short_path(path) as shorter:
                listener.bind(shorter)
        finally:
            os.umask(old)
        try:
            if group is not None:
                change_owner(path, -1, group)
            if mode != 0o600:
                os.chmod(path, mode)
            listener.listen(64)
        except BaseException:
            os.unlink(path)
            raise
    except BaseException:
        listener.close()
        raise
    return listener


def _is_served(path: str) -> bool:
    with contextlib.closing(socket.socket(AF_UNIX, socket.SOCK_STREAM)) as probe:
        probe.settimeout(1.0)
        try:
            with short_path(path) as shorter:
                probe.connect(shorter)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


def _is_trusted(connection: socket.socket, address: Any) -> bool:
    """Return whether a visitor is of the receiver's own user or root, or nobody can tell."""
    if not isinstance(address, tuple):
        return True  # the socket's mode has let it in
    host = plain_host(address[0])
    if not (host.startswith("127.") or host == "::1"):
        return False
    port = connection.getsockname()[1]
    user = users_of_clients(port).get((host, address[1]))
    return user is None or not own_users() or user in own_users()
