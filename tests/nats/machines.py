"""Machines on one host: network namespaces, whose cable can be pulled. Needs root and ``ip``.

Where namespaces cannot be made, a machine is only a directory, and no cable is pulled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Network:
    """A bridge on this host, and a namespace for each machine."""

    def __init__(self, names: list[str]) -> None:
        tag = f"{os.getpid() % 10000}"
        self._bridge = f"lsb{tag}"
        self._spaces = {name: f"lsb{tag}{name}" for name in names}
        self._made: list[tuple[str, ...]] = []
        net = f"10.{200 + os.getpid() % 50}.{os.getpid() % 250}"
        self.host = f"{net}.1"
        """The address of this host, as the machines see it."""
        self.has_cables = os.geteuid() == 0 and shutil.which("ip") is not None
        if not self.has_cables:
            self.host = "127.0.0.1"
            return
        try:
            self._do(("link", "add", self._bridge, "type", "bridge"), ("link", "del", self._bridge))
            _ip("addr", "add", f"{self.host}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            for number, (name, space) in enumerate(self._spaces.items(), 2):
                self._do(("netns", "add", space), ("netns", "del", space))
                near, far = f"{self._bridge}{name}", "eth0"
                _ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
                _ip("link", "set", near, "master", self._bridge, "up")
                _ip("-n", space, "addr", "add", f"{net}.{number}/24", "dev", far)
                _ip("-n", space, "link", "set", far, "up")
                _ip("-n", space, "link", "set", "lo", "up")
        except subprocess.CalledProcessError:
            self.close()
            self.has_cables, self.host = False, "127.0.0.1"

    def _do(self, words: tuple[str, ...], undo: tuple[str, ...]) -> None:
        _ip(*words)
        self._made.append(undo)

    def inside(self, name: str) -> list[str]:
        """Return what stands before a command that runs on a machine."""
        return ["ip", "netns", "exec", self._spaces[name]] if self.has_cables else []

    def plug(self, name: str, *, plugged: bool) -> None:
        """Pull a machine's cable, or put it back."""
        _ip("link", "set", f"{self._bridge}{name}", "up" if plugged else "down")

    def close(self) -> None:
        """Remove all of it."""
        while self._made:
            subprocess.run(["ip", *self._made.pop()], capture_output=True, check=False)


class Machine:
    """A receiver that writes to the stream, and workers beside it."""

    def __init__(self, name: str, directory: Path, network: Network) -> None:
        self.name = name
        self.directory = directory / name
        self.before = network.inside(name)
        for part in ("spool", "run"):
            (self.directory / part).mkdir(parents=True, mode=0o700)
        self.address = f"unix://{self.directory}/socket"
        self.environment = {
            **os.environ,
            "LOGURU_STDBRIDGE_SPOOL_DIR": str(self.directory / "spool"),
            "XDG_RUNTIME_DIR": str(self.directory / "run"),
        }

    def start(self, what: str, *command: str) -> subprocess.Popen[bytes]:
        """Start a program on the machine; its stderr goes to the file ``what``."""
        with open(self.directory / f"{what}.txt", "ab") as stderr:
            return subprocess.Popen(
                [*self.before, *command], env=self.environment, stderr=stderr, stdout=stderr
            )
