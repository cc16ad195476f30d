"""Show the options that are in force, and where each comes from: ``--print-config``.

What is printed is TOML, and can be given to ``--config`` again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..sink_words import SINK_WORDS
from .sink_option import read_handlers_of, shown_sink

_HIDDEN = (
    "check", "command", "config", "detached", "further_sinks", "handlers", "print_config", "sink",
    "sources", *SINK_WORDS,
)  # fmt: skip


def show_options(options: argparse.Namespace, addresses: Sequence[str]) -> Iterator[str]:
    """Yield the lines. ``addresses`` are those where it would listen."""
    sources = options.sources
    handlers = read_handlers_of(options)
    if len(handlers) == 1 and options.handlers is None:
        yield _line("sink", shown_sink(options.sink), sources.get("sink"))
        for name in SINK_WORDS:
            yield _line(name, handlers[0].get(name), sources.get(name))
    for name, value in sorted(vars(options).items()):
        if name not in _HIDDEN:
            shown = list(addresses) if name == "listen" else value
            yield _line(name, shown, sources.get(name))
    if len(handlers) > 1 or options.handlers is not None:
        source = sources.get("handlers", "command line")
        for handler in handlers:
            yield ""
            yield f"[[handlers]]  # {source}"
            for name, value in handler.items():
                yield f"{name} = {_toml(shown_sink(value) if name == 'sink' else value)}"


def _line(name: str, value: Any, source: str | None) -> str:
    if value is None or value == []:
        return f"# {name}: not given"
    return f"{name} = {_toml(value)}  # {source or 'default'}"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        pairs = ", ".join(f"{json.dumps(key)} = {_toml(part)}" for key, part in value.items())
        return f"{{{pairs}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, (str, bool, int, float)):
        return json.dumps(value)
    return json.dumps(str(value))
