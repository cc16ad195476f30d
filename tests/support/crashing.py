"""Runs a receiver or a worker that kills itself at a named point.

::

    crashing.py [--point NAME --passage N] [--forced ANSWER] [--also ADDRESS] receiver SINK ...
    crashing.py [--point NAME --passage N] worker NAME ADDRESS NOTES [...]

The product holds no hooks for this. Each point is a function of the product, or of ``os``. Before
the program starts, that function is replaced by one that sends this process a SIGKILL at its N-th
passage.
"""

from __future__ import annotations

import argparse
import ctypes
import logging
import mmap
import os
import resource
import shutil
import signal
import sys
import threading
from functools import partial
from typing import Any, Callable

from loguru import logger

from loguru_stdbridge import install_bridge
from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.receiver import cli
from loguru_stdbridge.receiver.adoption import OrphanIntake
from loguru_stdbridge.receiver.connection import Connection
from loguru_stdbridge.sink import ledger
from loguru_stdbridge.sink.archive import Archiver
from loguru_stdbridge.sink.ledger import Ledger
from loguru_stdbridge.sink.rotating import RotatingSink
from loguru_stdbridge.spool import journal
from loguru_stdbridge.spool.orphans import Orphan
from loguru_stdbridge.system.own_file import OwnFile
from loguru_stdbridge.wire import sending as protocol
from loguru_stdbridge.worker import adoption as worker_adoption
from loguru_stdbridge.worker.far_sinks import FarSinks

DECOY = "2001-01-01"
"""In the name of a file that a retention is to remove."""

FILLER = "x" * 1000
"""Makes a journal's rows long, so that its segments follow each other soon. A finished line would leave
it out, so a worker with a filler renders none."""

FOREIGN_LINE = "supervisor: the receiver has died\n"
"""What another program appends to the log after some of the kills."""

_passages_left = 1
_sink = ""
_last_act: Callable[[], None] | None = None


def burn() -> None:
    """Count one passage of the armed point; the last one kills this process."""
    global _passages_left
    _passages_left -= 1
    if _passages_left == 0:
        if _last_act is not None:
            _last_act()
        os.kill(os.getpid(), signal.SIGKILL)


def set_passages(passage: int) -> None:
    """Have the armed point kill this process at its passage with this number."""
    global _passages_left
    _passages_left = passage


def passages_left() -> int:
    """Return how many passages of the armed point are left, the last one included."""
    return _passages_left


# -- how a point is armed


def always(*args: Any) -> bool:
    return True


def _replace(owner: Any, name: str, function: Callable[..., Any]) -> None:
    is_bound = isinstance(vars(owner).get(name), classmethod)
    setattr(owner, name, staticmethod(function) if is_bound else function)


def before(owner: Any, name: str, when: Callable[..., Any] = always) -> None:
    """Arm: die before ``owner.name`` runs, where ``when`` is true of its arguments."""
    original = getattr(owner, name)

    def dying(*args: Any, **options: Any) -> Any:
        if when(*args):
            burn()
        return original(*args, **options)

    _replace(owner, name, dying)


def after(owner: Any, name: str, when: Callable[..., Any] = always) -> None:
    """Arm: die when ``owner.name`` has run, where ``when`` was true of its arguments."""
    original = getattr(owner, name)

    def dying(*args: Any, **options: Any) -> Any:
        counts = when(*args)
        result = original(*args, **options)
        if counts and result is not False:
            burn()
        return result

    _replace(owner, name, dying)


def within(name: str, when: Callable[..., Any], cut: Callable[[bytes], int]) -> None:
    """Arm: die in the middle of ``os.write`` or ``os.pwrite``; ``cut`` says how much is written."""
    original = getattr(os, name)

    def dying(descriptor: int, data: Any, *args: Any) -> Any:
        if when(descriptor, data):
            whole = bytes(data)
            if _passages_left == 1:
                original(descriptor, whole[: cut(whole)], *args)
            burn()
        return original(descriptor, data, *args)

    setattr(os, name, dying)


def leaving_a_foreign_line(arm: Callable[[], None]) -> None:
    """Arm, and append a line to the log at the end, as a supervisor would after the kill."""
    global _last_act

    def append() -> None:
        with open(_sink, "a") as file:
            file.write(FOREIGN_LINE)

    _last_act = append
    arm()


