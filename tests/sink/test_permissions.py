"""Log files and archives have the mode and the owner that were asked for."""

from __future__ import annotations

import os
import stat

import pytest

from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver.service import Service
from loguru_stdbridge.sink.blocks import Block
from loguru_stdbridge.sink.ledger import Ledger
from loguru_stdbridge.sink.permissions import FilePermissions, read_permissions
from loguru_stdbridge.sink.rotating import RotatingSink

NOBODY = 65534


def look(path):
    status = os.stat(path)
    return stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid


@pytest.fixture
def umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


def write(sink, *texts):
    sink.write([Block(None, 0, [f"{text}\n" for text in texts], [])])


def test_files_and_archives_have_the_mode(tmp_path, umask, eventually):
    """Each file of a log, the rotated ones and their archives have the mode from the start."""
    path = tmp_path / "app.log"
    ledger = Ledger.open(path)
    opener = FilePermissions(0o640).open
    sink = RotatingSink(path, ledger, rotation="10 B", compression="gz", opener=opener)
    for number in range(3):
        write(sink, f"line {number} that is long")
    eventually(lambda: len(list(tmp_path.glob("app.*.log.gz"))) == 3, 30, "archives are made")
    assert {look(each)[0] for each in (path, *tmp_path.glob("app.*.log.gz"))} == {0o640}
    sink.close()
    ledger.close()


def test_an_existing_file_gets_the_mode(tmp_path, umask):
    """A file of an earlier run, which others could read, gets the mode when it is opened."""
    path = tmp_path / "app.log"
    path.write_text("before\n")
    service = Service(
        [{"sink": path}], [], spool_dir=False, file_mode="0600", report=lambda text: None
    )
    service.close()
    assert look(path)[0] == 0o600
    assert path.read_text() == "before\n"


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root gives away")
def test_files_and_archives_have_the_owner(tmp_path, eventually):
    """Root's receiver gives files and archives to the user and the group that were named."""
    path = tmp_path / "app.log"
    ledger = Ledger.open(path)
    permissions = read_permissions("0640", f"{NOBODY}:{NOBODY}")
    sink = RotatingSink(path, ledger, rotation="10 B", compression="gz", opener=permissions.open)
    for number in range(2):
        write(sink, f"line {number} that is long")
    eventually(lambda: list(tmp_path.glob("app.*.log.gz")), 30, "an archive is made")
    (archive,) = tmp_path.glob("app.*.log.gz")
    assert look(path) == look(archive) == (0o640, NOBODY, NOBODY)
    sink.close()
    ledger.close()


@pytest.mark.parametrize(
    ("mode", "owner", "expected"),
    [
        (None, None, None),
        ("0640", None, FilePermissions(0o640)),
        (0o600, None, FilePermissions(0o600)),
        (None, "12", FilePermissions(None, 12)),
        (None, ":34", FilePermissions(None, None, 34)),
        ("660", "12:34", FilePermissions(0o660, 12, 34)),
        (None, "root:root", FilePermissions(None, 0, 0)),
    ],
)
def test_mode_and_owner_are_read_as_by_chmod_and_chown(mode, owner, expected):
    """Octal digits, numbers, names, a user or a group alone: each is read."""
    assert read_permissions(mode, owner) == expected


@pytest.mark.parametrize(
    ("mode", "owner", "reason"),
    [
        ("rw", None, "octal digits from 0600"),
        ("0444", None, "the owner reads and writes"),
        (True, None, "octal digits"),
        ("01777", None, "octal digits"),
        (None, ":", "USER, USER:GROUP or :GROUP"),
        (None, "nobody-of-that-name", "this system has no user"),
        (None, ":nobody-of-that-name", "this system has no group"),
    ],
)
def test_what_is_no_mode_or_owner_is_refused(mode, owner, reason):
    """The error shows the value and what is allowed."""
    with pytest.raises(ConfigurationError, match=reason):
        read_permissions(mode, owner)


def test_a_system_without_owners_says_so(monkeypatch):
    """Where files have no owner and no mode (Windows), asking for them is refused with a reason."""
    monkeypatch.setattr("loguru_stdbridge.sink.permissions.HAS_USERS", False)
    assert read_permissions(None, None) is None
    for mode, owner in (("0640", None), (None, "0:0")):
        with pytest.raises(ConfigurationError, match="leave them out"):
            read_permissions(mode, owner)
