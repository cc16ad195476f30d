"""Carries the colours of a message, as ``opt(colors=True)`` gives them.

loguru takes the markup of such a message apart into texts, colour codes, places of the level's
colour, and ends. A row has the message without them, and beside it a list: a number is the length
of the next piece of the message, a text the digits of a colour code, ``None`` the level's colour
and ``False`` an end. Owns that list, both ways. No loguru here.

Why a stranger's message is never markup
----------------------------------------
The list refers to the message's text by lengths, so it can neither add nor hide a character, and a
code is digits between bounds. Nothing in the message itself is looked at. A record without the list
has no colours, whatever its message looks like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

MAX_MARKS = 10_000
"""Pieces, codes and ends of one message. Beyond it the message is sent without colours."""

_PIECE, _CODE, _OF_LEVEL, _END_OF = 1, 2, 3, 4  # loguru's TokenType
_RESET = "\033[0m"

Tokens = list[tuple[int, Any]]
"""What loguru makes of a marked message."""


def dump_markup(colored: Any, message: Any) -> list[Any] | None:
    """Return the list for loguru's coloured message; ``None`` if it has no colours, or is odd.

    ``message`` is the record's: a patcher may have changed it, and then loguru shows no colours.
    """
    try:
        if colored is None or colored.stripped != message:
            return None
        marks: list[Any] = []
        for kind, value in colored.tokens:
            if kind == _PIECE:
                if value:
                    marks.append(len(value))
            elif kind == _OF_LEVEL:
                marks.append(None)
            elif kind == _END_OF:
                marks.append(False)
            elif kind == _CODE and value[:2] == "\033[" and value[-1:] == "m":
                marks.append(value[2:-1])
            else:
                return None
    except Exception:  # another loguru's
        return None
    if len(marks) > MAX_MARKS or all(type(mark) is int for mark in marks):
        return None
    return marks


def load_markup(marks: Iterable[Any], message: str) -> Tokens | None:
    """Return loguru's tokens of a message; ``None`` for a list that does not fit it."""
    tokens: Tokens = []
    position = 0
    for mark in marks:
        if type(mark) is int and 0 < mark <= len(message) - position:
            tokens.append((_PIECE, message[position : position + mark]))
            position += mark
        elif mark is None:
            tokens.append((_OF_LEVEL, None))
        elif mark is False:
            tokens.append((_END_OF, _RESET))
        elif type(mark) is str and re.fullmatch("[0-9;]{1,20}", mark):
            tokens.append((_CODE, f"\033[{mark}m"))
        else:
            return None
    return tokens if position == len(message) and len(tokens) <= MAX_MARKS else None
