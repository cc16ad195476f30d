"""Two versions of the package are compared by their numbers."""

from __future__ import annotations

import pytest

from loguru_stdbridge.system.versions import is_later_version


@pytest.mark.parametrize(
    ("version", "than", "later"),
    [
        ("0.2.0", "0.1.0", True), ("0.10.0", "0.9.9", True), ("1.0", "0.9.9", True),
        ("0.1.0", "0.1.0", False), ("0.1.0", "0.2.0", False), ("0.1.0rc1", "0.1.0", False),
        ("0.1.0.1", "0.1.0", True), ("", "0.1.0", False), ("0.1.0", "", False),
        ("nonsense", "0.1.0", False), ("9" * 5000, "0.1.0", True), ("\u0661.0", "0.1", False),
    ],
)  # fmt: skip
def test_a_later_version_has_higher_numbers(version, than, later):
    """The numbers decide, as numbers; a text without any is later than nothing."""
    assert is_later_version(version, than) == later
