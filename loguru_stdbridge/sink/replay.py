"""Turns a row into the text that loguru would have written in the worker.

A private loguru handler renders, with a sink that only collects the text. Level, filter, format,
colours and ``serialize`` are loguru's. Nothing is written here; :mod:`rotating` writes.

Three ways to render
--------------------
The record's dict is built from the row and handed to the handler in one of three ways.

* The public way is ``logger.patch(...).log(...)``. It has no arguments, which would format the
  braces of a stranger's message, and never ``colors``. It has one constant level number. The level
  that counts is the record's, which the patcher sets; so a peer's level numbers make no entry in
  loguru's tables. A coloured sink has a level of that number for each colour.
* The direct way calls the handler's ``emit``, which costs half as much. It depends on an internal
  of loguru's. So it is checked at the start: a probe must render the same in both ways.
* The short way costs a tenth of the direct one. It is for a handler that only fills in a format
  string (no filter, colours or ``serialize``), and for a record without an exception that is not
  raw. It leaves out what ``emit`` does for handlers in general, and keeps what repeats
  (:mod:`sink.short_way`). The string is the handler's own, and is checked on the same probe.

An exception comes as text: see :mod:`remote_exceptions`.

Why no record is lost to a format
---------------------------------
A format may fail on a record: ``{extra[user]}`` where it has no user, a key that JSON lacks. Then
the record is rendered again with an ``extra`` in which nothing is missing, then with ``extra`` as
one text, and in the end in a format that cannot fail.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

from loguru import logger

from ..exceptions import ConfigurationError
from ..record.escape import escape_row
from ..record.line_format import LineFormat, make_line_format
from ..record.markup import load_markup
from ..record.row import FLAG_RAW, Row
from ..record.sink_needs import has_boxes, look_of, needs_of
from ..record.values import show
from .internals import PRIVATE_NAME, private_logger
from .records import RecordMaker
from .remote_exceptions import TextFormatter
from .short_way import ShortWay

MAX_COLORS = 64
"""Colours that peers can add to a coloured sink; each stays in a table of loguru's for good."""

_COLOR = re.compile(r"(?:</?[\w ,#]{1,40}>){0,8}")  # only markup: it goes before every line
_ALWAYS_EMITTED = 2**31 - 1  # a level number above any sink's own level: the record's decides
_WORKER_OPTIONS = ("backtrace", "diagnose")
_RECEIVER_OPTIONS = ("enqueue", "catch", "context", "loop")
_EMIT_PARAMETERS = ("record", "level_id", "from_decorator", "is_raw", "colored_message")
RENDER_OPTIONS = (
    "level", "format", "filter", "colorize", "serialize", "escape", "patcher",
    *_WORKER_OPTIONS,
)  # fmt: skip


DEFAULT_FORMAT = (
    "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> | <level>{level: <8}</level> | "
    "<magenta>{process}</magenta> | "
    "<cyan>{name}</cyan>:<cyan>{function}</cyan>:<cyan>{line}</cyan> - <level>{message}</level>"
)
"""loguru's own, and the id of the process that has logged the record: many write one file."""


def default_format() -> str:
    """Return the format of a sink for which none is given: ``$LOGURU_FORMAT`` is heeded, as in
    loguru."""
    return os.environ.get("LOGURU_FORMAT", DEFAULT_FORMAT)


class Rendered(NamedTuple):
    """A record and its text, which is empty where the sink's level or filter leaves it out."""

    text: str
    record: dict[str, Any]


