"""Open the root logger's level for the bridge alone, where the application has not set it.

logging's default lets only WARNING through, so the INFO records of an application that never set a
level would never exist. Owns the level object that lets them through, and the test whether a record
exists for the bridge alone.

Why nobody else notices
-----------------------
A logger compares with ``level >= self.getEffectiveLevel()``. Python asks the right side first where
it is of a subclass of the left side's type. So the level is an ``int`` of the value that was there
(WARNING), whose ``<=`` alone answers for the opened level. Whatever else is done with it, comparing
it, printing it, looking up its name, gives what WARNING gives.

It is told apart from a WARNING of the application's *by identity*. Where it is the level that
decided, a record below WARNING exists for the bridge alone, and the logger's handlers are not
called. Where anybody has set a level, of the root logger or of one below it, that level decided,
and the handlers get the record. A logger or a handler to which the object was copied behaves as if
WARNING had been copied.

``Logger.handle`` does not look at levels, so a record that a program hands to it directly goes to
the handlers, whatever its level. The callers tell which of the two it is.

One thing can be noticed: another library that patches ``callHandlers`` after the bridge gets the
records that exist for the bridge alone, too, since it comes first.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

_MAX_FRAMES = 12  # from ``callHandlers`` to ``_log``, with subclasses of Logger between them


class OpenedLevel(int):
    """The value of a level that was not set, with a lower one for the question "is it enabled?"."""

    opened: int

    def __new__(cls, value: int, opened: int) -> OpenedLevel:
        made = super().__new__(cls, value)
        made.opened = opened
        return made

    def __le__(self, other: Any) -> Any:
        return int.__le__(self.opened, other)

    def __reduce__(self) -> Any:
        """In another process it is the application's own level."""
        return int, (int(self),)


class RootLevel:
    """The root logger's level for as long as the bridge is installed."""

    def __init__(self) -> None:
        self.opened: OpenedLevel | None = None
        """The level object in place; ``None`` where the application's own level stands."""
        self.own = 0
        """Records below this level may exist for the bridge alone."""

    def open(self, level: int) -> None:
        """Let records from ``level`` on exist, if nobody has set the root logger's level.

        A level that was set to WARNING, the default, cannot be told from one that was not set.
        """
        root = logging.getLogger()
        if type(root.level) is int and root.level == logging.WARNING and level < logging.WARNING:
            self.opened = OpenedLevel(root.level, level)
            self.own = root.level
            root.setLevel(self.opened)

    def close(self) -> None:
        """Give the application's level back, wherever the object was copied to, too."""
        opened, self.opened, self.own = self.opened, None, 0
        if opened is not None:
            opened.opened = int(opened)
            root = logging.getLogger()
            if root.level is opened:
                root.setLevel(int(opened))
            else:
                root.manager._clear_cache()  # type: ignore[attr-defined]

    def is_for_bridge_alone(self, logger: logging.Logger) -> bool:
        """Return whether a record below :attr:`own` exists only because the level was opened.

        Called from the function that ``callHandlers`` calls before it calls the handlers.
        """
        if logger.getEffectiveLevel() is not self.opened:
            return False
        frame = sys._getframe(2).f_back
        handles = 0
        for _ in range(_MAX_FRAMES):
            if frame is None or frame.f_code.co_name == "emit":
                return False  # a handler of another logger hands the record on
            if frame.f_code.co_name == "_log":
                return True
            handles += frame.f_code is logging.Logger.handle.__code__
            if handles > 1:
                return False
            frame = frame.f_back
        return False
