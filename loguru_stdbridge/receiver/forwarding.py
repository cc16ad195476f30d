"""Send the rows of a tee to another receiver: one connection, one thread.

The thread owns its connection, the reading of the files (:mod:`sink.row_files`) and the note of
what was acknowledged. The receiver's loop only wakes it. It waits for the other receiver alone.

To a stock receiver, such as cutelog, records go at most once: what is about to be sent is noted
before.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Callable

from ..addresses import Address
from ..exceptions import PeerError, StdbridgeError
from ..record.row import MAX_ROWS, ROW_LENGTH, encode_row
from ..record.stock import notice
from ..sink.row_files import RowFiles
from ..system.forks import block_forks, drop_in_children
from ..system.host import host_facts
from ..system.runtime import (
    AF_UNIX,
    END_OF_RECORD,
    log_socket_name,
    runtime_directories,
)
from ..system.signals import start_thread
from ..system.tls_files import TlsFiles
from ..system.unix_sockets import connect_unix
from ..wire.sending import Acknowledged, Refusal, SenderConnection
from .outlets import Outlet
from .row_writer import RowReplay
from .tee import TeeNote, open_tee

TEE_FRAME_BYTES = 128 * 1024
"""Bytes of rows in one frame."""

OTHERS_TIMEOUT = 30.0
"""Seconds to wait for an answer. A receiver whose disk is full answers later: the connection is
made anew then."""

OTHERS_CONNECT_TIMEOUT = 5.0
TEE_GRACE = 5.0
"""Seconds that a receiver's end may take to send what waits. The rest goes after the next start."""

PAUSE, MAX_PAUSE = 0.2, 5.0
"""Seconds after a failed attempt, doubled up to the second."""

LOOK = 1.0
"""Seconds between two looks at the files where nothing wakes the thread."""

WHY_GONE = "the files of a tee were full, and its receiver was away"


