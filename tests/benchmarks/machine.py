"""Describe the machine and the versions that the figures were measured with."""

from __future__ import annotations

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("loguru", "concurrent-log-handler", "pyzmq")


def describe(directory: Path) -> dict[str, Any]:
    """Return the machine, Python and the versions; ``directory`` holds the log files."""
    import loguru_stdbridge

    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": f"{platform.system()} {platform.release()}",
        "file_system": _file_system(directory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "loguru_stdbridge": loguru_stdbridge.__version__,
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def _processor() -> str:
    try:
        for line in (
            Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
        ):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _file_system(directory: Path) -> str:
    """Return the type of the file system, since figures on a tmpfs say nothing about a disk."""
    best, kind = "", "unknown"
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return kind
    path = str(directory.resolve())
    for line in lines:
        _, point, type_name = line.split()[:3]
        if (path + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(best):
            best, kind = point, type_name
    return kind


def busy(seconds: float = 0.2) -> float:
    """Return the share of all cores (0 to 1) that other programs use; nothing here may run."""
    before, idle_before = _processor_ticks()
    time.sleep(seconds)
    after, idle_after = _processor_ticks()
    return 1.0 - (idle_after - idle_before) / max(after - before, 1)


def _processor_ticks() -> tuple[int, int]:
    """Return the ticks of all cores so far, and how many of them were idle."""
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(word) for word in file.readline().split()[1:9]]
    return sum(ticks), ticks[3] + ticks[4]
