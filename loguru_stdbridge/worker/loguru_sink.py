"""``BridgeSink``: what loguru calls with each record, and what puts it into the journal.

Owns the step from loguru's record dict to a row. No sockets or files here.

Most records are taken before loguru's own handler sees them (:meth:`BridgeSink.take`, called by
:mod:`~loguru_stdbridge.worker.direct_handler`). What follows is about the others: records with an
exception, and all records of a sink that is not the attachment's own.

Why a log call inside a log call loses nothing
----------------------------------------------
loguru holds a handler's lock while it calls the sink, and refuses a second call of the same thread
("deadlock avoided"). A signal handler or a ``__del__`` that logs at that moment would lose its
record. So the sink must know, before loguru asks for the lock, whether a call of loguru's ``emit``
for this handler is already under way in this thread.

loguru calls the filter and the format function before it takes the lock. The format function
returns a text that only this thread's sink refers to. loguru's ``emit`` refers to that text too,
until it returns. So as long as nobody else refers to the text, no ``emit`` is under way. This test
costs no look at the stack.

Where somebody else refers to the text, the stack is looked at. The reference may be a cache of
loguru's, which holds the first text of each format: then another text object takes its place. If an
``emit`` really is among the callers, the record takes the short way. It is rendered with the
stdlib's traceback and goes into the journal at once (the journal bears re-entrant calls). The
filter then says no, so that loguru goes no further.

A signal handler may also log when the format function has prepared the row and not yet returned.
Then the inner record goes the whole way first, and the row prepared for the outer one is gone. So
the prepared row is kept together with the record that it belongs to. A record that finds another's
row, or no row, takes the short way, too.

A record logged from inside our own parts takes the short way as well. They have locks of their own:
the journal's and the channel's. A thread that holds loguru's lock may wait for one of those, so a
thread that holds one of those must not ask for loguru's.

Why a fork inside a log call blocks nothing
-------------------------------------------
The ``repr`` of a value may do anything, even fork. loguru takes all of its locks at a fork, and a
handler's lock is not re-entrant. So values are shown before loguru takes its lock. Two cases are
left: values beside an exception, which loguru renders first, and a record whose row another one has
taken. The journal is opened before loguru's lock is taken, too: see
:mod:`~loguru_stdbridge.system.forks`.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Iterator
from typing import Any, Optional

from loguru import logger

from ..addresses import Address
from ..record.encode import encode_loguru_record
from ..record.level_order import LevelOrder
from ..record.markup import dump_markup
from ..record.sink_needs import PLAIN, SinkNeeds
from ..record.values import show
from ..system.signals import raise_if_from_handler
from .base_channel import BaseChannel
from .crossings import ThreadState, find_logrecord, make_thread_state, thread_states
from .kept_handlers import set_level
from .levels import level_number, level_styles
from .looks import give_looks
from .marks import marks_for
from .rendering import MARKER, LineRenderer

_WHOLE = f"{MARKER}{{exception}}"
_AFTER_MARKER = len(MARKER)

_references = getattr(sys, "getrefcount", lambda text: 1)


def _fresh(text: str) -> str:
    """Return the same text as an object of its own, to which nothing else refers."""
    return "".join((text[:1], text[1:]))


_MAX_CROSSING = 100
"""Records of logging between the filter and the sink, of one thread. More are left from calls that
failed in loguru."""


class _FormatState:
    """What a thread keeps between loguru's calls of the filter, the format and the sink."""

    __slots__ = ("crossing", "format", "looks", "prepared")

    def __init__(self) -> None:
        self.looks = _NO_LOOKS
        self.format = _fresh(MARKER), True  # the text returned last; whether it is the bare marker
        self.prepared = _NO_ROW
        self.crossing: dict[int, logging.LogRecord] = {}
        """Records of logging that are about to be written, by the ``id`` of loguru's record."""


_Colors = tuple[Optional[str], Optional[list[Any]]]
"""The colour of a record's level, and those of its message (:mod:`record.markup`)."""

_PreparedRow = tuple[int, Optional[bytes], Optional[LineRenderer], Optional[_Colors]]
"""What the format function has prepared of a record. First the ``id`` of the record; then its row,
where it can be made before loguru takes its lock; else the renderer by whose template loguru makes
the line; then its colours, if the row is to have them. One object, so that a signal handler finds
all of it or none of it."""

