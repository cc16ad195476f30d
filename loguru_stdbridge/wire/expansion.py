"""Cuts the texts of a payload whose log line would be far larger than the payload.

Owns that one bound. No sockets, files or clocks here.
"""

from __future__ import annotations

from typing import Any

from ..record.row import quote
from ..record.values import CONTAINERS, MAX_DEPTH

MAX_GROWTH = 10
"""Bytes of memory that the line of a large record may take for each byte of its payload. The line
is held about three times while it is made."""

MAX_SHORT = 256
"""Characters of a text that stays whole if cutting the longer ones is enough."""


def bound_growth(value: Any, size: int) -> Any:
    """Cut the texts in ``value`` if the record's line would be far larger than its payload.

    ``size`` is the payload's, in bytes. One character may become ten in a ``repr``, and eleven more
    in JSON. One emoji makes all of them four bytes wide. So a frame of 400 KB could become a line
    of 30 MB. What people write, in any script, stays below :data:`MAX_GROWTH`.
    """
    texts = _texts_in(value)
    width = _width_of("".join(texts))
    room = MAX_GROWTH * size // width  # characters
    if 11 * sum(map(len, texts)) <= room:
        return value
    short = sum(map(_grown, filter(_is_short, texts)))
    long = sum(_grown(text) for text in texts if not _is_short(text))
    if short + long <= room:
        return value
    if short <= room // 2:  # names and the like stay as they are
        return _cut_texts(value, MAX_SHORT, (room - short) / long)
    return _cut_texts(value, 8, room / (short + long))


def _texts_in(value: Any) -> list[str]:
    """Return every text in it, keys too, and bytes as the text that shows them."""
    texts: list[str] = []
    left = [value]
    while left:  # no recursion: a stranger's nesting may be as deep as the interpreter bears
        value = left.pop()
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif kind is dict:
            left += value
            left += value.values()
        elif kind in CONTAINERS:
            left += value
        elif kind in (bytes, bytearray):
            texts.append(value.decode("latin-1"))
    return texts


def _width_of(text: str) -> int:
    """Return how many bytes the interpreter takes for each character."""
    try:
        text.encode("latin-1")
        return 1
    except UnicodeEncodeError:
        return 4 if len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text) else 2


def _is_short(text: str) -> bool:
    return len(text) <= MAX_SHORT


def _grown(text: str) -> int:
    """Return how many characters JSON has of a text: of itself, and of the line that shows it."""
    parts = (
        [text]
        if len(text) <= 65536
        else [text[at : at + 65536] for at in range(0, len(text), 65536)]
    )
    return sum(len(quote(part)) + len(quote(repr(part))) for part in parts)


def _cut_texts(value: Any, least: int, share: float, depth: int = 0) -> Any:
    kind = type(value)
    if kind is str and len(value) > least:
        return f"{value[: int(len(value) * share)]}..."
    if kind in (bytes, bytearray):
        return value[: int(len(value) * share)]
    if kind in (dict, list, tuple) and depth > 3 * MAX_DEPTH:
        return "..."
    if kind is dict:
        return {
            _cut_texts(key, least, share): _cut_texts(item, least, share, depth + 1)
            for key, item in value.items()
        }
    if kind in (list, tuple):
        return kind([_cut_texts(item, least, share, depth + 1) for item in value])
    return value
