"""Mark a ``LogRecord`` that the bridge sends, so that no other way sends it a second time.

One record may come by several ways: the hook of the attachment, a ``BridgeHandler`` in the
application's configuration, a ``QueueHandler`` that copies it for another thread. Whoever sends a
record marks it, and whoever finds the mark leaves the record alone.

Why the mark shows nowhere
--------------------------
An attribute of ours would turn up in formatters that print all attributes (JSON formatters do). So
a mark adds nothing and changes no value. It puts another text object of the same value in the place
of ``threadName``, an object that this module knows *by identity*. Equality, hashing, formatting and
pickling see no difference. A copy of the record keeps the object, so it keeps the mark. A pickle
has another form of it (:mod:`~loguru_stdbridge.worker.travelling`).

``threadName`` is there in every record and is hardly ever rewritten, where formatters do rewrite
``levelname``, ``msg`` and ``name``. ``name`` stands in where the application has switched thread
names off (``logging.logThreads``).
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from .travelling import TravellingMark

MAX_TEXTS = 4096
"""Thread names for which marks are kept. A program that makes up names for ever forgets the oldest:
a record of theirs that is still in a queue by then is taken for one without a mark."""


class Mark(NamedTuple):
    """Two texts of one value: the one says that the bridge sends the record, the other that the
    record has gone out through loguru."""

    sent: str
    crossed: str


def _copy(text: str) -> str:
    """Return an equal text as another object; the same object where Python keeps only one."""
    return "".join((text[:1], text[1:]))


class Marks:
    """The marks of one destination. Thread-safe: every step is one operation on a dict."""

    def __init__(self, destination: object) -> None:
        self._marks: dict[str, Mark] = {}
        self.travelling = TravellingMark(destination)
        self.get = self._marks.get
        """Return the :class:`Mark` for a text, or ``None``: the one look that each record costs."""

    def add(self, text: str) -> Mark:
        """Return the mark for ``text``, made if it is not there."""
        if len(self._marks) >= MAX_TEXTS:
            self._marks.pop(next(iter(self._marks)), None)
        return self._marks.setdefault(text, Mark(_copy(text), _copy(text)))

    def of(self, record: logging.LogRecord) -> Mark | None:
        """Return the mark that fits ``record``, whether it bears it or not; ``None``: none can."""
        text = record.threadName or record.name
        if type(text) is not str or len(text) < 2:  # Python keeps one object of so short a text
            return None
        return self.get(text) or self.add(text)

    def has(self, record: logging.LogRecord) -> bool:
        """Return whether ``record`` bears a mark: it is sent, or has gone out through loguru."""
        return self._has_here(record) or self.has_come(record)

    def _has_here(self, record: logging.LogRecord) -> bool:
        text = record.threadName or record.name
        mark = self.get(text) if type(text) is str else None
        return mark is not None and (text is mark.sent or text is mark.crossed)

    def has_come(self, record: logging.LogRecord) -> bool:
        """Return whether ``record`` was marked in the process that it comes from."""
        return self.travelling.is_on(record)

    def has_crossed(self, record: logging.LogRecord) -> bool:
        """Return whether ``record`` has gone out through loguru."""
        text = record.threadName or record.name
        mark = self.get(text) if type(text) is str else None
        return mark is not None and text is mark.crossed

    def put(self, record: logging.LogRecord, *, crossed: bool = False) -> None:
        """Mark ``record``, where it can be marked."""
        mark = self.of(record)
        if mark is not None:
            text = mark.crossed if crossed else mark.sent
            if record.threadName:
                record.threadName = text
            else:
                record.name = text


_all: dict[object, Marks] = {}


def marks_for(destination: object) -> Marks:
    """Return the marks of ``destination``; the same object for equal destinations."""
    marks = _all.get(destination)
    return _all.setdefault(destination, Marks(destination)) if marks is None else marks


def is_marked(record: logging.LogRecord) -> bool:
    """Return whether ``record`` bears a mark of any destination."""
    return any(marks.has(record) for marks in list(_all.values()))


def find_travelling_mark(record: logging.LogRecord) -> TravellingMark | None:
    """Return the mark for a pickle of ``record``; ``None`` where no bridge sends it."""
    try:
        for marks in list(_all.values()):
            if marks.has(record):
                return marks.travelling
    except Exception:  # a factory may have made anything
        return None
    return None