_NO_ROW: _PreparedRow = (0, None, None, None)

_Looks = tuple[Any, dict[str, str]]
"""The value of an exception, and its texts by look (:mod:`~loguru_stdbridge.worker.looks`)."""

_NO_LOOKS: _Looks = (None, {})


class _ThreadFormat(threading.local):
    """The format state of each thread, found by one look."""

    state: _FormatState | None = None


def _count_own_references() -> int:
    state = _FormatState()
    return _references(state.format[0])  # asked as in :meth:`BridgeSink._admit`


_OWN_REFERENCES = _count_own_references() if hasattr(sys, "getrefcount") else 0


def _colors_of(record: Any, level_id: Any, colored: Any, needs: SinkNeeds) -> _Colors:
    """Return the colours of a record, by what loguru's call says of its level and its message."""
    color = "" if level_id is None else level_styles(level_id)[1]
    if colored is None or not needs.painted:
        return color, None
    return color, dump_markup(colored, record["message"])


def _colors_in_call(record: Any, needs: SinkNeeds, depth: int = 2) -> _Colors:
    """Return the colours of a record; loguru's ``emit``, ``depth`` frames above, has them."""
    try:
        called = sys._getframe(depth).f_locals
        return _colors_of(record, called["level_id"], called["colored_message"], needs)
    except Exception:  # another loguru's
        return level_styles(record["level"].name)[1], None


