"""The spool directory: where it is, who may use it, and what is noted there of receivers."""

from __future__ import annotations

import os
import pwd
import time

import pytest

from loguru_stdbridge.addresses import parse_address
from loguru_stdbridge.exceptions import JournalError
from loguru_stdbridge.record.line_format import LineFormat
from loguru_stdbridge.record.sink_needs import SinkNeeds
from loguru_stdbridge.spool.directory import (
    SPOOL_VARIABLE,
    default_spool_dir,
    former_spool_dirs,
    make_spool_dir,
    note_sink,
    noted_sink,
    remove_journal,
)
from loguru_stdbridge.system import users
from loguru_stdbridge.system.locks import let_go, take_lock
from tests.support.processes import run_python

ADDRESS = parse_address("tcp://127.0.0.1:9020")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv(SPOOL_VARIABLE)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


# -- which


def test_the_variable_comes_first(monkeypatch):
    """A spool directory named by ``$LOGURU_STDBRIDGE_SPOOL_DIR`` is taken as it is."""
    monkeypatch.setenv(SPOOL_VARIABLE, "/some/where")
    monkeypatch.setenv("XDG_STATE_HOME", "/else")
    assert default_spool_dir() == "/some/where"


def test_the_state_directory_of_the_user_is_next(home, monkeypatch):
    """The default is in ``$XDG_STATE_HOME``, if that is absolute, else in ``~/.local/state``."""
    assert default_spool_dir() == str(home / ".local" / "state" / "loguru_stdbridge")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert default_spool_dir() == str(home / ".local" / "state" / "loguru_stdbridge")
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    assert default_spool_dir() == str(home / "state" / "loguru_stdbridge")


@pytest.fixture
def unknown_user(monkeypatch):
    """The system knows no home of this user."""

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)


def deny(monkeypatch, *parts):
    """Let this user write no path that has one of ``parts`` in it: root may write anywhere."""
    monkeypatch.setattr(
        os, "access", lambda path, *mode, **options: not any(part in path for part in parts)
    )


def test_the_home_that_the_system_knows_is_next(home, monkeypatch, tmp_path):
    """A process whose ``$HOME`` is another user's, as after ``setuid``, takes its own user's home."""
    (tmp_path / "own").mkdir()
    entry = pwd.struct_passwd(("me", "x", 0, 0, "", str(tmp_path / "own"), ""))
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: entry)
    deny(monkeypatch, str(home))
    assert default_spool_dir() == str(tmp_path / "own/.local/state/loguru_stdbridge")
    other = home / ".local/state/loguru_stdbridge"
    other.mkdir(parents=True)
    other.chmod(0o777)  # it may be written, and nobody may use it
    monkeypatch.setattr(os, "access", lambda *arguments, **options: True)
    assert default_spool_dir() == str(tmp_path / "own/.local/state/loguru_stdbridge")


def test_a_service_without_a_home_keeps_its_journals_with_its_state(
    home, monkeypatch, unknown_user, tmp_path
):
    """A service uses the directory that systemd has made for its state, and never cleans."""
    (tmp_path / "lib").mkdir()
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'lib'}:/var/lib/other")
    deny(monkeypatch, str(home))
    assert default_spool_dir() == str(tmp_path / "lib/loguru_stdbridge")


@pytest.mark.parametrize("what", ["a file", "a home that is not writable", "a user without one"])
def test_without_a_home_it_is_in_a_temporary_directory(
    home, monkeypatch, unknown_user, what, tmp_path
):
    """A user without a home gets a directory of its own where temporary files are kept longest."""
    if what == "a file":
        (home / ".local").write_text("")
    elif what == "a home that is not writable":
        deny(monkeypatch, str(home))
    else:
        monkeypatch.delenv("HOME")
    user = os.getuid()
    assert default_spool_dir() == f"/var/tmp/loguru_stdbridge-{user}"
    (tmp_path / "other").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "other"))
    deny(monkeypatch, str(home), "/var", str(tmp_path / "other"))
    assert default_spool_dir() == f"/tmp/loguru_stdbridge-{user}"


