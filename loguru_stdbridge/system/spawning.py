"""One process that was started for a receiver: its end, and what it said of it.

It has no descriptor of ours but a pipe for its stderr. The receiver itself lets go of that pipe
(:mod:`~loguru_stdbridge.system.detaching`). What comes through it is the reason why none could
begin. How a process is started and waited for is here for POSIX, where nothing is forked for it
(``posix_spawn``), and in :mod:`~loguru_stdbridge.system.windows.spawning` for Windows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .files import move_descriptor
from .pipes import never_wait

_MAX_TOLD = 4000
"""Bytes of what the process said that are kept, from the end."""

KILLED_STATUS = 1
"""The exit status where the receiver has ended before it could tell."""

LOST_STATUS = -1
"""Stands for the exit status of a process that somebody else has waited for."""

if sys.platform == "win32" or not hasattr(os, "posix_spawn"):
    from .windows.spawning import (
        INTERPRETER_FOLDERS,
        INTERPRETER_NAMES,
        exit_status,
        forget_process,
        has_begun,
        read_waiting,
        start,
    )
else:
    INTERPRETER_NAMES = [f"python{sys.version_info[0]}.{sys.version_info[1]}", "python3", "python"]
    """What this Python's program may be called, the likeliest first."""

    INTERPRETER_FOLDERS = ["bin", ""]
    """Where it may be within an environment."""

    def start(command: list[str], environment: Mapping[str, str], stderr: int) -> Any:
        """Start a process; return what the other functions know it by. Raises ``OSError``.

        It has a session of its own, where the system can do that in this step. Until it has done so
        by itself, the hang-up of this session's terminal would end it.
        """
        streams = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, stderr, 2),
        ]
        try:
            return os.posix_spawn(
                command[0],
                command,
                environment,
                file_actions=streams,
                setsid=True,
                setsigmask=(),  # else it would block what the sender's thread blocks
            )
        except NotImplementedError:
            return os.posix_spawn(
                command[0], command, environment, file_actions=streams, setsigmask=()
            )

    def exit_status(process: Any) -> int | None:
        """Return how the process has ended; ``None`` while it runs. It is waited for then."""
        try:
            pid, status = os.waitpid(process, os.WNOHANG)
        except OSError:
            return LOST_STATUS
        if not pid:
            return None
        return status >> 8 if status & 0x7F == 0 else 128 + (status & 0x7F)

    def has_begun(told: bytes, *, is_pipe_closed: bool) -> bool:
        """Return whether the process has become a receiver, by what it told, and will not end.

        Here it ends in either case: the receiver is a child of its own.
        """
        return False

    def read_waiting(reader: int) -> bytes | None:
        """Return what is in a pipe, ``b""`` at its end, and ``None`` where nothing is there now."""
        try:
            return os.read(reader, 65536)
        except OSError:
            return None

    def forget_process(process: Any) -> None:
        """Forget the process: it is not waited for any more."""


def find_interpreters() -> list[str]:
    """Return where this Python's program may be, best first."""
    prefixes = (sys.prefix, sys.base_prefix)
    places = [os.path.join(prefix, name) for prefix in prefixes for name in INTERPRETER_FOLDERS]
    return [
        os.path.join(place, name) for place in dict.fromkeys(places) for name in INTERPRETER_NAMES
    ]


class SpawnedProcess:
    """A process that may become a receiver. Used by the sender's thread."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raises ``OSError``."""
        reader, writer = map(move_descriptor, os.pipe())
        try:
            never_wait(reader)
            self._process = start(list(command), environment, writer)
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        self._reader = reader
        self._told = b""

    @property
    def told(self) -> str:
        """The last line of what it has said."""
        lines = self._told.decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""

    def poll(self) -> int | None:
        """Return its exit status when it has ended, 0 when it has begun; close the pipe then."""
        status = exit_status(self._process)  # first: all that it has said is in the pipe then
        self._read()
        if status is None and has_begun(self._told, is_pipe_closed=self._reader < 0):
            status = 0
        if status is not None:
            self.close()
        return status

    def close(self) -> None:
        """Close the pipe, and let the process go on."""
        self._close_pipe()
        forget_process(self._process)

    def _close_pipe(self) -> None:
        reader, self._reader = self._reader, -1
        if reader >= 0:
            os.close(reader)

    def _read(self) -> None:
        """Read what is in the pipe; close it where it has ended."""
        while self._reader >= 0:
            data = read_waiting(self._reader)
            if data is None:
                return
            if not data:
                self._close_pipe()
            self._told = (self._told + data)[-_MAX_TOLD:]
