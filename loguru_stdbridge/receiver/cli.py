"""Run a receiver from the command line: read options, heed signals, run a command beside it.

Every option has an environment variable ``LOGURU_STDBRIDGE_<OPTION>``; the command line wins. The
values of rotation, retention, compression, format and level are loguru's words and go to loguru
unchanged.

Exit codes: 0 clean; 1 runtime failure; 2 usage; 78 bad configuration; with ``-- COMMAND``, the
command's own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

from .._version import __version__
from ..addresses import ADDRESS_VARIABLE, Address, default_address, parse_address
from ..exceptions import AddressError, ConfigurationError, LedgerHeldError, StdbridgeError
from ..sink.internals import private_logger
from ..sink_words import SINK_WORDS, parse_sink_words
from ..spool.directory import SPOOL_VARIABLE
from ..system.runtime import messages_path
from .detached import detach, report_to_file
from .reporting import to_stderr
from .service import GRACE, RENDER, Service

EXIT_FAILURE = 1
EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
_PREFIX = "LOGURU_STDBRIDGE_"
_FORWARDED = ("SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGWINCH")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m loguru_stdbridge.receiver",
        description="Receive log records from other processes and write them to one rotated file.",
        epilog="With -- COMMAND ... it runs the command with the receiver's address in its "
        "environment, and ends with it. Every option can be given as an environment variable, "
        "LOGURU_STDBRIDGE_ROTATION and so on.",
    )
    add = parser.add_argument
    add("sink", nargs="?", metavar="SINK", help="path of the log file; may hold loguru's {time}")
    add(
        "--listen",
        action="append",
        metavar="ADDRESS",
        help="tcp://host:port or unix:///path; may be repeated; port 0 takes any free port "
        "(default: $LOGURU_STDBRIDGE_ADDRESS, else tcp://127.0.0.1:9020; with a command, "
        "a free port)",
    )
    add("--rotation", help='when to begin a new file: "100 MB", "00:00", "1 week", ...')
    add("--retention", help='which old files to keep: "10 days", or a number of files')
    add("--compression", help="how to compress old files: gz, bz2, xz, zip, tar.gz, ...")
    add("--format", help="loguru's format of a line")
    add("--level", help="the least level written, a name or a number")
    add("--serialize", action="store_true", default=None, help="write JSON documents")
    add("--encoding", help="encoding of the file (default: utf8)")
    add("--spool-dir", metavar="DIR", help="where workers keep their journals")
    add("--fsync", action="store_true", default=None, help="acknowledge only what is on the disk")
    add("--render", choices=RENDER,
        help="where plain lines are rendered: worker (default, faster) or receiver")  # fmt: skip
    add("--standby", action="store_true", default=None,
        help="wait while another receiver writes this sink, then take over")  # fmt: skip
    add("--grace", type=float, metavar="SECONDS", help=f"time to drain at the end ({GRACE:g})")
    add("--ready-file", metavar="PATH", help="written with the bound addresses, one a line")
    add("--linger", type=float, metavar="SECONDS",
        help="end by itself after so long without a client (default: never)")  # fmt: skip
    add("--detached", action="store_true",
        help="leave the session; messages go to .NAME.receiver beside the sink")  # fmt: skip
    add("--check", action="store_true", help="check the options and the sink, then exit")
    add("--version", action="version", version=f"loguru_stdbridge {__version__}")
    return parser


def _options(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line, then the environment. Exits with code 2 on a usage error."""
    parser = _parser()
    own, command = _split_command(list(argv))
    options = parser.parse_args(own)
    options.command = command
    for name, value in list(vars(options).items()):
        text = os.environ.get(_PREFIX + name.upper())
        if value is not None or text is None or name in ("check", "command", "detached"):
            continue
        if name in ("serialize", "fsync", "standby"):
            if text.lower() not in _TRUE + _FALSE:
                parser.error(f"{_PREFIX}{name.upper()}={text!r}: use 1 or 0")
            setattr(options, name, text.lower() in _TRUE)
        elif name == "listen":
            options.listen = text.split()
        elif name in ("grace", "linger"):
            try:
                setattr(options, name, float(text))
            except ValueError:
                parser.error(f"{_PREFIX}{name.upper()}={text!r}: a number of seconds")
        else:
            setattr(options, name, text)
    if not options.sink:
        parser.error("name the log file: SINK, or LOGURU_STDBRIDGE_SINK")
    if options.grace is None:
        options.grace = GRACE
    if not 0 <= options.grace < 1e6:
        parser.error(f"--grace {options.grace}: seconds, from 0 up")
    if options.linger is not None and not 0 <= options.linger < 1e6:
        parser.error(f"--linger {options.linger}: seconds, from 0 up")
    if options.detached and (command or not os.path.isabs(options.sink)):
        parser.error("--detached needs the absolute path of a sink, and no command")
    if "--" in argv and not command:
        parser.error("-- must be followed by a command")
    return options


