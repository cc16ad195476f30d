"""The fixtures of all tests: a spool directory for each, and a check that nothing is left open."""

from __future__ import annotations

import functools
import gc
import logging
import os
import random
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from loguru import logger

from tests.support.descriptors import descriptors
from tests.support.waiting import wait_until

# Each process that a test starts reads the compiled modules of the first one: to compile them takes
# five times as long as to run them. They are kept out of the source tree.
BYTECODE = Path(__file__).resolve().parent.parent / ".pytest_cache" / "bytecode"
os.environ.setdefault("PYTHONPYCACHEPREFIX", str(BYTECODE))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the endurance tests at full length")
    parser.addoption(
        "--seed",
        type=int,
        default=random.randrange(10**6),
        help="repeat the random choices of a run",
    )


def pytest_report_header(config: pytest.Config) -> str:
    return f"seed: {config.getoption('seed')}"


@pytest.fixture
def scale(request: pytest.FixtureRequest) -> Callable[[Any, Any], Any]:
    """Return ``scale(short, long)``, which gives ``long`` with ``--long``, else ``short``."""
    return lambda short, long: long if request.config.getoption("long") else short


@pytest.fixture
def tell(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Return ``tell(text)``, which prints a line of figures on the terminal."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(f"\n    {text}")

    return tell


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Return a generator of random numbers; the ``--seed`` in pytest's header repeats them."""
    return random.Random(f"{request.config.getoption('seed')} {request.node.nodeid}")


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Return :func:`wait_until`: the condition comes true within the timeout, or the test fails."""
    return wait_until


@pytest.fixture(autouse=True)
def runtime_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the test, and the processes that it starts, a directory for the sockets of logs.

    Its name is short: the path of a socket is limited.
    """
    with tempfile.TemporaryDirectory(prefix="lsb") as root:
        monkeypatch.setenv("XDG_RUNTIME_DIR", root)
        yield root


@pytest.fixture(autouse=True)
def spool_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test, and the processes that it starts, a spool directory of their own."""
    directory = tmp_path / "spool"
    monkeypatch.setenv("LOGURU_STDBRIDGE_SPOOL_DIR", str(directory))
    monkeypatch.delenv("LOGURU_STDBRIDGE_ADDRESS", raising=False)
    return directory


@pytest.fixture
def quiet_loguru() -> Iterator[None]:
    """Remove loguru's sinks for the test, and put them back afterwards."""
    core = logger._core
    handlers, minimum = dict(core.handlers), core.min_level
    logger.remove()
    yield
    core.handlers, core.min_level = handlers, minimum


@pytest.fixture
def fast_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache the paths of the installation, which loguru looks up at every ``logger.add``."""
    monkeypatch.setattr(sysconfig, "get_path", functools.lru_cache(sysconfig.get_path))


@pytest.fixture
def memory_path() -> Iterator[Path]:
    """Make a directory, in memory where possible, for tests that make thousands of files."""
    shared = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=shared if os.access(shared, os.W_OK) else None) as name:
        yield Path(name)


def end_channels() -> None:
    """End the senders that go on after the close of a handler, until their records are delivered."""
    module = sys.modules.get("loguru_stdbridge.worker.channel")
    if module is not None:
        for channel in list(module._channels):
            channel.close(0.0, patient=False)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a descriptor, a sink or a change of the root logger."""
    gc.freeze()  # objects from before the test need no second look
    threads = set(threading.enumerate())
    before = descriptors()
    handlers = set(logger._core.handlers)  # type: ignore[attr-defined]
    root = list(logging.getLogger().handlers)
    level = logging.getLogger().level
    yield
    end_channels()
    gc.collect()
    wait_until(
        lambda: not set(threading.enumerate()) - threads, 5, f"threads end: {threading.enumerate()}"
    )
    assert len(descriptors()) <= len(before), f"left open: {descriptors() - before}"
    assert set(logger._core.handlers) == handlers  # type: ignore[attr-defined]
    assert logging.getLogger().handlers == root
    assert logging.getLogger().level == level
