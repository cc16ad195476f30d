"""Prints each record that is written on the receiver's own stdout, in colour: ``--console``.

A thread prints, so a terminal that takes nothing holds up nothing: what it misses is told, and is
in the file.
"""

from __future__ import annotations

import contextlib
import os
import threading

from ..system.forks import drop_in_children
from .board import Board, Chunk
from .shown import Showing
from .terminal import Colouring, render_record

LOOK_PAUSE = 0.1
"""Seconds between two looks at what is new."""

STDOUT = 1


class Console:
    """Prints what its board is shown."""

    def __init__(self, template: str | None, colours: Colouring | None = None) -> None:
        """``template`` is the sink's format."""
        self.board = Board()
        self._showing = Showing(template)
        self._colours = Colouring() if colours is None else colours
        self._printed = 0  # the number of the last record that was printed
        self._ending = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="loguru_stdbridge-console", daemon=True
        )
        drop_in_children(self)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def after_fork_in_child(self) -> None:
        """Print nothing in a child: its thread is the parent's."""
        self._ending.set()

    def close(self, timeout: float = 1.0) -> None:
        """Print what is left, for ``timeout`` seconds at most. May be called again."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _run(self) -> None:
        with contextlib.suppress(OSError):  # nobody reads it any more
            while True:
                is_last = self._ending.wait(LOOK_PAUSE)
                for chunk in self.board.take():
                    self._print(chunk)
                if is_last:
                    return

    def _print(self, chunk: Chunk) -> None:
        missed = chunk.first - 1 - self._printed
        lines = []
        if missed > 0:
            lines.append(self._colours.paint(f"-- {missed:,} left out: too fast --", "yellow"))
        for index in range(len(chunk.rows)):
            lines.append(render_record(self._showing.show(chunk, index), self._colours))
        self._printed = chunk.last
        data = memoryview(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
        while data:
            data = data[os.write(STDOUT, data) :]
