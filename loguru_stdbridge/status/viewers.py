"""The viewers of ``/events``: who is admitted, and what each is sent in a turn. No sockets here.

Events are server-sent ones. ``hello`` comes first; then ``records`` and ``missed`` as they come,
``figures`` each second, which is the heartbeat, ``workers`` each two, ``files`` when they change.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from .board import Board
from .feed import Feed, Filter, Recent
from .history import History
from .listener import TURN
from .log_files import list_files
from .looking import Look
from .requests import Refused, Request, make_error, make_head
from .shown import Showing, offset_at
from .state import ReceiverState
from .visitors import Visitor

MAX_VIEWERS = 8

MAX_UNREAD = 512 * 1024
"""Bytes that wait for a viewer; one with more is fed no records until it has read them."""

FIRST_RECORDS = 1000
"""Records that a viewer is shown at once, of those that were before it."""

FILES_INTERVAL = 5.0
"""Seconds between two looks at the log's files."""

_WORKERS_TICKS = 2
_MAX_PROGRAMS = 5000


class Viewers:
    """Feeds the viewers of one receiver. Used by the listener's one thread."""

    def __init__(
        self, board: Board, look: Look, template: str | None, *, shows_files: bool
    ) -> None:
        self._board = board
        self._look = look
        self._shows_files = shows_files
        self._recent = Recent()
        self._showing = Showing(template)
        self.history = History(board)
        self._tick_at = time.monotonic() + 1
        self._ticks = 0
        self.count = 0
        """How many there are."""
        self._files: list[dict[str, Any]] = []
        self._files_at = float("-inf")

    def admit(self, visitor: Visitor, request: Request) -> None:
        """Begin to feed a visitor. Raises :class:`~..requests.Refused`."""
        if self.count >= MAX_VIEWERS:
            raise Refused(
                make_error(
                    HTTPStatus.SERVICE_UNAVAILABLE, f"{MAX_VIEWERS} viewers are here already"
                )
            )
        state = self._look()
        if state is None:
            raise Refused(make_error(HTTPStatus.SERVICE_UNAVAILABLE, "the receiver is busy"))
        kind = "text/event-stream; charset=utf-8"
        visitor.answer(make_head(HTTPStatus.OK, kind, None, {"X-Accel-Buffering": "no"}))
        if request.is_head:
            return
        self.count += 1
        self._learn(state)
        self._recent.take_from(self._board)
        feed, missed = self._begin(request)
        visitor.feed = feed
        visitor.answer(_event("hello", self._hello(state)))
        self._look_for_files(state)
        visitor.answer(_event("workers", self.history.workers()))
        visitor.answer(_event("files", self._files))
        visitor.answer(missed.encode())

    def _begin(self, request: Request) -> tuple[Feed, str]:
        """Return the feed of a new viewer, and the event of what it has missed while away."""
        wanted = Filter.of(request.query)
        epoch, last = self._board.epoch, self._board.written
        count = request.query.get("n", "")
        first = min(int(count), 5000) if count.isdecimal() and len(count) < 6 else FIRST_RECORDS
        known = request.headers.get("last-event-id") or request.query.get("after", "")
        known_epoch, _, number = known.rpartition("-")
        after = int(number) if number.isdecimal() and len(number) < 16 else None
        now = time.monotonic()
        if after is None:
            return Feed(wanted, epoch, self._before_last(wanted, first), now), ""
        if known_epoch != epoch or after > last:
            feed = Feed(wanted, epoch, self._before_last(wanted, first), now)
            return feed, feed.missed(None, 0, 0, "restarted")
        kept_after = max(self._recent.first - 1, 0) if self._recent.chunks else last
        feed = Feed(wanted, epoch, max(after, kept_after), now)
        lost = kept_after - after
        if lost <= 0:
            return feed, ""
        return feed, feed.missed(lost, after + 1, kept_after, "disconnected")

    def _before_last(self, wanted: Filter, count: int) -> int:
        """Return the number behind which ``count`` records of a filter are."""
        found = self._board.written
        for chunk in reversed(self._recent.chunks):
            for index in range(len(chunk.rows) - 1, -1, -1):
                if count <= 0:
                    return found
                if wanted.may_take(chunk.rows[index]):
                    count -= 1
                    found = chunk.first + index - 1
        if count > 0 and self._recent.chunks:
            return self._recent.first - 1
        return found

    def turn(self, visitors: Sequence[Visitor], until: float) -> float | None:
        """Feed them; see :class:`~loguru_stdbridge.status.visitors.Answerer`."""
        viewers = [visitor for visitor in visitors if visitor.feed is not None]
        self.count = len(viewers)
        now = time.monotonic()
        is_tick = now >= self._tick_at
        if is_tick:
            self._tick_at = max(self._tick_at + 1, now + 0.5)
            self._ticks += 1
            self.history.tick()
        if not viewers:
            return None
        if is_tick:
            self._send_figures(viewers, now)
        self._recent.take_from(self._board)
        if self._has_unknown_sender():
            state = self._look(0.2)
            if state is not None:
                self._learn(state)
        first = self._ticks % len(viewers)  # each is fed first now and then
        for viewer in [*viewers[first:], *viewers[:first]]:
            if len(viewer.out) > MAX_UNREAD:
                continue
            events = viewer.feed.fill(
                self._recent, self._showing, time.monotonic(), lambda: time.monotonic() > until
            )
            if events:
                viewer.answer("".join(events).encode())
        return TURN

    def _send_figures(self, viewers: Sequence[Visitor], now: float) -> None:
        state = self._look()
        if state is None:
            return
        self._learn(state)
        self.history.note_workers(state)
        events = _event("figures", self.history.figures(state))
        if self._ticks % _WORKERS_TICKS == 0:
            events += _event("workers", self.history.workers())
        if now - self._files_at > FILES_INTERVAL and self._look_for_files(state):
            events += _event("files", self._files)
        for viewer in viewers:
            if len(viewer.out) <= MAX_UNREAD:
                viewer.answer(events)

    def _learn(self, state: ReceiverState) -> None:
        programs = self._showing.programs
        if len(programs) > _MAX_PROGRAMS:
            programs.clear()
        programs.update({w.id: (w.program, w.pid) for w in state.workers if w.id})

    def _has_unknown_sender(self) -> bool:
        newest = self._recent.chunks[-1] if self._recent.chunks else None
        if newest is None or newest.sender is None:
            return False
        known = self._showing.programs
        if newest.sender[:8] in known:
            return False
        known[newest.sender[:8]] = ("", 0)  # asked once
        return True

    def _look_for_files(self, state: ReceiverState) -> bool:
        """List the log's files; return whether they have changed."""
        self._files_at = time.monotonic()
        files = []
        for sink in state.sinks:
            for file in list_files(sink.path):
                is_open = os.path.basename(sink.path) == file.name
                limit = sink.limit if is_open else None
                files.append({**file._asdict(), "open": is_open, "limit": limit})
        if files == self._files:
            return False
        self._files = files
        return True

    def _hello(self, state: ReceiverState) -> dict[str, Any]:
        now = time.time()
        return {
            "sink": state.log,
            "host": state.host,
            "pid": state.pid,
            "version": state.version,
            "started": state.started,
            "now": now,
            "zone": offset_at(now),
            "epoch": self._board.epoch,
            "last": self._board.written,
            "files": self._shows_files,
            "size": state.sinks[0].size,
            "figures": self.history.figures(state),
            "points": [point._asdict() for point in self.history.points],
        }


def _event(name: str, data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode("ascii")
