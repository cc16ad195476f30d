"""Read the rows of a tee (:mod:`receiver.tee`) from its files, in the order of their numbers.

A line is a number and a row: ``17 [0,1700000000.0,...]``. The numbers are consecutive, from file to
file. Files are rotated and grow while they are read. Nothing is written here; what was delivered is
removed.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, NamedTuple

_TAIL = 64 * 1024  # bytes at the end of a file in which its last line is looked for first


class Rows(NamedTuple):
    """Consecutive rows, the first with number ``first``."""

    first: int
    rows: list[bytes]

    @property
    def last(self) -> int:
        """The number of the last one."""
        return self.first + len(self.rows) - 1


class RowFiles:
    """The files of one tee, for one thread that reads them."""

    def __init__(self, path: str) -> None:
        """``path`` is the open file's; the rotated ones are beside it."""
        self._path = path
        self._directory, name = os.path.split(path)
        self._stem, self._suffix = os.path.splitext(name)
        self._file: Any = None
        self._next = 0  # the number of the row that is at the file's position; 0: not known

    def read(self, after: int, max_bytes: int) -> Rows:
        """Return rows behind number ``after``. No rows: there are none yet.

        The first one may have a number beyond ``after + 1``: those between are gone.
        """
        if self._file is None or self._next != after + 1:
            self._seek(after)
        rows = self._read_here(max_bytes)
        if not rows.rows and self._file is not None and self._is_rotated():
            rows = self._read_here(max_bytes)  # it may have grown before it was rotated
            if not rows.rows:
                self.close()
                self._seek(after)
                rows = self._read_here(max_bytes)
        return rows

    def last_number(self) -> int:
        """Return the number of the last row that is there; 0 where there is none."""
        last = 0
        for path in self._paths():
            with contextlib.suppress(OSError, ValueError):
                last = max(last, _last_number(path))
        return last

    def remove_through(self, number: int) -> None:
        """Remove the rotated files in which no row is behind ``number``."""
        files = self._numbered()
        for (_, path), (following, _) in zip(files, files[1:]):
            if following <= number + 1 and path != self._path:
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def close(self) -> None:
        """Close the file that is read."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _read_here(self, max_bytes: int) -> Rows:
        if self._file is None:
            return Rows(0, [])
        start = self._file.tell()
        data = self._file.read(max_bytes)
        while data and b"\n" not in data:  # one row alone is larger
            more = self._file.read(max_bytes)
            if not more:
                break
            data += more
        whole = data[: data.rfind(b"\n") + 1]
        self._file.seek(start + len(whole))
        rows = []
        first = 0
        for line in whole.splitlines():
            number, _, row = line.partition(b" ")
            first = first or int(number)
            rows.append(row)
        if rows:
            self._next = first + len(rows)
        return Rows(first, rows)

    def _seek(self, after: int) -> None:
        """Open the file that has the row behind ``after``, at that row."""
        self.close()
        chosen = None
        for first, path in self._numbered():
            if chosen is None or first <= after + 1:
                chosen = path
        if chosen is None:
            return
        try:
            self._file = open(chosen, "rb")  # noqa: SIM115  it stays open
        except OSError:  # removed just now
            return
        position = 0
        for line in self._file:
            number = line.partition(b" ")[0]
            if not line.endswith(b"\n") or int(number) > after:
                break
            position += len(line)
        self._file.seek(position)
        self._next = after + 1

    def _is_rotated(self) -> bool:
        try:
            now = os.stat(self._path)
        except OSError:
            return True
        read = os.fstat(self._file.fileno())
        return (now.st_dev, now.st_ino) != (read.st_dev, read.st_ino)

    def _paths(self) -> list[str]:
        try:
            names = os.listdir(self._directory)
        except OSError:
            return []
        return [
            os.path.join(self._directory, name)
            for name in names
            if name.startswith(self._stem + ".") and name.endswith(self._suffix)
        ]

    def _numbered(self) -> list[tuple[int, str]]:
        """Return the files that have rows, each with its first number, in their order."""
        found = []
        for path in self._paths():
            with contextlib.suppress(OSError, ValueError):
                with open(path, "rb") as file:
                    line = file.readline()
                if line.endswith(b"\n"):
                    found.append((int(line.partition(b" ")[0]), path))
        return sorted(found)


def _last_number(path: str) -> int:
    """Return the number of the last whole line of a file; 0 where there is none."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = max(size - _TAIL, 0)
        while True:
            file.seek(start)
            lines = file.read().split(b"\n")[:-1]  # behind the last line break is nothing whole
            if start and len(lines) < 2:  # the first may begin before
                start = max(start - 64 * _TAIL, 0)
                continue
            return int(lines[-1].partition(b" ")[0]) if lines else 0
