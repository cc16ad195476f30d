"""Read the receiver's options from a file: TOML where this Python has ``tomllib``, JSON everywhere.

The names are those of the command line, with ``_`` or ``-``. Several sinks are ``handlers``, as in
``logger.configure``. Owns the form of the file; what a value means is its option's to say.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Collection, Mapping
from typing import Any

from ..exceptions import ConfigurationError
from ..sink_words import check_handlers

MAX_CONFIG = 1024 * 1024
"""Bytes of a file. One that is larger is no configuration."""


def read_config(path: str, names: Collection[str]) -> dict[str, Any]:
    """Return the options of the file at ``path``, by their names on the command line with ``_``.

    ``names`` are those there are, besides ``handlers``. Raises :class:`ConfigurationError` that
    names the file and what is wrong in it.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_CONFIG + 1)
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_CONFIG:
        raise ConfigurationError(f"{path} has over {MAX_CONFIG} bytes: it is no configuration")
    given = _parse(path, data)
    known = {*names, "handlers"}
    options: dict[str, Any] = {}
    for key, value in given.items():
        name = key.replace("-", "_")
        if name not in known:
            close = difflib.get_close_matches(name, sorted(known), 1, 0.7)
            meant = f"did you mean {close[0]}?" if close else "--help shows those there are"
            raise ConfigurationError(f"{path}: there is no option {key!r}; {meant}")
        if name in options:
            raise ConfigurationError(f"{path}: {name} stands there twice")
        if value is not None:
            options[name] = value
    if "handlers" in options:
        if "sink" in options:
            raise ConfigurationError(
                f"{path}: sink and handlers: name all sinks in handlers, the first one gives the "
                "log its name"
            )
        try:
            check_handlers(options["handlers"])
        except ConfigurationError as error:
            raise ConfigurationError(f"{path}: {error}") from error
    return options


def _parse(path: str, data: bytes) -> Mapping[str, Any]:
    kind = os.path.splitext(path)[1].lower()
    if kind not in (".toml", ".json"):
        raise ConfigurationError(f"{path}: the name of a configuration ends with .toml or .json")
    try:
        text = data.decode("utf-8-sig")
        given = json.loads(text) if kind == ".json" else _parse_toml(path, text)
    except ConfigurationError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{path}: a mapping of options, not {given!r:.100}")
    return given


def _parse_toml(path: str, text: str) -> Any:
    try:
        import tomllib
    except ImportError:
        raise ConfigurationError(
            f"{path}: this Python reads no TOML (3.11 and later do); write the same as JSON, in a "
            "file that ends with .json"
        ) from None
    return tomllib.loads(text)


def check_kind(name: str, value: Any, *, switches: Collection[str], lists: Collection[str]) -> Any:
    """Return the value of an option as the rest of the program has it.

    Raises ``ValueError`` that says what it should be.
    """
    if name in switches:
        if not isinstance(value, bool):
            raise ValueError(f"{name} = {value!r}: true or false")
        return value
    if name in lists:
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in values):
            raise ValueError(f"{name} = {value!r}: a text, or a list of texts")
        return values
    return value
