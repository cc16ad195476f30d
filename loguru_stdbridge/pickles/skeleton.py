"""Reads the pickles of one known shape, without following their opcodes.

Owns the reading by a skeleton. A ``SocketHandler`` writes the same keys in the same order with the
same opcodes, record after record; only the values differ. :mod:`pickles.outline` finds out from one
record which bytes are values. A skeleton reads the next ones: it compares all other bytes with
those of that record, and decodes the values.

Between the values that differ each time (the message, the times, what ``extra=`` gave) lie
stretches that repeat: the place in the program, the level, the thread. A stretch is looked up as a
whole. One that is new is read value by value, and kept.

Why the answer is the safe reader's
-----------------------------------
A skeleton answers only if the payload has the very opcodes of a record that the safe reader
(:func:`pickles.read.load_record`) took, in the same order. What that reader makes then depends on
the values alone, and it makes of each value what is made here. At the first byte that differs, and
at a text that is no UTF-8, the skeleton has no answer, and the safe reader reads the payload.

A stretch ends at the first bytes that look like its end. That these are the end needs no search:
the stretch before them was read value by value, now or when it was kept, and its opcodes use up
these very bytes. If a text within it holds such bytes, the stretch is too short and is not known.

Why no bound is left out
------------------------
The bounds of the safe reader cannot be reached: a shape has at most :data:`outline.MAX_SLOTS`
values and :data:`outline.MAX_CONTAINERS` containers, an integer has at most 8 bytes. A text is
referred to :data:`outline.MAX_RECALLED` times at most, and is no longer than
:data:`MAX_KNOWN_PAYLOAD`: together less than the safe reader's spare megabyte.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple

from ..record.stock_rows import Repeated
from .outline import (
    FLOAT,
    FRAME_HEAD,
    INTEGER,
    Container,
    Outline,
    Slot,
    Unsuitable,
    read_integer,
    read_text,
    slots_in,
)

MAX_KNOWN_PAYLOAD = 16 * 1024
"""Bytes of a payload that is read by a skeleton. A larger one is mostly one text, which the safe
reader reads as fast."""

MAX_STRETCH = 1024
"""Bytes of a stretch that is looked up."""

MAX_STRETCHES = 256
"""Stretches of one kind that are kept: places in the program, or threads."""

MAX_COMBINATIONS = 1024
"""Records that are kept as what repeats in them."""

MAX_SEEN = 1024
"""Stretches that are remembered by their hash. One is kept when it comes again: a thread that logs
one line is not worth it."""

_OF_A_PLACE = frozenset(
    ["name", "levelname", "levelno", "pathname", "filename", "module", "lineno", "funcName",
     "thread", "threadName", "process", "processName"]
)  # fmt: skip
"""The fields that repeat: those of a place in a program, and of a thread."""

_NO_ANSWER = (Unsuitable, struct.error, IndexError, UnicodeDecodeError)
_COMBINATION_SIZE = 1500  # bytes, about, with what StockRows keeps
_LENGTH = struct.Struct("<I").unpack_from
_FRAME = struct.Struct("<Q").pack
_TEXT = ord("X")


class _Stretch:
    """The values of a stretch. Equal to itself only."""

    __slots__ = ("is_kept", "values")

    def __init__(self, values: list[Any], is_kept: bool) -> None:
        self.values = values
        self.is_kept = is_kept


class _Stretches(dict[bytes, _Stretch]):
    """The stretches of one kind that are known; reads one that is not. Begins anew when full."""

    def __init__(
        self, constants: Sequence[bytes], slots: Sequence[Slot], grow: Callable[[int], None]
    ) -> None:
        """``constants`` come before each of the slots, and behind the last."""
        super().__init__()
        self._parts = [(constant, slot.kind) for constant, slot in zip(constants, slots)]
        self._end = constants[-1]
        self._grow = grow
        self._seen: set[int] = set()

    def __missing__(self, data: bytes) -> _Stretch:
        at = 0
        value: Any
        values: list[Any] = []
        for constant, kind in self._parts:
            if not data.startswith(constant, at):
                raise Unsuitable
            at += len(constant)
            if kind == _TEXT:
                start = at + 4
                at = start + _LENGTH(data, at)[0]
                if at > len(data):
                    raise Unsuitable
                value = data[start:at].decode("utf-8", "surrogatepass")
            elif kind == INTEGER:
                value, at = read_integer(data, at)
            else:
                value, at = read_text(kind, data, at)
            values.append(value)
        if data[at:] != self._end:
            raise Unsuitable
        if hash(data) not in self._seen:
            if len(self._seen) >= MAX_SEEN:
                self._seen.clear()
            self._seen.add(hash(data))
            return _Stretch(values, False)
        if len(self) >= MAX_STRETCHES:
            self._grow(-sum(map(_size_of, self)))
            self.clear()
        stretch = self[data] = _Stretch(values, True)
        self._grow(_size_of(data))
        return stretch


class _Step(NamedTuple):
    """A stretch or a constant, and what stands behind it."""

    stretches: _Stretches | None
    constant: bytes
    """The stretch's end, or all there is before the value."""
    kind: int | None
    """Of the value behind it; ``None``: the payload ends."""
    floats: struct.Struct
    """Floats in a row, with constants between them, if the kind is that."""
    between: tuple[bytes, ...]
    """Those constants."""


