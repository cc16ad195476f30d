"""Carries values that their own class has formatted, because the sink's format asks for it.

``{extra[price]:long}`` calls ``__format__`` of the value's class, which only the worker has. So the
worker formats what the sink's format shows, where the receiver would get another text, and the row
takes the texts along. Owns their form, and how they get to the values again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .sink_needs import MAX_KEYS, MAX_VALUES_SHOWN, Keys, find_value
from .values import CONTAINERS, MAX_SHOWN, PLAIN_TYPES, bounded_text, writer_of


def format_values(record: Mapping[str, Any], wanted: Sequence[tuple[Keys, str]]) -> list[Any]:
    """Return the texts of those values that the receiver cannot format itself. Never raises.

    Each comes with the keys that lead to it, and its specification.
    """
    found: list[Any] = []
    for keys, specification in wanted:
        try:
            value = find_value(record, keys)
            kind = type(value)
            if kind is str or kind in PLAIN_TYPES or kind in CONTAINERS or writer_of(kind):
                continue
            text = format(value, specification)
            if type(text) is str:
                found.append([list(keys), specification, bounded_text(text, MAX_SHOWN)])
        except Exception:  # the format would fail in loguru, too
            continue
    return found


def give_formats(record: Any, formatted: Any) -> None:
    """Give each value of a record that came over the wire the texts that belong to it.

    Never raises: what does not fit is left out.
    """
    if type(formatted) is not list:
        return
    for entry in formatted[:MAX_VALUES_SHOWN]:
        try:
            keys, specification, text = entry
            if type(specification) is str and type(text) is str and len(keys) <= MAX_KEYS:
                find_value(record, keys).formats[specification] = text
        except Exception:
            continue
