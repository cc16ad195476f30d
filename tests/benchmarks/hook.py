"""Time a call of stdlib logging with the bridge's hook and without it, in one process.

Four set-ups take turns, a few hundred calls at a time: logging with a handler that does nothing; the
same with the hook, which finds a record, marks it and would send it; the same with the bridge as far
as the journal; and a ``BridgeHandler`` on the root logger in place of the hook, as far as the journal.
Times are the processor's, of the calling thread; each is the least of all turns.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from loguru_stdbridge import BridgeHandler, install_bridge, uninstall_bridge
from loguru_stdbridge.worker import attachment
from loguru_stdbridge.worker.channel import Channel

from .figure import Figure, Options, Sample, Samples, at_most, table

_NOWHERE = "tcp://127.0.0.1:1"
_TURNS = 100
_CALLS = 300  # of one turn

_TITLES = {
    "plain": "logging alone",
    "hook": "with the hook",
    "bridge": "with the bridge, up to the journal",
    "handler": "BridgeHandler on the root, up to the journal",
}


class Hook(Figure):
    name = "hook"
    title = "A log call of logging, microseconds of the processor"

    def cases(self, options: Options) -> list[str]:
        return ["all"]

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        logging.getLogger().addHandler(logging.NullHandler())
        least = dict.fromkeys(_TITLES, float("inf"))
        with mock.patch.object(Channel, "emit", lambda channel, row: None):
            for _ in range(_TURNS):
                for title in _TITLES:
                    with _set_up(title):
                        least[title] = min(least[title], _time_calls())
        return least

    def report(self, samples: Samples, options: Options) -> str:
        rows = [[text, *samples.cells("all", title, ".2f")] for title, text in _TITLES.items()]
        hook = samples.median("all", "hook") / samples.median("all", "plain")
        bridge = samples.median("all", "bridge") / samples.median("all", "handler")
        return "\n".join(
            [
                table(["", "median", "least", "most"], rows),
                at_most("the hook, of a call without it", hook, 1.35),
                at_most("the bridge, of a handler on the root", bridge, 1.0),
            ]
        )


@contextlib.contextmanager
def _set_up(title: str) -> Iterator[None]:
    if title == "plain":
        yield
    elif title == "handler":
        handler = BridgeHandler(address=_NOWHERE)
        logging.getLogger().addHandler(handler)
        yield
        logging.getLogger().removeHandler(handler)
    else:
        install_bridge(_NOWHERE, loguru=False)
        with contextlib.ExitStack() as stack:
            if title == "hook":
                nothing = mock.patch.object(attachment, "row_of_logrecord", lambda *args: b"")
                stack.enter_context(nothing)
            yield
        uninstall_bridge()


def _time_calls() -> float:
    log = logging.getLogger("benchmark").warning
    for _ in range(20):
        log("record %d of %s", 7, "many")
    start = time.thread_time()
    for _ in range(_CALLS):
        log("record %d of %s", 7, "many")
    return (time.thread_time() - start) / _CALLS * 1e6
