"""Tell which process a client of the receiver is: its id, and what its program is called.

The journal of a worker of this machine has noted both. A process at a Unix socket is known to the
system. Of any other client nothing is known. No decision hangs on it: it is shown to operators.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import NamedTuple

from ..addresses import Address
from ..exceptions import JournalError
from ..spool.belonging import read_origin
from ..spool.foreign import open_journal_file
from ..spool.segments import META_SIZE, decode_meta
from ..system.listening import program_of
from ..system.peers import process_at

_NOBODY = Address("unix")


class Owner(NamedTuple):
    """A process, as far as it is known: 0 and "" where it is not."""

    pid: int
    program: str


def find_owner(client: socket.socket, sender: str | None, spool_dir: str | None) -> Owner:
    """Return whose a connection is; ``sender`` is the id that it has said hello with."""
    owner = _owner_of_journal(sender, spool_dir)
    if owner is not None:
        return owner
    pid = process_at(client) or 0
    return Owner(pid, program_of(pid) if pid else "")


def find_program(sender: str, spool_dir: str | None) -> str:
    """Return the program whose journal has the id ``sender``; "" where it is not known."""
    owner = _owner_of_journal(sender, spool_dir)
    return "" if owner is None else owner.program


def _owner_of_journal(sender: str | None, spool_dir: str | None) -> Owner | None:
    if sender is not None and spool_dir is not None:
        path = os.path.join(spool_dir, sender, "meta")
        with contextlib.suppress(OSError, JournalError):
            with open(path, "rb", opener=open_journal_file) as file:
                meta = decode_meta(file.read(META_SIZE + 1))
            program = read_origin(_NOBODY, meta.origin, None).program
            return Owner(meta.pid, name_program(program) or program_of(meta.pid))
    return None


def name_program(called: str) -> str:
    """Return a short name for a program that was called so: ``/srv/shop/manage.py`` is manage."""
    name = os.path.basename(called)
    if name in ("__main__.py", "__init__.py"):
        name = os.path.basename(os.path.dirname(called))
    stem, suffix = os.path.splitext(name)
    return stem if suffix == ".py" else "" if name in ("-c", "-m", "-") else name
