"""Opens what a receiver writes to: one sink or several, each with its ledger and its renderer.

Owns the order in which their locks are taken. What a program says of its sinks comes as a list of
handlers, in the words of ``logger.configure``: mappings of ``sink`` and Loguru's options for it.

Why the first sink's lock comes first
-------------------------------------
The first sink gives the log its identity and its address. Whoever holds its lock is the log's
receiver; a second receiver of the same log fails there, holds nothing, and knows that another one
serves. Only then the other sinks' locks are taken. At the end the first one is let go last. So if
another lock is taken by then, it is another log's receiver that has it, and that is told. Only the
end of a killed process may be under way, which takes an instant.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from ..addresses import is_engine_address
from ..exceptions import ConfigurationError, FurtherSinkHeldError, LedgerHeldError
from ..record.line_format import LineFormat
from ..record.sink_needs import UNKNOWN, SinkNeeds, join_needs
from ..sink.blocks import Sink
from ..sink.calls import CallSink, describe_call, stream_of_call
from ..sink.changing import prepare_change
from ..sink.internals import SinkPath, escape_path, read_sink_path
from ..sink.ledger import Ledger
from ..sink.permissions import FilePermissions
from ..sink.replay import RENDER_OPTIONS, Replay
from ..sink.rotating import RotatingSink
from ..sink.streams import Stream, StreamSink, find_stream, open_stream_ledger
from ..sink_words import check_handlers, is_call
from ..system.runtime import runtime_directories
from .owners import find_program
from .row_writer import RowReplay, RowWriter
from .several import OneWriter, SeveralWriters
from .writer import Writer

if TYPE_CHECKING:
    from .engine_writer import EngineLedger, EngineWriter  # loaded only where one is a sink

MAX_HANDLERS = 20
"""Sinks of one receiver. Each record is rendered and written for each of them."""

_LEAVING = 2.0
"""Seconds that the end of a killed receiver may take from its first lock to its last."""


_FILE_WORDS = ("rotation", "retention", "compression")
_CHANGEABLE = {*_FILE_WORDS, *RENDER_OPTIONS}
"""Options that a sink can follow while it is open."""


class Outlet(NamedTuple):
    """One sink, and what belongs to it."""

    path: str
    """The log file's path; of a stream, the path of its ledger without the suffix."""
    sink: Sink
    replay: Replay | RowReplay
    ledger: Ledger | EngineLedger
    named: str
    """What the user calls it."""
    options: Mapping[str, Any]
    """Its handler, without the sink."""
    engine: EngineWriter | None = None
    """The sink, where it is a stream of an engine, which is given records and no lines."""

    @property
    def line_format(self) -> LineFormat | None:
        """The format of its lines; ``None`` where it needs more than a finished line.

        Records go into a stream whole, unless the user has named the format that its reader has.
        """
        if self.engine is not None and "format" not in self.options:
            return None
        return None if self.sink.needs_records else self.replay.line_format

    @property
    def needs(self) -> SinkNeeds:
        """What it needs of a worker's record."""
        return UNKNOWN if self.engine is not None else self.replay.needs


