"""How many sockets a process may have. Asked by the receiver alone."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

_resource: Any = None
with contextlib.suppress(ImportError):  # Windows has none
    import resource as _resource

SELECT_LIMIT = 512
"""Sockets that one ``select()`` of Python's on Windows takes (``FD_SETSIZE``)."""


def socket_limit() -> int | None:
    """Return how many files and sockets this process may have open; ``None`` for no limit."""
    if sys.platform == "win32":
        return SELECT_LIMIT
    if _resource is None:
        return None
    limit = _resource.getrlimit(_resource.RLIMIT_NOFILE)[0]
    return None if limit == _resource.RLIM_INFINITY else int(limit)