class BridgeSink:
    """The sink for ``logger.add``; :meth:`add_to_loguru` adds it with its filter and format."""

    def __init__(self, channel: BaseChannel) -> None:
        self._channel = channel
        self._far_sinks = channel.far_sinks
        self._thread = _ThreadFormat()
        self._marks = marks_for(channel.address)
        self.is_first = False
        """Whether it takes every record: attached, and before any other of its destination."""
        self.is_detached = False
        """Whether it takes nothing any more: copies of the logger may keep it."""
        self.level_no = 0
        """The least level of the records that it takes, beside those that were ordered."""
        self._orders: tuple[LevelOrder, ...] = ()  # of lower levels, for a while

    @property
    def address(self) -> Address:
        """Where its records go."""
        return self._channel.address

    def _encode(
        self,
        record: Any,
        colors: _Colors,
        *,
        raw: bool = False,
        traceback_text: str = "",
        looks: dict[str, str] | None = None,
    ) -> bytes:
        color, marks = colors
        return encode_loguru_record(
            record, raw=raw, traceback_text=traceback_text, color=color, looks=looks, colors=marks,
            values=self._far_sinks.needs.values,
        )  # fmt: skip

    def add_to_loguru(self, level: int | str, **options: Any) -> int:
        """Attach to loguru's logger and return the handler id.

        loguru renders the exception here, where the frames are. ``options`` say how (``backtrace``
        and ``diagnose``; where they are left out, loguru's defaults hold). It renders the line
        where the receiver tells its sink's format, and nothing more otherwise.
        """
        self.level_no = level_number(level)
        handler_id = logger.add(
            self.write,
            level=level,
            format=self._format,
            filter=self._admit,
            colorize=False,
            catch=True,
            **options,
        )
        with contextlib.suppress(AttributeError, KeyError):  # a loguru with another table
            handler = logger._core.handlers[handler_id]  # type: ignore[attr-defined]
            give_looks(handler, self._wanted_looks, self._keep_looks)
        return handler_id

    def _wanted_looks(self) -> tuple[str, ...]:
        """Return how the exception has to look that loguru is about to render, the first first."""
        state = self._thread.state
        renderer = None if state is None else state.prepared[2]
        if renderer is not None:
            return (renderer.look,)
        return (PLAIN, *(look for look in self._far_sinks.needs.tracebacks if look != PLAIN))

    def _keep_looks(self, value: Any, texts: dict[str, str]) -> str:
        first, *others = texts
        text = texts[first]
        state = self._thread.state or self._make_state()
        state.looks = value, {look: texts[look] for look in others if texts[look] != text}
        return text

    def take(self, record: Any, is_raw: bool, level_id: Any, colored: Any) -> bool:
        """Put the record into the journal, if its row can be made from the record alone.

        ``level_id`` is the level's name (``None`` for a level that is a mere number), ``colored``
        the message of ``opt(colors=True)``. Returns whether nothing is left to do with it. Called
        by :class:`~loguru_stdbridge.worker.direct_handler.DirectHandler` before loguru does
        anything.
        """
        try:
            if record["exception"] is not None or not self.is_first:
                return False
            if record["level"].no < self.level_no and not self._is_ordered(record):
                return True
            thread = thread_states.state or make_thread_state()
            thread.last_message = record["message"]
            if _looks_twice(thread, 5) and not self._admit_crossing(record, thread):
                return True
            renderer = None if is_raw else self._far_sinks.renderer
            row = None if renderer is None else renderer.row(record)
            if row is None:
                if renderer is not None and renderer.suits(record):
                    return False  # loguru has to render a first line
                colors = _colors_of(record, level_id, colored, self._far_sinks.needs)
                row = self._encode(record, colors, raw=is_raw)
        except Exception as error:
            raise_if_from_handler(error)
            return False  # a patcher may have put anything anywhere: loguru tells what is wrong
        self._emit(record, row)
        return True

    def follow_level(self, level: int) -> None:
        """Take records from ``level`` on, now: the receiver has told that its sinks take no other.

        Called in the sender's thread, too.
        """
        if not self.is_detached and self.level_no != level:
            set_level(self._is_mine, min([level, *(order.level for order in self._orders)]))
            self.level_no = level

    def talk(self, orders: tuple[LevelOrder, ...]) -> None:
        """Take records of lower levels, too, as an operator wants, in the place of what held
        before. Called in the sender's thread.
        """
        if not self.is_detached and orders != self._orders:
            levels = [self.level_no, *(order.level for order in orders)]
            if orders:
                self._orders = orders  # first: no record comes that is not looked at
            set_level(self._is_mine, min(levels))
            self._orders = orders

    def _is_ordered(self, record: Any) -> bool:
        """Return whether an operator wants a record that is below the level."""
        number, name = record["level"].no, record["name"]
        return any(order.level <= number and order.is_for(name) for order in self._orders)

    def _is_mine(self, handler: Any) -> bool:
        return getattr(getattr(handler, "_filter", None), "__self__", None) is self

    def _format(self, record: Any) -> str:
        channel = self._channel
        if channel.closed:
            channel.open()
        renderer = self._far_sinks.renderer
        row = text = None
        colors: _Colors | None = None
        if record["exception"] is None:
            if renderer is not None:
                row = renderer.row(record)
            if row is None:
                if renderer is not None and renderer.suits(record):
                    text = renderer.template
                else:
                    colors = _colors_in_call(record, self._far_sinks.needs)
                    row, renderer = self._encode(record, colors), None
        elif renderer is not None and renderer.suits(record):
            text = renderer.template
        else:
            text, renderer = _WHOLE, None
            colors = _colors_in_call(record, self._far_sinks.needs)
        state = self._thread.state or self._make_state()
        # Set last: the repr() of a value above may itself have logged.
        state.prepared = (id(record), row, renderer, colors)
        if text is not None:
            state.format = _fresh(text), False
        elif not state.format[1]:
            state.format = _fresh(MARKER), True
        return state.format[0]

    def _make_state(self) -> _FormatState:
        made: _FormatState = self._thread.__dict__.setdefault("state", _FormatState())
        return made

    def _admit(self, record: Any) -> bool:
        if not self.is_first and not self._is_its_turn(record):
            return False
        if self._orders and record["level"].no < self.level_no and not self._is_ordered(record):
            return False
        thread = thread_states.state or make_thread_state()
        thread.last_message = record["message"]
        # One frame more where the direct handler has called loguru's.
        if _looks_twice(thread, 5, 6) and not self._admit_crossing(record, thread):
            return False
        if self._channel.is_inside():
            self._write_reentrant(record)
            return False
        state = self._thread.state or self._make_state()
        if _references(state.format[0]) != _OWN_REFERENCES:
            emit = sys._getframe(1)
            caller = emit.f_back
            while caller is not None:
                if caller.f_code is emit.f_code:
                    self._write_reentrant(record)
                    return False
                caller = caller.f_back
            state.format = _fresh(MARKER), True
        return True

    def _is_its_turn(self, record: Any) -> bool:
        """Return whether this sink is the first of its destination in the logger at work."""
        if self.is_detached:
            return False
        try:
            handlers = sys._getframe(3).f_locals["core"].handlers
        except Exception:  # not called by loguru as we know it
            return True
        first = next(sinks_in(handlers, self.address, record["level"].no), self)
        return first is self

    def _admit_crossing(self, record: Any, thread: ThreadState) -> bool:
        """Return whether a record is to be sent that a handler of logging may have made.

        See :mod:`~loguru_stdbridge.worker.attachment` for the cases.
        """
        if thread.watch is not None:
            thread.watch.see(record["message"], getattr(record["exception"], "value", None))
        handled, visited = find_logrecord(record, sys._getframe(2))
        if handled is None:
            return True
        marks = self._marks
        if marks.has(handled):
            if marks.has_crossed(handled) or visited is None:
                return False
            if visited.created is not handled.created:  # a copy shares it
                return False
            handled = visited
        state = self._thread.state or self._make_state()
        if len(state.crossing) > _MAX_CROSSING:
            state.crossing.clear()
        state.crossing[id(record)] = handled
        return True

    def _emit(self, record: Any, row: bytes) -> None:
        self._channel.emit(row)
        state = self._thread.state
        if state is not None and state.crossing:
            crossed = state.crossing.pop(id(record), None)
            if crossed is not None:
                self._marks.put(crossed, crossed=True)

    def write(self, message: Any) -> None:
        """Put the record of loguru's ``message`` into the journal."""
        state = self._thread.state or self._make_state()
        (owner, row, renderer, colors), state.prepared = state.prepared, _NO_ROW
        (value, looks), state.looks = state.looks, _NO_LOOKS
        if not message.startswith(MARKER):
            if colors is None or owner != id(message.record):
                colors = _colors_in_call(message.record, self._far_sinks.needs, 3)
            row = self._encode(message.record, colors, raw=True)
        elif owner != id(message.record):
            self._write_reentrant(message.record)
            return
        elif row is None:
            line = message[_AFTER_MARKER:]
            if renderer is None and colors is not None:
                exception = message.record["exception"]
                own = looks if exception is not None and exception[1] is value else None
                row = self._encode(message.record, colors, traceback_text=line, looks=own)
            elif renderer is not None:
                row = renderer.row_of_line(message.record, line)
        if row is not None:
            self._emit(message.record, row)

    def _write_reentrant(self, record: Any) -> None:
        text = ""
        if record["exception"] is not None:
            try:
                text = "".join(traceback.format_exception(*record["exception"]))
            except Exception:
                text = f"{show(record['exception'])}\n"
        self._emit(record, encode_loguru_record(record, raw=False, traceback_text=text, color=None))

    def __deepcopy__(self, memo: object) -> BridgeSink:
        """A copy of the logger logs to the same sink."""
        return self

    def __reduce__(self) -> Any:
        """joblib and multiprocessing pickle functions that refer to ``logger``: not this one."""
        return _remake_sink, (self._channel,)


