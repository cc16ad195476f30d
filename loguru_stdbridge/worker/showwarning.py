"""Send the warnings of Python's ``warnings`` module, as ``logging.captureWarnings`` would log them.

``captureWarnings`` itself takes the warnings off the console. Here they are printed as before, and
a record of the logger ``py.warnings`` is sent besides. Where the application captures warnings, by
logging's function or by one of its own that logs, there is no second record.

One warning is neither sent nor shown. From 3.12 on, Python warns of a fork in a process that has
threads. Where the only other thread is the one that sends records, the application has none, and
the warning would not be there without the bridge. That thread is made for forks: see
:mod:`~loguru_stdbridge.worker.channel`.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import warnings
from typing import Any

from .places import Place, Send, watched

OUR_THREADS = "loguru_stdbridge-"
"""How the names of this package's threads begin."""


class Warnings:
    """The place where Python shows warnings."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._place: Place | None = None

    @property
    def is_attached(self) -> bool:
        """Whether warnings are shown by our function."""
        return self._place is not None and self._place.is_on_top

    def attach(self) -> None:
        """Attach, or repair what is missing."""
        if not self.is_attached:
            self.detach()
            self._place = Place(warnings, "showwarning", self._show)

    def detach(self) -> None:
        """Put the function back that was there."""
        if self._place is not None:
            self._place.remove()
            self._place = None

    def _show(
        self,
        replaced: Any,
        message: Any,
        category: Any,
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        if category is DeprecationWarning and _is_of_our_thread(str(message)):
            return
        with watched(message) as watch:
            try:
                _show_as_before(replaced, message, category, filename, lineno, file, line)
            finally:
                if file is None and not watch.is_seen:
                    text = warnings.formatwarning(message, category, filename, lineno, line)
                    record = logging.LogRecord(
                        "py.warnings", logging.WARNING, filename, lineno, text.rstrip("\n"),
                        None, None,
                    )  # fmt: skip
                    self._send(record)


def _is_of_our_thread(message: str) -> bool:
    """Return whether a warning is of a fork beside threads of which all but one are ours."""
    if not message.startswith("This process (pid=") or "is multi-threaded, use of" not in message:
        return False
    try:
        count = len(os.listdir("/proc/self/task"))
    except OSError:
        count = threading.active_count()
    ours = [each for each in threading.enumerate() if each.name.startswith(OUR_THREADS)]
    return count - len(ours) <= 1


def _show_as_before(replaced: Any, *arguments: Any) -> None:
    """Call the replaced function. Python's own knows one thing more, which is not an argument:
    where the object of a ``ResourceWarning`` was made."""
    if replaced is getattr(warnings, "_showwarning_orig", None):
        caller = sys._getframe(3)  # by :meth:`Warnings._show` and the function in place
        whole = caller.f_locals.get("msg") if caller.f_code.co_name == "_showwarnmsg" else None
        show_whole = getattr(warnings, "_showwarnmsg_impl", None)
        if isinstance(whole, warnings.WarningMessage) and show_whole is not None:
            show_whole(whole)
            return
    replaced(*arguments)
