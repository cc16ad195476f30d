"""Kills a piece of code at each of its steps on disk, one after the other, in a forked child.

A step is an operation on a file under a directory: an audit event of the interpreter's before it is
done, or a part of a write. This module names nothing of the product, so a step that is added to the
product is killed at, too.
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

_EVENTS = frozenset({
    "open", "os.rename", "os.remove", "os.link", "os.symlink", "os.mkdir", "os.rmdir", "os.truncate",
    "os.utime", "os.setxattr", "shutil.rmtree",
})  # fmt: skip
_DIED, _FAILED = 9, 1


def kills(scenario: Callable[[Path], None], directory: Path) -> Iterator[Path]:
    """Yield directories in which ``scenario`` was killed at its first step, its second, and so on.

    In the last one it came to its end.
    """
    step = 0
    while True:
        step += 1
        place = directory / str(step)
        place.mkdir()
        died = _dies(scenario, place, step)
        yield place
        if not died:
            return


def _dies(scenario: Callable[[Path], None], place: Path, step: int) -> bool:
    child = os.fork()
    if child == 0:
        try:
            _arm(str(place), step)
            scenario(place)
        except BaseException:
            traceback.print_exc()
            os._exit(_FAILED)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert status in (0, _DIED << 8), f"the scenario failed before step {step}: {status:#x}"
    return status != 0


def _arm(place: str, step: int) -> None:
    """Make this process die at the given step from now on."""
    left = step

    def burn() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os._exit(_DIED)

    def on_event(event: str, arguments: Any) -> None:
        if event in _EVENTS and any(_names(place, argument) for argument in arguments[:2]):
            if event != "open" or arguments[2] & (os.O_WRONLY | os.O_RDWR):
                burn()

    sys.addaudithook(on_event)
    for name in ("write", "pwrite"):
        setattr(os, name, _in_parts(getattr(os, name), burn))
    copy = shutil.copyfileobj

    def copy_half(source: Any, target: Any, *length: int) -> None:
        target.write(source.read(5))
        target.flush()
        burn()
        copy(source, target, *length)

    shutil.copyfileobj = copy_half  # type: ignore[assignment]


def _names(place: str, argument: Any) -> bool:
    try:
        return os.fsdecode(argument).startswith(place)
    except TypeError:
        return False


def _in_parts(write: Any, burn: Callable[[], None]) -> Any:
    """Make ``os.write`` write in several parts, with a step before each.

    The parts end after the first byte, in the middle and at the end of each line, and at the end.
    """

    def in_parts(descriptor: int, data: Any, *offset: int) -> int:
        whole = bytes(data)
        ends = {1, len(whole) // 2, len(whole)}
        for index, byte in enumerate(whole):
            if byte == 10:
                ends |= {index, index + 1, index + 2}
        start = 0
        for end in sorted(end for end in ends if 0 < end <= len(whole)):
            burn()
            write(descriptor, whole[start:end], *(part + start for part in offset))
            start = end
        return len(whole)

    return in_parts
