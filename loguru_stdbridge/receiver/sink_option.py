"""Reads several sinks from a command line: ``--sink PATH``, and loguru's words behind it.

The words belong to the sink that stands before them; those before the first ``--sink`` belong to
SINK. What comes out is a list of handlers (:mod:`loguru_stdbridge.sink_words`).
"""

from __future__ import annotations

import argparse
from typing import Any

from ..addresses import is_engine_address
from ..sink_words import FLAG_WORDS, SINK_WORDS, parse_sink_words

_DEST = "further_sinks"


class _AddSink(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, _DEST, [*getattr(namespace, _DEST), {"sink": values}])


class _NoteWord(argparse.Action):
    """Notes one of loguru's words for the sink that it stands behind. With ``nargs=0``: a flag."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        value = True if self.nargs == 0 else values
        further = getattr(namespace, _DEST)
        if further:
            further[-1][self.dest] = value
        else:
            setattr(namespace, self.dest, value)


def add_sink_options(parser: argparse.ArgumentParser) -> None:
    """Let a parser take ``--sink``, and loguru's words for the sink before them."""
    parser.add_argument("--sink", action=_AddSink, dest=_DEST, default=[])
    for name in SINK_WORDS:
        nargs = 0 if name in FLAG_WORDS else None
        parser.add_argument(f"--{name}", action=_NoteWord, nargs=nargs)


def shown_sink(sink: Any) -> str:
    """Return a sink as it may be shown: an engine's address without what opens it."""
    if is_engine_address(sink):
        from ..engine.address import parse_engine_address

        return str(parse_engine_address(sink))
    return str(sink)


def sinks_of(options: argparse.Namespace) -> list[str]:
    """Return the paths of all sinks that the options name."""
    if options.handlers is not None:
        return [handler["sink"] for handler in options.handlers]
    return [options.sink, *(handler["sink"] for handler in getattr(options, _DEST))]


def read_handlers_of(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the sinks that the options name, as handlers; the first one is SINK."""
    if options.handlers is not None:
        return [parse_sink_words(handler) for handler in options.handlers]
    words = {name: getattr(options, name) for name in SINK_WORDS}
    sinks = [{"sink": options.sink, **words}, *getattr(options, _DEST)]
    return [{"sink": words.pop("sink"), **parse_sink_words(words)} for words in map(dict, sinks)]
