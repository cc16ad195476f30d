"""Finds out how the pickle of a record is built: which of its bytes are values, which are not.

Owns the opcodes that a known shape may have: those of texts, numbers, tuples, lists and dicts with
texts as keys. Nothing is run, imported, hashed or made here; :mod:`pickles.skeleton` reads by what
is found.

The same opcodes in the same order give the same record, but for the values. Every other byte is
part of the shape: keys, the numbers of the memo, marks, and where each value stands. A value that
serves as a key somewhere is part of the shape, too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from .opcodes import ByteString

MAX_SLOTS = 128
"""Values in a known shape, keys included."""

MAX_CONTAINERS = 24
"""Tuples, lists and dicts in a known shape, so that it is not nested too deep."""

MAX_RECALLED = 30
"""Values that a known shape refers to by the memo. Each is counted again with all its text
(:mod:`pickles.skeleton` says why that keeps the bounds)."""

MAX_LONG_BYTES = 8
"""Bytes of an integer in a known shape."""

MAX_LINE_DIGITS = 18
"""Digits of an integer that is written as a line, as protocol 1 does with a thread's number."""

FRAME_HEAD = 11
"""Bytes of a pickle of protocol 4 up to its frame's content: PROTO, FRAME, and a length."""

INTEGER = ord("K")
"""Stands for all the opcodes of integers: one value is a byte, the next may need four."""

FLOAT = ord("G")
LENGTH_BYTES = {ord("X"): 4, 0x8C: 1, ord("U"): 1, ord("T"): 4}
"""The opcodes of texts, and the bytes of a text's length. The last two are of Python 2."""

_CONSTANTS = {ord("N"): None, 0x88: True, 0x89: False, ord(")"): ()}
_PUTS = {ord("q"): 1, ord("r"): 4}
_GETS = {ord("h"): 1, ord("j"): 4}
_LINE_ENDS = {ord("L"): b"L\n", ord("I"): b"\n"}
_INTEGER_BYTES = {ord("K"): 1, ord("M"): 2, ord("J"): 4}
_EMPTY: dict[int, type] = {ord("}"): dict, ord("]"): list}
_SHORT_TUPLES = {0x85: 1, 0x86: 2, 0x87: 3}


class Unsuitable(Exception):
    """The payload has something that no known shape has."""


class Slot:
    """Where a value stands: from its length, or from its opcode if it is an integer."""

    __slots__ = ("end", "fixed_text", "kind", "start")

    def __init__(self, kind: int, start: int, end: int) -> None:
        self.kind = kind
        self.start = start
        self.end = end
        self.fixed_text: str | None = None
        """The value, where it is part of the shape: a key."""


class Container:
    """A tuple, list or dict, as a list of what is in it; a dict's keys and values in turn."""

    __slots__ = ("items", "kind")

    def __init__(self, kind: type, items: list[Any]) -> None:
        self.kind = kind
        self.items = items


class Outline:
    """How one payload is built."""

    def __init__(self, payload: bytes, slots: list[Slot], fields: dict[str, Any]) -> None:
        self.is_framed = payload[2:3] == b"\x95"
        self.fields = fields
        """The record's keys, and for each a constant, a :class:`Slot` or a :class:`Container`."""
        self.slots = [slot for slot in slots if slot.fixed_text is None]
        """The slots of the values that may differ, in the order of the payload."""
        starts = [slot.start for slot in self.slots]
        ends = [FRAME_HEAD if self.is_framed else 0, *(slot.end for slot in self.slots)]
        self.constants = [payload[end:start] for end, start in zip(ends, [*starts, len(payload)])]
        """The bytes before each of them, and behind the last."""
        head = payload[:2] if self.is_framed else b""
        self.key = (head, tuple(self.constants), tuple(slot.kind for slot in self.slots))
        """What payloads of one shape have in common."""


def find_outline(payload: bytes) -> Outline | None:
    """Return how a payload is built; ``None`` if it has what no known shape has."""
    try:
        return _Tracer(payload).run()
    except (Unsuitable, IndexError, ValueError, struct.error):
        return None


