"""A row becomes the very text that loguru would have written in the worker.

Owns the render stage of the receiver: a private loguru handler whose sink is a callable. Level,
filter, format, colours and ``serialize`` are loguru's; nothing is written here (:mod:`sink` does).

How a record is replayed
------------------------
The record's dict is built from the row and handed to the handler. The direct way calls the
handler's ``emit`` (about half the cost); it leans on an internal, so it is checked at start, on a
probe that must render the same both ways. The public way is ``logger.patch(...).log(...)``, with no
arguments (they would format the braces of a stranger's message), never with ``colors``, and by one
constant level number: the level that counts is the record's, set by the patcher, and a peer's level
numbers make no entry in loguru's tables. A coloured sink has a level of that number for each
colour.

Where the handler does nothing but fill in a format string (no filter, colours or ``serialize``, a
record without an exception that is not raw), the direct way is that string's ``format_map``, which
leaves out what ``emit`` does for handlers in general, of a record that has no more of what is dear
to make than the string shows: a third of the time. The string is the handler's, and the same probe
decides.

The exception comes as text: see :mod:`remote_exceptions`.

A format that fails on a record (``{extra[user]}`` where it has none, a key that JSON lacks) must
not lose it: it is rendered again with what fails left out, in the end in a format that cannot fail.
"""

from __future__ import annotations

import datetime
import inspect
import re
import string
import time
from functools import lru_cache
from typing import Any, Callable, NamedTuple

from ..exceptions import ConfigurationError
from ..record.decode import make_timezone
from ..record.line_format import LineFormat, make_line_format
from ..record.row import FLAG_RAW, Row
from ..record.values import MAX_ZONE, show
from .internals import private_logger
from .remote_exceptions import exception_class, make_exception

MAX_RECORD_NAME = 1000
"""Characters of a record's name. A ``filter`` by modules takes a name apart at each of its dots,
and copies what is left."""

MAX_COLORS = 64
"""Colours that peers can make known to a coloured sink; each stays in a loguru table for good."""

_COLOR = re.compile(r"(?:</?[\w ,#]{1,40}>){0,8}")  # markup alone: it goes before every line

_LEVEL = 2**31 - 1  # above any sink's own level, so that the record's decides
_WORKER_SIDE = ("backtrace", "diagnose")
_OURS = ("enqueue", "catch", "context", "loop")
_EMIT_PARAMETERS = ("record", "level_id", "from_decorator", "is_raw", "colored_message")
_DEAR = frozenset(["elapsed", "file", "level", "process", "thread", "time"])  # objects of their own
RENDER_OPTIONS = ("level", "format", "filter", "colorize", "serialize", *_WORKER_SIDE)


class Rendered(NamedTuple):
    """``text`` is empty where the sink's level or filter leaves the record out."""

    text: str
    record: dict[str, Any]


