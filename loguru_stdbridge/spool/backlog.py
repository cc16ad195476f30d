"""Tell how many records wait in the journals of living workers, by a look at their files.

A worker is not asked, so this works while it is not read, too. Nothing is locked or written. Each
look reads on where the last one has ended, so it costs what was logged since then.

What is seen may be too low by what is being written, and by records that the worker keeps in memory
where it has no disk; after records were given up it is too high, until the gap is acknowledged.
"""

from __future__ import annotations

import contextlib
import os
import struct

from .foreign import open_journal_file
from .segments import ACKED_AT, META_SIZE, NUMBER, decode_segment_header, record_at

MAX_READ = 8 * 1024 * 1024 + 64
"""Bytes of a segment that one look reads: a record of any size is among them."""


class JournalBacklog:
    """Knows where the reading of one journal has ended."""

    def __init__(self, path: str) -> None:
        """``path`` is the journal's directory."""
        self._path = path
        self._segment = ""
        self._offset = 0
        self._last = 0

    def count(self) -> int | None:
        """Return how many records wait; ``None`` where the journal cannot be read."""
        try:
            segments = sorted(name for name in os.listdir(self._path) if name.endswith(".seg"))
            with open(os.path.join(self._path, "meta"), "rb", opener=open_journal_file) as file:
                file.seek(ACKED_AT)
                (acked,) = NUMBER.unpack(file.read(NUMBER.size))
        except (OSError, struct.error):  # it is gone, or what is there is no number
            return None
        for name in segments[-1:]:
            with contextlib.suppress(OSError):
                self._read_on(name)
        return max(self._last - int(acked), 0)

    def _read_on(self, name: str) -> None:
        path = os.path.join(self._path, name)
        with open(path, "rb", opener=open_journal_file, buffering=0) as file:
            if name != self._segment:
                header = decode_segment_header(file.read(META_SIZE))
                if header is None:
                    return
                self._segment, self._offset = name, header.start
                self._last = max(self._last, header.first - 1)
            file.seek(self._offset)
            data = file.read(MAX_READ)
        at = 0
        while (found := record_at(data, at)) is not None:
            self._last, at = found
        self._offset += at


class SpoolBacklog:
    """Knows the journals of one spool directory."""

    def __init__(self, spool_dir: str) -> None:
        self._spool_dir = spool_dir
        self._journals: dict[str, JournalBacklog] = {}

    def count(self, beginnings: set[str]) -> dict[str, int]:
        """Return how many records wait, for senders whose ids begin so, as far as it is known."""
        found = {}
        try:
            names = os.listdir(self._spool_dir)
        except OSError:
            names = []
        here = {name[:8]: name for name in names if name[:8] in beginnings}
        self._journals = {k: v for k, v in self._journals.items() if k in here}
        for beginning, name in here.items():
            journal = self._journals.get(beginning)
            if journal is None:
                path = os.path.join(self._spool_dir, name)
                journal = self._journals[beginning] = JournalBacklog(path)
            count = journal.count()
            if count is not None:
                found[beginning] = count
        return found
