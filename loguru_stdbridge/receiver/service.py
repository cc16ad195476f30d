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
    is_engine_address,
    local_names,
    log_address,
    parse_address,
)
from ..exceptions import ConfigurationError, JournalError
from ..record.level_order import LevelOrder
from ..sink.permissions import read_permissions
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
from ..system.supervisor import PassedSocket, Supervisor
from ..system.tls_files import TlsFiles
from ..system.users import current_user
from .adoption import OrphanIntake
from .exposure import check_exposure
from .level_orders import Whose
from .limits import read_limits, read_order
from .outlets import Outlets, open_outlets
from .passed import address_of
from .reporting import to_stderr
from .server import Receiver
from .sharing import group_id, read_socket_access
from .standby import Standby
from .status_service import StatusService, open_console
from .tee import check_tees

RENDER = ("worker", "receiver")
ORDER_TIMEOUT = 2.0
"""Seconds to wait until the loop has told workers of an order."""

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
        max_connections: int | None = None,
        max_peer_connections: int | None = None,
        max_rate: int | None = None,
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
        file_mode: str | int | None = None,
        file_owner: str | None = None,
        tee: Iterable[AddressLike] = (),
        tee_peer: str = "stdbridge",
        passed: Sequence[PassedSocket] = (),
        supervisor: Supervisor | None = None,
        nats_create: str | None = None,
        order: float | None = None,
    ) -> None:
        """Open everything. See :func:`start_receiver` for most of the options.

        ``handlers`` are the log's sinks, in the words of ``logger.configure``; the first one gives
        the log its name. ``addresses`` may be empty: the log's own socket is there where the system
        has one. ``instance`` tells receivers of one stream, such as ``/dev/stdout``, from each
        other. ``wait`` makes it a standby (:meth:`Ledger.open`). ``linger`` makes it end by itself:
        so many seconds after the last client has gone and nothing is left to adopt. ``tls``: the
        certificate files of ``tls://`` addresses; ``None``: those that the environment names.
        ``tee``: each record is sent on to these receivers, which are of the kind ``tee_peer``
        (:mod:`~loguru_stdbridge.receiver.tee`). ``passed`` are sockets that listen already;
        ``supervisor`` is told how the loop is.
        """
        if render not in RENDER:
            raise ConfigurationError(f"render={render!r}: one of {', '.join(map(repr, RENDER))}")
        if addresses is None:
            addresses = default_listen()
        given = list(addresses)
        streams = [str(address) for address in given if is_engine_address(address)]
        targets = [parse_address(address) for address in given if not is_engine_address(address)]
        tees = [parse_address(address) for address in tee]
        if tees:
            check_tees(tees, tee_peer, _log_path(handlers), targets)
        members = group_id("spool_group", spool_group)
        group = members if socket_group is None else group_id("socket_group", socket_group)
        access = read_socket_access(socket_mode, group)
        shown = self._shown = StatusService(
            status, token_file=status_token_file, hosts=status_hosts, shows_files=status_files,
            access=access, report=report,
        )  # fmt: skip
        limits = read_limits(max_connections, max_peer_connections, max_rate)
        permissions = read_permissions(file_mode, file_owner)
        self._certificates = check_exposure(
            [*targets, *map(address_of, passed)], tls, insecure=insecure
        )
        with contextlib.ExitStack() as opened:
            path = _log_path(handlers)
            self.spool_dir = _make_spool(spool_dir, members, report, beside=path)
            standby = None if wait is None else Standby(path, wait, shown, self.spool_dir)
            if standby is not None:
                opened.callback(standby.close)
            sinks = open_outlets(
                handlers,
                opened,
                spool_dir=self.spool_dir,
                instance=instance,
                fsync=fsync,
                wait=None if standby is None else standby.wait,
                report=report,
                permissions=permissions,
                create=nats_create,
            )
            forwarders = []
            if tees:
                from .forwarding import open_tees

                forwarders = open_tees(
                    tees, tee_peer, path, opened, fsync=fsync, tls=tls, report=report
                )
            outlets = Outlets(
                sinks,
                # A finished line's row has the time at which it was made, and not the record's.
                rendering=render == "worker" and order is None,
                tees=[outlet for outlet, _ in forwarders],
            )
            if standby is not None:
                standby.close()
            own = log_address(outlets.first.path)
            if own not in targets:
                targets.append(own)
            log_id = outlets.first.ledger.log_id
            self.log = LogName(own.path, log_id, directory_id(os.path.dirname(own.path)))
            self._outlets = outlets
            self._line_format, self._needs = outlets.line_format, outlets.needs
            line_format = outlets.first.line_format
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
                limits=limits,
                spool_dir=self.spool_dir,
                access=access,
                board=shown.board,
                on_request=shown.adopt,
                console=None if printer is None else printer.board,
                certificates=self._certificates,
                passed=passed,
                supervisor=supervisor,
                order=read_order(order),
            )
            shown.on_level = self.order_level
            opened.callback(self._receiver.close)
            opened.callback(shown.close)
            self.status_addresses = shown.open(template)
            """Where the status is shown."""
            if self.spool_dir is not None:
                make_secret(self.spool_dir)
                self._receiver.orphans = OrphanIntake(
                    self.spool_dir, self.addresses, self.log, report
                )
            self._open_sources(streams, nats_create, report)
            self._note_sinks()
            shown.start()
            if printer is not None:
                printer.start()
            for _, forwarder in forwarders:
                forwarder.start()
            self._opened = opened.pop_all()  # it is whole: close() has it now

    def _open_sources(
        self, streams: Sequence[str], create: str | None, report: Callable[[str], None]
    ) -> None:
        """Read the streams of an engine, too."""
        if not streams:
            return
        from ..engine.address import make_token, parse_engine_address, read_stream_settings
        from .engine_source import EngineSource  # nobody else loads the engine's client

        settings = None if create is None else read_stream_settings(create)
        name = make_token(os.path.basename(self.log.path))
        for address in map(parse_engine_address, streams):
            consumer = address.consumer or f"stdbridge-{name}-{self.log.id[:8]}"
            source = EngineSource(
                address._replace(consumer=consumer), settings, self._receiver.wake, report
            )
            self._receiver.sources.append(source)
        for source in self._receiver.sources:
            source.start()

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
        """Open the sinks' files anew. Safe in signal handlers and threads."""
        self._receiver.call(self._receiver.reopen)

    def reload(self) -> None:
        """Open the sinks' files anew, and read the certificates again. Safe like :meth:`reopen`."""
        self._receiver.call(self._receiver.read_certificates)
        self.reopen()

    def change_sinks(self, handlers: Sequence[Mapping[str, Any]]) -> None:
        """In the loop: have the sinks follow other options; see :meth:`.Outlets.change`."""
        self._receiver.change_sinks(handlers)
        now = self._outlets.line_format, self._outlets.needs
        if now != (self._line_format, self._needs):
            self._line_format, self._needs = now
            self._note_sinks()

    def change_certificates(self, files: TlsFiles) -> None:
        """In the loop: name other files of certificates, which :meth:`reload` reads."""
        if self._certificates is not None:
            self._certificates.files = files

    def order_level(self, program: str, pid: int, order: LevelOrder) -> int:
        """Have workers send records of lower levels for a while; return how many were told.

        ``program`` and ``pid`` say which (``""``, 0: any). Waits for the loop. For other threads.
        """
        told: list[int] = []
        done = threading.Event()

        def give() -> None:
            told.append(self._receiver.order_level(Whose(program, pid), order))
            done.set()

        self._receiver.call(give)
        done.wait(ORDER_TIMEOUT)
        return told[0] if told else 0

    def dump(self) -> None:
        """Tell the operator the whole state. Safe like :meth:`reopen`."""
        self._receiver.call(self._receiver.dump)

    def call(self, function: Callable[[], None]) -> None:
        """Have the loop call ``function``, after what came before. Safe like :meth:`reopen`."""
        self._receiver.call(function)


def _log_path(handlers: Sequence[Mapping[str, Any]]) -> str:
    """Return the path of the log file; empty where it is a stream."""
    path = check_handlers(handlers, with_calls=True)[0]["sink"]
    if is_engine_address(path):
        return ""
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
