"""Hands finished lines to a function, or to the ``write`` of an object, instead of a file.

What is promised for it
-----------------------
Each record is handed over once at most. Nobody can tell what a function has done with a line before
it raised, or before the process was killed: so a line that was handed over counts as written, and
after a kill so does the block in hand. A function that raises is told, and gets the next line. It
runs in the receiver's loop, and holds up all clients for as long as it takes.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import Any, Callable

from ..exceptions import ConfigurationError
from .blocks import Block, Message
from .files import STREAM
from .ledger import Ledger
from .streams import Stream

FAULT_INTERVAL = 60.0
"""Seconds between two messages about a function that raises."""


def describe_call(sink: object) -> str:
    """Return the name of a sink that is no path, for messages and for its ledger."""
    name = getattr(sink, "__qualname__", None) or type(sink).__qualname__
    return f"{getattr(sink, '__module__', None) or type(sink).__module__}.{name}"


def stream_of_call(sink: object) -> Stream:
    """Return what stands for the function where its ledger is opened."""
    return Stream(f"function {describe_call(sink)}", None, "")


class CallSink:
    """A function as one of the sinks of a receiver. Used by the receiver's one thread."""

    needs_records = True  # a line has its record, as loguru's messages have

    def __init__(
        self, sink: Any, ledger: Ledger, report: Callable[[str], None], **options: Any
    ) -> None:
        """``sink`` is called with each line, or has a ``write`` that is.

        Raises :class:`ConfigurationError` for options that only a file can follow.
        """
        for name, value in options.items():
            raise ConfigurationError(
                f"{name}={value!r}: leave it out, {describe_call(sink)} is no file"
            )
        self._call: Callable[[str], object] = sink if callable(sink) else sink.write
        self._name = describe_call(sink)
        self._ledger = ledger
        self._report = report
        self._told_at = float("-inf")
        self.bytes_written = 0
        """Bytes of the lines that were handed over, as UTF-8."""
        self.rotations = 0
        """None: there is no file."""
        self.size_limit: int | None = None
        """None: there is no file."""

    @property
    def path(self) -> str:
        """The function's name."""
        return self._name

    def write(self, blocks: Sequence[Block]) -> int:
        """Hand lines over in order, settle them in the ledger, return how many they were."""
        self._ledger.use_file(STREAM, self._name)
        for block in blocks:
            runs = [(block.sender, block.first, len(block.texts))]
            self._ledger.intend(0, runs, [0] * len(block.texts), b"")
            for index, text in enumerate(block.texts):
                if text:
                    self._hand_over(text, block.records[index] if block.records else {})
            self._ledger.settle(len(block.texts))
        with contextlib.suppress(OSError):  # then a kill leaves the last block in doubt
            self._ledger.note_settled()
        return sum(len(block.texts) for block in blocks)

    def _hand_over(self, text: str, record: Any) -> None:
        message = Message(text)
        message.record = record
        self.bytes_written += len(text.encode("utf-8", "replace"))
        try:
            self._call(message)
        except Exception as error:
            now = time.monotonic()
            if now - self._told_at >= FAULT_INTERVAL:
                self._told_at = now
                self._report(
                    f"{self._name} has raised {type(error).__name__}: {error}; a line that it was "
                    "given counts as written"
                )

    def reopen(self) -> None:
        """Do nothing: there is no file."""

    def close(self) -> None:
        """Do nothing: it is not ours."""
