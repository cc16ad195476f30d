"""Feeds mutations of hostile and honest input to everything that reads from the wire.

``python tests/support/fuzz_pickles.py --count 10000000 --seed 1`` is the long run (an hour and a half). Of
every ten inputs eight are pickles, one is a dense frame and one a whole stream of frames. Pickles
end in inert values or in a ``PayloadError``, a dense frame in lines that can be written, a stream in
the same events however it is cut. ``--what`` chooses one kind; ``--cost`` prints what the costliest
payloads of the corpus take to load and to render.
"""

from __future__ import annotations

import argparse
import json
import logging
import pickle
import random
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from loguru_stdbridge.exceptions import PayloadError, RowError
from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.record.encode import encode_logrecord
from loguru_stdbridge.record.row import encode_row, read_row, rendered_lines
from loguru_stdbridge.record.stock import row_of_stock_fields
from loguru_stdbridge.sink.replay import Replay
from loguru_stdbridge.wire.frames import MAX_PAYLOAD, encode_frame
from loguru_stdbridge.wire.receiving import (
    KnownReceived,
    PayloadRefused,
    ReceiverConnection,
    RowsReceived,
)
from loguru_stdbridge.wire.sending import SenderConnection
from tests.support.hostile import corpus, dense_corpus

SENDER = "0123456789abcdef" * 2
MAX_SEED = 4096  # bytes of an input that is mutated: what is large is covered as it is


