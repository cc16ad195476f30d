"""A receiver in a thread of a program: ``start_receiver``, and what it returns."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..addresses import Address, AddressLike
from ..exceptions import ConfigurationError
from ..system.signals import start_thread
from ..system.tls_files import read_tls_files
from .service import GRACE, Service


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
            start_thread(self._thread)
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
        """Open the sink's file anew, after another program has renamed it. Waits for nothing.

        The certificates of ``tls://`` addresses are read again.
        """
        self._service.reload()

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
    file_mode: str | int | None = None,
    file_owner: str | None = None,
    max_connections: int | None = None,
    max_peer_connections: int | None = None,
    max_rate: int | None = None,
    nats_create: str | None = None,
    order: float | None = None,
    tee: Iterable[AddressLike] = (),
    tee_peer: str = "stdbridge",
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
    file_mode, file_owner
        Mode (octal digits, or a number) and owner (``USER``, ``USER:GROUP`` or ``:GROUP``) of the
        log files and their archives. ``None``: what the system gives.
    max_connections, max_peer_connections
        Clients at a time, in all (``None``: 1,000, if that many files may be open) and of one host,
        or of one user of this machine (``None``: as many).
    max_rate
        Records a second of one client. One that sends more waits; nothing is dropped. ``None``: as
        fast as it goes.
    nats_create
        Settings of a stream of NATS, such as ``"replicas=3,max_age=7d"``: a stream that is missing
        is made with them. ``None``: none is made, and none is ever altered.
    order
        Seconds, up to 60, for which lines are held back and sorted by their own time. ``None``:
        they are written as they come.
    tee, tee_peer
        Addresses of other receivers that get each record, too, and of what kind those are:
        ``"stdbridge"`` (each record once), or ``"stock"``, which reads the format of
        ``SocketHandler`` (each record at most once).
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
            file_mode=file_mode,
            file_owner=file_owner,
            max_connections=max_connections,
            max_peer_connections=max_peer_connections,
            max_rate=max_rate,
            nats_create=nats_create,
            order=order,
            tee=tee,
            tee_peer=tee_peer,
        )
    )
