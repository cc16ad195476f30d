"""Open another user's files without being led astray.

The spool directory of a group (:mod:`group`) holds journals of its members. A receiver of root's
adopts them, and a member may have put anything there: a link to ``/etc/shadow`` that is called
``meta``, a pipe that is never written, another directory in the place of its own.

Why nothing but the journal is touched
--------------------------------------
* The directory is opened once, without following a link, and reached through that descriptor
  (``/proc/self/fd``) from then on. So it cannot be exchanged.
* A file in it is opened without following a link and without waiting. It counts only as a regular
  file of the directory's own user, or of this process's, with no other name. It is cut to nothing,
  where that is asked for, only after that.
* Where the system has no such path to a descriptor, another user's journal is left alone.
"""

from __future__ import annotations

import errno
import os
import stat

from ..system.files import DIRECTORY, SAFELY, open_file
from ..system.users import current_user


class JournalPlace:
    """The directory of a journal that may be another user's."""

    def __init__(self, path: str) -> None:
        """Raises ``OSError``, also for a journal that could not be read safely."""
        self.path = path
        """The path by which its files are reached, until :meth:`close`."""
        self._descriptor = -1
        if os.lstat(path).st_uid == current_user():
            return
        descriptor = os.open(path, os.O_RDONLY | DIRECTORY | SAFELY)
        self.path = f"/proc/self/fd/{descriptor}"
        try:
            if not os.path.samestat(os.fstat(descriptor), os.stat(self.path)):
                raise OSError(errno.EPERM, "it is another user's", path)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def close(self) -> None:
        """Let go of the directory."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def open_journal_file(path: str, flags: int) -> int:
    """Open a file of a journal, as the ``opener`` of :func:`open`. Raises ``OSError``."""
    descriptor = open_file(path, (flags & ~os.O_TRUNC) | SAFELY)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EPERM, "it is no file", path)
        ours, owner = current_user(), os.stat(os.path.dirname(path)).st_uid
        is_strange = status.st_uid not in (ours, owner) or status.st_nlink != 1
        if owner != ours and is_strange:
            raise OSError(errno.EPERM, "it is not the journal's own", path)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
