"""What a program says of its log's sinks, as texts that go to another process and back.

Users say all of it in loguru's words, and loguru reads the values. Inside this package it is a list
of handlers, as in ``logger.configure``: mappings of ``sink`` and the words for it. A receiver that
a worker starts gets them on its command line. Owns which words can go there, and their form.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .exceptions import ConfigurationError

SINK_WORDS = (
    "rotation", "retention", "compression", "format", "level", "filter", "colorize", "serialize",
    "encoding", "errors", "newline", "escape",
)  # fmt: skip
"""loguru's words for a file sink that can be told to another process; ``escape`` is our own."""

FLAG_WORDS = ("colorize", "escape", "serialize")
"""Those that are true or false: on the command line they have no value."""

_NEWLINES = {"\n": "lf", "\r\n": "crlf", "\r": "cr"}
_NEWLINE_TEXTS = {
    **{name: value for value, name in _NEWLINES.items()},
    **{repr(value)[1:-1]: value for value in _NEWLINES},
    **{value: value for value in _NEWLINES},
}

LINGER = 10.0
"""Seconds that a receiver stays when nobody needs it any more, unless told otherwise."""

RECEIVER_HELD = 75
"""Exit status of a receiver that has found another one at its log (``EX_TEMPFAIL``)."""

MAX_COMPARED = 8000
"""Characters of all words that a greeting shows for comparison. It has room for 64 kB."""

_STREAMS = ("/dev/stdout", "/dev/stderr")

Words = tuple[tuple[str, str], ...]
"""A sink's words and their command-line texts."""


class SinkWords(NamedTuple):
    """What a program says of its log: the sinks' paths, and loguru's words for each as texts."""

    path: str
    words: Words = ()
    linger: float = LINGER
    further: tuple[tuple[str, Words], ...] = ()
    """The log's other sinks; the first one gives it its name."""

    def command_line(self) -> list[str]:
        """Return the receiver's arguments."""
        arguments = [self.path, *_options_of(self.words)]
        for path, words in self.further:
            arguments += ["--sink", path, *_options_of(words)]
        return arguments

    def handlers(self) -> list[dict[str, Any]]:
        """Return the sinks as handlers, with their words as loguru takes them."""
        sinks = ((self.path, self.words), *self.further)
        return [{"sink": path, **parse_sink_words(dict(words))} for path, words in sinks]

    def as_arguments(self) -> dict[str, Any]:
        """Return the arguments of ``install_bridge`` that mean the same: texts and numbers."""
        if not self.further:
            return {**dict(self.words), "sink": self.path, "linger": self.linger}
        sinks = ((self.path, self.words), *self.further)
        handlers = [{"sink": path, **dict(words)} for path, words in sinks]
        return {"handlers": handlers, "linger": self.linger}


def _options_of(words: Words) -> list[str]:
    return [f"--{name}" if name in FLAG_WORDS else f"--{name}={text}" for name, text in words]


def read_sink_words(sink: str | os.PathLike[str], words: Mapping[str, Any]) -> SinkWords:
    """Return the sink's path, made absolute, and its words in the form of the command line.

    Raises :class:`ConfigurationError` for a word that no receiver knows, and for a value that
    cannot go to another process.
    """
    others = {name: value for name, value in words.items() if name != "linger"}
    return SinkWords(_read_path(sink), _read_words(others), _read_linger(words))


def read_handlers(handlers: Sequence[Mapping[str, Any]], words: Mapping[str, Any]) -> SinkWords:
    """Do the same for several sinks; ``words`` may hold ``linger`` only."""
    misplaced = sorted(set(words) - {"linger"})
    if misplaced:
        raise ConfigurationError(
            f"{misplaced[0]}={words[misplaced[0]]!r} beside handlers=: say it in the handler of "
            "the sink that is meant"
        )
    sinks = []
    for handler in check_handlers(handlers):
        others = {name: value for name, value in handler.items() if name != "sink"}
        sinks.append((_read_path(handler["sink"]), _read_words(others)))
    (path, own), *further = sinks
    return SinkWords(path, own, _read_linger(words), tuple(further))


def is_call(sink: object) -> bool:
    """Return whether a sink is a function, or an object with ``write``, and no path."""
    return not isinstance(sink, (str, os.PathLike)) and (callable(sink) or hasattr(sink, "write"))


def check_handlers(handlers: object, *, with_calls: bool = False) -> Sequence[Mapping[str, Any]]:
    """Return the handlers if each is a mapping that names a sink.

    ``with_calls``: any but the first may be a function, or have a ``write``.

    Raises :class:`ConfigurationError` that shows what is none.
    """
    form = '[{"sink": "logs/app.log", "rotation": "100 MB"}, {"sink": "logs/errors.log"}]'
    if not isinstance(handlers, Sequence) or isinstance(handlers, (str, bytes)) or not handlers:
        raise ConfigurationError(f"handlers={handlers!r}: a list of mappings, such as {form}")
    for handler in handlers:
        if not isinstance(handler, Mapping) or "sink" not in handler:
            raise ConfigurationError(f"the handler {handler!r} names no sink: write {form}")
        if with_calls and handler is not handlers[0] and is_call(handler["sink"]):
            continue
        if not isinstance(handler["sink"], (str, os.PathLike)):
            raise ConfigurationError(
                f"the sink must be the path of a file, not {handler['sink']!r}"
            )
    return handlers


