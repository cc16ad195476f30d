"""Runs the function of ``--setup``: for what no option can say, since it is code.

The function gets the arguments of ``logger.configure`` in a dict, with what the options say, and
changes them: a ``filter`` or a ``format`` that is a function, a ``patcher``, a further sink that is
no file. It is the user's own code, run with the receiver's rights; nothing of a client's names it.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Callable

from ..exceptions import ConfigurationError
from ..sink_words import check_handlers
from .sink_option import read_handlers_of

PATCHER_INTERVAL = 60.0
"""Seconds between two messages about a patcher that raises."""


def run_setup(
    name: str, handlers: Sequence[dict[str, Any]], report: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Call the function ``MODULE:FUNCTION`` and return the handlers as it has left them.

    Modules are looked for in the working directory, too. Raises :class:`ConfigurationError`.
    """
    module_name, separator, function_name = name.partition(":")
    if not separator or not module_name or not function_name:
        raise ConfigurationError(f"--setup {name}: use MODULE:FUNCTION, as in shop.logs:set_up")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        function: Any = importlib.import_module(module_name)
        for part in function_name.split("."):
            function = getattr(function, part)
    except Exception as error:
        raise ConfigurationError(f"--setup {name}: {type(error).__name__}: {error}") from error
    config: dict[str, Any] = {"handlers": [dict(each) for each in handlers], "patcher": None}
    try:
        function(config)
    except Exception as error:
        raise ConfigurationError(
            f"--setup {name} has raised {type(error).__name__}: {error}"
        ) from error
    unknown = sorted(set(config) - {"handlers", "patcher"})
    if unknown:
        raise ConfigurationError(f"--setup {name}: {unknown[0]!r} is neither handlers nor patcher")
    changed = [dict(each) for each in check_handlers(config["handlers"], with_calls=True)]
    patcher = config["patcher"]
    if patcher is not None:
        if not callable(patcher):
            raise ConfigurationError(f"--setup {name}: patcher={patcher!r} is no function")
        careful = _make_careful(patcher, name, report)
        for each in changed:
            each["patcher"] = careful
    return changed


def handlers_of(options: argparse.Namespace, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return the sinks that the options name, as ``--setup`` has left them."""
    handlers = read_handlers_of(options)
    return run_setup(options.setup, handlers, report) if options.setup else handlers


def _make_careful(
    patcher: Callable[[dict[str, Any]], object], name: str, report: Callable[[str], None]
) -> Callable[[dict[str, Any]], object]:
    """Return the patcher so that an error in it loses no record."""
    told_at = float("-inf")

    def patch(record: dict[str, Any]) -> None:
        nonlocal told_at
        try:
            patcher(record)
        except Exception as error:
            if time.monotonic() - told_at >= PATCHER_INTERVAL:
                told_at = time.monotonic()
                report(f"the patcher of --setup {name} has raised {type(error).__name__}: {error}")

    return patch
