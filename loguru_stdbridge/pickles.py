"""Stock payloads: write them, and take them from strangers. The only module that imports pickle.

Writing is the stdlib's. Reading is not: a restricted ``find_class`` is no protection. An 11-byte
frame takes 3 GB through a memo index, a tuple doubled 60 times hangs as a dict key, a nested key
ends the process, colliding integers make a dict quadratic, and BUILD patches an admitted class for
the whole process, some of it without one global being named.

So this module never gives a stranger's bytes to an unpickler. It reads the opcodes itself:

1. :class:`_Machine` builds inert things only. A global is a pair of names; a call is noted, not
   made; a dict is a list of its keys and values, so nothing is hashed; nothing is imported, fetched
   or compared. Every opcode is counted, and the count is bounded, which bounds time and memory:
   no opcode costs more than the bytes that it brings along.
2. :class:`_Tree` turns that into plain values, as a tree: what is shared is copied and counted
   each time, a cycle is cut, depth is bounded, and so is the text in all. About fifteen well-known
   names have a decoder here that checks its arguments and builds the value itself. Every other
   class becomes a :class:`Placeholder` that shows its name, so that the record survives.

What is shared is the danger in the second step: two bytes of memo refer to a megabyte. So nothing
there is walked, copied or shown that is not paid for, by :meth:`_Tree.spend`, *each time*: a text
by its characters, a number by its digits, a call by the work of its decoder.

What is malformed, or beyond a bound, is a :class:`PayloadError`. There is no looser way to fall
back to.
"""

from __future__ import annotations

import codecs
import datetime
import decimal
import pickle
import struct
import uuid
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple, Union

from .exceptions import PayloadError
from .values import is_bounded_decimal, many_collide

MAX_OPCODES = 100_000
"""Opcodes of one payload: about 40 ms and 20 MB at worst. A record with a list of 45,000 numbers in
its ``extra`` has as many."""

MAX_NODES = 50_000
"""Values of the finished record, each counted as often as it appears: 0.1 s to load and render. What
takes longer than a short list or a float counts for more."""

_CALL_NODES = 4
"""What an object of an admitted class counts for: 2 microseconds to make, as many to show, twice."""

MAX_DEPTH = 50
MAX_INT_BYTES = 512
MAX_DIGITS = 640
MAX_NAME = 200
"""Characters of a module's or a class's name."""

_SPARE_TEXT = 1024 * 1024
"""Characters that texts may have in all, beyond twice the payload's size: a text that is referred
to many times costs each time, later, when the record is rendered."""

Buffer = Union[bytes, bytearray, memoryview]


def dump_record(fields: Mapping[str, object]) -> bytes:
    """The payload of a record, as ``SocketHandler.makePickle`` writes it (protocol 1).

    The values must be primitives: the far end unpickles whatever they name.
    """
    return pickle.dumps(dict(fields), 1)


class Placeholder:
    """Stands for an object whose class is not admitted; shows the class's name. Inert."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text

    def __reduce__(self) -> Any:
        return str, (self.text,)


def load_record(payload: Buffer) -> Dict[str, Any]:
    """The fields of a stranger's record.

    Keys are texts; values are of exactly the types None, bool, int, float, str, bytes, bytearray,
    complex, list, tuple, dict, set, frozenset, datetime, date, time, timedelta, timezone, Decimal,
    UUID, or :class:`Placeholder`. Raises :class:`PayloadError`, and nothing else.
    """
    data = bytes(payload)
    try:
        result = _Machine(data).run()
    except (IndexError, struct.error) as error:
        raise PayloadError("truncated", str(error)) from None
    except UnicodeDecodeError as error:
        raise PayloadError("bad_text", str(error)[:200]) from None
    except (ValueError, TypeError, AttributeError, Warning) as error:
        raise PayloadError("malformed", str(error)[:200]) from None
    if type(result) is not _Map:
        raise PayloadError("not_a_record", f"a {type(result).__name__.strip('_')}, not a dict")
    pairs = result.pairs
    fields: Dict[str, Any] = {}
    tree = _Tree(2 * len(data) + _SPARE_TEXT)
    for index in range(0, len(pairs), 2):
        key = pairs[index]
        if type(key) is not str:
            raise PayloadError("not_a_record", "a key that is no text")
        tree.spend(1, len(key))
        fields[key] = tree.finish(pairs[index + 1], 0)
    return fields


class _Global:
    """A name that is not looked up."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        if len(module) > MAX_NAME or len(name) > MAX_NAME:
            raise PayloadError("long_name", f"{module[:50]}.{name[:50]}...")
        if name == "getattr" or name.startswith("getattr."):
            raise PayloadError("getattr", f"{module}.{name}")
        self.module = module
        self.name = name


