"""The filter's language: words that must all be there. The same as in the status page.

``timeout "two words" -not level:warning logger:shop process:2817 program:celery has:traceback``; of
one key given twice, either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from ..status.feed import LEVEL_NUMBERS

Fields = Mapping[str, Any]
_Test = Callable[[Fields], bool]

_TERM = re.compile(
    r'(-?)(?:(level|logger|process|program|has):)?(?:"([^"]*)"?|(\S+))', re.IGNORECASE
)


_KEYED = frozenset(["level", "logger", "process", "program", "has"])


class Query:
    """Says which records are wanted."""

    def __init__(self, text: str) -> None:
        self._groups: dict[str, list[_Test]] = {}
        self._asked: dict[str, list[str]] = {}
        for match in _TERM.finditer(text):
            negated, key, phrase, word = match.groups()
            value = phrase if phrase is not None else word
            if not value:
                continue
            key = (key or "").lower()
            test = _make_test(key, value)
            group = match.group() if negated or not key else key
            self._groups.setdefault(group, []).append(_negate(test) if negated else test)
            if not negated:
                self._asked.setdefault(key or "text", []).append(value)

    def takes(self, fields: Fields) -> bool:
        """Return whether a record is wanted."""
        return all(any(test(fields) for test in group) for group in self._groups.values())

    def takes_line(self, line: str) -> bool:
        """Return whether a line has all the words that are wanted; what has a key asks too much."""
        asked = {key for key in self._groups if key in _KEYED}
        words = [value.lower() for value in self._asked.get("text", ())]
        return not asked and all(word in line.lower() for word in words)

    @property
    def is_asked_whole(self) -> bool:
        """Whether :meth:`as_fields` says all that is wanted."""
        keys = {"level", "logger", "process", "program"}
        return set(self._groups) <= keys and all(len(v) == 1 for v in self._asked.values())

    def as_fields(self, count: int) -> str:
        """Return what the receiver can choose by, as the query of ``/events``: the rest is chosen
        here."""
        asked = {
            key: values[0]
            for key, values in self._asked.items()
            if key in ("level", "logger", "process", "program") and len(values) == 1
        }
        texts = self._asked.get("text")
        if texts and texts[0].isascii():
            asked["text"] = texts[0]
        return urlencode({**asked, "n": count})


def _negate(test: _Test) -> _Test:
    return lambda fields: not test(fields)


def _make_test(key: str, value: str) -> _Test:
    low = value.lower()
    if key == "level":
        least = LEVEL_NUMBERS.get(low, int(low) if low.isdecimal() else None)
        if least is not None:
            return lambda fields: bool(fields["no"] >= least)
        return lambda fields: str(fields["level"]).lower() == low
    if key == "logger":
        return lambda fields: f"{fields['logger']}.".startswith(f"{value}.")
    if key == "process":
        return lambda fields: str(fields["pid"]) == value
    if key == "program":
        return lambda fields: bool(fields["program"] == value)
    if key == "has":
        return lambda fields: bool(fields.get("exception"))
    return lambda fields: low in _haystack(fields)


def _haystack(fields: Fields) -> str:
    exception = fields.get("exception") or {}
    parts = [fields["message"], fields["logger"], fields["program"], exception.get("text", "")]
    return "\n".join([*map(str, parts), json.dumps(fields.get("extra", ""))]).lower()
