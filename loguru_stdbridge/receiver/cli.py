"""Run a receiver from the command line: read the options, open the receiver, hand it to the runner.

Every option has an environment variable ``LOGURU_STDBRIDGE_<OPTION>``; the command line wins. The
values of rotation, retention, compression, format and level are loguru's words and go to loguru
unchanged.

Exit codes: 0 clean; 1 runtime failure; 2 usage; 78 bad configuration; with ``-- COMMAND``, the
command's own.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Callable

from .._version import __version__
from ..addresses import default_listen, parse_address
from ..exceptions import AddressError, ConfigurationError, LedgerHeldError, StdbridgeError
from ..sink.internals import private_logger
from ..sink_words import SINK_WORDS, parse_sink_words
from ..system.runtime import messages_path
from .detached import detach, report_to_file
from .reporting import to_stderr
from .runner import EXIT_FAILURE, Runner
from .service import GRACE, RENDER, Service

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
_PREFIX = "LOGURU_STDBRIDGE_"
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
    add(
        "sink",
        nargs="?",
        metavar="SINK",
        help="path of the log file; may hold loguru's {time}; - is standard output",
    )
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
    runner = _make_runner(options, to_stderr)
    with runner.signals():
        if not options.check:
            runner.forget_old_ready_file()
        try:
            service = _open(options, runner)
        except (AddressError, ConfigurationError, ValueError, TypeError) as error:
            to_stderr(f"bad configuration: {error}")
            return EXIT_CONFIGURATION
        except (StdbridgeError, OSError) as error:
            to_stderr(str(error))
            return EXIT_FAILURE
        if service is None:  # a signal has ended the standby
            return 0
        if options.check:
            service.close()
            to_stderr("the options and the sink are fine")
            return 0
        return runner.run(service)


def _run_detached(options: argparse.Namespace) -> int:
    """Run as nobody's process; whoever has started this one learns whether it could begin."""
    tell_status = detach()
    report = report_to_file(private_logger(), messages_path(options.sink))
    runner = _make_runner(options, report)
    with runner.signals():
        try:
            service = _open(options, runner, report)
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


def _make_runner(options: argparse.Namespace, report: Callable[[str], None]) -> Runner:
    own = (name for name in vars(options) if name not in ("command", "spool_dir"))
    return Runner(
        options.command,
        grace=options.grace,
        report=report,
        ready_file=options.ready_file,
        own_variables=(_PREFIX + name.upper() for name in own),
    )


def _open(
    options: argparse.Namespace,
    runner: Runner,
    report: Callable[[str], None] = to_stderr,
) -> Service | None:
    addresses = [parse_address(text) for text in options.listen or ()]
    if not addresses:
        addresses = default_listen(needed=not options.command)
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
        return not runner.is_stopping

    try:
        return Service(
            options.sink,
            addresses,
            spool_dir=options.spool_dir,
            fsync=bool(options.fsync),
            render=options.render or RENDER[0],
            own_socket=not options.check,
            instance="\0".join(options.command),
            linger=options.linger,
            report=report,
            wait=wait if options.standby and not options.check else None,
            **_sink_options(options),
        )
    except StdbridgeError:
        if options.standby and runner.is_stopping:
            return None
        raise
