"""A journal's directory in the hands of its living owner: the lock, ``meta``, and what is made in
it.

Sees whether they are still there and still the owner's, and puts right what can be put right. What
the segments hold is the business of :mod:`spool.contents`.

Why nobody adopts the journal of a living owner
-----------------------------------------------
The owner holds the OS lock of ``lock``, of ``meta`` and of the segment that it writes. An adopter
needs the lock of every file that is there. So a cleaner that removes some of them, or a program
that closes some of the descriptors, leaves enough to tell that the owner lives, and the owner puts
the rest right at its next look (:meth:`OwnedDirectory.regain`).

Only where all descriptors are closed can another process have had the journal meanwhile. The owner
notices that before its next record, since that write fails. If it gets the lock back, the journal
is its own as before: an adopter may have delivered a part, which ``meta`` tells. If not, or if the
directory is gone, the adopter has every record that was stored, and the owner begins anew with
another journal.
"""

from __future__ import annotations

import contextlib
import os
import time

from ..addresses import Address, LogName
from ..exceptions import JournalError
from ..system.files import replace_file
from ..system.locks import is_file_at, is_held, let_go, take_lock
from ..system.own_file import OwnFile, freshen
from ..system.users import current_user
from .belonging import describe_origin, note_log
from .contents import memory_of
from .directory import make_spool_dir, remove_emptied, remove_journal
from .segment_file import Segment
from .segments import (
    ACKED_AT,
    GIVEN_UP_AT,
    KNOWN_AT,
    META_SIZE,
    NUMBER,
    SEGMENT_HEADER,
    Meta,
    decode_meta,
    encode_meta,
    encode_meta_part,
    encode_record,
    encode_segment_header,
)

STALE = 30.0
"""Seconds after which the times of files are set anew: whatever removes old files goes by them."""


def new_sender_id() -> str:
    """Return 128 random bits as hex digits. Whoever knows them can speak for the sender."""
    return os.urandom(16).hex()


