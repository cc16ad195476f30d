"""What one viewer is sent of the records: those of its filter, as many as it is allowed.

No sockets and no clock here: times come in, events go out.

Which records go where there are too many
-----------------------------------------
A viewer gets :data:`RECORDS_A_SECOND` and :data:`BYTES_A_SECOND`. What is below WARNING goes first,
the oldest of it first, and a ``missed`` event says how many of which level. They are in the file.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..record.row import Row
from .board import MAX_BYTES_KEPT, MAX_ROWS_KEPT, Board, Chunk, level_of
from .shown import Showing

RECORDS_A_SECOND = 1000
BYTES_A_SECOND = 1024 * 1024

MAX_EVENT = 64 * 1024
"""Characters of one event of records, unless one record has more."""

CLOCK_EVERY = 16
"""Records between two looks at the clock."""

_WARNING_NO = 30

LEVEL_NUMBERS = {
    "trace": 5, "debug": 10, "info": 20, "success": 25, "warning": 30, "error": 40, "critical": 50,
}  # fmt: skip

Spot = tuple[Chunk, int]
"""A record: its chunk and its index there."""


class Filter(NamedTuple):
    """Which records a viewer wants; what is empty asks for nothing."""

    least: int = 0
    level: str = ""
    """A level that has no known number, by its name."""

    logger: str = ""
    """This logger and those below it."""

    text: str = ""
    """In small letters; somewhere in the line."""

    process: str = ""
    program: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Filter:
        """Read the fields of a query."""
        level = query.get("level", "").lower()
        number = LEVEL_NUMBERS.get(level, int(level) if level.isdecimal() and len(level) < 9 else 0)
        return cls(
            number, "" if number else level, query.get("logger", ""),
            query.get("text", "").lower(), query.get("process", ""), query.get("program", ""),
        )  # fmt: skip

    def may_take(self, row: Any) -> bool:
        """Return whether a row's level and raw text allow it to be taken."""
        if self.least or self.level:
            number, name = level_of(row)
            if number < self.least or (self.level and name.lower() != self.level):
                return False
        return not self.text or self.text in _raw_text(row).lower()

    def takes(self, fields: Mapping[str, Any]) -> bool:
        """Return whether the viewer wants a record that :meth:`may_take` has let through."""
        if self.logger and not f"{fields['logger']}.".startswith(f"{self.logger}."):
            return False
        if self.process and str(fields["pid"]) != self.process:
            return False
        return not self.program or fields["program"] == self.program


def _raw_text(row: Any) -> str:
    if isinstance(row, Row):
        traceback = row.exception[2] if row.exception is not None else ""
        return f"{row.message}\n{row.name}\n{traceback}"
    return str(row[5])


class Recent:
    """The newest records, for the viewers there are and those who come."""

    def __init__(self) -> None:
        self.chunks: deque[Chunk] = deque()
        self._rows = 0
        self._bytes = 0

    def take_from(self, board: Board) -> None:
        """Take what the board has."""
        for chunk in board.take():
            self.chunks.append(chunk)
            self._rows += len(chunk.rows)
            self._bytes += chunk.size
        while len(self.chunks) > 1:
            oldest = self.chunks[0]
            few = self._rows - len(oldest.rows) < MAX_ROWS_KEPT
            if few and self._bytes <= MAX_BYTES_KEPT:
                return
            self.chunks.popleft()
            self._rows -= len(oldest.rows)
            self._bytes -= oldest.size

    @property
    def first(self) -> int:
        """The lowest number that is kept; 0 where there is none."""
        return self.chunks[0].first if self.chunks else 0

    def after(self, number: int) -> list[Spot]:
        """Return the records with numbers above ``number``, in their order."""
        places: list[Spot] = []
        for chunk in reversed(self.chunks):
            if chunk.last <= number:
                break
            start = max(number + 1 - chunk.first, 0)
            places += [(chunk, index) for index in range(len(chunk.rows) - 1, start - 1, -1)]
        places.reverse()
        return places


