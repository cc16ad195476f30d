"""Files mean the same everywhere: identity, places, names of what is damaged."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from loguru_stdbridge.system import files
from loguru_stdbridge.system.files import free_damaged_name, set_aside


def test_a_damaged_file_is_kept_beside_its_place(tmp_path):
    """Damaged files of one name and one second are kept apart, links among them."""
    kept = []
    for content in ("first", "second"):
        (tmp_path / "file").write_text(content)
        kept.append(set_aside(str(tmp_path / "file")))
    assert [Path(path).read_text() for path in kept] == ["first", "second"]
    assert all(re.fullmatch(r".*/file\.damaged-\d+-[12]", path) for path in kept)
    dangling = free_damaged_name(str(tmp_path / "file"))
    Path(dangling).symlink_to("nowhere")
    assert free_damaged_name(str(tmp_path / "file")) != dangling


def test_a_damaged_file_can_be_kept_elsewhere(tmp_path):
    """A damaged segment is kept beside its directory, which will be removed."""
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "1.seg").write_text("rows")
    kept = set_aside(str(tmp_path / "journal" / "1.seg"), beside=str(tmp_path / "journal-1.seg"))
    assert kept.startswith(str(tmp_path / "journal-1.seg.damaged-"))
    assert Path(kept).read_text() == "rows"


def test_what_cannot_be_set_aside_is_an_error_of_the_system(tmp_path):
    """A file that cannot be set aside raises ``OSError``."""
    with pytest.raises(FileNotFoundError):
        set_aside(str(tmp_path / "absent"))


@pytest.fixture
def synced(monkeypatch):
    """Note what is asked of the system, in the place of a disk."""
    asked = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: asked.append("fsync"))
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: asked.append("fdatasync"))
    return asked


def test_a_file_is_synced_as_the_system_has_it(synced):
    """Where nothing more is known, the two calls of POSIX are made."""
    files.sync_file(3)
    files.sync_data(3)
    assert synced == ["fsync", "fdatasync"]


@pytest.mark.parametrize("fails", [False, True])
def test_on_macos_the_disk_itself_is_asked(synced, monkeypatch, fails):
    """``fsync`` leaves the data in the disk's memory there; a file system without the other has it."""

    def control(descriptor, request):
        synced.append(request)
        if fails:
            raise OSError(45, "not supported")

    monkeypatch.setattr(files, "_FULL_SYNC", 51)
    monkeypatch.setattr(files, "fcntl_module", SimpleNamespace(fcntl=control))
    files.sync_file(3)
    files.sync_data(3)
    assert synced == ([51, "fsync"] * 2 if fails else [51, 51])


def test_a_directory_that_cannot_be_opened_is_not_synced(tmp_path, synced, monkeypatch):
    """Where directories cannot be opened (Windows), the file system keeps the names itself."""
    files.sync_directory(tmp_path)
    monkeypatch.setattr(files, "DIRECTORY", 0)
    files.sync_directory(tmp_path)
    assert synced == ["fsync"]


def test_a_file_takes_room_where_the_system_does_not_tell_how_much():
    """Without a count of blocks, the length is what a file takes."""
    assert files.size_on_disk(SimpleNamespace(st_size=5, st_blocks=8)) == 4096
    assert files.size_on_disk(SimpleNamespace(st_size=5)) == 5


def test_bytes_are_written_and_read_at_their_place(tmp_path):
    """A place is written without moving another writer's, and what is behind the end is nothing."""
    descriptor = files.open_file(str(tmp_path / "file"), os.O_RDWR | os.O_CREAT)
    try:
        os.write(descriptor, b"end\r\n\x1a")
        assert files.pwrite(descriptor, b"E", 0) == 1
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 6 or os.name == "nt"
        assert files.pread(descriptor, 100, 0) == b"End\r\n\x1a"
        assert files.pread(descriptor, 100, 6) == b""
    finally:
        os.close(descriptor)
    files.replace_file(str(tmp_path / "file"), str(tmp_path / "other"))
    files.recover_replaced(str(tmp_path / "other"))
    assert os.listdir(tmp_path) == ["other"]
