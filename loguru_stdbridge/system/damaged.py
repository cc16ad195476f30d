"""Keep a damaged file or directory for a human to look at, under a name that says what it is.

Nothing else here. Who finds the damage tells the operator where the file is kept.
"""

from __future__ import annotations

import os
import time


def free_damaged_name(path: str) -> str:
    """Return ``path`` with ``.damaged-``, the time in seconds and a count: a name not yet taken."""
    stem = f"{path}.damaged-{int(time.time())}"
    count = 1
    while os.path.lexists(f"{stem}-{count}"):
        count += 1
    return f"{stem}-{count}"


def set_aside(path: str, *, beside: str | None = None) -> str:
    """Rename ``path`` to a free damaged name beside it, or beside ``beside``; return that name.

    Raises ``OSError`` where it cannot be renamed.
    """
    aside = free_damaged_name(path if beside is None else beside)
    os.rename(path, aside)
    return aside
