"""Values of an application, made fit for JSON, and back.

Owns what may stand in ``extra``: which types go through as themselves, how the others are shown,
and the bounds. No sockets, files or clocks here; nothing of the wire is ever called or imported.

JSON's own types go as they are. What JSON lacks goes as an object with the one key ``~``: a tag
and its content, so that the far end gets the same type back (a tuple, a set, a datetime, a dict
whose keys are not text). Every other object goes as its ``repr`` and ``str``, taken here, in the
worker, where the class lives, and comes back as a :class:`Shown`, which prints as those texts: a
text format and ``serialize=True`` show what they would have shown locally. A subclass of a builtin
(an enum member, a named tuple, an ``OrderedDict``) goes as its plain value with those texts.

What an application can hang into ``extra`` has no bound, so everything here has one: depth, number
of values, characters. A cycle, a value beyond a bound, a ``repr`` that raises: that one value
becomes a short text, and the record goes.
"""

from __future__ import annotations

import datetime
import decimal
import json
import math
import sys
from collections import Counter
from itertools import islice
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    Type,
    Union,
)

from .exceptions import RowError

TAG = "~"
"""The one key of a tagged value. A dict of the application that has this key is tagged itself."""

MAX_DEPTH = 50
"""Nesting that goes as structure; below it a value is shown as text. A tag nests twice, so the far
end's JSON decoder sees about 100 levels, a tenth of what the interpreter allows."""

MAX_VALUES = 10_000
"""Values in one ``extra``, keys not counted."""

MAX_TEXT = 1024 * 1024
"""Characters of one text, or bytes of one ``bytes``, in ``extra``."""

MAX_TOTAL_TEXT = 4 * MAX_TEXT
"""Characters of all texts in one ``extra``."""

MAX_SPARED = 64
"""Characters of a text that is kept even where others have used up the room: names, identifiers."""

MAX_SHOWN = 8192
"""Characters of a value shown by its ``repr`` or ``str``."""

MAX_UNCOUNTED = 256
"""Keys of one ``extra`` itself that are kept, whatever the values of those before them take. That
many texts and numbers are within every other bound for certain."""

MAX_COLLISIONS = 16
"""Members of a set, or keys of a dict, that may have the same hash. Hashes of numbers are not
randomised: 60,000 chosen integers make one set cost minutes, and 256 wide tuples a second. Honest
ones hardly collide: -1 and -2 do, and the tuples that differ by them only."""

MAX_PLAIN_BITS = 2000
"""Integers up to here go as JSON digits: 602 of them, under the lowest limit (640) that
``sys.set_int_max_str_digits`` can set at the far end. Larger ones go in hexadecimal, which is
linear to read."""

MAX_INT_BITS = 8192
"""2,467 digits, which take 50 microseconds to write, and four times that for twice as many."""

MAX_GROWTH = 10
"""Bytes of memory that the line of a large record may take for each byte of its payload; it is held
about three times while it is made."""

MAX_SHORT = 256
"""Characters of a text that is not cut where cutting longer ones does."""

MAX_ZONE = 100
"""Characters of a time zone's name."""

MAX_DECIMAL_DIGITS = 1000
MAX_DECIMAL_EXPONENT = 6144  # decimal128's: ``format(Decimal("1E+999999999"), "f")`` is a bomb

Json = Union[None, bool, int, float, str, List[Any], Dict[str, Any]]
_PLAIN_TYPES = frozenset({int, float, bool, type(None)})
_CONTAINERS = (list, tuple, dict, set, frozenset)


class Shown:
    """A value of another process, shown by the texts it had there. Inert."""

    __slots__ = ("_repr", "_str")

    def __init__(self, repr_text: str, str_text: Optional[str] = None) -> None:
        self._repr = repr_text
        self._str = repr_text if str_text is None else str_text

    def __repr__(self) -> str:
        return self._repr

    def __str__(self) -> str:
        return self._str

    def __format__(self, spec: str) -> str:
        return _format(self._str, spec)


def _format(text: str, spec: str) -> str:
    try:
        return format(text, spec)
    except ValueError:  # a specification for numbers or times, of a value that is a text by now
        return text


def _shown_class(base: Type[Any]) -> Type[Any]:
    def __repr__(self: Any) -> str:
        return str(self.shown_repr)

    def __str__(self: Any) -> str:
        return str(self.shown_str)

    def __format__(self: Any, spec: str) -> str:
        return _format(self.shown_str, spec)

    methods = {"__repr__": __repr__, "__str__": __str__, "__format__": __format__}
    return type(f"Shown{base.__name__.title()}", (base,), {**methods, "__module__": __name__})


