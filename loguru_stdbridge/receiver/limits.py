"""What one client, one peer and all clients together may take, as far as the user may say it.

The other limits are fixed, and stand where they are needed: the size of a frame
(:mod:`~loguru_stdbridge.wire.frames`), incomplete frames and their time
(:mod:`~loguru_stdbridge.receiver.clients`), handshakes
(:mod:`~loguru_stdbridge.receiver.handshakes`).
"""

from __future__ import annotations

from typing import NamedTuple

from ..exceptions import ConfigurationError

MAX_CONNECTIONS = 1000
"""Clients served at a time, if the process may open that many files and nobody says otherwise."""

MOST = 1_000_000_000

MAX_ORDER = 60.0
"""Seconds for which records may be held."""


class Limits(NamedTuple):
    """Bounds; ``None`` is none."""

    connections: int = MAX_CONNECTIONS
    """Clients at a time."""
    per_peer: int | None = None
    """Clients at a time of one host, or of one user of this machine."""
    rate: int | None = None
    """Records a second of one client, which waits where it sends more: nothing is dropped."""


DEFAULT_LIMITS = Limits()


def read_limits(
    max_connections: int | None, max_peer_connections: int | None, max_rate: int | None
) -> Limits:
    """Return the limits. Raises :class:`ConfigurationError` for what is no number from 1 on."""
    given = {
        "max_connections": max_connections,
        "max_peer_connections": max_peer_connections,
        "max_rate": max_rate,
    }
    for name, value in given.items():
        if value is not None and (type(value) is not int or not 1 <= value <= MOST):
            raise ConfigurationError(f"{name}={value!r}: a whole number from 1 on")
    return Limits(max_connections or MAX_CONNECTIONS, max_peer_connections, max_rate)


def read_order(value: object) -> float | None:
    """Return the seconds of ``--order``. Raises :class:`ConfigurationError`."""
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value <= MAX_ORDER:  # type: ignore[operator]
        raise ConfigurationError(f"order={value!r}: seconds, above 0 and up to {MAX_ORDER:g}")
    return float(value)  # type: ignore[arg-type]


class Pace:
    """How fast one client may go on: a second's worth at once, and then by the second."""

    def __init__(self, rate: int, now: float) -> None:
        """``rate`` is in records a second; ``now`` is monotonic."""
        self._rate = rate
        self._left = float(rate)
        self._at = now

    def take(self, count: int, now: float) -> float:
        """Note ``count`` records; return the seconds until the client may go on."""
        self._left = min(self._left + (now - self._at) * self._rate, self._rate) - count
        self._at = now
        return max(-self._left / self._rate, 0.0)
