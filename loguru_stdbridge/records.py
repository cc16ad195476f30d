"""A record in its three shapes: loguru's dict, the stdlib's ``LogRecord``, the row between them.

Owns which field of the one is which of the other. No sockets, files or threads; the clock is read
nowhere: a record brings its own time.

In the worker a field of an unexpected type (a patcher may put anything anywhere) costs that field
its type, never the record. At the far end nothing of a stock client's record is trusted: ``args``
is ignored, each field is checked and bounded, and what is no attribute of a ``LogRecord`` is
``extra``.
"""

from __future__ import annotations

import datetime
import logging
import math
import re
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

from .restored import plain
from .rows import (
    FLAG_RAW,
    FLAG_TAGGED,
    MAX_UNCOUNTED,
    Row,
    dump_fields,
    encode_fields,
    encode_rendered_row,
    encode_row,
    is_bounded,
    load_fields,
)
from .values import MAX_TEXT, bounded_text, flatten_extra, show

MAX_ROW = 8 * 1024 * 1024
"""Largest row in bytes. A hello holds it twice, and fits a frame (``frames.MAX_PAYLOAD``)."""

MAX_NAME = 4096
"""Characters of a name, path or level that a stock client may claim."""

MARK = "stdbridge"
"""The one key that a record of ours carries beside those of a ``LogRecord``."""

RECORD_KEYS = 13
"""Keys of a loguru record. More of them were put there by a patcher."""

LevelStyle = Tuple[str, Optional[str]]  # icon, colour

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
_LOGRECORD_KEYS = frozenset(vars(logging.makeLogRecord({}))) | {
    "asctime",
    "exc_text",
    "message",
    "stack_info",
    "taskName",
    MARK,
}
_formatter = logging.Formatter()


# -- worker: a record becomes a row -------------------------------------------------------------


class _Fragments:
    """Pieces of rows as JSON text, made once for each place that logs, level and thread.

    A process logs from a few hundred places; what is the same in every record of one need not be
    written again. The table is bounded: a program that makes up its places begins anew now and
    then.
    """

    def __init__(self, limit: int = 4096) -> None:
        self._limit = limit
        self._known: Dict[Tuple[Any, ...], str] = {}

    def __call__(self, *values: Any) -> str:
        try:
            return self._known[values]
        except KeyError:
            pass
        if not all(map(_is_text_or_number, values)):
            raise TypeError("a value that a row has no place for")
        text = dump_fields(values)
        if len(self._known) >= self._limit:
            self._known.clear()
        self._known[values] = text
        return text


def _is_text_or_number(value: object) -> bool:
    return type(value) in (str, int, type(None))  # no True, which a table takes for 1


_fragment = _Fragments()


def encode_loguru_record(
    record: Mapping[str, Any], *, raw: bool, traceback_text: str, color: Optional[str]
) -> bytes:
    """The row of a loguru record.

    ``traceback_text`` is the exception as loguru rendered it here, ``color`` the level's markup
    where it is not loguru's default. Never raises.
    """
    try:
        when = record["time"]
        level = record["level"]
        file = record["file"]
        process = record["process"]
        thread = record["thread"]
        extra, tagged = flatten_extra(record["extra"]) if record["extra"] else (None, False)
        exception = record["exception"]
        row = encode_fields(
            (FLAG_RAW if raw else 0) | (FLAG_TAGGED if tagged else 0),
            when.timestamp(),
            when.utcoffset().total_seconds(),
            when.tzname(),
            record["elapsed"].total_seconds(),
            _fragment(level.no, level.name, level.icon, color),
            record["message"],
            _fragment(
                record["name"], record["function"], record["line"], file.name, file.path,
                record["module"], process.id, process.name,
            ),
            _fragment(thread.id, thread.name),
            None if exception is None else _exception_fields(exception, traceback_text),
            extra,
            None if len(record) == RECORD_KEYS else _others_of(record),
        )  # fmt: skip
    except Exception:
        row = _encode_odd(_fields_of_odd_record(record, raw, traceback_text, color))
    return row if len(row) <= MAX_UNCOUNTED else _checked(row)


def _others_of(record: Mapping[str, Any]) -> Dict[str, Any]:
    """What a patcher has put beside loguru's own keys."""
    others = {key: value for key, value in record.items() if key not in _LOGURU_KEYS}
    flat: Dict[str, Any] = flatten_extra(others)[0]  # type: ignore[assignment]
    return flat


def encode_rendered(nanoseconds: int, head: str, line: str) -> bytes:
    """The row of a line that loguru has rendered in the sink's own style (:mod:`rows`)."""
    row = encode_rendered_row(nanoseconds, head, line)
    if len(row) <= MAX_UNCOUNTED or (len(row) <= MAX_ROW and is_bounded(row)):
        return row
    return encode_rendered_row(nanoseconds, head, f"{_bounded_plain(line[:-1], MAX_TEXT)}\n")


