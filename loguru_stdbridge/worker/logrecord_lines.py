"""Render a record of logging in the worker, as the finished line of the receiver's log file.

Owns which records of logging are rendered here, and what the format is filled with. The format is
the one that :mod:`~loguru_stdbridge.worker.rendering` holds.

Why this is the line that the receiver would make
-------------------------------------------------
The receiver makes a loguru record of the row and fills it into its sink's format. The same is done
here, with the same types, the same zone and the same format, so the line is the same. Each thing
that the receiver would change on the way goes to it whole: a record with an exception or a stack, a
level below the sink's, a field of another type than a row has, a name or a line of unusual length,
and a format that shows the level's icon, which may be the receiver's own.

What is made once for many records
----------------------------------
What a record shows of its place, its level, its process and its thread is checked and made once for
all records that have the same. In most formats the time stands first and the message stands alone,
so a line is four texts: the time, what stands before the message, the message, and what follows. A
format's fields do not depend on each other, so each text is made by the part of the format that
shows it. The time's text is kept for the records of the same millisecond. That is the one to which
``fromtimestamp`` rounds: it is found here by the same rounding, and the rules of the time zone are
asked again each millisecond, and after ``time.tzset``.
"""

from __future__ import annotations

import datetime
import logging
import string
import time
from math import modf
from typing import Any

try:
    from loguru import _recattrs
    from loguru._datetime import datetime as LoguruDatetime

    _types: Any = _recattrs
    _has_types = True
except ImportError:  # a loguru that is made otherwise: records go whole
    _has_types = False

from ..record.bounded_cache import BoundedCache
from ..record.bounded_json import MAX_SMALL_ROW
from ..record.decode import make_timezone
from ..record.encode import encode_rendered
from ..record.fallback import message_of
from ..record.line_format import LineFormat, split_message, split_time
from ..record.row import rendered_row_head
from ..system.signals import raise_if_from_handler

_MAX_LOGGER_NAME = 1000
"""Characters of a logger's name. The receiver shortens a longer one."""

_MAX_CACHED = 4096


