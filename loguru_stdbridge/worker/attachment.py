"""Take every record that a process logs, through logging and through loguru, once each.

The bridge is no handler on the root logger: configuration removes that, and the loggers of many
frameworks never propagate to it. It is attached at the one place that every record of logging
passes, ``logging.Logger.callHandlers``, and in loguru by a sink that stays when the application
removes all sinks. Owns what is done with a record there. How the two are put in place is
:mod:`~loguru_stdbridge.worker.logging_hook`'s and :mod:`~loguru_stdbridge.worker.kept_handlers`'.

Why each record is taken, and only once
---------------------------------------
*Taken.* The hook gets each record that logging would hand to handlers: after ``logging.disable``,
after the loggers' levels and filters, from every ``LoggerAdapter`` and record factory, from loggers
that do not propagate. A subclass of ``Logger`` gets there through its base class; one with a
``callHandlers`` of its own gets a hook of its own. (One whose ``handle`` calls neither delivers its
records by itself: nobody can tell which they are.) A disabled logger's records do not exist, for us
as for others. The sink in loguru stands first and gets each record that loguru hands to sinks.

*Once.* The hook marks the record (:mod:`~loguru_stdbridge.worker.marks`), calls the logger's own
handlers, and then sends the record. What those handlers do with it is one of these:

1. A ``BridgeHandler`` gets it, now or from a queue: it finds the mark and does nothing.
2. A handler logs it through loguru now (an ``InterceptHandler`` of anybody's). The sink finds the
   record among its callers (:mod:`~loguru_stdbridge.worker.crossings`), sends it with what loguru
   has added, and marks it as crossed. The hook finds that mark and does nothing. Where loguru does
   not take it (a level, ``logger.disable``), the mark is not there, and the hook sends the record.
3. A ``QueueHandler`` or ``MemoryHandler`` keeps it or a copy, and logs it through loguru later. The
   sink finds the record among its callers, marked, while no hook is at work on it: refused.
4. A handler hands it on to another logger (``logger.handle``): the hook finds the mark.
5. A handler logs something of its own: another record, with no mark, taken like any other.

The other way round, a sink of loguru's hands its record to logging. The bridge's sink came first
and has sent it. The hook, or a ``BridgeHandler``, finds loguru's call among its callers with the
same text, marks the record as crossed, and leaves it to the handlers.

A record that comes from another process, out of a queue that several processes share, bears the
mark of that process's bridge, if it has one with the same destination
(:mod:`~loguru_stdbridge.worker.travelling`). Here it is treated as one that was sent.

So each way between the two libraries ends at a mark or at a caller's frame, in any order of them.
Some records cannot bear a mark (those of a logger with a name of one letter, where there are no
thread names). Such a record may come twice where a queue and a ``BridgeHandler`` are behind the
hook. It is never lost.

Why handlers come first
-----------------------
A filter on a handler often adds to the record (a request's id), and that belongs into the file.
Some formatters leave traces, too: a coloured ``levelname``, a rewritten ``msg``, a traceback of
their own. Those fields go out as they were before. The record is sent also where a handler raises.

picologging and others with loggers of their own are left alone: nothing of theirs passes here.
"""

from __future__ import annotations

import copy
import logging
import logging.handlers
from functools import partial
from typing import Any

from loguru import logger as loguru_logger

from ..record.fallback import message_of
from ..record.level_order import LevelOrder
from ..system.signals import raise_if_from_handler
from . import kept_handlers
from .base_channel import BaseChannel
from .crossings import (
    calling_frame,
    find_loguru_record,
    make_thread_state,
    may_come_from_loguru,
    thread_states,
)
from .direct_handler import stand_before
from .logging_hook import LEAVE_ALONE, LoggingHook, NewSubclasses, Probe, Visit, owners
from .loguru_sink import BridgeSink, is_sent_by_sink
from .marks import Marks, find_travelling_mark, marks_for
from .pipeline import report
from .places import Place
from .rendering import row_of_logrecord
from .root_level import RootLevel
from .travelling import start_marking, stop_marking


