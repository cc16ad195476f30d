"""Start a receiver process and forked workers that log through it, for the figures of this package."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from loguru import logger

from loguru_stdbridge import install_bridge
from tests.support.processes import ReceiverProcess

from .figure import Options
from .workers import Gate, Workers, processor_seconds

FIRST = b" - first\n"
"""The end of the first line that each worker of :func:`connected_workers` logs."""

SPOOL_LIMIT = 4 << 30  # bytes, so that no worker discards a record


def start_receiver(sink: Path, options: Options, *arguments: str) -> ReceiverProcess:
    """Start a receiver process and wait until clients can connect."""
    return ReceiverProcess(sink, "--render", options.render, *arguments).wait_ready()


def install(address: str) -> Any:
    """Install the bridge as the only sink of this worker.

    Its modules are loaded before the fork, as all peers' are; :mod:`footprint` measures the loading.
    """
    logger.remove()
    return install_bridge(address, spool_limit=SPOOL_LIMIT)


def deliver(bridge: Any) -> None:
    """Wait until every record is acknowledged."""
    if not bridge.flush(600):
        raise RuntimeError(f"not delivered: {bridge.stats()}")


def connected_workers(
    receiver: ReceiverProcess,
    count: int,
    log: Callable[[int], None],
    look: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Return the wall and processor seconds that ``count`` workers take to run ``log``.

    The clocks start when every worker has had its first record acknowledged, so the start-up is left
    out. They stop when every record is acknowledged. ``look`` is called then, while all workers are
    still connected.
    """
    connected, written = Gate(count), Gate(count)

    def work(index: int) -> None:
        bridge = install(receiver.address)
        logger.info("first")
        deliver(bridge)
        connected.wait()
        log(index)
        deliver(bridge)
        written.wait()
        bridge.close(60)

    workers = Workers(count, work)
    connected.await_ready()
    pids: Sequence[int] = [receiver.process.pid, *workers.pids]
    before, start = processor_seconds(pids), time.perf_counter()
    connected.open()
    written.await_ready()
    found = {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": processor_seconds(pids) - before,
    }
    look()
    written.open()
    workers.join()
    return found


def stop(receiver: ReceiverProcess) -> None:
    """End the receiver. Raises if it reports a failure."""
    if receiver.stop():
        raise RuntimeError(receiver.stderr.read_text())
