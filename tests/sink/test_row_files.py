"""The rows of a tee are read in the order of their numbers, across files that are rotated."""

from __future__ import annotations

import pytest

from loguru_stdbridge.sink import row_files
from loguru_stdbridge.sink.row_files import RowFiles


def lines(first, last):
    return b"".join(b"%d [%d]\n" % (number, number) for number in range(first, last + 1))


@pytest.fixture
def place(tmp_path):
    """Rows 5 to 9 in two rotated files, and 10 and 11 in the open one."""
    (tmp_path / "rows.2026-01-01_00-00-00_000000.log").write_bytes(lines(5, 7))
    (tmp_path / "rows.2026-01-01_00-00-00_000000.2.log").write_bytes(lines(8, 9))
    (tmp_path / "rows.log").write_bytes(lines(10, 11))
    (tmp_path / "note").write_bytes(b"{}")
    return tmp_path


@pytest.fixture
def files(place):
    files = RowFiles(str(place / "rows.log"))
    yield files
    files.close()


def read_all(files, after, size=1000):
    """Return the numbers that are read behind ``after``."""
    numbers = []
    while True:
        found = files.read(after, size)
        if not found.rows:
            return numbers
        assert found.rows == [b"[%d]" % n for n in range(found.first, found.last + 1)]
        numbers += range(found.first, found.last + 1)
        after = found.last


@pytest.mark.parametrize("size", [1, 7, 20, 1000])
def test_rows_come_in_order_from_any_number(files, size):
    """All rows come in order, whatever is read at a time, and from any number on."""
    assert read_all(files, 4, size) == list(range(5, 12))
    assert read_all(files, 0, size) == list(range(5, 12))
    assert read_all(files, 8, size) == [9, 10, 11]
    assert read_all(files, 11, size) == []


def test_a_file_grows_and_is_rotated_while_it_is_read(files, place):
    """Rows that are written later come, and so do those behind a rotation."""
    assert read_all(files, 9) == [10, 11]
    with open(place / "rows.log", "ab") as file:
        file.write(lines(12, 12) + b"13 [1")
        file.flush()
        assert read_all(files, 11) == [12]
        file.write(b"3]\n" + lines(14, 14))
    (place / "rows.log").rename(place / "rows.2026-01-01_00-00-01_000000.log")
    (place / "rows.log").write_bytes(lines(15, 16))
    assert read_all(files, 12) == [13, 14, 15, 16]


def test_the_last_number_is_that_of_the_last_whole_line(files, place, monkeypatch):
    """The last number is found in the newest file, or in the one before it, where that is empty."""
    assert files.last_number() == 11
    (place / "rows.log").write_bytes(b"")
    assert files.last_number() == 9
    monkeypatch.setattr(row_files, "_TAIL", 8)
    (place / "rows.log").write_bytes(lines(10, 10) + b"11 [" + b"1" * 100 + b"]\n12 [half")
    assert files.last_number() == 11


def test_what_is_delivered_is_removed(files, place):
    """A rotated file goes once no row of it waits; the open one stays."""
    files.remove_through(6)
    assert len(list(place.glob("rows.*.log"))) == 2
    files.remove_through(7)
    assert len(list(place.glob("rows.*.log"))) == 1
    files.remove_through(11)
    assert [path.name for path in place.glob("rows*")] == ["rows.log"]
    assert read_all(files, 0) == [10, 11]


def test_no_files_have_no_rows(tmp_path):
    """A directory that is not there, and an empty file, have no rows."""
    files = RowFiles(str(tmp_path / "none" / "rows.log"))
    assert files.read(0, 100).rows == []
    assert files.last_number() == 0
    (tmp_path / "rows.log").write_bytes(b"")
    files = RowFiles(str(tmp_path / "rows.log"))
    assert files.read(0, 100).rows == []
    files.close()
