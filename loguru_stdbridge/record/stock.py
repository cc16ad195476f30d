"""Turns rows into what the stdlib's ``SocketHandler`` sends, and that into rows.

Owns the names of a ``LogRecord``'s attributes, both ways. No sockets, files, threads or clocks
here: callers hand in the time of now.

The receiver trusts nothing in a stock client's record. Each field is checked and bounded, ``args``
go into the message by a formatter that runs nothing (:mod:`record.inert_format`), and an attribute
that logging does not have becomes ``extra``.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

from .bounded_json import MAX_SMALL_FRAME
from .decode import plain
from .expansion import bound_growth
from .inert_format import format_message
from .row import FLAG_RAW, Row
from .tracebacks import exception_of_text
from .values import MAX_TEXT, bounded_text, show

MAX_STOCK_NAME = 4096
"""Characters of a name, path or level in a stock client's record."""

MARK = "stdbridge"
"""The one key that a record of ours carries beside those of a ``LogRecord``."""

LOGRECORD_KEYS = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "exc_text",
    "message",
    "stack_info",
    "taskName",
    MARK,
}


_as_row = tuple.__new__


def extra_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a ``LogRecord`` holds beside logging's own attributes: what ``extra=`` gave.

    The task's name and the stack are ``extra`` too, where there is one: a row has no place for
    them.
    """
    extra: dict[str, Any] = {}
    if not LOGRECORD_KEYS.issuperset(attributes):
        extra = {key: value for key, value in attributes.items() if key not in LOGRECORD_KEYS}
    for key in ("taskName", "stack_info"):
        value = attributes.get(key)
        if value is not None and not (type(value) is str and not value):
            extra[key] = value
    return extra


def with_stack(message: str, stack: Any) -> str:
    """Return a message and the stack below it, as logging shows it; ``stack`` may be anything."""
    return f"{message}\n{stack}" if type(stack) is str and stack else message


# -- worker: a row becomes a stock payload ------------------------------------------------------


def logrecord_fields(row: Row, mark: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a ``LogRecord``, as ``SocketHandler.makePickle`` sends them.

    They are primitives and types that every interpreter has. ``extra`` becomes attributes, as with
    logging's ``extra=``. ``mark`` goes under the key ``stdbridge``.
    """
    fields: dict[str, Any] = {
        key: plain(value)
        for key, value in row.extra.items()
        if type(key) is str and key not in LOGRECORD_KEYS
    }
    message, stack = row.message, row.extra.get("stack_info")
    if type(stack) is str and message.endswith(f"\n{stack}"):
        message = message[: -len(stack) - 1]
    else:
        stack = None
    exc_text = None
    if row.exception is not None and isinstance(row.exception[2], str):
        exc_text = row.exception[2].rstrip("\n")
    fields.update(
        name=row.name or "",
        msg=message.rstrip("\n") if row.flags & FLAG_RAW else message,
        args=None,
        levelname=row.level_name,
        levelno=row.level_no,
        pathname=row.file_path,
        filename=row.file_name,
        module=row.module,
        exc_info=None,
        exc_text=exc_text,
        stack_info=stack,
        lineno=row.line,
        funcName=row.function,
        created=row.time,
        msecs=math.floor(row.time * 1000.0) % 1000 + 0.0,
        relativeCreated=row.elapsed * 1000.0,
        thread=row.thread_id,
        threadName=row.thread_name,
        processName=row.process_name,
        process=row.process_id,
    )
    fields[MARK] = mark
    return fields


# -- receiver: a stock client's record becomes a row --------------------------------------------


def row_of_stock_fields(fields: Mapping[str, Any], now: float, size: int = 0) -> Row:
    """Make a row of a stock client's record, each field checked. Never raises.

    ``fields`` hold inert values only (``pickles.read.load_record``). ``now``, in seconds since the
    epoch, replaces a time that no calendar has. ``size`` is the payload's in bytes: the texts of a
    large one may be cut (:mod:`record.expansion`).
    """
    get = fields.get
    created = _number(get("created"), now)
    try:
        local = time.localtime(created)
        if not 1 < local.tm_year < 9999:
            raise ValueError(local.tm_year)
    except (ValueError, OverflowError, OSError):
        created = now
        local = time.localtime(now)
    exc_text = get("exc_text")
    extra = extra_of(fields)
    message, arguments = _message(get("msg")), get("args")
    formatted = format_message(message, arguments)
    if formatted is None:
        extra["args"] = arguments
    else:
        message = formatted
    level_no = int(_number(get("levelno"), 20))
    values = (
        0,  # flags
        created,
        float(local.tm_gmtoff),
        local.tm_zone,
        _number(get("relativeCreated"), 0.0) / 1000.0,
        min(max(level_no, 0), 1_000_000),
        _text(get("levelname")) or f"Level {level_no}",
        "",  # the level's icon,
        None,  # and its colour
        with_stack(message, get("stack_info")),
        _text(get("name")),
        _text(get("funcName")),
        int(_number(get("lineno"), 0)),
        _text(get("filename")),
        _text(get("pathname")),
        _text(get("module")),
        int(_number(get("process"), 0)),
        _text(get("processName")),
        int(_number(get("thread"), 0)),
        _text(get("threadName")),
        exception_of_text(exc_text) if isinstance(exc_text, str) and exc_text else None,
        extra,
        None,  # more
        None,  # colors
    )
    row = _as_row(Row, values)  # costs a third of Row(...)
    return row if size <= MAX_SMALL_FRAME else Row(*bound_growth(tuple(row), size))


def notice(text: str, now: float, process_id: int = 0) -> Row:
    """Make a WARNING record of the package's own; ``now`` is in seconds since the epoch."""
    fields = {
        "name": "loguru_stdbridge",
        "msg": text,
        "levelname": "WARNING",
        "levelno": 30,
        "created": now,
        "process": process_id,
    }
    return row_of_stock_fields(fields, now)


def _message(value: Any) -> str:
    return value if type(value) is str else show(value, str, MAX_TEXT)


def _text(value: Any) -> str:
    if type(value) is str:
        return value if len(value) <= MAX_STOCK_NAME else bounded_text(value, MAX_STOCK_NAME)
    return "" if value is None else show(value, str, MAX_STOCK_NAME)


def _number(value: Any, default: float) -> float:
    """Return ``value`` if it is a finite number of at most 64 bits, else ``default``."""
    if type(value) is int and value.bit_length() < 64:
        return value
    if type(value) is float and math.isfinite(value) and abs(value) < 1e18:
        return value
    return default
