"""The one rotating sink: finished lines in, the file and the ledger in step.

Owns the writing. Opening, rotating, renaming, retention, ``{time}`` in the path and ``watch`` are
those of loguru's own file sink, on a private logger; the bytes are written here, with ``os.write``
on its file's descriptor. So a batch is one write, and no text ever waits in a Python file buffer,
where a failed write would leave it to go out again with the next one.

Rotation
--------
loguru's ``rotation=`` takes a callable, which is handed the open file: that is how this module
knows the file, and how it says when to rotate. Whether to, it asks of the very function that loguru
compiles "100 MB" or "00:00" to, with a view of the file that counts what is about to be written. A
rotation by time goes by this machine's clock: a peer's claims cannot stall it.

Failure
-------
A write that fails half-way is cut back to the last whole line, which is what the ledger is told.
Where not even that is possible, it is done before anything else is written. A rotation that fails
(a rename denied, a retention or a rotation function that raises) is told and tried again later;
lines go on into the file that is there.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import time
import zlib
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Callable

from ..exceptions import ConfigurationError, SinkError
from .archive import Archive
from .blocks import Block, FileView, Message
from .files import FileId, sync_directory
from .internals import Rotation, compile_rotation, private_logger, read_sink_path
from .ledger import Ledger

ROTATION_RETRY = 5.0
"""Seconds after a failed rotation before the next attempt."""

_NOT_OURS = {
    "enqueue": "the receiver is one process already",
    "catch": "a failed write must be known",
    "buffering": "a batch is one write",
    "context": "there is no queue",
    "loop": "the sink is a file",
}


_KEEP_LENGTH = ("strict", "backslashreplace", "replace", "xmlcharrefreplace", "surrogateescape")
_ASCII = "".join(map(chr, range(128)))


class RotatingSink:
    """See the module's text. Used by the receiver's one thread."""

    def __init__(
        self,
        path: str | Path,
        ledger: Ledger,
        *,
        rotation: Any = None,
        compression: Any = None,
        encoding: str = "utf8",
        errors: str = "backslashreplace",
        watch: bool = True,
        fsync: bool = False,
        report: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> None:
        """``options`` are the other words of loguru's file sink (``retention``, ``delay``, ...).

        Raises what loguru raises for values that it cannot use, :class:`ConfigurationError` for
        words that cannot be kept here, ``OSError`` where the file cannot be opened.
        """
        for name, why in _NOT_OURS.items():
            if name in options:
                raise ConfigurationError(f"{name}={options[name]!r}: leave it out, {why}")
        if options.get("mode", "a") != "a":
            raise ConfigurationError(f"mode={options['mode']!r}: only 'a' keeps what was written")
        self._encoding = _check_encoding(encoding)
        self._errors = errors
        codecs.lookup_error(errors)
        # loguru adds characters to bytes: no line may have more of the first than of the second.
        self._never_shrinks = codecs.lookup(encoding).name == "utf-8" and errors in _KEEP_LENGTH
        self._ledger = ledger
        if fsync:
            ledger.make_durable()
        self._fsync = fsync
        self._report = report
        self._rotation = compile_rotation(rotation)
        self._view = FileView(self._written_file)
        self._file: Any = None
        self._rotate_now = False
        self._rotate_after = 0.0
        self._rotation_failing = False
        self._write_error: OSError | None = None  # of the write that is under way
        self._synced: FileId | None = None  # whose name the disk itself holds
        self._must_cut: tuple[FileId, int] | None = None
        self._pending: list[Block] = []
        self._logger = private_logger()
        self._archive = None if compression is None else Archive(compression, path, ledger, report)
        self._path = read_sink_path(path).template
        self._retention = options.get("retention")
        self._options: dict[str, Any] = {
            **options,
            "rotation": self._on_message,
            "compression": None if self._archive is None else self._archive.take,
            "encoding": encoding,
            "errors": errors,
            "watch": watch,
            "format": "{message}",
            "level": 0,
            "catch": False,
            "enqueue": False,
        }
        self._handler: int | None = self._logger.add(self._path, **self._options)
        self._tick = self._logger.opt(raw=True).info
        self._now: Mapping[str, Any] = {}
        self._clock = private_logger()
        self._clock.add(self._note_now, level=0, catch=False, format="")

    @property
    def path(self) -> str:
        """The file that lines go to now; empty before the first with ``delay``."""
        return "" if self._file is None else str(self._file.name)

    def _on_message(self, message: Any, file: Any) -> bool:
        """loguru asks before each message whether to rotate, and shows its file."""
        self._file = file
        return self._rotate_now

    @property
    def needs_records(self) -> bool:
        """Whether the rotation looks at the records themselves."""
        return self._rotation is not None and self._rotation.kind == "user"

    def write(self, blocks: Sequence[Block]) -> int:
        """Write lines in order; returns how many. All are settled in the ledger then.

        Raises :class:`SinkError` where not all could be written; its ``written`` says how many,
        from the first, are in the file and settled.
        """
        self._done = 0
        self._pending = []
        self._write_error = None
        try:
            self._open_file()
            for block in blocks:
                self._place(block)
            self._write_pending()
        except OSError as error:
            raise SinkError(
                f"cannot write {self.path or self._path}: {error}", self._done
            ) from error
        finally:
            self._pending = []
        return self._done

    def _open_file(self) -> None:
        """Have loguru open its file, or open it anew where it is gone (``watch``)."""
        if self._handler is None:  # a reopening failed
            self._handler = self._logger.add(self._path, **self._options)
        self._tick("")
        status = os.fstat(self._file.fileno())
        file = FileId.of(status)
        if self._must_cut is not None:
            cut_file, size = self._must_cut
            if cut_file == file:
                os.ftruncate(self._file.fileno(), size)
            self._must_cut = None
        if self._fsync and file != self._synced:
            sync_directory(os.path.dirname(self.path))
            self._synced = file
        self._ledger.use_file(file, self.path)
        self._view.position = os.fstat(self._file.fileno()).st_size

    def _place(self, block: Block) -> None:
        """Have the lines of a block written, with a rotation before each that asks for one."""
        rotation = self._rotation
        if self.needs_records and len(block.texts) > 1:
            # It may look at the file, which must hold what came before.
            for index in range(len(block.texts)):
                self._place(block.line(index))
            return
        fresh = False  # the first line of a new file is not asked about again, as in loguru
        while rotation is not None and block.texts and time.monotonic() >= self._rotate_after:
            ahead = self._lines_before_rotation(block, rotation, fresh)
            if ahead is None:
                break
            self._add_pending(Block(block.sender, block.first, block.texts[:ahead], []))
            self._write_pending()
            block = block.rest(ahead)
            fresh = self._rotate()
            if not fresh:
                break
        self._add_pending(block)

    def _lines_before_rotation(self, block: Block, rotation: Rotation, fresh: bool) -> int | None:
        """How many lines of a block go to the file that is open; ``None`` for all of them."""
        texts, view = block.texts, self._view
        if rotation.kind == "time":
            # It goes by the clock, so one answer is every line's.
            return 0 if not fresh and rotation.decide(self._clock_message(), view) else None
        start = view.position
        try:
            if rotation.kind == "size" and (self._never_shrinks or "".join(texts).isascii()):
                # The answer can only turn from no to yes on the way: no for the last is no for all.
                last = next((text for text in reversed(texts) if text), "")
                view.position = start + self._length("".join(texts)) - self._length(last)
                if not rotation.decide(last, view):
                    return None
                view.position = start
            for index, text in enumerate(texts):
                if text and not fresh and self._asks(rotation, self._message(block, index)):
                    return index
                fresh = fresh and not text
                view.position += self._length(text)
            return None
        finally:
            view.position = start

    def _asks(self, rotation: Rotation, message: str) -> bool:
        """Whether the rotation function wants a new file; one that raises is told, and does not."""
        try:
            answer = bool(rotation.decide(message, self._view))
        except Exception as error:
            if self._write_error is None:
                self._tell_failed_rotation(error)
            answer = False
        if self._write_error is not None:  # it made us write, and may have caught what came of it
            raise self._write_error
        return answer

    def _message(self, block: Block, index: int) -> str:
        if not block.records:
            return block.texts[index]
        message = Message(block.texts[index])
        message.record = block.records[index]
        return message

    def _add_pending(self, block: Block) -> None:
        if block.texts:
            self._pending.append(block)
            self._view.position += self._length("".join(block.texts))

    def _clock_message(self) -> str:
        """A message of now, for the rotations that go by the time of a record."""
        self._clock.info("")
        message = Message("")
        message.record = self._now
        return message

    def _note_now(self, message: Any) -> None:
        self._now = message.record

    def _length(self, text: str) -> int:
        return len(text) if text.isascii() else len(self._bytes(text))

    def _bytes(self, text: str) -> bytes:
        """A line in the file's encoding; with ``errors="strict"`` too it is not lost."""
        try:
            return text.encode(self._encoding, self._errors)
        except UnicodeError:
            return text.encode(self._encoding, "backslashreplace")

    def _rotate(self) -> bool:
        """Rotate; returns whether it worked. Never raises for what the lines can do without.

        A retention may find that a file is gone between its look at the directory and its look at
        the file, since archives are made meanwhile. Its next sweep takes up the rest.
        """
        self._ledger.rotating()
        self._rotate_now = True
        failure: BaseException | None = None
        swapping = contextlib.nullcontext() if self._archive is None else self._archive.swapping
        try:
            with swapping:
                self._tick("")
        except Exception as error:
            failure = error
        finally:
            self._rotate_now = False
        self._open_file()
        vanished = isinstance(failure, FileNotFoundError) and not self._view.position
        if failure is None or vanished:
            self._rotation_failing = False
            return True
        self._tell_failed_rotation(failure)
        return False

    def _tell_failed_rotation(self, failure: BaseException) -> None:
        """Once, until one works; and leave it alone for a while."""
        self._rotate_after = time.monotonic() + ROTATION_RETRY
        if not self._rotation_failing:
            self._report(
                f"a rotation of {self.path} failed: {type(failure).__name__}: {failure}; "
                "it is tried again"
            )
        self._rotation_failing = True

    def _written_file(self) -> Any:
        """The open file, with the lines in hand in it."""
        self._write_pending()
        return self._file

    def _write_pending(self) -> None:
        """One write: intent, write, settled. Raises ``OSError``, cut back to whole lines."""
        blocks, self._pending = self._pending, []
        if not blocks:
            return
        data, lengths = self._encode([text for block in blocks for text in block.texts])
        descriptor = self._file.fileno()
        status = os.fstat(descriptor)
        offset = status.st_size
        runs = [(block.sender, block.first, len(block.texts)) for block in blocks]
        self._ledger.intend(offset, runs, lengths, zlib.crc32(data))
        if self._fsync:
            self._ledger.sync()
        written = 0
        try:
            view = memoryview(data)
            while written < len(data):
                written += os.write(descriptor, view[written:])
            if self._fsync:
                os.fsync(descriptor)
        except OSError as error:
            self._write_error = error
            # With fsync nothing is certain but what was there before; else what is whole stands.
            kept = 0 if self._fsync else written
            whole = sum(end <= kept for end in accumulate(lengths))
            end = sum(lengths[:whole])
            try:
                os.ftruncate(descriptor, offset + end)
            except OSError:
                self._must_cut = (FileId.of(status), offset + end)
            self._ledger.settle(whole)
            self._done += whole
            raise
        self._ledger.settle()
        self._done += len(lengths)

    def _encode(self, texts: list[str]) -> tuple[bytes, list[int]]:
        """The bytes of a block, and of each of its lines."""
        joined = "".join(texts)
        if joined.isascii():
            return joined.encode("ascii"), list(map(len, texts))
        parts = [self._bytes(text) for text in texts]
        return b"".join(parts), list(map(len, parts))

    def reopen(self) -> None:
        """Close loguru's file and open it anew, as after an outside rotation.

        Raises :class:`SinkError` where that fails; the next write tries again.
        """
        try:
            if self._handler is not None:
                handler, self._handler = self._handler, None
                self._logger.remove(handler)
            self._file = None
            self._handler = self._logger.add(self._path, **self._options)
        except OSError as error:
            raise SinkError(f"cannot open {self._path}: {error}") from error

    def close(self) -> None:
        """Close the file; archives in the making are finished, for a bounded time. Never raises.

        As in loguru, a file without a rotation is compressed now, and old ones are removed.
        """
        path = self.path
        try:
            if self._handler is not None:
                handler, self._handler = self._handler, None
                self._logger.remove(handler)
            if self._archive is not None:
                if self._rotation is None and path and os.path.exists(path):
                    self._ledger.rotating()
                    self._archive.take_closed(path)
                self._archive.close()
            if self._rotation is None and self._retention is not None:
                self._logger.remove(
                    self._logger.add(self._path, retention=self._retention, delay=True)
                )
        except Exception as error:
            self._report(f"closing {path or self._path}: {type(error).__name__}: {error}")


def _check_encoding(encoding: str) -> str:
    try:
        plain = _ASCII.encode(encoding) == _ASCII.encode("ascii")
    except UnicodeError:
        plain = False
    except LookupError as error:
        raise ConfigurationError(f"encoding={encoding!r} is not known to Python") from error
    if not plain:
        raise ConfigurationError(
            f"encoding={encoding!r}: one in which ASCII is one byte a character, such as utf8; "
            "lines are encoded one by one, and a mark at the start of each would be in the way"
        )
    return encoding
