"""Look at the receiver: its picture of itself, with the backlogs of its workers' journals."""

from __future__ import annotations

from ..spool.backlog import SpoolBacklog
from .board import PICTURE_TIMEOUT, Board
from .state import ReceiverState


class Look:
    """Looks at one receiver. Used by one thread, which is not the receiver's."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._backlog: SpoolBacklog | None = None

    def __call__(self, timeout: float = PICTURE_TIMEOUT) -> ReceiverState | None:
        """Return the state of now, or the last one known; ``None`` where there is none yet."""
        state = self._board.picture(timeout)
        if state is None or state.spool_dir is None:
            return state
        if self._backlog is None:
            self._backlog = SpoolBacklog(state.spool_dir)
        waiting = self._backlog.count({worker.id for worker in state.workers if worker.id})
        workers = (worker._replace(backlog=waiting.get(worker.id)) for worker in state.workers)
        return state._replace(workers=tuple(workers))
