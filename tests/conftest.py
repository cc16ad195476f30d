"""What every test shares: a bounded wait, a spool directory of its own, nothing left open."""

from __future__ import annotations

import functools
import gc
import logging
import os
import random
import re
import sysconfig
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from loguru import logger


def wait_until(condition: Callable[[], object], timeout: float = 30.0, what: str = "") -> None:
    """Poll ``condition`` until it holds; fail with ``what`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what or condition}")
        threading.Event().wait(0.005)


def name_of(value: object) -> str:
    """``ids=name_of``: the text of a parameter, without addresses that differ in each process."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of the endurance tests")
    parser.addoption("--seed", type=int, default=random.randrange(10**6), help="of what is random")


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('seed')}"


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Callable[[Any, Any], Any]:
    """``scale(short, long)``: the figure for the suite, or with ``--long`` the other one."""
    return lambda short, long: long if request.config.getoption("long") else short


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """``tell(text)``: a line on the terminal, with the figures of a run."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}")

    return tell


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """What is random in a test; the same again with the ``--seed`` that the header shows."""
    return random.Random(f"{request.config.getoption('seed')} {request.node.nodeid}")


@pytest.fixture
def eventually() -> Callable[..., None]:
    """``eventually(condition, timeout, what)``: the condition comes true, or the test fails."""
    return wait_until


@pytest.fixture(autouse=True)
def spool_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spool directory of the test's own, for it and for the processes that it starts."""
    directory = tmp_path / "spool"
    monkeypatch.setenv("LOGURU_STDBRIDGE_SPOOL_DIR", str(directory))
    monkeypatch.delenv("LOGURU_STDBRIDGE_ADDRESS", raising=False)
    return directory


@pytest.fixture
def quiet_loguru() -> Iterator[None]:
    """loguru without its stderr sink; afterwards it is as it was."""
    core = logger._core
    handlers, minimum = dict(core.handlers), core.min_level
    logger.remove()
    yield
    core.handlers, core.min_level = handlers, minimum


@pytest.fixture
def fast_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """loguru asks for every path of the installation at each ``add``; let it be told from memory."""
    monkeypatch.setattr(sysconfig, "get_path", functools.lru_cache(sysconfig.get_path))


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """A directory in memory where there is one, for tests that make thousands of files."""
    shared = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as name:
        yield Path(name)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Threads, descriptors, loguru handlers and root handlers are as before the test."""
    gc.freeze()  # what was there before need not be looked through again
    threads = set(threading.enumerate())
    before = descriptors()
    handlers = set(logger._core.handlers)  # type: ignore[attr-defined]
    root = list(logging.getLogger().handlers)
    level = logging.getLogger().level
    yield
    gc.collect()
    wait_until(
        lambda: not set(threading.enumerate()) - threads, 5, f"threads end: {threading.enumerate()}"
    )
    assert len(descriptors()) <= len(before), f"left open: {descriptors() - before}"
    assert set(logger._core.handlers) == handlers  # type: ignore[attr-defined]
    assert logging.getLogger().handlers == root
    assert logging.getLogger().level == level


def descriptors() -> set:  # type: ignore[type-arg]
    """``(number, what it is)`` of each open descriptor of this process."""
    found = set()
    try:
        numbers = os.listdir("/proc/self/fd")
    except OSError:
        return found
    for number in numbers:
        try:
            found.add((number, os.readlink(f"/proc/self/fd/{number}")))
        except OSError:
            continue  # the descriptor of the listing itself
    return found