class _Map:
    """A dict as its keys and values in turn: building it hashes nothing."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: List[Any]) -> None:
        self.pairs = pairs


class _Set:
    """A set as its members."""

    __slots__ = ("frozen", "items")

    def __init__(self, items: List[Any], frozen: bool) -> None:
        self.items = items
        self.frozen = frozen


class _Call:
    """A call that is not made, with what was to be put into its result."""

    __slots__ = ("arguments", "function", "pairs", "state")

    def __init__(self, function: Any, arguments: Any) -> None:
        if type(function) is not _Global:
            raise PayloadError("malformed", "a call of what is no name")
        self.function = function
        self.arguments = arguments
        self.state: Any = None
        self.pairs: List[Any] = []


_decode_unicode_line = codecs.getdecoder("raw_unicode_escape")  # its codec is imported here, now
_U16 = struct.Struct("<H").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U32 = struct.Struct("<I").unpack_from
_U64 = struct.Struct("<Q").unpack_from
_F64 = struct.Struct(">d").unpack_from


class _Machine:
    """The opcodes of one pickle. Nothing here runs, imports, hashes or compares what it builds."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._stack: List[Any] = []
        self._marks: List[int] = []
        self._memo: Dict[int, Any] = {}

    def run(self) -> Any:
        """The object at STOP. Raises :class:`PayloadError`, ``IndexError``, ``ValueError``, ..."""
        data, stack, memo = self._data, self._stack, self._memo
        push, pop = stack.append, stack.pop
        position, size = 0, len(data)
        for _ in range(MAX_OPCODES):
            code = data[position]
            position += 1
            if code == 0x58 or code == 0x8C or code == 0x8D:  # BINUNICODE, SHORT_, 8
                if code == 0x8C:
                    end = position + 1 + data[position]
                    start = position + 1
                elif code == 0x58:
                    start = position + 4
                    end = start + _U32(data, position)[0]
                else:
                    start = position + 8
                    end = start + _U64(data, position)[0]
                if end > size:
                    raise PayloadError("truncated", "a text that is longer than the payload")
                push(data[start:end].decode("utf-8", "surrogatepass"))
                position = end
            elif code == 0x71:  # BINPUT
                memo[data[position]] = stack[-1]
                position += 1
            elif code == 0x94:  # MEMOIZE
                memo[len(memo)] = stack[-1]
            elif code == 0x68:  # BINGET
                push(self._recall(data[position]))
                position += 1
            elif code == 0x4B:  # BININT1
                push(data[position])
                position += 1
            elif code == 0x4E:  # NONE
                push(None)
            elif code == 0x4A:  # BININT
                push(_I32(data, position)[0])
                position += 4
            elif code == 0x4D:  # BININT2
                push(_U16(data, position)[0])
                position += 2
            elif code == 0x47:  # BINFLOAT
                push(_F64(data, position)[0])
                position += 8
            elif code == 0x8A:  # LONG1
                end = position + 1 + data[position]
                push(_integer(data[position + 1 : end]))
                position = end
                if end > size:
                    raise PayloadError("truncated", "an integer")
            elif code == 0x28:  # MARK
                self._marks.append(len(stack))
            elif code == 0x7D:  # EMPTY_DICT
                push(_Map([]))
            elif code == 0x75:  # SETITEMS
                items = self._pop_mark()
                self._set_items(stack[-1], items)
            elif code == 0x2E:  # STOP
                if position != size:
                    raise PayloadError("trailing", f"{size - position} bytes after the end")
                return pop()
            else:
                handler = _RARE.get(code)
                if handler is None:
                    raise PayloadError("opcode", f"0x{code:02x} at byte {position - 1}")
                self._position = position
                handler(self)
                position = self._position
        raise PayloadError("too_many_opcodes", f"more than {MAX_OPCODES}")

    def _recall(self, index: int) -> Any:
        try:
            return self._memo[index]
        except KeyError:
            raise PayloadError("malformed", "a memo that was never put") from None

    def _pop_mark(self) -> List[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        if len(self._stack) < start:
            raise PayloadError("malformed", "a mark above the stack")
        del self._stack[start:]
        return items

    @staticmethod
    def _set_items(target: Any, items: List[Any]) -> None:
        if type(target) not in (_Map, _Call) or len(items) % 2:
            raise PayloadError("malformed", "items for what is no dict")
        target.pairs += items

    # -- the rarer opcodes: each reads at self._position

    def _take(self, count: int) -> bytes:
        start = self._position
        self._position = end = start + count
        if end > len(self._data):
            raise PayloadError("truncated", "an argument that is longer than the payload")
        return self._data[start:end]

    def _sized(self, width: int) -> bytes:
        return self._take(int.from_bytes(self._take(width), "little"))

    def _line(self) -> bytes:
        end = self._data.index(b"\n", self._position)
        line = self._data[self._position : end]
        self._position = end + 1
        return line

    def _number_line(self) -> bytes:
        line = self._line()
        if len(line) > MAX_DIGITS or not line.strip(b"L").lstrip(b"+-").isdigit():
            raise PayloadError("bad_number", f"{line[:40]!r} of {len(line)} characters")
        return line

    def _int_line(self) -> None:
        line = self._number_line()
        if line in (b"00", b"01"):
            self._stack.append(line == b"01")
        else:
            self._stack.append(int(line.rstrip(b"L")))

    def _float_line(self) -> None:
        line = self._line()
        if len(line) > 64:
            raise PayloadError("bad_number", f"a float of {len(line)} characters")
        self._stack.append(float(line))

    def _long4(self) -> None:
        self._stack.append(_integer(self._sized(4)))

    def _string_line(self) -> None:
        line = self._line()
        if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
            raise PayloadError("malformed", "a text without its quotes")
        self._stack.append(codecs.escape_decode(line[1:-1])[0].decode("latin-1"))  # type: ignore

    def _unicode_line(self) -> None:
        self._stack.append(_decode_unicode_line(self._line())[0])

    def _text8(self, width: int) -> None:
        self._stack.append(self._sized(width).decode("latin-1"))

    def _bytes(self, width: int) -> None:
        self._stack.append(self._sized(width))

    def _bytearray8(self) -> None:
        self._stack.append(_Call(_Global("builtins", "bytearray"), (self._sized(8),)))

    def _memo_line(self, put: bool) -> None:
        line = self._number_line()
        if len(line) > 10:
            raise PayloadError("bad_number", "a memo index")
        self._memorize(int(line), put)

    def _memorize(self, index: int, put: bool) -> None:
        if put:
            self._memo[index] = self._stack[-1]
        else:
            self._stack.append(self._recall(index))

    def _tuple(self, count: int) -> None:
        if len(self._stack) < count:
            raise PayloadError("malformed", "an empty stack")
        items = tuple(self._stack[len(self._stack) - count :])
        del self._stack[len(self._stack) - count :]
        self._stack.append(items)

    def _append(self, items: List[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target += items
        elif type(target) is not _Call:  # a list's subclass: shown by its name
            raise PayloadError("malformed", "items for what is no list")

    def _append_one(self) -> None:
        item = self._stack.pop()
        self._append([item])

    def _set_one(self) -> None:
        value = self._stack.pop()
        key = self._stack.pop()
        self._set_items(self._stack[-1], [key, value])

    def _dict_of_mark(self) -> None:
        items = self._pop_mark()
        target = _Map([])
        self._set_items(target, items)
        self._stack.append(target)

    def _add_items(self) -> None:
        items = self._pop_mark()
        target = self._stack[-1]
        if type(target) is not _Set or target.frozen:
            raise PayloadError("malformed", "members for what is no set")
        target.items += items

    def _global(self) -> None:
        module, name = self._line().decode("utf-8"), self._line().decode("utf-8")
        self._stack.append(_Global(module, name))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise PayloadError("malformed", "a global whose name is no text")
        self._stack.append(_Global(module, name))

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(arguments) is not tuple:
            raise PayloadError("malformed", "arguments that are no tuple")
        self._stack.append(_Call(function, arguments))

    def _newobj_ex(self) -> None:
        self._stack.pop()
        self._reduce()

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if type(target) is not _Call:
            raise PayloadError("malformed", "a state for what is no object")
        target.state = state

    def _frame(self) -> None:
        length = int.from_bytes(self._take(8), "little")
        if length > len(self._data) - self._position:
            raise PayloadError("truncated", f"a frame of {length} bytes")

    def _pop(self) -> None:
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._stack.pop()


_RARE: Dict[int, Callable[[_Machine], Any]] = {
    ord("I"): _Machine._int_line,
    ord("L"): _Machine._int_line,
    ord("F"): _Machine._float_line,
    0x8B: _Machine._long4,
    0x88: lambda m: m._stack.append(True),
    0x89: lambda m: m._stack.append(False),
    ord("S"): _Machine._string_line,
    ord("V"): _Machine._unicode_line,
    ord("T"): lambda m: m._text8(4),
    ord("U"): lambda m: m._text8(1),
    ord("B"): lambda m: m._bytes(4),
    ord("C"): lambda m: m._bytes(1),
    0x8E: lambda m: m._bytes(8),
    0x96: _Machine._bytearray8,
    ord("p"): lambda m: m._memo_line(True),
    ord("g"): lambda m: m._memo_line(False),
    ord("r"): lambda m: m._memorize(_U32(m._take(4))[0], True),
    ord("j"): lambda m: m._memorize(_U32(m._take(4))[0], False),
    ord(")"): lambda m: m._stack.append(()),
    ord("t"): lambda m: m._stack.append(tuple(m._pop_mark())),
    0x85: lambda m: m._tuple(1),
    0x86: lambda m: m._tuple(2),
    0x87: lambda m: m._tuple(3),
    ord("]"): lambda m: m._stack.append([]),
    ord("l"): lambda m: m._stack.append(m._pop_mark()),
    ord("a"): _Machine._append_one,
    ord("e"): lambda m: m._append(m._pop_mark()),
    ord("d"): _Machine._dict_of_mark,
    ord("s"): _Machine._set_one,
    0x8F: lambda m: m._stack.append(_Set([], False)),
    0x90: _Machine._add_items,
    0x91: lambda m: m._stack.append(_Set(m._pop_mark(), True)),
    ord("c"): _Machine._global,
    0x93: _Machine._stack_global,
    ord("R"): _Machine._reduce,
    0x81: _Machine._reduce,  # NEWOBJ: as inert as a call
    0x92: _Machine._newobj_ex,
    ord("b"): _Machine._build,
    0x80: lambda m: m._take(1),
    0x95: _Machine._frame,
    ord("0"): _Machine._pop,
    ord("1"): _Machine._pop_mark,
    ord("2"): lambda m: m._stack.append(m._stack[-1]),
}
"""Every opcode but INST, OBJ, EXT1 to EXT4, PERSID, BINPERSID and the out-of-band buffers, which no
record needs."""


def _integer(data: bytes) -> Union[int, Placeholder]:
    if len(data) > MAX_INT_BYTES:
        return Placeholder(f"<int of {8 * len(data)} bits>")
    return int.from_bytes(data, "little", signed=True)


# -- plain values -------------------------------------------------------------------------------

_SCALARS = frozenset({type(None), bool, int, float})
_KEYS = frozenset({type(None), bool, int, float, str, bytes})


class _Tree:
    """Turns what the machine built into plain values, within budgets of nodes and text."""

    def __init__(self, text: int) -> None:
        self._text = text
        self._nodes = MAX_NODES
        self._path: List[int] = []

    def spend(self, nodes: int, text: int) -> None:
        """Pay for values and characters. Raises :class:`PayloadError` beyond a budget."""
        self._nodes -= nodes
        self._text -= text
        if self._nodes < 0:
            raise PayloadError("too_many_values", f"more than {MAX_NODES}")
        if self._text < 0:
            raise PayloadError("too_much_text", "texts that are repeated too often")

    def finish(self, value: Any, depth: int) -> Any:
        """The plain value. Raises :class:`PayloadError` beyond a budget."""
        kind = type(value)
        if kind in _SCALARS:
            self.spend(1, value.bit_length() // 3 if kind is int else 0)
            return value
        if kind is str or kind is bytes:
            self.spend(1, len(value))
            return value
        self.spend(1, 0)
        if depth > MAX_DEPTH:
            return Placeholder("<too deep>")
        if kind is Placeholder:
            return value
        if kind is _Global:
            return self._placeholder(f"<class '{_shown_name(value)}'>")
        if id(value) in self._path:
            return Placeholder("<cycle>")
        self._path.append(id(value))
        try:
            return self._finish_compound(value, kind, depth + 1)
        finally:
            self._path.pop()

    def _finish_compound(self, value: Any, kind: Any, depth: int) -> Any:
        finish = self.finish
        if kind is list or kind is tuple:
            return kind([finish(item, depth) for item in value])
        if kind is _Map:
            return self._finish_pairs(value.pairs, depth)
        if kind is _Set:
            return self._finish_set(value.items, depth, frozenset if value.frozen else set)
        assert kind is _Call
        return self._finish_call(value, depth)

    def _placeholder(self, text: str) -> Placeholder:
        self.spend(0, len(text))
        return Placeholder(text)

    def _finish_pairs(self, pairs: List[Any], depth: int) -> Any:
        keys: List[Any] = []
        others: List[Any] = []
        for index in range(0, len(pairs), 2):
            key = pairs[index]
            if type(key) is not str:
                key = self._key(key, depth)
                others.append(key)
            else:
                self.spend(1, len(key))
            keys.append(key)
        values = [self.finish(pairs[index], depth) for index in range(1, len(pairs), 2)]
        if many_collide(others):
            return Placeholder(f"<dict of {len(keys)} whose keys collide>")
        return dict(zip(keys, values))

    def _key(self, key: Any, depth: int) -> Any:
        """A key whose hash costs no more than its size."""
        if type(key) is tuple and all(type(item) in _KEYS for item in key):
            return self.finish(key, depth)
        if type(key) in _KEYS:
            return self.finish(key, depth)
        return Placeholder(f"<{type(key).__name__.strip('_').lower()} as a key>")

    def _finish_set(self, items: List[Any], depth: int, kind: Any) -> Any:
        members = [self._key(item, depth) for item in items]
        if many_collide(members):
            return Placeholder(f"<{kind.__name__} of {len(items)} that collide>")
        return kind(members)

    def _finish_call(self, call: _Call, depth: int) -> Any:
        self.spend(_CALL_NODES, 0)
        function = call.function
        module, name = function.module, function.name
        arguments = call.arguments
        if module in ("copyreg", "copy_reg") and name in ("_reconstructor", "__newobj__"):
            if not arguments or type(arguments[0]) is not _Global:
                raise PayloadError("malformed", "an object without a class")
            function = arguments[0]
            module, name, arguments = function.module, function.name, ()
        decoder = _DECODERS.get((_MODULES.get(module, module), name))
        if decoder is not None:
            try:
                decoded = decoder(self, arguments, call, depth)
                if decoded is not None:
                    return decoded
            except (ValueError, TypeError, ArithmeticError, IndexError, AttributeError):
                pass  # not as the class itself would have written it
        return self._placeholder(f"<{_shown_name(function)} object>")


_MODULES = {"__builtin__": "builtins", "_decimal": "decimal", "pathlib._local": "pathlib"}


def _shown_name(name: _Global) -> str:
    module = _MODULES.get(name.module, name.module)
    return name.name if module == "builtins" else f"{module}.{name.name}"


def _plain_arguments(tree: _Tree, arguments: Any, depth: int) -> List[Any]:
    return [tree.finish(argument, depth) for argument in arguments]


def _raw(value: Any) -> bytes:
    """Bytes, or the text that Python 2 and protocols below 3 write them as."""
    return value if type(value) is bytes else value.encode("latin-1")


def _decode_encode(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    text, encoding = arguments
    if type(text) is str and type(encoding) is str and encoding in ("latin1", "latin-1"):
        tree.spend(0, len(text))
        return text.encode("latin-1")
    return None


def _decode_bytes(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    if not arguments:
        return b""
    (value,) = arguments
    return tree.finish(value, depth) if type(value) is bytes else None


def _decode_bytearray(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    if not arguments:
        return bytearray()
    value, *encoding = _plain_arguments(tree, arguments, depth)
    if type(value) is str and encoding in (["latin-1"], ["latin1"]):
        return bytearray(value.encode("latin-1"))
    return bytearray(value) if type(value) is bytes and not encoding else None


def _decode_set(kind: Any) -> Any:
    def decode(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
        if not arguments:
            return kind()
        (items,) = arguments
        if type(items) is not list:
            return None
        return tree._finish_set(items, depth, kind)

    return decode


def _decode_complex(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    real, imag = arguments
    return complex(real, imag) if type(real) is type(imag) is float else None


def _decode_datetime(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    state, *zone = _plain_arguments(tree, arguments, depth)
    raw = _raw(state)
    if len(raw) != 10 or len(zone) > 1 or (zone and type(zone[0]) is not datetime.timezone):
        return None
    return datetime.datetime(
        raw[0] << 8 | raw[1], raw[2] & 0x7F, raw[3], raw[4], raw[5], raw[6],
        raw[7] << 16 | raw[8] << 8 | raw[9], zone[0] if zone else None, fold=raw[2] >> 7,
    )  # fmt: skip


def _decode_date(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    (state,) = _plain_arguments(tree, arguments, depth)
    raw = _raw(state)
    return datetime.date(raw[0] << 8 | raw[1], raw[2], raw[3]) if len(raw) == 4 else None


def _decode_time(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    state, *zone = _plain_arguments(tree, arguments, depth)
    raw = _raw(state)
    if len(raw) != 6 or len(zone) > 1 or (zone and type(zone[0]) is not datetime.timezone):
        return None
    return datetime.time(
        raw[0] & 0x7F, raw[1], raw[2], raw[3] << 16 | raw[4] << 8 | raw[5],
        zone[0] if zone else None, fold=raw[0] >> 7,
    )  # fmt: skip


def _decode_timedelta(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    days, seconds, microseconds = arguments
    if type(days) is type(seconds) is type(microseconds) is int:
        return datetime.timedelta(days, seconds, microseconds)
    return None


def _decode_timezone(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    offset, *name = _plain_arguments(tree, arguments, depth)
    if type(offset) is not datetime.timedelta or any(type(n) is not str for n in name):
        return None
    if not offset and not name:
        return datetime.timezone.utc
    return datetime.timezone(offset, *name[:1])


def _decode_decimal(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    (text,) = arguments
    if type(text) is not str or len(text) > 2000:
        return None
    tree.spend(len(text) // 20, len(text))  # 40 microseconds for 2,000 digits
    value = decimal.Decimal(text)
    return value if is_bounded_decimal(value) else None


def _decode_uuid(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    if type(call.state) is not _Map:
        return None
    pairs = call.state.pairs[:4]  # "int", and from Python 3.7 on perhaps "is_safe"
    for index in range(0, len(pairs), 2):
        if type(pairs[index]) is str and pairs[index] == "int" and type(pairs[index + 1]) is int:
            return uuid.UUID(int=pairs[index + 1])
    return None


def _decode_ordered(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    if not arguments:
        return tree._finish_pairs(call.pairs, depth)
    (given,) = arguments
    if type(given) is not list or call.pairs:
        return None
    tree.spend(len(given), 0)
    if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in given):
        return None
    return tree._finish_pairs([item for pair in given for item in pair], depth)


def _decode_path(tree: _Tree, arguments: Any, call: _Call, depth: int) -> Any:
    text = "/".join(_plain_arguments(tree, arguments, depth))
    tree.spend(0, len(text))
    return Placeholder(text.replace("//", "/", 1) if text.startswith("//") else text)


_Decoder = Callable[[_Tree, Tuple[Any, ...], _Call, int], Optional[Any]]
_DECODERS: Dict[Tuple[str, str], _Decoder] = {
    ("builtins", "set"): _decode_set(set),
    ("builtins", "frozenset"): _decode_set(frozenset),
    ("builtins", "bytes"): _decode_bytes,
    ("builtins", "bytearray"): _decode_bytearray,
    ("builtins", "complex"): _decode_complex,
    ("_codecs", "encode"): _decode_encode,
    ("datetime", "datetime"): _decode_datetime,
    ("datetime", "date"): _decode_date,
    ("datetime", "time"): _decode_time,
    ("datetime", "timedelta"): _decode_timedelta,
    ("datetime", "timezone"): _decode_timezone,
    ("decimal", "Decimal"): _decode_decimal,
    ("uuid", "UUID"): _decode_uuid,
    ("collections", "OrderedDict"): _decode_ordered,
    ("pathlib", "PosixPath"): _decode_path,
    ("pathlib", "PurePosixPath"): _decode_path,
}
