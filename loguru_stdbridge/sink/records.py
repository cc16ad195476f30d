"""Makes a record, as loguru has it, of a row.

Owns which field of the one becomes which of the other, and the values that stand in where a peer's
make no time, no zone and no icon. The types are loguru's own, taken from a record that it has made,
so a format shows them as it shows those of the worker.
"""

from __future__ import annotations

import datetime
import time
from functools import lru_cache
from typing import Any

from ..record.decode import make_timezone
from ..record.row import Row
from ..record.values import MAX_ZONE
from .remote_exceptions import exception_class, make_exception
from .short_way import COSTLY_FIELDS

MAX_RECORD_NAME = 1000
"""Characters kept of a record's name. A ``filter`` by modules splits a name at each of its dots,
and copies the rest each time."""

_cached_timezone = lru_cache(maxsize=256)(make_timezone)


class RecordMaker:
    """Makes the records of one sink. Used by one thread."""

    def __init__(self, logger: Any, look: str) -> None:
        """``logger`` is a private one; ``look`` is how tracebacks look in the sink."""
        self._logger = logger
        self._look = look
        types = _learn_types(logger)
        self._file, self._level, self._process, self._thread, self._time = types[:5]
        self._exception: type[Any] = exception_class(types[5])

    def make(self, row: Row, shown: frozenset[str] = COSTLY_FIELDS) -> dict[str, Any]:
        """Make a record as loguru has it; of the costly fields only those in ``shown``."""
        exception = row.exception
        record = {
            "exception": (
                None
                if exception is None
                else make_exception(self._exception, exception, self._look)
            ),
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
            zone = row.zone and row.zone[:MAX_ZONE]  # the cache keeps each for a while
            return self._time.fromtimestamp(row.time, _cached_timezone(row.offset, zone))
        except (ValueError, OverflowError, OSError):
            return self._time.fromtimestamp(time.time(), datetime.timezone.utc)

    def _icon(self, row: Row) -> str:
        try:
            return str(self._logger.level(row.level_name).icon)
        except (ValueError, TypeError):
            return " "


def _elapsed_of(row: Row) -> datetime.timedelta:
    try:
        return datetime.timedelta(seconds=row.elapsed)
    except (ValueError, OverflowError):
        return datetime.timedelta(0)


def _learn_types(logger: Any) -> tuple[type[Any], ...]:
    """Return the types of a loguru record's values, taken from a record of a handler of ours."""
    seen: dict[str, Any] = {}
    handler = logger.add(lambda message: seen.update(message.record), format="{message}")
    try:
        logger.opt(exception=ValueError()).error("")
    finally:
        logger.remove(handler)
    names = ("file", "level", "process", "thread", "time", "exception")
    return tuple(type(seen[name]) for name in names)
