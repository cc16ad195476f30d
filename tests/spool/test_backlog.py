"""The backlog of a journal is counted from its files, beside its living owner."""

from __future__ import annotations

import os

import pytest

from loguru_stdbridge.spool.backlog import JournalBacklog, SpoolBacklog
from loguru_stdbridge.spool.journal import Journal
from tests.support.journals import ADDRESS, SEGMENT, fill


@pytest.fixture
def journal(tmp_path):
    journal = Journal.create(tmp_path, ADDRESS, limit=100 * SEGMENT, segment_size=SEGMENT)
    yield journal
    journal.close(remove=False)


def test_what_waits_is_counted_as_it_comes_and_goes(journal):
    """The count follows what is logged and what is acknowledged, over many segments."""
    backlog = JournalBacklog(journal.path)
    assert backlog.count() == 0
    for waiting in (1, 3, 20, 47):
        fill(journal, waiting - journal.pending)
        assert backlog.count() == waiting
    journal.acknowledge(40)
    assert backlog.count() == JournalBacklog(journal.path).count() == 7
    journal.acknowledge(47)
    assert backlog.count() == 0
    fill(journal, 2)
    assert backlog.count() == 2


def test_what_cannot_be_read_is_not_known(journal, tmp_path):
    """A journal that is gone, or whose notes are damaged, has no count, and harms no other."""
    fill(journal, 3)
    assert JournalBacklog(str(tmp_path / "none")).count() is None
    spool = SpoolBacklog(str(tmp_path))
    name = os.path.basename(journal.path)
    (tmp_path / ("f" * 32)).mkdir()
    (tmp_path / ("f" * 32) / "meta").write_bytes(b"x")
    assert spool.count({name[:8], "ffffffff", "00000000"}) == {name[:8]: 3}
    assert SpoolBacklog(str(tmp_path / "none")).count({name[:8]}) == {}
