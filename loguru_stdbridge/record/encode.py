"""Turns a log record, loguru's dict or the stdlib's ``LogRecord``, into a row (:mod:`record.row`).

Owns which field of the one becomes which of the other. Each log call runs this code. No sockets,
files, threads or clocks here: a record brings its own time. A record that does not fit a row as it
is goes to :mod:`record.fallback`, and is never lost.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from .bounded_cache import BoundedCache
from .bounded_json import MAX_SMALL_ROW, is_bounded
from .fallback import (
    bounded_plain,
    encode_odd,
    fields_of_odd_logrecord,
    fields_of_odd_record,
    fit_row,
    message_of,
)
from .formatted import format_values
from .row import (
    FIELD_TYPES,
    FLAG_RAW,
    FLAG_TAGGED,
    MAX_ROW,
    LevelStyle,
    dump_fields,
    dump_times,
    dump_zone,
    encode_fields,
    encode_rendered_row,
)
from .sink_needs import Keys
from .stock import extra_of, with_stack
from .tracebacks import exception_fields, exception_of
from .values import MAX_TEXT, flatten_extra

_LOGURU_KEYS = frozenset(
    [
        "elapsed",
        "exception",
        "extra",
        "file",
        "function",
        "level",
        "line",
        "message",
        "module",
        "name",
        "process",
        "thread",
        "time",
    ]
)
"""What loguru puts into a record. Other keys are a patcher's."""

RECORD_KEYS = len(_LOGURU_KEYS)


def _make_dump(first: str, last: str) -> Callable[[Sequence[Any]], str]:
    """Return how to write the fields ``first`` to ``last`` of a row; see :class:`row.Row`."""
    names = list(FIELD_TYPES)
    kinds = [FIELD_TYPES[name] for name in names[names.index(first) : names.index(last) + 1]]

    def dump(values: Sequence[Any]) -> str:
        if any(type(value) not in types for value, types in zip(values, kinds)):
            raise TypeError("a value of a type that the row's field does not have")
        return dump_fields(values)

    return dump


# A process logs from a few hundred places. What is the same in all records of one is written once.
_levels = BoundedCache(_make_dump("level_no", "level_color"), 4096)
_places = BoundedCache(_make_dump("name", "process_name"), 4096)
_threads = BoundedCache(_make_dump("thread_id", "thread_name"), 4096)


def _dump_fixed_zone(key: tuple[datetime.timezone, str | None]) -> tuple[int, str] | None:
    """A fixed zone's offset in seconds, and as JSON with its name; ``None`` if it has fractions."""
    zone, name = key
    offset = zone.utcoffset(None)
    if offset.microseconds:
        return None
    return offset.days * 86400 + offset.seconds, dump_zone(offset.total_seconds(), name)


_zones = BoundedCache(_dump_fixed_zone, 256)
_EPOCH = 719163 * 86400  # seconds from the first day of the calendar to 1970-01-01


def _dump_times(when: Any, elapsed: Any) -> str:
    """Write the four times of a loguru record as JSON text.

    They are whole microseconds. Writing those takes a third of the time of a float's shortest text.
    Both are read as the same float, the nearest one to that time.
    """
    zone, name = when.tzinfo, when.tzname()
    fixed = type(zone) is datetime.timezone  # another's offset may change from day to day
    usual = isinstance(when, datetime.datetime) and type(elapsed) is datetime.timedelta
    known = _zones[zone, name] if fixed and usual else None
    if known is None:
        offset = when.utcoffset().total_seconds()
        return dump_times(when.timestamp(), offset, name, elapsed.total_seconds())
    days = when.toordinal()
    seconds = days * 86400 + when.hour * 3600 + when.minute * 60 + when.second - known[0] - _EPOCH
    passed = elapsed.days * 86400 + elapsed.seconds
    return (
        f"{seconds * 1000000 + when.microsecond}e-6,{known[1]},"
        f"{passed * 1000000 + elapsed.microseconds}e-6"
    )


