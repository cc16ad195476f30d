"""Reads the pickled records of stdlib clients without unpickling them.

Owns the values that such a record may hold, and their bounds. No ``pickle`` and no sockets here.

Why reading a stranger's pickle is safe
---------------------------------------
Restricting ``find_class``, as the documentation of ``pickle`` shows, is no protection. An 11-byte
frame takes 3 GB through a memo index. A tuple that is doubled 60 times hangs as a dict key. A
nested key ends the process. Colliding integers make a dict quadratic. BUILD patches an admitted
class for the whole process. Some of these name no global at all.

So no unpickler ever gets a stranger's bytes. They are read in two steps:

1. :class:`pickles.opcodes.Machine` reads the opcodes and builds inert things only. Nothing is
   imported, fetched, called, hashed or compared, and the opcodes are counted.
2. :class:`_Tree` turns the inert things into a tree of plain values. A shared value is copied and
   counted each time, a cycle is cut, and depth and text are bounded. About fifteen well-known names
   have a decoder here, which checks its arguments and makes the value itself. An object of any
   other class becomes a :class:`RemoteValue` that shows the class's name, so that the record
   survives.

Sharing is the danger of the second step: two bytes of memo can refer to a megabyte. So
:meth:`_Tree.spend` makes every value pay *each time*, before it is walked, copied or shown: a text
by its characters, a number by its digits, a call by the work of its decoder.

A payload that is malformed or beyond a bound raises :class:`PayloadError`. There is no looser way
to fall back to.
"""

from __future__ import annotations

import datetime
import decimal
import struct
import uuid
from typing import Any, Callable, Optional

from ..exceptions import PayloadError
from ..record.bounded_json import MAX_FRAME_SURROGATES, MAX_SMALL_FRAME, count_surrogates
from ..record.decode import RemoteValue, many_collide
from ..record.row import Buffer
from ..record.values import MAX_DEPTH, is_bounded_decimal
from .opcodes import ByteString, Call, Global, Machine, Map, Set

MAX_NODES = 50_000
"""Values of the finished record, each counted as often as it appears: 0.1 s to load and render. A
value that takes longer than a short list or a float counts for more."""

_CALL_NODES = 4
"""Values that an object of an admitted class counts for: 2 us to make, 2 us to show, twice."""

_SPARE_TEXT = 1024 * 1024
"""Characters that all texts may have together, beyond twice the payload's size. A text that is
referred to many times costs each time, when the record is rendered."""


def load_record(payload: Buffer) -> dict[str, Any]:
    """Return the fields of a stranger's record.

    Keys are texts. Values are of exactly the types None, bool, int, float, str, bytes, bytearray,
    complex, list, tuple, dict, set, frozenset, datetime, date, time, timedelta, timezone, Decimal,
    UUID, or :class:`RemoteValue`. Raises :class:`PayloadError`, and nothing else.
    """
    data = bytes(payload)
    crowded = len(data) > MAX_SMALL_FRAME and count_surrogates(data) > MAX_FRAME_SURROGATES
    try:
        result = Machine(data, "replace" if crowded else "surrogatepass").run()
    except (IndexError, struct.error) as error:
        raise PayloadError("truncated", str(error)) from None
    except UnicodeDecodeError as error:
        raise PayloadError("bad_text", str(error)[:200]) from None
    except (ValueError, TypeError, AttributeError, Warning) as error:
        raise PayloadError("malformed", str(error)[:200]) from None
    if type(result) is not Map:
        raise PayloadError("not_a_record", f"a {type(result).__name__.strip('_')}, not a dict")
    pairs = result.pairs
    fields: dict[str, Any] = {}
    tree = _Tree(2 * len(data) + _SPARE_TEXT)
    for index in range(0, len(pairs), 2):
        key = pairs[index]
        if type(key) is ByteString:
            key = key.text()
        if type(key) is not str:
            key = _name_of(key)
        tree.spend(1, len(key))
        fields[key] = tree.finish(pairs[index + 1], 0)
    return fields


def _name_of(key: Any) -> str:
    """Return a field's name where its key is no text: logging takes ``extra={5: ...}``."""
    kind = type(key)
    if kind in _SCALARS and not (kind is int and key.bit_length() > _MAX_KEY_BITS):
        return repr(key)
    return "<object>"


# -- plain values -------------------------------------------------------------------------------

_SCALARS = frozenset({type(None), bool, int, float})
_MAX_KEY_BITS = 128  # of an integer that is shown as a name
_KEYS = frozenset({type(None), bool, int, float, str, bytes, ByteString})


