"""Shows that a receiver stands by, while another one writes its log.

A standby has no loop yet. The wait for the sink's lock asks many times a second whether to go on,
and that is where it notes that it is alive. Once the lock is its own, this listener ends, and the
receiver's own one takes the address: viewers connect again.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Callable

from .._version import __version__
from ..status.state import ReceiverState, SinkState
from .status_service import StatusService

if TYPE_CHECKING:
    from ..status.board import Board
    from ..status.listener import StatusListener


class Standby:
    """Waits for a log, and shows that. Used by the thread that opens the receiver."""

    def __init__(
        self, path: str, wait: Callable[[], bool], shown: StatusService, spool_dir: str | None
    ) -> None:
        """``path`` is the log's; ``wait`` says whether to go on waiting."""
        self._path = path
        self._go_on = wait
        self._shown = shown
        self._spool_dir = spool_dir
        self._started = time.time()
        self._board: Board | None = None
        self._listener: StatusListener | None = None
        self._has_begun = False

    def wait(self) -> bool:
        """Return whether to go on waiting."""
        if not self._has_begun:
            self._has_begun = True
            with contextlib.suppress(OSError):  # the one that writes may show its own there
                self._board, self._listener = self._shown.make_apart()
        if self._board is not None:
            self._board.note_round(time.monotonic())
            if self._board.is_picture_wanted:
                self._board.put_picture(self._paint())
        return self._go_on()

    def close(self) -> None:
        """End the listener. May be called again."""
        if self._listener is not None:
            self._listener.close()

    def _paint(self) -> ReceiverState:
        why = f"standing by: {self._path} is written by another process"
        sink = SinkState(
            path=self._path, is_writing=False, trouble=why, errors=0, records=0, bytes=0,
            rotations=0, size=None, limit=None,
        )  # fmt: skip
        return ReceiverState(
            version=__version__,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=self._started,
            made=time.time(),
            log=self._path,
            sinks=(sink,),
            addresses=(),
            is_ending=False,
            written=0,
            bytes=0,
            duplicates=0,
            refused={},
            given_up={},
            held=0,
            connections=0,
            workers=(),
            spool_dir=self._spool_dir,
            is_standby=True,
        )
