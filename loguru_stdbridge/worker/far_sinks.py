"""Know what the sinks at the far end want: their format, their least level, and what else they
show.

Owns what this process knows of them, and from where. A receiver tells it when it greets. Before
that, the worker begins with what the log's last receiver has noted in the spool or the runtime
directory. Where there is no note, the worker begins with what it would ask a receiver for.

It owns, too, which lower levels an operator wants for a while, as the receiver has told.

Why an old note does no harm
----------------------------
It says how a record is rendered, never whether one is sent: a level is taken from a greeting alone.
A line in a format that has changed meanwhile is written as it is, like the lines that were logged
before the change.
"""

from __future__ import annotations

import math
import os
import time
import weakref
from typing import Any

from ..record.level_order import LevelOrder
from ..record.line_format import LineFormat
from ..record.sink_needs import UNKNOWN, SinkNeeds, join_needs, needs_of
from ..sink_words import SinkWords
from ..spool.directory import noted_sink
from ..system.host import host_facts
from ..system.runtime import runtime_directories
from .options import ChannelOptions
from .rendering import LineRenderer


class FarSinks:
    """What this process knows of the receiver's sinks. Log calls read it without a lock."""

    def __init__(
        self,
        renderer: LineRenderer | None = None,
        needs: SinkNeeds = UNKNOWN,
        level: int | None = None,
    ) -> None:
        """``level`` is the least level that the sinks take; ``None`` until they have told it."""
        self.renderer = renderer
        """Makes the lines of the sink; ``None`` where the receiver wants whole records."""
        self.needs = needs
        """What the sinks need of a record beside its fields."""
        self._level = level
        self._line_format: LineFormat | None = None
        self._followers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._talkers: weakref.WeakSet[Any] = weakref.WeakSet()
        self._orders: tuple[tuple[float, LevelOrder], ...] = ()  # with their ends, monotonic

    def begin(self, options: ChannelOptions, spool_dir: str | None) -> None:
        """Begin with what is known before a receiver greets, which may be another one now."""
        self._level = None
        if options.peer == "stock":
            self.needs = SinkNeeds()
            return
        line_format, needs = _read_note(options, spool_dir)
        if needs is None and options.sink is not None:
            needs = _needs_of_words(options.sink)
        self._render_by(line_format)
        self.needs = UNKNOWN if needs is None else needs

    def learn(self, line_format: LineFormat | None, needs: SinkNeeds) -> None:
        """Go by what the receiver of this connection has told. Called in the sender's thread."""
        self._render_by(line_format)
        self.needs, self._level = needs, needs.level
        for sink in list(self._followers):
            sink.follow_level(needs.level)

    def obey(self, orders: tuple[LevelOrder, ...] | None) -> float:
        """Have records of lower levels made, as an operator wants, for a while. Called in the
        sender's thread.

        ``orders`` replaces those before; ``None`` drops those that have expired. Return the seconds
        until one does.
        """
        before = self._orders
        if orders is None and not before:
            return math.inf
        now = time.monotonic()
        if orders is not None:
            self._orders = tuple((now + order.seconds, order) for order in orders)
        else:
            self._orders = tuple(known for known in before if known[0] > now)
        if self._orders != before:
            for talker in list(self._talkers):
                talker.talk(tuple(order for _, order in self._orders))
        return min((until for until, _ in self._orders), default=math.inf) - now

    def add_talker(self, talker: Any) -> None:
        """Have something make records of lower levels, by its ``talk()``, when that is wanted."""
        self._talkers.add(talker)
        if self._orders:
            talker.talk(tuple(order for _, order in self._orders))

    def remove_talker(self, talker: Any) -> None:
        """Leave something alone from now on."""
        self._talkers.discard(talker)

    def add_follower(self, sink: Any) -> None:
        """Have a sink of loguru's take the far sinks' least level, by its ``follow_level()``: now,
        where it is known, and each time that a receiver tells it."""
        self._followers.add(sink)
        if self._level is not None:
            sink.follow_level(self._level)

    def remove_follower(self, sink: Any) -> None:
        self._followers.discard(sink)

    def _render_by(self, line_format: LineFormat | None) -> None:
        if line_format != self._line_format:
            self._line_format = line_format
            self.renderer = None if line_format is None else LineRenderer(line_format)


def _read_note(
    options: ChannelOptions, spool_dir: str | None
) -> tuple[LineFormat | None, SinkNeeds | None]:
    """Return what a receiver of this address has noted of its sinks, if one has."""
    address = options.address
    line_format: LineFormat | None = None
    needs: SinkNeeds | None = None
    if spool_dir is not None:
        line_format, needs = noted_sink(spool_dir, address)
    if needs is None:
        network = host_facts().network
        for directory in runtime_directories(beside=address.log_path):
            line_format, needs = noted_sink(directory, address, network)
            if needs is not None:
                break
    return line_format, needs


def _needs_of_words(words: SinkWords) -> SinkNeeds:
    """Return what the sinks need that this process asks a receiver for."""
    return join_needs(
        needs_of(
            handler.get("format") or os.environ.get("LOGURU_FORMAT"),
            0,
            colorize=handler.get("colorize", False),
            encoding=handler.get("encoding", "utf8"),
        )
        for handler in words.handlers()
    )
