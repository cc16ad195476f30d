"""Compares the reader that knows shapes with the safe one, on mutations of records of known shapes.

``python -m tests.support.fuzz_skeletons --count 10000000 --seed 1`` is the long run. Skeletons are
learned from honest records first (of every Python whose records are in ``tests/pickles/stock``, and of
every pickle protocol), and from mutations that the safe reader takes. Then records are mutated, at
every byte of each and at random, and read by the skeleton of the record and by that of another one.
Where a skeleton answers, the safe reader gives the same answer, and both give the same row.
"""

from __future__ import annotations

import argparse
import gzip
import logging
import pickle
import random
import time
from collections.abc import Iterator
from pathlib import Path

from loguru_stdbridge.exceptions import PayloadError
from loguru_stdbridge.pickles.known import KnownShapes
from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.pickles.skeleton import Skeleton
from loguru_stdbridge.record.stock import row_of_stock_fields
from loguru_stdbridge.record.stock_rows import StockRows
from loguru_stdbridge.wire.frames import FrameDecoder

RECORDED = Path(__file__).parent.parent / "pickles" / "stock"
NOW = 1.7e9
MAX_POISONED = 500  # skeletons that are learned from mutations, beside those of honest records
OPCODES = b"(}].tudsaelN012hqrjRbXUTKMJILGC\x80\x85\x86\x87\x88\x89\x8a\x8c\x8f\x90\x94\x95"
TEXTS = [
    b"\xed\xa0\x80", b"\xff", b"\xc3", "\u20ac\U0001f600".encode(), b"\0", b"\n", b"L\n", b"%s", b"{}",
    b"X\x07\0\0\0created", b"X\x03\0\0\0msgq\x03X", b"u.", b"",
]  # fmt: skip


def recorded(name: str) -> list[bytes]:
    """Return the payloads that a Python, or another library, has sent."""
    payloads = FrameDecoder().feed(gzip.decompress((RECORDED / f"{name}.gz").read_bytes()))
    return [bytes(payload) for payload in payloads]  # type: ignore[arg-type]


def whole_record(number: int, protocol: int) -> bytes:
    """Pickle a record as handlers that others wrote do: its attributes, arguments and all."""
    extras = [
        {}, {"user": "ann", "n": number}, {"request": {"id": number, "path": "/x"}, "tags": ["a", 1.5]},
        {"flag": number % 2 == 0, "none": None, "big": 2**40 + number, "empty": [], "nested": ((1, ()), [{}])},
    ]  # fmt: skip
    args = [(), ("x", number), ({"k": number},), (1.5,), (number, "y", None, "z")][number % 5]
    fields = {"msg": "message %s", "args": args, "levelno": 20, "levelname": "INFO", "name": "app.sub",
              "lineno": number, "funcName": "process" if number % 3 else "run", **extras[number % 4]}  # fmt: skip
    return pickle.dumps(logging.makeLogRecord(fields).__dict__, protocol)


def honest_payloads() -> list[bytes]:
    """Return records of every kind, none larger than it has to be."""
    found = [p for path in sorted(RECORDED.glob("*.gz")) for p in recorded(path.stem)]
    for payload in recorded("cpython-3.13")[:8]:
        found += [pickle.dumps(load_record(payload), protocol) for protocol in (2, 4, 5)]
    return found + [whole_record(number, p) for p in (1, 2, 4, 5) for number in range(40)]


