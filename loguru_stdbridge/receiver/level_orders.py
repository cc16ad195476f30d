"""What an operator wants to be told of workers for a while: records of lower levels.

Owns the orders that hold, and whom each concerns. Workers are told all of theirs at once; what has
expired they drop by themselves. No sockets here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from ..record.level_order import MAX_ORDERS, LevelOrder
from .connection import Connection
from .owners import Owner, find_owner


class Whose(NamedTuple):
    """The processes that an order concerns."""

    program: str = ""
    """``""``: any."""

    pid: int = 0
    """0: any."""

    def has(self, owner: Owner) -> bool:
        """Return whether a process is meant."""
        return self.program in ("", owner.program) and self.pid in (0, owner.pid)


class LevelOrders:
    """The orders of one receiver, and what its workers know of them."""

    def __init__(self, spool_dir: str | None) -> None:
        self._spool_dir = spool_dir
        self._held: dict[tuple[Whose, str], tuple[float, int]] = {}  # until when, and the level

    def give(
        self, whose: Whose, order: LevelOrder, connections: Iterable[Connection]
    ) -> list[Connection]:
        """Take an order, in the place of one for the same logger and processes, and tell it.

        One of no seconds ends that. Of too many, the oldest is dropped. Return the connections of
        the processes that are meant and could be told.
        """
        self._held.pop((whose, order.logger), None)
        if order.seconds > 0:
            self._held[whose, order.logger] = (time.monotonic() + order.seconds, order.level)
            while len(self._held) > MAX_ORDERS:
                del self._held[next(iter(self._held))]
        meant = []
        for connection in connections:
            if connection.takes_levels and not connection.ended:
                self.tell(connection)
                if whose.has(self._owner_of(connection)):
                    meant.append(connection)
        return meant

    def greet(self, connection: Connection, takes_levels: bool) -> None:
        """Note whether a worker can be told, and tell it."""
        connection.takes_levels = takes_levels
        self.tell(connection)

    def tell(self, connection: Connection) -> None:
        """Tell a worker that was greeted what holds for it, if anything does, or did."""
        if not connection.takes_levels or not (self._held or connection.has_orders):
            return
        now = time.monotonic()
        self._held = {key: held for key, held in self._held.items() if held[0] > now}
        owner = self._owner_of(connection)
        orders = [
            LevelOrder(logger, level, until - now)
            for (whose, logger), (until, level) in self._held.items()
            if whose.has(owner)
        ]
        if orders or connection.has_orders:
            connection.has_orders = bool(orders)
            connection.send(connection.protocol.levels(orders))

    def _owner_of(self, connection: Connection) -> Owner:
        if connection.owner is None:
            connection.owner = find_owner(connection.socket, connection.sender, self._spool_dir)
        return connection.owner
