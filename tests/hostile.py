"""Hostile payloads, made when they are asked for; each says whom it harms.

``harms`` names the naive receivers that an entry harms: ``"loads"`` (``pickle.loads``) and
``"allowlist"`` (an ``Unpickler`` whose ``find_class`` admits exact, harmless names), both followed by
what every receiver does with a record. Entries without are must-survive: strange, but no excuse.
"""

from __future__ import annotations

import datetime
import decimal
import logging
import pickle
import struct
from typing import Callable, Dict, List, NamedTuple, Tuple

LOADS = ("loads",)
BOTH = ("loads", "allowlist")


class Entry(NamedTuple):
    name: str
    payload: bytes
    harms: Tuple[str, ...]


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def record(value: bytes, key: str = "msg") -> bytes:
    """A record, one field of which is ``value`` (opcodes that leave one object)."""
    return b"}" + text(key) + value + b"s."


def call(name: str, arguments: bytes) -> bytes:
    """A call of ``module name`` with arguments (opcodes between MARK and TUPLE)."""
    module, _, attribute = name.partition(" ")
    return f"c{module}\n{attribute}\n".encode() + b"(" + arguments + b"tR"


def stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def doubled(times: int) -> bytes:
    """A tuple of itself twice, so many times: small on the wire, 2**times when it is walked."""
    return b")" + b"2\x86" * times


COLLIDING = b"".join(
    b"\x8a\x10" + ((2**61 - 1) * n).to_bytes(16, "little") + b"N" for n in range(1, 30_000)
)
COLLIDING_KEYS = b"".join(
    b"\x8a\x10" + ((2**61 - 1) * n).to_bytes(16, "little") for n in range(1, 30_000)
)
MILLION = 1_000_000


def _stock(protocol: int, **fields: object) -> bytes:
    base = logging.makeLogRecord({"msg": "hello", "levelno": 20, "levelname": "INFO", **fields})
    return pickle.dumps(base.__dict__, protocol)


