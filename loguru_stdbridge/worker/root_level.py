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
from collections.abc import Sequence
from typing import Any

from ..record.level_order import LevelOrder
from .kept_handlers import LOCK_TIMEOUT

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
        self._talking: list[tuple[logging.Logger, int, OpenedLevel]] = []
        """Loggers of which an operator wants more: the level of each before, and that in place."""

    def open(self, level: int) -> None:
        """Let records from ``level`` on exist, if nobody has set the root logger's level.

        A level that was set to WARNING, the default, cannot be told from one that was not set.
        """
        root = logging.getLogger()
        if type(root.level) is int and root.level == logging.WARNING and level < logging.WARNING:
            self.opened = OpenedLevel(root.level, level)
            self.own = root.level
            root.setLevel(self.opened)

    def talk(self, orders: Sequence[LevelOrder]) -> None:
        """Let records of lower levels exist for the bridge alone, in the place of what held before.

        A logger below the one that is meant keeps a level of its own. Nothing changes where another
        thread holds logging's lock for longer than :data:`LOCK_TIMEOUT`.
        """
        lock = logging._lock  # type: ignore[attr-defined]
        if not (orders or self._talking) or not lock.acquire(timeout=LOCK_TIMEOUT):
            return
        try:
            for logger, before, mine in self._talking:
                if logger.level is mine:
                    logger.level = before
            self._talking = []
            for order in sorted(orders, key=lambda order: order.logger):
                logger = logging.getLogger(order.logger or None)
                effective = logger.getEffectiveLevel()
                if getattr(effective, "opened", effective) > order.level:
                    mine = OpenedLevel(int(effective), order.level)
                    self._talking.append((logger, logger.level, mine))
                    logger.level = mine
            self.own = max(
                [0 if self.opened is None else int(self.opened)]
                + [int(mine) for _, _, mine in self._talking]
            )
            logging.getLogger().manager._clear_cache()  # type: ignore[attr-defined]
        finally:
            lock.release()

    def close(self) -> None:
        """Give the application's level back, wherever the object was copied to, too."""
        self.talk(())
        opened, self.opened, self.own = self.opened, None, 0
        if opened is not None:
            opened.opened = int(opened)
            root = logging.getLogger()
            if root.level is opened:
                root.setLevel(int(opened))
            else:
                root.manager._clear_cache()  # type: ignore[attr-defined]

    def is_for_bridge_alone(self, logger: logging.Logger, level: int = 0) -> bool:
        """Return whether a record of ``level``, below :attr:`own`, exists only because the level
        was opened.

        Called from the function that ``callHandlers`` calls before it calls the handlers.
        """
        deciding = logger.getEffectiveLevel()
        if deciding is not self.opened and not any(mine is deciding for *_, mine in self._talking):
            return False
        if level >= int(deciding):
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
