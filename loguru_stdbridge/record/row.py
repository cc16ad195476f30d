"""A log record as one JSON array, a *row*: how it is written, read and checked.

Owns the layout of a row. Sans-IO: no sockets, files, threads or clocks.

A *rendered* row holds a finished line in place of the fields. The worker has made that line in the
format of the receiver's sink (:mod:`record.line_format`). If the sink still has that format, the
line is written as it is. Else the row counts as a raw message (``logger.opt(raw=True)``) of that
time and level, which is what any text file would hold of it.

Text is UTF-8 with ``surrogatepass``: lone surrogates, and pairs of them that are not one character,
arrive as they were.

What a valid row is
-------------------
A row is valid if it is a JSON list of at least :data:`ROW_LENGTH` fields, or a rendered row, and is
within the bounds of JSON (:func:`record.bounded_json.is_bounded`). Nothing else makes a receiver
refuse a row: :func:`read_row` replaces a field of a wrong type, and
:func:`record.decode.restore` shows a value that it cannot read. The worker checks every row that
is so large that the bounds can matter. A smaller one is valid by the way it is made.
"""

import json
import math
from collections.abc import Sequence
from itertools import product
from typing import Any, Callable, NamedTuple, Optional, Union, get_args, get_origin

from ..exceptions import RowError
from .bounded_json import decode_json
from .decode import restore
from .formatted import give_formats

MAX_ROWS = 1000
"""Rows in one frame. Writing as many takes 0.2 s if each has an exception."""

MAX_ROW = 8 * 1024 * 1024
"""Bytes of one row. It fits a frame, in a hello too (``frames.MAX_PAYLOAD``)."""

FLAG_RAW = 1
"""The record comes from ``logger.opt(raw=True)``: its message is written without the format."""

FLAG_TAGGED = 2
"""``extra`` holds tagged values (:mod:`record.values`)."""

FLAG_RENDERED = 4
"""The row is rendered: ``[flags, nanoseconds, level number, level name, format's id, line]``."""

RENDERED_LENGTH = 6

Buffer = Union[bytes, bytearray, memoryview]

LevelStyle = tuple[str, Optional[str]]
"""A level's icon, and its colour as markup; ``None`` means the colour that loguru gives it."""


class Row(NamedTuple):  # annotations as texts, for once, would cost a worker's start 0.6 ms
    """The fields of a record, in the order of the wire. Times are seconds, as floats."""

    flags: int
    time: float  # since the epoch
    offset: float  # from UTC, of the worker's zone
    zone: Optional[str]
    elapsed: float  # since the worker's start
    level_no: int
    level_name: str
    level_icon: str
    level_color: Optional[str]
    message: str
    name: Optional[str]
    function: str
    line: int
    file_name: str
    file_path: str
    module: str
    process_id: int
    process_name: str
    thread_id: int
    thread_name: str
    # [type's name, value's text, traceback's text, has a traceback, builtin above the type,
    # the text's other looks]
    exception: Optional[list[Any]]
    extra: dict[str, Any]
    more: Optional[dict[str, Any]] = None  # what a patcher added to the record beside its own keys
    colors: Optional[list[Any]] = None  # the message's markup (record.markup)


ROW_LENGTH = len(Row._fields) - 2
"""Fields that every row has. Three more may stand behind them: ``more``, ``colors``, and values
that the worker has formatted (record.formatted). They are left out where they are empty, and what a
later version may add after them is ignored."""


def _types_of(annotation: Any) -> tuple[type, ...]:
    """The types that JSON may give for a field of :class:`Row`."""
    if annotation is float:
        return (float, int)
    options = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
    return tuple(get_origin(option) or option for option in options)


FIELD_TYPES = {name: _types_of(Row.__annotations__[name]) for name in Row._fields[:ROW_LENGTH]}
"""The types that each field may have, by its name."""

DEFAULT_LEVEL_NO = 20
"""The level of a row that has no number for it: INFO."""

_INSTEAD = {"level_no": DEFAULT_LEVEL_NO, "level_name": "INFO", "level_icon": " "}
"""What stands in for a field of a wrong type, where that is not ``None`` or empty."""


quote: Callable[[str], str] = json.encoder.encode_basestring
_float = float.__repr__  # as JSON has it; of anything but a float a TypeError
_to_json: Callable[[Any], str] = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":")
).encode


def encode_row(fields: Sequence[Any]) -> bytes:
    """Write one row. ``fields`` are in the order of :class:`Row` and hold JSON's types only."""
    return _to_json(fields).encode("utf-8", "surrogatepass")


def dump_fields(values: Sequence[Any]) -> str:
    """Write consecutive fields of a row as JSON text, without brackets."""
    return _to_json(list(values))[1:-1]


def load_fields(row: bytes) -> list[Any]:
    """Read the fields of a row that this process has made, whatever its size."""
    fields: list[Any] = json.loads(row.decode("utf-8", "surrogatepass"))
    return fields


def dump_times(seconds: float, offset: float, zone: Optional[str], elapsed: float) -> str:
    """Write the four times of a row as JSON text.

    Raises ``TypeError`` or ``ValueError`` for a value of another type, and for one that is no time.
    """
    if not math.isfinite(seconds + offset + elapsed):
        raise ValueError(f"no times: {seconds!r}, {offset!r}, {elapsed!r}")
    return f"{_float(seconds)},{dump_zone(offset, zone)},{_float(elapsed)}"


def dump_zone(offset: float, zone: Optional[str]) -> str:
    """Write the offset and the name of a time zone, of which a process has few."""
    return f"{_float(offset)},{'null' if zone is None else quote(zone)}"


