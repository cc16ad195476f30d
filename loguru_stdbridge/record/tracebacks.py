"""Turns the exception of a log record into the one field of a row that holds it.

Owns that field: the type's name, the value's text, the traceback's text, whether there was a
traceback, the builtin class that the type is or derives from, and the text's other looks. No
exception object leaves its
process: only texts travel.
"""

from __future__ import annotations

import builtins
import logging
import re
from collections.abc import Mapping
from typing import Any

from .values import MAX_TEXT, bounded_text, name_of_class, show

_formatter = logging.Formatter()
_LAST_LINE = r"(?s)(?:[\w.]{0,200}\.)?(\w{1,200})(?:: (.*))?"


def exception_fields(
    exception: Any, text: str, looks: Mapping[str, str] | None = None
) -> list[Any]:
    """Make the field of an ``exc_info`` triple; ``text`` is its rendered traceback.

    ``looks`` are its other looks, where a sink shows one (:mod:`record.sink_needs`).
    """
    kind, value, traceback = exception
    fields: list[Any] = [
        None if kind is None else name_of_class(kind),
        None if value is None else show(value, str, MAX_TEXT),
        bounded_text(text, MAX_TEXT),
        bool(traceback),
        _builtin_of(kind),
    ]
    if looks and sum(map(len, looks.values())) <= MAX_TEXT:
        fields.append(dict(looks))
    return fields


def _builtin_of(kind: Any) -> str | None:
    """Return the name of the nearest builtin class above a type, with ``=`` where it is one."""
    try:
        for base in type.mro(kind):
            if base.__module__ == "builtins" and getattr(builtins, base.__name__, None) is base:
                return f"{'=' if base is kind else ''}{base.__name__}"
    except Exception:  # no class at all
        pass
    return None


def exception_of(record: logging.LogRecord) -> list[Any] | None:
    """Make the field of a stdlib record; ``None`` if it has no exception. Never raises."""
    try:
        exc_info, exc_text = getattr(record, "exc_info", None), getattr(record, "exc_text", None)
        if exc_info:
            text = exc_text or _formatter.formatException(exc_info)
            return exception_fields(exc_info, f"{text}\n")
        if exc_text:
            return exception_of_text(exc_text)
    except Exception:
        return [None, None, f"{show(exc_info)}\n", True]
    return None


def exception_of_text(text: str) -> list[Any]:
    """Make a row's ``exception`` field from the text of a traceback.

    The last line that is not indented names the type and the value.
    """
    lines = text.rstrip("\n").split("\n")
    index = next((i for i in range(len(lines) - 1, -1, -1) if lines[i][:1] not in (" ", "")), 0)
    match = re.fullmatch(_LAST_LINE, "\n".join(lines[index:]))
    kind, value = match.groups() if match else ("Exception", lines[index])
    has_traceback = text.startswith("Traceback ") or "\nTraceback " in text
    return [kind, value or "", text.rstrip("\n") + "\n", has_traceback]