def test_a_former_default_is_known(home, monkeypatch, tmp_path):
    """Spools in other temporary directories are known, unless they are not safe."""
    monkeypatch.setattr(users, "_TEMPORARY_PLACES", (str(tmp_path / "var"), str(tmp_path / "tmp")))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "own"))
    paths = [tmp_path / name / f"loguru_stdbridge-{os.getuid()}" for name in ("var", "own", "tmp")]
    assert former_spool_dirs() == []
    for path in paths:
        make_spool_dir(path)
    assert former_spool_dirs() == list(map(str, paths))
    paths[0].chmod(0o755)
    assert former_spool_dirs() == list(map(str, paths[1:]))


OTHERS_HOME = """
import os, sys
from loguru_stdbridge.spool.directory import default_spool_dir
if os.getuid() == 0:
    os.setuid(65534)
print(default_spool_dir())
"""


def test_a_home_that_may_not_be_looked_at(home, monkeypatch):
    """A user whose home belongs to another gets a directory in a temporary one."""
    home.chmod(0)
    try:
        status, out, err = run_python(
            OTHERS_HOME, LOGURU_STDBRIDGE_SPOOL_DIR="", HOME=str(home / "me")
        )
    finally:
        home.chmod(0o700)
    assert status == 0, err
    assert out == f"/var/tmp/loguru_stdbridge-{65534 if os.getuid() == 0 else os.getuid()}\n"


# -- whose


def test_it_is_made_for_its_user_only(tmp_path):
    """The directory is made with mode 0700 whatever the umask, and is then taken as it is."""
    directory = tmp_path / "a" / "b"
    before = os.umask(0)
    try:
        assert make_spool_dir(str(directory)) == str(directory)
    finally:
        os.umask(before)
    assert directory.stat().st_mode & 0o7777 == 0o700
    assert make_spool_dir(directory) == str(directory)


def test_no_directory_above_is_made_that_others_may_write(tmp_path):
    """The directories above it can be written by their owner alone, in a daemon with umask 0, too."""
    before = os.umask(0)
    try:
        make_spool_dir(tmp_path / "a/b/spool")
        make_spool_dir(tmp_path / "a/b/spool")
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o7777 for name in ("a", "a/b", "a/b/spool")]
    assert modes == [0o755, 0o755, 0o700]


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o704, 0o777])
def test_one_that_is_open_to_others_is_refused(tmp_path, mode):
    """A directory that is open to other users is refused."""
    directory = tmp_path / "open"
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(JournalError, match=f"open to others .mode {mode:04o}"):
        make_spool_dir(directory)


def test_one_of_another_user_is_refused(tmp_path, monkeypatch):
    """A directory of another user is refused, and the message names both users and the way out."""
    directory = make_spool_dir(tmp_path / "theirs")
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(JournalError, match=f"user {mine}, not to user {mine + 1}: .* spool_dir="):
        make_spool_dir(directory)


