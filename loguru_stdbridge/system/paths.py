"""What the system wants of the path of a file: which names it takes, and how long ones are said.

On POSIX a path is a path. Windows' rules are in :mod:`~loguru_stdbridge.system.windows.paths`.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from .windows.paths import find_path_trouble, make_reachable
else:

    def find_path_trouble(path: str) -> str:
        """Return what keeps a file from having this absolute path; ``""`` where nothing does."""
        return ""

    def make_reachable(path: str, longest: str = "") -> str:
        """Return a name by which the file at an absolute path is reached, however long the path is.

        ``longest`` is a longer path that will be made of it.
        """
        return path
