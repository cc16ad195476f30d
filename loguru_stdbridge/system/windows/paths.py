"""Paths on Windows: names of devices, characters that no name has, and the limit of 260.

Why a log's path is looked at before it is opened
-------------------------------------------------
Windows opens the console for ``logs\\con.log``, cuts the dot off ``app.``, and writes a hidden
stream of the file ``app`` for ``app:2``. Nothing of this is an error to it, and no line would be
where it is looked for.

Why a long path gets a prefix
-----------------------------
A path of over 259 characters is refused, unless the machine is set up for more or the path begins
with ``\\\\?\\``. The files beside a log have longer names than the log: an archive in the making is
``.app.log.compressing\\app.2026-11-27_05-27-32_757465.log.gz``. With the prefix Windows takes a
path as it is, so only a resolved one gets it.
"""

from __future__ import annotations

import ntpath

_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"]
    + [f"{name}{number}" for name in ("COM", "LPT") for number in "123456789\xb9\xb2\xb3"]
)
_NOT_IN_NAMES = frozenset('<>:"|?*') | frozenset(map(chr, range(32)))
_MAX_PATH = 259
_LONGEST_NEIGHBOUR = 80
"""Characters, besides the log's name once more, by which a file beside a log is longer."""

_UNLIMITED = "\\\\?\\"


def find_path_trouble(path: str) -> str:
    """Return what keeps a file from having this absolute path; ``""`` where nothing does."""
    if path.startswith(_UNLIMITED):
        path = path[len(_UNLIMITED) :]
    for part in ntpath.splitdrive(path)[1].replace("/", "\\").split("\\"):
        if part.split(".")[0].rstrip(" ").upper() in _DEVICES:
            return f"{part!r} is the name of a device"
        wrong = sorted(_NOT_IN_NAMES.intersection(part))
        if wrong:
            return f"{part!r} has characters that no name has: {' '.join(map(repr, wrong))}"
        if part.endswith((".", " ")) and part.strip("."):
            return f"Windows takes the end of {part!r} away"
    return ""


def make_reachable(path: str, longest: str = "") -> str:
    """Return a name by which the file at an absolute path is reached, however long the path is.

    ``longest`` is a longer path that will be made of it.
    """
    whole = longest or path
    length = len(whole) + len(ntpath.basename(whole)) + _LONGEST_NEIGHBOUR
    if length <= _MAX_PATH or path.startswith(_UNLIMITED):
        return path
    if path.startswith("\\\\"):
        return f"{_UNLIMITED}UNC\\{path[2:]}"
    return f"{_UNLIMITED}{path}"
