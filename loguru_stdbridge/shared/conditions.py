"""Decides, in loguru's words, whether a new file begins before a line.

The condition is the function that loguru compiles ``rotation=`` to. It is asked about the file as
it is now, which other processes write, too. A condition by time remembers when it is due next. That
is true of one file only, so each file that another process has begun gets a condition made anew,
which reads the file's age as loguru does.
"""

from __future__ import annotations

import datetime
from typing import Any

from ..sink.blocks import Message
from ..sink.internals import compile_rotation


class _View:
    """The open file, as a condition of loguru's sees it: a name and a length."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.position = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.position

    def tell(self) -> int:
        return self.position


class Condition:
    """A ``rotation=`` value for one file."""

    def __init__(self, rotation: Any) -> None:
        """Raises what loguru raises for a value that it cannot read."""
        self._rotation = rotation
        compiled = compile_rotation(rotation)
        self._compiled: Any = compiled
        self.never = compiled is None
        """Whether no file is ever rotated."""
        self.size_limit: Any = None
        """The bytes of a file, where nothing else counts."""
        if compiled is not None and compiled.kind == "size":
            self.size_limit = compiled.decide.keywords["size_limit"]  # type: ignore[attr-defined]
        self.has_function = compiled is not None and compiled.has_function
        """Whether a function of the user's has a say, which may look at file and record."""
        self.needs_record = not self.never and self.size_limit is None
        """Whether it looks at a message's record."""
        self._view = _View("")

    def renew(self, name: str) -> Condition:
        """Return the same condition for another file."""
        made = Condition(self._rotation) if self.needs_record else self
        made._view = _View(name)
        return made

    def holds(self, text: str, position: int, file: Any) -> bool:
        """Return whether a new file begins before ``text``, in a file of ``position`` bytes.

        ``file`` is the real file, for a function of the user's.
        """
        limit = self.size_limit
        if limit is not None:
            return bool(position + len(text) > limit)
        if self.never:
            return False
        if self.has_function:
            return bool(self._compiled.decide(text, file))
        self._view.position = position
        return bool(self._compiled.decide(text, self._view))


def timed_message(text: str, created: float) -> Message:
    """Return ``text`` as a message of loguru's with the time of its record."""
    message = Message(text)
    message.record = {"time": datetime.datetime.fromtimestamp(created).astimezone()}
    return message
