"""Reads JSON that came over the wire, at a cost that its size allows.

Owns the bounds of JSON. Sans-IO: no sockets, files, threads or clocks.

Why reading a stranger's JSON is safe
-------------------------------------
The JSON decoder makes texts, numbers, lists and dicts, and calls nothing. Only the cost needs a
bound: nesting (the decoder stops at the interpreter's recursion limit), digits (the time to read
them grows with their square), and how much is made of few bytes. ``[[]]`` takes 5 bytes on the wire
and 184 in memory. ``1e-300`` takes 3 microseconds to read and to write. A record of 66 bytes takes
150. So rows, containers, values and surrogates are counted before anything is made of them.
"""

import json
import sys
from typing import Any, Optional, Union

from ..exceptions import RowError

MAX_SMALL_FRAME = 136 * 1024
"""Bytes up to which nothing in a frame is counted: its size bounds what it costs. A sender puts
128 KiB of rows into a frame, or one row."""

MAX_SMALL_ROW = MAX_SMALL_FRAME - 32
"""Bytes up to which nothing in a row is counted. A frame adds brackets, commas and a number."""

MAX_FRAME_CONTAINERS = 32_000
"""Lists and dicts in a larger frame. It holds one row with at most 10,000 values, and a value of
most kinds is three of them at most."""

MAX_FRAME_VALUES = 40_000
"""Values in a larger frame, counted by its commas. Each takes up to 3 microseconds in all."""

MAX_FRAME_SURROGATES = 50_000
"""Surrogates in a larger frame. Each is an error for UTF-8, which takes 0.6 microseconds."""

MAX_DIGITS = 640
"""Digits of one integer in a larger frame. A sender's integers have 602 at most."""


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits)} digits, {MAX_DIGITS} at most")
    return int(digits)


def _make_decoder() -> json.JSONDecoder:
    limit: int = getattr(sys, "get_int_max_str_digits", lambda: 0)()
    if 0 < limit <= 4300:  # the interpreter bounds the digits by itself, at C speed
        return json.JSONDecoder()
    return json.JSONDecoder(parse_int=_bounded_int)


decoder = _make_decoder()
_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_TOO_LONG = b"0" * (MAX_DIGITS + 1)


def _excess(payload: bytes, around: int = 0) -> Optional[str]:
    """Say what a payload of JSON has too much of; ``None`` if it is within the bounds.

    As many containers and values as ``around`` come with the frame.
    """
    containers = payload.count(b"[") + payload.count(b"{") + around
    values = payload.count(b",") + around
    long_number = _TOO_LONG in payload.translate(_DIGITS)
    if containers > MAX_FRAME_CONTAINERS or values > MAX_FRAME_VALUES or long_number:
        # Nothing inside a text counts. Take the escaped quotes out, then the quoted parts.
        bare = payload.replace(b"\\\\", b"").replace(b'\\"', b"")
        outside = b'"'.join(bare.split(b'"')[::2])
        containers = outside.count(b"[") + outside.count(b"{") + around
        values = outside.count(b",") + around
        if containers > MAX_FRAME_CONTAINERS:
            return f"{containers} lists and objects, {MAX_FRAME_CONTAINERS} at most"
        if values > MAX_FRAME_VALUES:
            return f"{values} values, {MAX_FRAME_VALUES} at most"
        if long_number and _TOO_LONG in outside.translate(_DIGITS):
            return f"a number of more than {MAX_DIGITS} digits"
    surrogates = count_surrogates(payload)
    if surrogates > MAX_FRAME_SURROGATES:
        return f"{surrogates} surrogates, {MAX_FRAME_SURROGATES} at most"
    return None


def count_surrogates(payload: bytes) -> int:
    """Count the surrogates in UTF-8; a number up to the bound may be too high."""
    possible = payload.count(b"\xed")  # it begins Korean syllables too
    if possible <= MAX_FRAME_SURROGATES:
        return possible
    return sum(payload.count(bytes((0xED, second))) for second in range(0xA0, 0xC0))


def is_bounded(row: bytes) -> bool:
    """Return whether a row of this process is one that a receiver takes."""
    return len(row) <= MAX_SMALL_ROW or _excess(row, around=1) is None


def decode_json(payload: bytes) -> Union[list[Any], dict[str, Any]]:
    """Read a payload of JSON: the list ``[first, row, ...]``, one row, or a control frame's dict.

    Raises :class:`RowError` if it is not JSON, not a list or dict, or beyond a bound.
    """
    if len(payload) > MAX_SMALL_FRAME:
        excess = _excess(payload)
        if excess is not None:
            raise RowError(f"{len(payload)} bytes of JSON have {excess}")
    try:
        decoded = decoder.decode(payload.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as error:
        raise RowError(f"not JSON: {error}") from None
    if type(decoded) is dict:
        return decoded
    if type(decoded) is not list:
        raise RowError(f"JSON of a {type(decoded).__name__}, not of a list or an object")
    return decoded