@pytest.mark.parametrize("target", ["mine", "nowhere"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_a_link_is_refused(tmp_path, target, slash):
    """A link is refused, since another user may have put it there, and nothing is made."""
    make_spool_dir(tmp_path / "mine")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(JournalError, match="link"):
        make_spool_dir(f"{tmp_path}/link{slash}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "mine"]


def test_a_directory_behind_a_link_is_taken(tmp_path):
    """A directory below a link is taken, since a home may be one."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "home").symlink_to("disk")
    assert make_spool_dir(tmp_path / "home/spool") == str(tmp_path / "home/spool")
    assert (tmp_path / "disk/spool").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_one_that_cannot_be_made_is_told(tmp_path, path):
    """A directory that cannot be made raises an error that names it."""
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match=f"spool directory {tmp_path / path}"):
        make_spool_dir(tmp_path / path)


# -- notes of line formats


LINE_FORMAT = LineFormat("{message}", 20)


def test_a_note_is_of_one_address(tmp_path):
    """A note about one port says nothing of another port or of the same port elsewhere."""
    note_sink(tmp_path, ADDRESS, LINE_FORMAT)
    assert noted_sink(tmp_path, ADDRESS)[0] == LINE_FORMAT
    for other in ("tcp://127.0.0.1:9021", "tcp://192.0.2.1:9020", "unix:///run/log"):
        assert noted_sink(tmp_path, parse_address(other))[0] is None


def test_a_note_can_be_read_by_people(tmp_path):
    """A note's first line is the address."""
    note_sink(tmp_path, ADDRESS, LINE_FORMAT, SinkNeeds(20))
    (note,) = (tmp_path / "peers").iterdir()
    lines = note.read_text().splitlines()
    assert lines == ["tcp://127.0.0.1:9020", '["{message}", 20]', '[20, ["plain"], []]']


def test_old_notes_go(tmp_path):
    """A note is removed a week after it was last written."""
    others = [parse_address(f"tcp://127.0.0.1:{port}") for port in range(2000, 2010)]
    for other in others:
        note_sink(tmp_path, other, LINE_FORMAT)
    day = 24 * 3600
    for note in (tmp_path / "peers").iterdir():
        os.utime(note, (time.time() - 6.9 * day,) * 2)
    note_sink(tmp_path, ADDRESS, LINE_FORMAT)
    assert all(noted_sink(tmp_path, other)[0] for other in others)
    note_sink(tmp_path, others[0], LINE_FORMAT)
    for note in (tmp_path / "peers").iterdir():
        if time.time() - note.stat().st_mtime > day:
            os.utime(note, (time.time() - 7.1 * day,) * 2)
    note_sink(tmp_path, ADDRESS, LINE_FORMAT)
    left = [noted_sink(tmp_path, other)[0] is not None for other in others]
    assert left == [True] + [False] * 9


def test_a_note_that_cannot_be_written_is_no_error(tmp_path):
    """A note that cannot be written or removed raises nothing."""
    for line_format in (LINE_FORMAT, None):
        note_sink(tmp_path / "absent", ADDRESS, line_format)
    assert noted_sink(tmp_path / "absent", ADDRESS)[0] is None


def test_a_note_that_is_removed_or_broken_says_nothing(tmp_path):
    """A removed note and a broken one mean that no line format is known."""
    note_sink(tmp_path, ADDRESS, LINE_FORMAT)
    note_sink(tmp_path, ADDRESS, None)
    assert list((tmp_path / "peers").iterdir()) == []
    note_sink(tmp_path, ADDRESS, LINE_FORMAT)
    (note,) = (tmp_path / "peers").iterdir()
    for text in ('x\n["{extra}",20]\n', "x\n[1\n", "x\n5\n", "x\n[1,2,3]\n", ""):
        note.write_text(text)
        assert noted_sink(tmp_path, ADDRESS)[0] is None


# -- removal


def a_journal(path):
    path.mkdir()
    for name in ("lock", "meta", "0000000001.seg", "0000000002.seg", "meta.new"):
        (path / name).write_text(name)
    return path


def test_a_journal_is_removed_whole(tmp_path):
    """A journal is removed with all its files, and removing it twice is no error."""
    path = a_journal(tmp_path / "journal")
    remove_journal(path)
    assert list(tmp_path.iterdir()) == []
    remove_journal(path)


def test_a_journal_is_removed_in_an_order_that_a_kill_may_interrupt(tmp_path, monkeypatch):
    """A journal loses its oldest segment first, then ``meta``, by which all is acknowledged, and its
    lock last."""
    path = a_journal(tmp_path / "journal")
    unlink, removed = os.unlink, []

    def noting(target):
        removed.append(os.path.basename(target))
        unlink(target)

    monkeypatch.setattr(os, "unlink", noting)
    descriptor = take_lock(str(path / "lock"))
    remove_journal(path)
    let_go(descriptor)
    assert removed == ["0000000001.seg", "0000000002.seg", "meta.new", "meta", "lock"]


def test_a_removal_that_was_interrupted_is_finished(tmp_path):
    """A removal that was killed at any point is finished by the next one."""
    for left in (["lock"], ["lock", "0000000002.seg"], ["0000000001.seg", "lock", "meta.new"], []):
        path = a_journal(tmp_path / "journal")
        for entry in path.iterdir():
            if entry.name not in left:
                entry.unlink()
        if "lock" not in left:
            path.rmdir()
        remove_journal(path)
        assert list(tmp_path.iterdir()) == []


def test_a_relative_one_stays_where_it_was_named(tmp_path, monkeypatch):
    """A relative directory stays where it was named when the program changes its own."""
    monkeypatch.chdir(tmp_path)
    assert make_spool_dir("spool") == str(tmp_path / "spool")
    assert (tmp_path / "spool").stat().st_mode & 0o7777 == 0o700


def test_without_a_working_directory_a_relative_one_is_an_error_of_ours(tmp_path, monkeypatch):
    """A relative directory in a removed working directory raises JournalError."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(JournalError, match="cannot make the spool directory spool"):
        make_spool_dir("spool")
