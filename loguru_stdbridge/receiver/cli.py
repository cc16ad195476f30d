"""Run a receiver from the command line: read the options, open the receiver, hand it to the runner.

The values of rotation, retention, compression, format and level are loguru's words and go to loguru
unchanged.

Exit codes: 0 clean; 1 runtime failure; 2 usage; 78 bad configuration; with ``-- COMMAND``, the
command's own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Callable

from ..addresses import Address, AddressLike, default_listen, is_engine_address, parse_address
from ..exceptions import AddressError, ConfigurationError, LedgerHeldError, StdbridgeError
from ..sink.internals import private_logger
from ..sink.permissions import read_permissions
from ..sink_words import RECEIVER_HELD
from ..system.detaching import detach
from ..system.runtime import messages_path
from ..system.supervisor import PassedSocket, Supervisor, passed_sockets
from ..system.tls_files import read_tls_files
from .checking import check_sinks
from .exposure import check_exposure
from .following import ConfigurationFollower
from .in_force import show_options
from .limits import read_limits
from .options import PREFIX, read_options
from .reporting import report_to_file, to_stderr
from .runner import EXIT_FAILURE, Runner
from .service import RENDER, Service
from .setup_hook import handlers_of
from .sink_option import shown_sink
from .tee import TEE_PEERS, check_tees

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
_CALLED = "python -m loguru_stdbridge.receiver"


def main(argv: Sequence[str] | None = None, program: str = _CALLED) -> int:
    """Run the receiver; return the exit code. ``program`` is how it was called."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        options = read_options(arguments, program)
        if options.print_config:
            print("\n".join(show_options(options, _listed(options))))
            return 0
    except ConfigurationError as error:
        to_stderr(f"bad configuration: {error}")
        return EXIT_CONFIGURATION
    if options.detached:
        return _run_detached(options)
    supervisor = Supervisor.of(os.environ)
    follower = ConfigurationFollower(options, lambda: read_options(arguments, program), to_stderr)
    runner = _make_runner(options, to_stderr, supervisor, follower.follow)
    with runner.signals():
        try:
            if options.check:
                _check(options)
                return 0
            runner.forget_old_ready_file()
            service = _open(options, runner, supervisor=supervisor)
        except (AddressError, ConfigurationError, ValueError, TypeError) as error:
            to_stderr(f"bad configuration: {error}")
            return EXIT_CONFIGURATION
        except LedgerHeldError as error:
            to_stderr(f"{error}; end that one, name another file, or wait for it with --standby")
            return EXIT_FAILURE
        except OSError as error:
            to_stderr(str(error) if error.filename or not error.strerror else error.strerror)
            return EXIT_FAILURE
        except StdbridgeError as error:
            to_stderr(str(error))
            return EXIT_FAILURE
        if service is None:  # a signal has ended the standby
            return 0
        return runner.run(service)


def _check(options: argparse.Namespace) -> None:
    """Say that options and sink will do, or raise what is wrong."""
    check_exposure(
        _addresses(options),
        read_tls_files(vars(options), from_environment=False),
        insecure=bool(options.insecure),
    )
    check_tees(
        [parse_address(text) for text in options.tee or ()],
        options.tee_peer or TEE_PEERS[0],
        options.sink,
        _addresses(options),
    )
    read_permissions(options.mode, options.owner)
    read_limits(options.max_connections, options.max_peer_connections, options.max_rate)
    check_sinks(
        handlers_of(options, to_stderr),
        spool_dir=options.spool_dir,
        spool_group=options.spool_group,
        socket_mode=options.socket_mode,
        socket_group=options.socket_group,
        fsync=bool(options.fsync),
        render=options.render or RENDER[0],
        status=options.status,
        status_token_file=options.status_token_file,
        status_hosts=options.status_hosts or (),
        status_files=bool(options.status_files),
        streams=_streams(options),
        nats_create=options.nats_create,
    )
    to_stderr("the options and the sink are fine")