def _split_command(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return the receiver's own arguments, and the command behind ``--``."""
    if "--" not in argv:
        return argv, []
    index = argv.index("--")
    return argv[:index], argv[index + 1 :]


def _sink_options(options: argparse.Namespace) -> dict[str, Any]:
    return parse_sink_words({name: getattr(options, name) for name in SINK_WORDS})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the receiver; return the exit code."""
    options = _options(sys.argv[1:] if argv is None else argv)
    if options.detached:
        return _run_detached(options)
    stopping = threading.Event()
    runner = _Runner(options, stopping)
    with _signals(runner, stopping):
        try:
            service = _open(options, stopping)
        except (AddressError, ConfigurationError, ValueError, TypeError) as error:
            to_stderr(f"bad configuration: {error}")
            return EXIT_CONFIGURATION
        except (StdbridgeError, OSError) as error:
            to_stderr(str(error))
            return EXIT_FAILURE
        if service is None:  # a signal has ended the standby
            return 0
        if options.check:
            service.stop(0)
            service.serve()
            to_stderr("the options and the sink are fine")
            return 0
        return runner.run(service)


def _run_detached(options: argparse.Namespace) -> int:
    """Run as nobody's process; whoever has started this one learns whether it could begin."""
    tell_status = detach()
    report = report_to_file(private_logger(), messages_path(options.sink))
    stopping = threading.Event()
    runner = _Runner(options, stopping, report)
    with _signals(runner, stopping):
        try:
            service = _open(options, stopping, report)
        except LedgerHeldError:  # another one was quicker: the worker finds that one
            tell_status(EXIT_FAILURE)
            return EXIT_FAILURE
        except (StdbridgeError, ValueError, TypeError, OSError) as error:
            report(f"cannot begin: {error}")
            tell_status(EXIT_CONFIGURATION)
            return EXIT_CONFIGURATION
        tell_status(0)
        assert service is not None
        return runner.run(service)


def _open(
    options: argparse.Namespace,
    stopping: threading.Event,
    report: Callable[[str], None] = to_stderr,
) -> Service | None:
    addresses: list[Address] = [parse_address(text) for text in options.listen or ()]
    if not addresses and (os.environ.get(ADDRESS_VARIABLE) or not options.command):
        addresses = [default_address()]
        if addresses[0].scheme == "log":  # what a receiver around this one has told its command
            addresses = []
    if options.detached:
        addresses = []
    if options.check:
        addresses = [parse_address("tcp://127.0.0.1:0")]  # the receiver's own may be in use

    told = False

    def wait() -> bool:
        nonlocal told
        if not told:
            told = True
            to_stderr(f"standing by: {options.sink} is written by another process")
        return not stopping.is_set()

    try:
        return Service(
            options.sink,
            addresses,
            spool_dir=options.spool_dir,
            fsync=bool(options.fsync),
            render=options.render or RENDER[0],
            own_socket=not options.check,
            linger=options.linger,
            report=report,
            wait=wait if options.standby and not options.check else None,
            **_sink_options(options),
        )
    except StdbridgeError:
        if options.standby and stopping.is_set():
            return None
        raise


class _Runner:
    """Runs a service in the foreground, and the command beside it."""

    def __init__(
        self,
        options: argparse.Namespace,
        stopping: threading.Event,
        report: Callable[[str], None] = to_stderr,
    ) -> None:
        self._options = options
        self._report = report
        self._stopping = stopping
        self._service: Service | None = None
        self._command: subprocess.Popen[bytes] | None = None
        self._status = 0

    def stop(self) -> None:
        """End the service within its grace."""
        if self._service is not None:
            self._service.stop(self._options.grace)

    @property
    def has_command(self) -> bool:
        return bool(self._options.command)

    @property
    def begins(self) -> bool:
        """Whether a command is still to be started. It ends the service when it ends."""
        return self.has_command and self._command is None

    def reopen(self) -> None:
        if self._service is not None:
            self._service.reopen()

    def forward(self, number: int) -> bool:
        """Hand a signal to the command; return whether one is running."""
        command = self._command
        if command is None or command.returncode is not None:
            return False
        with contextlib.suppress(OSError):
            command.send_signal(number)
        return True

    def run(self, service: Service) -> int:
        self._service = service
        addresses = [str(address) for address in service.addresses]
        failed = self._begin(addresses, service)
        if failed is not None:
            service.stop(0)
            service.serve()
            return failed
        if not self._options.command:
            self._report(f"writing {self._options.sink}, listening on {', '.join(addresses)}")
        try:
            service.serve()
        except Exception as error:
            self._report(f"ended by {type(error).__name__}: {error}")
            self.forward(signal.SIGTERM)  # no receiver would take its records
            return EXIT_FAILURE
        counts = ", ".join(f"{count} {name}" for name, count in service.counts.items())
        self._report(f"ended: {counts}")
        return self._status

    def _begin(self, addresses: list[str], service: Service) -> int | None:
        """Write the ready file and start the command; return the exit code if that fails."""
        if self._stopping.is_set():  # a signal came while the sink was opened
            return 0
        if self._options.ready_file:
            try:
                _write_ready_file(Path(self._options.ready_file), addresses)
            except OSError as error:
                self._report(f"cannot write the ready file: {error}")
                return EXIT_FAILURE
        return self._start_command(service) if self._options.command else None

    def _start_command(self, service: Service) -> int | None:
        address = service.log_address or service.addresses[0]
        environment = {**os.environ, ADDRESS_VARIABLE: str(address)}
        if service.spool_dir is not None:
            environment[SPOOL_VARIABLE] = str(service.spool_dir)
        try:
            self._command = subprocess.Popen(self._options.command, env=environment)
        except OSError as error:
            self._report(f"cannot run {self._options.command[0]}: {error.strerror}")
            return 127 if isinstance(error, FileNotFoundError) else 126
        threading.Thread(target=self._await_command, daemon=True).start()
        if self._stopping.is_set():  # a signal came while the command was started
            self.forward(signal.SIGTERM)
        return None

    def _await_command(self) -> None:
        assert self._command is not None
        status = self._command.wait()
        # A shell's way: a command that a signal has ended has no status of its own.
        self._status = 128 - status if status < 0 else status
        self.stop()


def _write_ready_file(path: Path, addresses: list[str]) -> None:
    """Make the ready file appear whole: who waits for it may read it at once."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text("".join(f"{address}\n" for address in addresses), encoding="utf-8")
    os.replace(partial, path)


@contextlib.contextmanager
def _signals(runner: _Runner, stopping: threading.Event) -> Iterator[None]:
    """Heed signals: SIGTERM and SIGINT end the command, or else the receiver; SIGHUP reopens.

    A command also gets the signals that servers are controlled by (more workers, new code, ...).
    """

    def on_stop(number: int, frame: object) -> None:
        stopping.set()
        if not runner.forward(number) and not runner.begins:
            runner.stop()

    def on_other(number: int, frame: object) -> None:
        runner.forward(number)

    def on_hangup(number: int, frame: object) -> None:
        runner.reopen()
        runner.forward(number)

    handlers: dict[int, Any] = {signal.SIGTERM: on_stop, signal.SIGINT: on_stop}
    if hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = on_hangup
    if runner.has_command:
        handlers.update(
            (getattr(signal, name), on_other) for name in _FORWARDED if hasattr(signal, name)
        )
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
