"""The outlet of a tee: each record, as a row, in files of its own that a thread sends on.

``--tee ADDRESS`` sends every record to another receiver as well. Its outlet is a file sink as any
other, with a ledger of its own, whose lines are rows with consecutive numbers. The thread
(:mod:`~loguru_stdbridge.receiver.forwarding`) reads them from there.

Why nothing is lost and nothing doubled on the way to the other receiver
------------------------------------------------------------------------
* *Into the files.* A tee is a further sink. So each record is in its files once, whatever is killed
  (:mod:`~loguru_stdbridge.receiver.several`). Nobody waits for the other receiver: where it is
  away, the files grow up to a bound, and then the oldest is given up.
* *Numbers.* A line's number is that of the line before and one. It is given when the line is made.
  Lines are written in the order in which they are made, and what a killed receiver had made and not
  written gets its number again, from the file.
* *Out of the files.* The other receiver takes this tee for one sender, whose numbers are those of
  the lines. So it drops what it has already, and is told what was given up. What it has
  acknowledged is noted beside the files; an old note does no more than send again what is dropped.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Sequence
from typing import Callable

from ..addresses import Address
from ..exceptions import ConfigurationError
from ..sink.ledger import Ledger
from ..sink.rotating import RotatingSink
from ..sink.row_files import RowFiles
from ..system.files import replace_file
from .outlets import Outlet
from .row_writer import RowReplay

ROW_FILE_SIZE = 8 * 1024 * 1024
"""Bytes of one file."""

MAX_ROW_FILES = 32
"""Files that wait for the other receiver: 256 MB. Beyond it the oldest is given up."""


class TeeNote:
    """What the other receiver knows: the sender's id, and the last number it has acknowledged."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.sender_id = os.urandom(16).hex()
        self.through = 0
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            with open(path, encoding="ascii") as file:
                known = json.load(file)
            if len(bytes.fromhex(known["sender"])) == 16:
                self.sender_id, self.through = known["sender"], int(known["through"])
        self._noted = -1

    def begin_anew(self) -> None:
        """Become another sender: the other receiver has numbers of this one that are not there."""
        self.sender_id = os.urandom(16).hex()
        self._noted = -1
        self.write()

    def write(self) -> None:
        """Note it, if it has changed. Raises ``OSError``."""
        if self.through != self._noted:
            fields = {"sender": self.sender_id, "through": self.through}
            with open(f"{self._path}.new", "w", encoding="ascii") as file:
                json.dump(fields, file)
            replace_file(f"{self._path}.new", self._path)
            self._noted = self.through


def tee_directory(log_path: str, address: Address) -> str:
    """Return where the rows for ``address`` wait: hidden, beside the log."""
    directory, name = os.path.split(log_path)
    name = name.replace("{", "(").replace("}", ")")  # Loguru would fill {time} in
    return os.path.join(directory, f".{name}.tee-{zlib.crc32(str(address).encode()):08x}")


def open_tee(
    log_path: str,
    address: Address,
    opened: contextlib.ExitStack,
    *,
    fsync: bool,
    report: Callable[[str], None],
) -> tuple[Outlet, RowFiles, TeeNote]:
    """Open the outlet of a tee; ``opened`` closes it. Raises ``OSError``, :class:`LedgerError`."""
    directory = tee_directory(log_path, address)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, "rows.log")
    ledger = Ledger.open(path, report=report)
    opened.callback(ledger.close)
    sink = RotatingSink(
        path, ledger, fsync=fsync, report=report, rotation=ROW_FILE_SIZE, retention=MAX_ROW_FILES
    )
    opened.callback(sink.close)
    files, note = RowFiles(path), TeeNote(os.path.join(directory, "note"))
    note.write()
    opened.callback(files.close)
    replay = RowReplay(max(files.last_number(), note.through))
    outlet = Outlet(path, sink, replay, ledger, f"the tee to {address}", {})
    return outlet, files, note


TEE_PEERS = ("stdbridge", "stock")


def check_tees(
    addresses: Sequence[Address], peer: str, log_path: str, own: Sequence[Address]
) -> None:
    """Raise :class:`ConfigurationError` for a tee that cannot be."""
    if peer not in TEE_PEERS:
        raise ConfigurationError(f"--tee-peer {peer!r}: one of {', '.join(TEE_PEERS)}")
    for address in addresses:
        if not log_path:
            raise ConfigurationError(
                f"--tee {address}: the first sink has to be a file, beside which records wait"
            )
        if "{" in os.path.dirname(log_path):
            raise ConfigurationError(
                f"--tee {address}: records wait beside the log, and {os.path.dirname(log_path)} is "
                "another directory at each start"
            )
        if address in own:
            raise ConfigurationError(f"--tee {address}: this receiver itself listens there")
        if addresses.count(address) > 1:
            raise ConfigurationError(f"--tee {address} stands there twice")
