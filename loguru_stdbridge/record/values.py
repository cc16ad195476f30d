"""Makes the values that an application logs in ``extra`` fit for JSON.

Owns which types go as themselves, how the others are shown, and the bounds. The receiver turns the
JSON back into values in :mod:`record.decode`. No sockets, files or clocks here.

JSON's own types go as they are. A type that JSON lacks (a tuple, a set, a datetime, a dict whose
keys are not text) goes as an object with the one key ``~``, which holds a tag and a content. The
receiver gets the same type back. Every other object goes as its ``repr`` and its ``str``. The
worker makes those texts, because it has the class. The receiver gets a
:class:`record.decode.RemoteValue`, which prints as those texts: a text format and
``serialize=True`` show what they would have shown in the worker. A subclass of a builtin (an enum
member, a named tuple, an ``OrderedDict``) goes as its plain value with both texts.

An application can put anything of any size into ``extra``. So depth, number of values and
characters are bounded. A cycle, a value beyond a bound, or a ``repr`` that raises becomes a short
text, and the record goes.
"""

from __future__ import annotations

import datetime
import decimal
import sys
from collections.abc import Iterable
from itertools import islice
from typing import (
    Any,
    Callable,
    Union,
)

TAG = "~"
"""The one key of a tagged value. An application's dict that has this key is tagged itself."""

MAX_DEPTH = 50
"""Levels of nesting that go as structure; a value below them is shown as text. A tag adds two
levels of JSON, so the receiver's decoder sees about 100, a tenth of what the interpreter allows."""

MAX_VALUES = 10_000
"""Values in one ``extra``, keys not counted."""

MAX_TEXT = 1024 * 1024
"""Characters of one text, or bytes of one ``bytes``, in ``extra``."""

MAX_TOTAL_TEXT = 4 * MAX_TEXT
"""Characters of all texts in one ``extra``."""

MAX_SPARED = 64
"""Characters of a text that are kept when others have used up the room: names, identifiers."""

MAX_SHOWN = 8192
"""Characters of a value shown by its ``repr`` or ``str``."""

MIN_KEPT_KEYS = 256
"""Keys of ``extra`` that are kept for certain, whatever the values before them take. As many texts
and numbers are within every other bound."""

MAX_PLAIN_BITS = 2000
"""Bits of an integer that goes as JSON digits. They make 602 digits, below the lowest limit (640)
that ``sys.set_int_max_str_digits`` allows. A larger one goes in hexadecimal: the time to read that
grows with its length only."""

MAX_INT_BITS = 8192
"""Bits of an integer that goes as a number: 2,467 digits, which take 50 microseconds to write.
Twice as many take four times as long."""

MAX_ZONE = 100
"""Characters of a time zone's name."""

MAX_DECIMAL_DIGITS = 1000
MAX_DECIMAL_EXPONENT = 6144  # decimal128's: ``format(Decimal("1E+999999999"), "f")`` is a bomb

Json = Union[None, bool, int, float, str, list[Any], dict[str, Any]]
PLAIN_TYPES = frozenset({int, float, bool, type(None)})
CONTAINERS = (list, tuple, dict, set, frozenset)


def bounded_text(text: str, limit: int) -> str:
    """Return ``text``, or its first ``limit`` characters and how many more there are."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text) - limit} more characters)"


def show(value: object, convert: Callable[[object], str] = repr, limit: int = MAX_SHOWN) -> str:
    """Make a bounded, plain text of any object by ``repr`` or ``str``. Never raises."""
    try:
        text = convert(value)
        if type(text) is not str:
            text = str.__str__(text)
    except Exception:
        text = f"<unprintable {class_name(value)} object>"
    return bounded_text(text, limit)


def name_of_class(kind: Any) -> str:
    """Return the name of a class, whatever its metaclass makes of it. Never raises."""
    try:
        return bounded_text(str.__str__(kind.__name__), 200)
    except Exception:
        return "strange"


def class_name(value: object) -> str:
    """Return the name of an object's class. Never raises."""
    return name_of_class(type(value))


