"""Check the options and the sink without making, opening or locking anything that stays.

``--check`` is run beside a receiver that works, and before one that shall. What loguru has to read
(rotation, retention, compression) is tried out in a temporary directory. The sink's own place is
only looked at.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..addresses import AddressLike, is_engine_address
from ..exceptions import ConfigurationError, JournalError
from ..sink.internals import read_sink_path
from ..sink.ledger import Ledger
from ..sink.only_writer import find_writer
from ..sink.replay import RENDER_OPTIONS, Replay
from ..sink.rotating import RotatingSink
from ..sink.streams import StreamSink, find_stream, open_stream_ledger
from ..sink_words import is_call
from ..spool.directory import default_spool_dir, make_spool_dir
from ..status.options import read_status_options
from .outlets import refuse_handlers
from .service import RENDER
from .sharing import group_id, read_socket_access


def check_sinks(
    handlers: Sequence[Mapping[str, Any]],
    *,
    spool_dir: str | Path | None = None,
    spool_group: str | int | None = None,
    socket_mode: str | int | None = None,
    socket_group: str | int | None = None,
    fsync: bool = False,
    render: str = "worker",
    status: AddressLike | list[AddressLike] | None = None,
    status_token_file: str | os.PathLike[str] | None = None,
    status_hosts: Sequence[str] = (),
    status_files: bool = False,
    streams: Sequence[str] = (),
    nats_create: str | None = None,
) -> None:
    """Return if a receiver with these options could write its sinks; else raise what it would.

    A format that no record fits is refused here. A receiver that runs would write each record in
    another format, for no record is given up.
    """
    if render not in RENDER:
        raise ConfigurationError(f"render={render!r}: one of {', '.join(map(repr, RENDER))}")
    group_id("spool_group", spool_group)
    read_socket_access(socket_mode, group_id("socket_group", socket_group))
    read_status_options(status, status_token_file, status_hosts, status_files)
    refuse_handlers(handlers)
    for stream in streams:
        check_engine(stream, nats_create)
    for handler in handlers:
        options = {name: value for name, value in handler.items() if name != "sink"}
        if is_engine_address(handler["sink"]):
            for name, value in options.items():
                if name != "format":
                    raise ConfigurationError(f"{name}={value!r}: leave it out, a stream is no file")
            check_engine(handler["sink"], nats_create)
            continue
        _check_sink(handler["sink"], fsync and len(handlers) == 1, options)
    if spool_group is not None:
        return  # its mode may still be another
    directory = os.fspath(default_spool_dir() if spool_dir is None else spool_dir)
    if os.path.lexists(directory):  # it makes none then
        try:
            make_spool_dir(directory)
        except JournalError as error:
            raise ConfigurationError(f"{error}") from error


def check_engine(text: str, settings: str | None) -> None:
    """Raise what is wrong with a stream's address, or that its client is not installed."""
    import_module("..engine.link", __package__)  # nobody else loads it
    from ..engine.address import parse_engine_address, read_stream_settings

    parse_engine_address(text)
    if settings is not None:
        read_stream_settings(settings)


def _check_sink(path: str | Path, fsync: bool, options: dict[str, Any]) -> None:
    look = {name: options.pop(name) for name in RENDER_OPTIONS if name in options}
    misfit = Replay(**look).find_misfit()
    if misfit is not None:
        raise ConfigurationError(f"format={look.get('format')!r} fits no record: {misfit}")
    if is_call(path):
        for name, value in options.items():
            raise ConfigurationError(f"{name}={value!r}: leave it out, {path!r} is no file")
        return
    stream = find_stream(path)
    with TemporaryDirectory(prefix="loguru_stdbridge-") as place, contextlib.ExitStack() as opened:
        if stream is not None:
            ledger = open_stream_ledger(place, stream)
            opened.callback(ledger.close)
            opened.callback(StreamSink(stream, ledger, fsync=fsync, **options).close)
        else:
            _look_at(path)
            copy = os.path.join(place, os.path.basename(os.fspath(path)))
            ledger = Ledger.open(copy, report=_ignore)
            opened.callback(ledger.close)
            sink = RotatingSink(copy, ledger, fsync=fsync, report=_ignore, **options)
            opened.callback(sink.close)


def _ignore(text: str) -> None:
    """Tell nobody: it is about a copy."""


def _look_at(path: str | Path) -> None:
    """Raise what keeps a receiver from writing the file at ``path``."""
    find_writer(path)
    sink = read_sink_path(path)
    if sink.file is not None and os.path.lexists(sink.file):
        if not stat.S_ISREG(os.stat(sink.file).st_mode):
            raise OSError(errno.EISDIR, "it is no file", sink.file)
        _need(sink.file, os.W_OK)
    existing = str(sink.directory)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), existing)
    _need(existing, os.W_OK | os.X_OK)


def _need(path: str, mode: int) -> None:
    effective = os.access in os.supports_effective_ids
    if not os.access(path, mode, effective_ids=effective):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), path)