class Outlets:
    """All that one receiver writes to. Used by the receiver's one thread."""

    def __init__(
        self, outlets: Sequence[Outlet], *, rendering: bool = True, tees: Sequence[Outlet] = ()
    ) -> None:
        """Without ``rendering`` no worker is told a line format; nor where there are ``tees``,
        which need whole records."""
        self._outlets = list(outlets)
        self._tees = list(tees)
        self._rendering = rendering = rendering and not tees
        self._writers: list[OneWriter] = []
        self.line_format = _common_format(outlets) if rendering else None
        """The format by which workers may render lines for all of the sinks."""
        self.needs = self._common_needs()
        """What all of the sinks need of a worker's record."""
        ledgers = [outlet.ledger for outlet in self._all()]
        self.last: Callable[[str], int] = ledgers[0].last if len(ledgers) == 1 else self._lowest
        """Returns the highest number of a sender that is settled in every sink."""

    @property
    def first(self) -> Outlet:
        """The one whose sink gives the log its name and its identity."""
        return self._outlets[0]

    def _all(self) -> list[Outlet]:
        return [*self._outlets, *self._tees]

    def _common_needs(self) -> SinkNeeds:
        return join_needs(outlet.needs for outlet in self._all())

    def _lowest(self, sender: str) -> int:
        return min(outlet.ledger.last(sender) for outlet in self._all())

    def make_writer(
        self, report: Callable[[str], None], on_unreadable: Callable[[str, str], None]
    ) -> OneWriter | SeveralWriters:
        """Make what takes records; ``on_unreadable`` is told of each row that cannot be read."""
        for outlet in self._all():
            if outlet.engine is not None:
                self._writers.append(outlet.engine)
                continue
            format_id, least = self._look_of(outlet)
            name = "the sink" if len(self._all()) == 1 else outlet.sink.path or outlet.path
            kind: Callable[..., Writer] = (
                RowWriter if isinstance(outlet.replay, RowReplay) else Writer
            )
            self._writers.append(
                kind(
                    outlet.replay, outlet.sink, report,
                    format_id=format_id, least_level=least, name=name,
                    on_unreadable=on_unreadable if outlet is self.first else _tell_nobody,
                )
            )  # fmt: skip
        if len(self._writers) == 1:
            return self._writers[0]
        return SeveralWriters(
            [(w, outlet.ledger.last) for w, outlet in zip(self._writers, self._all())]
        )

    def start(self, wake: Callable[[], None]) -> None:
        """Have the sinks that are streams of an engine begin; ``wake`` wakes the loop."""
        for outlet in self._outlets:
            if outlet.engine is not None:
                outlet.engine.start(wake)

    def _look_of(self, outlet: Outlet) -> tuple[str, int | None]:
        """Return the id of the format by which workers may render, and the least level taken."""
        own = outlet.replay.line_format
        if self.line_format is None or own is None:
            return "", None
        return self.line_format.id, own.level if own.level > self.line_format.level else None

    def change(self, handlers: Sequence[Mapping[str, Any]], report: Callable[[str], None]) -> None:
        """Have the sinks follow the options of ``handlers``, which name the same sinks in order.

        Raises :class:`ConfigurationError`, and what Loguru raises for a value that it cannot use;
        nothing has changed then. Raises :class:`SinkError` where a file cannot be opened anew.
        """
        refuse_handlers(handlers)
        names = [_name_of(handler["sink"]) for handler in handlers]
        if names != [outlet.named for outlet in self._outlets]:
            raise ConfigurationError(
                f"the sinks are {', '.join(outlet.named for outlet in self._outlets)}: others need "
                "another start"
            )
        changed: list[Outlet] = []
        steps: list[Callable[[], None]] = []
        for outlet, handler in zip(self._outlets, handlers):
            given = {name: value for name, value in handler.items() if name != "sink"}
            old = outlet.options
            words = {name for name in {*given, *old} if given.get(name) != old.get(name)}
            fixed = words - _CHANGEABLE
            if fixed:
                raise ConfigurationError(
                    f"{', '.join(sorted(fixed))} of {outlet.named}: needs another start"
                )
            replay = outlet.replay
            if words and outlet.engine is not None:
                raise ConfigurationError(f"{', '.join(sorted(words))}: {outlet.named} is no file")
            if words & set(RENDER_OPTIONS):
                look = {name: value for name, value in given.items() if name in RENDER_OPTIONS}
                replay = Replay(encoding=given.get("encoding", "utf8"), **look)
            if words - set(RENDER_OPTIONS):
                if not isinstance(outlet.sink, RotatingSink) or not isinstance(
                    outlet.ledger, Ledger
                ):
                    raise ConfigurationError(
                        f"{', '.join(sorted(words))}: {outlet.named} is no file"
                    )
                file_words = {name: given.get(name) for name in _FILE_WORDS}
                steps.append(
                    prepare_change(outlet.sink, outlet.named, outlet.ledger, report, **file_words)
                )
            changed.append(outlet._replace(replay=replay, options=given))
        self._outlets = changed
        self.line_format = _common_format(changed) if self._rendering else None
        self.needs = self._common_needs()
        for writer, outlet in zip(self._writers, changed):
            if isinstance(writer, Writer):
                writer.change_look(outlet.replay, *self._look_of(outlet))
        for step in steps:
            step()

    def retire_sender(self, sender: str) -> None:
        """Note that ``sender`` will never send again. Never raises."""
        for outlet in self._all():
            outlet.ledger.retire_sender(sender)

    def reopen(self, report: Callable[[str], None]) -> None:
        """Open each file anew, as after an outside rotation; ``report`` what fails."""
        for outlet in self._outlets:
            try:
                outlet.sink.reopen()
            except Exception as error:
                report(f"cannot reopen the sink: {error}")