_MAKERS: Dict[str, Tuple[Callable[[], bytes], Tuple[str, ...]]] = {
    # -- code
    "os._exit": (lambda: record(call("os _exit", b"K\x4d")), LOADS),
    "posix._exit": (lambda: record(call("posix _exit", b"K\x4d")), LOADS),
    "builtins.eval": (lambda: record(call("builtins eval", text("__import__('os')._exit(77)"))), LOADS),
    "builtins.exec": (lambda: record(call("builtins exec", text("import os; os._exit(77)"))), LOADS),
    "exec at the top": (lambda: call("builtins exec", text("import os; os._exit(77)")) + b".", LOADS),
    "exec as a key": (lambda: b"}" + call("builtins exec", text("import os; os._exit(77)")) + b"Ns.", LOADS),
    "exec popped": (lambda: call("builtins exec", text("import os; os._exit(77)")) + b"0}.", LOADS),
    "INST": (lambda: record(b"(" + text("import os; os._exit(77)") + b"ibuiltins\nexec\n"), LOADS),
    "OBJ": (lambda: record(b"(cbuiltins\nexec\n" + text("import os; os._exit(77)") + b"o"), LOADS),
    "NEWOBJ": (lambda: record(b"csubprocess\nPopen\n(" + text("true") + b"t\x81"), ()),
    "NEWOBJ_EX": (lambda: record(b"cbuiltins\nobject\n)}\x92"), ()),
    "dotted name": (lambda: record(b"\x80\x04" + stack_global("os", "environ.clear") + b")R"), ()),
    "dotted to exec": (
        lambda: b"\x80\x04" + record(
            stack_global("logging", "os._exit") + b"(K\x4dtR"), LOADS),
    "getattr": (
        lambda: record(
            b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(" + text("os") + b"tR" + text("_exit") + b"tR(K\x4dtR"
        ), LOADS),
    "operator.attrgetter": (
        lambda: record(call("operator attrgetter", text("_exit")) + b"(cbuiltins\n__import__\n("
                       + text("os") + b"tRtR(K\x4dtR"), LOADS),
    "map over _exit": (
        lambda: record(call("builtins list", call("builtins map", b"cos\n_exit\n]K\x4da"))), LOADS),
    "a class by reference": (lambda: record(b"cos\nsystem\n"), ()),
    "a module that is not there": (lambda: record(call("no_such_module thing", b"")), LOADS),
    "a module whose import does": (lambda: record(b"cantigravity\nfly\n"), ()),
    "loguru's own class": (lambda: record(call("loguru._recattrs RecordLevel", b"NNN")), ()),
    "loguru's logger": (lambda: record(b"cloguru\nlogger\n"), ()),
    "our own class": (lambda: record(call("loguru_stdbridge.values Shown", b"")), LOADS),
    "copyreg.add_extension": (
        lambda: record(call("copyreg add_extension", text("os") + text("_exit") + b"K\x01")
                       + b"0\x82\x01(K\x4dtR"), LOADS),
    "copyreg._reconstructor": (
        lambda: record(call("copyreg _reconstructor", b"cbuiltins\nint\ncbuiltins\nint\n" + text("5"))), ()),
    "a reconstructor of nothing": (lambda: record(call("copyreg _reconstructor", b"NNN")), BOTH),
    "extension code 1": (lambda: record(b"\x82\x01"), LOADS),
    "extension code 2": (lambda: record(b"\x83\x01\x01"), LOADS),
    "extension code 4": (lambda: record(b"\x84\x01\x01\x01\x01"), LOADS),
    "persistent id": (lambda: record(b"Pid\n"), LOADS),
    "binary persistent id": (lambda: record(b"NQ"), LOADS),
    "next buffer": (lambda: record(b"\x97"), LOADS),
    "readonly buffer": (lambda: record(b"C\x01x\x98"), ()),
    # -- patching
    "BUILD patches a class": (
        lambda: record(b"cuuid\nUUID\n}" + text("patched") + b"Nsb", "extra"), ()),
    "BUILD patches with a slot state": (
        lambda: record(b"cuuid\nUUID\nN}" + text("patched") + b"Ns\x86b", "extra"), BOTH),
    "BUILD on a text": (lambda: record(text("x") + b"}b"), ()),
    "SETITEM on a module": (lambda: record(b"cos\nenviron\n" + text("A") + text("b") + b"s"), ()),
    # -- memory
    "memo index 2**31": (lambda: b"N" + b"r" + struct.pack("<I", 2**31 - 1) + b"0}.", BOTH),
    "memo index in text": (lambda: b"Np500000000\n0}.", BOTH),
    "memo index of many digits": (lambda: b"Np" + b"9" * 10_000 + b"\n0}.", LOADS),
    "a huge bytearray": (lambda: record(call("builtins bytearray", b"J\x00\x00\x00\x7f")), BOTH),
    "a huge width": (lambda: b"}" + text("msg") + text("%999999999d") + b"s" + text("args") + b"K\x01\x85s.", BOTH),
    "a huge precision": (lambda: b"}" + text("msg") + text("%.999999999f") + b"s" + text("args") + b"G?\xf0\0\0\0\0\0\0\x85s.", BOTH),
    "doubling lists": (lambda: record(b"]q\0" + b"(h\0h\0lq\0" * 40), BOTH),
    "doubling tuples shown": (lambda: record(doubled(60)), BOTH),
    "doubling dicts": (lambda: record(b"}q\0" + (b"(" + text("a") + b"h\0" + text("b") + b"h\0dq\0") * 40), BOTH),
    "a text 100,000 times": (lambda: record(text("x" * 10_000) + b"q\1" + b"0(" + b"h\1" * 100_000 + b"l"), BOTH),
    "a text 1,000 times as keys": (lambda: record(text("x" * 100_000) + b"q\1" + b"0(" + b"h\1" * 2_000 + b"l"), BOTH),
    "LONG4 of 2 GB": (lambda: record(b"\x8b\xff\xff\xff\x7f"), LOADS),
    "LONG4 of negative size": (lambda: record(b"\x8b\xff\xff\xff\xff"), LOADS),
    "BINBYTES8 of 2**60": (lambda: record(b"\x8e" + struct.pack("<Q", 2**60)), LOADS),
    "BINUNICODE8 of 2**60": (lambda: record(b"\x8d" + struct.pack("<Q", 2**60)), LOADS),
    "BYTEARRAY8 of 2**30": (lambda: record(b"\x96" + struct.pack("<Q", 2**30)), LOADS),
    "BYTEARRAY8 of 2**63": (lambda: record(b"\x96" + struct.pack("<Q", 2**63)), LOADS),
    "BINUNICODE of 4 GB": (lambda: record(b"X\xff\xff\xff\xff"), LOADS),
    "BINBYTES of 4 GB": (lambda: record(b"B\xff\xff\xff\xff"), LOADS),
    "BINSTRING of negative size": (lambda: record(b"T\xff\xff\xff\xff"), LOADS),
    "a frame of 2**62": (lambda: b"\x80\x04\x95" + struct.pack("<Q", 2**62) + record(b"N"), LOADS),
    "350,000 empty lists": (lambda: record(b"(" + b"]" * 350_000 + b"l"), ()),
    "a million empty dicts": (lambda: record(b"(" + b"}" * 1_000_000 + b"l"), BOTH),
    "a million marks": (lambda: b"(" * MILLION + b"}.", ()),
    "a million memo puts": (lambda: b"N" + b"\x94" * MILLION + b"0}.", ()),
    # -- processor time
    "a doubled tuple as a key": (lambda: record(b"}" + doubled(60) + b"Ns"), BOTH),
    "a doubled tuple in a set": (lambda: b"\x80\x04" + record(b"\x8f(" + doubled(60) + b"\x90"), BOTH),
    "a doubled tuple in a frozenset": (lambda: b"\x80\x04" + record(b"(" + doubled(60) + b"\x91"), BOTH),
    "colliding keys": (lambda: record(b"}(" + COLLIDING + b"u"), BOTH),
    "colliding members": (lambda: b"\x80\x04" + record(b"\x8f(" + COLLIDING_KEYS + b"\x90"), BOTH),
    "colliding members by a call": (lambda: record(call("builtins set", b"(" + COLLIDING_KEYS + b"l")), BOTH),
    "an int of a million digits": (lambda: record(b"I" + b"7" * MILLION + b"\n"), LOADS),
    "a long of a million digits": (lambda: record(b"L" + b"7" * MILLION + b"L\n"), LOADS),
    "a LONG4 of a megabyte": (lambda: record(b"\x8b" + struct.pack("<I", MILLION) + b"\x7f" * MILLION), BOTH),
    "a Decimal with a huge exponent": (
        lambda: b"}" + text("msg") + text("%d") + b"s" + text("args")
        + call("decimal Decimal", text("1E+99999999")) + b"\x85s.", BOTH),
    "a Decimal of a million digits": (
        lambda: b"}" + text("msg") + text("%d") + b"s" + text("args")
        + call("decimal Decimal", text("7" * MILLION)) + b"\x85s.", BOTH),
    "int of a text of a million digits": (lambda: record(call("builtins int", text("7" * MILLION))), LOADS),
    "zlib through _codecs": (lambda: record(call("_codecs decode", b"C\x04abcd" + text("zlib"))), LOADS),
    "rot13 through _codecs": (lambda: record(call("_codecs encode", text("abc") + text("rot13"))), ()),
    "an unknown codec": (lambda: record(call("_codecs encode", text("abc") + text("x" * 1000))), BOTH),
    "a regular expression": (lambda: record(call("re match", text("(a+)+$") + text("a" * 40 + "b"))), LOADS),
    "range as list": (lambda: record(call("builtins list", call("builtins range", b"J\x00\x00\x00\x7f"))), LOADS),
    "pow": (lambda: record(call("builtins pow", b"K\x03J\x00\x00\x00\x7f")), LOADS),
    # -- depth
    "nested tuples": (lambda: record(b")" + b"\x85" * 100_000), BOTH),
    "nested lists": (lambda: record(b"]" * 50_000 + b"a" * 49_999), BOTH),
    "nested dicts": (lambda: record((b"}" + text("k")) * 30_000 + b"N" + b"s" * 30_000), BOTH),
    "a nested key": (lambda: record(b"})" + b"\x85" * 140_000 + b"Ns"), BOTH),
    "nested frozensets": (lambda: b"\x80\x04" + record(b"(" * 30_000 + b"\x91" * 30_000), BOTH),
    "nested calls": (lambda: record(b"cbuiltins\nset\n(" * 20_000 + b"]" + b"tR" * 20_000), ()),
    "a cycle through a tuple": (lambda: record(b"]q\0h\0\x85a"), ()),
    "a cycle through a dict": (lambda: record(b"}q\0" + text("me") + b"h\0s"), ()),
    # -- hostile arguments of admitted types
    "a datetime of bad bytes": (lambda: record(call("datetime datetime", b"C\x0a" + b"\xff" * 10)), BOTH),
    "a datetime of short bytes": (lambda: record(call("datetime datetime", b"C\x02ab")), BOTH),
    "a datetime of day 255": (lambda: record(call("datetime datetime", b"C\x0a\x07\xe8\x01\xff\xff\xff\xff\xff\xff\xff")), ()),
    "a timezone of a text": (lambda: record(call("datetime timezone", text("x"))), BOTH),
    "a timedelta beyond": (lambda: record(call("datetime timedelta", b"J\xff\xff\xff\x7fK\0K\0")), BOTH),
    "a date of bad bytes": (lambda: record(call("datetime date", b"C\x04\xff\xff\xff\xff")), BOTH),
    "a complex of texts": (lambda: record(call("builtins complex", text("x"))), BOTH),
    "a set of a list": (lambda: record(call("builtins set", b"(]l")), BOTH),
    "a set of a number": (lambda: record(call("builtins set", b"K\x01")), BOTH),
    "an ordered dict of numbers": (lambda: record(call("collections OrderedDict", b"K\x01")), BOTH),
    "a UUID without a state": (lambda: record(call("copyreg _reconstructor", b"cuuid\nUUID\ncbuiltins\nobject\nN")), BOTH),
    "a list as a key": (lambda: record(b"}]Ns"), BOTH),
    # -- malformed
    "empty": (lambda: b"", LOADS),
    "stop alone": (lambda: b".", LOADS),
    "no stop": (lambda: b"}", LOADS),
    "trailing data": (lambda: b"}.rubbish", ()),
    "stack underflow": (lambda: b"s.", LOADS),
    "a mark never opened": (lambda: b"u.", LOADS),
    "an unknown opcode": (lambda: b"\xff.", LOADS),
    "a memo never put": (lambda: record(b"h\x07"), LOADS),
    "an odd number of items": (lambda: b"}(Nu.", LOADS),
    "items for a number": (lambda: b"K\x01(NNu.", LOADS),
    "invalid UTF-8": (lambda: record(b"X\x02\x00\x00\x00\xff\xfe"), LOADS),
    "a text without quotes": (lambda: record(b"Sabc\n"), LOADS),
    "a bad float": (lambda: record(b"Fabc\n"), LOADS),
    "a line without an end": (lambda: record(b"Iabc"), LOADS),
    "protocol 99": (lambda: b"\x80\x63" + record(b"N"), LOADS),
    "a list at the top": (lambda: b"].", ()),
    "a text at the top": (lambda: text("hello") + b".", LOADS),
    "None at the top": (lambda: b"N.", LOADS),
    "number keys": (lambda: b"}K\x01Ns.", ()),
    "bytes keys": (lambda: b"}C\x01aNs.", ()),
    # -- must survive
    "lone surrogates": (lambda: record(text("\ud83d\ude00 \ud83d")), ()),
    "escapes of protocol 0": (lambda: record(b"S'a\\x00\\n\\'b'\n"), ()),
    "unicode of protocol 0": (lambda: record(b"Va\\u20ac\\ud83d\n"), ()),
    "not a number": (lambda: record(b"G\x7f\xf8\0\0\0\0\0\0", "created"), ()),
    "infinity": (lambda: record(b"G\x7f\xf0\0\0\0\0\0\0", "created"), ()),
    "a megabyte of text": (lambda: record(text("x" * 1_000_000)), ()),
    "ten thousand numbers": (lambda: pickle.dumps({"msg": "x", "numbers": list(range(10_000))}, 1), ()),
    "values of every admitted type": (
        lambda: _stock(
            4, when=datetime.datetime(2024, 1, 1), price=decimal.Decimal("1.5"), members={1, 2}
        ), ()),
    **{f"a stock record of protocol {p}": ((lambda p=p: _stock(p)), ()) for p in range(5)},
}  # fmt: skip


def corpus() -> List[Entry]:
    """Every entry, made now."""
    return [Entry(name, make(), harms) for name, (make, harms) in _MAKERS.items()]
