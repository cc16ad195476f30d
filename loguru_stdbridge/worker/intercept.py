"""``InterceptHandler``: stdlib logging into loguru, for programs whose hub is loguru.

Owns which field of a ``LogRecord`` becomes which of loguru's. It sends nothing itself.
"""

from __future__ import annotations

import logging
from typing import Any

from loguru import logger

from ..record.stock import extra_of, with_stack
from ..system.lockless import LocklessHandler


class InterceptHandler(LocklessHandler):
    """Put the records of stdlib logging into loguru, for programs whose hub is loguru.

    The logger's name, ``extra=``, ``stack_info``, the exception and the caller's place are kept. A
    level that loguru does not know by its name goes by its number. The bridge sends such a record
    once, as loguru sees it. Takes a ``level``, like any handler. Thread-safe.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record through loguru."""
        try:
            try:
                level: str | int = logger.level(record.levelname).name
            except ValueError:
                level = record.levelno
            message = with_stack(record.getMessage(), record.stack_info)
        except Exception:
            self.handleError(record)
            return
        extra = extra_of(record.__dict__)

        def place(fields: Any) -> None:
            fields.update(
                name=record.name,
                function=record.funcName,
                line=record.lineno,
                module=record.module,
                file=type(fields["file"])(record.filename, record.pathname),
                extra={**fields["extra"], **extra},
            )

        # No arguments: loguru would format the braces of a message that is formatted already.
        logger.patch(place).opt(exception=record.exc_info).log(level, message)
