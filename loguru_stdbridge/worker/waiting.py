"""Wait for a connection or a wake-up: the sender's selector, and what it needs of it.

Why a foreign descriptor is not touched
---------------------------------------
Some programs close all descriptors, to become a daemon or before they start others. The numbers
then belong to whatever the program opens next, and a selector over them would watch, read and close
the program's own files. So each wait ends with a look whether the wake-up's socket is still the one
that was opened. Where it is not, nothing of the waiter's is used or closed again.
"""

from __future__ import annotations

import selectors
from typing import Any

from ..system.wakeup import WakeUp
from .transport import Transport

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_abandoned: list[Any] = []
"""Selectors whose descriptors are no longer theirs. Their end would close another's file."""


class DescriptorsLostError(Exception):
    """The application has closed the descriptors of the sender's."""


class Waiter:
    """Watches a wake-up and at most one connection, which it owns. For one thread."""

    def __init__(self, wakeup: WakeUp) -> None:
        """Raises ``OSError`` where the process may open no more files."""
        self._wakeup = wakeup
        self._selector = _make_selector()
        self._selector.register(wakeup, READ)
        self._transport: Transport | None = None
        self._interest = 0  # in the connection; 0: it is not watched

    def hold(self, transport: Transport) -> None:
        """Take a connection, which is watched, and closed, from here on."""
        self._transport = transport

    def watch(self, interest: int) -> None:
        """Watch the connection for ``interest``, ``READ`` or ``WRITE`` or both."""
        assert self._transport is not None
        if not self._interest:
            self._selector.register(self._transport, interest)
        elif interest != self._interest:
            self._selector.modify(self._transport, interest)
        self._interest = interest

    def drop(self) -> None:
        """Close the connection, if there is one."""
        transport, self._transport = self._transport, None
        if transport is not None:
            if self._interest:
                self._interest = 0
                self._selector.unregister(transport)
            transport.close()

    def wait(self, timeout: float | None) -> int:
        """Return what the connection is ready for within ``timeout`` seconds, or 0.

        A wake-up ends it. Raises :class:`DescriptorsLostError`.
        """
        events = 0
        try:
            for key, ready in self._selector.select(timeout):
                if key.fileobj is self._wakeup:
                    self._wakeup.drain()
                else:
                    events = ready
        except (OSError, ValueError) as error:
            raise DescriptorsLostError(str(error)) from error
        if not self._wakeup.is_intact():
            raise DescriptorsLostError("they are other files now")
        return events

    def close(self) -> None:
        """Close the selector and the connection; the wake-up is its maker's."""
        transport, self._transport = self._transport, None
        self._selector.close()
        if transport is not None:
            transport.close()

    def abandon(self) -> None:
        """Let go without closing anything: the numbers may be the application's by now."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.detach()
        self._wakeup.detach()
        _abandoned.append(self._selector)


def _make_selector() -> Any:
    """Return a selector that has no standard stream's number. Raises ``OSError``."""
    low: list[Any] = []
    try:
        while True:
            made: Any = selectors.DefaultSelector()
            if not hasattr(made, "fileno") or made.fileno() > 2:
                return made
            low.append(made)
    finally:
        for made in low:
            made.close()
