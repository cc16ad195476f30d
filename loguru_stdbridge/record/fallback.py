"""Makes rows of log records that do not fit one as they are: odd ones, and those beyond a bound.

A patcher or a record factory of the application may put anything anywhere. A field of an unexpected
type loses that type, and the record goes. A row that a receiver would refuse has its texts cut. No
sockets, files or threads here; the clock is read for a record without a time of its own.
"""

from __future__ import annotations

import datetime
import logging
import math
import time
from collections.abc import Mapping
from typing import Any, Callable

from .bounded_json import is_bounded
from .row import (
    FLAG_RAW,
    FLAG_TAGGED,
    MAX_ROW,
    ROW_LENGTH,
    LevelStyle,
    Row,
    encode_row,
    load_fields,
)
from .stock import MAX_STOCK_NAME, extra_of, with_stack
from .tracebacks import exception_fields, exception_of
from .values import MAX_TEXT, bounded_text, flatten_extra, show

_MESSAGE, _EXCEPTION, _EXTRA = map(Row._fields.index, ("message", "exception", "extra"))


def message_of(record: logging.LogRecord) -> str:
    """Format a record's message; show ``msg`` and ``args`` as they are if that fails."""
    try:
        return record.getMessage()
    except Exception:
        message, arguments = getattr(record, "msg", None), getattr(record, "args", None)
        return show(message, str) + (f" % {show(arguments)}" if arguments is not None else "")


def encode_odd(fields: list[Any]) -> bytes:
    """Write a row of fields of any type; ``extra``, the last, is fit for JSON already."""
    odd = [
        value if type(value) in (str, int, float, bool, list, type(None)) else show(value, str)
        for value in fields[:-1]
    ]
    try:
        return encode_row([*odd, fields[-1]])
    except Exception:  # nested too deep for what is left of the application's stack
        return encode_row([*odd, {}])


def fields_of_odd_record(
    record: Mapping[str, Any], raw: bool, traceback_text: str, color: str | None
) -> list[Any]:
    """Return a row's fields for a loguru record in which a patcher has put odd types."""

    def value_of(path: str) -> Any:
        value: Any = record
        try:
            for step in path.split("."):
                value = value[step] if value is record else getattr(value, step)
        except Exception:
            return None
        return value

    def text(path: str, default: str = "") -> str:
        value = value_of(path)
        return default if value is None else _shown(value, MAX_TEXT)

    def number(path: str, default: int = 0) -> float:
        return _finite(value_of(path), default)

    def ask(key: str, method: str) -> Any:
        try:
            answer = getattr(record[key], method)()
            return answer.total_seconds() if type(answer) is datetime.timedelta else answer
        except Exception:
            return None

    extra, tagged = flatten_extra(record.get("extra"))
    zone = ask("time", "tzname")
    exception: list[Any] | None = None
    if record.get("exception") is not None:
        try:
            exception = exception_fields(record["exception"], traceback_text)
        except Exception:
            exception = [None, None, f"{show(record['exception'])}\n", True]
    return [
        (FLAG_RAW if raw else 0) | (FLAG_TAGGED if tagged else 0),
        _finite(ask("time", "timestamp"), time.time()),
        _finite(ask("time", "utcoffset"), 0.0),
        zone if type(zone) is str else None,
        _finite(ask("elapsed", "total_seconds"), 0.0),
        number("level.no", 20),
        text("level.name", "INFO"),
        text("level.icon", " "),
        color,
        text("message"),
        text("name"),
        text("function"),
        number("line"),
        text("file.name"),
        text("file.path"),
        text("module"),
        number("process.id"),
        text("process.name"),
        number("thread.id"),
        text("thread.name"),
        exception,
        extra,
    ]


def fields_of_odd_logrecord(
    record: logging.LogRecord, level_style: Callable[[str], LevelStyle]
) -> list[Any]:
    """Return the fields of a row for a stdlib record with missing or impossible attributes.

    ``extra`` shows what stands in the place of a number.
    """
    attributes = dict(record.__dict__)
    others = extra_of(attributes)

    def text(key: str, default: str = "") -> str:
        value = attributes.get(key)
        return default if value is None else _shown(value, MAX_TEXT)

    def number(key: str, default: float) -> float:
        value = attributes.get(key)
        if value is not None and not _is_finite(value):
            others[key] = value
        return _finite(value, default)

    now = time.time()
    created = number("created", now)
    try:
        local = time.localtime(created)
    except (ValueError, OverflowError, OSError):
        created, local = now, time.localtime(now)
    level = text("levelname", "INFO")
    try:
        icon, color = level_style(level)
    except Exception:
        icon, color = " ", None
    fields: list[Any] = [
        0,
        float(created),
        float(local.tm_gmtoff),
        local.tm_zone,
        number("relativeCreated", 0.0) / 1000.0,
        number("levelno", 20),
        level,
        icon,
        color,
        with_stack(_shown(message_of(record), MAX_TEXT), attributes.get("stack_info")),
        text("name"),
        text("funcName"),
        number("lineno", 0),
        text("filename"),
        text("pathname"),
        text("module"),
        number("process", 0),
        text("processName"),
        number("thread", 0),
        text("threadName"),
        exception_of(record),
    ]
    extra, tagged = flatten_extra(others)
    fields[0] = FLAG_TAGGED if tagged else 0
    return [*fields, extra]


def _shown(value: Any, limit: int) -> str:
    return value if type(value) is str else show(value, str, limit)


def _is_finite(value: Any) -> bool:
    """Return whether ``value`` is a number that JSON and a calendar have."""
    if type(value) is int:
        return value.bit_length() <= 64
    return type(value) is float and math.isfinite(value)


def _finite(value: Any, default: float) -> float:
    number: float = value if _is_finite(value) else default
    return number


def fit_row(row: bytes) -> bytes:
    """Cut a large row to what a receiver takes. One that it refuses would be sent for ever."""
    return row if len(row) <= MAX_ROW and is_bounded(row) else _cut_row(row)


def _cut_row(row: bytes) -> bytes:
    """Cut the texts of a row beyond a bound: 1 Mi + 0.25 Mi characters, of 6 bytes at most each."""
    fields = load_fields(row)[:ROW_LENGTH]
    size = len(row)
    fields[_MESSAGE] = bounded_text(fields[_MESSAGE], MAX_TEXT)
    if fields[_EXCEPTION] is not None:
        fields[_EXCEPTION] = [
            bounded_text(part, MAX_TEXT // 12) if isinstance(part, str) else part
            for part in fields[_EXCEPTION][:5]
        ]
    cut = encode_row(fields)
    if len(cut) <= MAX_ROW and is_bounded(cut):
        return cut
    fields[0] &= ~FLAG_TAGGED
    excuse = f"<extra left out: with it the record is beyond a bound ({size} bytes)>"
    fields[_EXTRA] = {"...": excuse}
    for index, part in enumerate(fields):
        if isinstance(part, str):
            fields[index] = bounded_plain(part, MAX_TEXT if index == _MESSAGE else MAX_STOCK_NAME)
        elif index == _EXCEPTION and part is not None:
            fields[index] = [bounded_plain(p, MAX_TEXT) if isinstance(p, str) else p for p in part]
    return encode_row(fields)


def bounded_plain(text: str, limit: int) -> str:
    """Bound a text, and write its lone surrogates as the escapes that a file would have of them."""
    plain_text = text[: limit + 1].encode("utf-8", "backslashreplace").decode("utf-8")
    return bounded_text(plain_text, limit)
