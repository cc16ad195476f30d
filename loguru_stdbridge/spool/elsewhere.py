"""Spool directories besides the default one: workers note theirs, receivers look there too.

A program may name a spool directory of its own (``spool_dir=``). A receiver that does not know it
would never deliver what that program leaves behind. So a worker that has made a journal notes its
directory where every receiver of this user looks: beside the sockets of the logs
(:mod:`system.runtime`).

Why a note can do no harm
-------------------------
Only this user can write one. A directory that is not this user's alone is passed over, as it is
when it is named. Whose a journal in it is decides :mod:`~loguru_stdbridge.spool.belonging`, as for
any other. Without a note, the next worker with that directory delivers what is there.

Why no journal goes without a note
----------------------------------
A worker makes the journal first, then the note. A receiver removes the note of an empty directory,
then looks into it again, and notes it anew if something is there. So whichever comes first, there
is a note at the end. A worker that is killed between its two steps has logged nothing yet.
"""

from __future__ import annotations

import contextlib
import os
import zlib

from ..system.files import open_file, replace_file
from ..system.runtime import is_private_directory, runtime_directories
from .directory import OWN_FOLDERS

_SPOOL_NOTE = "spool-"


def note_spool(directory: str) -> None:
    """Note that journals lie in ``directory``, an absolute path. Failure is ignored."""
    data = os.fsencode(directory)
    name = f"{_SPOOL_NOTE}{zlib.crc32(data):08x}{zlib.adler32(data):08x}"
    for place in runtime_directories(make=True):
        path = os.path.join(place, name)
        if not os.path.exists(path):
            with contextlib.suppress(OSError):
                descriptor = open_file(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                try:
                    os.write(descriptor, data)
                finally:
                    os.close(descriptor)
                replace_file(f"{path}.new", path)


def noted_spools(own: str) -> list[str]:
    """Return the directories that workers have noted, without ``own`` and without unsafe ones.

    The note of a directory that is gone, or that holds nothing, is removed.
    """
    found = []
    for place in runtime_directories():
        for name in _names(place):
            path = os.path.join(place, name)
            with contextlib.suppress(OSError):
                with open(path, "rb", opener=open_file) as file:
                    directory = os.fsdecode(file.read(65536))
                if directory == own or not os.path.isabs(directory):
                    continue
                if _holds_nothing(directory):
                    os.unlink(path)
                    if not _holds_nothing(directory):
                        note_spool(directory)
                elif is_private_directory(directory) and directory not in found:
                    found.append(directory)
    return found


def _holds_nothing(directory: str) -> bool:
    """Return whether a spool directory has no journal, whole or damaged, or is gone."""
    try:
        return not set(os.listdir(directory)) - set(OWN_FOLDERS)
    except OSError as error:
        return isinstance(error, (FileNotFoundError, NotADirectoryError))


def _names(place: str) -> list[str]:
    try:
        names = os.listdir(place)
    except OSError:
        return []
    return sorted(n for n in names if n.startswith(_SPOOL_NOTE) and not n.endswith(".new"))
