"""systemd's protocol for services: tell it how this one is, feed its watchdog, take its sockets.

Needs no library of systemd's: ``NOTIFY_SOCKET`` names a datagram socket, ``WATCHDOG_USEC`` a time,
and ``LISTEN_FDS`` says how many sockets are open already, from number 3 on (``sd_notify(3)``,
``sd_watchdog_enabled(3)``, ``sd_listen_fds(3)``). Without these variables nothing is done.

Nobody waits: a message that the socket cannot take at once is dropped. systemd reads each of them
in its own time, and its queue is long.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import NamedTuple

from .runtime import AF_UNIX

FIRST_PASSED = 3
"""The descriptor of the first socket that is passed."""

SUPERVISOR_VARIABLES = (
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES",
)  # fmt: skip
"""What is for this process alone: a command that it starts must not take it for its own."""


class PassedSocket(NamedTuple):
    """A listening socket that was open when the process began."""

    descriptor: int
    name: str  # FileDescriptorName= of its unit


class Supervisor:
    """What the process tells its service manager. Without one it does nothing."""

    def __init__(self, place: str = "", watchdog: float | None = None) -> None:
        """``place`` is the socket's path, or begins with ``@``; ``watchdog`` is in seconds."""
        self._place = f"\0{place[1:]}" if place.startswith("@") else place
        self._watchdog = watchdog
        self._feed_at = 0.0
        self._status = ""

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Supervisor:
        """Return the one that ``environment`` names."""
        watchdog = None
        with contextlib.suppress(ValueError):
            microseconds = int(environment.get("WATCHDOG_USEC", ""))
            if microseconds > 0 and environment.get("WATCHDOG_PID") in (None, str(os.getpid())):
                watchdog = microseconds / 1e6
        return cls(environment.get("NOTIFY_SOCKET", ""), watchdog)

    @property
    def is_there(self) -> bool:
        """Whether somebody is told."""
        return bool(self._place)

    def ready(self, status: str) -> None:
        """Tell that clients can connect: at the start, and after a reload."""
        self._status = status
        self._tell(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={status}")

    def reloading(self) -> None:
        """Tell that the configuration is read again; :meth:`ready` has to follow."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Tell that the end has begun."""
        self._tell("STOPPING=1")

    def status(self, status: str) -> None:
        """Tell in one line what the service does, if that has changed."""
        if status != self._status:
            self._status = status
            self._tell(f"STATUS={status}")

    def feed(self, now: float) -> None:
        """Tell the watchdog that the caller is alive, if it is time; ``now`` is monotonic.

        To be called by what the watchdog is to watch.
        """
        if self._watchdog is not None and now >= self._feed_at:
            self._feed_at = now + self._watchdog / 3
            self._tell("WATCHDOG=1")

    def pause(self, now: float) -> float:
        """Return the seconds until :meth:`feed` has something to do."""
        return max(self._feed_at - now, 0.0) if self._watchdog is not None else 3600.0

    def _tell(self, text: str) -> None:
        if not self._place or AF_UNIX is None:
            return
        with (
            contextlib.suppress(OSError),
            socket.socket(AF_UNIX, socket.SOCK_DGRAM) as sender,
        ):
            sender.setblocking(False)
            sender.sendto(text.encode("utf-8", "replace"), self._place)


def passed_sockets(environment: MutableMapping[str, str]) -> list[PassedSocket]:
    """Return the sockets that were passed to this process; a child does not inherit them.

    Raises ``ValueError`` that shows what cannot be read.
    """
    count = environment.get("LISTEN_FDS")
    if count is None or environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    if not count.isdigit() or int(count) > 1000:
        raise ValueError(f"LISTEN_FDS={count!r}: a number of sockets")
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    passed = []
    for index in range(int(count)):
        descriptor = FIRST_PASSED + index
        try:
            os.set_inheritable(descriptor, False)
        except OSError as error:
            raise ValueError(f"LISTEN_FDS={count}: descriptor {descriptor} is not open") from error
        passed.append(PassedSocket(descriptor, names[index] if index < len(names) else ""))
    return passed
