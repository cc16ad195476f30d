"""Read the receiver's options: the command line, then the environment, then ``--config``.

Every option has an environment variable ``LOGURU_STDBRIDGE_<OPTION>``. The command line wins over
it, and both win over the file. Owns which of them an option comes from, and
what is said of wrong usage: one line with the way out, and exit code 2. The values of loguru's
words are not looked at here.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shlex
from collections.abc import Sequence
from typing import NoReturn

from .._version import __version__
from ..exceptions import ConfigurationError
from ..sink_words import FLAG_WORDS, SINK_WORDS
from .config_file import check_kind, read_config
from .help_text import HELP
from .service import GRACE
from .sink_option import add_sink_options, sinks_of

PREFIX = "LOGURU_STDBRIDGE_"

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
_SWITCHES = (*FLAG_WORDS, "fsync", "standby", "inject", "insecure", "status_files", "console")
_SECONDS = ("grace", "linger", "order")
_WHOLE_NUMBERS = ("max_connections", "max_peer_connections", "max_rate")
_LISTS = ("listen", "status", "status_hosts", "tee")
_NOT_FROM_ENVIRONMENT = (
    "check", "command", "detached", "further_sinks", "help", "print_config", "version",
)  # fmt: skip
_NOT_GIVEN = ("handlers", "sources")
_WITH_A_UNIT = ("--rotation", "--retention")
_COMMAND_ARGUMENT = "argument (--[a-z-]+): expected one argument"  # argparse's own words


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, and shows our own help."""

    def error(self, message: str) -> NoReturn:
        missing = re.fullmatch(_COMMAND_ARGUMENT, message)
        if missing:
            message = f"{missing[1]} needs a value; --help shows which"
        self.exit(2, f"{self.prog}: {message}\n")

    def format_help(self) -> str:
        return HELP.format(prog=self.prog)


def make_parser(prog: str) -> argparse.ArgumentParser:
    """Return the parser of the receiver's own arguments; ``prog`` is how it was called."""
    parser = _Parser(prog=prog, allow_abbrev=False)
    add = parser.add_argument
    add("sink", nargs="?")
    add("--listen", action="append")
    add_sink_options(parser)
    for name in (
        "spool-dir", "spool-group", "socket-mode", "socket-group", "tls-cert", "tls-key", "tls-ca",
        "tls-crl", "mode", "owner", "max-connections", "max-peer-connections", "max-rate",
        "setup", "render", "grace", "linger", "ready-file", "nats-create", "order",
    ):  # fmt: skip
        add(f"--{name}")
    for name in _SWITCHES:
        if name not in SINK_WORDS:
            add(f"--{name.replace('_', '-')}", action="store_true", default=None)
    add("--status", action="append")
    add("--status-host", action="append", dest="status_hosts")
    add("--status-token-file")
    add("--tee", action="append")
    add("--tee-peer")
    add("--config")
    add("--detached", action="store_true")
    add("--check", action="store_true")
    add("--print-config", action="store_true")
    add("--version", action="version", version=f"loguru_stdbridge {__version__}")
    return parser


