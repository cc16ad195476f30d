"""Tells on what kind of file system a path lies, where the system says so.

On the file systems of other machines a lock may be a fiction: each machine grants its own.
"""

from __future__ import annotations

import contextlib
import os
import re

_REMOTE = (
    "nfs",
    "cifs",
    "smb",
    "fuse",
    "9p",
    "afs",
    "ceph",
    "lustre",
    "gluster",
    "ncp",
    "virtiofs",
)


def file_system_of(directory: str, mounts: str = "/proc/self/mountinfo") -> str:
    """Return the name of the file system of ``directory`` (``"ext4"``); empty where unknown."""
    with contextlib.suppress(OSError, ValueError, UnicodeError):
        place = os.path.realpath(directory)
        with open(mounts, encoding="utf-8", errors="surrogateescape") as lines:
            found, longest = "", -1
            for line in lines:
                fields, _, rest = line.partition(" - ")
                point = _unescape(fields.split(" ")[4])
                inside = point == "/" or f"{place}/".startswith(f"{point}/")
                if inside and len(point) >= longest:  # of two at one place the later one shows
                    found, longest = rest.split(" ")[0], len(point)
            return found
    return ""


def is_remote(file_system: str) -> bool:
    """Return whether locks on a file system of this name may not hold for everybody."""
    return file_system.startswith(_REMOTE)


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