def _read_path(sink: str | os.PathLike[str]) -> str:
    path = os.path.abspath(os.fsdecode(sink))
    if os.fsdecode(sink) == "-" or path in _STREAMS or _is_special(path):
        raise ConfigurationError(
            f"sink={sink!r}: name a file; a receiver in the background has no standard output. For "
            "a stream, run python -m loguru_stdbridge.receiver - -- COMMAND"
        )
    if os.path.isdir(path):
        raise ConfigurationError(
            f"sink={sink!r} is a directory: name a file in it, as in "
            f"{os.path.join(path, 'app.log')!r}"
        )
    return path


def _read_linger(words: Mapping[str, Any]) -> float:
    linger = words.get("linger", LINGER)
    if not isinstance(linger, (int, float)) or not 0 <= linger < 1e6:
        raise ConfigurationError(f"linger={linger!r}: seconds, from 0 up")
    return float(linger)


def _read_words(words: Mapping[str, Any]) -> Words:
    texts = []
    for name in sorted(words):
        value = words[name]
        if name not in SINK_WORDS:
            raise ConfigurationError(
                f"{name}={value!r}: the receiver takes {', '.join(SINK_WORDS)} for a sink that "
                "it starts by itself; for anything else, run start_receiver() in a program of "
                "yours"
            )
        if value is None or (name in FLAG_WORDS and not value):
            continue
        texts.append((name, _as_text(name, value)))
    return tuple(texts)


def _is_special(path: str) -> bool:
    """Return whether something is there that is no file and no directory."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _as_text(name: str, value: Any) -> str:
    """Return a value as the receiver's command line takes it."""
    kind = type(value).__name__
    if name == "newline" and value in _NEWLINES:
        return _NEWLINES[value]
    if isinstance(value, (str, int)):
        return str(value)
    if name == "rotation" and isinstance(value, (list, tuple)):
        return json.dumps([_as_text(name, part) for part in value])
    if name == "filter" and isinstance(value, Mapping) and set(map(type, value)) <= {str}:
        return json.dumps(dict(value))
    if kind == "timedelta":
        return f"{value.total_seconds()} seconds"
    if kind == "time" and value.tzinfo is None:
        return str(value.replace(microsecond=0).isoformat())
    raise ConfigurationError(
        f"{name}={value!r}: a {kind} cannot go to the receiver's process; use loguru's text form, "
        "or run start_receiver() in a program of yours"
    )


def parse_sink_words(texts: Mapping[str, Any]) -> dict[str, Any]:
    """Return loguru's options for a sink out of their texts; ``None`` stands for one not given."""
    chosen = {name: value for name, value in texts.items() if value is not None}
    for name in ("rotation", "retention", "level"):
        text = chosen.get(name)
        if isinstance(text, str) and text.isdigit():
            chosen[name] = int(text)  # loguru reads numbers as numbers only
    for name in FLAG_WORDS:
        if name in chosen:
            chosen[name] = bool(chosen[name])
    for name, opening, example in (
        ("rotation", "[", '["100 MB", "00:00"]'),
        ("filter", "{", '{"": "INFO", "shop.db": "WARNING", "noisy": false}'),
    ):
        text = chosen.get(name)
        if isinstance(text, str) and text.startswith(opening):
            try:
                chosen[name] = json.loads(text)
            except ValueError as error:
                raise ConfigurationError(
                    f"{name}={text!r} is no JSON ({error}): write it as in {example}"
                ) from error
    if chosen.get("rotation").__class__ is list:
        parts = [parse_sink_words({"rotation": part})["rotation"] for part in chosen["rotation"]]
        chosen["rotation"] = parts
    newline = chosen.get("newline")
    if isinstance(newline, str):
        chosen["newline"] = _NEWLINE_TEXTS.get(newline.lower(), newline)
    return chosen


def show_handlers(handlers: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the options of all sinks as texts, for comparison; what has no text is left out.

    Those of the first sink have their own names, those of another one its path before them. If it
    is too much to be shown, there is only a text that differs when they do.
    """
    texts: dict[str, str] = {}
    for number, handler in enumerate(handlers):
        prefix = ""
        if is_call(handler["sink"]):
            continue
        if number:
            path = os.path.abspath(os.fsdecode(handler["sink"]))
            texts[path] = "a sink"
            prefix = f"{path} "
        for name in SINK_WORDS:
            value = handler.get(name)
            if value is not None and value is not False:
                try:
                    texts[prefix + name] = _as_text(name, value)
                except ConfigurationError:
                    continue
    if sum(map(len, (*texts, *texts.values()))) > MAX_COMPARED:
        whole = repr(sorted(texts.items())).encode("utf-8", "surrogatepass")
        return {"handlers": f"number {zlib.crc32(whole):08x}"}
    return texts
