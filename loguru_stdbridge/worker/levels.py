"""The levels of both libraries by name: number, icon, colour; and the rows of our own notices.

All of it needs loguru's ``logger``, which nothing below the worker imports.
"""

from __future__ import annotations

import logging
import os

from loguru import logger

from ..exceptions import ConfigurationError
from ..record.bounded_cache import BoundedCache
from ..record.encode import encode_logrecord
from ..record.row import LevelStyle


class LevelStyles(BoundedCache):
    """Icon and colour of loguru's levels, looked up once each."""

    def __init__(self) -> None:
        super().__init__(_find_level_style, 1000)

    def __call__(self, name: str) -> LevelStyle:
        """Return the style of the level ``name``; a plain one for a level unknown to loguru."""
        try:
            found: LevelStyle = self[name]
            return found
        except Exception:  # a level of logging's that loguru does not know
            return " ", None


def _find_level_style(name: str) -> LevelStyle:
    level = logger.level(name)
    return level.icon, level.color


level_styles = LevelStyles()


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


def file_level() -> int:
    """Return the least level that loguru writes to a file for which none is named."""
    return level_number(os.environ.get("LOGURU_LEVEL") or "DEBUG")


def notice_row(text: str) -> bytes:
    """Return a WARNING record of the bridge itself, as a row."""
    record = logging.LogRecord(
        "loguru_stdbridge", logging.WARNING, "", 0, text, None, None, "loguru_stdbridge"
    )
    return encode_logrecord(record, level_styles)
