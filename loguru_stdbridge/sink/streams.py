"""Writes finished lines to standard output, a pipe or a terminal instead of a file.

A stream cannot be read back, cut or rotated. Its ledger has no place beside it, so the receiver
names a directory for it.

What is promised for a stream
-----------------------------
A record that the stream took is not written again. After a ``kill -9`` in the middle of a write
nobody can tell how much the stream took. So the lines go out in pieces of at most :data:`PIECE`
bytes, and after the kill the piece in hand counts as written, which is told; a newline ends the
line that may be torn. In all other cases nothing is lost. A piece is no longer than what a pipe
takes in one step, so lines of other programs that write to the same pipe do not get into the middle
of ours.

A stream that takes nothing for :data:`READER_TIMEOUT` seconds, because nobody reads it, is an error
for the writer, which tries again. So the receiver serves its clients meanwhile. A line that the
stream has begun to take is finished first.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import stat
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Callable, NamedTuple, Optional

from ..exceptions import ConfigurationError, LedgerHeldError, SinkError
from ..system.locks import let_go, take_lock
from ..system.pipes import is_writable, open_to_write
from .blocks import Block
from .encoding import LineEncoder
from .files import STREAM
from .internals import SinkPath, escape_path
from .ledger import MAX_SILENCE, Ledger

PIECE = 4096
"""Bytes that a pipe takes in one step or not at all (``PIPE_BUF`` of Linux; POSIX says 512)."""

READER_TIMEOUT = 1.0
"""Seconds to wait for a stream that takes nothing."""

_STANDARD = {"-": 1, "/dev/stdout": 1, "/dev/stderr": 2}
_DESCRIPTOR = re.compile(r"/dev/fd/(\d+)|/proc/self/fd/(\d+)")
_MAX_LINKS = 40  # as in the kernel
_BRIEF = 0.005  # seconds

Run = tuple[Optional[str], int, int]
"""Consecutive numbers of a sender: the sender, the first number, how many."""


class Stream(NamedTuple):
    """A stream that a sink's path names."""

    name: str
    """The path, as it was given."""

    descriptor: int | None
    """The open file of this process that it means; ``None`` for a path to open."""

    path: str
    """The path behind all links."""


def find_stream(path: str | Path) -> Stream | None:
    """Return the stream that ``path`` names; ``None`` for a file, or for what is not there yet.

    ``-``, ``/dev/stdout``, ``/dev/stderr`` and ``/dev/fd/N`` are streams whatever is behind them.
    """
    target = os.fspath(path)
    name = "standard output" if target == "-" else target
    for _ in range(_MAX_LINKS):
        match = _DESCRIPTOR.fullmatch(target)
        if match is not None:
            return Stream(name, int(match.group(1) or match.group(2)), target)
        if target in _STANDARD:
            return Stream(name, _STANDARD[target], target)
        try:
            target = os.path.join(os.path.dirname(target), os.readlink(target))
        except OSError:
            break
    try:
        mode = os.stat(target).st_mode
    except (OSError, ValueError):
        return None
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else Stream(name, None, target)


def open_stream_ledger(
    directory: str | Path,
    stream: Stream,
    instance: str = "",
    report: Callable[[str], None] = lambda text: None,
) -> Ledger:
    """Open a ledger for a stream in a directory that the receivers of a user share.

    The next receiver of the same stream and ``instance`` (the command that it runs) gets the ledger
    of one that has ended. Any number of them may run at the same time. Raises :class:`LedgerError`.
    """
    text = f"{stream.name}\0{instance}".encode("utf-8", "surrogateescape")
    key = hashlib.sha256(text).hexdigest()
    place = Path(directory)
    _remove_old_ledgers(place)
    number = 0
    while True:
        number += 1
        path = str(place / f"{key[:16]}-{number}")
        try:
            return Ledger.open(SinkPath(escape_path(path), place, None), report=report)
        except LedgerHeldError:
            continue


def _remove_old_ledgers(place: Path) -> None:
    """Remove the ledgers of receivers that have not been started again for long."""
    for lock in place.glob(".*.lock"):
        ledger = lock.with_suffix(".ledger")
        with contextlib.suppress(OSError):
            if time.time() - os.stat(ledger).st_mtime < MAX_SILENCE:
                continue
            descriptor = take_lock(str(lock))
            if descriptor is not None:
                os.unlink(ledger)
                os.unlink(lock)
                let_go(descriptor)


