"""Every seed of the fuzzers, and mutations of them, go through every target.

The whole, guided by coverage: ``python -m tests.fuzz``.
"""

from __future__ import annotations

import pytest

from tests.fuzz.targets import TARGETS, seeds_of

MUTATIONS = 300
"""Mutations of seeds for each target."""

SLOW = 4096
"""Bytes of the largest seed that is mutated."""


def mutated(data, chance):
    """Return ``data`` with a few bytes changed, doubled, cut out or swapped with a special one."""
    data = bytearray(data)
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            data[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            data[at:at] = data[at : at + chance.randrange(16)]
        elif kind == 2:
            del data[at : at + chance.randrange(16)]
        else:
            data[at:at] = chance.choice([b"\0", b"\xff" * 4, b"{}", b"[", b'"', b"\n", b"\x80"])
    return bytes(data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_seeds_and_mutations_harm_no_decoder(name, chance):
    """No seed, and no mutation of one, makes a decoder raise what it must not, or break a rule."""
    target = TARGETS[name]
    seeds = list(seeds_of(name))
    assert seeds
    small = [seed for seed in seeds if len(seed) <= SLOW]
    for data in [*small, *(mutated(chance.choice(small), chance) for _ in range(MUTATIONS))]:
        target(data)