class Replay:
    """Renders rows for one sink. Used by one thread."""

    def __init__(
        self,
        *,
        direct: bool | None = None,
        escape: bool = False,
        patcher: Callable[[dict[str, Any]], object] | None = None,
        encoding: Any = "utf8",
        **options: Any,
    ) -> None:
        """``options`` are loguru's: level, format, filter, colorize, serialize.

        ``encoding`` is the sink's. With ``escape`` no text of a record breaks its line
        (:mod:`record.escape`), so no worker renders. ``patcher`` may change each record before it
        is rendered; it never raises.

        ``direct`` forces or forbids the direct way, for the tests. Raises
        :class:`ConfigurationError` for options that mean nothing here, and for values that loguru
        cannot use.
        """
        for name in _WORKER_OPTIONS + _RECEIVER_OPTIONS:
            if name in options:
                owner = "the worker" if name in _WORKER_OPTIONS else "the receiver itself"
                raise ConfigurationError(
                    f"{name}={options[name]!r} is decided in {owner}: leave it out"
                )
        options.setdefault("format", default_format())
        self._logger = private_logger()
        _add_levels_of_application(self._logger)
        self._texts: list[str] = []
        self._colorize = bool(options.get("colorize"))
        self._look = look_of(colorize=self._colorize, encoding=encoding)
        self._color_levels: dict[str, str | None] = {}
        self._make_record = RecordMaker(self._logger, self._look).make
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
            hint = ""
            if "level" in str(error).lower() and "does not exist" in str(error):
                hint = (
                    "; a level that an application adds is known in that process alone: give its "
                    "number here"
                )
            raise ConfigurationError(f"loguru refuses {given}: {error}{hint}") from error
        template = options.get("format")
        self._patch = patcher
        self._escapes = escape and not options.get("serialize")  # JSON escapes by itself
        self.line_format = None
        self._needs_fields = self._escapes or patcher is not None
        if not self._needs_fields:
            self.line_format = self._find_line_format(handler_id, template, has_boxes(encoding))
        """The format by which workers may render for this sink; ``None``: they may not."""
        self._take_tracebacks_as_text(handler_id)
        self.needs = needs_of(
            template, self._find_level(handler_id), colorize=self._colorize, encoding=encoding
        )
        """What the sink needs of a record that only its worker can make."""
        emit = self._find_emit(handler_id) if direct is not False else None
        self.direct = emit is not None
        """Whether records go the direct way."""
        if direct and emit is None:
            raise ConfigurationError(
                "this loguru does not have the handler that the direct way needs"
            )
        self._emit = emit or self._emit_publicly
        self._short_way, self._min_level_no = self._find_short_way(handler_id)

    def _collect(self, message: Any) -> None:
        self._texts.append(str(message))

    def _find_plain(self, handler_id: int) -> Any:
        """Return the handler where it has only a level and a format string, else ``None``."""
        try:
            handler = self._logger._core.handlers[handler_id]
            plain = not (
                handler._serialize or handler._colorize or handler._is_formatter_dynamic
                or handler._filter is not None
            )  # fmt: skip
            return handler if plain else None
        except (AttributeError, KeyError):
            return None

    def _find_line_format(self, handler_id: int, template: Any, boxes: bool) -> LineFormat | None:
        handler = self._find_plain(handler_id)
        try:
            return None if handler is None else make_line_format(template, handler._levelno, boxes)
        except AttributeError:
            return None

    def _find_level(self, handler_id: int) -> int:
        """Return the least level that the sink takes; 0 where this loguru does not tell."""
        try:
            level: int = self._logger._core.handlers[handler_id]._levelno
            return level if type(level) is int else 0
        except (AttributeError, KeyError):
            return 0

    def _take_tracebacks_as_text(self, handler_id: int) -> None:
        """Have the handler show a remote traceback as it is; loguru would paint its lines anew."""
        with contextlib.suppress(AttributeError, KeyError):
            handler = self._logger._core.handlers[handler_id]
            handler._exception_formatter = TextFormatter(handler._exception_formatter)

    def _find_short_way(self, handler_id: int) -> tuple[ShortWay | None, int]:
        """Return the short way and its least level; ``None`` if there is none."""
        handler = self._find_plain(handler_id)
        if handler is None or not self.direct:
            return None, 0
        try:
            min_level_no = handler._levelno
            way = ShortWay(handler._decolorized_format, self._make_record)
            probe = _PROBE._replace(exception=None, level_no=max(30, min_level_no))
            self._emit(self._make_record(probe), None, False, False, None)
            known = "".join(self._texts) == way.render(probe)
            return (way, min_level_no) if known else (None, 0)
        except Exception:
            return None, 0
        finally:
            self._texts.clear()

    def _find_emit(self, handler_id: int) -> Callable[..., None] | None:
        """Return the handler's ``emit``; ``None`` where it does not do what the public way does."""
        try:
            emit: Callable[..., None] = self._logger._core.handlers[handler_id].emit
            if tuple(inspect.signature(emit).parameters) != _EMIT_PARAMETERS:
                return None
            probe = self._make_record(_PROBE)
            outcomes = []
            for way in (self._emit_publicly, emit):
                self._texts.clear()
                try:
                    way(dict(probe), None, False, False, None)
                    outcomes.append("".join(self._texts))
                except (KeyError, AttributeError, ValueError, TypeError, IndexError) as error:
                    outcomes.append(type(error).__name__)  # the format fails on the probe
            return emit if outcomes[0] == outcomes[1] else None
        except Exception:
            return None
        finally:
            self._texts.clear()

    def _emit_publicly(
        self, record: dict[str, Any], level_id: Any, decorated: bool, raw: bool, colored: None
    ) -> None:
        logger = self._logger.patch(lambda fresh: fresh.update(record)).opt(raw=raw)
        logger.log(_ALWAYS_EMITTED if level_id is None else level_id, "")

    def render_text(self, row: Row) -> str:
        """Return the text of a row; empty where the sink leaves it out. Never raises."""
        if self._needs_fields:
            return self.render(row).text
        way = self._short_way
        if way is not None and row.exception is None and not row.flags & FLAG_RAW:
            try:
                return way.render(row) if row.level_no >= self._min_level_no else ""
            except Exception:  # render() does what can be done
                pass
        return self.render(row).text

    def render(self, row: Row) -> Rendered:
        """Return the text of a row, and its record. Never raises."""
        if self._escapes:
            row = escape_row(row)
        record = self._make_record(row)
        if self._patch is not None:
            self._patch(record)
        raw = bool(row.flags & FLAG_RAW)
        level_id = self._find_color_level(row) if self._colorize else None
        colored: Any = None
        if self._colorize and row.colors is not None and self.direct:
            colored = _color_message(row.colors, row.message)
        self._texts.clear()
        try:
            self._emit(record, level_id, False, raw, colored)
        except Exception:
            self._render_leniently(record, level_id, raw)
        return Rendered("".join(self._texts), record)

    def find_misfit(self) -> str | None:
        """Return why the sink's format fits no record; ``None`` where it fits one.

        ``{extra[user]}`` fits records that have such an ``extra``, so the record tried has any.
        """
        record = self._make_record(_PROBE._replace(exception=None, level_no=_ALWAYS_EMITTED))
        record["extra"] = _AnyExtra()
        self._texts.clear()
        try:
            self._emit(record, None, False, False, None)
        except KeyError as error:
            return f"no record has {error}"
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self._texts.clear()
        return None

    def _render_leniently(self, record: dict[str, Any], level_id: Any, raw: bool) -> None:
        for extra in (
            _CompleteExtra({str(key): value for key, value in record["extra"].items()}),
            _CompleteExtra({"unprintable": show(record["extra"])}),
        ):
            self._texts.clear()
            try:
                self._emit({**record, "extra": extra}, level_id, False, raw, None)
                return
            except Exception:
                continue
        self._texts[:] = [
            f"{record['time'].isoformat(' ')} | {show(record['level'].name, str)} | "
            f"{record['name']}:{record['function']}:{record['line']} - {record['message']}\n"
        ]
        if record["exception"]:
            self._texts.append(record["exception"].text)

    def _find_color_level(self, row: Row) -> str | None:
        """Return the level that has the record's colour; make one where there is room.

        The level of the record's own name will not do: another worker may have given that name
        another colour, or a number below the sink's level.
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
                self._logger.level(level, no=_ALWAYS_EMITTED, color=color)
            except Exception:  # a colour that loguru does not know
                level = None
            self._color_levels[color] = level
        return self._color_levels[color]


class _CompleteExtra(dict[str, Any]):
    """An ``extra`` that answers an empty text for every key that it lacks."""

    def __missing__(self, key: str) -> str:
        return ""


class _AnyExtra(dict[str, Any]):
    """An ``extra`` that has whatever a format asks for."""

    def __missing__(self, key: str) -> _AnyExtra:
        return _AnyExtra()

    def __getattr__(self, name: str) -> _AnyExtra:
        return _AnyExtra()

    def __format__(self, specification: str) -> str:
        return ""


def _color_message(colors: Sequence[Any], message: str) -> Any:
    """Return what loguru makes of a marked message; ``None`` if the colours do not fit it."""
    tokens = load_markup(colors, message)
    if tokens is None:
        return None
    try:
        return sys.modules[f"{PRIVATE_NAME}._colorizer"].ColoredMessage(tokens)
    except (KeyError, AttributeError):  # another loguru
        return None


def _add_levels_of_application(private: Any) -> None:
    """Make known what levels this process's application has added, or given another look."""
    with contextlib.suppress(AttributeError, TypeError, ValueError):  # another loguru's
        for level in list(logger._core.levels.values()):  # type: ignore[attr-defined]
            known = private._core.levels.get(level.name)
            if known is None:
                private.level(level.name, no=level.no, color=level.color, icon=level.icon)
            elif known != level:
                private.level(level.name, color=level.color, icon=level.icon)


_PROBE = Row(
    0, 1e9 + 0.125, 0.0, "UTC", 1.0, 30, "WARNING", "!", None, "{probe} <red> %s", "name",
    "function", 1, "file.py", "/file.py", "file", 1, "process", 2, "thread",
    ["E", "v", "Traceback\nE: v\n", True], {"key": "value"},
)  # fmt: skip
