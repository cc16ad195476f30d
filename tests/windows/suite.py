"""The parts of the suite that make sense on Windows, as a plugin of pytest: ``-p tests.windows.suite``.

What is left out is listed here with the reason. A test that itself asks for what POSIX alone has
(``os.fork``, ``fcntl``) is skipped, and says so. Everything else of the named folders runs. A test's
own files have the ends of lines that it writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "wine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("wine")

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

USERS = "is about users and modes by number"
FORKS = "forks"
UNIX = "is about Unix sockets"
PROC = "is about what Linux tells in /proc"
SIGNALS = "is about signals of POSIX"
LIMITS = "limits its own process, as POSIX alone lets it"
OPEN_FILES = "renames or removes a file that Python's own open() has open there"
LINE_ENDS = "compares the text of a program with its ends of lines"

LEFT_OUT: dict[str, str] = {
    "tests/system/test_forks.py": FORKS,
    "tests/system/test_interpreter.py": FORKS,
    "tests/system/test_listening.py": PROC,
    "tests/system/test_locks.py": f"{SIGNALS}, and {FORKS}",
    "tests/system/test_macos.py": "is about macOS",
    "tests/system/test_peers.py": PROC,
    "tests/system/test_runtime.py": f"{USERS}, and {UNIX}",
    "tests/system/test_short_calls.py": "is about Linux's statx()",
    "tests/system/test_socket_paths.py": UNIX,
    "tests/system/test_stderr.py": "is about what select.poll() tells of pipes",
    "tests/system/test_users.py": USERS,
    "tests/system/test_files.py::test_a_damaged_file_is_kept": LINE_ENDS,
    "tests/system/test_files.py::test_a_file_is_synced": "needs os.fdatasync()",
    "tests/system/test_files.py::test_on_macos": "needs os.fdatasync()",
    "tests/system/test_files.py::test_a_directory_that_cannot": "needs os.fdatasync()",
    "tests/system/test_gate.py::test_a_log_is_reached": LINE_ENDS,
    "tests/system/test_live_file.py::test_the_file_is_there": USERS,
    "tests/system/test_live_file.py::test_the_file_of_a_killed": LINE_ENDS,
    "tests/system/test_live_file.py::test_a_file_that_cannot": OPEN_FILES,
    "tests/system/test_own_file.py::test_a_file_is_made_once": USERS,
    "tests/system/test_own_file.py::test_a_link_is_not_followed": "needs O_NOFOLLOW",
    "tests/system/test_own_file.py::test_a_file_that_takes_no_more": LIMITS,
    "tests/system/test_own_file.py::test_a_descriptor_that_is": "goes by O_NONBLOCK",
    "tests/system/test_own_file.py::test_what_has_become": "counts the names of a removed file",
    "tests/system/test_own_file.py::test_a_file_that_is_kept_nowhere": "expects errors of POSIX",
    "tests/system/test_own_file.py::test_a_file_system_without": "expects errors of POSIX",
    "tests/system/test_own_file.py::test_without_ctypes": "takes the C library's pwrite() away",
    "tests/system/test_own_file.py::test_a_call_that_does_not": "takes the C library's pwrite() away",
    "tests/system/test_own_file.py::test_after_a_slow_write": "is about os.pwrite()",
    "tests/system/test_own_file.py::test_no_descriptor_is_left": FORKS,
    "tests/system/test_signals.py::test_a_system_without_a_limit": LIMITS,
    "tests/system/test_windows.py::test_all_can_be_imported": "takes os.fork() away",
    "tests/spool/test_directory.py": USERS,
    "tests/sink/test_archive.py::test_a_file_system_without_links": "needs CopyFile2(): Wine 8",
    "tests/sink/test_archive.py::test_a_symbolic_link": "compares names with slashes",
    "tests/sink/test_archive.py::test_what_still_fails": "compares names with slashes",
    "tests/sink/test_archive.py::test_a_mark_that_cannot": "takes a directory's mode away",
    "tests/sink/test_streams.py": "is about pipes and terminals of POSIX",
    "tests/pickles/test_hostile.py": LIMITS,
    "tests/record/test_stock_rows.py::test_a_zone_is_looked_up": "needs time.tzset()",
    "tests/receiver/test_runner.py": SIGNALS,
}
"""Files, and tests by the beginning of their id, with the reason."""

MISSING = re.compile(
    r"module '(?:os|signal|socket|time|select)' has no attribute '\w+'"
    r"|No module named '(?:fcntl|grp|pty|pwd|resource|termios)'"
)
"""What Python says of what this system does not have."""

LONGEST_ID = 30_000
"""Characters: pytest keeps the id of the test that runs in a variable, and Windows limits those."""

HERE = Path(__file__).parents[2]


_write_text = Path.write_text


def write_text(
    self: Path,
    data: str,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = "\n",
) -> int:
    """Write as :meth:`Path.write_text` does, and end lines as the text does."""
    return _write_text(self, data, encoding, errors, newline)


Path.write_text = write_text  # type: ignore[method-assign]


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Iterator[None]:
    """Skip a test that itself asks for what this system does not have."""
    outcome: Any = yield
    if call.excinfo is None or not call.excinfo.errisinstance((AttributeError, ImportError)):
        return
    last = call.excinfo.traceback[-1]
    missing = MISSING.search(str(call.excinfo.value))
    if missing is not None and HERE / "tests" in Path(last.path).parents:
        report = outcome.get_result()
        report.outcome = "skipped"
        report.longrepr = (str(last.path), last.lineno, f"Skipped: {missing.group()}")


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
