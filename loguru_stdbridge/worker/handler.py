"""The adapters: ``BridgeHandler`` on logging, ``BridgeSink`` on loguru, ``InterceptHandler``
between.

Own the step from a log call to a row in the journal. No sockets or files here.

Signals, ``__del__`` and loguru's lock
--------------------------------------
loguru holds a handler's lock while it calls the sink, and refuses a second call of the same thread
("deadlock avoided"): a signal handler or a ``__del__`` that logs right then would lose its record.
So the sink must know, before loguru asks for the lock, whether an ``emit`` of its own is under way
in this thread. loguru calls the filter and the format function before the lock. The format function
returns a text that only this thread's sink refers to; ``emit`` refers to it, too, until it returns,
so as long as nobody else does, no ``emit`` is under way, and this costs no look at the stack. Where
somebody does, the stack is looked at (it may be a cache of loguru's, which holds the first text of
each format: then another object takes its place), and if an ``emit`` really is among the callers,
the record takes the short way: rendered with the stdlib's traceback, into the journal at once (the
journal itself bears re-entrant calls), and the filter says no, so that loguru goes no further.

A signal handler may also log when the format function has made the row and not yet returned. Then
its record goes the whole way first, and what was made for the outer one is gone. So the row is kept
with whose it is, and a record that finds another's, or none, takes the short way, too.

The same way goes a record from inside our own parts, which have locks of their own: the journal's,
in a log call of the stdlib's or in the sender's thread, and the channel's. Who holds loguru's lock
may be waiting for one of those, so who holds one of those must not ask for loguru's, nor, where
stdlib records are put into loguru, for the lock of the handler that does it: it has none.

Forks inside a log call
-----------------------
The ``repr`` of a value may do anything, fork even. loguru asks for all of its locks at a fork, and
its handler's is not re-entrant; logging gives a child new locks, of which the one that the caller
holds cannot be let go. So values are shown before loguru takes its lock (but for those beside an
exception, which loguru renders first, and where another record has taken the row), the journal is
opened before, too (:mod:`forks`), and ``BridgeHandler`` has no lock: what it puts records into
needs none.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, Optional

from loguru import logger

from ..addresses import AddressLike
from ..record.encode import encode_logrecord, encode_loguru_record
from ..record.values import show
from .channel import EXIT_TIMEOUT, Channel
from .levels import level_styles
from .options import check_options
from .rendering import MARKER, LineRenderer

if TYPE_CHECKING:
    from .stats import Stats


class _NoLock:
    """Stands where a handler has its lock."""

    def acquire(self, *args: Any) -> bool:
        return True

    def release(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> None:
        """Nothing is held."""

    def __exit__(self, *exc_info: object) -> None:
        """Nothing is held."""


class BridgeHandler(logging.handlers.SocketHandler):
    """A ``SocketHandler`` that loses nothing: the record is in the journal when ``emit`` returns.

    Takes the stdlib's ``host`` and ``port``, or ``address=``; the other options are those of
    :func:`~loguru_stdbridge.install_bridge`. Plain keyword arguments, so ``dictConfig`` can make
    it. Nothing is opened before the first record. Thread-safe, fork-safe, safe in signal handlers.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        address: AddressLike | None = None,
        level: int | str = logging.NOTSET,
        channel: Channel | None = None,
        **options: Any,
    ) -> None:
        if channel is None:
            if address is None and host is not None:
                address = _host_address(host, port)
            channel = Channel(check_options(address, **options))
        target = channel.address
        super().__init__(target.host or target.path, target.port)
        self.setLevel(level)
        self.channel = channel

    def createLock(self) -> None:
        """None: see the module's text."""
        self.lock: Any = _NoLock()

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the journal. Never raises."""
        try:
            self.channel.emit(encode_logrecord(record, level_styles))
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Nothing to do: a record needs no flush to be safe. See :meth:`wait`."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all that was logged is written at the far end; ``timeout`` in seconds."""
        return self.channel.flush(timeout)

    def stats(self) -> Stats:
        return self.channel.stats()

    def close(self) -> None:
        """Deliver what is left, for a bounded time; the rest stays in the journal."""
        self.channel.close(EXIT_TIMEOUT)
        super().close()

    def __reduce__(self) -> Any:
        """A handler goes to another process as its address; it has its own journal there."""
        return _remake_handler, (self.channel, self.level)


def _host_address(host: str, port: int | None) -> AddressLike:
    if port is None:  # SocketHandler's own rule: no port, a Unix socket
        return host if "://" in host else f"unix://{host}"
    return (host, port)


def _remake_handler(channel: Channel, level: int) -> BridgeHandler:
    return BridgeHandler(channel=channel, level=level)


_WHOLE = f"{MARKER}{{exception}}"
_AFTER_MARKER = len(MARKER)

_references = getattr(sys, "getrefcount", lambda text: 1)


def _fresh(text: str) -> str:
    """The same text as an object of its own, which nothing else refers to."""
    return "".join((text[:1], text[1:]))


class _Call:
    """What a thread keeps between loguru's calls of the filter, the format and the sink."""

    __slots__ = ("format", "made")

    def __init__(self) -> None:
        self.format = _fresh(MARKER), True  # what was returned last; whether it is the marker alone
        self.made = _NOTHING


