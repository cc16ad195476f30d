"""Reads the opcodes of a pickle without running them. No ``pickle`` and no sockets here.

Owns the first step of reading a stranger's pickle: bytes in, inert things out. :mod:`pickles.read`
has the second step, and says why both are safe. A global stays a pair of names. A call is noted and
never made. A dict is a list of its keys and values, so nothing is hashed. Nothing is imported,
fetched or compared. The number of opcodes is bounded, and with it time and memory: no opcode costs
more than the bytes that come with it.
"""

from __future__ import annotations

import codecs
import struct
from typing import Any, Callable

from ..exceptions import PayloadError
from ..record.bounded_json import MAX_DIGITS
from ..record.decode import RemoteValue

MAX_OPCODES = 100_000
"""Opcodes of one payload: about 40 ms and 20 MB at worst. A record with 45,000 numbers in its
``extra`` has as many."""

MAX_INT_BYTES = 512
"""Bytes of one integer."""

MAX_GLOBAL_NAME = 200
"""Characters of a module's or a class's name."""


class Global:
    """The name of a class or function. It is never looked up."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        if len(module) > MAX_GLOBAL_NAME or len(name) > MAX_GLOBAL_NAME:
            raise PayloadError("long_name", f"{module[:50]}.{name[:50]}...")
        if name == "getattr" or name.startswith("getattr."):
            raise PayloadError("getattr", f"{module}.{name}")
        self.module = module
        self.name = name


class ByteString:
    """A ``str`` of Python 2: a text in an encoding that the pickle does not tell."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data

    def text(self) -> str:
        """Return the text: UTF-8 if it is that, else Latin-1."""
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError:
            return self.data.decode("latin-1")


