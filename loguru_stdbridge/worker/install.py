"""``install_bridge`` and ``uninstall_bridge``: send what this process logs, and stop.

Owns the one bridge of a process. Other loguru sinks and logging handlers stay as they are.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING, Any

from loguru import logger

from ..addresses import Address, AddressLike
from ..exceptions import ConfigurationError
from ..system.forks import drop_in_children
from .channel import EXIT_TIMEOUT, Channel
from .handler import BridgeHandler
from .intercept import InterceptHandler
from .loguru_sink import BridgeSink
from .options import check_options

if TYPE_CHECKING:
    from .stats import Stats


class Bridge:
    """What :func:`install_bridge` returns. Thread-safe; a context manager that uninstalls."""

    def __init__(self, channel: Channel, options: Any) -> None:
        self._channel = channel
        self._options = options
        self._loguru_id: int | None = None
        self._handler: BridgeHandler | None = None
        self._root_level: int | None = None

    @property
    def address(self) -> Address:
        """Where the records go."""
        return self._channel.address

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged so far is written at the far end.

        ``timeout`` in seconds, ``None`` for ever. Returns whether it is. A signal handler that
        came in the middle of a log call is not kept waiting: that call holds the journal.
        """
        return self._channel.flush(timeout)

    def stats(self) -> Stats:
        """Return this process's figures since the install or, in a forked child, since the fork."""
        return self._channel.stats()

    def close(self, timeout: float = EXIT_TIMEOUT) -> bool:
        """Uninstall, then deliver what is left within ``timeout`` seconds.

        Returns whether all was delivered; what was not is in the journal and is delivered later.
        """
        with _installation.lock:
            self._detach()
            if _installation.bridge is self:
                _installation.bridge = None
        return self._channel.close(timeout)

    def __enter__(self) -> Bridge:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _attach(self, level: int | str | None, loguru: bool, stdlib: bool) -> None:
        number = _level_number(level)
        if loguru:
            self._loguru_id = BridgeSink(self._channel).add_to_loguru(number)
        if stdlib:
            root = logging.getLogger()
            if any(isinstance(handler, InterceptHandler) for handler in root.handlers):
                return  # loguru is the hub: its side of the bridge takes these records
            self._handler = BridgeHandler(channel=self._channel, level=number)
            root.addHandler(self._handler)
            if level is not None:
                self._root_level = root.level
                root.setLevel(number)

    def _detach(self) -> None:
        if self._loguru_id is not None:
            with contextlib.suppress(ValueError):  # removed by the application's logger.remove()
                logger.remove(self._loguru_id)
            self._loguru_id = None
        if self._handler is not None:
            logging.getLogger().removeHandler(self._handler)
            self._handler = None
        if self._root_level is not None:
            logging.getLogger().setLevel(self._root_level)
            self._root_level = None


class _Installation:
    """The bridge of this process, and the lock to change it."""

    def __init__(self) -> None:
        self.bridge: Bridge | None = None
        self.lock = threading.RLock()

    def after_fork_in_child(self) -> None:
        """Another thread of the parent may have held the lock."""
        self.lock = threading.RLock()


_installation = _Installation()
drop_in_children(_installation)


def install_bridge(
    address: AddressLike | None = None,
    *,
    level: int | str | None = None,
    loguru: bool = True,
    stdlib: bool = True,
    spool_dir: str | os.PathLike[str] | bool | None = None,
    spool_limit: int | None = None,
    when_full: str = "drop_oldest",
    block_timeout: float = 10.0,
    peer: str = "bridge",
    receiver_user: int | str | None = None,
) -> Bridge:
    """Send what this process logs, through loguru and stdlib logging, to a receiver.

    Parameters
    ----------
    address
        ``"tcp://host:port"``, ``"unix:///path"`` or ``(host, port)``; ``None``: the environment
        variable ``LOGURU_STDBRIDGE_ADDRESS``, else ``tcp://127.0.0.1:9020``.
    level
        The least level that is sent, a number or a name; it is also set on logging's root logger
        until the bridge is uninstalled. ``None``: everything that loguru and logging let through,
        and the root logger stays as it is (its default lets through WARNING and above).
    loguru, stdlib
        Which of the two to attach to. stdlib logging is left alone where its root logger has an
        :class:`InterceptHandler`: its records come through loguru then.
    spool_dir
        Directory of the journals, made with mode 0700. ``None``: see
        :func:`loguru_stdbridge.spool.directory.default_spool_dir`. ``False``: keep records in
        memory, which does not survive the process.
    spool_limit
        Bytes that the journal may grow to while the receiver is away. ``None``: 256 MiB.
    when_full
        What to give up when the limit is reached: ``"drop_oldest"``, ``"drop_newest"``, or
        ``"block"``: wait up to ``block_timeout`` seconds, then drop the newest. All are counted.
    peer
        ``"bridge"``: a receiver of this package; one that does not greet is waited for.
        ``"stock"``: any receiver of ``SocketHandler``'s format; nothing tells what it has written.

    Returns the :class:`Bridge`. Called again in the same process with the same arguments it returns
    the bridge that is there; with others, that one is uninstalled first. Safe before and after a
    fork: a child that inherits the bridge uses it with a journal and a connection of its own.

    Raises :class:`AddressError`, :class:`ConfigurationError`, or :class:`JournalError` for a
    ``spool_dir`` that cannot be used. Never raises because a receiver is absent.
    """
    channel_options = check_options(
        address,
        spool_dir=spool_dir,
        spool_limit=spool_limit,
        when_full=when_full,
        block_timeout=block_timeout,
        peer=peer,
        receiver_user=receiver_user,
    )
    _level_number(level)
    options = (channel_options, level, loguru, stdlib)
    with _installation.lock:
        installed = _installation.bridge
        if installed is not None:
            if installed._options == options:
                return installed
            installed.close()
        channel = Channel(channel_options)
        bridge = Bridge(channel, options)
        bridge._attach(level, loguru, stdlib)
        _installation.bridge = bridge
        return bridge


def uninstall_bridge(timeout: float = EXIT_TIMEOUT) -> bool:
    """Detach the bridge of this process, if there is one, and deliver what is left.

    Returns whether all was delivered within ``timeout`` seconds.
    """
    bridge = _installation.bridge
    return bridge.close(timeout) if bridge is not None else True


def _level_number(level: int | str | None) -> int:
    """Return ``level`` as a number, by loguru's names first, then logging's (``"FATAL"``, ...)."""
    if level is None:
        return 0
    if isinstance(level, int):
        return level
    try:
        return int(logger.level(level).no)
    except ValueError:
        number = logging.getLevelName(level)
        if isinstance(number, int):
            return number
        raise ConfigurationError(
            f"level={level!r} is known neither to loguru nor to logging"
        ) from None