class Skeleton:
    """Reads the payloads of one shape."""

    def __init__(self, outline: Outline, grow: Callable[[int], None]) -> None:
        """``grow`` is told about how many bytes of memory it keeps more."""
        self._start = FRAME_HEAD if outline.is_framed else 0
        self._head = outline.key[0] + b"\x95"
        self._grow = grow
        varying = _find_varying(outline)
        self._steps = _make_steps(outline, varying, grow)
        order = [slot for slot in outline.slots if slot in varying]
        self._numbers = {slot: number for number, slot in enumerate(order)}
        order = [slot for slot in outline.slots if slot not in varying]
        numbers = {slot: number for number, slot in enumerate(order)}
        self._template: dict[str, Any] = {}
        self._repeating: list[tuple[str, int]] = []
        self._direct: list[tuple[str, int]] = []
        self._built: list[tuple[str, Container]] = []
        for key, value in outline.fields.items():
            self._template[key] = None
            if type(value) is Container:
                self._built.append((key, value))
            elif type(value) is not Slot:
                self._template[key] = value
            elif value.fixed_text is not None:
                self._template[key] = value.fixed_text
            elif value in varying:
                self._direct.append((key, self._numbers[value]))
            else:
                self._repeating.append((key, numbers[value]))
        self._varying = frozenset(key for key, _ in [*self._direct, *self._built])
        self._combinations: dict[tuple[_Stretch, ...], Repeated] = {}

    def read(self, payload: bytes) -> tuple[dict[str, Any], Repeated | None] | None:
        """Return the fields of a record, and what repeats in it; ``None`` if it has another shape.

        The fields are those that :func:`pickles.read.load_record` returns. What repeats is ``None``
        the first time.
        """
        size = len(payload)
        at = self._start
        value: Any
        values: list[Any] = []
        found: list[_Stretch] = []
        try:
            if at and payload[:at] != self._head + _FRAME(size - at):
                return None
            for stretches, constant, kind, floats, between in self._steps:
                if stretches is None:
                    if not payload.startswith(constant, at):
                        return None
                    at += len(constant)
                else:
                    end = size - len(constant)
                    if kind is not None:
                        end = payload.find(constant, at, at + MAX_STRETCH)
                    if end < at or end > at + MAX_STRETCH:
                        return None
                    end += len(constant)
                    found.append(stretches[payload[at:end]])
                    at = end
                if kind == _TEXT:
                    start = at + 4
                    at = start + _LENGTH(payload, at)[0]
                    if at > size:
                        return None
                    values.append(payload[start:at].decode("utf-8", "surrogatepass"))
                elif kind == FLOAT:
                    parts = floats.unpack_from(payload, at)
                    if between:
                        if parts[1::2] != between:
                            return None
                        parts = parts[::2]
                    values += parts
                    at += floats.size
                elif kind == INTEGER:
                    code = payload[at]
                    if code == INTEGER:  # one byte
                        values.append(payload[at + 1])
                        at += 2
                    elif code == 0x4D:  # BININT2
                        values.append(payload[at + 1] | payload[at + 2] << 8)
                        at += 3
                    else:
                        value, at = read_integer(payload, at)
                        values.append(value)
                elif kind is not None:
                    value, at = read_text(kind, payload, at)
                    values.append(value)
        except _NO_ANSWER:
            return None
        if at != size:
            return None
        combination = tuple(found)
        repeated = self._combinations.get(combination)
        fields = self._combine(combination) if repeated is None else repeated.fields.copy()
        for key, number in self._direct:
            fields[key] = values[number]
        for key, container in self._built:
            fields[key] = self._build(container, values)
        return fields, repeated

    def forget(self) -> None:
        """Give everything back, and have no answer any more."""
        self._steps = []
        for table in (self._combinations, self._template, self._numbers):
            table.clear()
        for fields in (self._repeating, self._direct, self._built):
            fields.clear()

    def _combine(self, combination: tuple[_Stretch, ...]) -> dict[str, Any]:
        """Return the fields that repeat, in the record's order, with ``None`` for all others."""
        values: list[Any] = []
        is_kept = True
        for stretch in combination:
            values += stretch.values
            is_kept = is_kept and stretch.is_kept
        fields = self._template.copy()
        for key, number in self._repeating:
            fields[key] = values[number]
        if is_kept:
            if len(self._combinations) >= MAX_COMBINATIONS:
                self._grow(-_COMBINATION_SIZE * len(self._combinations))
                self._combinations.clear()
            self._combinations[combination] = Repeated(fields.copy(), self._varying)
            self._grow(_COMBINATION_SIZE)
        return fields

    def _build(self, value: Any, values: list[Any]) -> Any:
        """Make a value of those that vary."""
        if type(value) is Slot:
            return values[self._numbers[value]] if value.fixed_text is None else value.fixed_text
        if type(value) is not Container:
            return value
        items = [self._build(item, values) for item in value.items]
        return dict(zip(items[::2], items[1::2])) if value.kind is dict else value.kind(items)


