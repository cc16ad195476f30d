"""Fills in the format string of a sink, and keeps the parts of its lines that repeat.

Owns the short way to render (:mod:`sink.replay` says which records go it). Nothing is written here.

What a format shows of a record's level, place, process and thread repeats from line to line: a
program logs from few places. So these fields are filled in once for all records that have the same,
and what is left of the format is kept: with most formats no more than a text before the message and
one behind it. A time that stands first and shows no more than milliseconds is kept for each second.

Why the line is the same
------------------------
Each field is filled in by itself, by the same ``format_map``, from the same record; what fills it
depends on the fields of the row that are the key of what is kept. The time is made by loguru from
the same second, and its milliseconds are rounded as ``datetime`` does. A format or a time that this
does not suit raises, and then the record is rendered in another way. The first line is compared
with loguru's.
"""

from __future__ import annotations

import math
import re
import string
from operator import itemgetter
from typing import Any, Callable

from ..record.bounded_cache import BoundedCache
from ..record.line_format import split_time
from ..record.row import Row
from ..record.values import MAX_ZONE

MAX_HALVES = 1000
"""Formats with the repeating fields filled in that are kept."""

MAX_HALF = 2000
"""Characters of one that is kept, and of the fields that are in it."""

COSTLY_FIELDS = frozenset(["elapsed", "file", "level", "process", "thread", "time"])  # objects

_SOURCES = {
    "level": ("level_name", "level_no", "level_icon"),
    "file": ("file_name", "file_path"),
    "process": ("process_id", "process_name"),
    "thread": ("thread_id", "thread_name"),
    **{name: (name,) for name in ("name", "function", "line", "module")},
    "exception": (),  # there is none
}
"""The fields of a record that repeat, and the row's fields that they are made of."""


class ShortWay:
    """Renders by one format string."""

    def __init__(
        self, template: str, make_record: Callable[[Row, frozenset[str]], dict[str, Any]]
    ) -> None:
        """``make_record`` makes a record; of the costly fields only those that it is told."""
        self._make_record = make_record
        stamped = split_time(template)
        if stamped is None or "S" in stamped[1].replace("SSS", "", 1):
            stamped = "", "", template
        self._before, self._specification, self._rest = stamped
        self._parts = self._specification.split("SSS")  # around the milliseconds, if it has them
        self._seconds = BoundedCache(self._make_second, 64)
        fields = fields_shown(self._rest)
        self._left = COSTLY_FIELDS & fields - set(_SOURCES)
        self._repeating = COSTLY_FIELDS & fields & set(_SOURCES)
        sources = [name for field in fields & set(_SOURCES) for name in _SOURCES[field]]
        places = [Row._fields.index(name) for name in sources]
        self._key: Callable[[Row], Any] = itemgetter(*places) if places else lambda row: None
        self._halves: dict[Any, tuple[str, str | None]] = {}

    def render(self, row: Row) -> str:
        """Return the line of a row. Raises whatever the format raises, and for odd times."""
        key = self._key(row)
        before, after = self._halves.get(key) or self._make_half(key, row)
        if after is None:
            record = self._make_record(row, self._left)
            record["exception"] = ""
            text = before.format_map(record)
        else:
            text = f"{before}{row.message}{after}"
        return f"{self._stamp(row)}{text}" if self._specification else text

    def _make_half(self, key: Any, row: Row) -> tuple[str, str | None]:
        """Fill in what repeats. Return the texts around the message, or a format and ``None``."""
        record = self._make_record(row, self._repeating)
        record["exception"] = ""
        pieces = [""]  # texts, and between them the fields that are left
        for literal, name, specification, conversion in string.Formatter().parse(self._rest):
            pieces[-1] += literal
            if name is None:
                continue
            how = f"!{conversion}" if conversion else ""
            how += f":{specification}" if specification else ""
            field = f"{{{name}{how}}}"
            if _root_of(name) in _SOURCES:
                pieces[-1] += field.format_map(record)
            else:
                pieces += [field, ""]
        half: tuple[str, str | None]
        if pieces[1:2] == ["{message}"] and len(pieces) == 3:
            half = pieces[0], pieces[2]
        else:
            pieces[::2] = [piece.replace("{", "{{").replace("}", "}}") for piece in pieces[::2]]
            half = "".join(pieces), None
        if len(str(key)) + sum(map(len, pieces)) <= MAX_HALF:
            if len(self._halves) >= MAX_HALVES:
                self._halves.clear()
            self._halves[key] = half
        return half

    def _stamp(self, row: Row) -> str:
        """Return the line's beginning, up to its time. Raises for a time of an odd zone."""
        fraction, second = math.modf(row.time)
        microseconds = round(fraction * 1e6)  # as datetime.fromtimestamp() rounds
        if not 0 <= microseconds < 1_000_000:
            raise ValueError(f"a time of another second: {row.time}")
        before, after = self._seconds[second, row.offset, row.zone]
        return before if after is None else f"{before}{microseconds // 1000:03d}{after}"

    def _make_second(self, moment: tuple[float, float, str | None]) -> tuple[str, str | None]:
        second, offset, zone = moment
        if offset % 1 or len(zone or "") > MAX_ZONE:
            raise ValueError(f"a zone that is not kept: {offset} seconds")
        row = _ANY._replace(time=second, offset=offset, zone=zone)
        when = self._make_record(row, frozenset(["time"]))["time"]
        if when.timestamp() != second:
            raise ValueError(f"a time that no calendar has: {second}")
        before, *after = (format(when, part) if part else "" for part in self._parts)
        return f"{self._before}{before}", after[0] if after else None


_ANY = Row(
    0, 0.0, 0.0, "UTC", 0.0, 20, "INFO", " ", None, "", None,
    "", 0, "", "", "", 0, "", 0, "", None, {},
)  # fmt: skip


def fields_shown(template: str) -> frozenset[str]:
    """Return the fields that a format string shows. Raises ``ValueError`` if one is in another."""
    names = set()
    for _, name, specification, _ in string.Formatter().parse(template):
        if "{" in (specification or ""):
            raise ValueError(f"a field within a field: {specification}")
        names.add(_root_of(name or ""))
    return frozenset(names)


def _root_of(name: str) -> str:
    return re.split(r"[.\[]", name, maxsplit=1)[0]
