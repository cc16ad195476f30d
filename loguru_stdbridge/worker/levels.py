"""Icon and colour of loguru's levels, and the rows of the bridge's own notices.

Both need loguru's ``logger``, which nothing below the worker imports.
"""

from __future__ import annotations

import logging

from loguru import logger

from ..record.encode import encode_logrecord
from ..record.row import LevelStyle


class LevelStyles:
    """Icon and colour of loguru's levels, looked up once each."""

    def __init__(self) -> None:
        self._known: dict[str, LevelStyle] = {}

    def __call__(self, name: str) -> LevelStyle:
        """Return the style of the level ``name``; a plain one for a level unknown to loguru."""
        level_style = self._known.get(name)
        if level_style is None:
            try:
                level = logger.level(name)
            except Exception:  # a level of logging's that loguru does not know
                return " ", None
            level_style = self._known[name] = (level.icon, level.color)
            if len(self._known) > 1000:
                self._known.clear()
        return level_style


level_styles = LevelStyles()


def notice_row(text: str) -> bytes:
    """Return a WARNING record of the bridge itself, as a row."""
    record = logging.LogRecord(
        "loguru_stdbridge", logging.WARNING, "", 0, text, None, None, "loguru_stdbridge"
    )
    return encode_logrecord(record, level_styles)
