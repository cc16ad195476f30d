"""The receiver's state in lines, for its own log: what SIGUSR2 asks for."""

from __future__ import annotations

import time
from collections.abc import Iterator

from ..status.state import ReceiverState, WorkerState

MAX_CLIENTS_TOLD = 50
"""Lines about clients. stderr may take no more than a hundred at once."""


def describe_state(state: ReceiverState) -> Iterator[str]:
    """Yield the lines."""
    age = state.made - state.started
    yield (
        f"state of process {state.pid}, version {state.version}, up {age:.0f} s: "
        f"{state.written} records written, {state.held} held, {state.duplicates} duplicates, "
        f"{state.connections} connections, listening on {', '.join(state.addresses)}"
    )
    for sink in state.sinks:
        how = "writing" if sink.is_writing else f"failing ({sink.trouble})"
        size = "" if sink.size is None else f", {sink.size} bytes"
        yield f"state: {how} {sink.path}{size}, {sink.records} records, {sink.rotations} rotations"
    for what, counts in (("refused", state.refused), ("given up", state.given_up)):
        if counts:
            shown = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
            yield f"state: {what}: {shown}"
    for worker in state.workers[:MAX_CLIENTS_TOLD]:
        yield f"state: {_describe_client(worker)}"
    left = len(state.workers) - MAX_CLIENTS_TOLD
    if left > 0:
        yield f"state: and {left} more clients"


def _describe_client(worker: WorkerState) -> str:
    kind = "stock client" if worker.is_stock else f"worker {worker.id}"
    program = f" {worker.program}" if worker.program else ""
    process = f" (process {worker.pid})" if worker.pid else ""
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(worker.since))
    lost = f", {worker.lost} given up" if worker.lost else ""
    backlog = "" if worker.backlog is None else f", {worker.backlog} waiting"
    return (
        f"{kind}{program}{process} from {worker.peer} since {since}: {worker.records} records"
        f"{backlog}{lost}"
    )