_SHOWN_CLASSES: Dict[str, Type[Any]] = {
    base.__name__: _shown_class(base)
    for base in (str, int, float, list, tuple, dict, set, frozenset, bytes)
}


# -- in the worker ----------------------------------------------------------------------------


def bounded_text(text: str, limit: int) -> str:
    """``text``, or its first ``limit`` characters and how many are missing."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}... ({len(text) - limit} more characters)"


def show(value: object, convert: Callable[[object], str] = repr, limit: int = MAX_SHOWN) -> str:
    """``repr`` (or ``str``) of any object as a bounded, plain text; never raises."""
    try:
        text = convert(value)
        if type(text) is not str:
            text = str.__str__(text)
    except Exception:
        text = f"<unprintable {class_name(value)} object>"
    return bounded_text(text, limit)


def printable(text: str) -> str:
    """``text`` in printable ASCII: what a stranger sent must not reach a terminal as it is."""
    safe = text.encode("ascii", "backslashreplace").decode("ascii")
    return "".join(char if " " <= char <= "~" else f"\\x{ord(char):02x}" for char in safe)


def class_name(value: object) -> str:
    """The name of an object's class, whatever its metaclass makes of it."""
    try:
        return bounded_text(str.__str__(type(value).__name__), 200)
    except Exception:
        return "strange"


def flatten_extra(extra: Any) -> Tuple[Json, bool]:
    """``extra`` as JSON, and whether it holds tagged values. Never raises.

    The common case (text keys; texts and numbers) costs one look at each value. What is no dict, or
    one that cannot be read, stands under the key ``extra``.
    """
    if type(extra) is dict and len(extra) <= MAX_UNCOUNTED:
        for key, value in extra.items():
            kind = type(value)
            if type(key) is not str or key == TAG:
                break
            if kind is str:
                if len(value) > MAX_SHOWN:
                    break
            elif kind not in _PLAIN_TYPES or (kind is int and value.bit_length() > MAX_PLAIN_BITS):
                break
        else:
            return extra, False
    flattener = _Flattener()
    flat = flattener.flatten(extra, 0)
    if not _is_dict(flat):
        flat = {"extra": flat}
    return flat, flattener.tagged


def _is_dict(flat: Json) -> bool:
    """Whether the far end gets a dict of it."""
    if type(flat) is not dict or TAG not in flat:
        return type(flat) is dict
    tag, content = flat[TAG]
    return bool(tag == "dict" or (tag == "as" and content[0] == "dict"))


