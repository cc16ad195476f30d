"""Find the orphans that one program may deliver, and adopt them one at a time.

The receiver adopts the orphans of its machine; a worker adopts where the receiver is elsewhere.
Each brings the rule whose journal it is. What is in an orphan is :mod:`orphans`' business.
"""

from __future__ import annotations

import contextlib
import os
from typing import Callable

from ..exceptions import AddressError, JournalError
from .belonging import Origin
from .directory import default_spool_dir, former_spool_dirs
from .elsewhere import noted_spools
from .orphans import Orphan

_ID_LENGTH = 32

_MAX_REMEMBERED = 50
"""Troubles that a finder remembers, each of which it tells once."""


def journal_directories(spool_dir: str) -> list[str]:
    """Return the directory of every journal of a spool, those of living owners too."""
    try:
        entries = list(os.scandir(spool_dir))
    except OSError:
        return []
    return [
        entry.path for entry in entries
        if len(entry.name) == _ID_LENGTH and set(entry.name) <= set("0123456789abcdef")
    ]  # fmt: skip


class OrphanFinder:
    """Adopts orphans that one program may deliver. What is wrong with one harms no other."""

    def __init__(
        self,
        spool_dir: str,
        is_ours: Callable[[Origin], bool],
        report: Callable[[str], None],
        *,
        looks_elsewhere: bool = False,
    ) -> None:
        """``is_ours`` says whether a journal of this origin may be delivered here; ``report``
        tells the operator. ``on_other``, while it is set, is called with each orphan that is not
        ours to deliver, before it is released. ``looks_elsewhere``: also in the directories that
        workers have noted."""
        self._spool_dirs = [spool_dir]
        if spool_dir == default_spool_dir():
            self._spool_dirs += [path for path in former_spool_dirs() if path != spool_dir]
        self._looks_elsewhere = looks_elsewhere
        self._is_ours = is_ours
        self._report = report
        self.on_other: Callable[[Orphan], None] | None = None
        self._told: list[str] = []

    def paths(self) -> list[str]:
        """Return the directory of every journal, those of living owners included."""
        spools = list(self._spool_dirs)
        if self._looks_elsewhere:
            spools += [path for path in noted_spools(spools[0]) if path not in spools]
        return [path for spool in spools for path in journal_directories(spool)]

    def has_journal(self, sender_id: str) -> bool:
        """Return whether a journal of that sender is there, whoever has it."""
        return any(os.path.isdir(os.path.join(path, sender_id)) for path in self._spool_dirs)

    def adopt(self, path: str) -> Orphan | None:
        """Adopt the journal at ``path``; ``None`` if it has an owner or is not ours to deliver."""
        try:
            orphan = Orphan.adopt(path)
        except JournalError as error:  # it is set aside: nobody meets it again
            self._report(str(error))
            return None
        except OSError as error:
            self._tell_once(f"cannot adopt the journal {path}: {error}")
            return None
        if orphan is None:
            return None
        with contextlib.suppress(AddressError):
            if self._is_ours(orphan.origin):
                return orphan
            if self.on_other is not None:
                self.on_other(orphan)
        orphan.release()
        return None

    def remove(self, orphan: Orphan) -> None:
        """Remove a delivered journal; tell where the segments are that could not be read whole."""
        for path in orphan.remove():
            self._report(
                f"a segment of the journal of {orphan.sender_id[:8]} was damaged; what was whole "
                f"is delivered, the segment is kept at {path}"
            )

    def _tell_once(self, text: str) -> None:
        if text not in self._told:
            self._told = [*self._told[-_MAX_REMEMBERED:], text]
            self._report(text)
