"""Puts the arguments of a stock client's message in, as logging would, without running anything.

Owns ``%`` for values that came over the wire. No sockets, files or clocks here.

``SocketHandler`` formats a message before it sends it. Handlers that others wrote often send
``msg`` and ``args`` as they are, and their receivers call ``getMessage``.

Why formatting a stranger's message is safe
-------------------------------------------
``%`` itself only meets an exact ``str``, ``int``, ``bool``, ``float`` or ``Decimal``. Any other
value is first made a text, by the one function that shows values (:func:`record.values.show`).
Widths and precisions are bounded, and none is taken from the arguments. A value is shown once,
however often the message names it, and a message is cut if it grows out of proportion to its parts.
So time and memory grow with the size of what came.
"""

from __future__ import annotations

import decimal
import re
from typing import Any, Callable

from .values import MAX_TEXT, show

MAX_WIDTH = 255
"""Columns of one argument, and digits behind its point."""

MAX_PERCENT_SIGNS = 10_000
"""Percent signs in a message that is formatted: 15 ms."""

MAX_GROWTH_OF_MESSAGE = 2
"""Characters of a long message for each one of its format and of its arguments."""

_ALWAYS = 8192  # characters that any message may have
_SPECIFICATION = r"%(?:\(([^()]*)\))?([#0 +-]*)(\d{0,9})(?:\.(\d{0,9}))?[hlL]?([diouxXeEfFgGcrsa%])"
_NUMBER = (int, bool, float, decimal.Decimal)
_TYPES_OF = {
    **dict.fromkeys("diueEfFgG", _NUMBER),
    **dict.fromkeys("oxX", (int, bool)),
    "c": (int, bool, str),
}
_SHOWN_BY: dict[str, Callable[[object], str]] = {"s": str, "r": repr, "a": ascii}
_FALSY_TYPES = (tuple, dict, list, str, bytes, int, bool, float, type(None))


def format_message(message: Any, arguments: Any) -> str | None:
    """Return ``message % arguments`` as logging makes it; ``None`` if the arguments do not fit.

    The arguments are inert values, as :func:`pickles.read.load_record` makes them. Never raises.
    """
    if type(message) is not str or message.count("%") > MAX_PERCENT_SIGNS:
        return None
    if type(arguments) in _FALSY_TYPES and not arguments:
        return message
    try:
        return _Formatting(message, arguments).run()
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError):
        return None


class _Formatting:
    """One message on its way, with its arguments."""

    def __init__(self, message: str, arguments: Any) -> None:
        self._message = message
        self._values = arguments if type(arguments) is tuple else (arguments,)
        self._mapping = self._values[0] if len(self._values) == 1 else None
        self._named: bool | None = None  # whether the arguments are named; None: not known yet
        self._next = 0
        self._shown: dict[tuple[str, str], str] = {}
        self._room = _ALWAYS + MAX_GROWTH_OF_MESSAGE * len(message)

    def run(self) -> str:
        message, position = self._message, 0
        parts: list[str] = []
        find = re.compile(_SPECIFICATION).match
        at = message.find("%")
        while at >= 0:
            match = find(message, at)
            if match is None:
                raise ValueError("no specification that is known")
            parts += (message[position:at], self._piece(*match.groups()))
            self._room -= len(parts[-2]) + len(parts[-1])
            if self._room < 0:
                return f"{''.join(parts)[: self._room]}... (more is cut)"
            position = match.end()
            at = message.find("%", position)
        if self._next < len(self._values) and type(self._mapping) not in (dict, list):  # as ``%``
            raise ValueError("more arguments than the message has places for")
        parts.append(message[position:])
        return "".join(parts)

    def _piece(self, key: str | None, flags: str, width: str, digits: str | None, kind: str) -> str:
        if kind == "%":
            if key is not None or flags or width or digits is not None:
                raise ValueError("a percent sign with a specification")
            return "%"
        if int(width or 0) > MAX_WIDTH or int(digits or 0) > MAX_WIDTH:
            raise ValueError(f"a width of {width} or {digits}, {MAX_WIDTH} at most")
        value = self._value(key)
        precision = "" if digits is None else f".{digits}"
        if kind in _SHOWN_BY:
            value = self._text_of(key, kind, value)
            kind = "s"
        elif type(value) in _TYPES_OF[kind]:
            self._room += MAX_GROWTH_OF_MESSAGE * 8
        else:
            raise TypeError(f"a {type(value).__name__} for %{kind}")
        return f"%{flags}{width}{precision}{kind}" % (value,)

    def _value(self, key: str | None) -> Any:
        named = key is not None
        if self._named is None:
            self._named = named
        if named is not self._named:
            raise TypeError("arguments by name and by place")
        if not named:
            self._next += 1
            return self._values[self._next - 1]
        if type(self._mapping) is not dict:
            raise TypeError("a name, and arguments that have none")
        return self._mapping[key]

    def _text_of(self, key: str | None, kind: str, value: Any) -> str:
        known = None if key is None else self._shown.get((key, kind))
        if known is not None:
            return known
        text = (
            value if type(value) is str and kind == "s" else show(value, _SHOWN_BY[kind], MAX_TEXT)
        )
        if key is not None:
            self._shown[key, kind] = text
        self._room += MAX_GROWTH_OF_MESSAGE * len(text)
        return text