def _remake_sink(channel: BaseChannel) -> BridgeSink:
    sink = BridgeSink(channel)
    channel.add_user(sink)
    return sink


def _looks_twice(thread: ThreadState, *depths: int) -> bool:
    """Return whether a handler of logging may have made the record at hand.

    ``depths`` are the frames, from this one, in which loguru's caller may be.
    """
    if thread.alert:
        return True
    try:
        for depth in depths:
            if sys._getframe(depth).f_code.co_name == "emit":
                return True
    except ValueError:  # loguru was called by a C function
        return False
    return False


def sinks_in(handlers: Any, address: Address, level: int) -> Iterator[BridgeSink]:
    """Yield the sinks in loguru's table ``handlers`` that send records of ``level`` to ``address``,
    in the order in which loguru calls them."""
    for handler in handlers.values():
        sink = getattr(getattr(handler, "_filter", None), "__self__", None)
        if not isinstance(sink, BridgeSink) or sink.is_detached or sink.address != address:
            continue
        if handler.levelno <= level:
            yield sink


def is_sent_by_sink(core: Any, record: Any, address: Address) -> bool:
    """Return whether a sink of the logger with ``core`` has sent ``record`` to ``address``."""
    try:
        return any(sinks_in(core.handlers, address, record["level"].no))
    except Exception:  # a loguru that keeps its handlers otherwise
        return False