def encode_logrecord(record: logging.LogRecord, style: Callable[[str], LevelStyle]) -> bytes:
    """The row of a stdlib record; ``style`` gives the icon and colour of a level name.

    Never raises: a message that cannot be formatted arrives as its parts, an attribute of an
    impossible type as a text.
    """
    try:
        attributes = record.__dict__
        others = {key: value for key, value in attributes.items() if key not in _LOGRECORD_KEYS}
        if attributes.get("taskName") is not None:
            others["taskName"] = attributes["taskName"]
        if attributes.get("stack_info"):
            others["stack_info"] = bounded_text(attributes["stack_info"], MAX_TEXT)
        extra, tagged = flatten_extra(others) if others else (None, False)
        local = time.localtime(record.created)
        icon, color = style(record.levelname)
        row = encode_fields(
            FLAG_TAGGED if tagged else 0,
            record.created,
            float(local.tm_gmtoff),
            local.tm_zone,
            record.relativeCreated / 1000.0,
            _fragment(record.levelno, record.levelname, icon, color),
            _message_of(record),
            _fragment(
                record.name, record.funcName or "", record.lineno, record.filename,
                record.pathname, record.module, record.process or 0, record.processName or "",
            ),
            _fragment(record.thread or 0, record.threadName or ""),
            _exception_of(record),
            extra,
            None,
        )  # fmt: skip
    except Exception:
        row = _encode_odd(_fields_of_odd_logrecord(record, style))
    return row if len(row) <= MAX_UNCOUNTED else _checked(row)


def _message_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        message, arguments = getattr(record, "msg", None), getattr(record, "args", None)
        return show(message, str) + (f" % {show(arguments)}" if arguments is not None else "")


def _exception_fields(exception: Any, text: str) -> List[Any]:
    kind, value, traceback = exception
    return [
        None if kind is None else kind.__name__,
        None if value is None else show(value, str, MAX_TEXT),
        bounded_text(text, MAX_TEXT),
        bool(traceback),
    ]


def _exception_of(record: logging.LogRecord) -> Optional[List[Any]]:
    try:
        exc_info, exc_text = getattr(record, "exc_info", None), getattr(record, "exc_text", None)
        if exc_info:
            text = exc_text or _formatter.formatException(exc_info)
            return _exception_fields(exc_info, f"{text}\n")
        if exc_text:
            return exception_of_text(exc_text)
    except Exception:
        return [None, None, f"{show(exc_info)}\n", True]
    return None


def _encode_odd(fields: List[Any]) -> bytes:
    """Encode fields that may be of types that JSON lacks; ``extra``, the last, is flat already."""
    odd = [
        value if type(value) in (str, int, float, bool, list, type(None)) else show(value, str)
        for value in fields[:-1]
    ]
    try:
        return encode_row([*odd, fields[-1]])
    except Exception:  # nested too deep for what is left of the application's stack
        return encode_row([*odd, {}])


def _fields_of_odd_record(
    record: Mapping[str, Any], raw: bool, traceback_text: str, color: Optional[str]
) -> List[Any]:
    """The fields of a loguru record that some patcher has bent out of shape."""

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
    exception: Optional[List[Any]] = None
    if record.get("exception") is not None:
        try:
            exception = _exception_fields(record["exception"], traceback_text)
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


def _fields_of_odd_logrecord(
    record: logging.LogRecord, style: Callable[[str], LevelStyle]
) -> List[Any]:
    """The fields of a stdlib record of which some attribute is missing or of an impossible type.

    Where a number is none, what stands in its place is told in ``extra``.
    """
    attributes = dict(record.__dict__)
    others = {key: value for key, value in attributes.items() if key not in _LOGRECORD_KEYS}
    for key in ("taskName", "stack_info"):
        if attributes.get(key) is not None:
            others[key] = attributes[key]

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
        icon, color = style(level)
    except Exception:
        icon, color = " ", None
    fields: List[Any] = [
        0,
        float(created),
        float(local.tm_gmtoff),
        local.tm_zone,
        number("relativeCreated", 0.0) / 1000.0,
        number("levelno", 20),
        level,
        icon,
        color,
        _shown(_message_of(record), MAX_TEXT),
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
        _exception_of(record),
    ]
    extra, tagged = flatten_extra(others)
    fields[0] = FLAG_TAGGED if tagged else 0
    return [*fields, extra]


def _shown(value: Any, limit: int) -> str:
    return value if type(value) is str else show(value, str, limit)


def _is_finite(value: Any) -> bool:
    """Whether ``value`` is a number that JSON and a calendar have."""
    if type(value) is int:
        return value.bit_length() <= 64
    return type(value) is float and math.isfinite(value)


def _finite(value: Any, default: float) -> float:
    number: float = value if _is_finite(value) else default
    return number


def _checked(row: bytes) -> bytes:
    """A large row, cut to what a receiver takes: one that it refuses would be sent for ever."""
    return row if len(row) <= MAX_ROW and is_bounded(row) else _encode_cut(row)