class _Tree:
    """Turns inert things into plain values, within budgets of nodes and text."""

    def __init__(self, text: int) -> None:
        self._text = text
        self._nodes = MAX_NODES
        self._path: list[int] = []

    def spend(self, nodes: int, text: int) -> None:
        """Pay for values and characters. Raises :class:`PayloadError` beyond a budget."""
        self._nodes -= nodes
        self._text -= text
        if self._nodes < 0:
            raise PayloadError("too_many_values", f"more than {MAX_NODES}")
        if self._text < 0:
            raise PayloadError("too_much_text", "texts that are repeated too often")

    def finish(self, value: Any, depth: int) -> Any:
        """Return the plain value. Raises :class:`PayloadError` beyond a budget."""
        kind = type(value)
        if kind in _SCALARS:
            self.spend(1, value.bit_length() // 3 if kind is int else 0)
            return value
        if kind is str or kind is bytes:
            self.spend(1, len(value))
            return value
        if kind is ByteString:
            self.spend(1, len(value.data))
            return value.text()
        self.spend(1, 0)
        if depth > MAX_DEPTH:
            return RemoteValue("<too deep>")
        if kind is RemoteValue:
            return value
        if kind is Global:
            return self._remote_value(f"<class '{_shown_name(value)}'>")
        if id(value) in self._path:
            return RemoteValue("<cycle>")
        self._path.append(id(value))
        try:
            return self._finish_compound(value, kind, depth + 1)
        finally:
            self._path.pop()

    def _finish_compound(self, value: Any, kind: Any, depth: int) -> Any:
        finish = self.finish
        if kind is list or kind is tuple:
            return kind([finish(item, depth) for item in value])
        if kind is Map:
            return self._finish_pairs(value.pairs, depth)
        if kind is Set:
            return self._finish_set(value.items, depth, frozenset if value.frozen else set)
        assert kind is Call
        return self._finish_call(value, depth)

    def _remote_value(self, text: str) -> RemoteValue:
        self.spend(0, len(text))
        return RemoteValue(text)

    def _finish_pairs(self, pairs: list[Any], depth: int) -> Any:
        keys: list[Any] = []
        others: list[Any] = []
        for index in range(0, len(pairs), 2):
            key = pairs[index]
            if type(key) is ByteString:
                key = key.text()
            if type(key) is not str:
                key = self._key(key, depth)
                others.append(key)
            else:
                self.spend(1, len(key))
            keys.append(key)
        values = [self.finish(pairs[index], depth) for index in range(1, len(pairs), 2)]
        if many_collide(others):
            return RemoteValue(f"<dict of {len(keys)} whose keys collide>")
        return dict(zip(keys, values))

    def _key(self, key: Any, depth: int) -> Any:
        """Return a key whose hash costs no more than its size."""
        if type(key) is tuple and all(type(item) in _KEYS for item in key):
            return self.finish(key, depth)
        if type(key) in _KEYS:
            return self.finish(key, depth)
        return RemoteValue(f"<{type(key).__name__.strip('_').lower()} as a key>")

    def _finish_set(self, items: list[Any], depth: int, kind: Any) -> Any:
        members = [self._key(item, depth) for item in items]
        if many_collide(members):
            return RemoteValue(f"<{kind.__name__} of {len(items)} that collide>")
        return kind(members)

    def _finish_call(self, call: Call, depth: int) -> Any:
        self.spend(_CALL_NODES, 0)
        function = call.function
        module, name = function.module, function.name
        arguments = call.arguments
        if module in ("copyreg", "copy_reg") and name in ("_reconstructor", "__newobj__"):
            if not arguments or type(arguments[0]) is not Global:
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
                pass  # the class itself never writes this; the object is shown by name
        return self._remote_value(f"<{_shown_name(function)} object>")


_MODULES = {"__builtin__": "builtins", "_decimal": "decimal", "pathlib._local": "pathlib"}


def _shown_name(name: Global) -> str:
    module = _MODULES.get(name.module, name.module)
    return name.name if module == "builtins" else f"{module}.{name.name}"


def _plain_arguments(tree: _Tree, arguments: Any, depth: int) -> list[Any]:
    return [tree.finish(argument, depth) for argument in arguments]


def _text_of(value: Any) -> Any:
    """Return ``value``, or its text if it is a byte string of Python 2."""
    return value.text() if type(value) is ByteString else value


def _state_and_zone(tree: _Tree, arguments: Any, depth: int) -> tuple[bytes, list[Any]]:
    """Return the bytes of a time's state, which Python 2 wrote as a byte string, and its zone."""
    first, *zone = arguments
    state = first.data if type(first) is ByteString else tree.finish(first, depth)
    if type(state) is not bytes or len(state) > 10:
        raise ValueError("no state of a time")
    return state, _plain_arguments(tree, zone, depth)


def _decode_encode(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    text, encoding = arguments
    if type(text) is str and type(encoding) is str and encoding in ("latin1", "latin-1"):
        tree.spend(0, len(text))
        return text.encode("latin-1")
    return None


def _decode_bytes(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    if not arguments:
        return b""
    (value,) = arguments
    return tree.finish(value, depth) if type(value) is bytes else None


def _decode_bytearray(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    if not arguments:
        return bytearray()
    value, *encoding = _plain_arguments(tree, arguments, depth)
    if type(value) is str and encoding in (["latin-1"], ["latin1"]):
        return bytearray(value.encode("latin-1"))
    return bytearray(value) if type(value) is bytes and not encoding else None


def _decode_set(kind: Any) -> Any:
    def decode(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
        if not arguments:
            return kind()
        (items,) = arguments
        if type(items) is not list:
            return None
        return tree._finish_set(items, depth, kind)

    return decode


def _decode_complex(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    real, imag = arguments
    return complex(real, imag) if type(real) is type(imag) is float else None


def _decode_datetime(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    raw, zone = _state_and_zone(tree, arguments, depth)
    if len(raw) != 10 or len(zone) > 1 or (zone and type(zone[0]) is not datetime.timezone):
        return None
    return datetime.datetime(
        raw[0] << 8 | raw[1], raw[2] & 0x7F, raw[3], raw[4], raw[5], raw[6],
        raw[7] << 16 | raw[8] << 8 | raw[9], zone[0] if zone else None, fold=raw[2] >> 7,
    )  # fmt: skip


def _decode_date(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    raw, zone = _state_and_zone(tree, arguments, depth)
    if len(raw) != 4 or zone:
        return None
    return datetime.date(raw[0] << 8 | raw[1], raw[2], raw[3])


def _decode_time(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    raw, zone = _state_and_zone(tree, arguments, depth)
    if len(raw) != 6 or len(zone) > 1 or (zone and type(zone[0]) is not datetime.timezone):
        return None
    return datetime.time(
        raw[0] & 0x7F, raw[1], raw[2], raw[3] << 16 | raw[4] << 8 | raw[5],
        zone[0] if zone else None, fold=raw[0] >> 7,
    )  # fmt: skip


def _decode_timedelta(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    days, seconds, microseconds = arguments
    if type(days) is type(seconds) is type(microseconds) is int:
        return datetime.timedelta(days, seconds, microseconds)
    return None


def _decode_timezone(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    offset, *name = _plain_arguments(tree, arguments, depth)
    if type(offset) is not datetime.timedelta or any(type(n) is not str for n in name):
        return None
    if not offset and not name:
        return datetime.timezone.utc
    return datetime.timezone(offset, *name[:1])


def _decode_decimal(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    text = _text_of(*arguments)
    if type(text) is not str or len(text) > 2000:
        return None
    tree.spend(len(text) // 20, len(text))  # 40 microseconds for 2,000 digits
    value = decimal.Decimal(text)
    return value if is_bounded_decimal(value) else None


def _decode_uuid(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    if type(call.state) is not Map:
        return None
    pairs = call.state.pairs[:4]  # "int", and from Python 3.7 on perhaps "is_safe"
    for index in range(0, len(pairs), 2):
        key = _text_of(pairs[index])
        if type(key) is str and key == "int" and type(pairs[index + 1]) is int:
            return uuid.UUID(int=pairs[index + 1])
    return None


def _decode_ordered(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    if not arguments:
        return tree._finish_pairs(call.pairs, depth)
    (given,) = arguments
    if type(given) is not list or call.pairs:
        return None
    tree.spend(len(given), 0)
    if any(type(pair) not in (list, tuple) or len(pair) != 2 for pair in given):
        return None
    return tree._finish_pairs([item for pair in given for item in pair], depth)


def _decode_path(tree: _Tree, arguments: Any, call: Call, depth: int) -> Any:
    text = "/".join(_plain_arguments(tree, arguments, depth))
    tree.spend(0, len(text))
    return RemoteValue(text.replace("//", "/", 1) if text.startswith("//") else text)


_Decoder = Callable[[_Tree, tuple[Any, ...], Call, int], Optional[Any]]
_DECODERS: dict[tuple[str, str], _Decoder] = {
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
