"""Mutations of hostile and stock payloads, against the reader of strangers' pickles.

``python tests/fuzz_pickles.py --count 10000000 --seed 1`` is the long run (about half an hour);
``--cost`` prints what each entry of the corpus costs to load and to render.
"""

from __future__ import annotations

import argparse
import logging
import pickle
import random
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Callable, Iterator, List

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loguru_stdbridge.exceptions import PayloadError  # noqa: E402
from loguru_stdbridge.strangers import load_record  # noqa: E402
from tests.hostile import corpus  # noqa: E402

MAX_SEED = 4096  # bytes of an input that is mutated: what is large is covered as it is


def seeds() -> List[bytes]:
    """Payloads to begin with: the smaller ones of the corpus, and stock records."""
    small = [entry.payload for entry in corpus() if 0 < len(entry.payload) <= MAX_SEED]
    record = logging.makeLogRecord({"msg": "m", "extra_a": {"k": (1, [2.5, None])}, "b": b"x"})
    return small + [pickle.dumps(record.__dict__, p) for p in range(5)] * 10


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """``count`` inputs, the same for the same ``seed``."""
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
                data[at:at] = bytes([rng.choice(b"(}].tudsaelN012hqRb\x81\x85\x86\x87\x8f\x90\x91\x93\x94")])
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
    """Load every mutation; returns how many were taken. Any other end is an error, with its input."""
    taken = 0
    for data in mutations(seed, count):
        try:
            check(load_record(data))
            taken += 1
        except PayloadError:
            pass
        except BaseException as error:
            raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}: {data!r}") from error
    return taken


def _cost() -> None:
    from loguru_stdbridge.receiver.replay import Replay
    from loguru_stdbridge.records import row_of_stock_fields

    replays = [Replay(level=0, serialize=True), Replay(level=0, format="{message} {extra}")]

    def handle(payload: bytes) -> None:
        try:
            row = row_of_stock_fields(load_record(payload), 1.7e9)
        except PayloadError:
            return
        for replay in replays:
            replay.render(row)

    figures = []
    for entry in corpus():
        handle(entry.payload)
        best = min(_timed(handle, entry.payload) for _ in range(3))
        tracemalloc.start()
        handle(entry.payload)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        figures.append((best, peak, len(entry.payload), entry.name))
    for best, peak, size, name in sorted(figures, reverse=True)[:15]:
        print(f"{best * 1e3:8.1f} ms {peak / 1e6:7.1f} MB  {size:9,} bytes  {name}")


def _timed(function: Callable[[bytes], None], payload: bytes) -> float:
    start = time.perf_counter()
    function(payload)
    return time.perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.cost:
        _cost()
    else:
        start = time.monotonic()
        taken = run(options.seed, options.count, lambda fields: None)
        print(
            f"{options.count:,} inputs, seed {options.seed}: {taken:,} taken, the rest refused, "
            f"nothing else; {time.monotonic() - start:.0f} s"
        )
