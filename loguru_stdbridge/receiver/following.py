"""Has a receiver that runs follow its configuration, as it is now: what SIGHUP asks for.

No connection ends for it. What cannot be used, or cannot be changed while clients are connected, is
told, and what was in force stays in force.
"""

from __future__ import annotations

import argparse
from typing import Any, Callable

from ..exceptions import SinkError
from ..sink_words import SINK_WORDS
from ..system.tls_files import TLS_OPTIONS, read_tls_files
from .service import Service
from .setup_hook import handlers_of
from .sink_option import read_handlers_of

_NO_OPTIONS = ("command", "config", "sources")


class ConfigurationFollower:
    """Compares the options that are in force with those that are said now."""

    def __init__(
        self,
        options: argparse.Namespace,
        read: Callable[[], argparse.Namespace],
        report: Callable[[str], None],
    ) -> None:
        """``options`` are those in force; ``read`` reads them again."""
        self._handlers: list[dict[str, Any]] | None = (
            None if options.setup else read_handlers_of(options)
        )
        self._others = _others_of(options)
        self._read = read
        self._report = report

    def follow(self, service: Service) -> None:
        """Take over what has changed. To be called in the receiver's loop. Never raises."""
        try:
            options = self._read()
            handlers = handlers_of(options, self._report)
            if handlers != self._handlers:
                service.change_sinks(handlers)
                self._handlers = handlers
        except SinkError as error:  # it was taken over, and the next write tries again
            self._handlers = handlers
            self._report(str(error))
        except (Exception, SystemExit) as error:
            self._report(
                f"the configuration is not taken over: {error}; the one before stays in force"
            )
            return
        others = _others_of(options)
        changed = {name for name, value in others.items() if value != self._others.get(name)}
        if changed & set(TLS_OPTIONS):
            service.change_certificates(read_tls_files(others))
        later = sorted(changed - set(TLS_OPTIONS))
        if later:
            self._report(f"changed, and in force from the next start on: {', '.join(later)}")
        self._others = others


def _others_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the options that are not about the sinks."""
    sinks = {*SINK_WORDS, "sink", "further_sinks", "handlers"}
    return {k: v for k, v in vars(options).items() if k not in sinks and k not in _NO_OPTIONS}
