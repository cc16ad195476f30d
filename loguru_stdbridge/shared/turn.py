"""What waits to be written, and the writing of it, while this process has its turn.

Called with the log's common lock held, but for what only looks at the queue.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import Any

from ..system.common_lock import CommonLock
from ..system.stderr import tell_operator
from .log_file import CurrentFile, FileSettings

MAX_BATCH = 1000
"""Lines of a write, at most."""

PLACE_CHECK = 1.0
"""Seconds after which the lock file is looked for at its path again."""

RETRY = 5.0
"""Seconds from a failed rotation to the next attempt."""

SPEAKER = "loguru_stdbridge"


class Line:
    """A line that waits, and whether it is dealt with."""

    __slots__ = ("is_done", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_done = False


class Turn:
    """What one process has of the log. A forked child makes its own."""

    def __init__(self, settings: FileSettings, lock_path: str, name: str) -> None:
        """``name`` is what the log is called in messages."""
        self.mutex: Any = threading.RLock()
        self.waiting: deque[Line] = deque()
        self.is_reentered = False
        self.lock = CommonLock(lock_path)
        self.file = CurrentFile(settings, self.lock)
        self.batch: list[Line] = []
        self.checked_at = -PLACE_CHECK
        self.rotated: deque[str] = deque()
        self.is_refused = False
        self.rotate_after = 0.0
        self.given_up = 0  # since the last notice
        self.reason = ""
        self.dropped = 0
        """Lines that went to stderr so far."""
        self._name = name
        self._encode = settings.encoder.encode
        self._never_rotates = settings.condition.never

    def next_batch(self) -> list[Line]:
        """Return the lines that wait, without those that a call cut short has left behind."""
        waiting = self.waiting
        while waiting and waiting[0].is_done:
            waiting.popleft()
        if len(waiting) == 1:
            return [waiting[0]]
        count = min(len(waiting), MAX_BATCH)
        return [line for line in (waiting[index] for index in range(count)) if not line.is_done]

    def settle(self) -> None:
        """Find out whether the write that something has cut short is in the file."""
        if self.file.has_arrived():
            for line in self.batch:
                line.is_done = True
        self.file.under_way = None

    def write_waiting(self) -> None:
        """Write one batch, with the lock held. Raises ``OSError``."""
        lines = self.next_batch()
        file, encode = self.file, self._encode
        position = file.look()
        if self.given_up:
            lines.insert(0, Line(self._notice()))
        texts: list[bytes] = []
        ahead: list[Line] = []
        is_fresh = self._never_rotates
        for line in lines:
            if not is_fresh and self._wants_rotation(line.text, position, ahead, texts):
                self._flush(ahead, texts)
                is_fresh = self._rotate()
                position = file.size
            else:
                is_fresh = self._never_rotates
            data = encode(line.text)
            texts.append(data)
            ahead.append(line)
            position += len(data)
        self._flush(ahead, texts)

    def _wants_rotation(
        self, text: str, position: int, ahead: list[Line], texts: list[bytes]
    ) -> bool:
        file = self.file
        if self.rotate_after and time.monotonic() < self.rotate_after:
            return False
        if not file.condition.has_function:
            return file.wants_rotation(text, position)
        self._flush(ahead, texts)  # the function may look at the file
        try:
            return file.wants_rotation(text, position)
        except Exception as error:
            self._tell_failed_rotation(error)
            return False

    def _flush(self, lines: list[Line], texts: list[bytes]) -> None:
        """Write the lines in hand and mark them. Raises ``OSError``."""
        if not lines:
            return
        self.batch = list(lines)
        count, error = self.file.append(texts)
        waiting = self.waiting
        for line in self.batch[:count]:
            line.is_done = True
        self.file.under_way = None
        while waiting and waiting[0].is_done:
            waiting.popleft()
        if count and self.given_up:
            self.given_up = 0
        lines.clear()
        texts.clear()
        if error is not None:
            raise error

    def _rotate(self) -> bool:
        """Rotate; return whether that worked. Raises ``OSError`` where no file is open then."""
        try:
            self.rotated.append(self.file.rotate())
        except OSError as error:
            self.file.look()
            self.file.is_due = True
            self._tell_failed_rotation(error)
            return False
        self.rotate_after = 0.0
        return True

    def _tell_failed_rotation(self, error: Exception) -> None:
        if not self.rotate_after:
            tell_operator(
                SPEAKER,
                f"a rotation of {self.file.path} failed: {said_by(error)}; lines go on into the "
                f"same file, and the rotation is tried again each {RETRY:g} s",
            )
        self.rotate_after = time.monotonic() + RETRY

    def give_up(self, lines: list[Line], reason: str) -> None:
        """Write lines to stderr, which the file does not take, and count them."""
        for line in lines:
            line.is_done = True
            text = line.text.rstrip("\n")
            tell_operator(SPEAKER, f"{self._name}: not in the file, {reason}: {text}")
        self.given_up += len(lines)
        self.dropped += len(lines)
        self.reason = reason
        while self.waiting and self.waiting[0].is_done:
            self.waiting.popleft()

    def _notice(self) -> str:
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        return (
            f"{stamp}.{int(now * 1000) % 1000:03d} | WARNING  | loguru_stdbridge - "
            f"{self.given_up} records of process {os.getpid()} are missing here, and went to its "
            f"stderr: {self.reason}\n"
        )


def said_by(error: Exception) -> str:
    """Return an error as messages show it."""
    return f"{type(error).__name__}: {error}"
