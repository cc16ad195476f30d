"""The parts of the suite that make sense on Windows, as a plugin of pytest: ``-p tests.windows.suite``.

What is left out is listed here with the reason. Everything else of the named folders runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

PARTS = (
    "tests/record",
    "tests/wire",
    "tests/pickles",
    "tests/system",
    "tests/spool",
    "tests/sink",
    "tests/worker",
    "tests/receiver",
    "tests/test_addresses.py",
)
"""What is collected, in the order of the floors."""

POSIX = "is about what POSIX alone has: users, modes, forks, signals, Unix sockets"
SLOW = "starts many processes, which takes minutes under Wine"

LEFT_OUT: dict[str, str] = {
    **dict.fromkeys(
        [
            "tests/system/test_forks.py",
            "tests/system/test_interpreter.py",
            "tests/system/test_listening.py",
            "tests/system/test_locks.py",
            "tests/system/test_peers.py",
            "tests/system/test_runtime.py",
            "tests/system/test_socket_paths.py",
            "tests/system/test_stderr.py",
            "tests/system/test_users.py",
            "tests/spool/test_directory.py",
            "tests/sink/test_streams.py",
            "tests/pickles/test_hostile.py",
            "tests/receiver/test_runner.py",
            "tests/receiver/test_several.py",
        ],
        POSIX,
    ),
}
"""Files, and tests by the beginning of their id, with the reason."""

LONGEST_ID = 30_000
"""Characters: pytest keeps the id of the test that runs in a variable, and Windows limits those."""

HERE = Path(__file__).parents[2]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Do not import a file that is left out: it may not be importable there."""
    try:
        name = collection_path.relative_to(HERE).as_posix()
    except ValueError:
        return None
    return True if name in LEFT_OUT else None


def pytest_collection_modifyitems(config: Any, items: list[pytest.Item]) -> None:
    """Deselect what is left out."""
    kept, left_out = [], []
    for item in items:
        name = item.nodeid.replace(os.sep, "/")
        is_out = len(name) > LONGEST_ID or any(map(name.startswith, LEFT_OUT))
        (left_out if is_out else kept).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept
