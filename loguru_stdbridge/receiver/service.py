"""Put a receiver together, for the command line or for a thread of a program.

Owns the order of opening and closing. The ledgers come first: their locks make this process the
only writer before any file is touched (:mod:`~loguru_stdbridge.receiver.outlets`).
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable

from ..addresses import (
    Address,
    AddressLike,
    LogName,
    default_listen,
    local_names,
    log_address,
    parse_address,
)
from ..exceptions import ConfigurationError, JournalError
from ..sink.streams import find_stream
from ..sink_words import check_handlers, show_handlers
from ..spool.directory import (
    default_spool_dir,
    make_spool_dir,
    note_sink,
)
from ..spool.group import default_group_spool, make_group_spool
from ..spool.proof import make_secret
from ..system.host import directory_id, host_facts
from ..system.runtime import runtime_directories
from ..system.tls_files import TlsFiles, read_tls_files
from ..system.users import current_user
from .admission import MAX_CONNECTIONS
from .adoption import OrphanIntake
from .exposure import check_exposure
from .outlets import Outlets, open_outlets
from .reporting import to_stderr
from .server import Receiver
from .sharing import group_id, read_socket_access
from .status_service import StatusService, open_console

RENDER = ("worker", "receiver")
GRACE = 5.0
"""Seconds for which a receiver that is told to end takes what clients have sent."""


class Service:
    """A receiver of one log. :meth:`serve` runs it in the calling thread until :meth:`stop`."""

    def __init__(
        self,
        handlers: Sequence[Mapping[str, Any]],
        addresses: Iterable[AddressLike] | None = None,
        *,
        spool_dir: str | Path | bool | None = None,
        fsync: bool = False,
        render: str = "worker",
        max_connections: int = MAX_CONNECTIONS,
        instance: str = "",
        linger: float | None = None,
        wait: Callable[[], bool] | None = None,
        report: Callable[[str], None] = to_stderr,
        spool_group: str | int | None = None,
        socket_mode: str | int | None = None,
        socket_group: str | int | None = None,
        status: AddressLike | list[AddressLike] | None = None,
        status_token_file: str | os.PathLike[str] | None = None,
        status_hosts: Sequence[str] = (),
        tls: TlsFiles | None = None,
        insecure: bool = False,
        status_files: bool = False,
        console: bool = False,
    ) -> None:
        """Open everything. See :func:`start_receiver` for most of the options.

        ``handlers`` are the log's sinks, in the words of ``logger.configure``; the first one gives
        the log its name. ``addresses`` may be empty: the log's own socket is there where the system
        has one. ``instance`` tells receivers of one stream, such as ``/dev/stdout``, from each
        other. ``wait`` makes it a standby (:meth:`Ledger.open`). ``linger`` makes it end by itself:
        so many seconds after the last client has gone and nothing is left to adopt. ``tls``: the
        certificate files of ``tls://`` addresses; ``None``: those that the environment names.
        """
        if render not in RENDER:
            raise ConfigurationError(f"render={render!r}: one of {', '.join(map(repr, RENDER))}")
        if addresses is None:
            addresses = default_listen()
        targets = [parse_address(address) for address in addresses]
        members = group_id("spool_group", spool_group)
        group = members if socket_group is None else group_id("socket_group", socket_group)
        access = read_socket_access(socket_mode, group)
        shown = self._shown = StatusService(
            status, token_file=status_token_file, hosts=status_hosts, shows_files=status_files,
            access=access, report=report,
        )  # fmt: skip
        certificates = check_exposure(targets, tls, insecure=insecure)
        with contextlib.ExitStack() as opened:
            self.spool_dir = _make_spool(spool_dir, members, report, beside=_log_path(handlers))
            outlets = Outlets(
                open_outlets(
                    handlers,
                    opened,
                    spool_dir=self.spool_dir,
                    instance=instance,
                    fsync=fsync,
                    wait=wait,
                    report=report,
                ),
                rendering=render == "worker",
            )
            own = log_address(outlets.first.path)
            if own not in targets:
                targets.append(own)
            log_id = outlets.first.ledger.log_id
            self.log = LogName(own.path, log_id, directory_id(os.path.dirname(own.path)))
            self._line_format, self._needs = outlets.line_format, outlets.needs
            line_format = outlets.first.replay.line_format
            template = None if line_format is None else line_format.format
            printer = open_console(handlers, template) if console else None
            if printer is not None:
                opened.callback(printer.close)
            self._receiver = Receiver(
                targets,
                outlets=outlets,
                linger=linger,
                words=show_handlers(handlers),
                log=self.log,
                report=report,
                max_connections=max_connections,
                spool_dir=self.spool_dir,
                access=access,
                board=shown.board,
                on_request=shown.adopt,
                console=None if printer is None else printer.board,
                certificates=certificates,
            )
            opened.callback(self._receiver.close)
            opened.callback(shown.close)
            self.status_addresses = shown.open(template)
            """Where the status is shown."""
            if self.spool_dir is not None:
                make_secret(self.spool_dir)
                self._receiver.orphans = OrphanIntake(
                    self.spool_dir, self.addresses, self.log, report
                )
            self._note_sinks()
            shown.start()
            if printer is not None:
                printer.start()
            self._opened = opened.pop_all()  # it is whole: close() has it now

    def _note_sinks(self) -> None:
        """Note for workers that have not been greeted yet how lines are written."""
        network = host_facts().network
        places = runtime_directories(make=True, beside=self.log.path)
        self._notes = [(place, network) for place in places]
        if self.spool_dir is not None:
            self._notes.append((self.spool_dir, ""))
        self._names = [name for address in self.addresses for name in local_names(address)]
        for place, network in self._notes:
            for name in self._names:
                note_sink(place, name, self._line_format, self._needs, network)

    @property
    def addresses(self) -> list[Address]:
        """Where it was asked to listen, ports given by the system included; else its own socket."""
        bound = self._receiver.addresses
        return [address for address in bound if address.scheme != "log"] or bound

    @property
    def log_address(self) -> Address | None:
        """The address of the log's own socket, by the log's path; ``None`` where there is none."""
        return next((a for a in self._receiver.addresses if a.scheme == "log"), None)

    @property
    def counts(self) -> dict[str, int]:
        """Records written, duplicates dropped, input refused, since the start."""
        return self._receiver.counts

    def serve(self) -> None:
        """Serve until :meth:`stop`, then close the sink and the ledger."""
        try:
            self._receiver.serve()
        finally:
            self.close()

    def close(self) -> None:
        """Close what is open, without taking what clients have sent. :meth:`serve` does so too."""
        self._receiver.close()
        for place, network in self._notes:
            for name in self._names:  # the next receiver may have another line format
                note_sink(place, name, None, network=network)
        self._opened.close()

    def stop(self, grace: float = GRACE) -> None:
        """End :meth:`serve` within ``grace`` seconds. Safe in signal handlers and threads."""
        self._receiver.stop(grace)

    def reopen(self) -> None:
        """Open the sink's file anew. Safe in signal handlers and threads."""
        self._receiver.reopen()


