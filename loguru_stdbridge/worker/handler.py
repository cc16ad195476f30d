"""``BridgeHandler``: a handler of stdlib logging that puts each record into the journal.

Owns the step from a ``LogRecord`` to a row. No sockets or files here.
"""

from __future__ import annotations

import logging
import logging.handlers
from typing import TYPE_CHECKING, Any

from ..addresses import AddressLike
from ..system.lockless import LocklessHandler
from .base_channel import BaseChannel
from .channel import channel_for
from .crossings import (
    calling_frame,
    find_loguru_record,
    make_thread_state,
    may_come_from_loguru,
)
from .loguru_sink import is_sent_by_sink
from .marks import is_marked, marks_for
from .options import check_options
from .rendering import row_of_logrecord

if TYPE_CHECKING:
    from .stats import Stats


class BridgeHandler(LocklessHandler, logging.handlers.SocketHandler):
    """A ``SocketHandler`` that loses nothing: the record is in the journal when ``emit`` returns.

    For programs that want no more than a handler; :func:`install_bridge` takes more. All arguments
    are plain keywords, so ``dictConfig`` can make one. Nothing is opened before the first record.
    Thread-safe, fork-safe, safe in signal handlers.

    Parameters
    ----------
    host, port
        As for ``SocketHandler``: a host and its port; without a port, ``host`` is the path of a
        Unix socket. Or leave both out.
    address
        As for :func:`install_bridge`. Without it, ``host`` and ``sink=``: its default.
    level
        The handler's level, a number or a name.
    channel
        For this package's own use.
    options
        Those of :func:`install_bridge` that say where the records go and how they are kept:
        ``sink`` with loguru's words for it, ``spool_dir``, ``spool_limit``, ``spool_total``,
        ``when_full``, ``block_timeout``, ``peer``, ``receiver_user``, ``tls_ca`` and the like.

    Raises
    ------
    AddressError, ConfigurationError, JournalError
        As :func:`install_bridge`.
    """

    def __init__(
        self,
        host: str | None = None,
        port: int | None = None,
        *,
        address: AddressLike | None = None,
        level: int | str = logging.NOTSET,
        channel: BaseChannel | None = None,
        **options: Any,
    ) -> None:
        if channel is None:
            if address is None and host is not None:
                address = _host_address(host, port)
            channel = channel_for(check_options(address, **options))
        target = channel.address
        super().__init__(target.host or target.path, target.port)
        self.setLevel(level)
        self.channel = channel
        channel.add_user(self)
        self._marks = marks_for(target)

    def emit(self, record: logging.LogRecord) -> None:
        """Put the record into the journal, unless the bridge sends it anyway. Never raises."""
        try:
            if not self._is_sent(record):
                channel = self.channel
                channel.emit(row_of_logrecord(channel.far_sinks.renderer, record))
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
        """Wait until everything logged so far is in the file; return whether it is.

        ``timeout`` is in seconds; ``None`` waits without a limit. See :meth:`Bridge.flush`.
        """
        return self.channel.flush(timeout)

    def stats(self) -> Stats:
        """Return the figures of all handlers and bridges of this process with the same options."""
        return self.channel.stats()

    def close(self) -> None:
        """Close the handler without waiting: what is left is delivered meanwhile."""
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


def _remake_handler(channel: BaseChannel, level: int) -> BridgeHandler:
    return BridgeHandler(channel=channel, level=level)
