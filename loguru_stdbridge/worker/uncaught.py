"""Send the exceptions that nobody catches: of the program, its threads and its child processes.

Python prints them on stderr, and no logging library gets them. Owns what becomes of them here. The
console shows what it showed: the function that was there is called first.

*Child processes.* ``multiprocessing`` prints a child's exception itself and ends the process by
``os._exit``, past ``sys.excepthook``. It prints by ``traceback.print_exc``, so that is the place. A
call from anywhere else is let through. A forked child inherits the place; one that was spawned has
it where the bridge is installed in it.

``SystemExit`` is no error to Python, nor here. ``KeyboardInterrupt`` is printed, and is sent.
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..record.values import show
from .places import Place, Send, watched


def _record(
    level: int, message: str, value: BaseException, trace: types.TracebackType | None
) -> logging.LogRecord:
    """Return a record of an uncaught exception, at the place where it was raised."""
    name, path, line, function = "__main__", "", 0, None
    last = trace
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    if last is not None:
        code = last.tb_frame.f_code
        name = str(last.tb_frame.f_globals.get("__name__"))
        path, line, function = code.co_filename, last.tb_lineno, code.co_name
    exc_info = type(value), value, trace
    return logging.LogRecord(name, level, path, line, message, None, exc_info, function)


class UncaughtExceptions:
    """The places where Python reports exceptions that nobody catches."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._places: dict[str, Place] = {}

    def attach(self, *, main: bool, threads: bool, processes: bool, unraisable: bool) -> None:
        """Attach to the places that are asked for, or repair what is missing."""
        if main:
            self._put("excepthook", sys, self._on_main)
        if threads:
            self._put("thread_excepthook", threading, self._on_thread, "excepthook")
        if unraisable:
            self._put("unraisablehook", sys, self._on_unraisable)
        if processes:
            self._put("process_excepthook", traceback, self._on_process, "print_exc")

    def attached(self) -> list[str]:
        """Return the names of the places, by the options of ``install_bridge``."""
        return [name for name, place in self._places.items() if place.is_on_top]

    def detach(self) -> None:
        """Put the functions back that were there."""
        for place in self._places.values():
            place.remove()
        self._places.clear()

    def _put(self, option: str, module: Any, function: Any, name: str | None = None) -> None:
        place = self._places.get(option)
        if place is None or not place.is_on_top:
            if place is not None:
                place.remove()
            self._places[option] = Place(module, name or option, function)

    def _on_main(self, replaced: Any, kind: Any, value: Any, trace: Any) -> None:
        with _reported(self._send, logging.CRITICAL, "Uncaught exception", value, trace):
            replaced(kind, value, trace)

    def _on_thread(self, replaced: Any, args: Any) -> None:
        value, trace = args.exc_value, args.exc_traceback
        name = getattr(args.thread, "name", None) or threading.get_ident()
        message = f"Uncaught exception in thread {name}"
        with _reported(self._send, logging.ERROR, message, value, trace):
            replaced(args)

    def _on_process(self, replaced: Any, *args: Any, **kwargs: Any) -> None:
        _, value, trace = sys.exc_info()
        caller = sys._getframe(2).f_code  # by the function in place
        if caller.co_name != "_bootstrap" or "multiprocessing" not in caller.co_filename:
            value = None
        name = multiprocessing.current_process().name
        message = f"Uncaught exception in process {name}"
        with _reported(self._send, logging.CRITICAL, message, value, trace):
            replaced(*args, **kwargs)

    def _on_unraisable(self, replaced: Any, unraisable: Any) -> None:
        what = unraisable.err_msg or "Exception ignored in"
        message = f"{what}: {show(unraisable.object)}"
        value, trace = unraisable.exc_value, unraisable.exc_traceback
        with _reported(self._send, logging.ERROR, message, value, trace):
            replaced(unraisable)


@contextmanager
def _reported(send: Send, level: int, message: str, value: Any, trace: Any) -> Iterator[None]:
    """Send a record of an exception at the end, if nothing has been logged of it meanwhile."""
    with watched(value) as watch:
        try:
            yield
        finally:
            if (
                isinstance(value, BaseException)
                and not isinstance(value, SystemExit)
                and not watch.is_seen
            ):
                if not isinstance(trace, types.TracebackType):  # a caller may give anything
                    trace = None
                send(_record(level, message, value, trace))
