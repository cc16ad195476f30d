"""Forked workers, and the processor time of every process that takes part."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Callable


class Workers:
    """``count`` forked processes that each run ``work(index)`` and end without clean-up.

    ``work`` must have handed on all that it logged when it returns: what ends a worker is
    ``os._exit``, as in the children of ``multiprocessing``.
    """

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.pids = [fork(lambda index=index: work(index)) for index in range(count)]  # type: ignore

    def join(self) -> float:
        """Wait for all; returns the seconds of processor time that they took together."""
        return sum(join(pid) for pid in self.pids)


def fork(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked child; returns its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def join(pid: int) -> float:
    """Wait for a child; returns its processor time in seconds. Raises if it failed."""
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"process {pid} failed with wait status {status}")
    return usage.ru_utime + usage.ru_stime


def processor_seconds(pids: Sequence[int]) -> float:
    """Processor time so far of this process and of others that run, in seconds.

    By Linux's clock of a process (``clock_getcpuclockid``): nanoseconds, all threads, ended ones
    too, where ``/proc/PID/stat`` counts hundredths of a second.
    """
    return time.process_time() + sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory(pid: int) -> dict[str, int]:
    """Kilobytes by the names of ``/proc/PID/status`` (``VmRSS``, ``VmHWM``, ``RssAnon``, ...)."""
    found = {}
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if rest.endswith(" kB\n"):
                found[name] = int(rest.split()[0])
    return found


class Gate:
    """Lets forked processes go on together, once; a place to wait at needs a gate of its own.

    Two pipes: each worker writes a byte when it is there, and waits for its byte from the parent.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._ready = os.pipe()
        self._go = os.pipe()

    def wait(self) -> None:
        """In a worker: say that it is there, and wait until the gate opens."""
        os.write(self._ready[1], b"r")
        os.read(self._go[0], 1)

    def await_ready(self) -> None:
        """In the parent: wait until all workers are there."""
        missing = self._count
        while missing:
            missing -= len(os.read(self._ready[0], missing))

    def open(self) -> None:
        """In the parent: let them go."""
        os.write(self._go[1], b"g" * self._count)

    def close(self) -> None:
        for descriptor in (*self._ready, *self._go):
            os.close(descriptor)
