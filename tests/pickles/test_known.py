"""Which shapes are known: learned late, tried seldom where they do not fit, forgotten when many."""

from __future__ import annotations

import logging
import pickle
import tracemalloc

import pytest

from loguru_stdbridge.exceptions import PayloadError
from loguru_stdbridge.pickles import known, skeleton
from loguru_stdbridge.pickles.known import KnownShapes, RecordReader
from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.record.stock import MARK


def payload(number=0, name="app", protocol=1, **extra):
    """Pickle a record with its own message; each set of names in ``extra`` is a shape."""
    fields = {"msg": f"message {number}", "name": name, "levelno": 20, "levelname": "INFO", **extra}
    return pickle.dumps(logging.makeLogRecord(fields).__dict__, protocol)


def read(reader, data):
    """Read a payload as a receiver does; return whether its shape was known."""
    answer = reader.read_known(data)
    if answer is None:
        assert reader.read(data) == load_record(data)
        return False
    assert answer[0] == load_record(data)
    return True


def test_a_shape_is_learned_when_it_has_come_several_times():
    """A client's first records are read safely, and the next ones by their shape."""
    reader = RecordReader(KnownShapes())
    answers = [read(reader, payload(number)) for number in range(10)]
    assert answers == [False] * known.FIRST_PRICE + [True] * (10 - known.FIRST_PRICE)


def test_another_client_of_the_same_program_shares_what_is_known():
    """Clients whose records have one shape share its skeleton."""
    shared = KnownShapes()
    readers = [RecordReader(shared) for _ in range(3)]
    for reader in readers:
        for number in range(10):
            read(reader, payload(number))
    assert len({id(reader._skeletons[0]) for reader in readers}) == 1


def test_each_further_shape_takes_twice_as_many_records():
    """A client with ever new shapes has a few of them learned, each after twice as many records."""
    reader = RecordReader(KnownShapes())
    learned = []
    for number in range(2_000):
        before = len(reader._skeletons)
        read(reader, payload(number, **{f"extra_{number}": number}))
        if len(reader._skeletons) > before:
            learned.append(number + 1)
    waits = [later - earlier for earlier, later in zip([0, *learned], learned)]
    assert waits == [known.FIRST_PRICE << n for n in range(known.MAX_SHAPES_OF_CLIENT)]


def test_records_that_fit_no_shape_are_tried_seldom(monkeypatch):
    """A client whose records have ceased to fit has few of them tried, until one fits again."""
    reader = RecordReader(KnownShapes())
    for number in range(10):
        read(reader, payload(number))
    tries = []
    honest = skeleton.Skeleton.read
    monkeypatch.setattr(
        skeleton.Skeleton, "read", lambda self, data: tries.append(1) or honest(self, data)
    )
    other = pickle.dumps({"msg": {1}}, 1)
    for _ in range(2_000):
        read(reader, other)
    assert len(tries) < 100
    assert any(read(reader, payload(1)) for _ in range(known.MAX_UNTRIED + 1))
    tries.clear()
    assert [read(reader, payload(1)), read(reader, other), read(reader, payload(1))] == [
        True,
        False,
        True,
    ]


def test_two_shapes_by_turns_are_both_known():
    """A client that logs with and without an exception has both shapes known."""
    reader = RecordReader(KnownShapes())
    both = [payload(), payload(exc_text="Traceback")]
    answers = [read(reader, both[number % 2]) for number in range(40)]
    assert all(answers[20:])


