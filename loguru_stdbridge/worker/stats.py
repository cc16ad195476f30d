"""What a bridge tells of itself. A module of its own: it takes longer to load than to ask for."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stats:
    """What a bridge has done in this process so far.

    Every record that was accepted is acknowledged, pending or dropped.
    """

    accepted: int  # records that the application has logged
    acknowledged: int  # of those, written at the far end (or taken by a stock peer's kernel)
    unacknowledged: int  # of those, taken by a stock peer's kernel, which is all it can tell
    pending: int  # in the journal, or left in it by ``close``
    dropped: dict[str, int] = field(default_factory=dict)  # given up, by reason
    reconnects: int = 0
    connected: bool = False
    peer: str | None = None  # "bridge", "stock", None while unknown
