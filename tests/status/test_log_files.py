"""The files of a log are those that a rotation makes of its name, and no other can be fetched."""

from __future__ import annotations

import os

from loguru_stdbridge.status.log_files import list_files, open_listed

OLD = "app.2026-11-26_20-51-18_123456.log"


def test_the_files_of_a_log_are_listed(tmp_path):
    """The written file comes first, then rotated ones, the newest first; others are none of it."""
    mine = [
        "app.log",
        OLD,
        f"{OLD}.gz",
        OLD.replace("123456", "123456.2"),
        "app.log.1",
        "app.log.2.gz",
    ]
    others = [
        "app.errors.log",
        "app.log.bak",
        ".app.log.ledger",
        "app.2026.log",
        "other.log",
        f"{OLD}.exe",
    ]
    for age, name in enumerate([*mine, *others]):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (10**9 - age, 10**9 - age))
    (tmp_path / "app.log.3").symlink_to("/etc/passwd")
    (tmp_path / "app.log.4").mkdir()
    found = list_files(str(tmp_path / "app.log"))
    assert [file.name for file in found] == mine
    assert found[0].size == len("app.log")
    assert list_files("standard output") == []
    assert list_files(str(tmp_path / "none" / "app.log")) == []


def test_only_a_listed_file_is_opened(tmp_path):
    """A listed file is opened by its name; a path, a link and any other name are not."""
    log = tmp_path / "logs" / "app.log"
    log.parent.mkdir()
    log.write_text("lines")
    (tmp_path / "secret").write_text("secret")
    (log.parent / "app.log.1").symlink_to(tmp_path / "secret")
    descriptor, size = open_listed(str(log), "app.log")
    assert (os.read(descriptor, 10), size) == (b"lines", 5)
    os.close(descriptor)
    for name in (
        "../secret",
        str(log),
        "",
        ".",
        "..",
        "app.log.1",
        "app.log\0",
        "APP.LOG",
        "./app.log",
    ):
        assert open_listed(str(log), name) is None, name
