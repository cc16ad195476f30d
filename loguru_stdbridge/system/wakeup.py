"""Wake a thread that sleeps on a selector: register a :class:`WakeUp`, call :meth:`WakeUp.wake`.

A socket pair rather than a pipe, since selectors on Windows watch sockets only.
"""

from __future__ import annotations

import socket


class WakeUp:
    """One thread sleeps on it; any thread or signal handler may wake that thread.

    Not for use across a fork: a child closes its copy.
    """

    __slots__ = ("_reader", "_writer")

    def __init__(self) -> None:
        """Raises ``OSError`` where the process may open no more files."""
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor that a selector watches for reading."""
        return self._reader.fileno()

    def wake(self) -> None:
        """Make the selector return. Never blocks, never raises."""
        try:  # log calls come here: ``contextlib.suppress`` would cost three calls more
            self._writer.send(b"\0")
        except OSError:  # full: the thread is being woken already; closed: it has ended
            pass

    def drain(self) -> None:
        """Forget the calls so far, before looking at what they were about. Never blocks."""
        try:
            self._reader.recv(4096)
        except OSError:
            pass

    def close(self) -> None:
        """Close both ends. Later calls of :meth:`wake` do nothing."""
        self._reader.close()
        self._writer.close()
