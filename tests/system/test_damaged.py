"""A damaged file is kept under a name of its own, however often that happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loguru_stdbridge.system.damaged import free_damaged_name, set_aside


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
