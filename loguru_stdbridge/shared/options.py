"""The words for a shared file: what its users in one process have to agree on."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Optional, TypedDict

from ..exceptions import ConfigurationError

WRITE_LOCK_TIMEOUT = 10.0
"""Seconds that a log call waits for the lock, unless told otherwise."""

Opener = Optional[Callable[[str, int], int]]
"""What opens a file in the place of ``os.open``, as in ``open()``."""

_REFUSED = {
    "enqueue": "the lock keeps the processes apart already",
    "buffering": "a line is one write",
}


class LogOptions(NamedTuple):
    """What the users of one log in one process have to agree on."""

    rotation: Any = None
    retention: Any = None
    compression: Any = None
    encoding: str = "utf8"
    errors: str = "backslashreplace"
    newline: str | None = None
    lock_timeout: float = WRITE_LOCK_TIMEOUT
    opener: Opener = None


class FileWords(TypedDict, total=False):
    """The words for a shared file, as its sink and its handler take them: see there."""

    rotation: Any
    retention: Any
    compression: Any
    encoding: str
    errors: str
    newline: str | None
    lock_timeout: float
    opener: Opener


def read_words(words: FileWords) -> LogOptions:
    """Return the words as options. Raises :class:`ConfigurationError` for one that cannot be
    followed, and ``TypeError`` for one that nobody knows."""
    refused: dict[str, Any] = {**words}
    known = {name: refused.pop(name) for name in LogOptions._fields if name in refused}
    options = LogOptions(**known)
    _refuse(refused)
    lock_timeout: object = options.lock_timeout
    if type(lock_timeout) not in (int, float) or not 0 < lock_timeout <= 86400:  # type: ignore[operator]
        raise ConfigurationError(f"lock_timeout={lock_timeout!r}: seconds, from above 0 to 86400")
    return options


def _refuse(refused: dict[str, Any]) -> None:
    """Raise for words of loguru's for a file that mean nothing here, unless they say so."""
    if refused.pop("mode", "a") != "a":
        raise ConfigurationError("mode=: use 'a', which keeps the lines of the other processes")
    for name, value in refused.items():
        if name == "watch":  # it always is
            continue
        if name not in _REFUSED:
            raise TypeError(f"a shared file has no option {name}={value!r}")
        if value:
            raise ConfigurationError(f"{name}={value!r}: leave it out, {_REFUSED[name]}")
