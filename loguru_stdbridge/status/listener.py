"""The HTTP listener: one thread with a selector, beside the receiver's loop.

Owns the thread and the visitors. What is answered is :mod:`~loguru_stdbridge.status.answers`'
business, where it listens :mod:`~loguru_stdbridge.status.doors`', and who may ask
:mod:`~loguru_stdbridge.status.requests`'.

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
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from typing import Callable

from ..addresses import Address
from ..system.forks import block_forks, drop_in_children
from ..system.signals import start_thread
from ..system.wakeup import WakeUp
from .doors import Doors
from .requests import MAX_HEAD, Gate, Refused, is_whole, make_error, read_request
from .visitors import Answerer, Visitor

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
            self._doors = Doors(
                addresses,
                token=token,
                names=names,
                socket_mode=socket_mode,
                socket_group=socket_group,
            )
            opened.callback(self._doors.close)
            for door in self._doors:
                self._selector.register(door, selectors.EVENT_READ)
            self._selector.register(self._wakeup, selectors.EVENT_READ)
            self._opened = opened.pop_all()
        self._thread = threading.Thread(
            target=self._serve, name="loguru_stdbridge-status", daemon=True
        )
        drop_in_children(self)

    @property
    def addresses(self) -> list[Address]:
        """Where it listens, with the ports that the system chose."""
        return self._doors.addresses

    def start(self) -> None:
        """Start the thread."""
        start_thread(self._thread)

    def after_fork_in_child(self) -> None:
        """Close a child's copies of the sockets. Nothing is unlinked: the parent needs it."""
        self._doors.after_fork_in_child()
        for visitor in self._visitors:
            visitor.socket.close()
        self._wakeup.close()
        self._selector.close()
        self._is_over = True

    def adopt(self, connection: socket.socket, received: bytes) -> bool:
        """Take over a local connection, whose first bytes are ``received``. From any thread.

        Return ``False`` where the listener has ended.
        """
        gate = Gate(is_unix=True, takes_orders=True)
        visitor = Visitor(connection, gate, is_trusted=True)
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

    def _accept(self, door: socket.socket) -> None:
        with block_forks():
            visitor = self._doors.accept(door)
            if visitor is not None:
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
