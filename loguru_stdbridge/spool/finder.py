"""Find the orphans that one program may deliver, and adopt them one at a time.

The receiver adopts the orphans of its machine; a worker adopts where the receiver is elsewhere.
Each brings the rule whose journal it is. What is in an orphan is :mod:`orphans`' business.

Why a downgrade costs no record
-------------------------------
A program of the first version cannot read the journals of this one. It takes them for damaged,
tells so, and renames each orphan to ``damaged-`` and its name. A program of this version that may
deliver such a journal gives it its name back. No other does: a program of the first version that
still runs would rename it again, for ever.
"""

from __future__ import annotations

import contextlib
import os
from typing import Callable

from ..addresses import parse_address
from ..exceptions import AddressError, JournalError
from .belonging import Origin, noted_log, read_origin
from .directory import default_spool_dir, former_spool_dirs
from .elsewhere import noted_spools
from .foreign import open_journal_file
from .orphans import Orphan
from .segments import META_SIZE, decode_meta

_ID_LENGTH = 32

_SET_ASIDE = "damaged-"  # by a program of the first version

_MAX_REMEMBERED = 50
"""Troubles that a finder remembers, each of which it tells once."""


def journal_directories(spool_dir: str) -> list[str]:
    """Return the directory of every journal of a spool, those of living owners too."""
    try:
        entries = list(os.scandir(spool_dir))
    except OSError:
        return []
    return [entry.path for entry in entries if _is_id(entry.name)]


def _is_id(name: str) -> bool:
    return len(name) == _ID_LENGTH and set(name) <= set("0123456789abcdef")


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
        for spool in spools:
            self._take_back(spool)
        return [path for spool in spools for path in journal_directories(spool)]

    def _take_back(self, spool_dir: str) -> None:
        """Give those of our journals their names back that the first version could not read."""
        with contextlib.suppress(OSError):
            for name in os.listdir(spool_dir):
                if not (name.startswith(_SET_ASIDE) and _is_id(name[len(_SET_ASIDE) :])):
                    continue
                aside = os.path.join(spool_dir, name)
                path = os.path.join(spool_dir, name[len(_SET_ASIDE) :])
                with contextlib.suppress(OSError, JournalError, AddressError):
                    noted = os.path.join(aside, "meta")
                    with open(noted, "rb", opener=open_journal_file) as file:
                        meta = decode_meta(file.read(META_SIZE + 1))
                    origin = read_origin(parse_address(meta.address), meta.origin, noted_log(aside))
                    readable = meta.version > 1 and not os.path.lexists(path)
                    if readable and self._is_ours(origin):
                        os.rename(aside, path)

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