class Forwarder:
    """Carries the rows of one tee to its address. :meth:`wake` and :meth:`stop` are for others."""

    def __init__(
        self,
        address: Address,
        files: RowFiles,
        note: TeeNote,
        *,
        is_stock: bool,
        tls: TlsFiles | None,
        report: Callable[[str], None],
    ) -> None:
        """Raises :class:`ConfigurationError` where the certificates in ``tls`` cannot be used."""
        self.address = address
        self._files = files
        self._note = note
        self._is_stock = is_stock
        self._context: ssl.SSLContext | None = None
        if address.scheme == "tls":
            from ..system.tls import make_client_context

            self._context = make_client_context(tls or TlsFiles())
        self._report = report
        self._woken = threading.Event()
        self._ending = threading.Event()
        self._stop_by: float | None = None
        self._socket: socket.socket | None = None
        self._connection: SenderConnection | None = None
        self._acknowledged = self._sent = 0  # highest numbers, on this connection
        self._pause = PAUSE
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="loguru_stdbridge-tee", daemon=True)
        drop_in_children(self)

    def start(self) -> None:
        """Start the thread."""
        start_thread(self._thread)

    def wake(self) -> None:
        """Say that rows were written."""
        self._woken.set()

    def stop(self, grace: float) -> None:
        """Send what is there, for ``grace`` seconds at most, and end the thread."""
        self._stop_by = time.monotonic() + grace
        self._ending.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(grace + OTHERS_CONNECT_TIMEOUT)

    def after_fork_in_child(self) -> None:
        """Close a child's copy of the connection."""
        if self._socket is not None:
            self._socket.close()

    # -- the thread

    def _run(self) -> None:
        while True:
            try:
                self._forward()
                break
            except (OSError, StdbridgeError, ValueError) as error:
                self._tell(f"the tee to {self.address}: {error}; its records wait")
            except Exception as error:  # a bug of ours ends no receiver
                self._tell(f"the tee to {self.address}: a bug: {type(error).__name__}: {error}")
            finally:
                self._disconnect()
            if self._stop_by is not None:
                break
            self._ending.wait(self._pause)
            self._pause = min(self._pause * 2, MAX_PAUSE)
        self._files.close()

    def _is_over(self) -> bool:
        return self._stop_by is not None and time.monotonic() >= self._stop_by

    def _forward(self) -> None:
        """Send rows until the end is called for and nothing is left. Raises where that fails."""
        while not self._is_over():
            is_last_look = self._stop_by is not None
            rows = self._files.read(self._note.through, TEE_FRAME_BYTES)
            if rows.rows:
                gone = rows.first - 1 - self._note.through
                if self._is_stock:
                    self._send_to_stock(rows.first, rows.rows, gone)
                else:
                    self._send(rows.first, rows.rows, gone)
                self._files.remove_through(self._note.through)
                continue
            if is_last_look:  # what was written before the call is read
                return
            self._woken.wait(LOOK)
            self._woken.clear()

    def _send(self, first: int, rows: list[bytes], gone: int) -> None:
        connection = self._connection or self._greet(first, rows[0], gone)
        if self._acknowledged < first - 1 and gone:
            self._push(connection.gap(self._note.through + 1, first - 1, WHY_GONE))
        last = first + len(rows) - 1
        start = max(self._acknowledged + 1 - first, self._sent + 1 - first, 0)
        while start < len(rows):
            piece = rows[start : start + MAX_ROWS]
            self._push(connection.rows(first + start, piece))
            start += len(piece)
        self._sent = last
        while self._acknowledged < last:
            self._take_answers(connection)
        self._note_through(last)

    def _greet(self, first: int, row: bytes, gone: int) -> SenderConnection:
        """Connect, say hello with the first row or of those that are gone, and be greeted."""
        self._connect()
        connection, base = SenderConnection(self._note.sender_id), self._note.through + 1
        if gone:
            self._push(connection.hello(_tell_gone(gone), first - 1, base, notice=True))
        else:
            self._push(connection.hello(row, first, base))
        while connection.greeting is None:
            self._take_answers(connection)
        last = connection.greeting.last
        if last > max(self._files.last_number(), self._note.through):
            self._note.begin_anew()
            raise PeerError(
                f"it has record {last} of this tee already, which is not there any more: the tee "
                "begins anew as another sender"
            )
        self._acknowledged = max(self._acknowledged, last)  # an answer may have come behind it
        self._sent = 0 if gone else first
        self._connection = connection
        self._has_worked()
        return connection

    def _has_worked(self) -> None:
        self._pause = PAUSE
        self._tell("")

    def _send_to_stock(self, first: int, rows: list[bytes], gone: int) -> None:
        if self._socket is None:
            self._connect()
            self._has_worked()
        connection = SenderConnection(self._note.sender_id)
        if gone:
            self._push(connection.stock(_tell_gone(gone), first - 1), END_OF_RECORD)
        self._note_through(first + len(rows) - 1)
        for number, row in enumerate(rows, first):
            self._push(connection.stock(row, number), END_OF_RECORD)

    def _note_through(self, number: int) -> None:
        self._note.through = number
        self._note.write()

    def _push(self, data: bytes, flags: int = 0) -> None:
        assert self._socket is not None
        self._socket.settimeout(self._patience(OTHERS_TIMEOUT))
        self._socket.sendall(data, 0 if self.address.scheme == "tls" else flags)

    def _take_answers(self, connection: SenderConnection) -> None:
        assert self._socket is not None
        self._socket.settimeout(self._patience(OTHERS_TIMEOUT))
        data = self._socket.recv(65536)
        if not data:
            raise ConnectionResetError("the receiver there has closed the connection")
        for answer in connection.receive(data):
            if isinstance(answer, Acknowledged):
                self._acknowledged = max(self._acknowledged, answer.through)
            elif isinstance(answer, Refusal):
                raise PeerError(f"the receiver there refuses: {answer.reason}")

    def _patience(self, most: float) -> float:
        """Return the seconds to wait for the other side; fewer at the end."""
        if self._stop_by is None:
            return most
        return min(most, max(self._stop_by - time.monotonic(), 0.01))

    # -- the connection

    def _connect(self) -> None:
        self._acknowledged = self._sent = 0
        with block_forks():
            self._socket = _open_socket(self.address, self._patience(OTHERS_CONNECT_TIMEOUT))
        if self._context is not None:
            host = self.address.host
            self._socket = self._context.wrap_socket(self._socket, server_hostname=host)

    def _disconnect(self) -> None:
        """Close the connection; what was sent is on its way, and its acknowledgements are read."""
        self._connection = None
        connection, self._socket = self._socket, None
        if connection is None:
            return
        with contextlib.suppress(OSError, ValueError), contextlib.closing(connection):
            if not isinstance(connection, ssl.SSLSocket):
                connection.shutdown(socket.SHUT_WR)
                connection.settimeout(1.0)
                while connection.recv(65536):
                    pass

    def _tell(self, text: str) -> None:
        """Tell the operator once what is the matter, and once that it is over."""
        if text == self._told:
            return
        self._report(text or f"the tee to {self.address} takes records again")
        self._told = text


def open_tees(
    addresses: Sequence[Address],
    peer: str,
    log_path: str,
    opened: contextlib.ExitStack,
    *,
    fsync: bool,
    tls: TlsFiles | None,
    report: Callable[[str], None],
) -> list[tuple[Outlet, Forwarder]]:
    """Open the tees to ``addresses``; ``opened`` closes them. Raises what opening a sink raises."""
    tees = []
    for address in addresses:
        outlet, files, note = open_tee(log_path, address, opened, fsync=fsync, report=report)
        forwarder = Forwarder(
            address, files, note, is_stock=peer == "stock", tls=tls, report=report
        )
        assert isinstance(outlet.replay, RowReplay)
        outlet.replay.on_written = forwarder.wake
        opened.callback(forwarder.stop, TEE_GRACE)
        tees.append((outlet, forwarder))
    return tees


def _tell_gone(count: int) -> bytes:
    """Return the row of a notice."""
    text = f"{count} records were given up: {WHY_GONE}"
    return encode_row(notice(text, time.time(), os.getpid())[:ROW_LENGTH])


def _open_socket(address: Address, timeout: float) -> socket.socket:
    if address.scheme in ("tcp", "tls"):
        return socket.create_connection((address.host, address.port), timeout)
    if AF_UNIX is None:
        raise OSError("this platform has no Unix sockets")
    paths = [address.path]
    if address.scheme == "log":
        name = log_socket_name(address.path, host_facts().network)
        places = runtime_directories(beside=address.path)
        paths = [os.path.join(place, name) for place in places]
    trouble: OSError = FileNotFoundError(f"no receiver of {address.path} runs here")
    for path in paths:
        try:
            return connect_unix(path, timeout)
        except FileNotFoundError:
            continue
        except OSError as error:
            trouble = error
    raise trouble