def encode_loguru_record(
    record: Mapping[str, Any],
    *,
    raw: bool,
    traceback_text: str,
    color: str | None,
    looks: Mapping[str, str] | None = None,
    colors: list[Any] | None = None,
    values: Sequence[tuple[Keys, str]] = (),
) -> bytes:
    """Make the row of a loguru record. Never raises.

    ``traceback_text`` is the exception as loguru has rendered it in this process, and ``looks`` are
    its other looks. ``color`` is the level's markup, ``None`` for loguru's own. ``colors`` is the
    message's (:mod:`record.markup`). ``values`` are those that the sink's format shows by a
    specification. ``raw``: the record comes from ``opt(raw=True)``.
    """
    try:
        level = record["level"]
        file = record["file"]
        process = record["process"]
        thread = record["thread"]
        extra, tagged = flatten_extra(record["extra"]) if record["extra"] else (None, False)
        exception = record["exception"]
        others: tuple[Any, ...] = ()
        formatted = format_values(record, values) if values else None
        if formatted:
            others = _others_of(record), colors, formatted
        elif colors:
            others = _others_of(record), colors
        elif len(record) != RECORD_KEYS:
            others = (_others_of(record),)
        row = encode_fields(
            (FLAG_RAW if raw else 0) | (FLAG_TAGGED if tagged else 0),
            _dump_times(record["time"], record["elapsed"]),
            _levels[level.no, level.name, level.icon, color],
            record["message"],
            _places[
                record["name"], record["function"], record["line"], file.name, file.path,
                record["module"], process.id, process.name,
            ],
            _threads[thread.id, thread.name],
            None if exception is None else exception_fields(exception, traceback_text, looks),
            extra,
            *others,
        )  # fmt: skip
    except Exception:
        row = encode_odd(fields_of_odd_record(record, raw, traceback_text, color))
    return row if len(row) <= MAX_SMALL_ROW else fit_row(row)


def _others_of(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a patcher has put beside loguru's own keys."""
    if len(record) == RECORD_KEYS:
        return None
    others = {key: value for key, value in record.items() if key not in _LOGURU_KEYS}
    flat: dict[str, Any] = flatten_extra(others)[0]  # type: ignore[assignment]
    return flat


def encode_rendered(nanoseconds: int, head: str, line: str) -> bytes:
    """Make the row of a line that is rendered in the sink's format (:mod:`record.row`)."""
    row = encode_rendered_row(nanoseconds, head, line)
    if len(row) <= MAX_SMALL_ROW or (len(row) <= MAX_ROW and is_bounded(row)):
        return row
    return encode_rendered_row(nanoseconds, head, f"{bounded_plain(line[:-1], MAX_TEXT)}\n")


def encode_logrecord(record: logging.LogRecord, level_style: Callable[[str], LevelStyle]) -> bytes:
    """Make the row of a stdlib record; ``level_style`` gives a level name's icon and colour.

    Never raises. A message that cannot be formatted arrives as its parts, and an attribute of an
    impossible type as a text.
    """
    try:
        others = extra_of(record.__dict__)
        extra, tagged = flatten_extra(others) if others else (None, False)
        local = time.localtime(record.created)
        icon, color = level_style(record.levelname)
        row = encode_fields(
            FLAG_TAGGED if tagged else 0,
            dump_times(
                record.created, float(local.tm_gmtoff), local.tm_zone,
                record.relativeCreated / 1000.0,
            ),
            _levels[record.levelno, record.levelname, icon, color],
            with_stack(message_of(record), record.__dict__.get("stack_info")),
            _places[
                record.name, record.funcName or "", record.lineno, record.filename,
                record.pathname, record.module, record.process or 0, record.processName or "",
            ],
            _threads[record.thread or 0, record.threadName or ""],
            exception_of(record),
            extra,
        )  # fmt: skip
    except Exception:
        row = encode_odd(fields_of_odd_logrecord(record, level_style))
    return row if len(row) <= MAX_SMALL_ROW else fit_row(row)
