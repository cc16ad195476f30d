"""The kinds of lines that programs log, and how often each is in a text. No processes here."""

from __future__ import annotations

import re
from collections import Counter
from typing import NamedTuple, Union

KINDS = {
    "loguru-info": "the application, by loguru at INFO",
    "loguru-warning": "the application, by loguru at WARNING",
    "logging-info": "the application, by logging at INFO",
    "logging-warning": "the application, by logging at WARNING",
    "start": "what the program logs when it starts",
    "access": "a request or a job that it serves",
    "error": "the traceback of a request or a job that fails",
    "death": "the death of a worker, told by the parent",
    "stop": "what it logs when it ends",
    "warnings": "the warnings module",
    "main": "an uncaught exception of the main program",
    "thread": "an uncaught exception of a thread",
    "child": "an uncaught exception of a child of multiprocessing",
}


class Line(NamedTuple):
    """Lines of one event each: what a line holds, and how often the event comes."""

    pattern: str
    times: int = 1


Lines = Union[tuple[Line, ...], str]
"""The lines of a kind; or the reason why a program has none of that kind."""

ERROR = Line(r"^[\s|]*ValueError: this one fails")

SAID: dict[str, Lines] = {
    "loguru-info": (Line("said by loguru at INFO"),),
    "loguru-warning": (Line("said by loguru at WARNING"),),
    "logging-info": (Line("said by logging at INFO"),),
    "logging-warning": (Line("said by logging at WARNING"),),
    "start": "it logs nothing when it starts",
    "access": "it serves no requests",
    "error": (ERROR,),
    "death": "it has no workers that could be killed",
    "stop": "it logs nothing when it ends",
    "warnings": (Line("Warning: said by warnings"),),
    "main": "its main program ends without an exception",
    "thread": (Line(r"^\s*RuntimeError: a thread ends"),),
    "child": (Line(r"^\s*RuntimeError: a child ends"),),
}
"""The lines of ``apps/said.py``, and what most programs do not have."""

_NUMBER = re.compile(
    r"\b0x[0-9a-f]+|\b[0-9a-f]{32}\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+"
)
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def count(line: Line, text: str) -> int:
    """How many lines of ``text`` hold it."""
    pattern = re.compile(line.pattern)
    return sum(1 for each in _COLOURS.sub("", text).splitlines() if pattern.search(each))


def plain(text: str, ignored: str) -> Counter[str]:
    """The lines of a console, without what differs from one run to the next, and their counts.

    Numbers (times, ports, process ids) become ``N``; lines that ``ignored`` matches are left out.
    """
    lines: Counter[str] = Counter()
    for line in _COLOURS.sub("", text).splitlines():
        if line.strip() and not re.search(ignored, line):
            lines[_NUMBER.sub("N", line).strip()] += 1
    return lines
