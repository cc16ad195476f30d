"""One process that was started for a receiver: its end, and what it said of it.

Started without a fork of this one (``posix_spawn``), with no descriptor of ours but a pipe for its
stderr. The receiver itself lets go of that pipe (:mod:`~loguru_stdbridge.system.detaching`). What
comes through it is the reason why none could begin. On Windows
:mod:`~loguru_stdbridge.system.windows.spawning` takes its part.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

_MAX_TOLD = 4000
"""Bytes of what the process said that are kept, from the end."""

KILLED_STATUS = 1
"""The exit status where the receiver has ended before it could tell."""

LOST_STATUS = -1
"""Stands for the exit status of a process that somebody else has waited for."""


def find_interpreters() -> list[str]:
    """Return where this Python's program may be, best first."""
    names = [f"python{sys.version_info[0]}.{sys.version_info[1]}", "python3", "python"]
    folders = ["bin", ""]
    if os.name == "nt":
        names, folders = ["python.exe", "pythonw.exe"], ["Scripts", ""]
    places = [os.path.join(sys.prefix, folder) for folder in folders]
    places += [os.path.join(sys.base_prefix, folder) for folder in folders]
    return [os.path.join(place, name) for place in dict.fromkeys(places) for name in names]


def _spawn(command: list[str], environment: Mapping[str, str], streams: Sequence[Any]) -> int:
    """Start a process in a session of its own, where the system can do that in this step.

    Until it has done so by itself, the hang-up of this session's terminal would end it.
    """
    start = partial(os.posix_spawn, command[0], command, environment, file_actions=streams)
    try:
        return start(setsid=True)
    except NotImplementedError:
        return start()


class SpawnedProcess:
    """A child process. Used by the sender's thread."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raises ``OSError``."""
        reader, writer = os.pipe()
        try:
            os.set_blocking(reader, False)
            streams = [
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, writer, 2),
            ]
            self._pid = _spawn(list(command), environment, streams)
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
        """Return its exit status when it has ended; then it is waited for, and the pipe closed."""
        self._read()
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except OSError:
            self.close()
            return LOST_STATUS
        if not pid:
            return None
        self._read()
        self.close()
        return status >> 8 if status & 0x7F == 0 else 128 + (status & 0x7F)

    def close(self) -> None:
        """Close the pipe."""
        reader, self._reader = self._reader, -1
        if reader >= 0:
            os.close(reader)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # nothing is there now
            while self._reader >= 0:
                data = os.read(self._reader, 65536)
                if not data:
                    break
                self._told = (self._told + data)[-_MAX_TOLD:]


if not hasattr(os, "posix_spawn"):
    from .windows.spawning import SpawnedProcess  # type: ignore[assignment]  # noqa: F401
