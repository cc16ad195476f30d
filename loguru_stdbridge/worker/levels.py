"""The levels of both libraries by name: number, icon, colour; and the rows of our own notices.

All of it needs loguru's ``logger``, which nothing below the worker imports.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Mapping
from typing import Any

from loguru import logger

from ..exceptions import ConfigurationError
from ..record.encode import encode_logrecord
from ..record.row import LevelStyle

_LOGURU_S_OWN = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")


def level_styles(name: str) -> LevelStyle:
    """Return icon and colour of loguru's level ``name``; plain ones for a level unknown to loguru.

    They are looked up each time: the application may give a level another look.
    """
    try:
        try:
            level = logger._core.levels[name]  # type: ignore[attr-defined]
        except AttributeError:  # another loguru
            level = logger.level(name)
        return level.icon, level.color
    except Exception:  # a level of logging's that loguru does not know
        return " ", None


def level_number(level: int | str) -> int:
    """Return ``level`` as a number, by loguru's names first, then logging's (``"FATAL"``, ...).

    A name that neither knows is tried in capitals, too. Raises :class:`ConfigurationError`.
    """
    if isinstance(level, int) and not isinstance(level, bool) and level >= 0:
        return int(level)
    if isinstance(level, str):
        for name in (level, level.upper()):
            try:
                return int(logger.level(name).no)
            except ValueError:
                number = logging.getLevelName(name)
                if isinstance(number, int):
                    return number
    raise ConfigurationError(
        f"level={level!r}: a number from 0 on, or a name that loguru or logging knows, "
        "such as 'INFO'"
    )


def with_level_numbers(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sink's words with numbers for the names of levels that the application has added.

    No other process knows those names. A name that is not known here either stays.
    """
    told = dict(words)
    if "level" in told:
        told["level"] = _number_of_added(told["level"])
    if isinstance(told.get("filter"), Mapping):
        levels = told["filter"].items()
        told["filter"] = {module: _number_of_added(level) for module, level in levels}
    return told


def _number_of_added(level: Any) -> Any:
    if type(level) is str and level not in _LOGURU_S_OWN:
        with contextlib.suppress(ValueError):
            return logger.level(level).no
    return level


def file_level() -> int:
    """Return the least level that loguru writes to a file for which none is named."""
    return level_number(os.environ.get("LOGURU_LEVEL") or "DEBUG")


def notice_row(text: str) -> bytes:
    """Return a WARNING record of the bridge itself, as a row."""
    record = logging.LogRecord(
        "loguru_stdbridge", logging.WARNING, "", 0, text, None, None, "loguru_stdbridge"
    )
    return encode_logrecord(record, level_styles)