def _run_detached(options: argparse.Namespace) -> int:
    """Run as nobody's process; whoever has started this one learns whether it could begin."""
    tell_status = detach()
    report = report_to_file(private_logger(), messages_path(options.sink))
    runner = _make_runner(options, report)
    with runner.signals():
        try:
            service = _open(options, runner, report)
        except (StdbridgeError, ValueError, TypeError, OSError) as error:
            status = EXIT_CONFIGURATION
            if type(error) is LedgerHeldError:  # another one was quicker: the worker finds that one
                status = RECEIVER_HELD
            else:
                report(f"cannot begin: {error}")
            tell_status(status, str(error))
            return status
        tell_status(0, "")
        assert service is not None
        return runner.run(service)


def _make_runner(
    options: argparse.Namespace,
    report: Callable[[str], None],
    supervisor: Supervisor | None = None,
    read_again: Callable[[Service], None] = lambda service: None,
) -> Runner:
    own = (name for name in vars(options) if name not in ("command", "spool_dir"))
    return Runner(
        options.command,
        grace=options.grace,
        report=report,
        ready_file=options.ready_file,
        injects=bool(options.inject),
        supervisor=supervisor,
        read_again=read_again,
        own_variables=(PREFIX + name.upper() for name in own),
    )


def _listed(options: argparse.Namespace) -> list[str]:
    """Return where it would listen, streams of an engine included, as it may be shown."""
    return [*map(str, _addresses(options)), *map(shown_sink, _streams(options))]


def _streams(options: argparse.Namespace) -> list[str]:
    """Return the addresses of the streams that it reads."""
    return [text for text in options.listen or () if is_engine_address(text)]


def _addresses(options: argparse.Namespace, passed: Sequence[PassedSocket] = ()) -> list[Address]:
    """Return where to listen, beside the log's own socket and what was ``passed``."""
    texts = options.listen or ()
    addresses = [parse_address(text) for text in texts if not is_engine_address(text)]
    if addresses or _streams(options):
        return addresses
    return default_listen(needed=not options.command and not passed)


def _open(
    options: argparse.Namespace,
    runner: Runner,
    report: Callable[[str], None] = to_stderr,
    supervisor: Supervisor | None = None,
) -> Service | None:
    told = False

    def wait() -> bool:
        nonlocal told
        if not told:
            told = True
            if supervisor is not None:
                supervisor.status("standing by")
            sink = shown_sink(options.sink)
            to_stderr(f"standing by: {sink} is written by another process")
        return not runner.is_stopping

    passed = [] if options.detached else passed_sockets(os.environ)
    addresses: list[AddressLike] = []
    if not options.detached:
        addresses = [*_addresses(options, passed), *_streams(options)]
    try:
        return Service(
            handlers_of(options, report),
            addresses,
            nats_create=options.nats_create,
            order=options.order,
            passed=passed,
            supervisor=supervisor,
            spool_dir=options.spool_dir,
            spool_group=options.spool_group,
            socket_mode=options.socket_mode,
            socket_group=options.socket_group,
            status=options.status,
            status_token_file=options.status_token_file,
            status_hosts=options.status_hosts or (),
            tls=read_tls_files(vars(options), from_environment=False),
            insecure=bool(options.insecure),
            status_files=bool(options.status_files),
            console=bool(options.console),
            tee=options.tee or (),
            tee_peer=options.tee_peer or TEE_PEERS[0],
            file_mode=options.mode,
            file_owner=options.owner,
            max_connections=options.max_connections,
            max_peer_connections=options.max_peer_connections,
            max_rate=options.max_rate,
            fsync=bool(options.fsync),
            render=options.render or RENDER[0],
            instance="\0".join(options.command),
            linger=options.linger,
            report=report,
            wait=wait if options.standby else None,
        )
    except StdbridgeError:
        if options.standby and runner.is_stopping:
            return None
        raise
