"""What a stock receiver is known to have read: it acknowledges nothing.

Why an orderly end proves it
----------------------------
A receiver of ``SocketHandler``'s format reads a connection up to its end and then closes its own
side. So this side ends the stream and waits. Where the end of the other side's stream comes, the
receiver has read everything that was sent before. Where a reset comes (it has closed with bytes
unread, or is gone), or nothing (it is stopped, or never closes), it may have read any part of it.
A flush and a close ask for that proof; the next record opens another connection.
"""

from __future__ import annotations

PROOF_TIMEOUT = 5.0
"""Seconds that a stock receiver has to read to the end of the stream and to close its side."""


class StockProof:
    """The proof that is asked for, and how far it goes. For one sender."""

    def __init__(self) -> None:
        self._wanted = 0
        self.through = 0
        """The highest number that was read for certain, if nothing is uncertain."""
        self.is_uncertain = False
        """Whether a connection has ended without a proof of all that was sent over it."""

    def ask(self, through: int) -> None:
        """Have it proved that everything up to ``through`` was read."""
        self._wanted = max(self._wanted, through)

    def is_due(self, taken: int) -> bool:
        """Return whether a connection that has ``taken`` everything up to a number should end."""
        return self.through < self._wanted <= taken and not self.is_uncertain

    def is_given(self, through: int) -> bool:
        """Return whether everything up to ``through`` was read for certain."""
        return through <= self.through and not self.is_uncertain