class LogRecordRenderer:
    """Renders the records of logging for one sink's format."""

    def __init__(self, line_format: LineFormat, template: str) -> None:
        """``template`` is the format without its markup, and with the line's end."""
        fields = set(line_format.fields)
        self._template = template
        self._level = line_format.level
        self._id = line_format.id
        self._zones = BoundedCache(lambda zone: make_timezone(*zone), 256)
        self._levels = BoundedCache(self._make_level, _MAX_CACHED)
        self._places = BoundedCache(self._make_place, _MAX_CACHED)
        self._threads = BoundedCache(self._make_thread, _MAX_CACHED)
        self._frames = BoundedCache(self._make_frame, _MAX_CACHED)
        self._shows_time = "time" in fields
        self._shows_elapsed = "elapsed" in fields
        self._shows_thread = bool(fields & {"process", "thread"})
        self._stamp: tuple[str, str] | None = None  # what stands before the time, and how it shows
        self._around: tuple[str, str] | None = None  # the formats around the message
        stamped = split_time(template)
        rest = template if stamped is None else stamped[2]
        if not self._shows_elapsed and (stamped is not None or not self._shows_time):
            around = split_message(rest)
            if around is not None and "time" not in _names(rest):
                self._stamp, self._around = stamped and stamped[:2], around
        # One object, since another thread may replace it: the moment, its text, and the names of
        # the zone, which ``tzset`` makes anew.
        self._last: tuple[Any, str, Any] = (None, "", None)

    def _make_level(self, level: tuple[int, str]) -> tuple[str, Any]:
        number, name = level
        if type(number) is not int or type(name) is not str:
            raise TypeError(f"a level of {number!r}, {name!r}: a row needs a number and a text")
        return rendered_row_head(number, name, self._id), _types.RecordLevel(name, number, " ")

    def _make_place(self, place: tuple[Any, ...]) -> dict[str, Any]:
        name, function, line, file_name, file_path, module = place
        texts = (name, function, file_name, file_path, module)
        if type(line) is not int or any(type(text) is not str for text in texts):
            raise TypeError(f"no place: {place!r}")
        if len(name) > _MAX_LOGGER_NAME:
            raise ValueError(f"a logger's name of {len(name)} characters")
        return {
            "name": name,
            "function": function,
            "line": line,
            "file": _types.RecordFile(file_name, file_path),
            "module": module,
        }

    def _make_thread(self, thread: tuple[Any, ...]) -> dict[str, Any]:
        process_id, process_name, thread_id, thread_name = thread
        if tuple(map(type, thread)) != (int, str, int, str):
            raise TypeError(f"no process and thread: {thread!r}")
        return {
            "process": _types.RecordProcess(process_id, process_name),
            "thread": _types.RecordThread(thread_id, thread_name),
        }

    def _make_frame(self, frame: tuple[Any, ...]) -> tuple[str, str, str]:
        level, place, thread = frame
        assert self._around is not None
        before, after = self._around
        head, shown = self._levels[level]
        fields = {**self._places[place], "level": shown}
        if thread is not None:
            fields.update(self._threads[thread])
        return head, before.format_map(fields), after.format_map(fields)

    def row(self, record: logging.LogRecord) -> bytes | None:
        """Return the row of the record's line; ``None``: the record has to go whole. Never
        raises."""
        try:
            if record.exc_info or record.exc_text or record.stack_info:
                return None
            if record.levelno < self._level:
                return None
            message = message_of(record)
            if type(message) is not str:
                return None
            level = (record.levelno, record.levelname)
            place = (
                record.name, record.funcName or "", record.lineno, record.filename,
                record.pathname, record.module,
            )  # fmt: skip
            thread = None
            if self._shows_thread:
                thread = (
                    record.process or 0, record.processName or "",
                    record.thread or 0, record.threadName or "",
                )  # fmt: skip
            created = record.created
            if type(created) not in (float, int):  # the receiver takes another time for it
                return None
            if self._around is not None and type(created) is float:
                head, before, after = self._frames[level, place, thread]
                stamp = "" if self._stamp is None else self._stamp_of(created)
                line = f"{stamp}{before}{message}{after}"
            else:
                head, shown = self._levels[level]
                fields = {**self._places[place], "level": shown, "message": message}
                if thread is not None:
                    fields.update(self._threads[thread])
                if self._shows_time:
                    fields["time"] = self._moment(created)
                if self._shows_elapsed:
                    fields["elapsed"] = datetime.timedelta(seconds=record.relativeCreated / 1000.0)
                line = self._template.format_map(fields)
            row = encode_rendered(int(created * 1e9), head, line)
        except Exception as error:
            raise_if_from_handler(error)
            return None  # a record factory, a filter or a handler may have put anything anywhere
        return row if len(row) <= MAX_SMALL_ROW else None

    def _stamp_of(self, created: float) -> str:
        """Return the text of the time, and what stands before it."""
        fraction, second = modf(created)
        moment = (second, round(fraction * 1e6) // 1000)
        last, text, names = self._last
        if moment != last or names is not time.tzname:
            assert self._stamp is not None
            before, specification = self._stamp
            names = time.tzname
            text = f"{before}{format(self._moment(created), specification)}"
            self._last = moment, text, names
        return text

    def _moment(self, created: float) -> Any:
        local = time.localtime(created)
        zone = self._zones[float(local.tm_gmtoff), local.tm_zone]
        return LoguruDatetime.fromtimestamp(created, zone)


def _names(template: str) -> set[str]:
    """Return the names of the fields that a format shows."""
    return {(name or "").partition(".")[0] for _, name, *_ in string.Formatter().parse(template)}


def make_logrecord_renderer(line_format: LineFormat, plain: str) -> LogRecordRenderer | None:
    """Return the renderer for a format whose plain form is ``plain``; ``None`` where records of
    logging have to go whole."""
    if not _has_types or _shows_icon(line_format.format):
        return None
    return LogRecordRenderer(line_format, plain)


def _shows_icon(template: str) -> bool:
    """Return whether a line shows the level's icon: ``{level.icon}``, and ``{level!r}``."""
    for _, name, _, conversion in string.Formatter().parse(template):
        if name == "level.icon" or (name == "level" and conversion is not None):
            return True
    return False
