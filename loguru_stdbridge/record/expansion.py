"""Cuts the texts of a large record whose log line would take too much memory.

Owns how large the line of a record may become. No sockets, files or clocks here.

Why one frame costs a receiver little
-------------------------------------
A frame is 8 MB at most (``frames.MAX_PAYLOAD``). Most of what it costs is its line: while a sink
with ``serialize=True`` makes a line, it holds about seven times its memory. With lines of 14 MB at
most, the worst of many frames took 127 MB and 0.7 s of the receiver's loop. An honest text of 7 MB
still goes whole into a line of JSON, where it stands twice; a longer one is cut there.
"""

from __future__ import annotations

from typing import Any, Union

from .row import quote
from .values import CONTAINERS, MAX_DEPTH

MAX_GROWTH = 10
"""Bytes of memory that the line of a large record may take for each byte of its payload. The line
is held about three times while it is made."""

MAX_EXPANDED_LINE = 14 * 1024 * 1024
"""Bytes of memory that the line of any record may take."""

_Text = Union[str, bytes, bytearray]

MAX_SHORT = 256
"""Characters of a text that stays whole if cutting the longer ones is enough."""


def bound_growth(value: Any, size: int) -> Any:
    """Cut the texts in ``value`` if the record's line would be too large, or for its payload.

    ``size`` is the payload's, in bytes. One character may become ten in a ``repr``, and eleven more
    in JSON. One emoji makes all of them four bytes wide. So a frame of 400 KB could become a line
    of 30 MB. What people write, in any script, stays below :data:`MAX_GROWTH`.
    """
    texts = _texts_in(value)
    width = max(map(_width_of, texts), default=1)
    room = min(MAX_GROWTH * size, MAX_EXPANDED_LINE) // width  # characters
    if 11 * sum(map(len, texts)) <= room:
        return value
    short = sum(map(_grown, filter(_is_short, texts)))
    long = sum(_grown(text) for text in texts if not _is_short(text))
    if short + long <= room:
        return value
    if short <= room // 2:  # names and the like stay as they are
        return _cut_texts(value, MAX_SHORT, (room - short) / long)
    return _cut_texts(value, 8, room / (short + long))


def _texts_in(value: Any) -> list[_Text]:
    """Return every text and all bytes in it, keys too."""
    texts: list[_Text] = []
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
            texts.append(value)
    return texts


def _width_of(text: _Text) -> int:
    """Return how many bytes the interpreter takes for each character."""
    if not isinstance(text, str) or text.isascii():
        return 1
    try:
        text.encode("latin-1")
        return 1
    except UnicodeEncodeError:
        return 4 if len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text) else 2


def _is_short(text: _Text) -> bool:
    return len(text) <= MAX_SHORT


def _grown(text: _Text) -> int:
    """Return how many characters JSON has of a text: of itself, and of the line that shows it."""
    pieces: list[Any] = [text[at : at + 65536] for at in range(0, len(text), 65536)]
    if isinstance(text, str):
        return sum(len(quote(piece)) + len(quote(repr(piece))) for piece in pieces)
    return sum(2 * len(quote(repr(piece))) for piece in pieces)  # shown by its repr both times


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
