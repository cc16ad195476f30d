"""Known shapes: what a skeleton reads is what the safe reader reads, and the rest is left to it."""

from __future__ import annotations

import pickle
import random

import pytest

from loguru_stdbridge.pickles import outline, skeleton
from loguru_stdbridge.pickles.known import KnownShapes, RecordReader
from loguru_stdbridge.pickles.outline import find_outline
from loguru_stdbridge.pickles.read import load_record
from loguru_stdbridge.pickles.skeleton import Skeleton
from tests.support import fuzz_skeletons
from tests.support.fuzz_skeletons import RECORDED, recorded, whole_record
from tests.support.hostile import call, corpus, record, text

CLIENTS = sorted(path.stem for path in RECORDED.glob("*.gz"))


def skeleton_of(payload):
    """Return the skeleton of a payload; ``None`` if its shape is for the safe reader."""
    found = find_outline(payload)
    return None if found is None else Skeleton(found, lambda size: None)


def read_all(payloads, rounds=4):
    """Read payloads as a client's, over and over; return how many of the last round were known."""
    reader = RecordReader(KnownShapes())
    for _ in range(rounds):
        known = 0
        for payload in payloads:
            answer = reader.read_known(payload)
            fields = reader.read(payload) if answer is None else answer[0]
            assert repr(fields) == repr(load_record(payload))
            known += answer is not None
    return known


def test_all_clients_are_recorded():
    """There are records of the Pythons from 2.7 to 3.13, and of picologging."""
    assert len(CLIENTS) == 10


@pytest.mark.parametrize("client", CLIENTS)
def test_a_socket_handler_s_records_are_known(client):
    """Nearly all records of a real ``SocketHandler`` have known shapes after a while."""
    payloads = recorded(client)
    assert len(payloads) > 70
    assert read_all(payloads, 8) >= 0.75 * len(payloads)


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_whole_records_are_known_in_every_protocol(protocol):
    """Records that are pickled with arguments and nested ``extra`` have known shapes."""
    payloads = [whole_record(20 * number, protocol) for number in range(60)]
    assert read_all(payloads) == len(payloads)


def test_protocol_0_is_for_the_safe_reader():
    """A pickle of protocol 0 has no known shape, and is read all the same."""
    assert read_all([whole_record(number, 0) for number in range(10)]) == 0


def fields_of(number):
    """Make the fields of a record, of which number 0 and number 1 have one shape."""
    name = "process" if number else "request"
    return {
        "name": name, "msg": f"message {number}" * (1 + number), "args": None, "levelno": 20 * (1 + number * 20),
        "funcName": name, "created": 1.5 * number, "thread": 140_000_000_000_000 + number, "lineno": 255 + number,
        "shown": name, "more": [number, (name, {"k": 0.5}), []],
    }  # fmt: skip


@pytest.mark.parametrize("protocol", [1, 2, 3, 4, 5])
def test_values_of_every_size_are_read(protocol):
    """A skeleton reads integers of other sizes, shared texts, and nested values of its shape."""
    first, second = (pickle.dumps(fields_of(number), protocol) for number in (0, 1))
    answer, _ = skeleton_of(first).read(second)
    assert answer == load_record(second) == fields_of(1)


@pytest.mark.parametrize("protocol", [1, 2, 4])
def test_a_value_that_is_a_key_is_part_of_the_shape(protocol):
    """A text that serves as a key later, by the memo, is never taken for another one."""
    shared = "".join(["pro", "cess"])
    first = pickle.dumps({"funcName": shared, "msg": "m", shared: 5, "name": "n"}, protocol)
    other = first.replace(b"process", b"progress"[:7])
    reader = skeleton_of(first)
    assert first.count(b"process") == 1
    assert reader.read(first)[0] == load_record(first)
    assert reader.read(other) is None
    assert "progres" in load_record(other)