class _Flattener:
    """One walk over one ``extra``, with its budgets.

    What a value is, its real type says: ``isinstance`` also believes a ``__class__`` of the
    application's making (a mock, a proxy, a dead weak reference), and so does no local sink.
    """

    def __init__(self) -> None:
        self.tagged = False
        self._values = MAX_VALUES
        self._text = MAX_TOTAL_TEXT
        self._path: Set[int] = set()

    def flatten(self, value: Any, depth: int) -> Json:
        kind = type(value)
        if kind is str:
            return self._bounded(value)
        if kind is int:
            return self._flatten_int(value)
        if kind in _PLAIN_TYPES:
            return value  # type: ignore[no-any-return]
        try:
            if issubclass(kind, _CONTAINERS):
                return self._flatten_container(value, kind, depth)
            writer = _writer_of(kind)
            if writer is not None:
                written = writer(value)
                if written is not None and self._affords(written):
                    return self._tag(_TAG_OF[kind], written)
            return self._flatten_object(value, kind, depth)
        except Exception:  # iteration or a tzinfo that fails, a container changed by a thread
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
        """Pay for what cannot be cut; False where too little is left."""
        if type(written) is str:
            self._text -= len(written)
        return self._text >= 0

    def _show(self, value: object, convert: Callable[[object], str] = repr) -> str:
        # The text of a set is its members' order, which the far end cannot know.
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

    def _flatten_object(self, value: Any, kind: Type[Any], depth: int) -> Json:
        if issubclass(kind, (bytes, bytearray)) and len(value) > MAX_SHOWN:
            start = show(bytes(value[: MAX_SHOWN // 4]))  # a whole repr may be four times the size
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

    def _flatten_container(self, value: Any, kind: Type[Any], depth: int) -> Json:
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
        base = next(base for base in _CONTAINERS if issubclass(kind, base))
        return self._as(base.__name__, flat, value)

    def _first(self, items: Iterable[Any]) -> List[Any]:
        """As many as there is room for, and one; an application's iteration may never end."""
        return list(islice(items, max(self._values, 0) + 1))

    def _flatten_sequence(self, value: Any, kind: Type[Any], depth: int) -> Json:
        items: List[Json] = []
        for item in self._first(value):
            if self._values <= 0:
                items.append(self._more(value, len(items)))
                break
            self._values -= 1
            items.append(self.flatten(item, depth + 1))
        return self._tag("tuple", items) if issubclass(kind, tuple) else items

    def _flatten_dict(self, value: Dict[Any, Any], depth: int) -> Json:
        found = self._first(value.items())
        if all(type(key) is str and key != TAG for key, _ in found):
            flat: Dict[str, Json] = {}
            for key, item in found:
                if self._values <= 0 and (depth or len(flat) >= MAX_UNCOUNTED):
                    flat["..."] = self._more(value, len(flat))
                    break
                self._values -= 1
                flat[self._bounded(key)] = self.flatten(item, depth + 1)
            return flat
        pairs: List[Json] = []
        for key, item in found:
            if self._values <= 0:
                pairs.append(["...", self._more(value, len(pairs))])
                break
            self._values -= 2
            pairs.append([self.flatten(key, depth + 1), self.flatten(item, depth + 1)])
        return self._tag("dict", pairs)

    def _more(self, value: Any, taken: int) -> Json:
        return self._as_text(f"<{len(value) - taken} more>")


def _cycle_text(kind: Type[Any]) -> str:
    if issubclass(kind, dict):
        return "{...}"
    return "(...)" if issubclass(kind, tuple) else "[...]"


def _zone_of(value: Union[datetime.datetime, datetime.time]) -> Json:
    offset = value.utcoffset()
    if offset is None:
        return None
    name = value.tzname()
    return [offset.total_seconds(), None if name is None else bounded_text(name, MAX_ZONE)]


def _write_datetime(value: datetime.datetime) -> Json:
    return [value.replace(tzinfo=None).isoformat(), _zone_of(value), value.fold]


def _write_time(value: datetime.time) -> Json:
    if value.tzinfo is not None:
        return None  # its offset may depend on a date that it does not have
    return [value.isoformat(), value.fold]


def is_bounded_decimal(value: decimal.Decimal) -> bool:
    """Whether no format can make a bomb of it."""
    _, digits, exponent = value.as_tuple()
    if isinstance(exponent, int) and abs(exponent) > MAX_DECIMAL_EXPONENT:
        return False
    return len(digits) <= MAX_DECIMAL_DIGITS


def _write_decimal(value: decimal.Decimal) -> Json:
    return str(value) if is_bounded_decimal(value) else None


def _write_bytes(value: Union[bytes, bytearray]) -> Json:
    return bytes(value).decode("latin-1") if len(value) <= MAX_SHOWN else None


_SIMPLE_WRITERS: Dict[Type[Any], Callable[[Any], Json]] = {
    bytes: _write_bytes,
    bytearray: _write_bytes,
    complex: lambda value: [value.real, value.imag],
    datetime.datetime: _write_datetime,
    datetime.date: datetime.date.isoformat,
    datetime.time: _write_time,
    datetime.timedelta: lambda value: [value.days, value.seconds, value.microseconds],
    decimal.Decimal: _write_decimal,
}
_PLAIN_OF: Tuple[Tuple[Type[Any], Callable[[Any], Any]], ...] = (
    (str, str.__str__),  # a subclass's own characters, whatever its __str__ says
    (int, int.__int__),
    (float, float.__float__),
    (bytes, lambda value: bytes(memoryview(value))),
)
_TAG_OF = {kind: kind.__name__.lower() for kind in _SIMPLE_WRITERS}


def _writer_of(kind: Type[Any]) -> Optional[Callable[[Any], Json]]:
    """How to write values of exactly this type; ``None`` for those that are shown.

    ``uuid`` costs a process as much to import as a third of this package: only who has one knows
    it.
    """
    writer = _SIMPLE_WRITERS.get(kind)
    if writer is None and kind is getattr(sys.modules.get("uuid"), "UUID", None):
        writer = _SIMPLE_WRITERS[kind] = str
        _TAG_OF[kind] = "uuid"
    return writer


# -- at the far end ---------------------------------------------------------------------------


def restore(value: Any, depth: int = 0) -> Any:
    """The value behind its JSON form. Raises :class:`RowError` where a tag is not one of ours."""
    if depth > 3 * MAX_DEPTH:
        return Shown("<too deep>")
    kind = type(value)
    if kind is list:
        return [restore(item, depth + 1) for item in value]
    if kind is dict:
        if TAG not in value:
            return {key: restore(item, depth + 1) for key, item in value.items()}
        tagged = value[TAG]
        try:
            tag, content = tagged
            return _READERS[tag](content, depth + 1)
        except (KeyError, ValueError, TypeError, ArithmeticError, AttributeError) as error:
            raise RowError(f"cannot read the tagged value {show(tagged, limit=200)}") from error
    return value


def _read_sequence(kind: Type[Any]) -> Callable[[Any, int], Any]:
    def read(content: Any, depth: int) -> Any:
        return kind(restore(_typed(content, list), depth))

    return read


def _typed(value: Any, *kinds: Type[Any]) -> Any:
    if type(value) not in kinds:
        raise TypeError(type(value).__name__)
    return value


def _read_dict(content: Any, depth: int) -> Any:
    pairs = [(restore(key, depth), restore(item, depth)) for key, item in _typed(content, list)]
    keys = _hashable([key for key, _ in pairs])
    if many_collide(keys):
        return Shown(f"<dict of {len(keys)} whose keys collide>")
    return dict(zip(keys, [item for _, item in pairs]))


def _hashable(keys: Sequence[Any]) -> List[Any]:
    """The keys of a dict or members of a set; one whose hash was its class's own is shown."""
    found = []
    for key in keys:
        try:
            hash(key)
            found.append(key)
        except TypeError:
            found.append(Shown(show(key)))
    return found


def many_collide(keys: Sequence[Any]) -> bool:
    """Whether a set or dict of these keys would take more time than their size allows.

    It looks at the hashes alone, in linear time: distinct ones hardly collide among themselves.
    """
    if len(keys) <= MAX_COLLISIONS:
        return False
    return max(Counter(map(hash, keys)).values()) > MAX_COLLISIONS


def _read_int(content: Any, depth: int) -> int:
    if len(_typed(content, str)) > MAX_INT_BITS // 4 + 8:
        raise ValueError("too many digits")
    return int(content, 16)


def _read_zone(zone: Any) -> Optional[datetime.tzinfo]:
    if zone is None:
        return None
    seconds, name = zone
    return make_timezone(_typed(seconds, int, float), name)


def _read_datetime(content: Any, depth: int) -> datetime.datetime:
    text, zone, fold = content
    value = datetime.datetime.fromisoformat(_typed(text, str))
    return value.replace(tzinfo=_read_zone(zone), fold=_typed(fold, int))


def _read_time(content: Any, depth: int) -> datetime.time:
    text, fold = content
    return datetime.time.fromisoformat(_typed(text, str)).replace(fold=_typed(fold, int))


def _read_decimal(content: Any, depth: int) -> decimal.Decimal:
    if len(_typed(content, str)) > 2 * MAX_DECIMAL_DIGITS:
        raise ValueError("too many digits")
    value = decimal.Decimal(content)
    if not is_bounded_decimal(value):
        raise ValueError("exponent out of range")
    return value


def _read_uuid(content: Any, depth: int) -> Any:
    from uuid import UUID  # see _writer_of

    return UUID(content)


def _read_as(content: Any, depth: int) -> Any:
    kind, base, repr_text, str_text = content
    repr_text = _typed(repr_text, str)
    str_text = repr_text if str_text is None else _typed(str_text, str)
    if kind == "object":
        return Shown(repr_text, str_text)
    plain = restore(base, depth)
    if kind in ("set", "frozenset"):
        plain = _hashable(_typed(plain, list))
        if many_collide(plain):
            return Shown(repr_text, str_text)
    shown = _SHOWN_CLASSES[kind](plain)
    shown.shown_repr = repr_text
    shown.shown_str = str_text
    return shown


_READERS: Dict[str, Callable[[Any, int], Any]] = {
    "tuple": _read_sequence(tuple),
    "dict": _read_dict,
    "int": _read_int,
    "bytes": lambda content, depth: content.encode("latin-1"),
    "bytearray": lambda content, depth: bytearray(content.encode("latin-1")),
    "complex": lambda content, depth: complex(*content),
    "datetime": _read_datetime,
    "date": lambda content, depth: datetime.date.fromisoformat(content),
    "time": _read_time,
    "timedelta": lambda content, depth: datetime.timedelta(*content),
    "decimal": _read_decimal,
    "uuid": _read_uuid,
    "as": _read_as,
}


def bound_growth(value: Any, size: int) -> Any:
    """``value`` with its texts cut where the record's line would be out of all proportion.

    ``size`` is that of the payload, in bytes. One character may become ten in a ``repr`` and then
    eleven in JSON, beside itself, and one emoji makes all of them four bytes wide: 30 MB of a
    frame of 400 KB. What people write, in any script, stays below :data:`MAX_GROWTH`.
    """
    texts = _texts_in(value)
    width = _width_of("".join(texts))
    room = MAX_GROWTH * size // width  # characters
    if 11 * sum(map(len, texts)) <= room:
        return value
    short = sum(map(_grown, filter(_is_short, texts)))
    long = sum(_grown(text) for text in texts if not _is_short(text))
    if short + long <= room:
        return value
    if short <= room // 2:  # names and the like stay as they are
        return _cut_texts(value, MAX_SHORT, (room - short) / long)
    return _cut_texts(value, 8, room / (short + long))


def _texts_in(value: Any) -> List[str]:
    """Every text in it, keys too; bytes as the text that they are shown as."""
    texts: List[str] = []
    left = [value]
    while left:  # not by recursion: a stranger's nesting may be as deep as the interpreter bears
        value = left.pop()
        kind = type(value)
        if kind is str:
            texts.append(value)
        elif kind is dict:
            left += value
            left += value.values()
        elif kind in _CONTAINERS:
            left += value
        elif kind in (bytes, bytearray):
            texts.append(value.decode("latin-1"))
    return texts


def _width_of(text: str) -> int:
    """Bytes that the interpreter takes for each character."""
    try:
        text.encode("latin-1")
        return 1
    except UnicodeEncodeError:
        return 4 if len(text.encode("utf-16-le", "surrogatepass")) > 2 * len(text) else 2


_quote = json.encoder.encode_basestring


def _is_short(text: str) -> bool:
    return len(text) <= MAX_SHORT


def _grown(text: str) -> int:
    """Characters of a text in JSON: as it is, and as it is shown in a line."""
    parts = (
        [text]
        if len(text) <= 65536
        else [text[at : at + 65536] for at in range(0, len(text), 65536)]
    )
    return sum(len(_quote(part)) + len(_quote(repr(part))) for part in parts)


def _cut_texts(value: Any, least: int, share: float, depth: int = 0) -> Any:
    kind = type(value)
    if kind is str and len(value) > least:
        return f"{value[: int(len(value) * share)]}..."
    if kind in (bytes, bytearray):
        return value[: int(len(value) * share)]
    if kind in (dict, list, tuple) and depth > 3 * MAX_DEPTH:
        return "..."
    if kind is dict:
        return {
            _cut_texts(key, least, share): _cut_texts(item, least, share, depth + 1)
            for key, item in value.items()
        }
    if kind in (list, tuple):
        return kind([_cut_texts(item, least, share, depth + 1) for item in value])
    return value


def make_timezone(seconds: float, name: Optional[str]) -> datetime.timezone:
    """A fixed offset of ``seconds``. Raises ``ValueError`` for a day or more, or not a number."""
    if not math.isfinite(seconds):
        raise ValueError("the offset is not finite")
    offset = datetime.timedelta(seconds=seconds)
    if not offset and name == "UTC":
        return datetime.timezone.utc
    if type(name) is str:
        return datetime.timezone(offset, name)
    return datetime.timezone(offset)


def plain(value: Any) -> Any:
    """``value`` with every :class:`Shown` as text and every subclass as its builtin.

    For a pickle that any receiver may load: it then names no class of ours or the application's.
    """
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind(plain(item) for item in value)
    if kind is dict:
        return {plain(key): plain(item) for key, item in value.items()}
    if kind in _PLAIN_TYPES or kind is str or _writer_of(kind) is not None:
        return value
    for base in (dict, list, tuple, set, frozenset):
        if isinstance(value, base):
            return plain(base(value))
    if isinstance(value, str):
        return str.__str__(value)
    return str(value)
