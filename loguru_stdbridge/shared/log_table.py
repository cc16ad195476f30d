"""The logs that this process shares with others: one for each file, whatever its path is called."""

from __future__ import annotations

import atexit
import os
import threading
import weakref

from ..exceptions import ConfigurationError
from ..sink.internals import read_sink_path
from ..system.forks import drop_in_children
from .options import LogOptions
from .shared_log import SharedLog


class _Logs:
    """The logs of this process, by what their paths lead to."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.logs: weakref.WeakValueDictionary[str, SharedLog] = weakref.WeakValueDictionary()

    def after_fork_in_child(self) -> None:
        """Another thread of the parent may have held the lock."""
        self.lock = threading.RLock()


_logs = _Logs()
drop_in_children(_logs)


def find_log(path: str | os.PathLike[str], options: LogOptions) -> SharedLog:
    """Return this process's one log for the file at ``path``, whatever the path is called.

    Raises :class:`ConfigurationError` where another user of it has said something else, and what
    loguru raises for values that it cannot use.
    """
    sink = read_sink_path(os.fspath(path))
    with _logs.lock:
        log = _logs.logs.get(sink.template)
        if log is not None and log.options != options and log.is_used:
            for name, ours, theirs in zip(options._fields, options, log.options):
                if ours != theirs:
                    raise ConfigurationError(
                        f"{name}={ours!r} for {log.path}, which this process writes with "
                        f"{name}={theirs!r} already: give all sinks and handlers of one file the "
                        "same words"
                    )
        if log is None or log.options != options:
            log = _logs.logs[sink.template] = SharedLog(sink, options)
        return log


def _at_exit() -> None:
    for log in list(_logs.logs.values()):
        log.tell_at_exit()


atexit.register(_at_exit)
