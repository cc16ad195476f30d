"""What a program says of its log file, as texts that go to another process and back.

Users say all of it in loguru's words, and loguru reads the values. A receiver that a worker starts
gets them on its command line. Owns which words can go there, and their form as texts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from .exceptions import ConfigurationError

SINK_WORDS = (
    "rotation", "retention", "compression", "format", "level", "serialize", "encoding"
)  # fmt: skip
"""loguru's words for a file sink that can be told to another process."""

LINGER = 10.0
"""Seconds that a receiver stays when nobody needs it any more, unless told otherwise."""


_STREAMS = ("/dev/stdout", "/dev/stderr")


class SinkWords(NamedTuple):
    """What a program says of its log file: the path, and loguru's words as command-line texts."""

    path: str
    words: tuple[tuple[str, str], ...] = ()
    linger: float = LINGER

    def command_line(self) -> list[str]:
        """Return the receiver's arguments."""
        options = []
        for name, text in self.words:
            options.append(f"--{name}" if name == "serialize" else f"--{name}={text}")
        return [self.path, *options]


def read_sink_words(sink: str | os.PathLike[str], words: Mapping[str, Any]) -> SinkWords:
    """Return the sink's path, made absolute, and its words in the form of the command line.

    Raises :class:`ConfigurationError` for a word that no receiver knows, and for a value that
    cannot go to another process.
    """
    path = os.path.abspath(os.fsdecode(sink))
    if os.fsdecode(sink) == "-" or path in _STREAMS or _is_special(path):
        raise ConfigurationError(
            f"sink={sink!r}: name a file; a receiver in the background has no standard output. For "
            "a stream, run python -m loguru_stdbridge.receiver - -- COMMAND"
        )
    linger = words.get("linger", LINGER)
    if not isinstance(linger, (int, float)) or not 0 <= linger < 1e6:
        raise ConfigurationError(f"linger={linger!r}: seconds, from 0 up")
    texts = []
    for name in sorted(set(words) - {"linger"}):
        value = words[name]
        if name not in SINK_WORDS:
            raise ConfigurationError(
                f"{name}={value!r}: the receiver takes {', '.join(SINK_WORDS)} for a sink that "
                "it starts by itself; for anything else, run start_receiver() in a program of "
                "yours"
            )
        if value is None or (name == "serialize" and not value):
            continue
        texts.append((name, _as_text(name, value)))
    return SinkWords(path, tuple(texts), float(linger))


def _is_special(path: str) -> bool:
    """Return whether something is there that is no file and no directory."""
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


def _as_text(name: str, value: Any) -> str:
    """Return a value as the receiver's command line takes it."""
    kind = type(value).__name__
    if isinstance(value, (str, int)):
        return str(value)
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
    if "serialize" in chosen:
        chosen["serialize"] = bool(chosen["serialize"])
    return chosen


def show_sink_words(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the options of a sink as texts, for comparison; what has no text is left out."""
    texts = {}
    for name, value in options.items():
        if name in SINK_WORDS and value is not None and value is not False:
            try:
                texts[name] = _as_text(name, value)
            except ConfigurationError:
                continue
    return texts