def flatten_extra(extra: Any) -> tuple[Json, bool]:
    """Make ``extra`` fit for JSON; return that and whether it holds tagged values. Never raises.

    The common case (text keys; texts and numbers) costs one look at each value. A value that is no
    dict, or a dict that cannot be read, goes under the key ``extra``.
    """
    if type(extra) is dict and len(extra) <= MIN_KEPT_KEYS:
        for key, value in extra.items():
            kind = type(value)
            if type(key) is not str or key == TAG:
                break
            if kind is str:
                if len(value) > MAX_SHOWN:
                    break
            elif kind not in PLAIN_TYPES or (kind is int and value.bit_length() > MAX_PLAIN_BITS):
                break
        else:
            return extra, False
    flattener = _Flattener()
    flat = flattener.flatten(extra, 0)
    if not _is_dict(flat):
        flat = {"extra": flat}
    return flat, flattener.tagged


def _is_dict(flat: Json) -> bool:
    """Return whether the receiver makes a dict of it."""
    if type(flat) is not dict or TAG not in flat:
        return type(flat) is dict
    tag, content = flat[TAG]
    return bool(tag == "dict" or (tag == "as" and content[0] == "dict"))


class _Flattener:
    """Walks over one ``extra``, within its budgets.

    The real type of a value decides. ``isinstance`` also believes a ``__class__`` that an
    application has made up (a mock, a proxy, a dead weak reference), which no local sink does.
    """

    def __init__(self) -> None:
        self.tagged = False
        self._values = MAX_VALUES
        self._text = MAX_TOTAL_TEXT
        self._path: set[int] = set()

    def flatten(self, value: Any, depth: int) -> Json:
        """Return ``value`` fit for JSON. Never raises."""
        kind = type(value)
        if kind is str:
            return self._bounded(value)
        if kind is int:
            return self._flatten_int(value)
        if kind in PLAIN_TYPES:
            return value  # type: ignore[no-any-return]
        try:
            if issubclass(kind, CONTAINERS):
                return self._flatten_container(value, kind, depth)
            writer = writer_of(kind)
            if writer is not None:
                written = writer(value)
                if written is not None and self._affords(written):
                    return self._tag(_TAG_OF[kind], written)
            return self._flatten_object(value, kind, depth)
        except Exception:  # an iterator or a tzinfo fails, or a thread changes the container
            return self._as_text(self._show(value))

    def _tag(self, tag: str, content: Json) -> Json:
        self.tagged = True
        return {TAG: [tag, content]}

    def _as_text(self, text: str) -> Json:
        return self._tag("as", ["object", None, text, None])

    def _bounded(self, text: str, limit: int = MAX_TEXT) -> str:
        limit = min(limit, max(self._text, MAX_SPARED))
        self._text -= min(len(text), limit)
        return bounded_text(text, limit)

    def _affords(self, written: Json) -> bool:
        """Pay for a text that cannot be cut; return whether enough was left."""
        if type(written) is str:
            self._text -= len(written)
        return self._text >= 0

    def _show(self, value: object, convert: Callable[[object], str] = repr) -> str:
        # A set's own text shows its members' order, which the receiver cannot know.
        limit = MAX_TEXT if type(value) in (set, frozenset) else MAX_SHOWN
        return self._bounded(show(value, convert, limit))

    def _flatten_int(self, value: int) -> Json:
        bits = value.bit_length()
        if bits <= MAX_PLAIN_BITS:
            return value
        if bits <= MAX_INT_BITS:
            digits = hex(value)
            if self._affords(digits):
                return self._tag("int", digits)
        return self._as_text(f"<int of {bits} bits>")

    def _flatten_object(self, value: Any, kind: type[Any], depth: int) -> Json:
        if issubclass(kind, (bytes, bytearray)) and len(value) > MAX_SHOWN:
            start = show(bytes(value[: MAX_SHOWN // 4]))  # all may take four times as long
            return self._as_text(self._bounded(f"{start}... ({len(value)} bytes)"))
        for builtin, plain_of in _PLAIN_OF:
            if kind is not builtin and issubclass(kind, builtin):
                return self._as(builtin.__name__, self.flatten(plain_of(value), depth + 1), value)
        return self._as("object", None, value)

    def _as(self, kind: str, base: Json, value: object) -> Json:
        shown = self._show(value)
        same = type(value).__str__ is object.__str__
        text = None if same else self._show(value, str)
        return self._tag("as", [kind, base, shown, None if text == shown else text])

    def _flatten_container(self, value: Any, kind: type[Any], depth: int) -> Json:
        identity = id(value)
        if identity in self._path:
            return self._as_text(_cycle_text(kind))
        self._values -= 1
        if depth >= MAX_DEPTH or self._values < 0:
            return self._as_text(f"<{class_name(value)} of {len(value)}>")
        self._path.add(identity)
        try:
            if issubclass(kind, dict):
                flat = self._flatten_dict(value, depth)
            else:
                flat = self._flatten_sequence(value, kind, depth)
        finally:
            self._path.discard(identity)
        if kind in (list, dict, tuple):
            return flat
        base = next(base for base in CONTAINERS if issubclass(kind, base))
        return self._as(base.__name__, flat, value)

    def _first(self, items: Iterable[Any]) -> list[Any]:
        """Take as many as there is room for, and one more. An iterator may never end."""
        return list(islice(items, max(self._values, 0) + 1))

    def _flatten_sequence(self, value: Any, kind: type[Any], depth: int) -> Json:
        items: list[Json] = []
        for item in self._first(value):
            if self._values <= 0:
                items.append(self._more(value, len(items)))
                break
            self._values -= 1
            items.append(self.flatten(item, depth + 1))
        return self._tag("tuple", items) if issubclass(kind, tuple) else items

    def _flatten_dict(self, value: dict[Any, Any], depth: int) -> Json:
        found = self._first(value.items())
        if all(type(key) is str and key != TAG for key, _ in found):
            flat: dict[str, Json] = {}
            for key, item in found:
                if self._values <= 0 and (depth or len(flat) >= MIN_KEPT_KEYS):
                    flat["..."] = self._more(value, len(flat))
                    break
                self._values -= 1
                flat[self._bounded(key)] = self.flatten(item, depth + 1)
            return flat
        pairs: list[Json] = []
        for key, item in found:
            if self._values <= 0:
                pairs.append(["...", self._more(value, len(pairs))])
                break
            self._values -= 2
            pairs.append([self.flatten(key, depth + 1), self.flatten(item, depth + 1)])
        return self._tag("dict", pairs)

    def _more(self, value: Any, taken: int) -> Json:
        return self._as_text(f"<{len(value) - taken} more>")


def _cycle_text(kind: type[Any]) -> str:
    if issubclass(kind, dict):
        return "{...}"
    return "(...)" if issubclass(kind, tuple) else "[...]"


def _zone_of(value: datetime.datetime | datetime.time) -> Json:
    offset = value.utcoffset()
    if offset is None:
        return None
    name = value.tzname()
    return [offset.total_seconds(), None if name is None else bounded_text(name, MAX_ZONE)]


def _write_datetime(value: datetime.datetime) -> Json:
    return [value.replace(tzinfo=None).isoformat(), _zone_of(value), value.fold]


def _write_time(value: datetime.time) -> Json:
    if value.tzinfo is not None:
        return None  # its offset may depend on a date, which it does not have
    return [value.isoformat(), value.fold]


def is_bounded_decimal(value: decimal.Decimal) -> bool:
    """Return whether a Decimal is short in every format."""
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, int) and abs(exponent) > MAX_DECIMAL_EXPONENT:
        return False
    return len(digits) <= MAX_DECIMAL_DIGITS


def _write_decimal(value: decimal.Decimal) -> Json:
    return str(value) if is_bounded_decimal(value) else None


def _write_bytes(value: bytes | bytearray) -> Json:
    return bytes(value).decode("latin-1") if len(value) <= MAX_SHOWN else None


_SIMPLE_WRITERS: dict[type[Any], Callable[[Any], Json]] = {
    bytes: _write_bytes,
    bytearray: _write_bytes,
    complex: lambda value: [value.real, value.imag],
    datetime.datetime: _write_datetime,
    datetime.date: datetime.date.isoformat,
    datetime.time: _write_time,
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    decimal.Decimal: _write_decimal,
}
_PLAIN_OF: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (str, str.__str__),  # the characters, whatever the subclass's own __str__ says
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes(memoryview(value))),
)
_TAG_OF = {kind: kind.__name__.lower() for kind in _SIMPLE_WRITERS}


def writer_of(kind: type[Any]) -> Callable[[Any], Json] | None:
    """Return how to write values of exactly this type; ``None`` if they are shown.

    Importing ``uuid`` takes as long as a third of this package, so only a process that has imported
    it itself can have one.
    """
    writer = _SIMPLE_WRITERS.get(kind)
    if writer is None and kind is getattr(sys.modules.get("uuid"), "UUID", None):
        writer = _SIMPLE_WRITERS[kind] = str
        _TAG_OF[kind] = "uuid"
    return writer
