"""``SharedFileSink``: what ``logger.add`` takes for a file that many processes write.

Why loguru's own lock is set aside
----------------------------------
loguru holds a lock of the handler's while it calls a sink, and refuses a log call of the same
thread meanwhile: a signal handler that logs in the middle of a log call would lose its record. The
lock also has threads wait one by one, where this sink writes the lines of all that wait at once.
This sink is thread-safe, fork-safe and re-entrant by itself. So at its first record it finds the
handler that has called it, and puts something in the lock's place that holds nothing. From then on
the handler calls the log itself, which saves two calls for each line. A loguru that keeps its lock
otherwise goes on with it.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from ..system.lockless import NoLock
from .log_table import find_log
from .options import FileWords, LogOptions, read_words
from .shared_log import SharedLog

if TYPE_CHECKING:
    from typing_extensions import Unpack

_NO_LOCK = NoLock()


def _hold_nothing() -> NoLock:
    """Stand where a handler of loguru's takes its lock; a copy of the handler keeps it."""
    return _NO_LOCK


class SharedFileSink:
    """A sink for ``logger.add``: one rotated file for many processes, without a server.

    Each line is in the file when the log call returns. Thread-safe, fork-safe, safe in signal
    handlers; a pickled copy opens the file in its own process.

    Parameters
    ----------
    path, rotation, retention, compression, encoding, delay, opener
        As in ``logger.add``. The program that rotates compresses the old file, too, in its log
        call, while the others go on.
    errors, newline
        As in ``open()``; what cannot be encoded is escaped.
    lock_timeout
        Seconds that a log call waits for the lock. After that the line goes to stderr, and the
        next one that gets into the file tells how many are missing. 10 unless told otherwise.

    Raises
    ------
    ConfigurationError
        An argument cannot be used, or this process writes the file in other words already.
    LedgerHeldError
        A receiver writes the file.
    OSError
        The file cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        delay: bool = False,
        **words: Unpack[FileWords],
    ) -> None:
        self._log: SharedLog = find_log(path, read_words(words))
        self._path = os.path.abspath(os.fspath(path))
        self._looks_for_handler = True
        self._log.add_user(self, opens=not delay)

    def write(self, message: Any) -> None:
        """Write loguru's message."""
        if self._looks_for_handler:
            self._looks_for_handler = False
            _set_lock_aside(self)
            self.write = self._log.write  # type: ignore[method-assign,assignment]
        self._log.write(message)

    def tasks_to_complete(self) -> list[Any]:
        """Nothing waits. loguru asks."""
        return []

    def stop(self) -> None:
        """Close the file, if nothing else in this process writes it. loguru calls it."""
        self._log.release(self)

    def __repr__(self) -> str:
        return f"<SharedFileSink {self._path}>"

    def __deepcopy__(self, memo: object) -> SharedFileSink:
        """A copy of the logger logs to the same sink."""
        return self

    def __reduce__(self) -> Any:
        return _remake_sink, (self._path, self._log.options)


def _remake_sink(path: str, options: LogOptions) -> SharedFileSink:
    return SharedFileSink(path, delay=True, **options._asdict())


def _set_lock_aside(sink: SharedFileSink) -> None:
    """Free the handler of loguru's that calls ``sink`` from its lock; see the module's text."""
    try:
        frame: Any = sys._getframe(2)
        for _ in range(3):
            handler = frame.f_locals.get("self")
            if frame.f_code.co_name == "emit" and hasattr(handler, "_protected_lock"):
                stream = getattr(getattr(handler, "_sink", None), "_stream", None)
                if stream is sink and hasattr(handler, "_lock") and not handler._enqueue:
                    handler._protected_lock, handler._lock = _hold_nothing, _NO_LOCK
                    handler._sink = sink
                return
            frame = frame.f_back
    except Exception:  # a loguru that is made otherwise keeps its lock
        return