class Replay:
    """Renders rows for one sink. Not thread-safe: one thread renders."""

    def __init__(self, *, direct: bool | None = None, **options: Any) -> None:
        """``options`` are loguru's own words: level, format, filter, colorize, serialize.

        ``direct`` forces (or forbids) the direct way, for the tests. Raises
        :class:`ConfigurationError` for words that mean nothing here, and for values that loguru
        cannot use.
        """
        for name in _WORKER_SIDE + _OURS:
            if name in options:
                side = "is decided in the worker" if name in _WORKER_SIDE else "is the receiver's"
                raise ConfigurationError(f"{name}={options[name]!r} {side}: leave it out")
        self._logger = private_logger()
        self._texts: list[str] = []
        self._colorize = bool(options.get("colorize"))
        self._color_levels: dict[str, str | None] = {}
        self._icons: dict[str, str] = {}
        types = _learn_types(self._logger)
        self._file, self._level, self._process, self._thread, self._time = types[:5]
        self._exception: type[Any] = exception_class(types[5])
        try:
            handler_id = self._logger.add(
                self._collect,
                backtrace=False,
                diagnose=False,
                catch=False,
                enqueue=False,
                **options,
            )
        except (ValueError, TypeError) as error:
            given = ", ".join(f"{name}={value!r}" for name, value in options.items())
            raise ConfigurationError(f"loguru refuses {given}: {error}") from error
        self.line_format = self._find_line_format(handler_id, options.get("format"))
        """How workers may render for this sink; ``None`` where only this side can."""
        self._emit = self._find_emit(handler_id) if direct is not False else None
        self._template, self._least = self._find_template(handler_id)
        self._shown = _DEAR if self._template is None else _shown_by(self._template)
        if direct and self._emit is None:
            raise ConfigurationError(
                "this loguru does not have the handler that the direct way needs"
            )

    @property
    def direct(self) -> bool:
        """Whether records go the direct way."""
        return self._emit is not None

    def _collect(self, message: Any) -> None:
        self._texts.append(str(message))

    def _find_plain(self, handler_id: int) -> Any:
        """The handler, where it is known to be nothing but a level and a format string."""
        try:
            handler = self._logger._core.handlers[handler_id]
            plain = not (
                handler._serialize or handler._colorize or handler._is_formatter_dynamic
                or handler._filter is not None
            )  # fmt: skip
            return handler if plain else None
        except (AttributeError, KeyError):
            return None

    def _find_line_format(self, handler_id: int, template: Any) -> LineFormat | None:
        handler = self._find_plain(handler_id)
        try:
            if template is None:
                from loguru._defaults import LOGURU_FORMAT as template
            return None if handler is None else make_line_format(template, handler._levelno)
        except (ImportError, AttributeError):
            return None

    def _find_template(self, handler_id: int) -> tuple[str | None, int]:
        """What a plain handler fills in, and its level's number, where ``emit`` does no more."""
        handler = self._find_plain(handler_id)
        if handler is None or self._emit is None:
            return None, 0
        try:
            template, least = handler._decolorized_format, handler._levelno
            probe = self._record(_PROBE._replace(exception=None, level_no=max(30, least)))
            self._emit(probe, None, False, False, None)
            known = "".join(self._texts) == template.format_map({**probe, "exception": ""})
            return (template, least) if known else (None, 0)
        except Exception:
            return None, 0
        finally:
            self._texts.clear()

    def _find_emit(self, handler_id: int) -> Callable[..., None] | None:
        """The handler's ``emit``, if it is the one we know and does what the public way does."""
        try:
            emit: Callable[..., None] = self._logger._core.handlers[handler_id].emit
            if tuple(inspect.signature(emit).parameters) != _EMIT_PARAMETERS:
                return None
            probe = self._record(_PROBE)
            outcomes = []
            for way in (self._publicly, emit):
                self._texts.clear()
                try:
                    way(dict(probe), None, False, False, None)
                    outcomes.append("".join(self._texts))
                except (KeyError, AttributeError, ValueError, TypeError, IndexError) as error:
                    outcomes.append(type(error).__name__)  # a format that a bare record fails
            return emit if outcomes[0] == outcomes[1] else None
        except Exception:
            return None
        finally:
            self._texts.clear()

    def _publicly(
        self, record: dict[str, Any], level_id: Any, decorated: bool, raw: bool, colored: None
    ) -> None:
        logger = self._logger.patch(lambda fresh: fresh.update(record)).opt(raw=raw)
        logger.log(_LEVEL if level_id is None else level_id, "")

    def text(self, row: Row) -> str:
        """The text of one record; empty where the sink leaves it out. Never raises."""
        template = self._template
        if template is not None and row.exception is None and not row.flags & FLAG_RAW:
            try:
                if row.level_no < self._least:
                    return ""
                record = self._record(row, self._shown)
                record["exception"] = ""
                return template.format_map(record)
            except Exception:  # once more, for all that can be done
                pass
        return self.render(row).text

    def render(self, row: Row) -> Rendered:
        """The text of one record, and the record. Never raises."""
        record = self._record(row)
        raw = bool(row.flags & FLAG_RAW)
        level_id = self._level_id(row) if self._colorize else None
        emit = self._emit or self._publicly
        self._texts.clear()
        try:
            emit(record, level_id, False, raw, None)
        except Exception:
            self._render_leniently(record, level_id, raw)
        return Rendered("".join(self._texts), record)

    def _render_leniently(self, record: dict[str, Any], level_id: Any, raw: bool) -> None:
        emit = self._emit or self._publicly
        for extra in (
            _Lenient({str(key): value for key, value in record["extra"].items()}),
            _Lenient({"unprintable": show(record["extra"])}),
        ):
            self._texts.clear()
            try:
                emit({**record, "extra": extra}, level_id, False, raw, None)
                return
            except Exception:
                continue
        self._texts[:] = [
            f"{record['time'].isoformat(' ')} | {show(record['level'].name, str)} | "
            f"{record['name']}:{record['function']}:{record['line']} - {record['message']}\n"
        ]
        if record["exception"]:
            self._texts.append(record["exception"].text)

    def _record(self, row: Row, shown: frozenset[str] = _DEAR) -> dict[str, Any]:
        """A record as loguru has it; of what is dear to make, only what is ``shown``."""
        exception = row.exception
        record = {
            "exception": None if exception is None else make_exception(self._exception, exception),
            "extra": row.extra,
            "function": row.function,
            "line": row.line,
            "message": row.message,
            "module": row.module,
            "name": row.name and row.name[:MAX_RECORD_NAME],
        }
        if "time" in shown:
            record["time"] = self._time_of(row)
        if "level" in shown:
            icon = row.level_icon or self._icon(row)
            record["level"] = self._level(row.level_name, row.level_no, icon)
        if "elapsed" in shown:
            record["elapsed"] = _elapsed_of(row)
        if "file" in shown:
            record["file"] = self._file(row.file_name, row.file_path)
        if "process" in shown:
            record["process"] = self._process(row.process_id, row.process_name)
        if "thread" in shown:
            record["thread"] = self._thread(row.thread_id, row.thread_name)
        if row.more:
            record = {**row.more, **record}
        return record

    def _time_of(self, row: Row) -> Any:
        try:
            zone = row.zone and row.zone[:MAX_ZONE]  # each is kept for a while
            return self._time.fromtimestamp(row.time, _timezone(row.offset, zone))
        except (ValueError, OverflowError, OSError):
            return self._time.fromtimestamp(time.time(), datetime.timezone.utc)

    def _icon(self, row: Row) -> str:
        try:
            return str(self._logger.level(row.level_name).icon)
        except (ValueError, TypeError):
            return " "

    def _level_id(self, row: Row) -> str | None:
        """The level of ours that has the record's colour; made known where there is room.

        A level's name will not do: another worker may have painted it otherwise, or numbered it
        below what the sink takes.
        """
        color = row.level_color
        if color is None:
            try:
                color = str(self._logger.level(row.level_name).color)
            except (ValueError, TypeError):
                return None
        if color not in self._color_levels:
            if len(self._color_levels) >= MAX_COLORS or not _COLOR.fullmatch(color):
                return None
            level: str | None = f"color {len(self._color_levels)}"
            try:
                self._logger.level(level, no=_LEVEL, color=color)
            except Exception:  # one that loguru does not know
                level = None
            self._color_levels[color] = level
        return self._color_levels[color]


