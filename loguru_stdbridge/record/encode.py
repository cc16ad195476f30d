"""A record of the application, loguru's dict or the stdlib's ``LogRecord``, becomes a row.

Owns which field of the one is which of the other, on the path that every log call takes. No
sockets, files or threads; the clock is read nowhere: a record brings its own time. What has no
place in a row as it is goes to :mod:`odd_records`: the record is never lost for it.
"""

from __future__ import annotations

import datetime
import logging
import time
from collections.abc import Mapping
from typing import Any, Callable

from .fallback import (
    bounded_plain,
    checked,
    encode_odd,
    fields_of_odd_logrecord,
    fields_of_odd_record,
    message_of,
)
from .row import (
    FLAG_RAW,
    FLAG_TAGGED,
    MAX_ROW,
    MAX_UNCOUNTED,
    LevelStyle,
    dump_fields,
    dump_times,
    dump_zone,
    encode_fields,
    encode_rendered_row,
    is_bounded,
)
from .stock import LOGRECORD_KEYS
from .tracebacks import exception_fields, exception_of
from .values import MAX_TEXT, bounded_text, flatten_extra

RECORD_KEYS = 13
"""Keys of a loguru record. More of them were put there by a patcher."""

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


_Kinds = tuple[type, ...]
_TEXT: _Kinds = (str,)
_NUMBER: _Kinds = (int,)  # no True, which a table takes for 1
_TEXT_OR_NONE: _Kinds = (str, type(None))


class _Fragments(dict[tuple[Any, ...], str]):
    """Pieces of rows as JSON text, made once for each place that logs, level and thread.

    A process logs from a few hundred places; what is the same in every record of one need not be
    written again. The table is bounded: a program that makes up its places begins anew now and
    then.
    """

    def __init__(self, *kinds: _Kinds, limit: int = 4096) -> None:
        """``kinds`` are the types that a receiver takes in each of the fields."""
        super().__init__()
        self._kinds = kinds
        self._limit = limit

    def __missing__(self, values: tuple[Any, ...]) -> str:
        if any(type(value) not in kinds for value, kinds in zip(values, self._kinds)):
            raise TypeError("a value that a row has no place for")
        text = dump_fields(values)
        if len(self) >= self._limit:
            self.clear()
        self[values] = text
        return text


_level = _Fragments(_NUMBER, _TEXT, _TEXT, _TEXT_OR_NONE)
_place = _Fragments(_TEXT_OR_NONE, _TEXT, _NUMBER, _TEXT, _TEXT, _TEXT, _NUMBER, _TEXT)
_thread = _Fragments(_NUMBER, _TEXT)

_zones: dict[tuple[datetime.tzinfo, str | None], tuple[int, str]] = {}
_MAX_ZONES = 256
_EPOCH = 719163 * 86400  # seconds from the first day of the calendar to 1970-01-01


def _dump_times(when: Any, elapsed: Any) -> str:
    """The four times of a loguru record as JSON text.

    As whole microseconds, which are written in a third of the time that a float's shortest text
    takes, and read as the same float: both are the nearest one to that time.
    """
    zone, name = when.tzinfo, when.tzname()
    known = _zones.get((zone, name))
    usual = isinstance(when, datetime.datetime) and type(elapsed) is datetime.timedelta
    if known is None or not usual:
        offset = when.utcoffset()
        fixed = type(zone) is datetime.timezone and not offset.microseconds
        if not fixed or not usual:  # it may be another tomorrow, or in the next object
            seconds = when.timestamp()
            return dump_times(seconds, offset.total_seconds(), name, elapsed.total_seconds())
        known = offset.days * 86400 + offset.seconds, dump_zone(offset.total_seconds(), name)
        if len(_zones) >= _MAX_ZONES:
            _zones.clear()
        _zones[zone, name] = known
    days = when.toordinal()
    seconds = days * 86400 + when.hour * 3600 + when.minute * 60 + when.second - known[0] - _EPOCH
    passed = elapsed.days * 86400 + elapsed.seconds
    return (
        f"{seconds * 1000000 + when.microsecond}e-6,{known[1]},"
        f"{passed * 1000000 + elapsed.microseconds}e-6"
    )


def encode_loguru_record(
    record: Mapping[str, Any], *, raw: bool, traceback_text: str, color: str | None
) -> bytes:
    """The row of a loguru record.

    ``traceback_text`` is the exception as loguru rendered it here, ``color`` the level's markup
    where it is not loguru's default. Never raises.
    """
    try:
        level = record["level"]
        file = record["file"]
        process = record["process"]
        thread = record["thread"]
        extra, tagged = flatten_extra(record["extra"]) if record["extra"] else (None, False)
        exception = record["exception"]
        row = encode_fields(
            (FLAG_RAW if raw else 0) | (FLAG_TAGGED if tagged else 0),
            _dump_times(record["time"], record["elapsed"]),
            _level[level.no, level.name, level.icon, color],
            record["message"],
            _place[
                record["name"], record["function"], record["line"], file.name, file.path,
                record["module"], process.id, process.name,
            ],
            _thread[thread.id, thread.name],
            None if exception is None else exception_fields(exception, traceback_text),
            extra,
            None if len(record) == RECORD_KEYS else _others_of(record),
        )  # fmt: skip
    except Exception:
        row = encode_odd(fields_of_odd_record(record, raw, traceback_text, color))
    return row if len(row) <= MAX_UNCOUNTED else checked(row)


def _others_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """What a patcher has put beside loguru's own keys."""
    others = {key: value for key, value in record.items() if key not in _LOGURU_KEYS}
    flat: dict[str, Any] = flatten_extra(others)[0]  # type: ignore[assignment]
    return flat


def encode_rendered(nanoseconds: int, head: str, line: str) -> bytes:
    """The row of a line that loguru has rendered by the sink's own format (:mod:`record.row`)."""
    row = encode_rendered_row(nanoseconds, head, line)
    if len(row) <= MAX_UNCOUNTED or (len(row) <= MAX_ROW and is_bounded(row)):
        return row
    return encode_rendered_row(nanoseconds, head, f"{bounded_plain(line[:-1], MAX_TEXT)}\n")


def encode_logrecord(record: logging.LogRecord, level_style: Callable[[str], LevelStyle]) -> bytes:
    """The row of a stdlib record; ``level_style`` gives the icon and colour of a level name.

    Never raises: a message that cannot be formatted arrives as its parts, an attribute of an
    impossible type as a text.
    """
    try:
        attributes = record.__dict__
        others = {key: value for key, value in attributes.items() if key not in LOGRECORD_KEYS}
        if attributes.get("taskName") is not None:
            others["taskName"] = attributes["taskName"]
        if attributes.get("stack_info"):
            others["stack_info"] = bounded_text(attributes["stack_info"], MAX_TEXT)
        extra, tagged = flatten_extra(others) if others else (None, False)
        local = time.localtime(record.created)
        icon, color = level_style(record.levelname)
        row = encode_fields(
            FLAG_TAGGED if tagged else 0,
            dump_times(
                record.created, float(local.tm_gmtoff), local.tm_zone,
                record.relativeCreated / 1000.0,
            ),
            _level[record.levelno, record.levelname, icon, color],
            message_of(record),
            _place[
                record.name, record.funcName or "", record.lineno, record.filename,
                record.pathname, record.module, record.process or 0, record.processName or "",
            ],
            _thread[record.thread or 0, record.threadName or ""],
            exception_of(record),
            extra,
            None,
        )  # fmt: skip
    except Exception:
        row = encode_odd(fields_of_odd_logrecord(record, level_style))
    return row if len(row) <= MAX_UNCOUNTED else checked(row)
