"""Tell whether a record has crossed from one logging library into the other.

loguru's documentation has a recipe for each direction: an ``InterceptHandler`` logs stdlib records
through loguru, and a sink hands loguru's records to ``logging``. With the bridge attached to both,
such a record would be sent twice. Owns the evidence that two records are one: who called whom, and
what they say. Decides nothing.

Why a record of its own is never taken for a crossing
-----------------------------------------------------
A handler may log something of its own through loguru while it handles a record, and a sink may log
through ``logging`` (an HTTP client of its does). Losing such a record would be worse than writing
one twice. So two things must hold. One library's call is found among the callers of the other's,
with the record in its variables. And both records say the same: the same text, or the same place in
the source. A sink that puts other words around the message logs a record of its own.

Why it costs little
-------------------
The callers are looked at only where there may be a crossing. Towards loguru: a handler of logging
is at work in this thread, a ``MemoryHandler`` is being flushed, or the function that called loguru
is named ``emit``. (A record comes twice where a handler of another kind keeps it, and hands it on
outside of any log call to a handler that logs through loguru in a method of another name.) Towards
logging: the text of the record contains the text of loguru's last record in this thread.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import threading
from types import FrameType
from typing import Any

from loguru import _handler, logger

from .logging_hook import LEAVE_ALONE

MAX_FRAMES = 60
"""Callers that are looked at. Between the two libraries lie a dozen at most, in real programs."""

_WRITER_NAME = "loguru-writer"  # loguru's own name for the thread of a sink with ``enqueue=True``
_EMIT_CODE = _handler.Handler.emit.__code__
_QUEUE_CODE = _handler.Handler._queued_writer.__code__


class ThreadState:
    """What a thread has logged last, and what it is in the middle of."""

    __slots__ = ("alert", "is_writer", "last_message", "watch")

    def __init__(self) -> None:
        thread = threading.current_thread()
        owner = getattr(getattr(thread, "_target", None), "__self__", None)
        self.alert = int(isinstance(owner, logging.handlers.QueueListener))
        """Reasons to look twice at a record of loguru's: each record whose handlers are being
        called, each watch, and that this is the thread of a listener, which calls handlers."""
        self.is_writer = thread.name.startswith(_WRITER_NAME)
        self.last_message: Any = None  # of loguru's last record
        self.watch: Any = None  # see :class:`~loguru_stdbridge.worker.places.Watch`


class _ThreadLocal(threading.local):
    state: ThreadState | None = None


thread_states = _ThreadLocal()
"""``thread_states.state or make_thread_state()`` is this thread's state. Written out where each log
call needs it: a function would cost as much again."""


def make_thread_state() -> ThreadState:
    """Return this thread's state, made if it is not there."""
    state: ThreadState = thread_states.__dict__.setdefault("state", ThreadState())
    return state


# -- from logging to loguru ---------------------------------------------------------------------


def find_logrecord(
    record: Any, frame: FrameType | None
) -> tuple[logging.LogRecord | None, logging.LogRecord | None]:
    """Return the ``LogRecord`` that loguru's ``record`` was made of, and the one that a hook sends
    when its handlers are through; ``None`` for what there is not.

    The two differ where a handler works on a copy, or on one that it has kept. ``frame`` is where
    the search begins.
    """
    handled = None
    being_formatted: list[Any] = []
    for _ in range(MAX_FRAMES):
        if frame is None:
            break
        code = frame.f_code
        if code.co_name == "getMessage" and code.co_argcount:
            being_formatted.append(frame.f_locals.get(code.co_varnames[0]))
        elif code.co_name == "callHandlers":
            variables = frame.f_locals
            visited, visit = variables.get("record"), variables.get("visit")
            if visit is None or visit[0] is LEAVE_ALONE[0]:
                pass  # no hook, or one that sends nothing: another may be at work behind it
            elif isinstance(visited, logging.LogRecord):
                return handled, visited
        elif handled is None and code.co_name in ("emit", "handle") and code.co_argcount > 1:
            found = frame.f_locals.get(code.co_varnames[1])
            if isinstance(found, logging.LogRecord) and not any(
                found is other for other in being_formatted
            ):
                handled = found if _say_the_same(record, found) else None
        frame = frame.f_back
    return handled, None


def _say_the_same(record: Any, logrecord: logging.LogRecord) -> bool:
    try:
        if logrecord.lineno == record["line"] and logrecord.pathname == record["file"].path:
            return True
        text = logrecord.getMessage()
        return text in record["message"] if text else not record["message"]
    except Exception:  # a factory or a patcher may have put anything anywhere
        return False


# -- from loguru to logging ---------------------------------------------------------------------


def may_come_from_loguru(state: ThreadState, logrecord: logging.LogRecord) -> bool:
    """Return whether it is worth looking for loguru's record behind ``logrecord``."""
    last = state.last_message
    if last is None:  # asked by the callers, too: most threads use one library
        return state.is_writer
    text = logrecord.msg
    if type(text) is not str:
        return True  # loguru's message is a ``str`` of a class of its own
    if logrecord.args:
        return len(text) <= 4  # "%s"
    return last in text


def find_loguru_record(
    logrecord: logging.LogRecord, frame: FrameType | None
) -> tuple[Any, Any] | None:
    """Return loguru's core and its record that ``logrecord`` was made of, or ``None``."""
    for _ in range(MAX_FRAMES):
        if frame is None:
            break
        if frame.f_code is _EMIT_CODE:
            message: Any = frame.f_locals.get("str_record")
            caller = frame.f_back
            core = caller.f_locals.get("core") if caller is not None else None
            return (core, message.record) if _is_text_of(logrecord, message) else None
        if frame.f_code is _QUEUE_CODE:
            message = frame.f_locals.get("message")
            core = logger._core  # type: ignore[attr-defined]
            return (core, message.record) if _is_text_of(logrecord, message) else None
        frame = frame.f_back
    else:
        return None
    make_thread_state().last_message = None  # that call of loguru's is over: look no more
    return None


def _is_text_of(logrecord: logging.LogRecord, message: Any) -> bool:
    try:
        text = logrecord.getMessage().strip()
        return text in (message.record["message"].strip(), message.strip())
    except Exception:  # a factory or a patcher may have put anything anywhere
        return False


def calling_frame(depth: int) -> FrameType | None:
    """Return the frame ``depth`` calls above the caller; ``None`` where a C function began."""
    try:
        return sys._getframe(depth + 1)
    except ValueError:
        return None