class OwnedDirectory:
    """The directory of one journal. The journal's lock is held in every call."""

    def __init__(self, path: str, meta: Meta, lock: int) -> None:
        """Own the directory at ``path`` by a ``lock`` that is taken. Raises ``OSError``."""
        self.path = path
        self.sender_id = meta.sender_id
        self.user = current_user()
        self._meta = meta
        self._numbers = {ACKED_AT: 0, GIVEN_UP_AT: 0, KNOWN_AT: 0}
        self._log: LogName | None = None
        self.is_noted = True
        """Whether the highest number that is acknowledged is noted."""
        self._lock = lock
        self._index = 0
        self._is_emptied = False  # it was removed, as far as it can be while it is locked
        self._file = self._write_meta()
        self._header = encode_meta_part(meta)
        self.header_size = SEGMENT_HEADER + len(self._header)

    @classmethod
    def make(cls, spool_dir: str, address: Address) -> OwnedDirectory:
        """Make a journal's directory. Raises ``OSError`` or :class:`JournalError`."""
        while True:
            sender_id = new_sender_id()
            path = os.path.join(spool_dir, sender_id)
            os.mkdir(path, 0o700)
            lock = _own(path)
            if lock is not None:
                break  # else an adopter took the half-made one for an orphan: another
        try:
            origin = describe_origin(address)
            meta = Meta(sender_id, str(address), 0, os.getpid(), time.time(), origin=origin)
            return cls(path, meta, lock)
        except BaseException:
            remove_journal(path)
            let_go(lock)
            remove_emptied(path)
            raise

    def _write_meta(self) -> OwnFile:
        numbers = self._numbers
        data = encode_meta(
            self._meta._replace(
                acked=numbers[ACKED_AT], given_up=numbers[GIVEN_UP_AT], known=numbers[KNOWN_AT]
            )
        )
        return _write_file(os.path.join(self.path, "meta"), data)

    # -- what is noted

    @property
    def acked(self) -> int:
        """The highest number that is noted as acknowledged, by whom ever."""
        return self._numbers[ACKED_AT]

    def note(self, at: int, number: int) -> None:
        """Note a number at its place in ``meta``, whole at any instant.

        What cannot be noted costs little: duplicates that their numbers reveal, or a gap that an
        adopter does not tell.
        """
        if self._numbers[at] != number:
            self._numbers[at] = number
            noted = self._write(NUMBER.pack(number), at)
            if at == ACKED_AT:
                self.is_noted = noted

    def note_log(self, log: LogName) -> None:
        """Note the log that the records belong to."""
        self._log = log
        with contextlib.suppress(OSError):  # at the next greeting again
            note_log(self.path, log)

    def _write(self, data: bytes, at: int) -> bool:
        try:
            return self._file.write(data, at) == len(data)
        except OSError as error:
            if error.errno is None:  # a signal handler's TimeoutError, say, which is the caller's
                raise
            return False

    # -- segments

    def new_segment(self, first: int, size: int) -> Segment:
        """Make the file of the next segment. Raises ``OSError``."""
        self._index += 1
        path = os.path.join(self.path, f"{self._index:010d}.seg")
        return Segment.in_file(path, first, size, encode_segment_header(first, self._header))

    def write_anew(self, segment: Segment, rows: dict[int, bytes]) -> Segment:
        """Return another segment with these ``rows`` in the place of ``segment``.

        It is in a file of the same path; in memory where no file can be made.
        """
        path = segment.path
        assert path is not None
        temporary = f"{path}.new"
        header = encode_segment_header(segment.first, self._header)
        size = len(header) + sum(len(encode_record(row, n)) for n, row in rows.items())
        saved: Segment | None = None
        try:
            _remove(temporary)
            saved = Segment.in_file(temporary, segment.first, size, header)
            offset = saved.start
            for number, row in rows.items():
                record = encode_record(row, number)
                if not saved.write(record, offset):
                    raise saved.trouble or OSError(0, "it takes no more")
                offset += len(record)
            replace_file(temporary, path)
        except OSError as error:
            if error.errno is None:
                raise
            if saved is not None:
                saved.release()
            return memory_of(segment, rows)
        saved.path, saved.last, saved.end = path, segment.last, offset
        saved.close()
        return saved

    # -- the owner's look

    def is_intact(self) -> bool:
        """Return whether lock and ``meta`` are there, and this process's."""
        return (
            is_held(self._lock)
            and is_file_at(self._lock, os.path.join(self.path, "lock"))
            and self._file.is_intact(META_SIZE)
        )

    def regain(self) -> bool:
        """Put right what is missing; return False where the journal is another process's now.

        Raises ``OSError`` or :class:`JournalError` where that cannot be done.
        """
        if not self._regain_lock():
            return False
        if not self._file.is_intact(META_SIZE):
            before, self._file = self._file, self._write_meta()
            before.close()
            self.is_noted = True
        if self._log is not None and not os.path.exists(os.path.join(self.path, "log")):
            note_log(self.path, self._log)
        return True

    def _regain_lock(self) -> bool:
        path = os.path.join(self.path, "lock")
        if is_held(self._lock) and is_file_at(self._lock, path):
            return True
        if is_held(self._lock) or self._file.is_ours():  # nobody can have had it: see above
            make_spool_dir(os.path.dirname(self.path))
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.path, 0o700)
            lock = take_lock(path, create=True)
            if lock is None:  # an adopter, who finds the other files locked, and leaves
                return True
        else:
            try:
                lock = take_lock(path)
            except FileNotFoundError:
                lock = None
            if lock is None:
                return False
            self._read_notes()
        before, self._lock = self._lock, lock
        let_go(before)
        return True

    def _read_notes(self) -> None:
        """See what an adopter has delivered."""
        with contextlib.suppress(OSError, JournalError):
            with open(os.path.join(self.path, "meta"), "rb") as file:
                noted = decode_meta(file.read(META_SIZE + 1))
            self._numbers[ACKED_AT] = max(self._numbers[ACKED_AT], noted.acked)

    def freshen(self) -> None:
        """Set the times of lock and ``meta`` to now, where they are old."""
        for name in ("lock", "meta", "log"):
            freshen(os.path.join(self.path, name), STALE)

    # -- the end

    def remove(self) -> None:
        """Remove the directory and all that is in it."""
        self._file.close()
        self._is_emptied = not remove_journal(self.path)

    def release(self) -> None:
        """Let the lock go: the directory is an orphan now, if it is still there."""
        self._file.close()
        let_go(self._lock)
        if self._is_emptied:
            remove_emptied(self.path)

    def after_fork_in_child(self) -> None:
        """Close the child's copies; :mod:`system.locks` does so with the lock's."""
        self._file.close()


def _write_file(path: str, data: bytes) -> OwnFile:
    """Make the file at ``path``, whole at any instant, in the place of one that is there."""
    temporary = f"{path}.new"
    _remove(temporary)
    file = OwnFile.make(temporary)
    try:
        if file.write(data, 0) != len(data):
            raise OSError(28, os.strerror(28), path)
        replace_file(temporary, path)
    except BaseException:
        file.close()
        _remove(temporary)
        raise
    file.path = path
    return file


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _own(directory: str) -> int | None:
    """Lock a new journal's directory; ``None`` where an adopter was quicker."""
    try:
        return take_lock(os.path.join(directory, "lock"), create=True)
    except FileNotFoundError:  # the directory is gone
        return None
