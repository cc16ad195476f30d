"""Exclusive file locks that the system releases when their process dies.

Uses ``flock`` where there is one. It belongs to the open file description: a second open of the
same file conflicts even within one process, and no stale lock survives its owner, however that
ended. On Windows one byte behind the end of the file takes its part
(:mod:`~loguru_stdbridge.system.windows.locks`). Others can read and write a locked file.

Forks
-----
A child inherits the description. Its copy would keep the lock after the owner's death, and nobody
would learn of that. :func:`take_lock` records every descriptor, and each child closes them all at
the fork. It never unlocks: that would release the parent's lock. A fork waits while another thread
opens a lock file, so no descriptor goes unrecorded.
"""

from __future__ import annotations

import contextlib
import os
import struct

from .files import NO_FOLLOW, fcntl_module, file_key, move_descriptor, open_file
from .forks import block_forks, drop_in_children

if fcntl_module is None:
    from .windows.locks import LET_GO, TAKE_NOW, change_lock, lock_byte
    from .windows.locks import lock_descriptor as _lock_descriptor
    from .windows.locks import lock_directory as _lock_descriptor_of_directory
    from .windows.locks import unlock_descriptor as _unlock_descriptor

    def _drop_claim(descriptor: int) -> None:
        """No child has a copy here."""

    def _lock_directory(path: str, lock_path: str) -> tuple[int, bool]:
        descriptor = open_file(lock_path, os.O_RDWR | os.O_CREAT)
        try:
            return descriptor, _lock_descriptor_of_directory(path, descriptor)
        except BaseException:
            os.close(descriptor)
            raise

