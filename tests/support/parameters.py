"""Names for the parameters of a test that are the same in every process of pytest-xdist."""

from __future__ import annotations

import re


def name_of(value: object) -> str:
    """Return the text of a parameter without memory addresses, for ``ids=name_of``."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))
