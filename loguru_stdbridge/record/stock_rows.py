"""Makes the rows of stock clients' records, and keeps what repeats from one record to the next.

Owns what is kept. No sockets, files, threads or clocks here: callers hand in the time of now.

A program logs from few places and few threads. Their names, paths and numbers are checked once and
kept, in the :class:`Repeated` that the reader hands over with each record. The rows are those that
:func:`record.stock.row_of_stock_fields` makes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from .inert_format import MAX_PERCENT_SIGNS
from .row import Row
from .stock import LOGRECORD_KEYS, row_of_stock_fields, with_stack
from .tracebacks import exception_of_text

_TOLD_APART = frozenset(["msg", "args", "created", "msecs", "relativeCreated", "asctime", "message",
                         "exc_info", "exc_text", "stack_info", "taskName"])  # fmt: skip
"""The attributes of a ``LogRecord`` that may vary beside ``extra``."""


class Repeated:
    """What repeats in records, of one place in a program and one thread. Equal to itself only."""

    __slots__ = ("fields", "kept", "varying")

    def __init__(self, fields: dict[str, Any], varying: frozenset[str]) -> None:
        self.fields = fields
        """All fields in the record's order, with ``None`` for those that vary."""
        self.varying = varying
        """The fields that differ from record to record."""
        self.kept: Any = None
        """What :class:`StockRows` keeps of it."""

    def __repr__(self) -> str:
        return "Repeated()"


class _Kept(NamedTuple):
    """The fields of a row that repeat, checked."""

    level: tuple[Any, ...]
    place: tuple[Any, ...]  # and process, and thread
    extra_keys: tuple[str, ...]
    is_plain: bool
    """Whether there is neither an exception, a stack nor a task."""


class StockRows:
    """Makes rows. Used by one thread."""

    def __init__(self) -> None:
        self._second = math.nan  # of the record before
        self._zone: tuple[float, str | None] = (0.0, None)  # then

    def make(self, fields: Mapping[str, Any], repeated: Repeated | None, now: float) -> Row:
        """Return the row that :func:`record.stock.row_of_stock_fields` makes. Never raises.

        ``repeated`` is what the reader knows to repeat, or ``None``.
        """
        if repeated is None:
            return row_of_stock_fields(fields, now)
        kept = repeated.kept
        if kept is None:
            kept = repeated.kept = _keep(repeated, now)
        message, created = fields.get("msg"), fields.get("created")
        elapsed = fields.get("relativeCreated")
        if (
            not kept
            or fields.get("args")
            or type(message) is not str
            or len(message) > MAX_PERCENT_SIGNS
            or type(elapsed) is not float
            or not -1e18 < elapsed < 1e18
            or type(created) is not float
        ):
            return row_of_stock_fields(fields, now)
        if created // 1.0 != self._second:
            row = row_of_stock_fields(fields, now)
            if row.time == created:
                self._second = created // 1.0
                self._zone = row.offset, row.zone
            return row
        level, place, extra_keys, is_plain = kept
        extra = {key: fields[key] for key in extra_keys} if extra_keys else {}
        exception = None
        if not is_plain:
            exc_text = fields.get("exc_text")
            if type(exc_text) is str and exc_text:
                exception = exception_of_text(exc_text)
            for key in ("taskName", "stack_info"):
                value = fields.get(key)
                if value is not None and value != "":
                    extra[key] = value
            message = with_stack(message, fields.get("stack_info"))
        return _make_row(
            Row,
            (0, created, *self._zone, elapsed / 1000.0, *level, message, *place, exception, extra,
             None, None),
        )  # fmt: skip


def _keep(repeated: Repeated, now: float) -> Any:
    """Return what is kept of a record; ``()`` if one of the fields to keep varies."""
    fields, varying = repeated.fields, repeated.varying
    if any(key in LOGRECORD_KEYS and key not in _TOLD_APART for key in varying):
        return ()
    row = row_of_stock_fields({**fields, "msg": "", "args": None}, now)
    more = ("exc_text", "stack_info", "taskName")
    return _Kept(
        row[5:9],
        row[10:20],
        tuple(key for key in fields if key not in LOGRECORD_KEYS),
        all(key not in varying and fields.get(key) is None for key in more),
    )


_make_row = tuple.__new__
