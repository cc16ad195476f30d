"""Decide which clients of the receiver keep a place when there are more clients than places.

No sockets, no clock here: connections in, the one that has to leave out.

Who a client is shows when it speaks. Until then it is a *newcomer*. A client that says hello and
whose journal lies in the receiver's own spool directory is a *worker*: nobody but this user and
root can put a journal there, and a worker loses nothing when its connection ends. Every other
client is a *stranger*: stock clients, workers of other machines, whoever knows the port.

The places
----------
Some places are a lobby: they are for newcomers, so that there is always one in which a client can
say who it is. Some are reserved for workers: strangers never get them. The rest is for both, and a
worker that finds them taken gets a stranger's.

Why nobody can hold the places
------------------------------
* A newcomer that says nothing gives its place up after ``NEWCOMER_TIMEOUT``, if another client
  needs it. So the lobby always empties.
* A client that has been silent for ``SILENT_TIMEOUT`` gives its place up, if another client needs
  it, whatever it has sent before.
* Strangers share their places by *origin*, which is a host, or a user of this machine. If they are
  all busy, a newcomer of another origin gets a place of the origin that has most. So one origin
  cannot keep another one out, however busy its clients are. If its own origin has most, the
  newcomer itself leaves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Callable, Generic, Protocol, TypeVar

NEWCOMER_TIMEOUT = 2.0
"""Seconds after which a client that has not said who it is leaves, if another needs the place."""

SILENT_TIMEOUT = 10.0
"""Seconds of silence after which a client leaves, if another needs the place."""


class Standing(Enum):
    """What a client has shown itself to be."""

    NEWCOMER = "newcomer"
    STRANGER = "stranger"
    WORKER = "worker"


class Client(Protocol):
    """What a decision needs of a connection. Times are of one clock, in seconds."""

    opened_at: float
    received_at: float
    standing: Standing
    ended: bool


C = TypeVar("C", bound=Client)


class Places(Generic[C]):
    """The places for ``limit`` clients. ``origin`` tells a client's host or user."""

    def __init__(self, limit: int, origin: Callable[[C], object]) -> None:
        self.limit = max(limit, 1)
        self._origin = origin
        lobby = max(self.limit // 20, 1) if self.limit > 1 else 0
        self.seats = self.limit - lobby
        """Places for strangers and workers together."""
        self.open_to_strangers = self.seats - (max(self.seats // 8, 1) if self.seats > 2 else 0)

    def for_newcomer(self, clients: Iterable[C], now: float) -> C | None:
        """Return the client that makes room for one that waits to be accepted, or ``None``.

        Called when all places are taken.
        """
        present = [client for client in clients if not client.ended]
        newcomers = [client for client in present if client.standing is Standing.NEWCOMER]
        late = [client for client in newcomers if now - client.opened_at > NEWCOMER_TIMEOUT]
        if late:
            return min(self._of_largest_origin(late), key=lambda client: client.opened_at)
        strangers, workers = _split(present)
        silent = _silent(strangers, now)
        if silent:
            return _longest_silent(self._of_largest_origin(silent))
        idle = _silent(workers, now)
        return _longest_silent(idle) if idle else None

    def for_worker(self, clients: Iterable[C], now: float) -> C | None:
        """Return the client that leaves for one that has shown itself to be a worker.

        ``None`` if there is room, or if only busy workers are here.
        """
        strangers, workers = _split(client for client in clients if not client.ended)
        if len(strangers) + len(workers) <= self.seats:
            return None
        for candidates in (_silent(strangers, now), strangers):
            if candidates:
                return _longest_silent(self._of_largest_origin(candidates))
        idle = _silent(workers, now)
        return _longest_silent(idle) if idle else None

    def for_stranger(self, newcomer: C, clients: Iterable[C], now: float) -> C | None:
        """Return the client that leaves for ``newcomer``, which has shown itself to be a stranger.

        ``None`` if there is room. It may be ``newcomer`` itself.
        """
        strangers, workers = _split(client for client in clients if not client.ended)
        in_all = len(strangers) + len(workers)
        if len(strangers) <= self.open_to_strangers and in_all <= self.seats:
            return None
        others = [client for client in strangers if client is not newcomer]
        largest = self._of_largest_origin(strangers)
        silent = _silent(others, now)
        if silent:
            return _longest_silent([c for c in silent if c in largest] or silent)
        idle = _silent(workers, now)
        if idle and len(strangers) <= self.open_to_strangers:
            return _longest_silent(idle)
        return newcomer if newcomer in largest else _longest_silent(largest)

    def _of_largest_origin(self, clients: list[C]) -> list[C]:
        """Return the clients of the origin, or origins, that have most of ``clients``."""
        counts = Counter(map(self._origin, clients))
        most = max(counts.values())
        return [client for client in clients if counts[self._origin(client)] == most]


def _split(clients: Iterable[C]) -> tuple[list[C], list[C]]:
    """Return the strangers and the workers among ``clients``."""
    strangers, workers = [], []
    for client in clients:
        if client.standing is Standing.STRANGER:
            strangers.append(client)
        elif client.standing is Standing.WORKER:
            workers.append(client)
    return strangers, workers


def _silent(clients: list[C], now: float) -> list[C]:
    return [client for client in clients if now - client.received_at > SILENT_TIMEOUT]


def _longest_silent(clients: list[C]) -> C:
    return min(clients, key=lambda client: client.received_at)