def _log_path(handlers: Sequence[Mapping[str, Any]]) -> str:
    """Return the path of the log file; empty where it is a stream."""
    path = check_handlers(handlers)[0]["sink"]
    return os.path.abspath(path) if find_stream(path) is None else ""


def _make_spool(
    spool_dir: str | Path | bool | None,
    group: int | None,
    report: Callable[[str], None],
    *,
    beside: str,
) -> str | None:
    """Make the spool directory; ``None`` where there is to be none, or it cannot be used.

    One for a ``group`` that cannot be made is a :class:`ConfigurationError`.
    """
    if group is not None:
        if spool_dir is False:
            raise ConfigurationError("spool_dir=False: a spool_group needs a directory")
        place = default_group_spool(group) if spool_dir in (None, True) else spool_dir
        try:
            directory = make_group_spool(str(place), group)
        except JournalError as error:
            raise ConfigurationError(f"{error}") from error
        if current_user() != 0:
            report(
                f"the spool directory {directory} is for group {group}, and this receiver is not "
                "root's: it cannot read what a killed member of another user leaves there"
            )
        return directory
    if spool_dir is False:
        return None
    named = default_spool_dir(beside) if spool_dir is None or spool_dir is True else spool_dir
    try:
        return make_spool_dir(named)
    except JournalError as error:
        report(f"{error}. Journals that workers leave behind are not delivered.")
        return None


class EmbeddedReceiver:
    """A receiver in a thread of this process: what :func:`start_receiver` returns.

    A context manager: the end of its block stops it. All of its methods are thread-safe.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._addresses = service.addresses
        self._thread = threading.Thread(
            target=service.serve, name="loguru_stdbridge-receiver", daemon=True
        )
        try:
            self._thread.start()
        except BaseException:
            service.close()
            raise

    @property
    def address(self) -> Address:
        """The first address at which it listens, as :func:`install_bridge` takes it."""
        return self._addresses[0]

    @property
    def addresses(self) -> list[Address]:
        """All addresses at which it was asked to listen; without one, the log's own."""
        return list(self._addresses)

    @property
    def status_addresses(self) -> list[Address]:
        """Where the status is shown; empty without ``status``."""
        return list(self._service.status_addresses)

    @property
    def counts(self) -> dict[str, int]:
        """Counts since the start.

        ``"records"`` were written, ``"duplicates"`` had come before and were dropped, ``"refused"``
        broke a rule or a limit.
        """
        return self._service.counts

    def reopen(self) -> None:
        """Open the sink's file anew, after another program has renamed it. Waits for nothing."""
        self._service.reopen()

    def stop(self, grace: float = GRACE) -> None:
        """Take what clients have sent, close the sink, and end the thread.

        ``grace`` is the most seconds to wait for clients, 5 by default. Stopping it again does no
        harm.
        """
        self._service.stop(grace)
        self._thread.join(grace + 30.0)

    def close(self) -> None:
        """Stop it, as :meth:`stop` does with its default."""
        self.stop()

    def __enter__(self) -> EmbeddedReceiver:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()


