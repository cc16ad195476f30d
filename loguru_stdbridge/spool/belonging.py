"""Whose a journal is: the rule by which a receiver, or a worker in its place, may deliver it.

What users have is a log, not a port. A record belongs to the log that its program named, finds its
way there after any restart, and never turns up in another log. Owns that decision, and what a
journal keeps for it: a text in its ``meta`` and the file ``log``.

Why the rule is right
---------------------
* A journal that a receiver has greeted has noted that receiver's log. Its id is random and is kept
  with the ledger, so no other log has it: the journal follows the log to any address and to any
  path. A ledger that was lost is made anew with another id. The path then tells, if it means the
  same directory.
* A journal that was never greeted has only what its program named. A log's path counts where it
  means the same directory: one of the same number on the same machine, or one that no namespace
  tells from it (a directory that was removed and made again has another number). An address counts
  where it means the same port or socket: a loopback port of another host is another port.
* In doubt it is nobody's. It stays on disk, and each receiver tells at its start what waits there.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Callable, NamedTuple

from ..addresses import Address, LogName, is_same_path
from ..system.files import replace_file
from ..system.host import HostFacts, directory_id, host_facts
from .foreign import open_journal_file

_MAX_PROGRAM = 60
"""Characters of a program's name that are kept. Each takes up to six bytes as JSON, and the whole
text has to fit :data:`.segments.MAX_ORIGIN`."""


class Origin(NamedTuple):
    """Where a journal was made, and for what."""

    address: Address  # what the program named
    host: HostFacts
    directory: str = ""  # of a ``log:`` address: the directory as its program saw it
    program: str = ""  # as it was called
    log: LogName | None = None  # of the receiver that has greeted it

    @property
    def wanted(self) -> str:
        """The log or the address that the records wait for."""
        return str(self.address) if self.log is None else self.log.path


def describe_origin(address: Address) -> str:
    """Return what a journal made here and now keeps of its place, as JSON text."""
    directory = directory_id(os.path.dirname(address.path)) if address.scheme == "log" else ""
    program = (getattr(sys, "argv", None) or [""])[0][:_MAX_PROGRAM]
    return json.dumps([*host_facts(), directory, program])


def read_origin(address: Address, text: str, log: LogName | None) -> Origin:
    """Return the origin behind a text of :func:`describe_origin`.

    A text that cannot be read, or an empty one (journals of the first version have none), says
    nothing of the host.
    """
    try:
        machine, boot, network, mounts, directory, program = map(str, json.loads(text))
        host = HostFacts(machine, boot, network, mounts)
        return Origin(address, host, directory, program, log)
    except (ValueError, TypeError, RecursionError):
        return Origin(address, HostFacts(), log=log)


def note_log(directory: str, log: LogName) -> None:
    """Note in a journal's directory whose log it is. Raises ``OSError``.

    The note appears whole: a kill leaves the one before it, or none.
    """
    path = os.path.join(directory, "log")
    data = json.dumps(log).encode("ascii")
    descriptor = open_journal_file(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        written = os.write(descriptor, data)
    finally:
        os.close(descriptor)
    if written == len(data):
        replace_file(f"{path}.new", path)


def noted_log(directory: str) -> LogName | None:
    """Return the log that a journal's directory notes; ``None`` for none."""
    with contextlib.suppress(OSError, ValueError, TypeError, RecursionError):
        path = os.path.join(directory, "log")
        with open(path, encoding="utf-8", opener=open_journal_file) as file:
            path, identity, place = map(str, json.loads(file.read(65536)))
        return LogName(path, identity, place)
    return None


def belongs(
    origin: Origin,
    log: LogName,
    serves: Callable[[Address], bool],
    host: HostFacts | None = None,
) -> bool:
    """Return whether a journal of this ``origin`` is to be delivered into ``log``.

    ``serves`` says whether an address is one by which the log's receiver is reached. ``host`` has
    the facts of the caller's own host; ``None`` asks the system.
    """
    host = host_facts() if host is None else host
    if origin.log is not None:
        if origin.log.id and origin.log.id == log.id:
            return True
        return _is_same_place(origin.log.path, origin.log.directory, origin.host, log, host)
    if origin.address.scheme == "log":
        return _is_same_place(origin.address.path, origin.directory, origin.host, log, host)
    if origin.address.is_local and not host.is_same_host(origin.host):
        return False
    return serves(origin.address)


def _is_same_place(
    path: str, directory: str, origin: HostFacts, log: LogName, host: HostFacts
) -> bool:
    if not is_same_path(path, log.path):
        return False
    if directory and directory == log.directory and host.is_same_machine(origin):
        return True
    return host.has_same_files(origin)
