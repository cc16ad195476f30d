"""Start the receiver as a process that depends on nobody, and learn whether it could begin.

Why it outlives whoever has started it
--------------------------------------
* It has no window, and no console of the starter's: nothing that is typed or closed there ends it.
* It leaves the starter's job where the job lets it. A job may say that it ends all of its processes
  with the first; then the receiver ends with them, and the next process that logs starts another.
* It inherits nothing but a pipe for its stderr, and lets go of that when it has begun.

How it is known that it has begun
---------------------------------
A receiver that cannot begin says why, and ends: its exit status is known then. One that has begun
says so by one byte, closes the pipe and goes on, so nobody waits for its end. The end of the pipe
alone would not do: the ``python.exe`` of a virtual environment is a program that starts another,
and holds the pipe as long as that one runs.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from ..detaching import HAS_BEGUN

_KEPT_BYTES = 4000
_NO_WINDOW = 0x08000000
_NEW_GROUP = 0x00000200
_LEAVE_JOB = 0x01000000
_BEGUN = 0


class SpawnedProcess:
    """A process that may become a receiver. Used by the sender's thread."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it. Raises ``OSError``."""
        reader, writer = os.pipe()
        try:
            try:
                self._process = _start(command, environment, writer, _LEAVE_JOB)
            except PermissionError:  # the job keeps its processes
                self._process = _start(command, environment, writer, 0)
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
        """Return its exit status when it has ended, and 0 when it has begun."""
        status = self._process.poll()  # first: what it has said is in the pipe when it has ended
        while self._read():
            pass
        if status is None and self._reader >= 0 and HAS_BEGUN not in self._told:
            return None
        self.close()
        return _BEGUN if status is None else status

    def close(self) -> None:
        """Close the pipe, and let the process go on."""
        reader, self._reader = self._reader, -1
        if reader >= 0:
            os.close(reader)
        process: Any = self._process
        process.returncode = process.returncode or 0  # else its end would be waited for

    def _read(self) -> bool:
        """Read what is in the pipe; close it where it has ended. Return whether more may be."""
        if self._reader < 0:
            return False
        data = b""
        with contextlib.suppress(OSError):
            count = _count_waiting(self._reader)
            if not count:
                return False
            data = os.read(self._reader, count)
        if not data:
            reader, self._reader = self._reader, -1
            os.close(reader)
        self._told = (self._told + data)[-_KEPT_BYTES:]
        return bool(data)


def _start(
    command: Sequence[str], environment: Mapping[str, str], stderr: int, flags: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command),
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        creationflags=flags | _NO_WINDOW | _NEW_GROUP,
    )


def _count_waiting(descriptor: int) -> int:
    """Return how many bytes a pipe holds. Raises ``OSError`` at its end."""
    winapi: Any = __import__("_winapi")
    msvcrt: Any = __import__("msvcrt")
    return int(winapi.PeekNamedPipe(msvcrt.get_osfhandle(descriptor), 0)[0])
