"""A table that makes the values it lacks, and never holds more than a given number of them."""

from __future__ import annotations

from typing import Any, Callable


class BoundedCache(dict[Any, Any]):
    """Makes each value once, by ``make(key)``; begins anew when it holds ``limit`` of them.

    Looking up what is there costs what it costs in a dict. What ``make`` raises reaches the caller,
    and nothing is kept. Safe in threads and signal handlers: at worst a value is made twice.
    """

    def __init__(self, make: Callable[[Any], Any], limit: int) -> None:
        super().__init__()
        self._make = make
        self._limit = limit

    def __missing__(self, key: Any) -> Any:
        value = self._make(key)
        if len(self) >= self._limit:
            self.clear()
        self[key] = value
        return value
