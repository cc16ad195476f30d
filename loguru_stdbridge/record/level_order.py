"""Least levels that an operator has asked for: of one logger, for a while.

The receiver tells them to workers that are connected. Owns their form and their bounds.

Why obeying a peer is safe
--------------------------
A peer that is no receiver of this user gets no records in the first place. One that is gets some
more of them, for :data:`MAX_SECONDS` at most.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

MAX_ORDERS = 100
"""Orders at a time. A record below the level that was set is compared with each."""

MAX_SECONDS = 24 * 3600.0
"""Seconds for which an order may hold."""

MAX_LOGGER_NAME = 1000


class LevelOrder(NamedTuple):
    """From ``level`` on, the records of ``logger`` and of those below it are wanted."""

    logger: str
    """``""``: all."""

    level: int
    seconds: float
    """How long it holds."""

    def is_for(self, name: Any) -> bool:
        """Return whether the logger of this name is meant."""
        logger = self.logger
        if not logger or name == logger:
            return True
        return isinstance(name, str) and name.startswith(f"{logger}.")


def dump_orders(orders: list[LevelOrder]) -> list[Any]:
    """Return orders as JSON has them."""
    return [list(order) for order in orders]


def load_orders(given: Any) -> tuple[LevelOrder, ...]:
    """Return the orders that a receiver has told. What is none is left out."""
    if type(given) is not list:
        return ()
    orders = []
    for item in given[:MAX_ORDERS]:
        if type(item) is not list or len(item) != 3:
            continue
        logger, level, seconds = item
        if type(logger) is not str or len(logger) > MAX_LOGGER_NAME or type(level) is not int:
            continue
        if type(seconds) not in (int, float) or not math.isfinite(seconds) or seconds <= 0:
            continue
        if 0 <= level < 1 << 31:
            orders.append(LevelOrder(logger, level, min(float(seconds), MAX_SECONDS)))
    return tuple(orders)
