"""What the version before this round of formats has left behind is delivered exactly once."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from loguru_stdbridge.sink.entries import (
    ENTRY,
    FILE,
    INTENT,
    MAGIC,
    ROTATING,
    end_of_entry,
    make_entry,
)
from loguru_stdbridge.sink.files import FileId
from loguru_stdbridge.spool.finder import journal_directories
from loguru_stdbridge.spool.segments import decode_meta, encode_meta
from tests.support.processes import Account, ReceiverProcess

LEFT_BEHIND = Path(__file__).parent / "support" / "version_1.tar.gz"
"""Made by ``tests/support/upgrade.py`` with the code of version 1: a journal of 2,000 records, whose
owner was killed, and a log and its ledger, whose receiver was killed in the middle of a line."""


def unpack(directory):
    """Unpack what was left behind, and return the path of the log.

    The ledger knows the log by its device and inode, which are others here. Nothing else of the
    old bytes is changed.
    """
    with tarfile.open(LEFT_BEHIND) as archive:
        for member in archive.getmembers():
            target = directory / member.name
            if member.isdir():
                target.mkdir(mode=0o700)
            else:
                target.write_bytes(archive.extractfile(member).read())
    sink = directory / "logs" / "app.log"
    ledger = directory / "logs" / ".app.log.ledger"
    data, here = ledger.read_bytes(), FileId.of(os.stat(sink))
    moved, position, intents = MAGIC, len(MAGIC), 0
    assert data.startswith(MAGIC)
    while position < len(data):
        _, _, kind, lines = ENTRY.unpack_from(data, position)
        end = end_of_entry(data, position)
        body = data[position + ENTRY.size : end]
        if kind in (FILE, INTENT, ROTATING):
            place = here[0].to_bytes(8, "little") + here[1].to_bytes(8, "little")
            body = place + (body[16:] if kind == INTENT else os.fsencode(sink))
        moved += make_entry(kind, lines, body)
        intents += kind == INTENT
        position = end
    ledger.write_bytes(moved)
    assert intents, "the receiver was killed before it wrote"
    return sink


def test_journals_and_ledger_of_version_1_are_read(tmp_path, runtime_dir, eventually):
    """A journal and a ledger of version 1, with a torn line, become each record once."""
    sink = unpack(tmp_path)
    noted = (tmp_path / "notes" / "a").stat().st_size
    before = Account(sink)
    assert 0 < len(before.found) < noted == 2000 and len(before.torn) == 1
    (journal,) = map(Path, journal_directories(str(tmp_path / "spool")))
    meta = decode_meta((journal / "meta").read_bytes())
    assert meta.version == 1
    address = f"unix://{runtime_dir}/s"  # a short path
    (journal / "meta").write_bytes(encode_meta(meta._replace(address=address)))
    with ReceiverProcess(
        sink, "--format", "{message}", "--rotation", "40 KB", "--compression", "gz", listen=address
    ) as receiver:
        eventually(lambda: not journal.exists(), 60, "the journal is delivered")
        assert receiver.stop() == 0
    Account(sink).check({"a": noted})