def _encode_cut(row: bytes) -> bytes:
    """A row beyond a bound with its texts cut: 1 Mi + 0.25 Mi characters, 6 bytes at most."""
    fields = load_fields(row)[:22]
    size = len(row)
    fields[9] = bounded_text(fields[9], MAX_TEXT)
    if fields[20] is not None:
        fields[20] = [
            bounded_text(part, MAX_TEXT // 12) if isinstance(part, str) else part
            for part in fields[20]
        ]
    cut = encode_row(fields)
    if len(cut) <= MAX_ROW and is_bounded(cut):
        return cut
    fields[0] &= ~FLAG_TAGGED
    fields[21] = {"...": f"<extra left out: with it the record is beyond a bound ({size} bytes)>"}
    for index, part in enumerate(fields):
        if isinstance(part, str):
            fields[index] = _bounded_plain(part, MAX_TEXT if index == 9 else MAX_NAME)
        elif index == 20 and part is not None:
            fields[20] = [_bounded_plain(p, MAX_TEXT) if isinstance(p, str) else p for p in part]
    return encode_row(fields)


def _bounded_plain(text: str, limit: int) -> str:
    """A bounded text, its lone surrogates as the escapes that a file would have of them."""
    plain_text = text[: limit + 1].encode("utf-8", "backslashreplace").decode("utf-8")
    return bounded_text(plain_text, limit)


# -- worker: a row becomes a stock payload ------------------------------------------------------


def logrecord_fields(row: Row, mark: Dict[str, Any]) -> Dict[str, Any]:
    """The attributes of a ``LogRecord``, as ``SocketHandler.makePickle`` would send them.

    Only primitives and types that every interpreter has; ``extra`` becomes attributes, as with
    ``logging``'s ``extra=``. ``mark`` goes under the key ``stdbridge``.
    """
    fields: Dict[str, Any] = {
        key: plain(value)
        for key, value in row.extra.items()
        if type(key) is str and key not in _LOGRECORD_KEYS
    }
    exc_text = None
    if row.exception is not None and isinstance(row.exception[2], str):
        exc_text = row.exception[2].rstrip("\n")
    fields.update(
        name=row.name or "",
        msg=row.message.rstrip("\n") if row.flags & FLAG_RAW else row.message,
        args=None,
        levelname=row.level_name,
        levelno=row.level_no,
        pathname=row.file_path,
        filename=row.file_name,
        module=row.module,
        exc_info=None,
        exc_text=exc_text,
        stack_info=None,
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


def row_of_stock_fields(fields: Mapping[str, Any], now: float) -> Row:
    """A stock client's record, every field checked.

    ``fields`` hold inert values only (``strangers.load_record``). ``now`` (seconds since the epoch)
    is taken where the client's time is no time that a calendar has. Never raises.
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
    stack = fields.get("stack_info")
    extra = {key: value for key, value in fields.items() if key not in _LOGRECORD_KEYS}
    if fields.get("taskName") is not None:
        extra["taskName"] = fields["taskName"]
    if isinstance(stack, str) and stack:
        extra["stack_info"] = stack
    level_no = int(_number(fields.get("levelno"), 20))
    return Row(
        flags=0,
        time=created,
        offset=float(local.tm_gmtoff),
        zone=local.tm_zone,
        elapsed=_number(fields.get("relativeCreated"), 0.0) / 1000.0,
        level_no=min(max(level_no, 0), 1_000_000),
        level_name=_text(fields.get("levelname")) or f"Level {level_no}",
        level_icon="",
        level_color=None,
        message=_message(fields.get("msg")),
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


_LAST_LINE = re.compile(r"(?:[\w.]{0,200}\.)?(\w{1,200})(?:: (.*))?", re.DOTALL)


def exception_of_text(text: str) -> List[Any]:
    """The exception field of a row, read off a traceback's text.

    The type and the value are those of the last line that is not indented.
    """
    lines = text.rstrip("\n").split("\n")
    index = next((i for i in range(len(lines) - 1, -1, -1) if lines[i][:1] not in (" ", "")), 0)
    match = _LAST_LINE.fullmatch("\n".join(lines[index:]))
    kind, value = match.groups() if match else ("Exception", lines[index])
    has_traceback = text.startswith("Traceback ") or "\nTraceback " in text
    return [kind, value or "", text.rstrip("\n") + "\n", has_traceback]


def _message(value: Any) -> str:
    return value if type(value) is str else show(value, str, MAX_TEXT)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return bounded_text(value, MAX_NAME) if type(value) is str else show(value, str, MAX_NAME)


def _number(value: Any, default: float) -> float:
    """A finite number of at most 64 bits, else ``default``."""
    if type(value) is int and value.bit_length() < 64:
        return value
    if type(value) is float and math.isfinite(value) and abs(value) < 1e18:
        return value
    return default
