"""Loads and opens what shows the receiver's status, where somebody has asked for it.

A receiver that nobody watches loads nothing of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Callable

from ..addresses import Address, AddressLike
from .sharing import SocketAccess


class StatusService:
    """The board that the loop notes on, and the listener that shows it."""

    def __init__(
        self,
        status: AddressLike | list[AddressLike] | None,
        token_file: str | os.PathLike[str] | None,
        hosts: Sequence[str],
        access: SocketAccess,
        report: Callable[[str], None],
    ) -> None:
        """Check the options. Raises :class:`ConfigurationError` or :class:`AddressError`."""
        from ..status.answers import Answers
        from ..status.board import Board
        from ..status.options import read_status_options

        options = read_status_options(status, token_file, hosts)
        assert options is not None
        self.board = Board()
        self._answers = Answers(self.board)
        self._options = options
        self._access = access
        self._report = report

    def open(self, opened: contextlib.ExitStack) -> list[Address]:
        """Listen, until ``opened`` is closed; return the addresses. Raises ``OSError``."""
        from ..status.listener import StatusListener

        listener = StatusListener(
            self._options.addresses,
            self._answers,
            token=self._options.token,
            names=self._options.names,
            socket_mode=self._access.mode,
            socket_group=self._access.group,
            report=self._report,
        )
        opened.callback(listener.close)
        listener.start()
        return listener.addresses