def seeds() -> list[bytes]:
    """Return the payloads to begin with: the smaller ones of the corpus, and stock records."""
    small = [entry.payload for entry in corpus() if 0 < len(entry.payload) <= MAX_SEED]
    record = logging.makeLogRecord({"msg": "m", "extra_a": {"k": (1, [2.5, None])}, "b": b"x"})
    return small + [pickle.dumps(record.__dict__, p) for p in range(5)] * 10


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Yield ``count`` inputs, the same for the same ``seed``."""
    rng = random.Random(seed)
    pool = seeds()
    for _ in range(count):
        data = bytearray(rng.choice(pool))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(data) + 1)
            kind = rng.randrange(6)
            if kind == 0 and at < len(data):
                data[at] = rng.randrange(256)
            elif kind == 1 and at < len(data):
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 2:
                data[at:at] = bytes(
                    [rng.choice(b"(}].tudsaelN012hqRb\x81\x85\x86\x87\x8f\x90\x91\x93\x94")]
                )
            elif kind == 3:
                del data[at : at + rng.randint(1, 8)]
            elif kind == 4:
                other = rng.choice(pool)
                start = rng.randrange(len(other))
                data[at:at] = other[start : start + rng.randint(1, 64)]
            else:
                data[at:at] = data[at : at + rng.randint(1, 32)] * rng.randint(1, 3)
        yield bytes(data)


def run(seed: int, count: int, check: Callable[[object], None]) -> int:
    """Load every mutation; return how many were taken. Any other end fails, with its input."""
    taken = 0
    for data in mutations(seed, count):
        try:
            check(load_record(data))
            taken += 1
        except PayloadError:
            pass
        except BaseException as error:
            raise AssertionError(
                f"seed {seed}: {type(error).__name__}: {error}: {data!r}"
            ) from error
    return taken


# -- dense frames

WHOLE = [
    2, 1.7e9, 3600.0, "CET", 1.5, 20, "INFO", "i", "<red>", "message", "name", "function", 7, "f.py",
    "/f.py", "f", 1, "MainProcess", 2, "MainThread", ["E", "v", "Traceback:\nE: v\n", True],
    {"a": 1, "t": {"~": ["tuple", [1, {"~": ["set", []]}]]}, "s": {"~": ["as", ["set", [1, 2], "r", "s"]]},
     "when": {"~": ["datetime", ["2024-01-01T00:00:00", [3600.0, "CET"], 0]]}, "z": {"~": ["complex", [1, 2]]},
     "n": {"~": ["as", ["tuple", {"~": ["tuple", [1]]}, "P(x=1)", None]]}, "b": {"~": ["bytes", "ab"]},
     "d": {"~": ["dict", [[1, 2], [{"~": ["tuple", [3]]}, 4]]]}, "i": {"~": ["int", "0xff"]},
     "u": {"~": ["uuid", "0" * 32]}, "x": {"~": ["decimal", "1.5"]}, "g": {"~": ["timedelta", [1, 2, 3]]}},
    {"own": [1]},
]  # fmt: skip
RENDERED = [4, 1_700_000_000_000_000_000, 20, "INFO", "0" * 16, "line\n"]
NASTY: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**300, 10**500, -(10**500), 0.5, -0.0, 1e308,
    -1e308, float("nan"), float("inf"), float("-inf"), 253402300799.0, 253402300800, -62135596800, "",
    "\0", "\ud800", "{}", "{0.__class__}", "%s", "<red>", "x" * 5000, "../../etc/passwd", "a.b." * 500,
    "INFO", "NaN", "\n", "\x1b[2J", "\x85\u2028", [], [[]], {}, {"~": []}, {"~": None},
    {"~": ["tuple", [[]]]}, {"~": ["as", ["set", [[1], {"~": ["dict", [[1, 2]]]}], "r", None]]},
    {"~": ["as", ["as", 1, "r", None]]}, {"~": ["as", ["list", [1], "r", 5]]}, {"~": ["date", "9999-12-31"]},
    {"~": ["datetime", ["9999-12-31T23:59:59.999999", [-86399, None], 1]]}, {"~": ["time", ["x", 2]]},
    {"~": ["as", ["float", "nan", "r", None]]}, {"~": ["as", ["bytes", 10**9, "r", None]]},
    {"~": ["as", ["int", 1e308, "r", None]]}, {"~": ["as", ["str", [1], "r", None]]},
    {"~": ["as", ["dict", [[1, 2]], "r", None]]}, {"~": ["as", ["tuple", 10**9, "r", None]]},
    {"~": ["bytearray", 10**9]}, {"~": ["uuid", {"a": 1}]}, {"~": ["timedelta", [1e308, 0]]},
]  # fmt: skip


def _places(value: Any, found: list[Any]) -> list[Any]:
    """Add every ``(container, key)`` in a nested value to ``found``."""
    keys: Any = value.keys() if type(value) is dict else range(len(value))
    for key in list(keys):
        found.append((value, key))
        if type(value[key]) in (dict, list):
            _places(value[key], found)
    return found


def _copy(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if type(value) is list else value


def dense_mutation(rng: random.Random) -> bytes:
    """Make the payload of a frame of rows in which something is wrong."""
    rows = [_copy(rng.choice((WHOLE, WHOLE, RENDERED))) for _ in range(rng.randint(1, 3))]
    frame = [rng.choice((2, 2, 2, 2, 1, 0, 2**55 - 1, 2**55, "2", None)), *rows]
    for _ in range(rng.randint(1, 4)):
        container, key = rng.choice(_places(frame, []))
        if rng.random() < 0.8:
            container[key] = _copy(rng.choice(NASTY))
        elif type(container) is list and len(container) > 1:
            del container[key]
    payload = encode_row(frame)
    return _bent(payload, rng) if rng.random() < 0.1 else payload


def _bent(data: bytes, rng: random.Random) -> bytes:
    """Change, double or leave out a few of the bytes."""
    bent = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(bent) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            bent[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == 1:
            bent[at:at] = rng.choice(
                (b"[", b"{", b'"', b",", b"\\u", b"\xed\xa0\x80", b"1e999", b"-")
            )
        elif kind == 2:
            del bent[at : at + rng.randint(1, 8)]
        else:
            bent[at:at] = bent[at : at + rng.randint(1, 64)] * rng.randint(1, 3)
    return bytes(bent)


class Lines:
    """Writes frames of rows as a receiver does, to every kind of sink."""

    def __init__(self) -> None:
        form = "{time} {level} {level.icon} {name}:{line} {extra} {message} {process} {elapsed} {exception}"
        options: list[dict[str, Any]] = [
            {"serialize": True}, {"format": form}, {"format": form, "colorize": True},
            {"format": "{extra[a]} {message}", "filter": {"a.b": "INFO"}}, {"direct": False, "serialize": True},
        ]  # fmt: skip
        self.replays = [Replay(level=0, **option) for option in options]

    def write(self, payload: bytes) -> bool:
        """Return whether the payload was taken. Its lines can be encoded; JSON lines are JSON."""
        connection = ReceiverConnection(MAX_PAYLOAD)
        connection.sender = SENDER
        taken = False
        for event in connection.receive(encode_frame(payload)):
            if isinstance(event, PayloadRefused):
                assert isinstance(event.error, (RowError, PayloadError))
            elif isinstance(event, RowsReceived):
                taken = True
                rendered_lines(event.rows, "0" * 16)
                for fields in event.rows:
                    self._write_row(fields)
        return taken

    def _write_row(self, fields: Any) -> None:
        try:
            row = read_row(fields)
        except RowError:
            return
        for index, replay in enumerate(self.replays):
            text = replay.render_text(row)
            assert type(text) is str
            data = text.encode("utf-8", "backslashreplace")
            if index in (0, 4) and text and not row.flags & 1:
                assert type(json.loads(data)) is dict


# -- streams of frames


def stream(rng: random.Random) -> bytes:
    """Make frames of a sender and of a stranger, with an error somewhere, perhaps in a prefix."""
    sender = SenderConnection(SENDER)
    record = logging.makeLogRecord({"msg": "m", "levelno": 20, "levelname": "INFO"})
    row = encode_logrecord(record, lambda name: ("", None))
    frames = [
        sender.hello(row, 1, 1), sender.rows(2, [row, row]), sender.gap(4, 5, "x"), sender.stock(row, 6),
        sender.goodbye(6), encode_frame(pickle.dumps({"msg": "stock"}, 1)), encode_frame(dense_mutation(rng)),
        encode_frame(b""), sender.hello(row, 7, 3, notice=True),
    ]  # fmt: skip
    parts = [rng.choice(frames) for _ in range(rng.randint(0, 6))]
    if rng.random() < 0.7:
        parts.insert(0, frames[0])
    data = b"".join(parts)
    return _bent(data, rng) if data and rng.random() < 0.7 else data


def check_stream(data: bytes, rng: random.Random) -> bool:
    """Compare the events of several cuts of a stream; return whether nothing was refused."""
    outcomes = []
    for cut in (len(data) + 1, 1 + rng.randrange(64), 1 if len(data) < 2000 else 7):
        connection = ReceiverConnection(MAX_PAYLOAD)
        events: list[str] = []
        for at in range(0, len(data), cut):
            new = connection.receive(data[at : at + cut])
            for event in new:
                if isinstance(event, PayloadRefused):
                    events.append(f"{type(event.error).__name__} {event.fatal}")
                elif isinstance(event, KnownReceived):
                    events += map(repr, event.records)
                else:
                    events.append(repr(event))
            if any(isinstance(e, PayloadRefused) and e.fatal for e in new):
                break
        outcomes.append(events)
    assert outcomes[0] == outcomes[1] == outcomes[2]
    return not any(
        event.startswith(("RowError", "PayloadError", "FrameError")) for event in outcomes[0]
    )


def run_dense(seed: int, count: int) -> int:
    """Write every mutated frame; return how many were taken."""
    rng, lines = random.Random(seed), Lines()
    return sum(_guarded(seed, lines.write, dense_mutation(rng)) for _ in range(count))


def run_streams(seed: int, count: int) -> int:
    """Read every stream, cut in three ways; return how many had nothing to refuse."""
    rng = random.Random(seed)
    return sum(_guarded(seed, lambda d: check_stream(d, rng), stream(rng)) for _ in range(count))


def _guarded(seed: int, check: Callable[[bytes], bool], data: bytes) -> bool:
    try:
        return check(data)
    except BaseException as error:
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}: {data!r}") from error


# -- cost


def write_pickle(payload: bytes, replay: Replay) -> None:
    """Do with a stock payload what the receiver does."""
    try:
        fields = load_record(payload)
    except PayloadError:
        return
    replay.render_text(row_of_stock_fields(fields, 1.7e9, len(payload))).encode(
        "utf-8", "backslashreplace"
    )


def write_dense(payload: bytes, replay: Replay) -> None:
    """Do with a frame of rows what the receiver does."""
    connection = ReceiverConnection(MAX_PAYLOAD)
    connection.sender = SENDER
    texts = []
    for event in connection.receive(encode_frame(payload)):
        for fields in event.rows if isinstance(event, RowsReceived) else ():
            try:
                texts.append(replay.render_text(read_row(fields)))
            except RowError:
                continue
    "".join(texts).encode("utf-8", "backslashreplace")


def _cost() -> None:
    figures = []
    replays = Lines().replays
    for write, entries in ((write_pickle, corpus()), (write_dense, dense_corpus())):
        for entry in entries:
            for number, replay in enumerate(replays):
                write(entry.payload, replay)
                best = min(_timed(write, entry.payload, replay) for _ in range(2))
                tracemalloc.start()
                write(entry.payload, replay)
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                figures.append((best, peak, len(entry.payload), f"{entry.name} (sink {number})"))
    for order in (0, 1):
        print("processor time" if order == 0 else "memory")
        for best, peak, size, name in sorted(figures, key=lambda f: f[order], reverse=True)[:15]:
            print(f"{best * 1e3:8.1f} ms {peak / 1e6:7.1f} MB  {size:9,} bytes  {name}")


def _timed(write: Callable[[bytes, Replay], None], payload: bytes, replay: Replay) -> float:
    start = time.process_time()
    write(payload, replay)
    return time.process_time() - start


RUNS: dict[str, Callable[[int, int], int]] = {
    "pickles": lambda seed, count: run(seed, count, lambda fields: None),
    "dense": run_dense,
    "streams": run_streams,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--what", choices=[*RUNS, "all"], default="all")
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.cost:
        _cost()
        sys.exit()
    tenths = (
        {"pickles": 8, "dense": 1, "streams": 1} if options.what == "all" else {options.what: 10}
    )
    for what, share in tenths.items():
        start = time.monotonic()
        count = options.count * share // 10
        taken = RUNS[what](options.seed, count)
        print(
            f"{count:,} {what}, seed {options.seed}: {taken:,} taken, the rest refused, "
            f"nothing else; {time.monotonic() - start:.0f} s",
            flush=True,
        )