def _name_of(sink: Any) -> str:
    if is_engine_address(sink):
        return _without_login(sink)
    return describe_call(sink) if is_call(sink) else os.fspath(sink)


def _tell_nobody(sender: str, text: str) -> None:
    """The first sink's writer has told it."""


def _common_format(outlets: Sequence[Outlet]) -> LineFormat | None:
    """Return the format that a worker's finished line has to have to suit every sink.

    The sinks may differ in their level: a finished line tells its own.
    """
    formats = [outlet.line_format for outlet in outlets]
    known = [line_format for line_format in formats if line_format is not None]
    if len(known) < len(formats) or len({line_format[::2] for line_format in known}) > 1:
        return None
    return known[0]._replace(level=min(line_format.level for line_format in known))


def open_outlets(
    handlers: Sequence[Mapping[str, Any]],
    opened: contextlib.ExitStack,
    *,
    spool_dir: str | None,
    instance: str,
    fsync: bool,
    wait: Callable[[], bool] | None,
    report: Callable[[str], None],
    permissions: FilePermissions | None = None,
    create: str | None = None,
) -> list[Outlet]:
    """Open every sink; ``opened`` closes them, the first one last.

    ``instance`` tells receivers of one stream from each other. ``wait`` makes a standby of the
    first sink (:meth:`Ledger.open`). ``permissions`` are for each file. ``create`` has the settings
    of a stream that is made if it is missing. Raises what
    :class:`RotatingSink` and :meth:`Ledger.open` raise, :class:`FurtherSinkHeldError` where another
    log's receiver writes one of the others, and :class:`ConfigurationError`.
    """
    refuse_handlers(handlers)
    looks = [{name: item[name] for name in RENDER_OPTIONS if name in item} for item in handlers]
    for handler, look in zip(handlers, looks):
        if is_engine_address(handler["sink"]):
            look.setdefault("level", 0)  # its reader leaves out what it does not want
    encodings = [item.get("encoding", "utf8") for item in handlers]
    # What is wrong there is told before any lock.
    replays = [Replay(encoding=name, **look) for name, look in zip(encodings, looks)]
    outlets: list[Outlet] = []
    for handler, replay in zip(handlers, replays):
        path = handler["sink"]
        options = {
            name: value
            for name, value in handler.items()
            if name != "sink" and name not in RENDER_OPTIONS
        }
        sink: Sink
        if is_engine_address(path):
            outlets.append(_open_engine(handler, replay, opened, spool_dir, wait, report, create))
            continue
        if is_call(path):
            ledger = _open_stream(stream_of_call(path), opened, spool_dir, instance, report)
            sink, name = CallSink(path, ledger, report, **options), describe_call(path)
            opened.callback(sink.close)
            given = {word: value for word, value in handler.items() if word != "sink"}
            outlets.append(Outlet(name, sink, replay, ledger, name, given))
            continue
        stream = find_stream(path)
        if stream is None:
            ledger = _open_ledger(path, outlets, wait, report)
            opened.callback(ledger.close)
            if permissions is not None:
                options["opener"] = permissions.open
            sink = RotatingSink(path, ledger, fsync=fsync, report=report, **options)
        else:
            ledger = _open_stream(stream, opened, spool_dir, instance, report)
            only = len(handlers) == 1
            sink = StreamSink(stream, ledger, fsync=fsync and only, **options)
            path = ledger.path.with_suffix("")
        opened.callback(sink.close)
        named = os.fspath(handler["sink"])
        given = {name: value for name, value in handler.items() if name != "sink"}
        outlets.append(Outlet(os.fspath(path), sink, replay, ledger, named, given))
    return outlets


