"""The numbers that a journal has given up, and how many records of them count as dropped.

Owns their order and the counting; which numbers are given up, and when, is :mod:`worker.journal`'s.
No locks here: the journal's is held. A signal handler may raise between any two lines; each leaves
a state from which the next call goes on.

What a gap counts as dropped is exact. Records are given up while they wait, so some of them may
have been sent, and arrive yet. The sender tells a gap only on a connection that was greeted, from
the first number on that it has neither sent there nor was greeted with (:meth:`Gaps.tell`): what
was sent before on that connection is taken before, and by an earlier one nothing comes any more: a
greeting ends it. Numbers that are acknowledged without having been told had arrived
(:meth:`Gaps.settle`).
"""

from __future__ import annotations

from typing import Callable

from .segments import Gap


class _Part:
    """Consecutive numbers, given up for one reason and not acknowledged."""

    __slots__ = ("counted", "first", "last", "reason", "told")

    def __init__(self, first: int, last: int, reason: str) -> None:
        self.first = first
        self.last = last
        self.reason = reason
        self.counted = last - first + 1  # how many of them count as dropped: all, until it is known
        self.told = False


class Gaps:
    """See the module's text."""

    def __init__(self, note: Callable[[int], None]) -> None:
        """``note`` is called with the highest number that was given up, whenever that grows."""
        self._note = note
        self._parts: list[_Part] = []  # in order, none of them acknowledged
        self._settled: dict[str, int] = {}  # what those counted that are acknowledged
        self._highest = 0

    def __bool__(self) -> bool:
        """Whether there is one that is not acknowledged."""
        return bool(self._parts)

    def figures(self) -> tuple[int, dict[str, int]]:
        """How many numbers are given up and not acknowledged; records dropped so far, by reason."""
        numbers = 0
        dropped = dict(self._settled)
        for part in self._parts:
            numbers += part.last - part.first + 1
            dropped[part.reason] = dropped.get(part.reason, 0) + part.counted
        return numbers, {reason: count for reason, count in dropped.items() if count}

    def at(self, number: int) -> Gap | None:
        """The gap from ``number`` on, if that was given up."""
        for part in self._parts:
            if part.first > number:
                break
            if part.last >= number:
                return Gap(number, part.last, part.reason)
        return None

    def last_before(self, number: int) -> int:
        """The highest number up to ``number`` that was not given up, or is acknowledged."""
        for part in reversed(self._parts):
            if part.last != number:
                break
            number = part.first - 1
        return number

    def give_up(self, first: int, last: int, reason: str) -> None:
        """Give up the numbers ``first`` to ``last``, as far as they are not given up already."""
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
            parts.insert(index, _Part(first, last, reason))
        if last > self._highest:
            self._highest = last
            self._note(last)

    def tell(self, first: int, last: int) -> None:
        """The receiver is being told that ``first`` to ``last``, of one gap, never come."""
        for index, part in enumerate(self._parts):
            if part.first <= last <= part.last:
                if last < part.last:  # it has grown since it was read
                    rest = _Part(last + 1, part.last, part.reason)
                    self._parts.insert(index + 1, rest)
                part.last, part.told, part.counted = last, True, last - first + 1
                return

    def settle(self, through: int) -> None:
        """Everything up to ``through`` is acknowledged."""
        while self._parts and self._parts[0].first <= through:
            part = self._parts[0]
            if not part.told:  # it had arrived before it was given up
                part.counted = max(part.last - through, 0)
            if part.last > through:
                part.first = through + 1
                return
            self._settled[part.reason] = self._settled.get(part.reason, 0) + part.counted
            del self._parts[0]