_Made = tuple[int, Optional[bytes], Optional[LineRenderer]]
"""What the format function has made of a record, whose ``id`` comes first: its row, before loguru
takes its lock; else, by whose template loguru renders. One object: see the module's text."""

_NOTHING: _Made = (0, None, None)


class _Threads(threading.local):
    """A thread's own object: see the journal's."""

    call: _Call | None = None


def _references_of_none_else() -> int:
    call = _Call()
    return _references(call.format[0])  # as :meth:`BridgeSink._admit` asks


_ALONE = _references_of_none_else() if hasattr(sys, "getrefcount") else 0


def _encode(record: Any, traceback_text: str = "", *, raw: bool = False) -> bytes:
    _, color = level_styles(record["level"].name)
    return encode_loguru_record(record, raw=raw, traceback_text=traceback_text, color=color)


class BridgeSink:
    """What ``logger.add`` is given. ``add_to_loguru`` puts it there with its filter and format."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._threads = _Threads()

    def add_to_loguru(self, level: int | str) -> int:
        """Attach; returns loguru's handler id.

        loguru renders the exception, with the variables and the backtrace of its defaults, where
        the frames are, and the line where the receiver tells its sink's format; else nothing more.
        """
        return logger.add(
            self.write,
            level=level,
            format=self._format,
            filter=self._admit,
            colorize=False,
            catch=True,
        )

    def _format(self, record: Any) -> str:
        channel = self._channel
        if channel.closed:
            channel.open()
        rendering = channel.rendering
        row = text = None
        if record["exception"] is None:
            if rendering is not None:
                row = rendering.row(record)
            if row is None:
                if rendering is not None and rendering.suits(record):
                    text = rendering.template
                else:
                    row, rendering = _encode(record), None
        elif rendering is not None and rendering.suits(record):
            text = rendering.template
        else:
            text, rendering = _WHOLE, None
        call = self._threads.call or self._make_call()
        # Not before: a value that was shown may have logged.
        call.made = (id(record), row, rendering)
        if text is not None:
            call.format = _fresh(text), False
        elif not call.format[1]:
            call.format = _fresh(MARKER), True
        return call.format[0]

    def _make_call(self) -> _Call:
        made: _Call = self._threads.__dict__.setdefault("call", _Call())
        return made

    def _admit(self, record: Any) -> bool:
        if self._channel.is_inside():
            self._write_reentrant(record)
            return False
        call = self._threads.call or self._make_call()
        if _references(call.format[0]) != _ALONE:
            emit = sys._getframe(1)
            caller = emit.f_back
            while caller is not None:
                if caller.f_code is emit.f_code:
                    self._write_reentrant(record)
                    return False
                caller = caller.f_back
            call.format = _fresh(MARKER), True
        return True

    def write(self, message: Any) -> None:
        call = self._threads.call or self._make_call()
        (owner, row, rendering), call.made = call.made, _NOTHING
        if not message.startswith(MARKER):
            row = _encode(message.record, raw=True)
        elif owner != id(message.record):
            self._write_reentrant(message.record)
            return
        elif row is None:
            line = message[_AFTER_MARKER:]
            if rendering is None:
                row = _encode(message.record, line)
            else:
                row = rendering.row_of_line(message.record, line)
        self._channel.emit(row)

    def _write_reentrant(self, record: Any) -> None:
        text = ""
        if record["exception"] is not None:
            try:
                text = "".join(traceback.format_exception(*record["exception"]))
            except Exception:
                text = f"{show(record['exception'])}\n"
        self._channel.emit(encode_loguru_record(record, raw=False, traceback_text=text, color=None))

    def __reduce__(self) -> Any:
        """joblib and multiprocessing pickle functions that refer to ``logger``: not this one."""
        return BridgeSink, (self._channel,)


_STANDARD_KEYS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class InterceptHandler(logging.Handler):
    """Puts stdlib records into loguru, for those who want loguru as their hub.

    The logger's name, ``extra=``, ``stack_info``, the exception and the caller's place are kept.
    Use it with ``install_bridge(stdlib=False)``, or each record goes both ways.
    """

    def createLock(self) -> None:
        """None: loguru has its own, and a record from inside of it must not wait for another."""
        self.lock: Any = _NoLock()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            try:
                level: str | int = logger.level(record.levelname).name
            except ValueError:
                level = record.levelno
            message = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        extra = {key: value for key, value in record.__dict__.items() if key not in _STANDARD_KEYS}
        if record.__dict__.get("taskName") is not None:
            extra["taskName"] = record.__dict__["taskName"]
        if record.stack_info:
            extra["stack_info"] = record.stack_info

        def place(fields: Any) -> None:
            fields.update(
                name=record.name,
                function=record.funcName,
                line=record.lineno,
                module=record.module,
                file=type(fields["file"])(record.filename, record.pathname),
                extra={**fields["extra"], **extra},
            )

        # No arguments: loguru would format the braces of a message that is formatted already.
        logger.patch(place).opt(exception=record.exc_info).log(level, message)
