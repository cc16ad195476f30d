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


def extra_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a ``LogRecord`` holds beside logging's own attributes: what ``extra=`` gave.

    The task's name and the stack are ``extra`` too, where there is one: a row has no place for
    them.
    """
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
    created = _number(fields.get("created"), now)
    try:
        local = time.localtime(created)
        if not 1 < local.tm_year < 9999:
            raise ValueError(local.tm_year)
    except (ValueError, OverflowError, OSError):
        created = now
        local = time.localtime(now)
    path = _text(fields.get("pathname"))
    exc_text = fields.get("exc_text")
    extra = extra_of(fields)
    message, arguments = _message(fields.get("msg")), fields.get("args")
    formatted = format_message(message, arguments)
    if formatted is None:
        extra["args"] = arguments
    else:
        message = formatted
    level_no = int(_number(fields.get("levelno"), 20))
    row = Row(
        flags=0,
        time=created,
        offset=float(local.tm_gmtoff),
        zone=local.tm_zone,
        elapsed=_number(fields.get("relativeCreated"), 0.0) / 1000.0,
        level_no=min(max(level_no, 0), 1_000_000),
        level_name=_text(fields.get("levelname")) or f"Level {level_no}",
        level_icon="",
        level_color=None,
        message=with_stack(message, fields.get("stack_info")),
        name=_text(fields.get("name")),
        function=_text(fields.get("funcName")),
        line=int(_number(fields.get("lineno"), 0)),
        file_name=_text(fields.get("filename")),
        file_path=path,
        module=_text(fields.get("module")),
        process_id=int(_number(fields.get("process"), 0)),
        process_name=_text(fields.get("processName")),
        thread_id=int(_number(fields.get("thread"), 0)),
        thread_name=_text(fields.get("threadName")),
        exception=exception_of_text(exc_text) if isinstance(exc_text, str) and exc_text else None,
        extra=extra,
    )
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
    if value is None:
        return ""
    return (
        bounded_text(value, MAX_STOCK_NAME)
        if type(value) is str
        else show(value, str, MAX_STOCK_NAME)
    )


def _number(value: Any, default: float) -> float:
    """Return ``value`` if it is a finite number of at most 64 bits, else ``default``."""
    if type(value) is int and value.bit_length() < 64:
        return value
    if type(value) is float and math.isfinite(value) and abs(value) < 1e18:
        return value
    return default