class Feed:
    """One viewer's place in the stream."""

    def __init__(self, wanted: Filter, epoch: str, after: int, now: float) -> None:
        """``after`` is the number of the last record that the viewer has, or wants not to have."""
        self._filter = wanted
        self._epoch = epoch
        self._position = after
        self._filled_at = now
        self._records = float(RECORDS_A_SECOND)
        self._bytes = float(BYTES_A_SECOND)

    def fill(
        self, recent: Recent, showing: Showing, now: float, is_late: Callable[[], bool]
    ) -> list[str]:
        """Return the events of what is new, as far as they are allowed and there is time."""
        passed = max(now - self._filled_at, 0.0)
        self._filled_at = now
        self._records = min(self._records + passed * RECORDS_A_SECOND, RECORDS_A_SECOND)
        self._bytes = min(self._bytes + passed * BYTES_A_SECOND, BYTES_A_SECOND)
        events = []
        if recent.chunks and recent.first > self._position + 1:
            first, last = self._position + 1, recent.first - 1
            events.append(self.missed(last - first + 1, first, last, "not looked at"))
            self._position = last
        places = recent.after(self._position)
        if not places:
            return events
        wanted = [place for place in places if self._filter.may_take(place[0].rows[place[1]])]
        chosen, left_out = _choose(wanted, int(self._records))
        texts: list[str] = []
        size = 0
        end = places[-1][0].last
        for count, (chunk, index) in enumerate(chosen):
            if count % CLOCK_EVERY == CLOCK_EVERY - 1 and is_late():
                end = chunk.first + index - 1  # the rest comes in the next turn
                left_out = [place for place in left_out if _number(place) <= end]
                break
            if self._bytes <= 0 and level_of(chunk.rows[index])[0] < _WARNING_NO:
                left_out.append((chunk, index))
                continue
            fields = showing.show(chunk, index)
            if not self._filter.takes(fields):
                continue
            text = json.dumps(fields, separators=(",", ":"))
            self._bytes -= len(text)
            self._records -= 1
            if texts and size + len(text) > MAX_EVENT:
                events.append(self._event("records", f"[{','.join(texts)}]", fields["seq"] - 1))
                texts, size = [], 0
            texts.append(text)
            size += len(text)
        if texts:
            events.append(self._event("records", f"[{','.join(texts)}]", end))
        if left_out:
            numbers = sorted(map(_number, left_out))
            levels = Counter(level_of(chunk.rows[index])[1] for chunk, index in left_out)
            events.append(
                self.missed(len(left_out), numbers[0], numbers[-1], "too fast", levels, end)
            )
        self._position = end
        return events

    def missed(
        self,
        count: int | None,
        first: int,
        last: int,
        why: str,
        levels: Mapping[str, int] | None = None,
        end: int | None = None,
    ) -> str:
        """Return the event that says what the viewer has not been sent."""
        fields = {"count": count, "from": first, "to": last, "why": why, "levels": levels or {}}
        return self._event("missed", json.dumps(fields), last if end is None else end)

    def _event(self, name: str, data: str, number: int) -> str:
        return f"id: {self._epoch}-{number}\nevent: {name}\ndata: {data}\n\n"


def _number(place: Spot) -> int:
    return place[0].first + place[1]


def _choose(places: Sequence[Spot], count: int) -> tuple[Sequence[Spot], list[Spot]]:
    """Return the ``count`` records that a viewer gets, in their order, and the others."""
    if len(places) <= count:
        return places, []
    severe: list[Spot] = []
    others: list[Spot] = []
    for place in places:
        number, _ = level_of(place[0].rows[place[1]])
        (others if number < _WARNING_NO else severe).append(place)
    room = max(count - len(severe), 0)
    kept = [*severe[max(len(severe) - count, 0) :], *others[len(others) - room :]]
    kept.sort(key=_number)
    numbers = set(map(_number, kept))
    return kept, [place for place in places if _number(place) not in numbers]
