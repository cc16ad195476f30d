"""Let the mark of a record travel with its pickle, to a process that has the bridge, too.

A ``QueueHandler`` in a child and a ``QueueListener`` in its parent: the record is pickled, and the
identity of a text (:mod:`~loguru_stdbridge.worker.marks`) gets lost. Without more, the child sends
the record, and the parent once again. Owns the form of the mark in a pickle.

Why the mark shows nowhere
--------------------------
The receiving process may not have this package, may show all attributes of a record, or may load
nothing but well-known classes. So the mark is neither an attribute nor a class. It is the *order*
of the attributes: pickling keeps it, and nobody asks for it. A record that Python makes begins with
its ``name``. In one that bears the mark ``name`` comes after all others of logging's own, and those
are in an order that belongs to the destination. By chance it comes once in 19 factorial.

Why no record is lost by it
---------------------------
The mark says that a bridge of that destination sends the record: it was put on by the hook that
does, and that hook goes on when the handlers are through. The destination is the address and the
host, since a loopback address means another receiver on another host. Where something writes the
record anew (JSON, the dict that a ``SocketHandler`` sends, a class of its own), the mark is not
there, and the record comes twice.

Nothing is done before a record is pickled or copied: ``copyreg`` asks then, as it is made for.
"""

from __future__ import annotations

import copyreg
import logging
from binascii import crc32
from itertools import islice
from typing import Any, Callable

from ..system.host import host_facts

_IN_EVERY_RECORD = (
    "args", "created", "exc_info", "exc_text", "filename", "funcName", "levelname", "levelno",
    "lineno", "module", "msecs", "msg", "pathname", "process", "processName", "relativeCreated",
    "stack_info", "thread", "threadName",
)  # fmt: skip
"""Of every record, in every version of Python; ``name`` is the last of the order."""


class TravellingMark:
    """The mark in the pickles of the records of one destination."""

    def __init__(self, destination: object) -> None:
        self._destination = destination
        self._order: list[str] = []

    @property
    def order(self) -> list[str]:
        """The attributes in the order that is the mark."""
        if not self._order:
            host = host_facts()
            place = f"{self._destination} {host.machine} {host.boot} {host.network}"
            rank = {name: crc32(f"{name} {place}".encode()) for name in _IN_EVERY_RECORD}
            self._order = [*sorted(_IN_EVERY_RECORD, key=rank.__getitem__), "name"]
        return self._order

    def is_on(self, record: logging.LogRecord) -> bool:
        """Return whether ``record`` has come with the mark."""
        attributes = vars(record)
        if next(iter(attributes), "name") == "name":
            return False
        order = self.order
        return list(islice(attributes, len(order))) == order

    def put(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return a record's attributes with the mark; as they are where one is not there."""
        try:
            marked = {name: attributes[name] for name in self.order}
        except KeyError:
            return attributes
        marked.update(attributes)
        return marked


Find = Callable[[logging.LogRecord], "TravellingMark | None"]

_find: Find | None = None


def start_marking(find: Find) -> None:
    """Mark records where they are pickled, unless somebody else pickles them in a way of his own.

    ``find`` returns the mark of a record that is sent, or ``None``.
    """
    global _find
    if copyreg.dispatch_table.setdefault(logging.LogRecord, _reduce) is _reduce:
        _find = find


def stop_marking() -> None:
    """Leave pickling as it was."""
    global _find
    _find = None
    if copyreg.dispatch_table.get(logging.LogRecord) is _reduce:
        del copyreg.dispatch_table[logging.LogRecord]


def _reduce(record: logging.LogRecord) -> Any:
    reduced: Any = record.__reduce_ex__(2)
    mark = None if _find is None else _find(record)
    if mark is not None and len(reduced) > 2 and type(reduced[2]) is dict:
        return (*reduced[:2], mark.put(reduced[2]), *reduced[3:])
    return reduced
