"""Which host this process runs on, as far as it can be told, and what else runs there.

A spool directory can be shared: by containers through a volume, by machines through a home on the
network. What says "this machine" (a loopback port, a path) means another thing on each of them. So
a journal keeps these facts, and whoever finds it compares them with its own.

Why the comparison is right
---------------------------
* Two machines have two machine ids. Where one of the ids is unknown, nothing is known of both.
* Containers of one machine may share its id. They run in the same boot, and have network namespaces
  of their own, or else mount namespaces. A loopback port belongs to a network namespace, a path to
  a mount namespace.
* The number of a namespace says nothing after a reboot: the numbers are given out anew. So they are
  compared only within one boot.
"""

from __future__ import annotations

import os
import sys
from typing import NamedTuple


class HostFacts(NamedTuple):
    """What is known of a host; ``""`` stands for what cannot be told."""

    machine: str = ""  # the machine id
    boot: str = ""  # the id of this boot
    network: str = ""  # the network namespace
    mounts: str = ""  # the mount namespace

    def is_same_host(self, other: HostFacts) -> bool:
        """Return whether a loopback address means the same on both."""
        return self._agrees(other, self.network, other.network)

    def has_same_files(self, other: HostFacts) -> bool:
        """Return whether a path means the same on both, by all that the hosts tell."""
        return self.is_same_host(other) and self._agrees(other, self.mounts, other.mounts)

    def is_same_machine(self, other: HostFacts) -> bool:
        """Return whether nothing says that they are two machines."""
        return not self.machine or not other.machine or self.machine == other.machine

    def _agrees(self, other: HostFacts, mine: str, its: str) -> bool:
        if not self.is_same_machine(other):
            return False
        same_boot = bool(self.boot) and self.boot == other.boot
        return not same_boot or not mine or not its or mine == its


def host_facts() -> HostFacts:
    """Ask the system for the facts of this process's host."""
    if sys.platform == "win32":
        from .windows.processes import machine_id

        return HostFacts(machine=machine_id())
    return HostFacts(
        machine=_first_line("/etc/machine-id"),
        boot=_first_line("/proc/sys/kernel/random/boot_id"),
        network=_namespace("net"),
        mounts=_namespace("mnt"),
    )


def directory_id(path: str) -> str:
    """Return what identifies the directory at ``path`` on its host; ``""`` where it is not known.

    It stays the same through a renaming and through a bind mount of the same file system.
    """
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return ""
    return f"{status.st_dev}:{status.st_ino}" if status.st_ino else ""


def is_running(pid: int) -> bool:
    """Return whether a process of that number is there, whoever's it is."""
    if sys.platform == "win32":  # there os.kill() would end it
        from .windows.processes import is_alive

        return is_alive(pid)
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    except OverflowError:
        return False
    return True


def _first_line(path: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            return os.read(descriptor, 100).decode("ascii", "replace").strip()
        finally:
            os.close(descriptor)
    except OSError:
        return ""


def _namespace(kind: str) -> str:
    try:
        return str(os.stat(f"/proc/self/ns/{kind}").st_ino)
    except OSError:
        return ""
