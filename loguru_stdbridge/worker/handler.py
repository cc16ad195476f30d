"""The adapters: ``BridgeHandler`` on logging, ``BridgeSink`` on loguru, ``InterceptHandler`` between.

Own the step from a log call to a row in the journal. No sockets or files here.

Signals, ``__del__`` and loguru's lock
--------------------------------------
loguru holds a handler's lock while it calls the sink, and refuses a second call of the same thread
("deadlock avoided"): a signal handler or a ``__del__`` that logs right then would lose its record.
So the sink must know, before loguru asks for the lock, whether an ``emit`` of its own is under way
in this thread. loguru calls the filter and the format function before the lock. The format function
returns a text that can be referred to weakly; ``emit`` holds it until it returns, so the reference
is dead for as long as no ``emit`` is under way, and this costs no look at the stack. Where it is
alive, the stack is looked at (a cache may hold the text, too), and if the noted frame is really
among the callers, the record takes the short way: rendered with the stdlib's traceback, into the
journal at once (the journal itself bears re-entrant calls), and the filter says no, so that loguru
goes no further.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
import threading
import traceback
import weakref
from typing import Any, Dict, Optional, Union

from loguru import logger

from ..addresses import AddressLike, default_address, parse_address
from ..records import LevelStyle, encode_logrecord, encode_loguru_record
from ..values import show
from .channel import EXIT_TIMEOUT, Channel, Stats


class LevelStyles:
    """Icon and colour of loguru's levels, looked up once each."""

    def __init__(self) -> None:
        self._known: Dict[str, LevelStyle] = {}

    def __call__(self, name: str) -> LevelStyle:
        style = self._known.get(name)
        if style is None:
            try:
                level = logger.level(name)
            except Exception:  # a level of logging's that loguru does not know
                return " ", None
            style = self._known[name] = (level.icon, level.color)
            if len(self._known) > 1000:
                self._known.clear()
        return style


level_styles = LevelStyles()


def notice_row(text: str) -> bytes:
    """A WARNING record of the bridge itself, as a row."""
    record = logging.LogRecord(
        "loguru_stdbridge", logging.WARNING, "", 0, text, None, None, "loguru_stdbridge"
    )
    return encode_logrecord(record, level_styles)


class BridgeHandler(logging.handlers.SocketHandler):
    """A ``SocketHandler`` that loses nothing: the record is in the journal when ``emit`` returns.

    Takes the stdlib's ``host`` and ``port``, or ``address=``; the other options are those of
    :func:`~loguru_stdbridge.install_bridge`. Plain keyword arguments, so ``dictConfig`` can make it.
    Nothing is opened before the first record. Thread-safe, fork-safe, safe in signal handlers.
    """

    def __init__(
        self,
        host: Optional[str] = None,
        port: Optional[int] = None,
        *,
        address: Optional[AddressLike] = None,
        level: Union[int, str] = logging.NOTSET,
        channel: Optional[Channel] = None,
        **options: Any,
    ) -> None:
        if channel is None:
            if address is None:
                address = default_address() if host is None else _host_address(host, port)
            channel = Channel(parse_address(address), notice=notice_row, **options)
        target = channel.address
        super().__init__(target.host or target.path, target.port)
        self.setLevel(level)
        self.channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the journal. Never raises."""
        try:
            self.channel.emit(encode_logrecord(record, level_styles))
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Nothing to do: a record needs no flush to be safe. See :meth:`wait`."""

    def wait(self, timeout: Optional[float] = None) -> bool:
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


def _host_address(host: str, port: Optional[int]) -> AddressLike:
    if port is None:  # SocketHandler's own rule: no port, a Unix socket
        return host if "://" in host else f"unix://{host}"
    return (host, port)


def _remake_handler(channel: Channel, level: int) -> BridgeHandler:
    return BridgeHandler(channel=channel, level=level)


_MARKER = "\0\0stdbridge\0"
"""What the sink's format begins with, so that a text without it is known to be ``opt(raw=True)``."""


class _Format(str):
    """A format that can be referred to weakly."""

    __slots__ = ("__weakref__",)


class BridgeSink:
    """What ``logger.add`` is given. ``add_to_loguru`` puts it there with its filter and format."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._local = threading.local()

    def add_to_loguru(self, level: Union[int, str]) -> int:
        """Attach; returns loguru's handler id.

        loguru renders the exception, with the variables and the backtrace of its defaults, where
        the frames are; nothing else is formatted here.
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
        text = _Format(_MARKER + "{exception}")
        self._local.emit = (weakref.ref(text), id(sys._getframe(1)))
        return text

    def _admit(self, record: Any) -> bool:
        under_way = getattr(self._local, "emit", None)
        if under_way is not None and under_way[0]() is not None:
            caller = sys._getframe(1).f_back
            while caller is not None:
                if id(caller) == under_way[1]:
                    self._write_reentrant(record)
                    return False
                caller = caller.f_back
        return True

    def write(self, message: Any) -> None:
        record = message.record
        raw = not message.startswith(_MARKER)
        text = "" if raw or record["exception"] is None else message[len(_MARKER) :]
        _, color = level_styles(record["level"].name)
        self._channel.emit(
            encode_loguru_record(record, raw=raw, traceback_text=text, color=color)
        )

    def _write_reentrant(self, record: Any) -> None:
        text = ""
        if record["exception"] is not None:
            try:
                text = "".join(traceback.format_exception(*record["exception"]))
            except Exception:
                text = f"{show(record['exception'])}\n"
        self._channel.emit(
            encode_loguru_record(record, raw=False, traceback_text=text, color=None)
        )

    def __reduce__(self) -> Any:
        """joblib and multiprocessing pickle functions that refer to ``logger``: not this one."""
        return BridgeSink, (self._channel,)


_STANDARD_KEYS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class InterceptHandler(logging.Handler):
    """Puts stdlib records into loguru, for those who want loguru as their hub.

    The logger's name, ``extra=``, ``stack_info``, the exception and the caller's place are kept.
    Use it with ``install_bridge(stdlib=False)``, or each record goes both ways.
    """

    def emit(self, record: logging.LogRecord) -> None:
        try:
            try:
                level: Union[str, int] = logger.level(record.levelname).name
            except ValueError:
                level = record.levelno
            message = record.getMessage()
        except Exception:
            self.handleError(record)
            return
        extra = {
            key: value for key, value in record.__dict__.items() if key not in _STANDARD_KEYS
        }
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
