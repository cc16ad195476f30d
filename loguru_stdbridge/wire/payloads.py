"""Writes and reads the JSON payloads of frames: rows, or one control message.

Owns what stands around the rows; :mod:`record.row` owns a row. No sockets, files or clocks here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from ..exceptions import RowError
from ..record.bounded_json import MAX_SMALL_FRAME, decoder
from ..record.row import MAX_ROWS, unreadable_row

MAX_SEQUENCE = 1 << 55
"""Sequence numbers are below it: a sender of a million records a second would take 1,000 years."""


def encode_rows(first: int, rows: Sequence[bytes | memoryview]) -> bytes:
    """Write the payload of a frame of ``rows``; the first has the sequence number ``first``."""
    return b"[%d,%s]" % (first, b",".join(rows))


def encode_control(fields: dict[str, Any]) -> bytes:
    """Write the payload of a control frame: a JSON object."""
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def split_rows(decoded: Any) -> tuple[int, list[Any]]:
    """Return the first sequence number and the rows of a frame. Raises :class:`RowError`."""
    if len(decoded) < 2 or type(decoded[0]) is not int or not 0 < decoded[0] < MAX_SEQUENCE:
        raise RowError("a rows frame needs the sequence number of its first row, and a row")
    if len(decoded) > MAX_ROWS + 1:
        raise RowError(f"a frame of {len(decoded) - 1} rows, {MAX_ROWS} at most")
    return decoded[0], decoded[1:]


def rescue_rows(payload: bytes, error: RowError) -> tuple[int, list[Any]]:
    """Return the number of the first row of a frame that was refused for ``error``, and its rows.

    The last of them is the first that cannot be read; an error stands in its place. The rows behind
    it are left out: the sender sends them again. Raises ``error`` if the frame has no number.
    """
    head = re.match(rb"\[([1-9]\d{0,15}),", payload)
    if head is None:
        raise error
    first, start = int(head[1]), head.end()
    if len(payload) > MAX_SMALL_FRAME:  # it holds one row, and reading more could cost too much
        return first, [unreadable_row(error, payload[start:])]
    text = payload.decode("utf-8", "backslashreplace")
    rows: list[Any] = []
    while len(rows) < MAX_ROWS:
        try:
            row, end = decoder.raw_decode(text, start)
            if text[end : end + 1] != ",":
                raise ValueError("no row ends here")
        except (ValueError, RecursionError):
            rows.append(unreadable_row(error, text[start : start + 300].encode()))
            break
        rows.append(row)
        start = end + 1
    return first, rows