class Map:
    """A dict as a list of its keys and values in turn, so that nothing is hashed."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[Any]) -> None:
        self.pairs = pairs


class Set:
    """A set as a list of its members."""

    __slots__ = ("frozen", "items")

    def __init__(self, items: list[Any], frozen: bool) -> None:
        self.items = items
        self.frozen = frozen


class Call:
    """A call that a pickle asks for. It is never made; the items meant for its result are kept."""

    __slots__ = ("arguments", "function", "pairs", "state")

    def __init__(self, function: Any, arguments: Any) -> None:
        if type(function) is not Global:
            raise PayloadError("malformed", "a call of something that is no name")
        self.function = function
        self.arguments = arguments
        self.state: Any = None
        self.pairs: list[Any] = []


_decode_unicode_line = codecs.getdecoder("raw_unicode_escape")  # imports the codec now, not later
_U16 = struct.Struct("<H").unpack_from
_I32 = struct.Struct("<i").unpack_from
_U32 = struct.Struct("<I").unpack_from
_U64 = struct.Struct("<Q").unpack_from
_F64 = struct.Struct(">d").unpack_from


class Machine:
    """Reads the opcodes of one pickle. Runs, imports, hashes and compares nothing."""

    def __init__(self, data: bytes, errors: str = "surrogatepass") -> None:
        """``errors`` says what becomes of surrogates: each that passes takes 0.6 microseconds."""
        self._data = data
        self._errors = errors
        self._position = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return the object at STOP.

        Raises :class:`PayloadError`, and ``IndexError``, ``ValueError`` and the like for broken
        opcodes.
        """
        data, stack, memo, errors = self._data, self._stack, self._memo, self._errors
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
                push(data[start:end].decode("utf-8", errors))
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
                push(Map([]))
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

    def _pop_mark(self) -> list[Any]:
        start = self._marks.pop()
        items = self._stack[start:]
        if len(self._stack) < start:
            raise PayloadError("malformed", "a mark above the stack")
        del self._stack[start:]
        return items

    @staticmethod
    def _set_items(target: Any, items: list[Any]) -> None:
        if type(target) not in (Map, Call) or len(items) % 2:
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
        if not line.strip(b"L").lstrip(b"+-").isdigit():
            raise PayloadError("bad_number", f"{line[:40]!r} of {len(line)} characters")
        return line

    def _int_line(self) -> None:
        line = self._number_line()
        if line in (b"00", b"01"):
            self._stack.append(line == b"01")
        elif len(line) > MAX_DIGITS:
            self._stack.append(RemoteValue(f"<int of {len(line)} digits>"))
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
        self._stack.append(ByteString(codecs.escape_decode(line[1:-1])[0]))

    def _unicode_line(self) -> None:
        self._stack.append(_decode_unicode_line(self._line())[0])

    def _byte_string(self, width: int) -> None:
        self._stack.append(ByteString(self._sized(width)))

    def _bytes(self, width: int) -> None:
        self._stack.append(self._sized(width))

    def _bytearray8(self) -> None:
        self._stack.append(Call(Global("builtins", "bytearray"), (self._sized(8),)))

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

    def _append(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is list:
            target += items
        elif type(target) is not Call:  # a Call: a subclass of list, shown by its name
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
        target = Map([])
        self._set_items(target, items)
        self._stack.append(target)

    def _add_items(self) -> None:
        items = self._pop_mark()
        target = self._stack[-1]
        if type(target) is not Set or target.frozen:
            raise PayloadError("malformed", "members for what is no set")
        target.items += items

    def _global(self) -> None:
        module, name = self._line().decode("utf-8"), self._line().decode("utf-8")
        self._stack.append(Global(module, name))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        if type(name) is not str or type(module) is not str:
            raise PayloadError("malformed", "a global whose name is no text")
        self._stack.append(Global(module, name))

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(arguments) is not tuple:
            raise PayloadError("malformed", "arguments that are no tuple")
        self._stack.append(Call(function, arguments))

    def _inst(self) -> None:
        self._global()
        function = self._stack.pop()
        self._stack.append(Call(function, tuple(self._pop_mark())))

    def _obj(self) -> None:
        items = self._pop_mark()
        self._stack.append(Call(items[0], tuple(items[1:])))

    def _newobj_ex(self) -> None:
        self._stack.pop()
        self._reduce()

    def _build(self) -> None:
        state = self._stack.pop()
        target = self._stack[-1]
        if type(target) is not Call:
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


_RARE: dict[int, Callable[[Machine], Any]] = {
    ord("I"): Machine._int_line,
    ord("L"): Machine._int_line,
    ord("F"): Machine._float_line,
    0x8B: Machine._long4,
    0x88: lambda m: m._stack.append(True),
    0x89: lambda m: m._stack.append(False),
    ord("S"): Machine._string_line,
    ord("V"): Machine._unicode_line,
    ord("T"): lambda m: m._byte_string(4),
    ord("U"): lambda m: m._byte_string(1),
    ord("B"): lambda m: m._bytes(4),
    ord("C"): lambda m: m._bytes(1),
    0x8E: lambda m: m._bytes(8),
    0x96: Machine._bytearray8,
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
    ord("a"): Machine._append_one,
    ord("e"): lambda m: m._append(m._pop_mark()),
    ord("d"): Machine._dict_of_mark,
    ord("s"): Machine._set_one,
    0x8F: lambda m: m._stack.append(Set([], False)),
    0x90: Machine._add_items,
    0x91: lambda m: m._stack.append(Set(m._pop_mark(), True)),
    ord("c"): Machine._global,
    0x93: Machine._stack_global,
    ord("R"): Machine._reduce,
    ord("i"): Machine._inst,
    ord("o"): Machine._obj,
    0x81: Machine._reduce,  # NEWOBJ: never made either
    0x92: Machine._newobj_ex,
    ord("b"): Machine._build,
    0x80: lambda m: m._take(1),
    0x95: Machine._frame,
    ord("0"): Machine._pop,
    ord("1"): Machine._pop_mark,
    ord("2"): lambda m: m._stack.append(m._stack[-1]),
}
"""All other opcodes but EXT1 to EXT4, PERSID, BINPERSID and the out-of-band buffers. No record
needs those."""


def _integer(data: bytes) -> int | RemoteValue:
    if len(data) > MAX_INT_BYTES:
        return RemoteValue(f"<int of {8 * len(data)} bits>")
    return int.from_bytes(data, "little", signed=True)
