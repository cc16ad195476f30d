"""What the handlers, the sinks and the bridges of a process need of a channel, and how they share
one.

Owns the table of the channels that are shared. There are two kinds: one has a journal and a sender
(:mod:`~loguru_stdbridge.worker.channel`), the other writes the file itself
(:mod:`~loguru_stdbridge.worker.file_channel`).
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from ..addresses import Address
from ..spool.directory import default_spool_dir
from ..system.forks import drop_in_children
from .far_sinks import FarSinks
from .options import ChannelOptions
from .totals import Totals

if TYPE_CHECKING:
    from .stats import Stats


class BaseChannel:
    """Takes the rows of this process. Thread- and fork-safe."""

    options: ChannelOptions
    far_sinks: FarSinks

    def __init__(self, options: ChannelOptions) -> None:
        self.options = options
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()

    @property
    def address(self) -> Address:
        return self.options.address

    def emit(self, row: bytes) -> None:
        """Take one record. Never raises."""
        raise NotImplementedError

    def is_inside(self) -> bool:
        """Return whether this thread is inside the channel, and may hold its locks."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """Whether the next record has to open something."""
        raise NotImplementedError

    def open(self) -> None:
        """Open what a record needs, if it is not open."""
        raise NotImplementedError

    def add_user(self, user: object) -> None:
        """Note that ``user`` uses this channel, for as long as it lives or until its release."""
        self._users.add(user)

    def release(self, user: object) -> bool:
        """Note that ``user`` uses this channel no more; return whether nobody does."""
        self._users.discard(user)
        return not len(self._users)

    def retire(self) -> None:
        """End when all is delivered, unless a user comes. Waits for nothing."""
        raise NotImplementedError

    def flush(self, timeout: float | None = None) -> bool:
        """Wait ``timeout`` seconds at most until all that was logged so far is written; return
        whether it is."""
        raise NotImplementedError

    def totals(self) -> Totals:
        """Return what :meth:`stats` returns, as what is light to load."""
        raise NotImplementedError

    def stats(self) -> Stats:
        """Return what this channel has done so far."""
        from .stats import Stats  # a dataclass

        totals = self.totals()
        return Stats(**{**totals._asdict(), "dropped": dict(totals.dropped)})

    def close(self, timeout: float, *, patient: bool = True) -> bool:
        """Deliver within ``timeout`` seconds and close, until it is used again; return whether all
        that was ever logged is delivered. Without ``patient``, do not wait for a receiver that is
        away."""
        raise NotImplementedError

    def __reduce__(self) -> Any:
        """Pickle the options alone: in another process the channel has a journal of its own."""
        return share_channel, (type(self), self.options)


class _Sharing:
    """The channels that are shared, by their options."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.channels: weakref.WeakValueDictionary[ChannelOptions, BaseChannel] = (
            weakref.WeakValueDictionary()
        )

    def after_fork_in_child(self) -> None:
        """Another thread of the parent may have held the lock."""
        self.lock = threading.RLock()


_sharing = _Sharing()
drop_in_children(_sharing)


def share_channel(kind: type[BaseChannel], options: ChannelOptions) -> BaseChannel:
    """Return the channel of this process for these options, of this kind."""
    key = options
    if options.spool_dir is None and options.server:
        key = options._replace(spool_dir=default_spool_dir(options.address.log_path))
    with _sharing.lock:
        channel = _sharing.channels.get(key)
        if channel is None:
            channel = _sharing.channels[key] = kind(options)
        return channel
