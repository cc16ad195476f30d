"""The receiver takes up the journals of dead workers, each for one log."""

from __future__ import annotations

import errno
import os
from unittest import mock

import pytest

from loguru_stdbridge.addresses import LogName, parse_address
from loguru_stdbridge.exceptions import SequenceError
from loguru_stdbridge.receiver.adoption import OrphanIntake
from loguru_stdbridge.spool import orphans
from loguru_stdbridge.spool.journal import Journal
from tests.support.scripted import a_row

ADDRESS = "tcp://127.0.0.1:9020"
OURS, ANOTHER = LogName("/logs/app.log", "a" * 32), LogName("/logs/other.log", "b" * 32)


class Records:
    """Takes rows and forgets nothing."""

    def __init__(self):
        self.taken = {}

    def greet(self, sender, base):
        return base - 1

    def last(self, sender):
        return max(self.taken, default=0)

    def take_rows(self, sender, first, rows):
        self.taken.update(enumerate(rows, first))


@pytest.fixture
def orphan(spool_dir):
    """Leave a journal of three records, and return its directory."""
    journal = Journal.create(str(spool_dir), ADDRESS)
    for number in range(3):
        journal.append(a_row(number))
    journal.close(remove=False)
    return spool_dir / journal.sender_id


@pytest.fixture
def intake(spool_dir):
    """Make the intake of a receiver at ``ADDRESS``, which writes the given log."""
    made = []

    def intake(log):
        made.append(OrphanIntake(str(spool_dir), [parse_address(ADDRESS)], log, lambda text: None))
        return made[-1]

    yield intake
    for each in made:
        each.close()


def test_a_journal_is_delivered_and_removed(orphan, intake):
    """A journal whose records are in the file is removed, and its sender is known to be gone."""
    ours, records = intake(OURS), Records()
    sender = None
    while sender is None:
        assert ours.take_batch(records)
        sender = ours.note_written(records)
    assert sorted(records.taken) == [1, 2, 3]
    assert sender == orphan.name and not orphan.exists()


def test_a_journal_that_stays_keeps_its_sender_in_the_ledger(orphan, intake, monkeypatch):
    """The sender of a journal that can be neither noted nor removed is not called gone.

    The ledger would forget it, and have the records written again when the journal is found.
    """

    open_file = orphans._open

    def refuse(path, mode="r", **options):
        if "+" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return open_file(path, mode, **options)

    monkeypatch.setattr(orphans, "_open", refuse)
    monkeypatch.setattr(orphans, "remove_journal", lambda *paths: None)
    ours, records = intake(OURS), Records()
    while len(records.taken) < 3 or ours.is_busy:
        assert ours.take_batch(records)
        assert ours.note_written(records) is None
    assert orphan.exists()


def test_a_journal_whose_sender_is_in_doubt_waits_for_the_write(orphan, intake):
    """A journal is taken when all that its owner's connection has brought is written."""
    ours, records = intake(OURS), Records()
    greet, records.greet = records.greet, mock.Mock(side_effect=SequenceError("in doubt"))
    assert ours.take_batch(records)
    assert ours.note_written(records) is None and not records.taken
    records.greet = greet
    assert ours.take_batch(records)
    assert sorted(records.taken) == [1, 2, 3]


def test_what_a_killed_receiver_has_begun_goes_to_no_other_log(orphan, intake):
    """A journal of which a receiver has written a part is left for that receiver's log.

    The other one's ledger does not know what was written, and would have it written again.
    """
    killed = intake(OURS)
    assert killed.take_batch(Records())
    killed.close()  # nothing of what was written is noted in the journal
    assert not intake(ANOTHER).take_batch(Records())
    assert intake(OURS).take_batch(Records())