# -- the places


def _opens(suffix: str) -> Callable[..., bool]:
    """Return a test whether a descriptor is that of a file whose name ends with ``suffix``."""
    return lambda descriptor, data: os.readlink(f"/proc/self/fd/{descriptor}").endswith(suffix)


def _is_block(descriptor: int, data: Any) -> bool:
    return os.readlink(f"/proc/self/fd/{descriptor}") == _sink and b"\n" in bytes(data)


def _is_batch(descriptor: int, data: Any) -> bool:
    return _is_block(descriptor, data) and bytes(data).count(b"\n") > 1


def _between_lines(data: bytes) -> int:
    return data.index(b"\n", min(len(data) // 2, data.rindex(b"\n", 0, -1))) + 1


def _in_a_line(data: bytes) -> int:
    return data.rfind(b"\n", 0, len(data) // 2) + 5


def _is_news(client: Connection, through: int) -> bool:
    return through > client.acknowledged_through


def _is_second(sink: RotatingSink, blocks: Any) -> bool:
    return sink.path != _sink


def _opens_second(descriptor: int, data: Any) -> bool:
    name = os.readlink(f"/proc/self/fd/{descriptor}")
    return os.path.dirname(name) == os.path.dirname(_sink) and name.endswith((".json", ".txt"))


def _rotates(source: Any, target: Any) -> bool:
    return str(source) == _sink


def _path_ends(suffix: str) -> Callable[..., bool]:
    return lambda *paths: str(paths[-1]).endswith(suffix)


def _in_work(source: Any, *target: Any) -> bool:
    return ".compressing/" in str(source)


def _is_mark(source: Any, target: Any) -> bool:
    return ".compressing.new/" in str(target)


def _is_decoy(path: Any) -> bool:
    return DECOY in str(path)


_files: list[Any] = []


def _is_new_file(ledger: Ledger, file: Any, path: str) -> bool:
    fresh = bool(_files) and file not in _files
    _files.append(file)
    return fresh


def _delivers(orphan: Orphan, through: int) -> bool:
    return through > orphan.acked


def _trims(journal: Any, through: int) -> bool:
    return bool(through >= journal.first)


def _after_adopt() -> None:
    original = Orphan.adopt

    def adopt(path: Any) -> Any:
        orphan = original(path)
        if orphan is not None:
            burn()
        return orphan

    _replace(Orphan, "adopt", adopt)


def _half_an_archive() -> None:
    def copy(source: Any, target: Any, *args: Any) -> None:
        target.write(source.read(5_000))
        target.flush()
        burn()
        original(source, target, *args)

    original, shutil.copyfileobj = shutil.copyfileobj, copy


def _half(data: bytes) -> int:
    return len(data) // 2


def _is_header(file: OwnFile, data: bytes, offset: int = 0) -> bool:
    return ".seg" in file.path and data.startswith(b"LSBSEG")


def _is_record(file: OwnFile, data: bytes, offset: int = 0) -> bool:
    return ".seg" in file.path and not data.startswith(b"LSBSEG")


def _half_written(when: Callable[..., bool]) -> None:
    """Die in the middle of a write of the journal's."""
    original = OwnFile.write

    def write(file: OwnFile, data: bytes, offset: int) -> int:
        if when(file, data):
            if _passages_left == 1:
                original(file, data[: len(data) // 2], offset)
            burn()
        return original(file, data, offset)

    OwnFile.write = write  # type: ignore[method-assign]


WRITING: dict[str, Callable[[], None]] = {
    "before the intent": partial(before, Ledger, "intend"),
    "in the middle of the intent": partial(within, "pwrite", _opens(".ledger"), _half),
    "after the intent": partial(after, Ledger, "intend"),
    "between two lines": partial(within, "write", _is_batch, _between_lines),
    "in the middle of a line": partial(within, "write", _is_block, _in_a_line),
    "written, not settled": partial(before, Ledger, "settle"),
    "settled, not acknowledged": partial(before, Connection, "acknowledge", _is_news),
    "acknowledged": partial(after, Connection, "acknowledge", _is_news),
}
FOREIGN: dict[str, Callable[[], None]] = {
    f"{point}, then a foreign line": partial(leaving_a_foreign_line, WRITING[point])
    for point in ("after the intent", "between two lines", "written, not settled")
}
ROTATION: dict[str, Callable[[], None]] = {
    "rotation noted": partial(after, Ledger, "note_rotation"),
    "before the rename": partial(before, os, "rename", _rotates),
    "renamed": partial(after, os, "rename", _rotates),
    "new file made": partial(before, Ledger, "use_file", _is_new_file),
    "new file noted": partial(after, Ledger, "use_file", _is_new_file),
}
COMPRESSION: dict[str, Callable[[], None]] = {
    "before the mark": partial(before, Archiver, "add_rotated"),
    "work directory made": partial(before, os, "link", _is_mark),
    "work directory not in place": partial(before, os, "rename", _path_ends(".compressing")),
    "marked": partial(after, os, "rename", _path_ends(".compressing")),
    "half an archive": _half_an_archive,
    "archive whole, link there": partial(before, os, "remove", _in_work),
    "archive before its rename": partial(before, os, "rename", _in_work),
    "archive in place": partial(after, os, "rename", _in_work),
    "original gone": partial(before, shutil, "rmtree", _path_ends(".compressing")),
}
SWEEP: dict[str, Callable[[], None]] = {
    "before a removal": partial(before, os, "remove", _is_decoy),
    "between two removals": partial(after, os, "remove", _is_decoy),
}
COMPACTION: dict[str, Callable[[], None]] = {
    "half a new ledger": partial(within, "write", _opens(".ledger.new"), _half),
    "new ledger not in place": partial(before, os, "replace", _path_ends(".ledger")),
    "new ledger in place": partial(after, os, "replace", _path_ends(".ledger")),
}
SEVERAL: dict[str, Callable[[], None]] = {
    "one sink written, the other not": partial(before, RotatingSink, "write", _is_second),
    "in a line of the other sink": partial(within, "write", _opens_second, _in_a_line),
    "both sinks written": partial(after, RotatingSink, "write", _is_second),
}
"""Points of a receiver of two sinks, the second of which has another suffix."""

ADOPTION: dict[str, Callable[[], None]] = {
    "adopted": _after_adopt,
    "batch written, not noted": partial(before, Orphan, "acknowledge", _delivers),
    "batch noted": partial(after, Orphan, "acknowledge", _delivers),
    "delivered, not removed": partial(before, Orphan, "remove"),
    "meta gone": partial(after, os, "unlink", _path_ends("/meta")),
    "between two segments": partial(after, os, "unlink", _path_ends(".seg")),
    "before the lock goes": partial(before, os, "unlink", _path_ends("/lock")),
    "lock gone": partial(after, os, "unlink", _path_ends("/lock")),
    "removed, not noted": partial(before, Ledger, "retire_sender"),
}
WORKER: dict[str, Callable[[], None]] = {
    "journal half made": partial(before, os, "replace", _path_ends("/meta")),
    "meta half written": partial(_half_written, lambda file, data: "/meta" in file.path),
    "before a record": partial(before, OwnFile, "write", _is_record),
    "in the middle of a record": partial(_half_written, _is_record),
    "record written, call not returned": partial(after, OwnFile, "write", _is_record),
    "segment without its header": partial(before, OwnFile, "write", _is_header),
    "half a segment's header": partial(_half_written, _is_header),
    "acknowledgement read": partial(before, journal.Journal, "acknowledge", _trims),
    "noted, not trimmed": partial(before, os, "unlink", _path_ends(".seg")),
    "trimmed": partial(after, os, "unlink", _path_ends(".seg")),
    "before the goodbye": partial(before, protocol.SenderConnection, "goodbye"),
    "leaving, meta gone": partial(after, os, "unlink", _path_ends("/meta")),
}
WORKER_ADOPTION: dict[str, Callable[[], None]] = {
    "a worker has adopted": _after_adopt,
    "by a worker: batch delivered, not noted": partial(before, Orphan, "acknowledge", _delivers),
    "by a worker: batch noted": partial(after, Orphan, "acknowledge", _delivers),
    "by a worker: meta gone": partial(after, os, "unlink", _path_ends("/meta")),
    "by a worker: between two segments": partial(after, os, "unlink", _path_ends(".seg")),
}
RECEIVER: dict[str, Callable[[], None]] = {
    **WRITING, **FOREIGN, **ROTATION, **COMPRESSION, **SWEEP, **COMPACTION, **ADOPTION
}  # fmt: skip


# -- the programs


def run_receiver(options: argparse.Namespace) -> int:
    global _sink
    _sink = os.path.abspath(options.arguments[0])
    if options.point in COMPACTION:
        ledger.COMPACT_SIZE = 4096
    if options.forced is not None:
        everything = options.forced == "written"
        ledger.count_whole_records = lambda intent, path, report: (
            len(intent.lengths) if everything else 0
        )
    if options.also is not None:
        serves = OrphanIntake.__init__

        def serves_both(self: Any, spool_dir: Any, addresses: Any, *more: Any) -> None:
            serves(self, spool_dir, [*addresses, parse_address(options.also)], *more)

        OrphanIntake.__init__ = serves_both
    return cli.main(options.arguments)


def _touch_all_memory() -> None:
    held = []
    while True:
        held.append(b"x" * (1 << 20))


def _read_address_0() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.string_at(0)


FATES: dict[str, Callable[[], Any]] = {
    "exit": partial(os._exit, 7),
    "segv": _read_address_0,
    "oom": _touch_all_memory,
}


def run_worker(options: argparse.Namespace) -> int:
    """Log through both libraries, and note in a shared map how many calls have returned.

    The worker ends by its fate after a delay, or in good order when the map says stop or its count
    of records is logged. With the fate ``leave`` it ends after its count and closes nothing. With
    ``wait`` it logs its count, and stays until the map says stop.
    """
    if options.point in WORKER_ADOPTION or options.fate == "wait":
        worker_adoption.INTERVAL, worker_adoption.RECEIVER_HEAD_START = 0.2, 0.0
    name, address, path = options.arguments[:3]
    fate, delay, count = options.fate, options.delay, options.count
    with open(path, "r+b") as file:
        notes = memoryview(mmap.mmap(file.fileno(), 24)).cast("Q")
    logger.remove()
    if options.filler:
        FarSinks._render_by = lambda self, line_format: None  # type: ignore[method-assign]
    bridge = install_bridge(address, level="DEBUG", spool_limit=options.spool_limit)
    filler = {"filler": FILLER} if options.filler else {}
    bound, stdlib = logger.bind(**filler), logging.getLogger("std")
    if fate in FATES:
        timer = threading.Timer(delay, FATES[fate])
        timer.daemon = True
        timer.start()
    number = 0
    while not notes[1] and number < count:
        level = logging.ERROR if options.mixed and number % 3 == 0 else logging.INFO
        if number % 2:
            stdlib.log(level, "worker %s number %d end", name, number, extra=filler)
        else:
            bound.log(logging.getLevelName(level), "worker {} number {} end", name, number)
        number += 1
        notes[0] = number
        if number % 1000 == 0 and fate != "leave":  # the journal has a limit, and so has the test
            while bridge.stats().pending > options.ahead and not notes[1]:
                bridge.flush(0.05)
    if fate == "leave":
        os._exit(7)
    while fate == "wait" and not notes[1]:
        threading.Event().wait(0.01)
    done = bridge.close(120)
    notes[2] = sum(bridge.stats().dropped.values())
    return 0 if done else 1


def main() -> int:
    global _passages_left
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--point")
    parser.add_argument("--passage", type=int, default=1)
    parser.add_argument("--forced", choices=["written", "unwritten"])
    parser.add_argument("--also")
    parser.add_argument("--fate", choices=["stay", "leave", "wait", *FATES], default="stay")
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--count", type=int, default=1 << 40)
    parser.add_argument("--ahead", type=int, default=20_000, help="most records undelivered")
    parser.add_argument("--spool-limit", type=int)
    parser.add_argument("--filler", action="store_true")
    parser.add_argument("--mixed", action="store_true", help="each third record is an error")
    parser.add_argument("role", choices=["receiver", "worker"])
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    _passages_left = options.passage
    if options.point is not None:
        {**RECEIVER, **SEVERAL, **WORKER, **WORKER_ADOPTION}[options.point]()
    return run_receiver(options) if options.role == "receiver" else run_worker(options)


if __name__ == "__main__":
    sys.exit(main())
