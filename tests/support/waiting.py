"""Wait until something comes true, and fail with a reason where it does not."""

from __future__ import annotations

import threading
import time
from typing import Callable


def wait_until(condition: Callable[[], object], timeout: float = 30.0, what: str = "") -> None:
    """Poll ``condition`` until it holds; fail with ``what`` after ``timeout`` seconds.

    The pauses grow up to a twentieth of a second: some conditions look at all processes.
    """
    deadline, pause = time.monotonic() + timeout, 0.002
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        threading.Event().wait(pause)
        pause = min(pause * 1.3, 0.05)
