"""Tell the operator something on stderr: a line that no terminal obeys, for which nobody waits.

The log itself may be what is out of order, so the package's own words never go into it. stderr may
be a pipe that nobody reads any more, or a terminal that is stopped with Ctrl-S: a write there waits
for ever.

Why nobody waits
----------------
* A worker says little and has to keep its threads few. :func:`tell_operator` asks whether stderr
  takes a line now, and writes one that fits. Between the two another process may fill the same
  pipe; then the write waits as any line of the application's own does.
* A receiver serves others and must not wait even then. :class:`StderrThread` writes in a thread of
  its own. That thread may wait for ever, and harms nothing: it holds no lock while it writes.

``O_NONBLOCK`` would be no way: it belongs to the open file description, which is shared with other
processes, and their writes would fail. What cannot be written is counted and said later.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections import deque

from .forks import drop_in_children
from .signals import start_thread

MAX_LINE = 4096
"""Bytes of a line. That many go into a pipe in one piece (``PIPE_BUF`` of Linux), or wait."""

MAX_WAITING = 100
"""Lines that wait for a stderr that takes none."""

IDLE_TIMEOUT = 1.0
"""Seconds after which the thread ends if there is nothing to write."""

_left_out = 0


def tell_operator(speaker: str, text: str) -> None:
    """Write ``speaker: text`` as one line to the stderr that the process began with, if it can.

    Not ``sys.stderr``: applications put a stream there that logs. Never raises: stderr may be
    closed, and the log goes on without it.
    """
    global _left_out
    if not _takes_a_line():
        _left_out += 1
        return
    left_out, _left_out = _left_out, 0
    if left_out:
        text = f"{text} ({left_out} messages before this one could not be written)"
    _write(_line(speaker, text))


class StderrThread:
    """Writes lines to stderr for one speaker. Thread-safe; safe in signal handlers and forks."""

    def __init__(self, speaker: str) -> None:
        """``speaker`` begins each line. The thread starts with the first one."""
        self._speaker = speaker
        self.after_fork_in_child()
        drop_in_children(self)

    def after_fork_in_child(self) -> None:
        """Begin anew: the lines that wait are the parent's, and its thread is not here."""
        self._pid = os.getpid()
        self._changed = threading.Condition()  # re-entrant: a signal handler may speak, too
        self._lines: deque[bytes] = deque()
        self._left_out = 0
        self._running = False
        self._busy = False

    def tell(self, text: str) -> None:
        """Have ``text`` written. Never waits, never raises."""
        if self._pid != os.getpid():  # a fork that called no hook
            self.after_fork_in_child()
        line = _line(self._speaker, text)
        with self._changed:
            if len(self._lines) >= MAX_WAITING:
                self._left_out += 1
                return
            self._lines.append(line)
            self._changed.notify_all()
            if self._running:
                return
            self._running = True
            try:
                start_thread(
                    threading.Thread(target=self._run, name="loguru_stdbridge-stderr", daemon=True)
                )
            except RuntimeError:  # no thread can be started: at shutdown, or at a limit
                self._running = False
                self._lines.pop()
                tell_operator(self._speaker, text)

    def flush(self, timeout: float) -> bool:
        """Wait up to ``timeout`` seconds until all is written; return whether it is."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._running or not (self._lines or self._busy), timeout
            )

    def _run(self) -> None:
        changed = self._changed  # the parent's thread keeps the parent's
        while True:
            with changed:
                self._busy = False
                changed.notify_all()
                if not changed.wait_for(lambda: bool(self._lines), IDLE_TIMEOUT):
                    self._running = False
                    return
                line = self._lines.popleft()
                if self._left_out and not self._lines:
                    line += _line(
                        self._speaker,
                        f"{self._left_out} messages were left out while stderr took none",
                    )
                    self._left_out = 0
                self._busy = True
            _write(line)


def printable(text: str) -> str:
    """Return ``text`` in printable ASCII: what a stranger sent must not control a terminal."""
    safe = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(char if " " <= char <= "~" else f"\\x{ord(char):02x}" for char in safe)


def _line(speaker: str, text: str) -> bytes:
    line = f"{speaker}: {printable(text[:MAX_LINE])}"
    if len(line) >= MAX_LINE:
        line = f"{line[: MAX_LINE - 4]}..."
    return f"{line}\n".encode("ascii", "replace")


def _takes_a_line() -> bool:
    """Return whether a line can be written without waiting, as far as the system tells.

    Not into a pipe that has no reader: a program that has given SIGPIPE its default back would end.
    """
    if sys.platform == "win32" or not hasattr(select, "poll"):
        return True
    with contextlib.suppress(Exception):
        stream = sys.__stderr__
        assert stream is not None
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
        ready = poll.poll(0)
        return bool(ready) and not ready[0][1] & select.POLLERR
    return True


def _write(line: bytes) -> None:
    with contextlib.suppress(Exception):
        stream = sys.__stderr__
        assert stream is not None
        try:
            descriptor = stream.fileno()
        except Exception:  # no file: some hosts of Python put an object of their own here
            stream.write(line.decode("ascii"))
            stream.flush()
            return
        # Past the stream: its buffer has a lock, which the end of the interpreter waits for.
        while line:
            line = line[os.write(descriptor, line) :]
