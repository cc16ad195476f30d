"""Render an exception in each look that the receiver's sinks show, where its frames are.

A sink with ``colorize=True`` paints tracebacks, and one whose encoding lacks the characters of
boxes draws them with others. Only the process with the frames can render them. So loguru's own
formatter, which the handler has, is asked once for each look that is needed. Owns that, and nothing
of the rows.

Why the application notices nothing of it
-----------------------------------------
The values of variables are shown by their ``repr``, which may be slow or log something. It is
called once for each value, whatever the number of looks, because the first text is kept. Before a
receiver has told what its sinks need, all looks are rendered; afterwards only those.
"""

from __future__ import annotations

import copy
from typing import Any, Callable

from ..record.sink_needs import ASCII, PAINTED, PAINTED_ASCII, PLAIN

_NEEDED = (
    "_colorize", "_encoding", "_pipe_char", "_cap_char", "_get_char", "_format_value",
    "format_exception",
)  # fmt: skip

OnTexts = Callable[[Any, dict[str, str]], str]
"""Takes an exception's value and its texts by look; returns the one that loguru goes on with."""


class LooksFormatter:
    """Stands in a handler of loguru's where the formatter of exceptions is."""

    def __init__(self, formatter: Any, wanted: Callable[[], tuple[str, ...]], on_texts: OnTexts):
        """``wanted`` returns the looks that the record at hand needs."""
        self._formatter = formatter
        self._wanted = wanted
        self._on_texts = on_texts

    def format_exception(self, kind: Any, value: Any, traceback: Any, **options: Any) -> list[str]:
        """Return the text of an exception. Called by loguru."""
        texts: dict[str, str] = {}
        shown: dict[int, tuple[Any, str]] = {}
        looks = self._wanted()
        for look in looks:
            formatter = self._formatter if look == PLAIN else self._formatter_of(look)
            if len(looks) > 1:
                formatter = _keeping(formatter, shown)
            texts[look] = "".join(formatter.format_exception(kind, value, traceback, **options))
        return [self._on_texts(value, texts)]

    def _formatter_of(self, look: str) -> Any:
        made = copy.copy(self._formatter)
        made._colorize = look in (PAINTED, PAINTED_ASCII)
        made._encoding = "ascii" if look in (ASCII, PAINTED_ASCII) else "utf8"
        made._pipe_char = made._get_char("\u2502", "|")
        made._cap_char = made._get_char("\u2514", "->")
        return made


def _keeping(formatter: Any, shown: dict[int, tuple[Any, str]]) -> Any:
    """Return a formatter that shows each value once for all looks."""
    kept = copy.copy(formatter)
    show = formatter._format_value

    def show_once(value: Any) -> str:
        found = shown.get(id(value))
        if found is None:
            found = shown[id(value)] = value, show(value)  # the value too: an id is reused
        return found[1]

    kept._format_value = show_once
    return kept


def give_looks(handler: Any, wanted: Callable[[], tuple[str, ...]], on_texts: OnTexts) -> bool:
    """Have a handler of loguru's render each look; return False where this loguru is another."""
    formatter = getattr(handler, "_exception_formatter", None)
    if not all(hasattr(formatter, name) for name in _NEEDED):
        return False
    handler._exception_formatter = LooksFormatter(formatter, wanted, on_texts)
    return True