def encode_fields(
    flags: int,
    times: str,
    level: str,
    message: str,
    place: str,
    thread: str,
    exception: Optional[list[Any]],
    extra: Any,
    *others: Any,
) -> bytes:
    """Write one row from the pieces that :func:`dump_times` and :func:`dump_fields` have made.

    ``times`` has four fields, ``level`` four, ``place`` eight, ``thread`` two. ``others`` are those
    that a row may lack. Raises ``TypeError`` or ``ValueError`` for a value of another type.
    """
    exception_text = "null" if exception is None else _to_json(exception)
    extra_text = _to_json(extra) if extra else "{}"
    more_text = f",{_to_json(list(others))[1:-1]}" if others else ""
    text = (
        f"[{flags:d},{times},{level},{quote(message)},"
        f"{place},{thread},{exception_text},{extra_text}{more_text}]"
    )
    return text.encode("utf-8", "surrogatepass")


def rendered_row_head(level_no: int, level_name: str, format_id: str) -> str:
    """Write what all rendered rows of one level share; ``format_id`` is plain hex digits."""
    return f'{level_no},{quote(level_name)},"{format_id}",'


def encode_rendered_row(nanoseconds: int, head: str, line: str) -> bytes:
    """Write a finished line as a row; ``nanoseconds`` count from the epoch."""
    text = f"[{FLAG_RENDERED},{nanoseconds},{head}{quote(line)}]"
    return text.encode("utf-8", "surrogatepass")


def decode_row(data: bytes) -> Any:
    """Read the fields of a row, or return the error that says why they cannot be read."""
    try:
        return decode_json(data)
    except RowError as error:
        return unreadable_row(error, data)


def unreadable_row(error: RowError, data: bytes) -> RowError:
    """Return what stands in the place of a row: why it cannot be read, and how it begins."""
    return RowError(f"{error}; it begins {bytes(data[:300])!r}")


def rendered_lines(rows: Sequence[Any], format_id: str) -> Optional[list[str]]:
    """Return the lines of ``rows`` if each is a rendered row of that format, else ``None``."""
    try:
        lines = [
            line
            for _, _, _, _, its_format, line in rows
            if its_format == format_id
            and type(its_format) is str
            and type(line) is str
            and line[-1:] == "\n"
        ]
    except (TypeError, ValueError):  # one is no list, or has another length
        return None
    return lines if len(lines) == len(rows) else None


def read_row(fields: Any) -> Row:
    """Make a :class:`Row` of what came over the wire, each field of a type that it may have.

    An empty value replaces a field of another type, so that the record survives. Raises
    :class:`RowError` if ``fields`` is no row at all, or the error that stands in the place of one.
    """
    if type(fields) is list and len(fields) == RENDERED_LENGTH and fields[0] == FLAG_RENDERED:
        return _raw_row(fields)
    if isinstance(fields, RowError):
        raise fields
    if type(fields) is not list or len(fields) < ROW_LENGTH:
        raise RowError(f"a row is a list of {ROW_LENGTH} fields")
    row = fields[:ROW_LENGTH]
    if tuple(map(type, row)) not in _USUAL_SHAPES:
        row = [
            value if type(value) in kinds else default
            for value, (kinds, default) in zip(row, _FIELD_CHECKS)
        ]
    if row[0] & FLAG_TAGGED:
        row[-1] = _restore_dict(row[-1])
    if len(fields) > ROW_LENGTH:
        row += _read_others(row, fields[ROW_LENGTH : ROW_LENGTH + 3])
    else:
        row += _NO_OTHERS
    return _make_tuple(Row, row)  # costs half of Row(*row)


def _raw_row(fields: list[Any]) -> Row:
    """Read a rendered row as a raw message, for a sink of another format."""
    _, nanoseconds, level_no, level_name, _, line = fields
    known = type(nanoseconds) is int and nanoseconds.bit_length() <= 64
    seconds = nanoseconds / 1e9 if known else None
    if type(line) is str and line[-1:] != "\n":
        line += "\n"  # else the next record would be written into the same line
    whole = [FLAG_RAW, seconds, 0.0, "UTC", 0.0, level_no, level_name, " ", None, line, None]
    return read_row([*whole, "", 0, "", "", "", 0, "", 0, "", None, {}])


def _read_others(row: list[Any], others: list[Any]) -> tuple[Any, Any]:
    """Read the fields that a row may lack; put the formatted values into those before them."""
    more, colors, formatted = (*others, None, None)[:3]
    more = None if more is None else _restore_dict(more)
    if formatted is not None:
        give_formats({"extra": row[-1], **(more or {})}, formatted)
    return more, colors if type(colors) is list else None


_NO_OTHERS = (None, None)


def _restore_dict(value: Any) -> dict[str, Any]:
    restored = restore(value)
    return restored if isinstance(restored, dict) else {"extra": restored}


def _field_checks() -> tuple[tuple[tuple[type, ...], Any], ...]:
    """For each field in turn: its types, and what stands in for a value of another."""
    return tuple(
        (types, _INSTEAD.get(name, None if type(None) in types else types[0]()))
        for name, types in FIELD_TYPES.items()
    )


def _usual_shapes() -> frozenset[tuple[type, ...]]:
    """The types of the fields of nearly all rows, so that checking a row is one look-up."""
    varying = ("offset", "level_color", "exception")
    return frozenset(
        product(*(types if name in varying else types[:1] for name, types in FIELD_TYPES.items()))
    )


_FIELD_CHECKS = _field_checks()
_USUAL_SHAPES = _usual_shapes()
_make_tuple = tuple.__new__