def leave_alone(record: logging.LogRecord, visit: Visit) -> None:
    """Do nothing after the handlers."""


def _flush_watched(replaced: Any, handler: logging.handlers.MemoryHandler) -> None:
    """Flush a buffer: its target may log the records through loguru, outside of any log call."""
    state = thread_states.state or make_thread_state()
    state.alert += 1
    try:
        replaced(handler)
    finally:
        state.alert -= 1


class Attachment:
    """The bridge's places in both libraries, for one channel. Not thread-safe but for records."""

    def __init__(self, channel: BaseChannel, level: int | None) -> None:
        """``level`` is the least that is sent; ``None``: of loguru's records, the least that the
        receiver's sinks take, once it has told that."""
        self._channel = channel
        self._level = level or 0
        self._follows_level = level is None
        self._marks: Marks = marks_for(channel.address)
        self._root = RootLevel()
        self._hooks: dict[type, LoggingHook] = {}
        self._new_subclasses: NewSubclasses | None = None
        self._flush: Place | None = None
        self._probe = Probe()
        self._sink_id: int | None = None  # where it could not be hidden
        self._sink: BridgeSink | None = None
        self._end_called = self._end  # made once
        self._orders: tuple[LevelOrder, ...] = ()  # of lower levels, for a while

    def attach_logging(self, opened_level: int | None) -> None:
        """Attach to logging, or repair what is missing.

        ``opened_level`` is the level from which records exist where the application has set none;
        ``None`` leaves the root logger's level alone.
        """
        if opened_level is not None and not self._hooks:  # later, a level that anybody set stands
            self._root.open(opened_level)
        for owner in owners():
            hook = self._hooks.get(owner)
            if hook is not None:
                if hook.is_on_top or (owner is logging.Logger and self._is_reached()):
                    continue
                hook.remove()
            self._put_hook(owner)
        if self._new_subclasses is None:
            self._new_subclasses = NewSubclasses(self._put_hook)
        if self._flush is None or not self._flush.is_on_top:
            if self._flush is not None:
                self._flush.remove()
            self._flush = Place(logging.handlers.MemoryHandler, "flush", _flush_watched)
        start_marking(find_travelling_mark)

    def _put_hook(self, owner: type) -> None:
        self._hooks[owner] = LoggingHook(owner, self._begin, self._root.opened)

    def attach_loguru(self, backtrace: bool | None, diagnose: bool | None) -> None:
        """Attach to loguru, or repair what is missing; ``None`` is loguru's default."""
        if self.is_in_loguru():
            return
        wanted = {"backtrace": backtrace, "diagnose": diagnose}
        options = {name: value for name, value in wanted.items() if value is not None}
        self._sink = BridgeSink(self._channel)
        handler_id = self._sink.add_to_loguru(self._level, **options)
        self._sink.is_first = kept_handlers.keep(handler_id, partial(stand_before, sink=self._sink))
        self._sink_id = None if self._sink.is_first else handler_id
        if self._follows_level:
            self._channel.far_sinks.add_follower(self._sink)
        self._channel.far_sinks.add_talker(self)

    def talk(self, orders: tuple[LevelOrder, ...]) -> None:
        """Send records of lower levels, too, for as long as these orders hold: in the place of
        those before. Called in the sender's thread."""
        self._orders = orders
        if self._sink is not None:
            self._sink.talk(orders)
        if self._hooks:
            self._root.talk(orders)

    def is_in_loguru(self) -> bool:
        """Return whether loguru has the bridge's sink."""
        handlers = loguru_logger._core.handlers  # type: ignore[attr-defined]
        if self._sink_id is not None:
            return self._sink_id in handlers
        return self._sink is not None and kept_handlers.is_kept(handlers)

    def is_in_logging(self) -> bool:
        """Return whether the records of logging pass the hook."""
        return bool(self._hooks) and self._is_reached()

    def detach(self) -> None:
        """Leave both libraries as if the bridge had never been there."""
        for hook in self._hooks.values():
            hook.remove()
        if self._new_subclasses is not None:
            self._new_subclasses.stop()
            self._new_subclasses = None
            stop_marking()
        self._hooks.clear()
        if self._flush is not None:
            self._flush.remove()
            self._flush = None
        self._root.close()
        if self.is_in_loguru():
            if self._sink_id is not None:
                loguru_logger.remove(self._sink_id)
            else:
                kept_handlers.release()
        if self._sink is not None:
            self._sink.is_detached, self._sink.is_first = True, False  # copies may live on
            self._channel.far_sinks.remove_follower(self._sink)
        self._channel.far_sinks.remove_talker(self)
        self._sink = self._sink_id = None

    # -- a record of logging --------------------------------------------------------------------

    def _begin(self, logger: logging.Logger, record: logging.LogRecord) -> Visit:
        """Before the logger's handlers: decide what is done with the record."""
        try:
            if record.levelno < self._level and not self._is_ordered(record):
                if record is self._probe.record:
                    self._probe.is_seen = True
                return LEAVE_ALONE
            text = record.threadName or record.name
            mark = self._marks.get(text) or self._marks.of(record)
            if mark is not None and (text is mark.sent or text is mark.crossed):
                return LEAVE_ALONE
            # A logger gives its own name to a record that it makes.
            if record.name is not logger.name and self._marks.has_come(record):
                return LEAVE_ALONE
            root = self._root
            is_called = record.levelno >= root.own or not root.is_for_bridge_alone(
                logger, record.levelno
            )
            state = thread_states.state or make_thread_state()
            if (
                (state.last_message is not None or state.is_writer)
                and may_come_from_loguru(state, record)
                and self._is_loguru_s(record)
            ):
                return LEAVE_ALONE[0], is_called
            if mark is not None:
                if record.threadName:
                    record.threadName = mark.sent
                else:
                    record.name = mark.sent
            state.alert += 1
            return (
                self._end_called, is_called, state, mark,
                record.levelname, record.msg, record.args, record.exc_text,
            )  # fmt: skip
        except Exception as error:
            raise_if_from_handler(error)
            return self._end_odd, True  # a record factory may have made anything

    def _is_ordered(self, record: logging.LogRecord) -> bool:
        """Return whether an operator wants a record that is below the bridge's level."""
        return any(o.level <= record.levelno and o.is_for(record.name) for o in self._orders)

    def _is_loguru_s(self, record: logging.LogRecord) -> bool:
        """Return whether a sink of loguru's hands on a record that is sent already."""
        found = find_loguru_record(record, calling_frame(2))
        if found is None or not is_sent_by_sink(*found, self._channel.address):
            return False
        self._marks.put(record, crossed=True)
        return True

    def _end(self, record: logging.LogRecord, visit: Visit) -> None:
        """After the logger's handlers: send the record, if it has not gone out through loguru."""
        _, _, state, mark, levelname, message, args, exc_text = visit
        state.alert -= 1
        try:
            if state.watch is not None:
                exc_info = record.exc_info
                value = exc_info[1] if type(exc_info) is tuple and len(exc_info) == 3 else None
                state.watch.see(message_of(record), value)
            if mark is not None and (record.threadName or record.name) is mark.crossed:
                return
            if (
                record.levelname is not levelname
                or record.msg is not message
                or record.args is not args
                or record.exc_text is not exc_text
            ):
                record = copy.copy(record)
                record.levelname, record.msg, record.args = levelname, message, args
                record.exc_text = exc_text
        except Exception:  # a handler may have left anything
            pass
        self.send(record)

    def _end_odd(self, record: logging.LogRecord, visit: Visit) -> None:
        self.send(record)

    def send(self, record: logging.LogRecord) -> None:
        """Send a record of at least the bridge's level. Raises what a signal handler raises."""
        try:
            if record.levelno >= self._level or self._is_ordered(record):
                channel = self._channel
                channel.emit(row_of_logrecord(channel.far_sinks.renderer, record))
        except Exception as error:
            raise_if_from_handler(error)
            report(f"a record of logging is not in the log, since it could not be sent: {error!r}")

    def _is_reached(self) -> bool:
        return self._probe.send()
