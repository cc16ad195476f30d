"""The sequence numbers that a journal has given up, and how many of them count as dropped records.

Keeps them in order and counts them. Which numbers are given up, and when, is decided in
:mod:`spool.journal`. No locks here: the caller holds the journal's lock. A signal handler may raise
between any two lines; each line leaves a state from which the next call goes on.

Why the count of dropped records is exact
-----------------------------------------
Records are given up while they wait, so some of them may have been sent, and may arrive yet. The
sender tells the receiver of a gap only on a connection on which it was greeted. The gap begins
there with the first number that the sender has neither sent on this connection nor been greeted
with (:meth:`Gaps.tell`). Rows that were sent earlier on this connection are taken before the gap
is, and an earlier connection brings nothing any more, since a greeting ends it. Numbers that are
acknowledged although their gap was never told had arrived (:meth:`Gaps.settle`).
"""

from __future__ import annotations

from typing import Callable

from .segments import Gap


class _GapPart:
    """Consecutive numbers that were given up for one reason and are not acknowledged."""

    __slots__ = ("counted", "first", "last", "reason", "told")

    def __init__(self, first: int, last: int, reason: str) -> None:
        self.first = first
        self.last = last
        self.reason = reason
        self.counted = last - first + 1  # how many count as dropped; all, until more is known
        self.told = False


class Gaps:
    """The gaps of one journal, in order."""

    def __init__(self, note: Callable[[int], None]) -> None:
        """Call ``note`` with the highest number given up, whenever that grows."""
        self._note = note
        self._parts: list[_GapPart] = []  # in order, none acknowledged
        self._settled: dict[str, int] = {}  # dropped records of acknowledged parts, by reason
        self._highest = 0

    def __bool__(self) -> bool:
        """Return whether a gap is not acknowledged."""
        return bool(self._parts)

    def figures(self) -> tuple[int, dict[str, int]]:
        """Return the count of unacknowledged given-up numbers, and dropped records by reason."""
        numbers = 0
        dropped = dict(self._settled)
        for part in self._parts:
            numbers += part.last - part.first + 1
            dropped[part.reason] = dropped.get(part.reason, 0) + part.counted
        return numbers, {reason: count for reason, count in dropped.items() if count}

    def at(self, number: int) -> Gap | None:
        """Return the gap from ``number`` on, or ``None`` where that was not given up."""
        for part in self._parts:
            if part.first > number:
                break
            if part.last >= number:
                return Gap(number, part.last, part.reason)
        return None

    def last_before(self, number: int) -> int:
        """Return the highest number up to ``number`` that is not in an unacknowledged gap."""
        for part in reversed(self._parts):
            if part.last != number:
                break
            number = part.first - 1
        return number

    def give_up(self, first: int, last: int, reason: str) -> None:
        """Give up the numbers ``first`` to ``last``; those given up already keep their reason."""
        for part in list(self._parts):
            if part.first > last:
                break
            if part.first > first:
                self._add(first, part.first - 1, reason)
            first = max(first, part.last + 1)
        if first <= last:
            self._add(first, last, reason)

    def _add(self, first: int, last: int, reason: str) -> None:
        parts = self._parts
        index = len(parts)
        while index and parts[index - 1].first > first:
            index -= 1
        previous = parts[index - 1] if index else None
        if (
            previous is not None
            and previous.last == first - 1
            and previous.reason == reason
            and not previous.told
        ):
            previous.last, previous.counted = last, previous.counted + last - first + 1
        else:
            parts.insert(index, _GapPart(first, last, reason))
        if last > self._highest:
            self._highest = last
            self._note(last)

    def tell(self, first: int, last: int) -> None:
        """Note that the receiver is told that ``first`` to ``last``, of one gap, never come."""
        for index, part in enumerate(self._parts):
            if part.first <= last <= part.last:
                if last < part.last:  # the gap has grown since it was read
                    rest = _GapPart(last + 1, part.last, part.reason)
                    self._parts.insert(index + 1, rest)
                part.last, part.told, part.counted = last, True, last - first + 1
                return

    def settle(self, through: int) -> None:
        """Note that everything up to ``through`` is acknowledged."""
        while self._parts and self._parts[0].first <= through:
            part = self._parts[0]
            if not part.told:  # its records had arrived before they were given up
                part.counted = max(part.last - through, 0)
            if part.last > through:
                part.first = through + 1
                return
            self._settled[part.reason] = self._settled.get(part.reason, 0) + part.counted
            del self._parts[0]
