"""Wait until something comes true, and fail with a reason where it does not."""

from __future__ import annotations

import threading
import time
from typing import Callable


def wait_until(condition: Callable[[], object], timeout: float = 30.0, what: str = "") -> None:
    """Poll ``condition`` until it holds; fail with ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        threading.Event().wait(0.005)
