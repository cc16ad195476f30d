"""Has an open log file follow other options: rotation, retention and compression.

In two steps, so that a receiver of several sinks changes all of them or none: what a value means is
found out first, and nothing can be refused after that. What is compressed already, or is in hand,
stays as it is.
"""

from __future__ import annotations

from typing import Any, Callable

from .archive import Archiver
from .internals import compile_rotation, private_logger, read_sink_path, read_size
from .ledger import Ledger
from .retention import spare_other_logs
from .rotating import RotatingSink


def prepare_change(
    sink: RotatingSink,
    path: str,
    ledger: Ledger,
    report: Callable[[str], None],
    *,
    rotation: Any = None,
    retention: Any = None,
    compression: Any = None,
) -> Callable[[], None]:
    """Return what has ``sink`` follow these options in place of those it was opened with.

    ``path`` and ``ledger`` are the sink's. Raises what loguru raises for a value that it cannot
    use. What is returned raises :class:`SinkError` where the file cannot be opened anew; the next
    write tries again.
    """
    decide = compile_rotation(rotation)
    place = read_sink_path(path)
    remove = spare_other_logs(retention, place)
    checker = private_logger()
    checker.remove(
        checker.add(
            place.template, rotation=_never, retention=remove, compression=compression, delay=True
        )
    )

    def apply() -> None:
        archiver = None
        if compression is not None:
            archiver = sink.archiver or Archiver(compression, path, ledger, report)
            archiver.change(compression)
        sink.size_limit = read_size(rotation)
        sink.follow(decide, remove, archiver)

    return apply


def _never(message: Any, file: Any) -> bool:
    return False
