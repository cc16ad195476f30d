"""The channel of ``install_bridge(..., server=False)``: this process writes the file itself.

It takes the rows that any channel takes, and makes the lines of the file of them with the
receiver's own renderer. So a line is the same whichever of the two writes it. There is no journal
and no thread. A line is in the file when the log call returns. Only who asks for it loads this
module.

Why a log call inside a log call loses nothing
----------------------------------------------
The renderer serves one thread at a time. A signal handler or a ``__del__`` that logs while its own
thread renders leaves its row to the outer call, which renders it next. ``is_inside()``
tells the sink in loguru of it, so loguru's lock is not asked for.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any

from ..record.line_format import LineFormat
from ..record.row import read_row, rendered_lines
from ..record.sink_needs import join_needs
from ..shared.conditions import timed_message
from ..shared.log_table import find_log
from ..shared.options import LogOptions
from ..shared.shared_log import SharedLog
from ..sink.replay import RENDER_OPTIONS, Replay
from ..system.forks import drop_in_children, notice_fork, process_mark
from .base_channel import BaseChannel
from .far_sinks import FarSinks
from .options import ChannelOptions
from .pipeline import report
from .rendering import LineRenderer
from .totals import Totals


class _Outlet:
    """One file, and the renderer of its lines."""

    def __init__(self, handler: dict[str, Any]) -> None:
        words = {name: value for name, value in handler.items() if name != "sink"}
        rendering = {name: words.pop(name) for name in RENDER_OPTIONS if name in words}
        self.log: SharedLog = find_log(handler["sink"], LogOptions(**words))
        self.replay = Replay(encoding=words.get("encoding", "utf8"), **rendering)
        self.log.add_user(self)

    @property
    def line_format(self) -> LineFormat | None:
        return self.replay.line_format

    def text_of(self, fields: Any) -> str:
        """Return the line of a row; empty where the file leaves it out."""
        row = read_row(fields)
        if not self.log.needs_record:
            return self.replay.render_text(row)
        return timed_message(self.replay.render_text(row), row.time)


class FileChannel(BaseChannel):
    """Rows in, lines in the shared file. Thread- and fork-safe; ``emit`` never raises."""

    def __init__(self, options: ChannelOptions) -> None:
        """Raises :class:`LedgerHeldError` where a receiver writes the file, and ``OSError``."""
        assert options.sink is not None
        super().__init__(options)
        self._lock: Any = threading.RLock()
        self._left: deque[bytes] = deque()
        self._accepted = 0
        self._outlets = [_Outlet(handler) for handler in options.sink.handlers()]
        first = self._outlets[0].line_format if len(self._outlets) == 1 else None
        self._format_id = "" if first is None else first.id
        needs = join_needs(outlet.replay.needs for outlet in self._outlets)
        renderer = None if first is None else LineRenderer(first)
        self.far_sinks = FarSinks(renderer, needs, needs.level)
        try:
            for outlet in self._outlets:
                outlet.log.open()
        except BaseException:
            for outlet in self._outlets:
                outlet.log.release(outlet)
            raise
        drop_in_children(self)

    def emit(self, row: bytes) -> None:
        """Write one record's lines. Never raises."""
        if not process_mark[0]:
            notice_fork()
        if self._lock._is_owned():
            self._left.append(row)
            return
        self._write(row)
        while self._left:
            try:
                row = self._left.popleft()
            except IndexError:  # another thread was quicker
                return
            self._write(row)

    def _write(self, row: bytes) -> None:
        try:
            fields = json.loads(row)
            lines = rendered_lines([fields], self._format_id) if self._format_id else None
            with self._lock:
                self._accepted += 1
                if lines is None:
                    lines = [outlet.text_of(fields) for outlet in self._outlets]
                elif self._outlets[0].log.needs_record:
                    lines = [timed_message(lines[0], fields[1] / 1e9)]
            for outlet, line in zip(self._outlets, lines):
                if line:
                    outlet.log.write(line)
        except Exception as error:
            report(f"a record is not in the log, since it could not be rendered: {error!r}")

    def is_inside(self) -> bool:
        return bool(self._lock._is_owned()) or any(outlet.log.is_inside for outlet in self._outlets)

    @property
    def closed(self) -> bool:
        return not process_mark[0]

    def open(self) -> None:
        if not process_mark[0]:
            notice_fork()

    def retire(self) -> None:
        self.close()

    def flush(self, timeout: float | None = None) -> bool:
        """Return whether all that was logged is in the file: nothing waits."""
        return self.totals().is_whole

    def totals(self) -> Totals:
        dropped = sum(outlet.log.dropped for outlet in self._outlets)
        return Totals(
            accepted=self._accepted,
            acknowledged=max(self._accepted - dropped, 0),
            dropped={"not written": dropped} if dropped else {},
            connected=True,
        )

    def close(self, timeout: float = 0.0, *, patient: bool = True) -> bool:
        """Close the files, which a later record opens again."""
        for outlet in self._outlets:
            outlet.log.release(outlet)
            outlet.log.add_user(outlet)
        return self.totals().is_whole

    def after_fork_in_child(self) -> None:
        """Begin anew: another thread of the parent may have held the lock."""
        self._lock = threading.RLock()
        self._left = deque()
        self._accepted = 0
