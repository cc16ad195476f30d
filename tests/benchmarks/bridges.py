"""A receiver process and forked workers that log through it, for the figures about us alone."""

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
"""How the line ends that a worker of :func:`connected_workers` begins with."""

SPOOL_LIMIT = 4 << 30  # bytes; no figure is about records given up


def start_receiver(sink: Path, options: Options, *arguments: str) -> ReceiverProcess:
    """A receiver of ours as a process of its own, ready."""
    return ReceiverProcess(sink, "--render", options.render, *arguments).wait_ready()


def install(address: str) -> Any:
    """The bridge in this worker, and nothing else on loguru.

    Its modules are loaded before the fork, as all peers' are; what that takes is :mod:`footprint`'s.
    """
    logger.remove()
    return install_bridge(address, spool_limit=SPOOL_LIMIT)


def deliver(bridge: Any) -> None:
    """Wait until all is acknowledged."""
    if not bridge.flush(600):
        raise RuntimeError(f"not delivered: {bridge.stats()}")


def connected_workers(
    receiver: ReceiverProcess,
    count: int,
    log: Callable[[int], None],
    look: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Wall and processor seconds of ``count`` workers that run ``log``, until all is written.

    Starting is left out: the clocks run from when every worker has had its first record acknowledged,
    to when the last one has had all of them. ``look`` is called then, while all are connected.
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
    """End the receiver; it has nothing to complain about."""
    if receiver.stop():
        raise RuntimeError(receiver.stderr.read_text())
