"""Render a record in the worker, as the finished line of the receiver's log file.

Owns the choice of the records that are rendered here, and the rendering. The format and the level
are the receiver's (:mod:`~loguru_stdbridge.record.line_format`). A record that does not suit is
sent whole (:mod:`~loguru_stdbridge.record.encode`).

Why two ways give the same line
-------------------------------
The format without its markup is filled in by one ``format_map``. That is what loguru does for a
sink without colours, so the line is the same. It is made sure: when a format comes, loguru's own
function takes its markup away, and the two texts are compared. If they differ, loguru goes on
rendering. A record with an exception is rendered by loguru, too, which shows the traceback.

The time is most of what a line costs to render. If it stands first and shows no more than
milliseconds, loguru makes its text once for all records of the same millisecond.
"""

from __future__ import annotations

import logging
from operator import itemgetter
from time import time_ns
from typing import Any

from loguru import _handler

from ..record.bounded_cache import BoundedCache
from ..record.encode import encode_logrecord, encode_rendered
from ..record.line_format import LineFormat, plain_format, split_time
from ..record.row import rendered_row_head
from ..record.sink_needs import ASCII, PLAIN
from ..system.signals import raise_if_from_handler
from .levels import level_styles
from .logrecord_lines import LogRecordRenderer, make_logrecord_renderer

MARKER = "\0\0stdbridge\0"
"""Begins the sink's format: a text without it comes from ``opt(raw=True)``."""


class _StampedFormat:
    """A format that begins with a time. The time's text is kept while it stays the same."""

    def __init__(self, template: str, before: str, specification: str, after: str) -> None:
        self._template = template
        self._before = before
        self._specification = specification
        self._after = after
        self._last: tuple[Any, str] = (None, "")  # one object: another thread may replace it

    def format_map(self, record: Any) -> str:
        when = record["time"]
        try:
            moment = (
                when.microsecond // 1000, when.second, when.minute, when.hour,
                when.day, when.month, when.year, type(when),
            )  # fmt: skip
        except AttributeError:  # a patcher's: a date, a text
            return self._template.format_map(record)
        last, text = self._last
        if moment != last:
            text = f"{self._before}{format(when, self._specification)}"
            self._last = moment, text
        return text + self._after.format_map(record)


def _make_format(template: str) -> str | _StampedFormat:
    parts = split_time(template)
    return template if parts is None else _StampedFormat(template, *parts)


class LineRenderer:
    """Renders the lines of a sink's format in this process."""

    def __init__(self, line_format: LineFormat) -> None:
        self.template = f"{MARKER}{line_format.format}\n{{exception}}"
        self.look = PLAIN if line_format.has_boxes else ASCII
        """How the sink shows tracebacks."""
        self._level = line_format.level
        self._id = line_format.id
        self._heads = BoundedCache(self._make_head, 100)
        self._values = itemgetter("level", "message", *line_format.fields)
        self._shape: tuple[type, ...] = ()  # types of the values of the records that it suits
        self._plain: str | _StampedFormat | None = None  # if it is loguru's
        self.logrecords: LogRecordRenderer | None = None
        """Renders the records of logging; ``None``: they have to go whole."""
        if "exception" not in line_format.fields:  # which loguru makes a text of
            plain = f"{plain_format(line_format.format)}\n"
            if _is_loguru_s(plain, f"{line_format.format}\n"):
                self._plain = _make_format(plain)
                self.logrecords = make_logrecord_renderer(line_format, plain)

    def _make_head(self, level: tuple[int, str]) -> str:
        number, name = level
        if type(number) is not int or type(name) is not str:
            raise TypeError(f"a level of {number!r}, {name!r}: a row needs a number and a text")
        return rendered_row_head(number, name, self._id)

    def row(self, record: Any) -> bytes | None:
        """Return the row of a record without an exception. Return ``None`` if loguru has to render
        it, if it cannot be rendered, or if it is below the sink's level. Never raises."""
        plain = self._plain
        if plain is None:
            return None
        try:
            level = record["level"]
            if level.no < self._level:
                return None
            return self._encode(level, plain.format_map(record))
        except Exception as error:
            raise_if_from_handler(error)
            return None  # a patcher may have put anything anywhere

    def suits(self, record: Any) -> bool:
        """Return whether loguru can render this record for the sink.

        A value that loguru cannot show must not cost the record. So the types of one record's
        values are tried out once, and a record with other types is sent whole. So is one below the
        sink's level.
        """
        try:
            values = self._values(record)
            level = values[0]
            if type(level.name) is not str or type(level.no) is not int:
                return False
            if level.no < self._level:
                return False  # the sink leaves it out; a sink of a lower level may come
            if tuple(map(type, values)) == self._shape:
                return True
            return not self._shape and self._learn(record)
        except Exception:
            return False

    def row_of_line(self, record: Any, line: str) -> bytes:
        """Return the row of a line that loguru has rendered; ``line`` is without the marker."""
        return self._encode(record["level"], line)

    def _encode(self, level: Any, line: str) -> bytes:
        return encode_rendered(time_ns(), self._heads[level.no, level.name], line)

    def _learn(self, record: Any) -> bool:
        shape = tuple(map(type, self._values(record)))
        if not all(map(_is_plain, shape)):
            return False
        self.template.format_map({**record, "exception": ""})
        self._shape = shape
        return True


def _is_plain(kind: type) -> bool:
    """Return whether values of this type always print alike and never raise."""
    own = kind.__module__.partition(".")[0] in ("loguru", "datetime")
    return own or kind in (str, int, type(None))


def _is_loguru_s(plain: str, template: str) -> bool:
    """Return whether loguru fills in ``plain`` for a sink without colours that has ``template``."""
    try:
        strip: Any = _handler.prepare_stripped_format
        return bool(strip(template) == plain)
    except Exception:  # a loguru that is made otherwise
        return False


def row_of_logrecord(renderer: LineRenderer | None, record: logging.LogRecord) -> bytes:
    """Make the row of a record of logging: its line where ``renderer`` can make it, else the whole
    record. Never raises."""
    logrecords = None if renderer is None else renderer.logrecords
    row = None if logrecords is None else logrecords.row(record)
    return encode_logrecord(record, level_styles) if row is None else row
