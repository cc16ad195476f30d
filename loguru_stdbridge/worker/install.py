"""``install_bridge`` and ``uninstall_bridge``: send what this process logs, and stop.

Owns the one bridge of a process: its options, and when it is attached and detached. How it is
attached is :mod:`~loguru_stdbridge.worker.attachment`'s.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..addresses import Address, AddressLike
from ..system.forks import drop_in_children
from .attachment import Attachment
from .channel import EXIT_TIMEOUT, channel_for
from .children import hand_down, stop_waiting, withdraw
from .levels import file_level, level_number
from .options import ChannelOptions, Peer, WhenFull, check_flags, check_options
from .showwarning import Warnings
from .uncaught import UncaughtExceptions

if TYPE_CHECKING:
    from .stats import Stats


class BridgeOptions(NamedTuple):
    """What :func:`install_bridge` was asked for. Equal options mean the same bridge."""

    channel: ChannelOptions
    level: int | None
    loguru: bool
    stdlib: bool
    backtrace: bool | None
    diagnose: bool | None
    excepthook: bool
    thread_excepthook: bool
    process_excepthook: bool
    unraisablehook: bool
    capture_warnings: bool
    children: bool


class Bridge:
    """The bridge of this process: what :func:`install_bridge` returns.

    Thread-safe and fork-safe. A context manager: the end of its block closes it.
    """

    def __init__(self, options: BridgeOptions) -> None:
        self._options = options
        self._channel = channel_for(options.channel)
        self._channel.add_user(self)
        self._attachment = Attachment(self._channel, options.level)
        self._uncaught = UncaughtExceptions(self._attachment.send)
        self._warnings = Warnings(self._attachment.send)

    def __repr__(self) -> str:
        totals = self._channel.totals()
        state = "uninstalled"
        if _installation.bridge is self:
            state = "connected" if totals.connected else "not connected"
        return f"<Bridge {self.address}: {state}, {totals.pending} pending>"

    @property
    def address(self) -> Address:
        """The address of the receiver to which the records go."""
        return self._channel.address

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything logged so far is in the file; return whether it is.

        ``timeout`` is in seconds; ``None`` waits without a limit. Returns ``False`` when the time
        is over, and always once a record was dropped (see :meth:`stats`). Returns at once in a
        signal handler that came in the middle of a log call, since that call holds the journal.

        A stock receiver acknowledges nothing. So the connection to it is ended, and everything
        counts as read if the receiver closes its side then.
        """
        return self._channel.flush(timeout)

    def stats(self) -> Stats:
        """Return the figures of this process since the bridge was installed.

        In a forked child they begin with the fork.
        """
        from dataclasses import replace

        return replace(self._channel.stats(), attached=self._attached())

    def _attached(self) -> tuple[str, ...]:
        names = [
            "loguru" if self._attachment.is_in_loguru() else "",
            "stdlib" if self._attachment.is_in_logging() else "",
            *self._uncaught.attached(),
            "capture_warnings" if self._warnings.is_attached else "",
        ]
        return tuple(filter(None, names))

    def close(self, timeout: float = EXIT_TIMEOUT) -> bool:
        """Detach the bridge, deliver what is left, and return whether all was delivered.

        ``timeout`` is in seconds, 2 by default. What is not delivered by then is in the journal,
        and is delivered later. Closing a bridge again does no harm.
        """
        with _installation.lock:
            self._warnings.detach()
            self._uncaught.detach()
            self._attachment.detach()
            if _installation.bridge is self:
                _installation.bridge = None
                withdraw()
        if self._channel.release(self):
            return self._channel.close(timeout)
        return self._channel.flush(timeout)  # handlers use it, too

    def __enter__(self) -> Bridge:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _attach(self) -> None:
        """Attach to what the options name, or repair what is missing."""
        options = self._options
        if options.loguru:
            self._attachment.attach_loguru(options.backtrace, options.diagnose)
        if options.stdlib:
            self._attachment.attach_logging(
                logging.INFO if options.level is None else options.level
            )
        self._uncaught.attach(
            main=options.excepthook,
            threads=options.thread_excepthook,
            processes=options.process_excepthook,
            unraisable=options.unraisablehook,
        )
        if options.capture_warnings:
            self._warnings.attach()

    def _hand_down(self) -> None:
        """Let the processes that this one starts have the same bridge, or not."""
        options = self._options
        if not options.children:
            withdraw()
            return
        libraries = {"logging": options.stdlib, "loguru": options.loguru}
        given = {**options._asdict(), **options.channel.as_arguments(), "level": options.level}
        del given["channel"]
        hand_down(options.level, tuple(name for name, wanted in libraries.items() if wanted), given)


