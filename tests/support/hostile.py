"""Makes hostile payloads, and says of each which receivers it harms.

``harms`` names the naive receivers that an entry harms: ``"loads"`` (``pickle.loads``) and
``"allowlist"`` (an ``Unpickler`` whose ``find_class`` admits exact, harmless names). Both do
afterwards what every receiver does with a record. An entry that harms neither is only strange: its
record must survive.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import logging
import pickle
import struct
from typing import Callable, NamedTuple

LOADS = ("loads",)
BOTH = ("loads", "allowlist")


class Entry(NamedTuple):
    name: str
    payload: bytes
    harms: tuple[str, ...]


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def record(value: bytes, key: str = "msg") -> bytes:
    """Make a record with one field, ``value``: opcodes that leave one object."""
    return b"}" + text(key) + value + b"s."


def call(name: str, arguments: bytes) -> bytes:
    """Make a call of ``module name``; ``arguments`` are opcodes between MARK and TUPLE."""
    module, _, attribute = name.partition(" ")
    return f"c{module}\n{attribute}\n".encode() + b"(" + arguments + b"tR"


def stack_global(module: str, name: str) -> bytes:
    return text(module) + text(name) + b"\x93"


def doubled(times: int) -> bytes:
    """Make a tuple that holds itself twice, ``times`` deep: walking it takes 2**times steps."""
    return b")" + b"2\x86" * times


def shared(value: bytes, use: bytes, times: int, key: str = "msg") -> bytes:
    """Make a record with a list of many ``use``, each of which refers to ``value`` as memo 1."""
    return record(value + b"q\1" + b"0(" + use * times + b"l", key)


def name(module_and_name: str) -> bytes:
    """Put a class, by name, into memo 2."""
    module, _, attribute = module_and_name.partition(" ")
    return f"c{module}\n{attribute}\nq\2".encode() + b"0"


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


_MAKERS: dict[str, tuple[Callable[[], bytes], tuple[str, ...]]] = {
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
    "INST of getattr": (lambda: record(b"(" + text("x") + b"ibuiltins\ngetattr\n"), LOADS),
    "OBJ of getattr": (lambda: record(b"(cbuiltins\ngetattr\n" + text("x") + b"o"), LOADS),
    "OBJ without a class": (lambda: record(b"(o"), LOADS),
    "OBJ of what is no class": (lambda: record(b"(" + text("x") + b"K\1o"), LOADS),
    "OBJ of 90,000 arguments": (lambda: record(b"(cshop\nBasket\n" + b"N" * 90_000 + b"o"), LOADS),
    "INST that patches an admitted class": (
        lambda: record(b"(iuuid\nUUID\n}" + text("__class__") + b"Nsb"), LOADS),
    "byte strings of 2 GB": (lambda: record(b"T\xff\xff\xff\x7f" + b"x" * 1000), LOADS),
    "a byte string that is shared": (
        lambda: shared(b"T" + struct.pack("<i", MILLION) + b"\xe9" * MILLION, b"h\1", 10_000), ()),
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
    "our own class": (lambda: record(call("loguru_stdbridge.record.decode RemoteValue", b"")), LOADS),
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
    "a shared text as an ordered dict": (
        lambda: record(text("x" * 900_000) + b"q\1" + b"0" + call("collections OrderedDict", b"(" + b"h\1" * 30_000 + b"l")), BOTH),
    "a shared text encoded": (
        lambda: shared(text("latin1") + b"q\3" + b"0" + name("_codecs encode") + text("x" * 900_000), b"h\2h\1h\3\x86R", 18_000), BOTH),
    "a shared text as a key": (lambda: shared(text("x" * 900_000), b"}h\1Ns", 18_000), BOTH),
    "a shared number": (lambda: shared(b"\x8a\xff" + b"\x7f" * 255, b"h\1", 45_000), ()),
    "a shared number of 512 bytes": (lambda: shared(b"\x8b\0\2\0\0" + b"\x7f" * 512, b"h\1", 45_000), ()),
    "a shared class": (lambda: shared(b"c" + b"m" * 200 + b"\n" + b"n" * 200 + b"\n", b"h\1", 45_000), LOADS),
    "a shared path": (lambda: shared(name("pathlib PosixPath") + text("x" * 900_000), b"h\2h\1\x85R", 18_000), BOTH),
    "escapes and an emoji": (lambda: record(text("\x01" * MILLION + "\U0001f600")), ()),
    "escapes and an emoji in extra": (lambda: record(text("\x7f" * MILLION + "\U0001f600"), "own"), ()),
    "a shared text of escapes": (lambda: shared(text("\U000e0001" * 100_000), b"h\1", 14, "own"), ()),
    "bytes in extra": (lambda: record(b"B" + struct.pack("<I", MILLION) + b"\xff" * MILLION, "own"), ()),
    # -- processor time
    "a shared ordered dict": (
        lambda: record(
            b"(" + b"N" * 60_000 + b"lq\1" + b"0" + call("collections OrderedDict", b"(](Neh\1l") + b"q\2"
            + b"0(" + b"h\2" * 35_000 + b"l"), LOADS),
    "a shared decimal": (
        lambda: shared(name("decimal Decimal") + text("7" * 1000), b"h\2h\1\x85R", 18_000, "own"), ()),
    "a shared decimal that is refused": (
        lambda: shared(name("decimal Decimal") + text("7" * 2000), b"h\2h\1\x85R", 18_000, "own"), ()),
    "a shared state of UUIDs": (
        lambda: shared(name("uuid UUID") + b"}(" + b"K\1N" * 20_000 + b"u", b"h\2)\x81h\1b", 10_000, "own"), LOADS),
    "shared datetimes": (
        lambda: shared(
            name("datetime datetime") + call("datetime timezone", call("datetime timedelta", b"K\0K\1K\0")) + b"q\3"
            + b"0" + b"C\x0a\x07\xe8\x01\x02\x03\x04\x05\x00\x00\x00", b"h\2h\1h\3\x86R", 15_000, "own"), ()),
    "shared UUIDs": (
        lambda: shared(name("uuid UUID") + b"}" + text("int") + b"K\5s", b"h\2)\x81h\1b", 15_000, "own"), ()),
    "wide members that collide": (
        lambda: b"\x80\x04" + record(
            b"\x8f(" + b"".join(
                b"(" + b"M\1\2" * 1200 + b"\x8a\x10" + ((2**61 - 1) * n).to_bytes(16, "little") + b"t"
                for n in range(1, 255)
            ) + b"\x90", "own"), BOTH),
    "floats that take long": (lambda: record(b"(" + b"G\0\0\0\0\0\0\0\1" * 48_000 + b"l", "own"), ()),
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
    "nested tuples": (lambda: record(b")" + b"\x85" * 90_000), BOTH),
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


@functools.lru_cache
def corpus() -> list[Entry]:
    """Make every entry, once: together they take 30 MB."""
    return [Entry(name, make(), harms) for name, (make, harms) in _MAKERS.items()]


# -- dense frames, of a client that has said its hello


def _row(extra: str = "{}", flags: int = 0, message: str = '"m"', name: str = '"n"', exception: str = "null",
         zone: str = '"UTC"', level: str = '20,"INFO"', color: str = "null", more: str = "") -> str:  # fmt: skip
    return (
        f'[{flags},1.7e9,0.0,{zone},1.0,{level},"i",{color},{message},{name},"f",1,"f","p","m",1,"p",1,"t",'
        f"{exception},{extra}{more}]"
    )


def _values(one: str, size: int = MILLION) -> str:
    """Make an ``extra`` with a list of as many ``one`` as fit."""
    return f'{{"a":[{",".join([one] * (size // (len(one) + 1)))}]}}'


def _tagged(one: str, count: int) -> str:
    return _row(f'{{"a":[{",".join([one] * count)}]}}', 2)


_TINY = '[0,0,0,null,0,0,"","",null,"","","",0,"","","",0,"",0,"",null,{}]'
_TINY_ERROR = _TINY.replace("null,{}]", '["E","v","t",1],{}]')
_COLLIDING = [n * (2**61 - 1) for n in range(1, 50_000)]


def _sets(size: int, count: int) -> str:
    chunks = [_COLLIDING[n * size : (n + 1) * size] for n in range(count)]
    return ",".join(
        '{"~":["as",["set",[%s],"r",null]]}' % ",".join(map(str, chunk)) for chunk in chunks
    )


def _wide_set(one: str, width: int, count: int) -> str:
    tuples = ",".join(
        '{"~":["tuple",[%s,%d]]}' % (",".join([one] * width), number)
        for number in _COLLIDING[:count]
    )
    return f'{{"~":["as",["set",[{tuples}],"r",null]]}}'


_DENSE: dict[str, Callable[[], str]] = {
    # -- refused for their number
    "15,000 tiny rows": lambda: ",".join([_TINY] * 15_000),
    "500,000 rows that are none": lambda: ",".join("0" * 500_000),
    "300,000 empty lists": lambda: _row(_values("[]")),
    "a million digits": lambda: _row(_values("7" * MILLION, MILLION + 1)),
    "half a million values": lambda: _row(_values("1")),
    "143,000 floats": lambda: _row(_values("1e-300")),
    "long integers": lambda: _row(_values("7" * 4000)),
    "333,000 surrogates": lambda: _row(message='"' + "\ud83d" * 333_000 + '"'),
    "100,000 keys": lambda: _row("{" + ",".join(f'"{n:x}":0' for n in range(100_000)) + "}", 2),
    # -- as much as is taken
    "a thousand tiny rows": lambda: ",".join([_TINY] * 1000),
    "a thousand errors": lambda: ",".join([_TINY_ERROR] * 1000),
    "many floats": lambda: _row(_values("1e-300", 39_000 * 7)),
    "many floats of many digits": lambda: _row(_values("1.7976931348623157e308", 39_000 * 23)),
    "many floats and escapes": lambda: _row(
        _values("1e-300", 39_000 * 7)[:-1] + ',"b":"' + "\x7f" * 600_000 + "\U0001f600" + '"}'),
    "many surrogates and floats": lambda: _row(
        _values("1e-300", 39_000 * 7)[:-1] + ',"b":"' + "\ud83d" * 49_000 + '"}'),
    "many integers": lambda: _row(_values("7" * 600)),
    "many integers in hexadecimal": lambda: _tagged('{"~":["int","0x%s"]}' % ("f" * 2000), 490),
    "many keys": lambda: _row("{" + ",".join(f'"{n:x}":0' for n in range(39_000)) + "}", 2),
    "many wide keys": lambda: _row(
        "{" + ",".join(f'"{chr(0x100 + n % 999)}{chr(0x200 + n // 999)}":1e-300' for n in range(39_000)) + "}", 2),
    "many dicts": lambda: _tagged('{"a":1e-300}', 31_000),
    "many tuples": lambda: _tagged('{"~":["tuple",[]]}', 10_600),
    "many sets": lambda: _tagged('{"~":["as",["set",[1],"r",null]]}', 7_900),
    "many shown values": lambda: _tagged('{"~":["as",["float",1e-300,"r",null]]}', 6_600),
    "many datetimes": lambda: _tagged('{"~":["datetime",["2024-01-01",[1.5,"x"],0]]}', 6_600),
    "many UUIDs": lambda: _tagged('{"~":["uuid","%032x"]}' % 5, 13_000),
    "many decimals": lambda: _tagged('{"~":["decimal","1E+6144"]}', 13_000),
    "many long decimals": lambda: _tagged('{"~":["decimal","%s"]}' % ("7" * 900), 1_080),
    "many timedeltas": lambda: _tagged('{"~":["timedelta",[1,2,3]]}', 9_900),
    "colliding sets": lambda: _row(f'{{"a":[{_sets(16, 1_900)}]}}', 2),
    "larger colliding sets": lambda: _row(f'{{"a":[{_sets(257, 140)}]}}', 2),
    "a colliding dict": lambda: _row(
        '{"a":{"~":["dict",[%s]]}}' % ",".join(f"[{n},0]" for n in _COLLIDING[:12_000]), 2),
    "wide members": lambda: _row(f'{{"a":{_wide_set("257", 145, 256)}}}', 2),
    "wide members of floats": lambda: _row(f'{{"a":{_wide_set("0.5", 145, 256)}}}', 2),
    "few wide members": lambda: _row(f'{{"a":{_wide_set("0.5", 2_300, 16)}}}', 2),
    "deep lists": lambda: _row(_values("[" * 400 + "]" * 400, 30_000)),
    "deep tagged lists": lambda: _tagged("[" * 140 + "]" * 140, 220),
    "deep as": lambda: _tagged('{"~":["as",["list",[' * 40 + '],"r",null]]}' * 40, 200),
    "deeper than the interpreter": lambda: _row('{"a":' + "[" * 100_000 + "]" * 100_000 + "}"),
    # -- texts
    "escapes": lambda: _row('{"a":"' + "\x7f" * MILLION + '"}'),
    "escapes and an emoji": lambda: _row('{"a":"' + "\x7f" * MILLION + "\U0001f600" + '"}'),
    "astral": lambda: _row('{"a":"' + "\U000e0001" * 250_000 + '"}'),
    "backslashes": lambda: _row('{"a":"' + "\\\\" * 500_000 + "\U0001f600" + '"}'),
    "a message of quotes": lambda: _row(message='"' + '\\"' * 500_000 + "\U0001f600" + '"'),
    "a message of escapes": lambda: _row(message='"' + "\x7f" * MILLION + "\U0001f600" + '"'),
    "bytes": lambda: _row('{"a":{"~":["bytes","' + "\x7f" * MILLION + '"]}}', 2),
    "many short escapes": lambda: _row(
        _values('"' + "\x7f" * 25 + '"', 39_000 * 28)[:-1] + ',"b":"\U0001f600"}'),
    "an exception of escapes": lambda: _row(
        exception='["E","v","' + "\x7f" * MILLION + "\U0001f600" + '",true]'),
    "an exception of lines": lambda: _row(exception='["E","v","' + "\\n" * 500_000 + '",true]'),
    "an exception's value": lambda: _row(exception='["E","' + "\x7f" * MILLION + '","x",true]'),
    "an exception of surrogates": lambda: _row(exception='["\\ud800","\\ud800","\\ud800",true]'),
    "an exception of lists": lambda: _row(exception="[" + ",".join(["[]"] * 30_000) + "]"),
    "a name of dots": lambda: _row(name='"' + "." * MILLION + '"'),
    "many names of dots": lambda: ",".join([_row(name='"' + "." * 2000 + '"')] * 480),
    "a zone": lambda: _row(zone='"' + "z" * MILLION + '"'),
    "a colour": lambda: _row(color='"' + "<red>" * 200_000 + '"', level='27,"COLOUR"'),
    "a level": lambda: _row(level='-5,"' + "x" * MILLION + '"'),
    "other keys": lambda: _row(more=",{" + ",".join(f'"{n:x}":0' for n in range(39_000)) + "}"),
    # -- rendered rows
    "a time that no float holds": lambda: f'[4,1{"0" * 500},20,"INFO","x","line"]',
    "a thousand lines": lambda: ",".join(['[4,1,20,"INFO","0000000000000000",""]'] * 1000),
    "a line of a megabyte": lambda: '[4,1,20,"INFO","0000000000000000","' + "\x7f" * MILLION + '"]',
    "a line that is none": lambda: '[4,1,20,"INFO",["0000000000000000"],{}],"abcdef",{"a":1}',
}  # fmt: skip


def dense_corpus() -> list[Entry]:
    """Make payloads of frames of rows; ``harms`` is empty: only this package reads them."""
    return [
        Entry(name, f"[2,{make()}]".encode("utf-8", "surrogatepass"), ())
        for name, make in _DENSE.items()
    ]
