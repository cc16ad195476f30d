"""Keep a sink in loguru when the application removes all of its sinks.

``logger.remove()`` without an id and ``logger.configure(handlers=...)`` remove "all handlers":
applications call them to be rid of loguru's default sink, often long after the bridge was
installed. Owns the table of loguru's sinks while the bridge is attached.

Why the sink stays
------------------
loguru keeps its sinks in a dict, ``logger._core.handlers``, from id to handler. It never changes
that dict: it copies it, changes the copy, and puts the copy in its place. To write a record it goes
through the *values*; to remove all, through the *keys*. So the bridge's handler is in a dict of a
class of ours that shows its value and hides its key, and whose copies do the same. There is no
moment at which the sink is out, and a log call costs nothing more.

The sink stands first. What a later sink hands to ``logging`` is then known to be sent already.

A loguru that keeps its sinks otherwise gets an ordinary sink, which ``logger.remove()`` removes.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView
from typing import Any, Callable

from loguru import logger

KEY = "loguru_stdbridge"
"""Stands where a sink has its id. Not a number: ``logger.remove`` takes nothing else."""

LOCK_TIMEOUT = 1.0
"""Seconds to wait for loguru's lock, which a thread holds while it adds or removes a sink."""


class KeptHandlers(dict[Any, Any]):
    """loguru's handlers by id, and one more that only :meth:`values` and ``len`` tell of."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.keys())

    def keys(self) -> KeysView[Any]:  # type: ignore[override]
        return self._others().keys()

    def items(self) -> ItemsView[Any, Any]:  # type: ignore[override]
        return self._others().items()

    def copy(self) -> KeptHandlers:
        return KeptHandlers(dict.items(self))

    def _others(self) -> dict[Any, Any]:
        return {key: value for key, value in dict.items(self) if key is not KEY and key != KEY}

    def __reduce__(self) -> Any:
        """joblib and others pickle the logger: the bridge's handler goes with it."""
        return KeptHandlers, (list(dict.items(self)),)


def keep(handler_id: int, stand_before: Callable[[Any], Any]) -> bool:
    """Hide the sink that ``logger.add`` has just given ``handler_id``, and put it first.

    ``stand_before`` returns what takes the place of loguru's handler in the table. Returns False
    where this loguru has no such table; the sink is an ordinary one then.
    """
    core: Any = getattr(logger, "_core", None)
    if not isinstance(getattr(core, "handlers", None), dict) or not hasattr(core, "lock"):
        return False
    with core.lock:
        items = dict(core.handlers.items())
        kept = KeptHandlers({KEY: stand_before(items.pop(handler_id))})
        kept.update(items)
        core.handlers = kept
        following = core.handlers_count
        if following == handler_id + 1:
            core.handlers_count = handler_id  # the application's next sink gets the id it would get
        elif repr(following) == f"count({handler_id + 1})":  # loguru 0.7.0
            core.handlers_count = type(following)(handler_id)
    return True


def put_first(handler: Any) -> bool:
    """Hide ``handler``, which loguru has not made, and put it first.

    It has what loguru asks of a handler, as ``WaitingSink`` of
    :mod:`~loguru_stdbridge.worker.inherited` has. Returns False where this loguru has no such
    table.
    """
    core: Any = getattr(logger, "_core", None)
    if not isinstance(getattr(core, "handlers", None), dict) or not hasattr(core, "lock"):
        return False
    with core.lock:
        kept = KeptHandlers({KEY: handler})
        kept.update(core.handlers.items())
        core.handlers = kept
        core.min_level = min(core.min_level, handler.levelno)
    return True


def set_level(is_meant: Callable[[Any], bool], level: int) -> None:
    """Give those handlers of loguru's that are meant another least level, now.

    A call of a lower level then costs what it costs without them: loguru compares the call's level
    with the least of all handlers'. Another thread may hold loguru's lock for long; after
    :data:`LOCK_TIMEOUT` it is done without, and a handler that is added in that very instant may
    keep the old level for calls until the next change.
    """
    core: Any = getattr(logger, "_core", None)
    lock = getattr(core, "lock", None)
    if lock is None or not isinstance(getattr(core, "handlers", None), dict):
        return
    is_held = lock.acquire(timeout=LOCK_TIMEOUT)
    try:
        handlers = list(core.handlers.values())
        for handler in filter(is_meant, handlers):
            own = getattr(handler, "own_handler", handler)
            if hasattr(own, "_levelno"):
                own._levelno = level
        core.min_level = min((each.levelno for each in handlers), default=float("inf"))
    finally:
        if is_held:
            lock.release()


def is_kept(handlers: Any) -> bool:
    """Return whether ``handlers``, a table of loguru's, has the bridge's sink."""
    return isinstance(handlers, KeptHandlers) and KEY in handlers


def release() -> None:
    """Take the hidden sink out again, and leave an ordinary dict of the others."""
    core: Any = logger._core  # type: ignore[attr-defined]
    with core.lock:
        handlers = core.handlers
        if not is_kept(handlers):
            return
        handler = handlers[KEY]
        others = dict(handlers.items())
        core.min_level = min((each.levelno for each in others.values()), default=float("inf"))
        core.handlers = others
        handler.stop()
