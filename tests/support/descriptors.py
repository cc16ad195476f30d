"""Look at the file descriptors that this process has open, to find what a test leaves open."""

from __future__ import annotations

import os


def descriptors() -> set[tuple[str, str]]:
    """Return ``(number, what it is open on)`` of each open descriptor; empty without ``/proc``."""
    found: set[tuple[str, str]] = set()
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for number in numbers:
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except OSError:
            continue  # the descriptor of the listing itself
    return found