def refuse_handlers(handlers: Sequence[Mapping[str, Any]]) -> None:
    """Raise :class:`ConfigurationError` for handlers that name no sink, too many, or one twice."""
    check_handlers(handlers, with_calls=True)
    if len(handlers) > MAX_HANDLERS:
        raise ConfigurationError(
            f"{len(handlers)} handlers: a receiver takes at most {MAX_HANDLERS} sinks"
        )
    seen: dict[str, str] = {}
    for handler in handlers:
        path = handler["sink"]
        if is_call(path) or is_engine_address(path):
            continue
        if find_stream(path) is None:
            template = read_sink_path(path).template
            if template in seen:
                raise ConfigurationError(
                    f"the sinks {seen[template]!r} and {os.fspath(path)!r} are one file: "
                    "name it once"
                )
            seen[template] = os.fspath(path)


def _open_ledger(
    path: Any,
    earlier: Sequence[Outlet],
    wait: Callable[[], bool] | None,
    report: Callable[[str], None],
) -> Ledger:
    if not earlier:
        return Ledger.open(path, wait=wait, report=report)
    until = time.monotonic() + _LEAVING
    try:
        return Ledger.open(path, wait=lambda: time.monotonic() < until, report=report)
    except LedgerHeldError as error:
        raise FurtherSinkHeldError(
            f"{error}; it cannot be written beside {earlier[0].path} as well: name another file, "
            "or end that process",
            error.holder,
        ) from error


def _without_login(address: str) -> str:
    """Return an engine's address as it may be shown."""
    from ..engine.address import parse_engine_address

    return str(parse_engine_address(address))


def _open_engine(
    handler: Mapping[str, Any],
    replay: Replay,
    opened: contextlib.ExitStack,
    spool_dir: str | None,
    wait: Callable[[], bool] | None,
    report: Callable[[str], None],
    create: str | None,
) -> Outlet:
    """Open a stream of an engine. Its lock and its identity are in the spool, or at its sockets."""
    from ..engine.address import parse_engine_address, read_stream_settings
    from .engine_writer import EngineLedger, EngineWriter

    address = parse_engine_address(handler["sink"])
    for name, value in handler.items():
        if name not in ("sink", "format"):
            raise ConfigurationError(
                f"{name}={value!r}: leave it out, {address} is no file. Whoever reads the stream "
                "writes the lines"
            )
    given = {name: value for name, value in handler.items() if name != "sink"}
    # Workers note the path as their log's name, so the next receiver has to have the same.
    places = [spool_dir] if spool_dir is not None else runtime_directories(make=True)
    if places:
        place = os.path.join(places[0], "streams")
        with contextlib.suppress(OSError):  # the ledger tells what is wrong
            os.mkdir(place, 0o700)
    else:
        place = opened.enter_context(TemporaryDirectory(prefix="loguru_stdbridge-"))
    key = hashlib.sha256(str(address).encode()).hexdigest()[:16]
    path = os.path.join(place, f"nats-{key}")
    ledger = Ledger.open(SinkPath(escape_path(path), Path(place), None), wait=wait, report=report)
    opened.callback(ledger.close)
    writer = EngineWriter(
        address,
        None if create is None else read_stream_settings(create),
        report,
        lambda sender: find_program(sender, spool_dir),
    )
    opened.callback(writer.close)
    named = str(address)
    return Outlet(path, writer.sink, replay, EngineLedger(ledger, writer), named, given, writer)


def _open_stream(
    stream: Stream,
    opened: contextlib.ExitStack,
    spool_dir: str | None,
    instance: str,
    report: Callable[[str], None],
) -> Ledger:
    """Open a stream's ledger: in the spool, or where there is none, for now."""
    if spool_dir is None:
        place = opened.enter_context(TemporaryDirectory(prefix="loguru_stdbridge-"))
    else:
        place = os.path.join(spool_dir, "streams")
        with contextlib.suppress(OSError):  # the ledger tells what is wrong
            os.mkdir(place, 0o700)
    ledger = open_stream_ledger(place, stream, instance, report)
    opened.callback(ledger.close)
    return ledger
