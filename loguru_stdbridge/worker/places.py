"""Put a function of ours where a module keeps one that applications replace, and take it away.

``sys.excepthook`` and its kin are such places. Owns the replacing, and how a report that somebody
else logs already is told. What is reported is the callers'.

Why each report is sent once
----------------------------
An application may have put its own function there, and may log with it. So the function that was
there is called first, as before. While it is at work the bridge looks at what it logs: a record
with that very exception, or with its text, is the report. Where there is none, the bridge sends
one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Callable

from ..record.values import show
from .crossings import make_thread_state

Send = Callable[[logging.LogRecord], None]

LONG_TEXT = 12
"""Characters from which a text in a message is no accident."""


class Watch:
    """Looks at what is logged in a thread for what is said of an exception or a warning.

    Of an exception a record has to say the kind, too. Where stderr is redirected into the log
    (Celery does that), the printed traceback comes as a record for each piece. A piece that holds
    the exception's text alone, or the line of source that raised it, is no report of it.
    """

    def __init__(self, subject: object) -> None:
        """``subject`` is an exception, a warning, or the text of one."""
        self.is_seen = False
        self._subject = subject
        self._kind = type(subject).__name__
        self._is_warning = not isinstance(subject, BaseException) or isinstance(subject, Warning)
        self._text = "" if subject is None else show(subject, str)

    def see(self, message: object, exception: object) -> None:
        """Note what a record says and which exception it has. Never raises."""
        if exception is not None and exception is self._subject:
            self.is_seen = True
        elif type(message) is str and self._text in message:
            if self._is_warning:
                is_enough = len(self._text) >= LONG_TEXT or self._kind in message
            else:
                is_enough = self._kind in message and not message.lstrip().startswith("raise ")
            self.is_seen = is_enough or self.is_seen


class Place:
    """A function of a module or a class, replaced by ours for as long as this is not removed."""

    def __init__(self, module: ModuleType | type, name: str, function: Callable[..., None]) -> None:
        """``function`` is called with the function that was there, and with the arguments."""
        self._module = module
        self._name = name
        self._replaced = replaced = getattr(module, name)
        self._is_active = True

        def ours(*args: Any, **kwargs: Any) -> Any:
            if self._is_active:
                return function(replaced, *args, **kwargs)
            return replaced(*args, **kwargs)

        for attribute in ("__doc__", "__module__", "__name__", "__qualname__"):
            found = getattr(replaced, attribute, None)
            if type(found) is str:
                setattr(ours, attribute, found)
        self._ours = ours
        setattr(module, name, ours)

    @property
    def is_on_top(self) -> bool:
        """Whether the module has our function, and not another that may call it."""
        return getattr(self._module, self._name, None) is self._ours

    def remove(self) -> None:
        """Put the replaced function back, or let ours do nothing where another calls it by now."""
        self._is_active = False
        if self.is_on_top:
            setattr(self._module, self._name, self._replaced)


@contextmanager
def watched(subject: object) -> Iterator[Watch]:
    """Look, in this thread, for a record with the exception ``subject`` or with its text."""
    state = make_thread_state()
    watch = Watch(subject)
    outer, state.watch = state.watch, watch
    state.alert += 1
    try:
        yield watch
    finally:
        state.alert -= 1
        state.watch = outer