class _Lenient(dict[str, Any]):
    """An ``extra`` in which what a format asks for and the record lacks is empty."""

    def __missing__(self, key: str) -> str:
        return ""


def _elapsed_of(row: Row) -> datetime.timedelta:
    try:
        return datetime.timedelta(seconds=row.elapsed)
    except (ValueError, OverflowError):
        return datetime.timedelta(0)


def _shown_by(template: str) -> frozenset[str]:
    """What is dear to make of a record, and shown by a format string."""
    names = set()
    for _, name, specification, _ in string.Formatter().parse(template):
        if "{" in (specification or ""):
            return _DEAR
        names.add(re.split(r"[.\[]", name or "", maxsplit=1)[0])
    return _DEAR & names


@lru_cache(maxsize=256)
def _timezone(offset: float, zone: str | None) -> datetime.timezone:
    return make_timezone(offset, zone)


def _learn_types(logger: Any) -> tuple[type[Any], ...]:
    """The types of a loguru record's values, from a record that is logged to nowhere."""
    seen: dict[str, Any] = {}
    handler = logger.add(lambda message: seen.update(message.record), format="{message}")
    try:
        logger.opt(exception=ValueError()).error("")
    finally:
        logger.remove(handler)
    names = ("file", "level", "process", "thread", "time", "exception")
    return tuple(type(seen[name]) for name in names)


_PROBE = Row(
    0, 1e9, 0.0, "UTC", 1.0, 30, "WARNING", "!", None, "{probe} <red> %s", "name", "function", 1,
    "file.py", "/file.py", "file", 1, "process", 2, "thread", ["E", "v", "Traceback\nE: v\n", True],
    {"key": "value"},
)  # fmt: skip
