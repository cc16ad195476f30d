"""Tell the operator something on stderr, in one line that no terminal obeys.

The log itself may be what is out of order, so the package's own words never go into it.
"""

from __future__ import annotations

import contextlib
import sys


def tell_operator(speaker: str, text: str) -> None:
    """Write ``speaker: text`` as one line to the stderr that the process began with.

    Not ``sys.stderr``: applications put a stream there that logs. Never raises: stderr may be
    closed, and the log goes on without it.
    """
    with contextlib.suppress(Exception):
        stream = sys.__stderr__
        assert stream is not None
        stream.write(f"{speaker}: {printable(text)}\n")
        stream.flush()


def printable(text: str) -> str:
    """Return ``text`` in printable ASCII: what a stranger sent must not control a terminal."""
    safe = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(char if " " <= char <= "~" else f"\\x{ord(char):02x}" for char in safe)
