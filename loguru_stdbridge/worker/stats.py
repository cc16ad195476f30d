"""The figures of a bridge. In a module of its own, since ``dataclasses`` takes long to load."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stats:
    """Figures of a bridge, or of a handler, in this process, at one moment. It never changes.

    Each accepted record is acknowledged, pending or dropped, so ``accepted`` is the sum of those.

    Attributes
    ----------
    accepted
        Records that the application has logged.
    acknowledged
        Records that the receiver has written, or that the kernel of a stock receiver has taken.
    unacknowledged
        Of the acknowledged records, those that only a stock receiver's kernel has taken: nothing
        tells whether they were written.
    pending
        Records that are in the journal, or that ``close`` has left in it.
    dropped
        Records that were given up, by reason: ``"spool_full"``, ``"too_large"``, ``"no_space"``,
        ``"damaged"``, ``"closed"``, ``"own"``. Empty if none was.
    reconnects
        How often a connection was made again after the first one.
    connected
        Whether there is a connection that takes records.
    peer
        ``"bridge"`` for a receiver of this package, ``"stock"`` for another one; ``None`` while it
        is unknown.
    attached
        What records come from, by the options of ``install_bridge``: ``"loguru"``, ``"stdlib"``,
        ``"excepthook"`` and so on. Empty for a handler's figures.
    """

    accepted: int
    acknowledged: int
    unacknowledged: int
    pending: int
    dropped: dict[str, int] = field(default_factory=dict)
    reconnects: int = 0
    connected: bool = False
    peer: str | None = None
    attached: tuple[str, ...] = ()
