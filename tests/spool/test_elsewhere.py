"""Spool directories that workers name are found by receivers, and only safe ones."""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

from loguru_stdbridge import install_bridge, start_receiver
from loguru_stdbridge.spool.elsewhere import note_spool, noted_spools
from tests.support.processes import free_address, run_python

JOURNAL = "0123456789abcdef" * 2

WORKER = """
import os, sys
from loguru import logger
from loguru_stdbridge import install_bridge
logger.remove()
install_bridge(sys.argv[1], spool_dir=sys.argv[2])
logger.info("left behind")
os._exit(0)
"""


def found_in(directory, own=""):
    """Return the noted spools below ``directory``: other programs of this user have theirs."""
    return [path for path in noted_spools(own) if path.startswith(f"{directory}/")]


def test_a_receiver_delivers_what_lies_in_a_directory_that_only_the_worker_named(
    tmp_path, eventually
):
    """The worker is gone and no other one uses its directory: the receiver finds it by the note."""
    address, sink = free_address(), tmp_path / "app.log"
    status, _, err = run_python(WORKER, address, str(tmp_path / "of its own"))
    assert status == 0, err
    with start_receiver(sink, address=address, format="{message}"):
        eventually(lambda: sink.exists() and sink.read_text(), what="it is delivered")
    assert sink.read_text() == "left behind\n"
    assert os.listdir(tmp_path / "of its own") in ([], ["peers"])


def test_only_directories_of_this_user_alone_are_looked_at(tmp_path):
    """An open directory, a link and one that is gone are passed over; the last note goes."""
    for name in ("safe", "open", "gone", "own"):
        (tmp_path / name / JOURNAL).mkdir(mode=0o700, parents=True)
        (tmp_path / name).chmod(0o700)
        note_spool(str(tmp_path / name))
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "safe")
    note_spool(str(tmp_path / "link"))
    shutil.rmtree(tmp_path / "gone")
    assert found_in(tmp_path, own=str(tmp_path / "own")) == [str(tmp_path / "safe")]
    notes = Path(os.environ["XDG_RUNTIME_DIR"], "loguru_stdbridge")
    assert len(list(notes.glob("spool-*"))) == 4


def test_a_directory_is_noted_once_whatever_its_name(tmp_path):
    """Names that are no UTF-8 are kept as they are."""
    odd = tmp_path / os.fsdecode(b"sp\xf6ol")
    odd.mkdir(mode=0o700)
    (odd / JOURNAL).mkdir()
    note_spool(str(odd))
    note_spool(str(odd))
    assert found_in(tmp_path) == [str(odd)]


def notes_of(tmp_path):
    """Return the directories below ``tmp_path`` that have a note."""
    notes = Path(os.environ["XDG_RUNTIME_DIR"], "loguru_stdbridge").glob("spool-*")
    return sorted(note.read_text() for note in notes if str(tmp_path) in note.read_text())


def test_the_note_of_a_directory_that_holds_nothing_goes(tmp_path):
    """A receiver forgets a directory in which no journal is left: else it would look for ever."""
    for name, inside in (("used", JOURNAL), ("empty", "peers")):
        (tmp_path / name).mkdir(mode=0o700)
        (tmp_path / name / inside).mkdir()
        note_spool(str(tmp_path / name))
    assert found_in(tmp_path) == [str(tmp_path / "used")]
    assert notes_of(tmp_path) == [str(tmp_path / "used")]


def test_a_journal_that_is_made_while_the_note_goes_is_noted(tmp_path, monkeypatch):
    """A worker that has found the note, just before a receiver removes it, is found all the same."""
    spool = tmp_path / "spool"
    spool.mkdir(mode=0o700)
    note_spool(str(spool))
    unlink = os.unlink

    def make_journal_then_unlink(path):
        (spool / JOURNAL).mkdir()
        note_spool(str(spool))
        unlink(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", make_journal_then_unlink)
        found_in(tmp_path)
    assert notes_of(tmp_path) == [str(spool)]


def test_a_worker_notes_its_directory_with_each_journal(tmp_path):
    """The note that went, while the directory held nothing, is there again with the next record."""
    with start_receiver(tmp_path / "app.log", format="{message}", spool_dir=False) as receiver:
        bridge = install_bridge(receiver.address, spool_dir=tmp_path / "own", loguru=False)
        assert notes_of(tmp_path) == []
        logging.getLogger("noted").warning("one")
        assert notes_of(tmp_path) == [str(tmp_path / "own")]
        assert bridge.close(30)
    found_in(tmp_path)
    assert notes_of(tmp_path) == []