class Comparison:
    """Learns the shapes of honest records, and compares the two readers."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.known = KnownShapes()
        self.rows = StockRows()
        self.answered = 0
        self.payloads: list[bytes] = []
        self.skeletons: list[Skeleton] = []
        self._of: dict[int, Skeleton] = {}
        self._poisoned = 0
        for payload in honest_payloads():
            skeleton = self.known.learn(payload, load_record(payload))
            assert skeleton is not None, payload
            self._add(payload, skeleton)

    def _add(self, payload: bytes, skeleton: Skeleton) -> None:
        self._of[len(self.payloads)] = skeleton
        self.payloads.append(payload)
        if skeleton not in self.skeletons:
            self.skeletons.append(skeleton)

    def poison(self, payload: bytes) -> None:
        """Learn the shape of a mutation, if the safe reader takes it."""
        if self._poisoned >= MAX_POISONED:
            return
        try:
            fields = load_record(payload)
        except PayloadError:
            return
        skeleton = self.known.learn(payload, fields)
        if skeleton is not None and skeleton not in self.skeletons:
            self._poisoned += 1
            self._add(payload, skeleton)

    def check(self, number: int, payload: bytes) -> None:
        """Compare what is made of a mutation of a record. Raises ``AssertionError``."""
        for skeleton in (self._of[number], self.rng.choice(self.skeletons)):
            answer = skeleton.read(payload)
            if answer is None:
                continue
            self.answered += 1
            fields, repeated = answer
            try:
                wanted = load_record(payload)
            except PayloadError as error:
                raise AssertionError(f"seed {self.seed}: refused, {error}: {payload!r}") from None
            assert repr(fields) == repr(wanted), f"seed {self.seed}: {payload!r}"
            row = self.rows.make(fields, repeated, NOW)
            wanted_row = row_of_stock_fields(wanted, NOW, len(payload))
            assert repr(row) == repr(wanted_row), f"seed {self.seed}: {payload!r}"

    def mutations(self, count: int) -> Iterator[tuple[int, bytes]]:
        """Yield mutations: of every byte of each record in turn, and as many at random."""
        done = 0
        while done < count:
            for number in range(len(self.payloads)):
                payload = self.payloads[number]
                for at in range(len(payload)):
                    yield number, self._mutate_at(payload, at)
                    other = self.rng.randrange(len(self.payloads))
                    yield other, self._mutate(self.payloads[other])
                    done += 2
                    if done >= count:
                        return

    def _mutate_at(self, payload: bytes, at: int) -> bytes:
        kind, rng = self.rng.randrange(8), self.rng
        if kind == 0:
            return payload[:at] + bytes([payload[at] ^ (1 << rng.randrange(8))]) + payload[at + 1 :]
        if kind == 1:
            return payload[:at] + bytes([rng.randrange(256)]) + payload[at + 1 :]
        if kind == 2:
            return payload[:at] + bytes([rng.choice(OPCODES)]) + payload[at + rng.randrange(2) :]
        if kind == 3:
            return payload[:at] + payload[at + rng.randint(1, 9) :]
        if kind == 4:
            return payload[:at]
        if kind == 5:
            piece = payload[at : at + rng.randint(1, 32)]
            return payload[:at] + piece * rng.randint(2, 3) + payload[at + len(piece) :]
        if kind == 6:
            return self._with_text(payload, at)
        other = rng.choice(self.payloads)
        start = rng.randrange(len(other))
        size = rng.randint(1, 64)
        return payload[:at] + other[start : start + size] + payload[at + rng.choice((0, size)) :]

    def _with_text(self, payload: bytes, at: int) -> bytes:
        """Replace the next text by another one, its length included."""
        start = payload.find(b"X", at) + 1
        if not start:
            return payload
        end = start + 4 + int.from_bytes(payload[start : start + 4], "little")
        text = bytearray(payload[start + 4 : end][: self.rng.choice((0, 5, 1000))])
        where = self.rng.randrange(len(text) + 1)
        text[where:where] = self.rng.choice(TEXTS)
        changed = payload[:start] + len(text).to_bytes(4, "little") + text + payload[end:]
        if changed[2:3] == b"\x95" and self.rng.random() < 0.9:
            changed = changed[:3] + max(len(changed) - 11, 0).to_bytes(8, "little") + changed[11:]
        return changed

    def _mutate(self, payload: bytes) -> bytes:
        for _ in range(self.rng.randint(1, 3)):
            payload = self._mutate_at(payload, self.rng.randrange(len(payload) or 1)) or b"."
        return payload


def run(seed: int, count: int) -> Comparison:
    """Compare the readers on ``count`` mutations; return the comparison. Raises where they differ."""
    comparison = Comparison(seed)
    for done, (number, payload) in enumerate(comparison.mutations(count)):
        comparison.check(number, payload)
        if not done % 50:
            comparison.poison(payload)
    return comparison


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    start = time.monotonic()
    found = run(options.seed, options.count)
    print(
        f"{options.count:,} mutations, seed {options.seed}, {len(found.skeletons)} skeletons: "
        f"{found.answered:,} answers, each the safe reader's; {time.monotonic() - start:.0f} s"
    )
