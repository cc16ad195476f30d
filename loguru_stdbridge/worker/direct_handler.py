"""Take a record in place of loguru's own handler, as soon as loguru has made it.

loguru hands each record to the ``emit`` of each handler. loguru's ``emit`` asks the sink's filter,
copies the record, fills in a format, makes a message of it, and calls the sink with the handler's
lock held. The bridge needs none of that to make a row. So a handler of ours stands in loguru's
table in front of loguru's own, and takes each record whose row can be made from the record alone.
Owns the place in that table. What is done with a record is
:mod:`~loguru_stdbridge.worker.loguru_sink`'s.

Why both ways give the same row
-------------------------------
The row is made by the functions that the long way calls, of the record that it would be given.
What only loguru's ``emit`` can make goes the long way: a record with an exception, which loguru
renders, and a line in a format that has not been compared with loguru's own yet
(:mod:`~loguru_stdbridge.worker.rendering`). So does a record that something is wrong with.
Whether a record is raw is no part of it. loguru says so in the call.

Why no lock is needed
---------------------
The journal and the channel bear calls from a signal handler or a ``__del__`` in the middle of
another call. loguru's lock does not: a record logged while it is held is refused. On this way
nothing of loguru's is held.

A loguru whose ``emit`` has other parameters keeps its own handler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .loguru_sink import BridgeSink

_PARAMETERS = ("self", "record", "level_id", "from_decorator", "is_raw", "colored_message")


class DirectHandler:
    """Stands before a handler of loguru's whose sink is a :class:`BridgeSink`."""

    __slots__ = ("_handler", "_sink")

    def __init__(self, handler: Any, sink: BridgeSink) -> None:
        self._handler = handler
        self._sink = sink

    def emit(
        self, record: Any, level_id: Any, from_decorator: bool, is_raw: bool, colored_message: Any
    ) -> None:
        """Take the record, or let loguru's handler have it. Called by loguru in each log call."""
        if not self._sink.take(record, is_raw, level_id, colored_message):
            self._handler.emit(record, level_id, from_decorator, is_raw, colored_message)

    @property
    def own_handler(self) -> Any:
        """loguru's own handler."""
        return self._handler

    def __getattr__(self, name: str) -> Any:
        """Everything else that loguru asks of a handler is its own handler's."""
        return getattr(self._handler, name)

    def __repr__(self) -> str:
        return repr(self._handler)

    def __reduce__(self) -> Any:
        return DirectHandler, (self._handler, self._sink)


def stand_before(handler: Any, sink: BridgeSink) -> Any:
    """Return a handler that takes what it can and leaves the rest to ``handler``; ``handler``
    itself where this loguru calls its handlers otherwise."""
    code: Any = getattr(getattr(type(handler), "emit", None), "__code__", None)
    if code is None or code.co_varnames[: code.co_argcount] != _PARAMETERS:
        return handler
    sink.level_no = handler.levelno
    return DirectHandler(handler, sink)
