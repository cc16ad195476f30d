"""Finds out, after a kill, how much of the last block of lines is in the log file.

The last intent of the ledger says what the block was. This module compares it with the file, and
cuts a torn line off. It runs once, when the ledger is opened.

Why only what was written counts, and nothing foreign is cut
------------------------------------------------------------
The file is not ours alone. A supervisor's ``echo "restarted" >> app.log`` may have appended to it
after the kill, or between two writes of ours. So no length or offset says whose a byte is. The
intent holds two facts of each line of the block instead (a *line* here ends with a newline; a
record may have several): a checksum, and the first :data:`HEAD_SIZE` bytes.

* The lines of the block were written in order. So the lines in the file behind the offset are
  compared with them in order, and a line that is not the next one of the block is foreign. A record
  counts when all its lines are found.
* A kill in the middle of a write leaves at most one torn line, and it has no newline. It is ours
  when it begins as the next line of the block does, and is shorter. Then it is cut off, with the
  lines before it that belong to the same record.
* A line that is not the next one, and a rest that is not a torn line, are left alone. So a torn
  line with foreign bytes glued to it stays in the file, and what is left there is told.

The checksum is Adler-32, which costs a third of a CRC for a line of a hundred bytes. A foreign line
passes for one of ours only if it begins with the same :data:`HEAD_SIZE` bytes, and has the same
checksum, at the very place where ours is missing.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Callable

from .entries import Intent
from .files import STREAM, find_file

HEAD_SIZE = 16
"""Bytes of each line that the ledger keeps: by loguru's default format, the time to the minute."""

FOREIGN_WINDOW = 1024 * 1024
"""Bytes behind the block's length that are searched for its lines, where others have appended."""

_CHECKS = struct.Struct("<I?")  # lines, whether the last one has no newline


def pack_checks(block: bytes) -> bytes:
    """Pack what the ledger keeps of each line of a block."""
    lines = block.split(b"\n")
    unended = bool(lines[-1])
    if not unended:
        lines.pop()
    count = len(lines)
    return b"".join(
        [
            _CHECKS.pack(count, unended),
            array("I", map(zlib.adler32, lines)).tobytes(),
            struct.pack(f"{HEAD_SIZE}s" * count, *lines),
        ]
    )


def count_whole_records(intent: Intent, path: str, report: Callable[[str], None]) -> int:
    """Return how many records of the last intent are whole in the log file; cut off a torn line.

    ``path`` is the last known name of the file. Of a stream, all records count: nobody can tell
    what it took. Raises ``OSError``.
    """
    if intent.file == STREAM:
        report(
            f"{len(intent.lengths)} records were being written to {path} when the receiver was "
            "killed; it is not known how many of them arrived, and none is written again"
        )
        return len(intent.lengths)
    found = find_file(intent.file, path)
    if found is None:
        report(
            f"{path} was removed or replaced, and its last lines with it; those not acknowledged "
            "will be written again"
        )
        return 0
    with open(found, "r+b") as file:
        if os.fstat(file.fileno()).st_size < intent.offset:  # somebody has emptied it
            return 0
        file.seek(intent.offset)
        data = file.read(sum(intent.lengths) + FOREIGN_WINDOW)
        records, ours, foreign = _find_records(intent, data)
        if records == len(intent.lengths):
            return records
        if ours < len(data) and os.fstat(file.fileno()).st_size == intent.offset + len(data):
            file.truncate(intent.offset + ours)
        if foreign:
            report(
                f"{found} holds bytes behind byte {intent.offset} that this program has not "
                "written; they are left alone. Those of its last lines that are not whole, and not "
                "acknowledged, will be written again"
            )
        return records


def _find_records(intent: Intent, data: bytes) -> tuple[int, int, bool]:
    """Compare the lines of a block, in order, with the bytes behind its offset.

    Return how many records are whole; from where on the bytes are the beginning of the next record,
    and nothing else; and whether foreign bytes stand behind the last whole record.
    """
    ends = list(accumulate(intent.lengths))
    if not intent.checks:
        return _find_records_by_length(intent, ends, data)
    line_count, unended = _CHECKS.unpack_from(intent.checks)
    heads_at = _CHECKS.size + 4 * line_count
    checksums = array("I")
    checksums.frombytes(intent.checks[_CHECKS.size : heads_at])
    index = position = ours = written = 0  # ``written``: bytes of the block that are found
    records = bisect_right(ends, 0)
    foreign = False
    while index < line_count:
        head = intent.checks[heads_at + HEAD_SIZE * index :][:HEAD_SIZE]
        missing = ends[-1] - written
        newline = data.find(b"\n", position)
        stop, following = newline, newline + 1
        if unended and index == line_count - 1:  # the last line ends with the block
            stop = following = position + missing
        if 0 <= stop <= len(data) and _is_line(data[position:stop], checksums[index], head):
            index += 1
            written += following - position
            position = following
            if bisect_right(ends, written) > records:
                records = bisect_right(ends, written)
                ours = position - (written - ends[records - 1])
                foreign = False
        elif newline >= 0:
            ours = position = newline + 1
            foreign = True
        else:  # the rest has no newline
            rest = data[position:]
            if len(rest) < missing and rest[:HEAD_SIZE] == head[: len(rest)]:  # a torn line
                break
            return records, len(data), True
    return records, ours, foreign


def _is_line(text: bytes, checksum: int, head: bytes) -> bool:
    return text[:HEAD_SIZE].ljust(HEAD_SIZE, b"\0") == head and zlib.adler32(text) == checksum


def _find_records_by_length(
    intent: Intent, ends: Sequence[int], data: bytes
) -> tuple[int, int, bool]:
    """Do the same for an intent of version 0.1, which has a checksum of the whole block only."""
    total = ends[-1]
    if len(data) < total:
        records = bisect_right(ends, len(data))
        return records, ends[records - 1] if records else 0, False
    if zlib.crc32(data[:total]) == intent.crc:
        return len(ends), total, False
    return 0, len(data), True
