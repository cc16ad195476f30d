"""Fork workers, let them go on together, and measure processor time and memory."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Sequence
from typing import Callable


class Workers:
    """``count`` forked processes that each run ``work(index)`` and end without clean-up.

    When ``work`` returns, it must have handed on every record: a worker ends by ``os._exit``, like
    the children of ``multiprocessing``.
    """

    def __init__(self, count: int, work: Callable[[int], None]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.pids = [fork(lambda index=index: work(index)) for index in range(count)]  # type: ignore

    def join(self) -> float:
        """Wait for all workers; return the seconds of processor time that they took together."""
        return sum(join(pid) for pid in self.pids)


def fork(work: Callable[[], None]) -> int:
    """Run ``work`` in a forked child and return the child's process id."""
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
    """Wait for a child and return its processor time in seconds. Raises if it failed."""
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise RuntimeError(f"process {pid} failed with wait status {status}")
    return usage.ru_utime + usage.ru_stime


def processor_seconds(pids: Sequence[int]) -> float:
    """Return the seconds of processor time so far of this process and of ``pids``, which must run.

    Read from Linux's clock of a process (``clock_getcpuclockid``), which counts nanoseconds of all
    threads, ended ones included; ``/proc/PID/stat`` counts hundredths of a second.
    """
    return time.process_time() + sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def memory(pid: int) -> dict[str, int]:
    """Return the kilobytes of ``/proc/PID/status`` by name (``VmRSS``, ``VmHWM``, ...)."""
    found = {}
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if rest.endswith(" kB\n"):
                found[name] = int(rest.split()[0])
    return found


class Gate:
    """Lets forked workers go on together. It opens once: use a gate for each place to wait.

    It is made of two pipes: a worker writes a byte when it arrives, and waits for a byte from the
    parent.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._ready = os.pipe()
        self._go = os.pipe()

    def wait(self) -> None:
        """Say that this worker has arrived, and wait until the gate opens."""
        os.write(self._ready[1], b"r")
        os.read(self._go[0], 1)

    def await_ready(self) -> None:
        """Wait, in the parent, until all workers have arrived."""
        missing = self._count
        while missing:
            missing -= len(os.read(self._ready[0], missing))

    def open(self) -> None:
        """Let all workers go on, from the parent."""
        os.write(self._go[1], b"g" * self._count)

    def close(self) -> None:
        for descriptor in (*self._ready, *self._go):
            os.close(descriptor)
