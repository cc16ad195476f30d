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

import os
import subprocess
from collections.abc import Mapping
from typing import Any

from ..detaching import HAS_BEGUN

INTERPRETER_NAMES = ["python.exe", "pythonw.exe"]
INTERPRETER_FOLDERS = ["Scripts", ""]

_NO_WINDOW = 0x08000000
_NEW_GROUP = 0x00000200
_LEAVE_JOB = 0x01000000


def start(command: list[str], environment: Mapping[str, str], stderr: int) -> Any:
    """See :func:`system.spawning.start`."""
    try:
        return _start(command, environment, stderr, _LEAVE_JOB)
    except PermissionError:  # the job keeps its processes
        return _start(command, environment, stderr, 0)


def exit_status(process: Any) -> int | None:
    """See :func:`system.spawning.exit_status`."""
    status: int | None = process.poll()
    return status


def has_begun(told: bytes, *, is_pipe_closed: bool) -> bool:
    """See :func:`system.spawning.has_begun`. The process goes on as the receiver."""
    return is_pipe_closed or HAS_BEGUN in told


def read_waiting(reader: int) -> bytes | None:
    """See :func:`system.spawning.read_waiting`. Windows tells the end of a pipe as an error."""
    try:
        count = _count_waiting(reader)
        return os.read(reader, count) if count else None
    except OSError:
        return b""


def forget_process(process: Any) -> None:
    """See :func:`system.spawning.forget_process`."""
    process.returncode = process.returncode or 0  # else Python waits for its end


def _start(
    command: list[str], environment: Mapping[str, str], stderr: int, flags: int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
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
