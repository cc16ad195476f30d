"""The figures of a bridge. In a module of its own, since ``dataclasses`` takes long to load."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Stats:
    """Figures of a bridge in this process. Each accepted record is acknowledged, pending or
    dropped."""

    accepted: int  # records that the application has logged
    acknowledged: int  # of those, written by the receiver (or taken by a stock peer's kernel)
    unacknowledged: int  # of those, taken by a stock peer's kernel: nobody tells more of them
    pending: int  # in the journal, or left in it by ``close``
    dropped: dict[str, int] = field(default_factory=dict)  # given up, by reason
    reconnects: int = 0
    connected: bool = False
    peer: str | None = None  # "bridge", "stock", None while unknown
    attached: tuple[str, ...] = ()  # what records come from, by the options of ``install_bridge``
