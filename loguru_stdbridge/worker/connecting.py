"""Connect a sender to its receiver, and have one started where none answers.

Runs in the sender's thread, which does the waiting. What is said over the connection is
:mod:`~loguru_stdbridge.worker.conversation`'s.
"""

from __future__ import annotations

import errno
import time
from typing import Callable

from ..addresses import Address
from .ending import Ending
from .starting import ReceiverStarter
from .transport import CONNECT_TIMEOUT, Target, Transport, targets
from .waiting import WRITE, Waiter


class Connector:
    """Makes the connections to one address."""

    def __init__(
        self,
        address: Address,
        trusted_users: set[int] | None,
        starter: ReceiverStarter | None,
        report: Callable[[str], None],
        open_transport: Callable[[Target, set[int] | None], Transport] = Transport,
    ) -> None:
        """See :class:`.Sender`."""
        self._open_transport = open_transport
        self._address = address
        self._trusted_users = trusted_users
        self._starter = starter
        self._report = report
        self.misses_receiver = False
        """Whether a receiver that this process may start has gone, and none was seen since."""

    @property
    def expects_receiver(self) -> bool:
        """Whether one that was started, here or by another process, may answer in a moment."""
        return self._starter is not None and self._starter.is_expected(time.monotonic())

    def connect(
        self, waiter: Waiter, wait: Callable[[float | None], int], ending: Callable[[], Ending]
    ) -> Transport:
        """Connect to the first of the address's targets that takes it. Raises ``OSError``.

        ``wait`` waits for the connection, so many seconds at most. Where nobody answers, a receiver
        is started, if that is ours to do.
        """
        try:
            transport = self._connect(waiter, wait, ending)
        except OSError:
            self.misses_receiver = self._starter is not None
            if self._starter is not None:
                told = self._starter.start(time.monotonic())
                if told is not None:
                    self._report(told)
            raise
        self.misses_receiver = False
        if self._starter is not None:
            self._starter.stop_waiting()
        return transport

    def note_lost(self) -> None:
        """Note that a connection has ended by its receiver, or by the network."""
        self.misses_receiver = self._starter is not None

    def look_after_children(self) -> None:
        """Wait for the child by which a receiver was started, if it has ended."""
        if self._starter is not None:
            self._starter.reap()

    def close(self, *, is_left: bool) -> None:
        """Hold nothing any more: the sender's thread ends.

        If a record ``is_left``, and no receiver is there to deliver it, have one started.
        """
        if self._starter is not None:
            if is_left and self.misses_receiver:
                self._starter.start(time.monotonic(), is_last=True)
            self._starter.close()

    def _connect(
        self, waiter: Waiter, wait: Callable[[float | None], int], ending: Callable[[], Ending]
    ) -> Transport:
        failure = OSError(f"{self._address} has no address")
        for target in targets(self._address, self._trusted_users):
            try:
                transport = self._open_transport(target, self._trusted_users)
                waiter.hold(transport)
                deadline = time.monotonic() + CONNECT_TIMEOUT
                self._await(WRITE, "accepted", deadline, waiter, wait, ending)
                transport.finish_connect()
                interest = transport.shake_hands()
                while interest:
                    self._await(interest, transport.handshake, deadline, waiter, wait, ending)
                    interest = transport.shake_hands()
                return transport
            except OSError as error:
                waiter.drop()
                failure = error
        raise failure

    @staticmethod
    def _await(
        interest: int,
        what: str,
        deadline: float,
        waiter: Waiter,
        wait: Callable[[float | None], int],
        ending: Callable[[], Ending],
    ) -> None:
        """Wait until the connection is ready. Raise ``OSError`` that says ``what`` it is not."""
        waiter.watch(interest)
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or ending().is_over():
                raise OSError(errno.ETIMEDOUT, f"the connection is not {what}")
            if wait(ending().bound(left)):
                return
