"""Reads the records of stock clients: by a known shape if there is one, else by the safe reader.

Owns which shapes are known, and when one is learned. No sockets, threads or clocks here.

Why a hostile client costs no more than before
----------------------------------------------
Learning a shape costs about as much as reading a record safely. So a client's records must have
been read safely :data:`FIRST_PRICE` times before one of its shapes is learned, and twice as often
each time for the next one. A client has :data:`MAX_SHAPES_OF_CLIENT` shapes at most.

A record is tried with its client's shapes in turn. A try that fails takes a microsecond or two, and
a record that fits saves ten times as much. So each record that fits pays for a few tries that fail.
When those are used up, records are not tried, but for one now and then, and ever more seldom.

All clients share what is known, so that a new one of the same program is fast soon. If it grows
beyond :data:`MAX_KNOWN_BYTES`, everything is forgotten. So a client can make others' records cost
what they cost without shapes, for as many records as it sends for it, and no more.
"""

from __future__ import annotations

from typing import Any

from ..record.stock import MARK
from ..record.stock_rows import Repeated
from .outline import find_outline
from .read import load_record
from .skeleton import MAX_KNOWN_PAYLOAD, Skeleton

FIRST_PRICE = 4
"""Records of a client that are read safely before its first shape is learned."""

MAX_SHAPES_OF_CLIENT = 8
"""Shapes that a client's records are tried with."""

TRIES_PAID = 4
"""Tries that a record that fits pays for. With eight shapes at random, one record needs as many."""

MAX_TRIES = 32
"""Tries that can be paid for in advance. Learning a shape pays for as many."""

MAX_UNTRIED = 64
"""Records that are not tried, when nothing is paid, before the next one is."""

MAX_KNOWN_BYTES = 8 * 1024 * 1024
"""Bytes of memory that what is known may take, by the estimates of its parts."""


class KnownShapes:
    """The shapes that a receiver knows. Used by one thread."""

    def __init__(self) -> None:
        self.generation = 0
        """How often everything was forgotten."""
        self._skeletons: dict[Any, Skeleton] = {}
        self._forgotten: list[Skeleton] = []  # that are still to be emptied
        self._held = 0

    def learn(self, payload: bytes, fields: dict[str, Any]) -> Skeleton | None:
        """Return the skeleton of a payload's shape; ``fields`` is what the safe reader made of it.

        ``None`` if a payload of this kind is for the safe reader alone.
        """
        if MARK in fields:
            return None
        outline = find_outline(payload)
        if outline is None:
            return None
        skeleton = self._skeletons.get(outline.key)
        if skeleton is None:
            skeleton = Skeleton(outline, self._grow)
            answer = skeleton.read(payload)
            if answer is None or repr(answer[0]) != repr(fields):
                return None
            self._skeletons[outline.key] = skeleton
            self._grow(6000 + 4 * len(payload))
        return skeleton

    def empty_forgotten(self) -> None:
        """Empty the skeletons that are forgotten: a client that says nothing more holds on to them.

        Not done while one of them reads.
        """
        while self._forgotten:
            self._forgotten.pop().forget()

    def _grow(self, size: int) -> None:
        self._held = max(self._held + size, 0)
        if self._held > MAX_KNOWN_BYTES:
            self._held = 0
            self._forgotten += self._skeletons.values()
            self._skeletons.clear()
            self.generation += 1


class RecordReader:
    """Reads the pickled records of one client."""

    def __init__(self, known: KnownShapes) -> None:
        self._known = known
        self._generation = known.generation
        self._skeletons: list[Skeleton] = []
        self._unlearned = 0  # records that were read safely since a shape was learned
        self._price = FIRST_PRICE
        self._tries = 0  # that are paid for
        self._pause = 0  # records that were not tried last, when none were
        self._untried = 0  # records that are still not to be tried

    def read_known(self, payload: bytes) -> tuple[dict[str, Any], Repeated | None] | None:
        """Return a record's fields, and what repeats; ``None`` if its shape is not known.

        The fields are those that :func:`pickles.read.load_record` returns; none of them is the mark
        of our own records. What repeats is ``None`` while it is new.
        """
        skeletons = self._skeletons
        if not skeletons or len(payload) > MAX_KNOWN_PAYLOAD:
            return None
        if self._generation != self._known.generation:
            self._known.empty_forgotten()
            skeletons.clear()
            self._price = FIRST_PRICE
            return None
        if self._tries < 1:
            if self._untried:
                self._untried -= 1
                return None
            self._untried = self._pause = min(2 * self._pause + 2, MAX_UNTRIED)
        for skeleton in skeletons:
            answer = skeleton.read(payload)
            if answer is not None:
                self._untried = self._pause = 0
                if self._tries < MAX_TRIES:
                    self._tries += TRIES_PAID
                if skeleton is not skeletons[0]:
                    skeletons.remove(skeleton)
                    skeletons.insert(0, skeleton)
                return answer
            self._tries -= 1
        self._tries = max(self._tries, 0)
        return None

    def read(self, payload: bytes) -> dict[str, Any]:
        """Return the fields of a record whose shape is not known, and perhaps learn it.

        Raises :class:`PayloadError`, and nothing else.
        """
        fields = load_record(payload)
        self._unlearned += 1
        if self._unlearned >= self._price and len(payload) <= MAX_KNOWN_PAYLOAD:
            self._learn(payload, fields)
        return fields

    def _learn(self, payload: bytes, fields: dict[str, Any]) -> None:
        if len(self._skeletons) >= MAX_SHAPES_OF_CLIENT:
            return
        self._unlearned = 0
        self._price *= 2
        if not self._skeletons:
            self._generation = self._known.generation
        skeleton = self._known.learn(payload, fields)
        if skeleton is None:
            return
        if skeleton not in self._skeletons:
            self._skeletons.insert(0, skeleton)
        self._tries = MAX_TRIES
