"""Measure what a stock client's record costs the receiver, in units of ``pickle.loads``.

``pickle.loads`` of the same bytes is timed in the same run, in turn with the rest: it is what the
logging cookbook's receiver does first, and no protection. *Read* is a record's fields from the bytes
of its frame. *Whole* is the receiver's work: cut the stream into frames, read, check, render the
line, hand it to a sink that does nothing.

The records are those of a real ``SocketHandler``, in four programs: one that logs from one place; one
that logs from 40 places in 10 files; one that gives each record three values of ``extra=``; and the
worst case, a new thread for each record, of which nothing is known. *Safely* is the same record read
by the safe reader, as the first ones of a client are.
"""

from __future__ import annotations

import logging
import logging.handlers
import pickle
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

from loguru_stdbridge.pickles.known import KnownShapes, RecordReader
from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.receiver.sequencing import SequencedWriter
from loguru_stdbridge.receiver.writer import Writer
from loguru_stdbridge.sink.blocks import Block
from loguru_stdbridge.sink.replay import Replay
from loguru_stdbridge.wire.frames import MAX_PAYLOAD, encode_frame
from loguru_stdbridge.wire.receiving import KnownReceived, ReceiverConnection, StrangerReceived

from .figure import Figure, Options, Sample, Samples, at_most, table
from .lines import message

_RECORDS = 2_000
_TURNS = 15
_CHUNK = 64 * 1024  # bytes that come from a socket at a time

_CASES: dict[str, Callable[[int], dict[str, Any]]] = {
    "one place": lambda number: {},
    "40 places": lambda number: {
        "funcName": f"function_{number % 40}",
        "lineno": 100 + number % 40 * 7,
        "pathname": f"/srv/shop/views/checkout{number % 10}.py",
    },
    "extra": lambda number: {"request_id": f"{number:016x}", "user": number, "share": number / 7},
    "new threads": lambda number: {
        "thread": 140_000_000_000_000 + 4096 * number,
        "threadName": f"Thread-{number} (process_request_thread)",
    },
}
_TARGETS = ("one place", "40 places", "extra")


def _payload(number: int, case: str) -> bytes:
    record = logging.LogRecord(
        "shop.views.checkout", 20, "/srv/shop/views/checkout.py", 120, message("%d"), (1, number),
        None, "handle_request",
    )  # fmt: skip
    record.__dict__.update(_CASES[case](number))
    return logging.handlers.SocketHandler("localhost", 1).makePickle(record)[4:]


class _NoSink:
    path = ""
    needs_records = False

    def write(self, blocks: Sequence[Block]) -> int:
        return sum(len(block.texts) for block in blocks)

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Receiver:
    """The receiver's work on what one client sends, without a socket and a file."""

    def __init__(self) -> None:
        self._connection = ReceiverConnection(MAX_PAYLOAD)
        self._writer = Writer(Replay(), _NoSink(), print, format_id="")
        self._records = SequencedWriter(self._writer, lambda sender: 0)

    def take(self, data: bytes) -> None:
        for event in self._connection.receive(data):
            if isinstance(event, KnownReceived):
                self._records.take_known(event)
            else:
                assert isinstance(event, StrangerReceived)
                self._records.take_stock(event)
        self._writer.write()

    @property
    def records(self) -> int:
        return self._writer.records


def _time_each(work: Callable[[Any], object], items: Sequence[Any]) -> float:
    """Return the processor's seconds of this thread for all items."""
    start = time.thread_time()
    for item in items:
        work(item)
    return time.thread_time() - start


class StockRecords(Figure):
    name = "stock"
    title = "A stock client's record in the receiver, in units of pickle.loads of the same bytes"

    def cases(self, options: Options) -> list[str]:
        return list(_CASES)

    def measure(self, case: str, options: Options, directory: Path) -> Sample:
        payloads = [_payload(number, case) for number in range(_RECORDS)]
        stream = b"".join(map(encode_frame, payloads))
        chunks = [stream[at : at + _CHUNK] for at in range(0, len(stream), _CHUNK)]
        reader, receiver = RecordReader(KnownShapes()), _Receiver()
        while reader.read_known(payloads[0]) is None:  # its shape is learned
            reader.read(payloads[0])
        works: dict[str, tuple[Callable[[Any], object], Sequence[Any]]] = {
            "loads": (pickle.loads, payloads),
            "read": (reader.read_known, payloads),
            "whole": (receiver.take, chunks),
            "safely": (load_record, payloads),
        }
        times: dict[str, list[float]] = {name: [] for name in works}
        assert all(reader.read_known(payload) for payload in payloads)
        for work, items in works.values():  # so that caches are warm
            _time_each(work, items)
        for _ in range(_TURNS):
            for name, (work, items) in works.items():
                times[name].append(_time_each(work, items))
        assert receiver.records == (1 + _TURNS) * _RECORDS
        loads = statistics.median(times["loads"])
        return {
            "loads_us": loads / _RECORDS * 1e6,
            **{
                name: statistics.median(times[name]) / loads for name in ("read", "whole", "safely")
            },
        }

    def report(self, samples: Samples, options: Options) -> str:
        rows = [
            [
                case,
                *samples.cells(case, "loads_us", ".2f")[:1],
                *samples.cells(case, "read", ".2f"),
                *samples.cells(case, "whole", ".2f"),
                *samples.cells(case, "safely", ".1f")[:1],
            ]
            for case in samples
        ]
        found = []
        for case in _TARGETS:
            found.append(at_most(f"{case}: read", samples.median(case, "read"), 2.0))
            found.append(at_most(f"{case}: whole", samples.median(case, "whole"), 4.5))
        head = ["", "loads, us", "read", "min", "max", "whole", "min", "max", "safely"]
        return table(head, rows) + "\n\n" + "\n".join(found)
