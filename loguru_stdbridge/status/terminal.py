"""Text for a terminal: what a stranger wrote is only text there; colours, numbers, times.

No sockets and no files here.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

_CODES = r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
_ODD = re.compile(
    _CODES + "|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"
    "\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
_BLOCKS = "▁▂▃▄▅▆▇█"

COLORS = {"dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
_LEVEL_COLORS = {50: "1;41;37", 40: "1;31", 30: "1;33", 25: "1;32", 20: "1", 10: "1;34", 5: "1;36"}


def tidy(text: object) -> str:
    """Return a text without colour codes, and with nothing in it that hides, moves or turns round.

    Line breaks and tabs stay.
    """
    return _ODD.sub(_show_odd, str(text))


def tidy_line(text: object) -> str:
    """Return a text as :func:`tidy` does, on one line."""
    return tidy(text).replace("\n", "␊").replace("\t", " ")


def _show_odd(match: re.Match[str]) -> str:
    text = match.group()
    if len(text) > 1:
        return ""
    if text < " ":
        return chr(0x2400 + ord(text))
    return f"‹U+{ord(text):04X}›"  # noqa: RUF001 (marks that no text has)


class Colouring:
    """Colours texts, or leaves them as they are."""

    def __init__(self, enabled: bool | None = None) -> None:
        """``None``: colours for a terminal, unless ``NO_COLOR`` is set."""
        if enabled is None:
            enabled = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self.enabled = enabled

    def paint(self, text: str, code: str) -> str:
        """Colour a text by a name of :data:`COLORS`, or by a code."""
        if not self.enabled or not text:
            return text
        return f"\x1b[{COLORS.get(code, code)}m{text}\x1b[0m"

    def level(self, text: str, number: int) -> str:
        """Colour a level's name as Loguru does."""
        least = next((each for each in _LEVEL_COLORS if number >= each), 5)
        return self.paint(text, _LEVEL_COLORS[least])


def render_record(record: Mapping[str, Any], colours: Colouring) -> str:
    """Return the shown form of a record (:mod:`~loguru_stdbridge.status.shown`) as lines."""
    who = tidy_line(f"{record['pid']} {record['program']}".strip())
    head = [
        colours.paint(clock(record["time"], record["offset"]), "dim"),
        colours.level(tidy_line(record["level"]), record["no"]),
        colours.paint(who, "dim"),
        colours.paint(tidy_line(record["logger"]), "cyan"),
    ]
    message = tidy(record["message"]).replace("\n", "\n    ")
    if record.get("extra"):
        extra = " ".join(f"{key}={value}" for key, value in record["extra"].items())
        message += colours.paint(f"  {tidy_line(extra)}", "dim")
    lines = [" ".join([*filter(None, head), message])]
    exception = record.get("exception")
    if exception:
        traceback = tidy(exception["text"] or exception["type"]).split("\n")
        lines += [f"    {_paint_frame(line, colours)}" for line in traceback]
    if record.get("cut"):
        text = f"    … {record['cut']:,} more characters, in the file"
        lines.append(colours.paint(text, "dim"))
    return "\n".join(lines)


def _paint_frame(line: str, colours: Colouring) -> str:
    if line[:1].strip():
        return colours.paint(line, "red")
    is_library = "site-packages" in line or "lib/python" in line
    return colours.paint(line, "dim") if is_library else line


def clock(seconds: float, offset: float) -> str:
    """Return the time of day with milliseconds, in a zone of that offset."""
    try:
        parts = time.gmtime(seconds + offset)
    except (OverflowError, ValueError, OSError):
        return "--:--:--.---"
    return f"{parts.tm_hour:02}:{parts.tm_min:02}:{parts.tm_sec:02}.{int(seconds % 1 * 1000):03}"


def say_age(seconds: float) -> str:
    """Return how long something is, in its largest unit; of days the hours, too."""
    seconds = max(seconds, 0)
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min"
    if seconds < 86400:
        return f"{seconds // 3600:.0f} h"
    return f"{seconds // 86400:.0f} d {seconds % 86400 // 3600:.0f} h"


def say_delay(seconds: float | None) -> str:
    """Return a short time; a dash where it is not known."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def say_size(size: float) -> str:
    """Return a number of bytes."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def draw_bars(values: Sequence[float], top: float) -> str:
    """Return values as bars of one character each."""
    step = max(top, 1e-9) / (len(_BLOCKS) - 1)
    return "".join(_BLOCKS[min(int(value / step + 0.5), len(_BLOCKS) - 1)] for value in values)


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return lines with columns; the first two to the left, the others to the right."""
    texts = [list(map(str, row)) for row in [heads, *rows]]
    widths = [max(map(len, column)) for column in zip(*texts)]
    return [
        "  ".join(
            text.ljust(width) if index == 0 else text.rjust(width)
            for index, (text, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in texts
    ]