class StreamSink:
    """A stream as the sink of one receiver. Used by the receiver's one thread."""

    needs_records = False

    def __init__(
        self,
        stream: Stream,
        ledger: Ledger,
        *,
        encoding: str = "utf8",
        errors: str = "backslashreplace",
        newline: str | None = None,
        fsync: bool = False,
        report: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> None:
        """``ledger`` is one of :func:`open_stream_ledger`.

        Raises :class:`ConfigurationError` for options that a stream cannot follow, ``OSError`` for
        one of this process that is closed.
        """
        if fsync:
            options["fsync"] = fsync
        for name, value in options.items():
            raise ConfigurationError(
                f"{name}={value!r}: leave it out, {stream.name} is a stream; or name a file as the "
                "sink"
            )
        self.bytes_written = 0
        """Bytes that the stream took so far."""
        self.rotations = 0
        """None: a stream is not rotated."""
        self.size_limit: int | None = None
        self._encoder = LineEncoder(encoding, errors, newline)
        self._stream = stream
        self._ledger = ledger
        self._descriptor = -1
        # The rest of a line that the stream has begun to take; of one that a kill tore, its end.
        self._begun = self._encoder.encode("\n") if ledger.may_be_torn else b""
        if stream.descriptor is not None:
            self._descriptor = os.dup(stream.descriptor)
            return
        try:
            self._open()
        except OSError as error:
            if error.errno != errno.ENXIO:  # a named pipe that nobody reads yet
                raise

    @property
    def path(self) -> str:
        """The stream's name."""
        return self._stream.name

    def write(self, blocks: Sequence[Block]) -> int:
        """Write lines in order, settle them in the ledger, return how many they were.

        Raises :class:`SinkError` where the stream did not take all; its ``written`` says how many
        of them, from the first, it took or has begun to take.
        """
        written = 0
        try:
            self._open()
            self._ledger.use_file(STREAM, self._stream.name)
            self._send_begun()
            for runs, texts in self._pieces(blocks):
                data, lengths = self._encoder.encode_all(texts)
                self._ledger.intend(0, runs, lengths, b"")
                taken, error = self._send(data)
                lines = len(lengths) if error is None else self._begin_line(data, lengths, taken)
                self._ledger.settle(lines)
                written += lines
                self.bytes_written += taken
                if error is not None:
                    raise error
        except OSError as error:
            if error.errno == errno.EPIPE:  # another reader needs no rest of a line
                self._begun = b""
                self.reopen()
            raise SinkError(f"cannot write {self._stream.name}: {error}", written) from error
        finally:
            with contextlib.suppress(OSError):  # then a kill leaves the last piece in doubt
                self._ledger.note_settled()
        return written

    def _pieces(self, blocks: Sequence[Block]) -> Iterator[tuple[list[Run], list[str]]]:
        """Split the lines into pieces of :data:`PIECE` bytes; a longer line is one of its own."""
        runs: list[Run] = []
        texts: list[str] = []
        size = 0
        for block in blocks:
            start = 0
            for index, text in enumerate(block.texts):
                length = self._encoder.length(text)
                if texts and size + length > PIECE:
                    if index > start:
                        runs.append((block.sender, block.first + start, index - start))
                    yield runs, texts
                    runs, texts, size, start = [], [], 0, index
                texts.append(text)
                size += length
            if len(block.texts) > start:
                runs.append((block.sender, block.first + start, len(block.texts) - start))
        if texts:
            yield runs, texts

    def _begin_line(self, data: bytes, lengths: Sequence[int], taken: int) -> int:
        """Keep the rest of a line that the stream has begun to take; return how many count."""
        ends = list(accumulate(lengths))
        lines = bisect_right(ends, taken)
        if taken > (ends[lines - 1] if lines else 0):
            self._begun = data[taken : ends[lines]]
            lines += 1
        return lines

    def _send_begun(self) -> None:
        """Finish the line that the stream has begun to take. Raises ``OSError``."""
        taken, error = self._send(self._begun)
        self._begun = self._begun[taken:]
        if error is not None:
            raise error

    def _send(self, data: bytes) -> tuple[int, OSError | None]:
        """Return how many bytes the stream took, and why not all."""
        taken = 0
        deadline = time.monotonic() + READER_TIMEOUT
        while taken < len(data):
            try:
                if not is_writable(self._descriptor, deadline - time.monotonic()):
                    return taken, OSError(
                        errno.EAGAIN, f"nobody has read it for {READER_TIMEOUT:g} s"
                    )
                taken += os.write(self._descriptor, data[taken : taken + PIECE])
                deadline = time.monotonic() + READER_TIMEOUT
            except BlockingIOError:  # room for less than a piece
                time.sleep(_BRIEF)
            except OSError as error:
                return taken, error
        return taken, None

    def _open(self) -> None:
        """Open a stream that is no open file of this process. Raises ``OSError``."""
        if self._descriptor < 0:
            self._descriptor = open_to_write(self._stream.path)

    def reopen(self) -> None:
        """Open a named pipe or a device anew with the next write."""
        if self._stream.descriptor is None:
            self._close_descriptor()

    def close(self) -> None:
        """Finish a line that the stream has begun to take, if it takes it. Never raises."""
        with contextlib.suppress(OSError):
            self._send_begun()
        self._close_descriptor()

    def _close_descriptor(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