else:
    TAKE_NOW, LET_GO = fcntl_module.LOCK_EX | fcntl_module.LOCK_NB, fcntl_module.LOCK_UN

    def change_lock(descriptor: int, operation: int) -> int:
        """Do ``TAKE_NOW`` or ``LET_GO``; return 0 where that has worked at once, else -1."""
        try:
            fcntl_module.flock(descriptor, operation)
        except (OSError, ValueError):
            return -1
        return 0

    def lock_byte(descriptor: int, offset: int, *, alone: bool) -> bool:
        """Lock a byte together with others or alone, in the place of an earlier lock of it.

        Return whether nobody's lock forbids it. Where the system has no locks of an open file,
        nobody's does. The lock of the whole file is no part of it.
        """
        command = getattr(fcntl_module, "F_OFD_SETLK", None)
        if command is None:
            return True
        kind = fcntl_module.F_WRLCK if alone else fcntl_module.F_RDLCK
        try:
            fcntl_module.fcntl(descriptor, command, struct.pack("hhqqi0q", kind, 0, offset, 1, 0))
        except (BlockingIOError, PermissionError):
            return False
        except OSError:  # this file system has none
            return True
        return True

    def _lock_directory(path: str, lock_path: str) -> tuple[int, bool]:
        flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
        descriptor = fd if (fd := os.open(path, flags)) > 2 else move_descriptor(fd)
        try:
            return descriptor, _lock_descriptor(descriptor) and is_file_at(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise

    def _lock_descriptor(descriptor: int) -> bool:
        try:
            fcntl_module.flock(descriptor, fcntl_module.LOCK_EX | fcntl_module.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _unlock_descriptor(descriptor: int) -> None:
        # Closing alone would leave the lock to a child that has not closed its copy yet.
        with contextlib.suppress(OSError):
            fcntl_module.flock(descriptor, fcntl_module.LOCK_UN)

    def _drop_claim(descriptor: int) -> None:
        """Give up a claim (:mod:`~loguru_stdbridge.system.common_lock`), for the same reason."""
        command = getattr(fcntl_module, "F_OFD_SETLK", None)
        if command is not None:
            with contextlib.suppress(OSError):
                claim = struct.pack("hhqqi0q", fcntl_module.F_UNLCK, 0, 0, 0, 0)
                fcntl_module.fcntl(descriptor, command, claim)


class _HeldLocks:
    """Owns the locks that this process holds: the file behind each descriptor.

    A program may close every descriptor, and the system gives the numbers out again. A number that
    is another file's by now is never closed here.
    """

    def __init__(self) -> None:
        self.files: dict[int, tuple[int, int]] = {}

    def take_out(self, descriptor: int) -> bool:
        """Forget a lock; return whether its descriptor is still that of the lock file."""
        file = self.files.pop(descriptor, None)
        return file is not None and file == _file_id(descriptor)

    def after_fork_in_child(self) -> None:
        for descriptor in list(self.files):
            if self.take_out(descriptor):
                os.close(descriptor)


def _file_id(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return file_key(status)


_held = _HeldLocks()
drop_in_children(_held)


def lock_file(descriptor: int) -> bool:
    """Take the lock of an open file without waiting; return whether it was free.

    Raises ``OSError`` for a file system that knows no locks.
    """
    return _lock_descriptor(descriptor)


def is_file_at(descriptor: int, path: str) -> bool:
    """Return whether ``path`` still names the open file: else its lock protects nothing."""
    try:
        ours, there = os.fstat(descriptor), os.stat(path)
    except OSError:
        return False
    return file_key(ours) == file_key(there)


def take_lock(path: str, *, create: bool = False) -> int | None:
    """Open the file at ``path`` and take its lock, without waiting.

    Return the descriptor, for :func:`let_go`, or ``None`` where another process has the lock or the
    file was removed meanwhile. A forked child does not have the lock. Raises ``FileNotFoundError``
    where there is no file and ``create`` is false, and ``OSError`` on a file system without locks.
    """
    flags = os.O_RDWR | NO_FOLLOW | (os.O_CREAT if create else 0)
    with block_forks():
        descriptor = open_file(path, flags)
        try:
            taken = lock_file(descriptor) and is_file_at(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        if taken:
            _held.files[descriptor] = file_key(os.fstat(descriptor))
            return descriptor
        os.close(descriptor)
        return None


def open_lock_file(path: str) -> int:
    """Open the file at ``path``, made where it is missing, and take no lock yet.

    Return the descriptor, for :func:`change_lock` and :func:`let_go`. A forked
    child does not have it. Raises ``OSError``.
    """
    with block_forks():
        descriptor = open_file(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW)
        _held.files[descriptor] = file_key(os.fstat(descriptor))
        return descriptor


def take_directory_lock(path: str, lock_path: str) -> int | None:
    """Take the lock of a directory, without waiting: its files stay free.

    ``lock_path`` is the lock file of the log, for a system where no directory can be opened. Return
    the descriptor, for :func:`let_go`, or ``None`` where another has the lock or the directory was
    removed meanwhile. Raises ``FileNotFoundError`` where there is none, and ``OSError``.
    """
    with block_forks():
        descriptor, taken = _lock_directory(path, lock_path)
        if not taken:
            os.close(descriptor)
            return None
        _held.files[descriptor] = file_key(os.fstat(descriptor))
        return descriptor


def is_locked(path: str) -> bool:
    """Return whether a process has the lock of the file at ``path``; False where there is none.

    Raises ``OSError`` for a file that cannot be opened, or a file system without locks.
    """
    with block_forks():
        try:
            descriptor = open_file(path, os.O_RDWR | NO_FOLLOW)
        except FileNotFoundError:
            return False
        try:
            return not lock_file(descriptor)
        finally:
            os.close(descriptor)


def is_held(descriptor: int) -> bool:
    """Return whether a lock of :func:`take_lock` is still this process's: nobody closed it."""
    file = _held.files.get(descriptor)
    return file is not None and file == _file_id(descriptor)


def let_go(descriptor: int) -> None:
    """Release a lock of :func:`take_lock`. In a forked child this does nothing."""
    with block_forks():
        if _held.take_out(descriptor):
            _unlock_descriptor(descriptor)
            _drop_claim(descriptor)
            os.close(descriptor)
