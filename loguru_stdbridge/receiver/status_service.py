"""Loads and opens what shows the receiver's status, where somebody has asked for it.

A receiver that nobody watches loads nothing of it, and keeps nothing for it. Somebody asks by the
option ``--status``, or by an HTTP request at one of the receiver's Unix sockets, as local tools do.
In the second case all of it goes again, :data:`IDLE` seconds after the last request.

Why a request at the receiver's own socket harms nobody
-------------------------------------------------------
A frame that begins as ``GET`` does would have over a gigabyte, so no client of ours and no stock
one sends it. It is looked for in the first bytes of a connection alone, at Unix sockets, and
answered only to the receiver's own user and to root.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable

from ..addresses import Address, AddressLike
from ..exceptions import ConfigurationError
from ..sink.streams import find_stream
from ..sink_words import is_call
from ..system.forks import block_forks
from .sharing import SocketAccess

if TYPE_CHECKING:
    from ..status.answers import OnLevel
    from ..status.board import Board  # loaded when somebody asks
    from ..status.console import Console
    from ..status.listener import StatusListener

IDLE = 30.0
"""Seconds without a visitor after which what a local request has begun ends."""


class StatusService:
    """The board that the loop notes on, and the listener that shows it; both may be missing."""

    def __init__(
        self,
        status: AddressLike | list[AddressLike] | None,
        *,
        token_file: str | os.PathLike[str] | None,
        hosts: Sequence[str],
        shows_files: bool,
        access: SocketAccess,
        report: Callable[[str], None],
    ) -> None:
        """Check the options. Raises :class:`ConfigurationError` or :class:`AddressError`."""
        self._addresses: tuple[Address, ...] = ()
        self._token, self._names = "", tuple(hosts)
        self._shows_files = shows_files
        self._access = access
        self._report = report
        self._template: str | None = None
        self._listener: StatusListener | None = None
        self.board: Board | None = None
        self.on_level: OnLevel | None = None
        """Has workers send records of lower levels; called in the listener's thread."""
        if status or token_file is not None or hosts or shows_files:
            from ..status.board import Board
            from ..status.options import read_status_options

            options = read_status_options(status, token_file, hosts, shows_files)
            if options is not None:
                self._addresses, self._token = options.addresses, options.token
                self.board = Board()

    def open(self, template: str | None) -> list[Address]:
        """Listen where that was asked for; return the addresses. Raises ``OSError``.

        ``template`` is the sink's format.
        """
        self._template = template
        if self.board is None:
            return []
        self._listener = self._make_listener(self.board, None)
        return self._listener.addresses

    def make_apart(self) -> tuple[Board | None, StatusListener | None]:
        """Show another board at the same addresses, before :meth:`open`. Raises ``OSError``.

        Return it and its listener, which has begun; nothing where no address was named.
        """
        if self.board is None:
            return None, None
        board = type(self.board)()
        listener = self._make_listener(board, None)
        listener.start()
        return board, listener

    def start(self) -> None:
        """Start the thread."""
        if self._listener is not None:
            self._listener.start()

    def adopt(self, connection: socket.socket, received: bytes) -> Board | None:
        """Answer a request at the receiver's own socket. Called in the loop; never raises.

        Return the board that is to be shown what happens from now on.
        """
        try:
            if self._listener is None or not self._listener.adopt(connection, received):
                from ..status.board import Board

                self.board = Board()
                self._listener = self._make_listener(self.board, IDLE)
                self._listener.adopt(connection, received)
                self._listener.start()
        except Exception as error:
            self._report(f"cannot answer a local request: {type(error).__name__}: {error}")
            connection.close()
        return self.board

    def _make_listener(self, board: Board, idle_timeout: float | None) -> StatusListener:
        with block_forks():  # a child would have half a module
            from ..status.answers import Answers
            from ..status.listener import StatusListener

        return StatusListener(
            self._addresses if idle_timeout is None else (),
            Answers(board, self._template, shows_files=self._shows_files, on_level=self.on_level),
            token=self._token,
            names=self._names,
            socket_mode=self._access.mode,
            socket_group=self._access.group,
            idle_timeout=idle_timeout,
            report=self._report,
        )

    def close(self) -> None:
        """End the thread, and close everything. May be called again."""
        if self.board is not None:
            self.board.end()
        if self._listener is not None:
            self._listener.close()


def open_console(handlers: Sequence[Mapping[str, Any]], template: str | None) -> Console:
    """Return what prints each record on stdout; ``template`` is the sink's format.

    Raises :class:`ConfigurationError` where stdout is a sink.
    """
    from ..status.console import STDOUT, Console

    for handler in handlers:
        if is_call(handler["sink"]):
            continue
        stream = find_stream(handler["sink"])
        if stream is not None and stream.descriptor == STDOUT:
            raise ConfigurationError(
                f"--console, and the sink {handler['sink']}: records go to standard output already"
            )
    return Console(template)