def test_what_is_known_is_forgotten_when_it_is_much(monkeypatch):
    """Beyond ``MAX_KNOWN_BYTES`` everything is forgotten, and what comes again is learned again."""
    monkeypatch.setattr(known, "MAX_KNOWN_BYTES", 1_000_000)
    shapes = KnownShapes()
    honest, hostile = RecordReader(shapes), RecordReader(shapes)
    for number in range(10):
        read(honest, payload(number))
    number = 0
    while not shapes.generation:
        name = f"{number // 2}" * (
            800 // len(f"{number // 2}")
        )  # a stretch is kept when it comes again
        read(hostile, payload(number, name=name))
        assert shapes._held <= known.MAX_KNOWN_BYTES
        number += 1
    assert shapes._held < 100_000
    assert len(shapes._skeletons) <= 1
    assert [read(honest, payload(number)) for number in range(6)] == [False] * 4 + [True] * 2


def test_a_client_that_says_nothing_more_holds_nothing(monkeypatch):
    """Clients that have taught shapes and are silent hold nothing of what was forgotten since."""
    monkeypatch.setattr(known, "MAX_KNOWN_BYTES", 300_000)
    shapes = KnownShapes()
    silent = []
    tracemalloc.start()
    try:
        for client in range(20):
            reader = RecordReader(shapes)
            for number in range(40):  # each place twice
                data = payload(lineno=number // 2, **{f"own_{client}": "x" * 500})
                read(reader, data)
            silent.append(reader)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert shapes.generation >= 3
    assert taken < 2 * known.MAX_KNOWN_BYTES
    assert not any(read(reader, payload(5)) for reader in silent)


@pytest.mark.parametrize("name", ["names", "threads"])
def test_stretches_are_bounded(name):
    """Neither names nor threads that never come again are kept, and those that do are bounded."""
    shapes = KnownShapes()
    reader = RecordReader(shapes)
    for number in range(3 * skeleton.MAX_STRETCHES):
        for _ in range(1 if name == "threads" else 2):
            extra = (
                {"threadName": f"Thread-{number}"} if name == "threads" else {"name": f"n{number}"}
            )
            read(reader, payload(**extra))
    (found,) = reader._skeletons
    kept = [len(step.stretches) for step in found._steps if step.stretches is not None]
    assert max(kept) <= (2 if name == "threads" else skeleton.MAX_STRETCHES)
    assert len(found._combinations) <= skeleton.MAX_COMBINATIONS


@pytest.mark.parametrize("kind", ["shapes", "places", "long names"])
def test_the_estimate_of_memory_is_right(kind):
    """What is known takes at most twice the memory that it is estimated to take."""
    shapes = KnownShapes()
    datas = []
    for number in range(100):
        own = {"shapes": {f"k{number}": 1}, "places": {"lineno": number}}
        names = own.get(kind, {"name": f"{number:03d}" * 100})
        datas.append(payload(**{"lineno": 0, "funcName": "f", "module": "m", **names}))
    fields = [load_record(data) for data in datas]
    read(RecordReader(shapes), datas[0])
    before = shapes._held
    tracemalloc.start()
    try:
        for data, found in zip(datas, fields):
            learned = shapes.learn(data, found)
            for _ in range(3):
                learned.read(data)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 100_000 < taken < 2 * (shapes._held - before)


def test_our_own_records_are_never_known():
    """A record with the mark of this package has no known shape."""
    reader = RecordReader(KnownShapes())
    assert not any(read(reader, payload(**{MARK: 5})) for _ in range(20))


def test_a_large_payload_is_for_the_safe_reader():
    """A payload beyond the bound is neither tried nor learned."""
    reader = RecordReader(KnownShapes())
    large = payload(extra="x" * skeleton.MAX_KNOWN_PAYLOAD)
    assert not any(read(reader, large) for _ in range(20))
    assert reader._skeletons == []


def test_a_refused_payload_is_refused_and_not_learned():
    """A payload that the safe reader refuses raises its error, shapes known or not."""
    reader = RecordReader(KnownShapes())
    for number in range(10):
        read(reader, payload(number))
        cut = payload(number)[:-1]
        assert reader.read_known(cut) is None
        with pytest.raises(PayloadError, match="truncated"):
            reader.read(cut)
    assert len(reader._skeletons) == 1