UNSUITABLE = {
    "a call": record(call("os getcwd", b"")),
    "a set": pickle.dumps({"msg": {1, 2}}, 4),
    "bytes": pickle.dumps({"msg": b"x"}, 4),
    "a key twice": b"}(" + text("msg") + b"N" + text("msg") + b"Nu.",
    "a key that is no text": b"}(K\1Nu.",
    "an item without a value": b"}(" + text("a") + b"u(" + text("b") + b"u.",
    "a list within itself": record(b"]q\0h\0a"),
    "a list twice": b"}(" + text("a") + b"]q\1" + text("b") + b"h\1u.",
    "a text beyond the end": record(b"X\xff\0\0\0abc"),
    "an integer of 9 bytes": record(b"\x8a\x09" + b"\1" * 9),
    "a line that is no number": record(b"I1_0\n"),
    "a frame that ends early": b"\x80\x04\x95\x01\0\0\0\0\0\0\0" + record(b"N"),
    "a frame behind a frame": pickle.dumps({"msg": "x" * 100_000}, 4),
    "many containers": record(b"(" + b"]" * 50 + b"t"),
    "deep lists": record(b"]" * 60 + b"a" * 59),
    "many values": record(b"(" + b"K\1" * 200 + b"t"),
    "many recalls": record(b"(" + text("a") + b"q\1" + b"h\1" * 40 + b"t"),
    "a memo never put": record(b"h\7"),
    "a mark left open": b"(" + record(b"N"),
    "a value left over": b"N" + record(b"N"),
    "a list": b"].",
    "nothing": b"",
    "no end": b"}",
    "more behind the end": record(b"N") + b"x",
    "an unknown opcode": record(b"\xff"),
}


@pytest.mark.parametrize("name", UNSUITABLE)
def test_what_no_known_shape_has(name):
    """A payload with anything beyond texts, numbers and plain containers has no known shape."""
    assert skeleton_of(UNSUITABLE[name]) is None


def test_hostile_payloads_teach_nothing_wrong():
    """A shape learned from any payload of the corpus reads it, and each other, as the safe reader does."""
    entries = [entry.payload for entry in corpus() if len(entry.payload) <= 100_000]
    skeletons = [found for found in map(skeleton_of, entries) if found is not None]
    assert skeletons
    for payload in entries:
        for each in skeletons:
            answer = each.read(payload)
            if answer is not None:
                assert repr(answer[0]) == repr(load_record(payload))


def test_a_known_shape_reaches_no_bound_of_the_safe_reader():
    """The costliest payload that a skeleton reads is one that the safe reader takes."""
    recalls = outline.MAX_RECALLED
    payload = record(
        b"(" + text("x" * (skeleton.MAX_KNOWN_PAYLOAD - 200)) + b"q\1" + b"h\1" * recalls + b"t"
    )
    assert len(payload) <= skeleton.MAX_KNOWN_PAYLOAD
    (answer, _) = skeleton_of(payload).read(payload)
    assert answer == load_record(payload)
    levels = outline.MAX_CONTAINERS - 1
    nested = record(b"]" * levels + b"a" * (levels - 1))
    assert repr(skeleton_of(nested).read(nested)[0]) == repr(load_record(nested))


def test_each_record_has_containers_of_its_own():
    """A list that is always the same is made anew for each record."""
    payload = pickle.dumps({"msg": "m", "tags": []}, 1)
    reader = skeleton_of(payload)
    first, second = reader.read(payload)[0], reader.read(payload)[0]
    first["tags"].append(1)
    first["msg"] = "changed"
    assert second == reader.read(payload)[0] == {"msg": "m", "tags": []}


def test_every_cut_and_every_byte_of_a_record():
    """A record that is cut anywhere, or in which any byte is changed, is read as by the safe reader."""
    payload = recorded("cpython-3.12")[0]
    reader = skeleton_of(payload)
    for at in range(len(payload)):
        changed = [
            payload[:at],
            *(payload[:at] + bytes([b]) + payload[at + 1 :] for b in (0, 75, 88, 255)),
        ]
        for each in changed:
            answer = reader.read(each)
            if answer is not None:
                assert repr(answer[0]) == repr(load_record(each))
            elif each == payload:
                pytest.fail("its own record is not known")


def test_a_hundred_thousand_mutations_of_known_shapes():
    """100,000 mutations of known records are read alike by both readers; the message has the seed."""
    seed = random.Random().randrange(2**32)
    found = fuzz_skeletons.run(seed, 100_000)
    assert found.answered > 5_000, f"seed {seed}"
    assert len(found.skeletons) > 100, f"seed {seed}"


def test_what_the_comparison_would_find():
    """The comparison of the two readers fails for a skeleton that takes what the safe reader refuses."""
    comparison = fuzz_skeletons.Comparison(1)
    with pytest.raises(AssertionError, match="refused"):
        for number, payload in comparison.mutations(20_000):
            found = comparison._of[number]
            found.read = lambda payload, found=found, own=comparison.payloads[number]: (
                Skeleton.read(found, own)
            )
            comparison.check(number, payload)
