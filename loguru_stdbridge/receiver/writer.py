"""Render rows into lines, and hold them until the next write of the sink.

Owns the lines that are held, the line that a raw record has left open, and the retries when the
sink fails. No sockets here; :mod:`~loguru_stdbridge.receiver.sequencing` has dropped duplicates.

When the sink fails
-------------------
What is held stays held and is written again, with growing pauses: no record is given up. Meanwhile
the server reads no more records.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any, Callable, Protocol

from ..exceptions import SinkError
from ..record.row import DEFAULT_LEVEL_NO, FLAG_RAW, Row, read_row, rendered_lines
from ..record.stock import notice
from ..sink.blocks import Block, Sink
from ..sink.replay import Rendered
from ..status.pieces import Piece, Watcher, split_pieces

MAX_HELD = 4 * 1024 * 1024
"""Characters of rendered lines that are held. Beyond it a write comes before the next client."""

RETRY_START = 0.1  # seconds, after a failed write; doubled up to RETRY_MAX
RETRY_MAX = 5.0


class Renderer(Protocol):
    """Makes a record's line."""

    def render(self, row: Row) -> Rendered: ...
    def render_text(self, row: Row) -> str: ...


class Writer:
    """Rows in, blocks of lines to the sink. Used by the receiver's one thread."""

    late = 0
    """None: only what is sorted by time can come too late."""

    def __init__(
        self,
        replay: Renderer,
        sink: Sink,
        report: Callable[[str], None],
        *,
        format_id: str,
        least_level: int | None = None,
        name: str = "the sink",
        on_unreadable: Callable[[str, str], None] = lambda sender, text: None,
    ) -> None:
        """``format_id`` names the format by which workers may render lines; "": none may.

        Of those lines, this sink takes the ones of ``least_level`` and above; ``None``: all.
        ``name`` is what messages call the sink. ``on_unreadable`` is called with the sender of each
        row that cannot be read, and why.
        """
        self._replay = replay
        self._sink = sink
        self._report = report
        self._format_id = format_id
        self._least_level = least_level
        self._name = name
        self._on_unreadable = on_unreadable
        self._keeps_records = sink.needs_records
        self._blocks: list[Block] = []
        self._size = 0  # characters in self._blocks
        self._unended: list[str | None] | None = None  # whose raw text awaits its end
        self._retry_pause = 0.0
        self.retry_at = 0.0
        """Monotonic time of the next attempt, where the last one failed."""
        self.records = 0
        """Lines that were written so far, those counted that the sink's level leaves out."""
        self.left_out = 0
        """Records that the sink's level or filter has left out so far."""
        self.errors = 0
        """Writes that failed so far."""
        self.trouble = ""
        """Why the last write failed; empty where it did not."""
        self.board: Watcher | None = None
        """Who is shown what was written; see :meth:`show_to`."""
        self._unshown: list[Piece] = []  # for each text that is held, its record, for the board

    def change_look(self, replay: Renderer, format_id: str, least_level: int | None) -> None:
        """Render what comes from now on in another way; see ``__init__``."""
        self._replay, self._format_id, self._least_level = replay, format_id, least_level

    def __bool__(self) -> bool:
        """Whether it holds anything."""
        return bool(self._blocks)

    def holds(self, sender: str | None) -> bool:
        """Return whether a record of ``sender`` may be among what it holds."""
        return bool(self._blocks)

    def take_settled(self) -> Sequence[str]:
        """Return nobody: what it has written is settled when :meth:`write` returns."""
        return ()

    @property
    def writers(self) -> list[Writer]:
        """Return this one: :class:`~.several.SeveralWriters` has several."""
        return [self]

    @property
    def held(self) -> int:
        """How many lines it holds."""
        return sum(len(block.texts) for block in self._blocks)

    @property
    def lines(self) -> int:
        """Lines that were written so far: the records without those that the sink leaves out."""
        unwritten = sum(block.texts.count("") for block in self._blocks)
        return self.records - (self.left_out - unwritten)

    @property
    def sink(self) -> Sink:
        """What it writes to."""
        return self._sink

    def show_to(self, board: Watcher | None) -> None:
        """Show ``board`` from now on each record whose line is written; ``None``: nobody."""
        self.board = board
        held = self.held
        self._unshown = [Piece(None, [None] * held, 0, True)] if board is not None and held else []

    @property
    def full(self) -> bool:
        """Whether it holds so much that a write should come next."""
        return self._size > MAX_HELD

    @property
    def failing(self) -> bool:
        """Whether the sink did not take what it was given last."""
        return bool(self._retry_pause)

    def take_rows(self, sender: str, first: int, rows: Sequence[Any]) -> None:
        """Add rows, duplicates already removed, to the next write.

        Lines that their worker has rendered in this sink's format are taken as they are.
        """
        if not rows:
            return
        format_id = self._format_id
        lines = rendered_lines(rows, format_id) if format_id else None
        if lines is not None:
            if self._least_level is not None:
                lines = _lines_from(self._least_level, rows, lines)
            if self._unended is not None:
                index = next((index for index, line in enumerate(lines) if line), 0)
                lines[index] = self._end_before(sender, lines[index])
            block = self._block(sender, first)
            block.texts.extend(lines)
            size = sum(map(len, lines)) + 64 * len(lines)
            self._size += size
            if self.board is not None:
                shown = rows
                if self._least_level is not None:
                    shown = [row if line else None for row, line in zip(rows, lines)]
                self._unshown.append(Piece(sender, shown, size, shown is not rows))
            return
        for number, fields in enumerate(rows, first):
            try:
                row = read_row(fields)
            except Exception as error:  # a RowError, or a bug: the number needs a line all the same
                text = f"record {number} of sender {sender[:8]} could not be read: {error}"
                row = _notice(text)
                self._on_unreadable(sender, text)
            self.take(row, sender, number)

    def take_gap(self, sender: str, first: int, last: int, why: str) -> None:
        """Tell, in the place of the numbers ``first`` to ``last``, how many records are missing."""
        self.take_notice(f"{last - first + 1} records of sender {sender[:8]} {why}", sender, last)

    def take_notice(self, text: str, sender: str, sequence: int) -> None:
        """Add a WARNING record of the receiver's own, about what a sender's records lack."""
        self.take(_notice(text), sender, sequence)

    def take(self, row: Row, sender: str | None, sequence: int) -> None:
        """Render one record; ``sender`` is ``None`` for a stock client's."""
        record: Any = None
        if self._keeps_records:
            text, record = self._replay.render(row)
        else:
            text = self._replay.render_text(row)
        if self._unended is not None:
            text = self._end_before(sender, text)
        if row.flags & FLAG_RAW and text[-1:] not in ("", "\n"):
            self._unended = [sender]
        block = self._block(sender, sequence)
        block.texts.append(text)
        self._size += len(text) + 64
        if not text:
            self.left_out += 1
        if self.board is not None:
            self._unshown.append(Piece(sender, [row if text else None], len(text) + 64, not text))
        if self._keeps_records:
            block.records.append(record)
            self._size += 2000

    def take_stock(self, rows: Sequence[Row]) -> None:
        """Render records of stock clients, one behind the other."""
        if self._keeps_records or self._unended is not None:
            for row in rows:
                self.take(row, None, 0)
            return
        texts = list(map(self._replay.render_text, rows))
        self._block(None, 0).texts.extend(texts)
        size = sum(map(len, texts)) + 64 * len(texts)
        self._size += size
        self.left_out += texts.count("")
        if self.board is not None:
            shown = [row if text else None for row, text in zip(rows, texts)]
            self._unshown.append(Piece(None, shown, size, True))

    def _end_before(self, sender: str | None, text: str) -> str:
        """End the line that a raw record has left open, unless its own sender goes on with it."""
        whose, self._unended = self._unended, None
        if not text:
            self._unended = whose
            return text
        return text if whose == [sender] else f"\n{text}"

    def _block(self, sender: str | None, first: int) -> Block:
        """Return the block for the line of ``sender`` with this number."""
        blocks = self._blocks
        if blocks:
            last = blocks[-1]
            if last.sender == sender and (sender is None or last.first + len(last.texts) == first):
                return last
        block = Block(sender, first, [], [])
        blocks.append(block)
        return block

    def write(self) -> bool:
        """Write what is held, if it is time. Never raises.

        Return whether every client is concerned: the sink failed, or it works again.
        """
        if not self._blocks:
            return False
        began = time.monotonic()
        if began < self.retry_at:
            return False
        try:
            self.records += self._sink.write(self._blocks)
        except SinkError as error:
            self._failed(error)
            return True
        if self.board is not None:
            self.board.note_write(time.monotonic() - began)
            unshown, self._unshown = self._unshown, []
            self.board.show(unshown)
        self._blocks, self._size = [], 0
        if not self._retry_pause:
            return False
        self._report(f"{self._name} takes records again")
        self._retry_pause = self.retry_at = 0.0
        self.trouble = ""
        return True

    def _failed(self, error: SinkError) -> None:
        self.records += error.written
        self.errors += 1
        self.trouble = str(error)
        self._blocks = _after(self._blocks, error.written)
        if self.board is not None:
            shown, self._unshown = split_pieces(self._unshown, error.written)
            self.board.show(shown)
        if not self._retry_pause:
            self._report(f"{error}; trying again until it works, no record is given up")
        self._retry_pause = min(max(2 * self._retry_pause, RETRY_START), RETRY_MAX)
        self.retry_at = time.monotonic() + self._retry_pause


def _lines_from(least: int, rows: Sequence[Any], lines: list[str]) -> list[str]:
    """Return the lines of rendered rows of that level and above; an empty text for each other."""
    levels = [row[2] if type(row[2]) is int else DEFAULT_LEVEL_NO for row in rows]
    return [line if level >= least else "" for level, line in zip(levels, lines)]


def _notice(text: str) -> Row:
    return notice(text, time.time(), os.getpid())


def _after(blocks: Sequence[Block], written: int) -> list[Block]:
    """Return what is left of ``blocks`` behind the first ``written`` lines."""
    left: list[Block] = []
    for block in blocks:
        gone = min(written, len(block.texts))
        written -= gone
        if gone < len(block.texts):
            left.append(block.rest(gone))
    return left