def read_options(argv: Sequence[str], prog: str) -> argparse.Namespace:
    """Read the command line, then the environment, then the file that one of them names.

    ``sources`` of what is returned says where each option comes from that was given. ``handlers``
    has the sinks that the file names, unless SINK is given. Exits with code 2 on a usage error.
    Raises :class:`ConfigurationError` for a file that cannot be used.
    """
    parser = make_parser(prog)
    own, command = _split_command(list(argv))
    options, unknown = parser.parse_known_args(own)
    if unknown:
        parser.error(_explain(unknown, own, parser))
    given = {name: value for name, value in vars(options).items() if value not in (None, [], False)}
    sources = dict.fromkeys(given, "command line")
    options.command, options.sources, options.handlers = command, sources, None
    for name in list(vars(options)):
        variable = PREFIX + name.upper()
        text = os.environ.get(variable)
        if name in sources or text is None or name in (*_NOT_FROM_ENVIRONMENT, *_NOT_GIVEN):
            continue
        sources[name] = f"${variable}"
        if name in _SWITCHES:
            if text.lower() not in _TRUE + _FALSE:
                parser.error(f"{variable}={text!r}: use 1 or 0")
            setattr(options, name, text.lower() in _TRUE)
        elif name in _SECONDS:
            setattr(options, name, _seconds(parser, f"{variable}={text!r}", text))
        else:
            setattr(options, name, text.split() if name in _LISTS else text)
    for name in _SECONDS:
        value = getattr(options, name)
        if isinstance(value, str):
            setattr(options, name, _seconds(parser, f"--{name} {value}", value))
    for name in _WHOLE_NUMBERS:
        value = getattr(options, name)
        if isinstance(value, str) and not value.isdigit():
            parser.error(f"--{name.replace('_', '-')} {value}: a whole number from 1 on")
        setattr(options, name, value if value is None else int(value))
    if options.config:
        _add_config(options)
    if options.grace is None:
        options.grace = GRACE
    if not options.sink:
        parser.error(
            f"name the log file: {prog} SINK, or {PREFIX}SINK, or sink in the file of --config; "
            "--help shows the rest"
        )
    if options.detached and (command or not all(map(os.path.isabs, sinks_of(options)))):
        parser.error("--detached needs the absolute path of each sink, and no command")
    if options.inject and not command and not options.check:
        parser.error("--inject needs a command, as in --inject -- gunicorn -w 4 shop:app")
    if "--" in argv and not command:
        parser.error("-- must be followed by a command, as in -- gunicorn -w 4 shop:app")
    return options


def _add_config(options: argparse.Namespace) -> None:
    """Take what stands in the file, and nowhere else."""
    path, sources = options.config, options.sources
    names = {name for name in vars(options) if name not in (*_NOT_FROM_ENVIRONMENT, *_NOT_GIVEN)}
    for name, given in read_config(path, names - {"config"}).items():
        if name in sources or (name == "handlers" and "sink" in sources):
            continue
        try:
            value = check_kind(name, given, switches=_SWITCHES, lists=_LISTS)
            if name in _SECONDS and (type(value) not in (int, float) or not 0 <= value < 1e6):
                raise ValueError(f"{name} = {value!r}: a number of seconds, from 0 up")
        except ValueError as error:
            raise ConfigurationError(f"{path}: {error}") from error
        setattr(options, name, value)
        sources[name] = path
    if options.handlers is not None:
        options.sink = options.handlers[0]["sink"]
        for name in (*SINK_WORDS, "further_sinks"):
            if name in sources:
                raise ConfigurationError(
                    f"{path} has handlers, and {name} is given besides ({sources[name]}): say it "
                    "in the handler of the sink that is meant"
                )


def _split_command(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return the receiver's own arguments, and the command behind ``--``."""
    if "--" not in argv:
        return argv, []
    index = argv.index("--")
    return argv[:index], argv[index + 1 :]


def _seconds(parser: argparse.ArgumentParser, given: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e6:
        parser.error(f"{given}: a number of seconds, from 0 up")
    return seconds


def _explain(unknown: list[str], own: list[str], parser: argparse.ArgumentParser) -> str:
    """Say what to do about arguments that are none of ours."""
    first = unknown[0]
    if not first.startswith("-"):
        at = _index_of_command(first, own)
        before = own[max(at - 2, 0) : at]
        if before and before[0] in _WITH_A_UNIT and before[-1].replace(".", "", 1).isdigit():
            return f'put quotes around a value with a space: {before[0]} "{before[1]} {first}"'
        rest = shlex.join(own[at:])
        return f"put -- before the command: {parser.prog} {shlex.join(own[:at])} -- {rest}"
    name = first.partition("=")[0]
    known = [text for action in parser._actions for text in action.option_strings]
    close = difflib.get_close_matches(name, known, 1, 0.76)
    meant = f"; did you mean {close[0]}?" if close else "; --help shows those there are"
    if not name.startswith("--"):
        meant += ", and a command goes behind --"
    return f"there is no option {name}{meant}"


def _index_of_command(word: str, own: list[str]) -> int:
    """Return where the command begins: at ``word``, but not where that is an option's value."""
    for index, text in enumerate(own):
        if text == word and index and not own[index - 1].startswith("--"):
            return index
    return own.index(word)