def _size_of(stretch: bytes) -> int:
    """Return about how many bytes of memory a stretch and its values take."""
    return 300 + len(stretch)


def _find_varying(outline: Outline) -> set[Slot]:
    """Return the slots whose values differ from record to record."""
    varying = set()
    for key, value in outline.fields.items():
        for slot in slots_in(value):
            if key not in _OF_A_PLACE or value is not slot or slot.kind == FLOAT:
                varying.add(slot)
    return varying


def _make_steps(outline: Outline, varying: set[Slot], grow: Callable[[int], None]) -> list[_Step]:
    steps: list[_Step] = []
    constants: list[bytes] = []
    slots: list[Slot] = []
    for constant, slot in zip(outline.constants, [*outline.slots, None]):
        constants.append(constant)
        if slot is not None and slot not in varying:
            slots.append(slot)
            continue
        kind = None if slot is None else slot.kind
        if kind == FLOAT and not slots and steps and steps[-1].kind == FLOAT:
            between = (*steps[-1].between, constant)
            steps[-1] = steps[-1]._replace(floats=_floats(between), between=between)
        else:
            stretches = _Stretches(constants, slots, grow) if slots else None
            steps.append(_Step(stretches, constant, kind, _floats(()), ()))
        constants, slots = [], []
    return steps


def _floats(between: Sequence[bytes]) -> struct.Struct:
    return struct.Struct(f">d{''.join(f'{len(constant)}sd' for constant in between)}")
