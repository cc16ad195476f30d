"""``BridgeHandler``: a handler of stdlib logging that puts each record into the journal.

Owns the step from a ``LogRecord`` to a row. No sockets or files here.

Why these handlers have no lock
-------------------------------
A thread that holds a handler's lock may wait for the journal's, and a signal handler that logs from
inside the journal would wait for the handler's: both would wait for ever. logging also gives a
forked child new locks, and a lock that the forking thread holds can never be let go there. The
journal and loguru have locks of their own, so a handler that only hands records to them needs none.
"""

from __future__ import annotations

import logging
import logging.handlers
from typing import TYPE_CHECKING, Any

from ..addresses import AddressLike
from ..record.encode import encode_logrecord
from .channel import Channel, shared_channel
from .crossings import (
    calling_frame,
    find_loguru_record,
    make_thread_state,
    may_come_from_loguru,
)
from .levels import level_styles
from .loguru_sink import is_sent_by_sink
from .marks import is_marked, marks_for
from .options import check_options

if TYPE_CHECKING:
    from .stats import Stats


class _NoLock:
    """Stands where a handler has its lock."""

    def acquire(self, *args: Any) -> bool:
        return True

    def release(self) -> None:
        """Nothing is held."""

    def _is_owned(self) -> bool:  # as of a lock of Python's
        return False

    def __enter__(self) -> None:
        """Nothing is held."""

    def __exit__(self, *exc_info: object) -> None:
        """Nothing is held."""


class LocklessHandler(logging.Handler):
    """A handler without a lock; see the module's text."""

    def createLock(self) -> None:
        self.lock: Any = _NoLock()


class BridgeHandler(LocklessHandler, logging.handlers.SocketHandler):
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
            channel = shared_channel(check_options(address, **options))
        target = channel.address
        super().__init__(target.host or target.path, target.port)
        self.setLevel(level)
        self.channel = channel
        channel.add_user(self)
        self._marks = marks_for(target)

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the journal, if the bridge does not send it anyway. Never raises."""
        try:
            if not self._is_sent(record):
                self.channel.emit(encode_logrecord(record, level_styles))
        except Exception:
            self.handleError(record)

    def _is_sent(self, record: logging.LogRecord) -> bool:
        """Return whether the record goes to the same receiver some other way.

        See :mod:`~loguru_stdbridge.worker.attachment` for the ways.
        """
        if self._marks.has(record):
            return True
        if may_come_from_loguru(make_thread_state(), record):
            found = find_loguru_record(record, calling_frame(1))
            if found is not None and is_sent_by_sink(*found, self.channel.address):
                return True
        if not is_marked(record):  # the mark of the other destination is still needed
            self._marks.put(record)
        return False

    def flush(self) -> None:
        """Do nothing: a record needs no flush to be safe. See :meth:`wait`."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until all that was logged is written at the far end; ``timeout`` in seconds."""
        return self.channel.flush(timeout)

    def stats(self) -> Stats:
        """Return the figures of this handler's channel."""
        return self.channel.stats()

    def close(self) -> None:
        """Let the channel go. Nothing is waited for: what is left is delivered meanwhile."""
        if self.channel.release(self):
            self.channel.retire()
        super().close()

    def __reduce__(self) -> Any:
        """Pickle the channel's options: in another process the handler has a journal of its own."""
        return _remake_handler, (self.channel, self.level)


def _host_address(host: str, port: int | None) -> AddressLike:
    if port is None:  # SocketHandler's own rule: no port, a Unix socket
        return host if "://" in host else f"unix://{host}"
    return (host, port)


def _remake_handler(channel: Channel, level: int) -> BridgeHandler:
    return BridgeHandler(channel=channel, level=level)