def slots_in(value: Any) -> Iterator[Slot]:
    """Yield every slot in a field's value that may differ."""
    if type(value) is Slot and value.fixed_text is None:
        yield value
    elif type(value) is Container:
        for item in value.items:
            yield from slots_in(item)


class _Tracer:
    """Follows the opcodes of one payload, with slots instead of values."""

    def __init__(self, payload: bytes) -> None:
        self._data = payload
        self._position = 0
        self._slots: list[Slot] = []
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self._containers = 0
        self._recalled = 0

    def run(self) -> Outline:
        """Raises :class:`Unsuitable`, and ``IndexError`` or ``ValueError`` for broken opcodes."""
        if self._data[2:3] == b"\x95" and self._data[:1] == b"\x80":
            self._read_frame_head()
        while True:
            code = self._data[self._position]
            self._position += 1
            if code == ord("."):
                break
            self._follow(code)
            if len(self._slots) > MAX_SLOTS or self._containers > MAX_CONTAINERS:
                raise Unsuitable
        (record,) = self._stack
        if self._position != len(self._data) or self._marks or type(record) is not Container:
            raise Unsuitable
        if record.kind is not dict:
            raise Unsuitable
        keys = self._fix_keys(record)
        return Outline(self._data, self._slots, dict(zip(keys, record.items[1::2])))

    def _read_frame_head(self) -> None:
        length = int.from_bytes(self._data[3:FRAME_HEAD], "little")
        if length != len(self._data) - FRAME_HEAD:
            raise Unsuitable
        self._position = FRAME_HEAD

    def _follow(self, code: int) -> None:
        stack = self._stack
        if code in LENGTH_BYTES:
            width = LENGTH_BYTES[code]
            length = int.from_bytes(self._data[self._position : self._position + width], "little")
            self._push_slot(code, width + length)
        elif code == FLOAT:
            self._push_slot(FLOAT, 8)
        elif code in _INTEGER_BYTES:
            self._push_integer(_INTEGER_BYTES[code])
        elif code == 0x8A:
            self._push_integer(1 + self._data[self._position])
        elif code in _LINE_ENDS:
            self._push_line(_LINE_ENDS[code])
        elif code in _CONSTANTS:
            stack.append(_CONSTANTS[code])
        elif code in _PUTS:
            self._memo[self._number(_PUTS[code])] = stack[-1]
        elif code == 0x94:
            self._memo[len(self._memo)] = stack[-1]
        elif code in _GETS:
            self._recall(self._number(_GETS[code]))
        elif code == ord("("):
            self._marks.append(len(stack))
        elif code in _EMPTY:
            self._push_container(_EMPTY[code], [])
        elif code == ord("t"):
            self._push_container(tuple, self._pop_from(self._marks.pop()))
        elif code in _SHORT_TUPLES:
            self._push_container(tuple, self._pop_from(len(stack) - _SHORT_TUPLES[code]))
        elif code in (ord("u"), ord("s")):
            self._add(dict, self._marks.pop() if code == ord("u") else len(stack) - 2)
        elif code in (ord("e"), ord("a")):
            self._add(list, self._marks.pop() if code == ord("e") else len(stack) - 1)
        elif code == 0x80 and self._position == 1:
            self._position = 2
        else:
            raise Unsuitable

    def _number(self, width: int) -> int:
        start = self._position
        self._position += width
        return int.from_bytes(self._data[start : self._position], "little")

    def _push_slot(self, kind: int, size: int, before: int = 0) -> None:
        """Push a value that begins ``before`` bytes ahead of the position."""
        start = self._position - before
        self._position += size
        if self._position > len(self._data):
            raise Unsuitable
        slot = Slot(kind, start, self._position)
        self._slots.append(slot)
        self._stack.append(slot)

    def _push_integer(self, size: int) -> None:
        if size > 1 + MAX_LONG_BYTES:
            raise Unsuitable
        self._push_slot(INTEGER, size, 1)

    def _push_line(self, ending: bytes) -> None:
        end = self._data.index(ending, self._position)
        digits = self._data[self._position : end]
        if digits in (b"00", b"01") and ending == b"\n":  # a bool of protocol 1
            self._stack.append(digits == b"01")  # part of the shape
            self._position = end + 1
        elif is_integer_line(digits):
            self._push_slot(INTEGER, len(digits) + len(ending), 1)
        else:
            raise Unsuitable

    def _push_container(self, kind: type, items: list[Any]) -> None:
        self._containers += 1
        self._stack.append(Container(kind, items))

    def _pop_from(self, start: int) -> list[Any]:
        if not 0 <= start <= len(self._stack):
            raise Unsuitable
        items = self._stack[start:]
        del self._stack[start:]
        return items

    def _add(self, kind: type, start: int) -> None:
        items = self._pop_from(start)
        target = self._stack[-1]
        if type(target) is not Container or target.kind is not kind:
            raise Unsuitable
        if kind is dict and len(items) % 2:
            raise Unsuitable
        target.items += items

    def _recall(self, index: int) -> None:
        if index not in self._memo or type(self._memo[index]) is Container:
            raise Unsuitable  # a container twice, or within itself
        self._recalled += 1
        if self._recalled > MAX_RECALLED:
            raise Unsuitable
        self._stack.append(self._memo[index])

    def _fix_keys(self, container: Container) -> list[str]:
        """Make every key in ``container``, and below it, part of the shape. Return its own."""
        for item in container.items:
            if type(item) is Container:
                self._fix_keys(item)
        if container.kind is not dict:
            return []
        keys = [self._fix_key(key) for key in container.items[::2]]
        if len(set(keys)) < len(keys):
            raise Unsuitable
        container.items[::2] = keys
        return keys

    def _fix_key(self, key: Any) -> str:
        if type(key) is not Slot or key.kind not in LENGTH_BYTES:
            raise Unsuitable
        key.fixed_text, _ = read_text(key.kind, self._data, key.start)
        return key.fixed_text


