"""Run a command beside the receiver: start it, hand signals on, learn how it has ended.

Used by the main thread and its signal handlers. So nothing here runs at the same time as anything
else here, and no process is signalled after it has been waited for.

The receiver may be the first process of a container, or the one that the system gives orphaned
processes to (a subreaper). So it waits for every child that ends, not for its command alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Callable

from ..system.signals import TELLS_OF_CHILDREN, ended_child
from .group_witness import GroupWitness


class Command:
    """A command that may be running. ``on_end`` is called once, when it has ended."""

    def __init__(self, arguments: Sequence[str], on_end: Callable[[], None]) -> None:
        self.arguments = list(arguments)
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = False
        self._early: list[int] = []  # signals to hand on once it is started
        self._witness: GroupWitness | None = None
        self.status = 0
        """How the command has ended, as a shell tells it: 128 + n after signal n."""

    @property
    def pid(self) -> int | None:
        """The process id of the command, once it is started."""
        return None if self._process is None else self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    def start(
        self,
        environment: Mapping[str, str],
        ignored: Iterable[int] = (),
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Start it, if it ``is_wanted`` still; return whether it was started.

        ``ignored`` are signals that it ignores until it says otherwise. Raises ``OSError`` if it
        cannot be run.
        """
        self._witness = GroupWitness()
        handlers = {number: signal.getsignal(number) for number in ignored}
        self._starting = True  # from now on signals wait; reap() would not know it yet
        try:
            if not is_wanted():
                return False
            for number in handlers:
                signal.signal(number, signal.SIG_IGN)
            self._process = subprocess.Popen(self.arguments, env=dict(environment))
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            self._starting = False
        for number in self._early:
            self.send(number)
        if TELLS_OF_CHILDREN:
            self.reap()
        else:
            threading.Thread(target=self._wait, daemon=True).start()
        return True

    def forward(self, number: int) -> bool:
        """Hand a signal on, unless the command got it too; return whether the command runs.

        A signal that comes while the command is being started is sent once it is. Whether the
        command was there when its group got the signal is not known then; a second one does little
        harm at the start, and a missing one would.
        """
        if self._starting:
            self._early.append(number)
            return True
        if not self.running:
            return False
        assert self._process is not None
        if self._witness is None or not self._witness.has_seen(number):
            self.send(number)
        return True

    def send(self, number: int) -> None:
        """Send a signal to the command, if it runs."""
        if self.running:
            assert self._process is not None
            with contextlib.suppress(OSError):
                os.kill(self._process.pid, number)

    def reap(self) -> None:
        """Wait for every child that has ended. The handler of SIGCHLD calls it."""
        while not self._starting:
            ended = ended_child()
            if ended is None:
                return
            pid, code = ended
            if self._witness is not None:
                self._witness.note_end(pid, code)
            if self._process is not None and pid == self._process.pid:
                self._end(code)

    def _wait(self) -> None:
        assert self._process is not None
        self._end(self._process.wait())

    def _end(self, code: int) -> None:
        assert self._process is not None
        self._process.returncode = code
        self.status = 128 - code if code < 0 else code
        self._on_end()

    def close(self) -> None:
        """End the witness. A command that runs still goes on."""
        if self._witness is not None:
            self._witness.close()
