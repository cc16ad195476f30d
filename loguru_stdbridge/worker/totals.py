"""Add up what the journals of a channel have done, one after another.

Owns the sums. :class:`~loguru_stdbridge.worker.stats.Stats` shows them to users. It is a dataclass,
which takes long to load, so the worker counts in a tuple.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .pipeline import Pipeline

OWN = "own"
"""Why a record is dropped that the sender's own work has logged."""


def is_dropped(dropped: Mapping[str, int]) -> bool:
    """Return whether records of the application's are among those dropped, by reason."""
    return bool(dropped.keys() - {OWN})


class Totals(NamedTuple):
    """What a channel has done so far."""

    accepted: int = 0
    acknowledged: int = 0
    unacknowledged: int = 0
    pending: int = 0
    dropped: Mapping[str, int] = {}  # never changed: each sum makes a new one
    reconnects: int = 0
    connected: bool = False
    peer: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left and nothing was dropped of what the application has logged."""
        return not self.pending and not is_dropped(self.dropped)

    def add_drop(self, reason: str) -> Totals:
        """Return the totals with one more record, which was accepted and then dropped."""
        dropped = {**self.dropped, reason: self.dropped.get(reason, 0) + 1}
        return self._replace(accepted=self.accepted + 1, dropped=dropped)

    def add_pipeline(self, pipeline: Pipeline) -> Totals:
        """Return the totals with what ``pipeline`` has done added to them."""
        sender, figures = pipeline.sender, pipeline.journal.figures()
        dropped = dict(self.dropped)
        for reason, count in figures.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
        return Totals(
            accepted=self.accepted + figures.accepted,
            acknowledged=self.acknowledged + figures.acknowledged,
            unacknowledged=self.unacknowledged + sender.unacknowledged,
            pending=self.pending + figures.pending,
            dropped=dropped,
            reconnects=self.reconnects + sender.reconnects,
            connected=sender.connected,
            peer=sender.known_peer,
        )