# -- values ---------------------------------------------------------------------------------------


def is_integer_line(digits: bytes) -> bool:
    """Return whether a line is a positive integer, written as Python writes one."""
    return digits.isdigit() and digits[:1] != b"0" and len(digits) <= MAX_LINE_DIGITS


def read_text(kind: int, data: bytes, at: int) -> tuple[str, int]:
    """Return the text whose length is at ``at``, and where it ends.

    Raises :class:`Unsuitable` if it is longer than the data, ``ValueError`` if it is no UTF-8.
    """
    start = at + LENGTH_BYTES[kind]
    end = start + int.from_bytes(data[at:start], "little")
    if end > len(data):
        raise Unsuitable
    if kind in (ord("U"), ord("T")):
        return ByteString(data[start:end]).text(), end
    return data[start:end].decode("utf-8", "surrogatepass"), end


def read_integer(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer whose opcode is at ``at``, and where it ends.

    Raises :class:`Unsuitable` if there is none that a known shape may have, ``IndexError`` if the
    data end in it.
    """
    code = data[at]
    if code == INTEGER:
        return data[at + 1], at + 2
    size = _INTEGER_BYTES.get(code)
    start = at + 1
    if size is None:
        if code != 0x8A:
            return _read_line(data, start, _LINE_ENDS.get(code))
        start, size = at + 2, data[start]
    end = start + size
    if end > len(data) or size > MAX_LONG_BYTES:
        raise Unsuitable
    return int.from_bytes(data[start:end], "little", signed=code != 0x4D), end


def _read_line(data: bytes, start: int, ending: bytes | None) -> tuple[int, int]:
    if ending is None:
        raise Unsuitable
    end = data.find(ending, start, start + MAX_LINE_DIGITS + len(ending))
    digits = data[start : max(end, 0)]
    if not is_integer_line(digits):
        raise Unsuitable
    return int(digits), end + len(ending)
