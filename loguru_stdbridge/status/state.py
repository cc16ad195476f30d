"""The receiver's state as a frozen picture: what it writes, where it listens, who is there.

The receiver's loop makes it (:mod:`~loguru_stdbridge.receiver.picture`), so that its parts belong
to one instant. Whoever shows it (the listener, a signal, a local tool) only reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class SinkState(NamedTuple):
    """One of the files that a receiver writes."""

    path: str
    is_writing: bool
    """Whether it took the last write."""

    trouble: str
    """Why it did not; else empty."""

    errors: int
    """Writes that failed, since the start."""

    records: int
    """Records whose lines it has, since the start."""

    bytes: int
    """Bytes of these lines."""

    rotations: int
    size: int | None
    """Bytes of the file; ``None`` for a stream, or where it is not known."""

    limit: int | None
    """Bytes at which it is rotated; ``None`` where no size decides."""


class WorkerState(NamedTuple):
    """A client that sends records."""

    id: str
    """The first digits of its sender's id: the rest is a secret. Empty for a stock client."""

    program: str
    """What its program is called, as far as it is known; else empty."""

    pid: int
    """0 where it is not known."""

    peer: str
    """Where it comes from: host and port, or the process at a Unix socket."""

    is_stock: bool
    """Whether it speaks the stdlib's format only."""

    since: float
    """When it connected, in seconds since the epoch."""

    records: int
    """Records that it has sent on this connection."""

    lost: int
    """Records that it had given up, as it has told since it connected."""

    backlog: int | None
    """Records that wait in its journal; ``None`` where it has not told."""


class ReceiverState(NamedTuple):
    """One receiver, at one instant. Counts are since its start."""

    version: str
    host: str
    pid: int
    started: float
    """Seconds since the epoch."""

    made: float
    """When this picture was made, in seconds since the epoch."""

    log: str
    """The path that gives the log its name."""

    sinks: tuple[SinkState, ...]
    addresses: tuple[str, ...]
    is_ending: bool
    written: int
    bytes: int
    duplicates: int
    refused: Mapping[str, int]
    """Input that broke a rule or a limit, by kind."""

    given_up: Mapping[str, int]
    """Records that were lost before they could be delivered, by reason."""

    held: int
    """Records that the sink has not taken yet."""

    connections: int
    workers: tuple[WorkerState, ...]
    spool_dir: str | None
    late: int = 0
    """Records that came behind their time, where records are sorted by it."""
    is_standby: bool = False
    """Whether it waits for another receiver's end."""

    @property
    def is_ready(self) -> bool:
        """Whether the sinks take lines, and clients are served."""
        return not self.is_ending and all(sink.is_writing for sink in self.sinks)

    @property
    def trouble(self) -> str:
        """One line that says why it is not ready; empty where it is."""
        if self.is_ending:
            return "the receiver is ending"
        return next((sink.trouble for sink in self.sinks if not sink.is_writing), "")

    def as_fields(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        fields = self._asdict()
        fields["sinks"] = [sink._asdict() for sink in self.sinks]
        fields["workers"] = [worker._asdict() for worker in self.workers]
        fields["refused"], fields["given_up"] = dict(self.refused), dict(self.given_up)
        return fields
