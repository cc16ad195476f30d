"""Writes finished lines to the rotated log file, and keeps the ledger in step.

loguru's own file sink, on a private logger, opens, rotates and renames the file; ``retention``,
``{time}`` in the path and ``watch`` are loguru's too. The bytes are written here, with ``os.write``
on that file's descriptor. So a batch of lines is one write. No text ever waits in a Python file
buffer, where a failed write would leave it, and the next one would write it again.

How a rotation is decided
-------------------------
loguru's ``rotation=`` takes a callable and hands it the open file. Through such a callable this
module learns which file is open, and tells loguru when to rotate. When that is, is decided by the
function that loguru itself compiles "100 MB" or "00:00" to. This function is shown a view of the
file that counts the lines about to be written. A rotation by time goes by this machine's clock, so
the time that a peer claims for a record cannot stall it.

Why a failure loses and doubles nothing
---------------------------------------
After a write that fails half-way, the torn line is cut off the file, and the ledger is told how
many lines were written. Where the file cannot be cut, that is done before the next write. Nothing
is cut once another program has appended to the file. After a rotation that fails (a rename is
denied; a retention or a rotation function raises), lines go on into the file that is there. The
failure is told, and the rotation is tried again later.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Callable

from ..exceptions import ConfigurationError, LedgerHeldError, SinkError
from ..system.files import sync_directory, sync_file
from .archive import Archiver
from .blocks import Block, FileView, Message
from .encoding import LineEncoder
from .files import FileId
from .internals import Rotation, compile_rotation, private_logger, read_sink_path, read_size
from .ledger import Ledger
from .retention import spare_other_logs

ROTATION_RETRY = 5.0
"""Seconds after a failed rotation before the next attempt."""

_REFUSED_OPTIONS = {
    "enqueue": "all lines are written by one thread already",
    "catch": "the receiver must learn of a failed write",
    "buffering": "a batch of lines is one write already",
    "context": "there is no queue",
    "loop": "the sink is a file",
}


class RotatingSink:
    """The log file of one receiver. Used by the receiver's one thread."""

    def __init__(
        self,
        path: str | Path,
        ledger: Ledger,
        *,
        rotation: Any = None,
        compression: Any = None,
        encoding: str = "utf8",
        errors: str = "backslashreplace",
        newline: str | None = None,
        watch: bool = True,
        fsync: bool = False,
        report: Callable[[str], None] = lambda text: None,
        **options: Any,
    ) -> None:
        """Open the log file at ``path``, whose ledger is ``ledger``.

        ``options`` are loguru's other options of a file sink (``retention``, ``delay``, ...).
        ``fsync`` makes :meth:`write` wait until the disk itself holds the lines. Raises what loguru
        raises for values that it cannot use, :class:`ConfigurationError` for options that this sink
        cannot follow, :class:`LedgerHeldError` where another receiver writes the file under another
        name, ``OSError`` where the file cannot be opened.
        """
        for name, why in _REFUSED_OPTIONS.items():
            if name in options:
                raise ConfigurationError(f"{name}={options[name]!r}: leave it out, {why}")
        if options.get("mode", "a") != "a":
            raise ConfigurationError(
                f"mode={options['mode']!r}: use 'a', which keeps the lines of earlier runs"
            )
        self._encoder = LineEncoder(encoding, errors, newline)
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
        self.bytes_written = 0
        """Bytes of the lines that were written so far."""
        self.rotations = 0
        """Rotations so far that worked."""
        self.size_limit = read_size(rotation)
        """Bytes at which the file is rotated; ``None`` where no size decides."""
        self._lines_written = 0  # by the call of write() that is under way
        self._write_error: OSError | None = None  # of that call
        self._synced: FileId | None = None  # the file whose name the disk itself holds
        self._postponed_cut: tuple[FileId, int, int] | None = None  # size, torn bytes of it
        self._pending: list[Block] = []
        self._logger = private_logger()
        self.archiver = None if compression is None else Archiver(compression, path, ledger, report)
        self._compresses = self.archiver is not None
        sink_path = read_sink_path(path)
        self._path = sink_path.template
        self._retention = spare_other_logs(options.get("retention"), sink_path, report)
        self._options: dict[str, Any] = {
            **options,
            "retention": self._retention,
            "rotation": self._on_message,
            "compression": None if self.archiver is None else self.archiver.add_rotated,
            "encoding": encoding,
            "errors": errors,
            "newline": newline,
            "watch": watch,
            "format": "{message}",
            "level": 0,
            "catch": False,
            "enqueue": False,
        }
        self._handler: int | None = self._logger.add(self._path, **self._options)
        self._log_raw = self._logger.opt(raw=True).info
        self._record_of_now: Mapping[str, Any] = {}
        self._now: Message | None = None
        self._clock = private_logger()
        self._clock.add(self._keep_record_of_now, level=0, catch=False, format="")
        if not options.get("delay"):
            try:
                with contextlib.suppress(OSError):  # a full disk: the first write tries it again
                    self._open_file()
            except LedgerHeldError:
                self.close()
                raise

    @property
    def path(self) -> str:
        """The file that lines go to now; with ``delay`` empty before the first line."""
        return "" if self._file is None else str(self._file.name)

    def _on_message(self, message: Any, file: Any) -> bool:
        """Learn the open file, and answer loguru whether to rotate it."""
        self._file = file
        # loguru may just have opened another file, which somebody has put at the path.
        return self._rotate_now and self._ledger.is_locked(FileId.of(os.fstat(file.fileno())))

    @property
    def needs_records(self) -> bool:
        """Whether a rotation function is the user's, which may look at the records."""
        return self._rotation is not None and self._rotation.has_function

    def write(self, blocks: Sequence[Block]) -> int:
        """Write lines in order, settle them in the ledger, return how many they were.

        Raises :class:`SinkError` where not all could be written; its ``written`` says how many of
        them, from the first, are in the file and settled.
        """
        self._lines_written = 0
        self._pending = []
        self._write_error = None
        self._now = None
        try:
            self._open_file()
            for block in blocks:
                self._add_block(block)
            self._write_pending()
        except OSError as error:
            raise SinkError(
                f"cannot write {self.path or self._path}: {error}", self._lines_written
            ) from error
        finally:
            self._pending = []
        return self._lines_written

    def _open_file(self) -> None:
        """Have loguru open its file; with ``watch`` a new one, where the file was moved away."""
        if self._handler is None:  # reopen() failed
            self._handler = self._logger.add(self._path, **self._options)
        self._log_raw("")
        self._finish_cut()
        file = FileId.of(os.fstat(self._file.fileno()))
        if self._fsync and file != self._synced:
            sync_directory(os.path.dirname(self.path))
            self._synced = file
        self._ledger.use_file(file, self.path)
        self._view.position = os.fstat(self._file.fileno()).st_size

    def _add_block(self, block: Block) -> None:
        """Add lines to the next write, with a rotation before each line that asks for one."""
        rotation = self._rotation
        if self.needs_records and len(block.texts) > 1:
            # The function may look at the file, which must hold the lines before the one it is
            # given.
            for index in range(len(block.texts)):
                self._add_block(block.line(index))
            return
        fresh = False  # as in loguru, the first line of a new file never asks for a rotation
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
        """Return how many lines of a block go to the open file; ``None``: all of them."""
        texts, view = block.texts, self._view
        if rotation.kind == "time":
            # The time is the clock's, so the answer is the same for every line.
            return 0 if not fresh and rotation.decide(self._message_of_now(), view) else None
        start = view.position
        try:
            joined = "".join(texts)
            # loguru adds a line's characters to the file's bytes: no line may have fewer bytes.
            if rotation.kind == "size" and (self._encoder.never_shrinks or joined.isascii()):
                # The file only grows, so no for the last line is no for all.
                last = next((text for text in reversed(texts) if text), "")
                view.position = start + self._encoder.length(joined) - self._encoder.length(last)
                if not rotation.decide(last, view):
                    return None
                view.position = start
            for index, text in enumerate(texts):
                if text and not fresh and self._wants_rotation(self._message(block, index)):
                    return index
                fresh = fresh and not text
                view.position += self._encoder.length(text)
            return None
        finally:
            view.position = start

    def _wants_rotation(self, message: str) -> bool:
        """Ask the rotation function. One that raises is told of, and has answered no."""
        assert self._rotation is not None
        try:
            answer = self._holds(self._rotation, message)
        except Exception as error:
            if self._write_error is None:
                self._tell_failed_rotation(error)
            answer = False
        # The function looked at the file, so lines were written; it may have caught their error.
        if self._write_error is not None:
            raise self._write_error
        return answer

    def _holds(self, rotation: Rotation, message: str) -> bool:
        """Return whether a condition asks for a new file before ``message``."""
        if rotation.parts:
            return any(self._holds(part, message) for part in rotation.parts)
        if rotation.kind == "time":  # the time is the clock's, whatever a peer says
            message = self._message_of_now()
        return bool(rotation.decide(message, self._view))

    def _message(self, block: Block, index: int) -> str:
        if not block.records:
            return block.texts[index]
        message = Message(block.texts[index])
        message.record = block.records[index]
        return message

    def _add_pending(self, block: Block) -> None:
        if block.texts:
            self._pending.append(block)
            self._view.position += self._encoder.length("".join(block.texts))

    def _message_of_now(self) -> str:
        """Make a message of the present time, for a rotation that goes by a record's time.

        It is one message for all lines of a write.
        """
        if self._now is None:
            self._clock.info("")
            self._now = Message("")
            self._now.record = self._record_of_now
        return self._now

    def _keep_record_of_now(self, message: Any) -> None:
        self._record_of_now = message.record

    def _rotate(self) -> bool:
        """Rotate the file; return whether that worked.

        Raises ``OSError`` only where no file is open then. A retention lists the directory, then
        looks at each file; one of them may become an archive in between. The retention raises
        ``FileNotFoundError`` then, but the rotation has worked, and the next retention sees the
        rest.
        """
        self._ledger.note_rotation()
        self._rotate_now = True
        failure: BaseException | None = None
        swapping = contextlib.nullcontext() if self.archiver is None else self.archiver.swap_lock
        try:
            with swapping:
                self._log_raw("")
        except Exception as error:
            failure = error
        finally:
            self._rotate_now = False
        self._open_file()
        file_is_new = isinstance(failure, FileNotFoundError) and not self._view.position
        if failure is None or file_is_new:
            self.rotations += 1
            self._rotation_failing = False
            return True
        self._tell_failed_rotation(failure)
        return False

    def _tell_failed_rotation(self, failure: BaseException) -> None:
        """Tell of the first failure of several, and put the next attempt off."""
        self._rotate_after = time.monotonic() + ROTATION_RETRY
        if not self._rotation_failing:
            self._report(
                f"a rotation of {self.path} failed: {type(failure).__name__}: {failure}; lines go "
                f"on into the same file, and the rotation is tried again each {ROTATION_RETRY:g} s"
            )
        self._rotation_failing = True

    def _written_file(self) -> Any:
        """Write the lines in hand, and return the open file."""
        self._write_pending()
        return self._file

    def _write_pending(self) -> None:
        """Note the intent, write, settle. Raises ``OSError``, with the file cut to whole lines."""
        blocks, self._pending = self._pending, []
        if not blocks:
            return
        data, lengths = self._encoder.encode_all([text for block in blocks for text in block.texts])
        descriptor = self._file.fileno()
        offset = os.fstat(descriptor).st_size
        runs = [(block.sender, block.first, len(block.texts)) for block in blocks]
        self._ledger.intend(offset, runs, lengths, data)
        if self._fsync:
            self._ledger.sync()
        written = last_write = 0
        try:
            view = memoryview(data)
            while written < len(data):
                last_write = os.write(descriptor, view[written:])
                written += last_write
            if self._fsync:
                sync_file(descriptor)
        except OSError as error:
            self._write_error = error
            # After a failed fsync nobody knows which of the new bytes the disk holds.
            kept = 0 if self._fsync else written
            whole = sum(end <= kept for end in accumulate(lengths))
            self._cut_torn_line(written - sum(lengths[:whole]), last_write)
            self._ledger.settle(whole)
            self._lines_written += whole
            self.bytes_written += sum(lengths[:whole])
            raise
        self._ledger.settle()
        self._lines_written += len(lengths)
        self.bytes_written += len(data)

    def _cut_torn_line(self, torn: int, last_write: int) -> None:
        """Cut the last ``torn`` bytes of a failed write off, now or before the next write.

        They are the file's last bytes, unless another program has appended something behind them:
        then nothing is cut. ``last_write`` are the bytes of the last successful ``os.write``.
        """
        descriptor = self._file.fileno()
        status = os.fstat(descriptor)
        position = os.lseek(descriptor, 0, os.SEEK_CUR)  # where the last write ended
        if torn and position == status.st_size and torn <= last_write:
            self._postponed_cut = (FileId.of(status), position, torn)
            with contextlib.suppress(OSError):
                self._finish_cut()
        elif torn:
            self._tell_torn_line(torn)

    def _finish_cut(self) -> None:
        """Do a postponed cut, if the torn line is still the end of the file. Raises ``OSError``."""
        if self._postponed_cut is not None:
            file, size, torn = self._postponed_cut
            status = os.fstat(self._file.fileno())
            if (FileId.of(status), status.st_size) == (file, size):
                os.ftruncate(self._file.fileno(), size - torn)
            elif FileId.of(status) == file:
                self._tell_torn_line(torn)
            self._postponed_cut = None

    def _tell_torn_line(self, torn: int) -> None:
        self._report(
            f"the last {torn} bytes of a write to {self.path} that failed are left there, because "
            "another program has appended to the file since; their records will be written again"
        )

    def follow(self, rotation: Rotation | None, retention: Any, archiver: Archiver | None) -> None:
        """Follow other options from now on; without an ``archiver`` nothing more is compressed."""
        self._rotation, self._retention, self._rotate_after = rotation, retention, 0.0
        self._compresses = bool(archiver)
        self.archiver = archiver or self.archiver  # it may have files in hand
        compress = None if archiver is None else archiver.add_rotated
        self._options.update(retention=retention, compression=compress)
        self.reopen()

    def reopen(self) -> None:
        """Close the file and open what is at its path now, as after logrotate.

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
        """Close the file, and finish the archives in the making, for a bounded time. Never raises.

        As in loguru, a file without a rotation is compressed now, and a retention removes old
        files.
        """
        path = self.path
        try:
            if path and self._compresses and self._rotation is None:
                with contextlib.suppress(OSError, LedgerHeldError):
                    self._open_file()  # a file that was removed is made anew and compressed
            if self._handler is not None:
                handler, self._handler = self._handler, None
                self._logger.remove(handler)
            if self.archiver is not None:
                if self._compresses and self._rotation is None and path and self._is_ours(path):
                    self._ledger.note_rotation()
                    self.archiver.add_closed(path)
                self.archiver.close()
            if self._rotation is None and self._retention is not None:
                self._logger.remove(
                    self._logger.add(self._path, retention=self._retention, delay=True)
                )
        except Exception as error:
            self._report(
                f"{path or self._path} could not be closed in order ({type(error).__name__}: "
                f"{error}); what was acknowledged is in it, but a compression or retention at the "
                "end may be missing"
            )

    def _is_ours(self, path: str) -> bool:
        """Return whether the file at ``path`` is the one that this process writes."""
        with contextlib.suppress(OSError):
            return self._ledger.is_locked(FileId.of(os.stat(path)))
        return False