class _Installation:
    """The bridge of this process, and the lock to change it."""

    def __init__(self) -> None:
        self.bridge: Bridge | None = None
        self.lock = threading.RLock()

    def after_fork_in_child(self) -> None:
        """Another thread of the parent may have held the lock."""
        self.lock = threading.RLock()


_installation = _Installation()
drop_in_children(_installation)


def install_bridge(
    address: AddressLike | None = None,
    *,
    level: int | str | None = None,
    loguru: bool = True,
    stdlib: bool = True,
    backtrace: bool | None = None,
    diagnose: bool | None = None,
    excepthook: bool = True,
    thread_excepthook: bool = True,
    process_excepthook: bool = True,
    unraisablehook: bool = True,
    capture_warnings: bool = True,
    children: bool = True,
    spool_dir: str | os.PathLike[str] | bool | None = None,
    spool_limit: int | None = None,
    spool_total: int | None = None,
    when_full: WhenFull = "drop_oldest",
    block_timeout: float = 10.0,
    peer: Peer = "bridge",
    receiver_user: int | str | None = None,
    sink: str | os.PathLike[str] | None = None,
    handlers: Sequence[Mapping[str, Any]] | None = None,
    server: bool = True,
    tls_ca: str | os.PathLike[str] | None = None,
    tls_cert: str | os.PathLike[str] | None = None,
    tls_key: str | os.PathLike[str] | None = None,
    tls_crl: str | os.PathLike[str] | None = None,
    tls_hostname: str | None = None,
    **sink_words: Any,
) -> Bridge:
    """Send what this process logs, through loguru and stdlib logging, to a receiver.

    What the application does to its logging before or after this call changes nothing: each record
    is sent once, until the bridge is uninstalled. The application's own handlers and sinks get what
    they got without the bridge.

    Parameters
    ----------
    address
        ``"log:///path/of/app.log"``, ``"tcp://host:port"``, ``"tls://host:port"``,
        ``"unix:///path"`` or ``(host, port)``; ``None``: the environment variable
        ``LOGURU_STDBRIDGE_ADDRESS``, else ``tcp://127.0.0.1:9020``.
    level
        The least level that is sent, a number or a name in any case; other handlers and sinks are
        not touched by it. ``None``: everything that the receiver's sinks take of what loguru lets
        through, and INFO and above of logging. Where nobody has set the level of logging's root
        logger (it is WARNING then), the bridge opens it for itself alone. A level that is set
        stands: a logger that drops DEBUG records drops them here, too.
    loguru, stdlib
        Which of the two to attach to.
    backtrace, diagnose
        As in ``logger.add``: whether the traceback of a record of loguru's shows the frames beyond
        the one that caught the exception, and the values of variables. ``None``: loguru's defaults,
        which the environment variables ``LOGURU_BACKTRACE`` and ``LOGURU_DIAGNOSE`` set. Say
        ``diagnose=False`` in production, where variables may hold secrets.
    excepthook, thread_excepthook, process_excepthook, unraisablehook
        Whether to send the exceptions that nobody catches: of the main program, of its threads, of
        its ``multiprocessing`` children, and those that Python ignores (in a ``__del__``, say).
        They are printed as before.
    capture_warnings
        Whether to send Python's warnings, as ``logging.captureWarnings`` would log them. They are
        printed as before.
    children
        Whether processes that this one starts have the bridge, too, without a line of theirs:
        those of :mod:`multiprocessing` (``spawn``, ``forkserver``) and of what is built on it
        (executors, Dask's nannies), of joblib's loky, and of :mod:`subprocess` where they run this
        same Python. They install it when they log for the first time. Out of reach are a child that
        is started through a shell, by ``os.exec``, ``os.spawn`` or ``os.posix_spawn``, with another
        Python, or with its options ``-I``, ``-E`` or ``-S``: call ``install_bridge()`` there, or
        give ``initializer=install_bridge`` to a pool. A forked child has the bridge in any case.
    spool_dir
        Directory of the journals, made with mode 0700. ``None``: the environment variable
        ``LOGURU_STDBRIDGE_SPOOL_DIR``, else ``loguru_stdbridge`` in the first of these that this
        user may write: ``$XDG_STATE_HOME``, ``~/.local/state``, ``$STATE_DIRECTORY``, or a
        directory of this user's in ``/var/tmp``, ``$TMPDIR``, ``/tmp`` or beside the log.
        ``False``: keep records in memory, which does not survive the process.
    spool_limit
        Bytes that the journal may grow to while the receiver is away. ``None``: 256 MiB.
    spool_total
        Bytes that all journals of the spool directory may take together. Beyond it the records of
        the oldest dead process are given up; the log says how many. ``None``: 1 GiB.
    when_full
        What to give up when the limit is reached: ``"drop_oldest"``, ``"drop_newest"``, or
        ``"block"``: wait up to ``block_timeout`` seconds, then drop the newest. All are counted.
    peer
        ``"bridge"``: a receiver of this package; one that does not greet is waited for.
        ``"stock"``: any receiver of ``SocketHandler``'s format; nothing tells what it has written.
    receiver_user
        The user whose receiver on this machine gets the records, by name or number, besides this
        process's own user and root. ``None``: no other.
    tls_ca, tls_cert, tls_key, tls_crl, tls_hostname
        For a ``tls://`` address, paths of files in PEM: the CA of the receiver's certificate
        (``None``: those of the system), this program's own certificate and its key (``None``: in
        the same file), where the receiver asks for one, and the CA's revocation list. They are read
        again when they have changed. ``tls_hostname`` is the name that the receiver's certificate
        must have (``None``: the host of the address). ``LOGURU_STDBRIDGE_TLS_CA`` and the like say
        the same for the files.
    sink
        The path of the log file, in place of an address. Where no receiver writes it yet, one is
        started as a process of its own. It ends by itself ``linger=`` seconds (10) after the last
        worker has gone.
    handlers
        In place of ``sink``: several files, in the words of ``logger.configure``, as in
        ``[{"sink": "app.log", "rotation": "1 GB"}, {"sink": "errors.log", "level": "ERROR"}]``. One
        receiver writes each record to each of them, once. The first file gives the log its name.
    server
        ``False``: no receiver is started. Each process writes the file of ``sink`` itself, under a
        lock, as ``SharedFileSink`` does; a line is in the file when the log call returns. What says
        how records are kept until then has no meaning.
    sink_words
        Loguru's own words for the file of ``sink``: ``rotation``, ``retention``, ``compression``,
        ``format``, ``filter`` (no function), ``colorize``, ``serialize``, ``encoding``, ``errors``,
        ``newline``; in a handler ``level``, too. A receiver that is running already keeps its own.

    Returns
    -------
    Bridge
        Called again in the same process with the same arguments, the bridge that is there; what
        somebody has detached meanwhile is attached again. Called with others, a new one; the one
        that is there is uninstalled first. Safe before and after a fork: a child that inherits the
        bridge uses it with a journal and a connection of its own.

    Raises
    ------
    AddressError, ConfigurationError
        An argument cannot be used; the message shows its value and the way out.
    LedgerHeldError, OSError
        With ``server=False``, a receiver writes the file, or it cannot be opened.
    JournalError
        A ``spool_dir`` that was named cannot be used. Nothing is raised because a receiver is
        absent.
    """
    flags = {
        "loguru": loguru,
        "stdlib": stdlib,
        "excepthook": excepthook,
        "thread_excepthook": thread_excepthook,
        "process_excepthook": process_excepthook,
        "unraisablehook": unraisablehook,
        "capture_warnings": capture_warnings,
        "children": children,
    }
    shown = {"backtrace": backtrace, "diagnose": diagnose}
    check_flags(**flags, **{name: value for name, value in shown.items() if value is not None})
    number = None if level is None else level_number(level)
    if sink is not None and number is not None and number < file_level():
        sink_words = {**sink_words, "level": number}  # else the file leaves out what is sent
    options = BridgeOptions(
        check_options(
            address,
            spool_dir=spool_dir,
            spool_limit=spool_limit,
            spool_total=spool_total,
            when_full=when_full,
            block_timeout=block_timeout,
            peer=peer,
            receiver_user=receiver_user,
            tls_ca=tls_ca,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_crl=tls_crl,
            tls_hostname=tls_hostname,
            sink=sink,
            handlers=handlers,
            server=server,
            **sink_words,
        ),
        level=number,
        backtrace=backtrace,
        diagnose=diagnose,
        **flags,
    )
    stop_waiting()
    with _installation.lock:
        bridge = _installation.bridge
        if bridge is not None and bridge._options != options:
            bridge.close()
            bridge = None
        if bridge is None:
            bridge = Bridge(options)
        bridge._attach()
        bridge._hand_down()
        _installation.bridge = bridge
        return bridge


def uninstall_bridge(timeout: float = EXIT_TIMEOUT) -> bool:
    """Detach the bridge of this process, if there is one; see :meth:`Bridge.close`.

    Both libraries are as they were before :func:`install_bridge`. ``timeout`` is in seconds, 2 by
    default. Returns whether everything that was logged is delivered; ``True`` where there was no
    bridge.
    """
    bridge = _installation.bridge
    return bridge.close(timeout) if bridge is not None else True
