"""Nothing is lost or written twice, whoever is killed; see :mod:`tests.support.kills`.

Each scene is played in a short form here, with really killed processes. The long form is
``python -m tests.support.kills --receiver-kills 1000 --worker-kills 200``.
"""

from __future__ import annotations

import mmap
import os
import random
from pathlib import Path

import pytest

from loguru_stdbridge.sink.files import FileId, find_file
from loguru_stdbridge.spool.segments import ACKED_AT, NUMBER
from tests.support import crashing, kills
from tests.support.processes import ReceiverProcess, start_python

SEED = random.SystemRandom().randrange(10**6)


def check(figures):
    """Fail where a file is wrong, or where a receiver complained of anything."""
    print(figures)
    assert figures.clean, figures
    assert not figures.complaints, figures


def play(scene, tmp_path, **figures):
    """Play a scene; where it fails, its message holds the seed."""
    try:
        return scene(tmp_path / "scene", SEED, **figures)
    except AssertionError as error:
        raise AssertionError(f"seed {SEED}: {error}") from error


def test_a_receiver_killed_again_and_again_loses_and_doubles_nothing(tmp_path):
    """A receiver that is killed at random instants loses and doubles nothing."""
    figures = play(kills.receiver_kills, tmp_path, kills=8, pace=kills.SHORT)
    check(figures)
    assert sum(figures.kills.values()) == 8


def test_kills_over_tls_lose_and_double_nothing(tmp_path):
    """A receiver, and then workers, that are killed under TLS lose and double nothing."""
    pytest.importorskip("trustme", reason="trustme makes the certificates")
    figures = play(kills.over_tls, tmp_path, kills=2, pace=kills.SHORT, workers="ab")
    print(figures)
    assert figures.clean, figures


@pytest.mark.parametrize("forced, what", [("written", "lost"), ("unwritten", "doubled")])
def test_a_ledger_that_errs_is_seen(tmp_path, forced, what):
    """The count of records finds what a ledger that lies would lose or double."""
    figures = play(kills.receiver_kills, tmp_path, kills=4, pace=kills.SHORT, forced=forced)
    assert figures.total(what) > 0, figures


def test_named_crash_points_are_survived(tmp_path, scale):
    """Each named crash point of the receiver and of a worker loses and doubles nothing.

    A third of them, chosen by the seed; ``--long`` plays all.
    """
    share = scale(1 / 3, 1.0)
    figures = play(kills.crash_points, tmp_path, share=share)
    check(figures)
    points = {*crashing.RECEIVER, *crashing.WORKER}
    assert set(figures.kills) <= points
    assert len(figures.kills) >= share * len(points)


def test_a_worker_that_adopts_is_survived(tmp_path):
    """Each crash point of a worker that adopts journals loses and doubles nothing."""
    figures = play(kills.elsewhere, tmp_path)
    check(figures)
    assert set(figures.kills) == set(crashing.WORKER_ADOPTION)


def test_what_kills_make_the_spool_give_up_is_told_to_the_record(tmp_path):
    """When an outage outlasts the journals, the log reports exactly what is missing."""
    check(play(kills.drops, tmp_path, kills=2))


def test_workers_that_die_in_every_way_leave_no_record_behind(tmp_path):
    """Workers that end by ``kill -9``, ``os._exit``, SIGSEGV or lack of memory lose no record."""
    figures = play(kills.worker_kills, tmp_path, kills=12)
    check(figures)
    assert sum(figures.kills.values()) == 12


def test_both_sides_and_the_network_fail_together(tmp_path):
    """Kills of both sides, behind a proxy that cuts, delays and splits, lose nothing."""
    figures = play(kills.both_sides, tmp_path, seconds=6)
    check(figures)
    assert len(figures.kills) == 2


def test_a_standby_takes_over(tmp_path):
    """A standby goes on at the same address when the active receiver is killed."""
    figures = play(kills.standby, tmp_path, kills=3)
    check(figures)


def test_a_start_takes_up_its_own_archives_and_no_other_s(tmp_path):
    """A start finishes its own archives, and leaves those of another receiver's sink alone."""
    date = "2026-01-01_00-00-00_000000"
    for name in (f"app.{date}.log", f"app.error.{date}.log"):
        work = tmp_path / f".{name}.compressing"
        work.mkdir()
        (tmp_path / name).write_text("line\n")
        os.link(tmp_path / name, work / name)
        work.with_name(f"{work.name}.new").mkdir()
    options = ("--compression", "gz", "--rotation", "1 MB")
    with ReceiverProcess(tmp_path / "app.log", *options) as receiver:
        assert receiver.stop() == 0
    left = {path.name for path in tmp_path.iterdir() if date in path.name}
    assert left == {
        f"app.{date}.log.gz", f"app.error.{date}.log", f".app.error.{date}.log.compressing",
        f".app.error.{date}.log.compressing.new",
    }  # fmt: skip


def test_a_stranger_s_file_with_the_inode_of_a_lost_one_is_not_ours(tmp_path):
    """A file with the inode of a lost one is the sink's only if its name is a rotated one's."""
    sink = str(tmp_path / "app.log")
    for name in ("app.2026-01-01_00-00-00_000000.log", "app.log.1", "app.log-20260101"):
        (tmp_path / name).touch()
        assert find_file(FileId.of(os.stat(tmp_path / name)), sink) == str(tmp_path / name)
    for name in ("other.log", "app.2026-01-01_00-00-00_000000.log.gz", "app.log.1.xz"):
        (tmp_path / name).touch()
        assert find_file(FileId.of(os.stat(tmp_path / name)), sink) is None
    packed = str(tmp_path / "app.log.1.xz")  # as the name of the sink itself it is as good as any
    assert find_file(FileId.of(os.stat(packed)), packed) == packed


ACKNOWLEDGE = """
import sys
from pathlib import Path
from loguru_stdbridge.spool.journal import Journal
journal = Journal.create(Path(sys.argv[1]), "tcp://127.0.0.1:1")
for _ in range(100_000):
    journal.append(b"[]")
print(journal.path, flush=True)
for number in range(1, 100_001):
    journal.acknowledge(number)
"""


def test_what_is_noted_as_acknowledged_never_goes_back(tmp_path):
    """The acknowledged number in a journal never goes back, at whatever instant a kill comes."""
    process = start_python(ACKNOWLEDGE, str(tmp_path / "journals"))
    with open(Path(process.stdout.readline().decode().strip()) / "meta", "rb") as file:
        meta = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    seen = [0]
    while seen[-1] < 100_000 and process.poll() is None:
        seen += [NUMBER.unpack_from(meta, ACKED_AT)[0] for _ in range(1_000)]
    _, err = process.communicate()
    meta.close()
    assert process.returncode == 0, err
    assert seen == sorted(seen)
    assert len(set(seen)) > 100
