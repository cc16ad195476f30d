"""The README names, for each guarantee, the tests that show it."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
README = (HERE.parent / "README.rst").read_text(encoding="utf-8")


def test_every_guarantee_names_a_test_that_exists():
    """Each row of the guarantees table names a test file and tests that exist in it."""
    table = README[README.index("   * - What happens") : README.index("Order is kept within")]
    rows = re.split(r"^   \* - ", table, flags=re.MULTILINE)[2:]
    assert len(rows) > 15
    for row in rows:
        shown_by = row.split("\n     - ")[2]
        path, named = None, 0
        for name in re.findall(r"``([\w/.]+)``", shown_by):
            if name.endswith(".py"):
                path = HERE / name
                continue
            assert re.search(rf"^def {name}\(", path.read_text(encoding="utf-8"), re.M), name
            named += 1
        assert named, row
