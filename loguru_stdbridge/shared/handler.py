"""``SharedFileHandler``: a handler of stdlib logging for a file that many processes write."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from ..system.lockless import LocklessHandler
from .conditions import timed_message
from .log_table import find_log
from .options import FileWords, LogOptions, read_words
from .shared_log import SharedLog

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SharedFileHandler(LocklessHandler):
    """A handler of ``logging``: one rotated file for many processes, without a server.

    Each line is in the file when the log call returns. All arguments are plain keywords, so
    ``dictConfig`` can make one. Thread-safe, fork-safe, safe in signal handlers; a pickled copy
    opens the file in its own process.

    Parameters
    ----------
    filename
        The ``path`` of :class:`SharedFileSink`.
    rotation, retention, compression, encoding, errors, newline, delay, lock_timeout, opener
        As for :class:`SharedFileSink`.
    level
        The handler's level, a number or a name.
    """

    terminator = "\n"

    def __init__(
        self,
        filename: str | os.PathLike[str],
        *,
        delay: bool = False,
        level: int | str = logging.NOTSET,
        **words: Unpack[FileWords],
    ) -> None:
        self._log: SharedLog = find_log(filename, read_words(words))
        super().__init__(level)
        self.baseFilename = os.path.abspath(os.fspath(filename))
        self._log.add_user(self, opens=not delay)

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's line. Never raises."""
        try:
            text = f"{self.format(record)}{self.terminator}"
            log = self._log
            log.write(timed_message(text, record.created) if log.needs_record else text)
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        """Close the file, if nothing else in this process writes it."""
        self._log.release(self)
        super().close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.baseFilename} ({logging.getLevelName(self.level)})>"

    def __reduce__(self) -> Any:
        state = (self.level, self.formatter, list(self.filters), self.terminator)
        return _remake_handler, (type(self), self.baseFilename, self._log.options, state)


def _remake_handler(
    made: type[SharedFileHandler], path: str, options: LogOptions, state: tuple[Any, ...]
) -> SharedFileHandler:
    handler = made(path, delay=True, **options._asdict())
    level, handler.formatter, handler.filters, handler.terminator = state
    handler.setLevel(level)
    return handler