def start_receiver(
    sink: str | Path | None = None,
    *,
    handlers: Sequence[Mapping[str, Any]] | None = None,
    address: AddressLike | list[AddressLike] | None = None,
    spool_dir: str | Path | bool | None = None,
    fsync: bool = False,
    render: str = "worker",
    spool_group: str | int | None = None,
    socket_mode: str | int | None = None,
    socket_group: str | int | None = None,
    status: AddressLike | list[AddressLike] | None = None,
    status_token_file: str | os.PathLike[str] | None = None,
    status_hosts: Sequence[str] = (),
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    tls_ca: str | Path | None = None,
    tls_crl: str | Path | None = None,
    insecure: bool = False,
    status_files: bool = False,
    **options: Any,
) -> EmbeddedReceiver:
    """Start a receiver in a thread of this process. The process may use loguru as it likes.

    Parameters
    ----------
    sink
        Path of the log file; ``{time}`` in it is loguru's. Or a stream: ``-`` and ``/dev/stdout``
        are standard output, and a named pipe or a device is one, too. A stream is not rotated.
    handlers
        In place of ``sink``: several sinks, in the words of ``logger.configure``, as in
        ``[{"sink": "app.log", "rotation": "1 GB"}, {"sink": "errors.log", "level": "ERROR"}]``.
        Each record goes to each of them, once, and is acknowledged when all have it. The first one
        gives the log its name.
    address
        Where to listen, one address or a list. Port 0 takes any free port; ``.address`` of what is
        returned tells which. ``None``: ``$LOGURU_STDBRIDGE_ADDRESS``, else ``tcp://127.0.0.1:9020``.
    spool_dir
        Where workers of this machine keep their journals, as for ``install_bridge``. ``False``:
        leave the journals of dead workers alone.
    spool_group
        A group, by name or number, whose members keep their journals in the spool directory, which
        gets mode 1730: they make journals there and see no others' names. For programs that are
        started by root and become another user; only root's receiver delivers what a member of
        another user has left behind. The directory is ``/var/lib/loguru_stdbridge-0-GROUP`` for
        root unless ``spool_dir`` names one. ``None``: the spool directory is this user's alone.
    socket_mode, socket_group
        Mode (octal digits, or a number) and group of the log's own socket and of ``unix://``
        sockets. ``None``: 0660 and the ``spool_group`` where there is one, else 0600.
    tls_cert, tls_key, tls_ca, tls_crl
        For ``tls://`` addresses, paths of files in PEM: the receiver's certificate, its key
        (``None``: in the same file), the CA of the clients' certificates (``None``: none is asked
        for) and that CA's revocation list. ``reopen()`` reads them again. Without them:
        ``$LOGURU_STDBRIDGE_TLS_CERT`` and the like.
    insecure
        Listen beyond loopback although not every client has to show a certificate.
    fsync
        Acknowledge only what is on the disk itself. It survives a power cut, and takes longer.
    render
        ``"worker"``: workers of ours render the lines of a plain sink (a format string without
        ``extra``, no filter, no colours, no ``serialize``), which is two to three times as fast.
        ``"receiver"``: every record comes whole and is rendered here.
    status
        Where to show the status by HTTP (a page, ``/metrics``, ``/healthz``): one address or a
        list, ``tcp://127.0.0.1:9021`` or ``unix:///path``. ``None``: nowhere, and nothing is
        loaded for it.
    status_token_file
        A file of mode 0600 with a token that whoever looks has to give. Needed beyond loopback.
    status_hosts
        Names by which the status may be called, besides IP addresses and ``localhost``.
    status_files
        Whether the log's files can be fetched there.
    options
        For ``sink``: loguru's own words for a file sink, handed on unchanged: ``rotation``,
        ``retention``, ``compression``, ``format``, ``level``, ``filter``, ``serialize``,
        ``colorize``, ``encoding``, ``errors``, ``delay``, ``watch``, ...

    Returns
    -------
    EmbeddedReceiver
        It listens already. A context manager: the end of its block stops it.

    Raises
    ------
    LedgerHeldError
        Another receiver writes one of the sinks.
    OSError
        An address cannot be bound, or the sink cannot be opened.
    ConfigurationError, ValueError, TypeError
        An option cannot be used.
    """
    addresses = [address] if address is not None and not isinstance(address, list) else address
    if handlers is None:
        handlers = [{"sink": sink, **options}]
    elif sink is not None or options:
        raise ConfigurationError(
            f"handlers= with {'sink' if sink is not None else next(iter(options))}=: say it in the "
            "handler of the sink that is meant"
        )
    return EmbeddedReceiver(
        Service(
            handlers,
            addresses,
            spool_dir=spool_dir,
            fsync=fsync,
            render=render,
            spool_group=spool_group,
            socket_mode=socket_mode,
            socket_group=socket_group,
            status=status,
            status_token_file=status_token_file,
            status_hosts=status_hosts,
            tls=read_tls_files(
                {"tls_cert": tls_cert, "tls_key": tls_key, "tls_ca": tls_ca, "tls_crl": tls_crl}
            ),
            insecure=insecure,
            status_files=status_files,
        )
    )
