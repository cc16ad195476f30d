"""``loguru-stdbridge level``: have workers send records of lower levels for a while."""

from __future__ import annotations

import argparse
import logging
import re
import sys
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from ..exceptions import AddressError
from ..record.level_order import MAX_SECONDS
from .finding import NobodyThereError, ask_json, find_targets

EXIT_NOBODY_TOLD = 1
EXIT_NOBODY = 3

USAGE_OF_LEVEL = """\
usage: {prog} [SINK|ADDRESS] NAME=LEVEL [options]

Have workers that are connected send records of lower levels for a while. They go back by
themselves, also where the receiver goes. The sinks' own levels stand.

  SINK|ADDRESS      the log file, log:///path or unix:///path (default: the one receiver that runs)
  NAME=LEVEL        a logger, and those below it, as in shop.cart=DEBUG; LEVEL alone: all loggers
  --for TIME        how long: 90s, 10m, 2h (default: 10m; 24h at most)
  --program NAME    only processes of this program, as status shows it
  --pid N           only this process
  --end             end now what the same NAME, --program and --pid had begun
  -h, --help        print this

Exit codes: 0 workers were told; 1 there was none to be told; 2 wrong usage; 3 nobody is there.
"""

_LEVELS = {"TRACE": 5, "SUCCESS": 25}
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600}


class _LevelParser(argparse.ArgumentParser):
    def format_help(self) -> str:
        return USAGE_OF_LEVEL.format(prog=self.prog)

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}; --help shows the usage\n")


def main(argv: Sequence[str] | None = None, program: str = "loguru-stdbridge level") -> int:
    """Run it; return the exit code."""
    parser = _LevelParser(prog=program, allow_abbrev=False)
    parser.add_argument("words", nargs="+")
    parser.add_argument("--for", default="10m", dest="time")
    parser.add_argument("--program", default="")
    parser.add_argument("--pid", type=int, default=0)
    parser.add_argument("--end", action="store_true")
    options = parser.parse_args(argv)
    if len(options.words) > 2:
        parser.error("a log and one NAME=LEVEL")
    logger, _, level = options.words[-1].rpartition("=")
    number = read_level(level)
    if number is None:
        parser.error(f"{level!r}: a level such as DEBUG, or its number")
    seconds = read_time(options.time)
    if seconds is None:
        parser.error(f"--for {options.time}: 90s, 10m or 2h, and {MAX_SECONDS / 3600:.0f}h at most")
    query = {
        "logger": logger, "level": number, "seconds": 0 if options.end else seconds,
        "program": options.program, "pid": options.pid,
    }  # fmt: skip
    try:
        targets = find_targets(options.words[0] if len(options.words) == 2 else None)
        answer = ask_json(targets, f"/level?{urlencode(query)}", method="POST")
    except (AddressError, NobodyThereError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_NOBODY
    told = answer.get("told", 0)
    what = "go back" if options.end else f"send {level.upper()} and above of {logger or 'all'}"
    print(f"{told} workers were told to {what}" + ("" if options.end else f" for {options.time}"))
    return 0 if told else EXIT_NOBODY_TOLD


def read_level(text: str) -> int | None:
    """Return a level's number; ``None`` for what is no level."""
    if text.isdecimal() and len(text) < 9:
        return int(text)
    number = _LEVELS.get(text.upper(), logging.getLevelName(text.upper()))
    return number if isinstance(number, int) else None


def read_time(text: str) -> float | None:
    """Return seconds; ``None`` for what is no time, or a longer one than may be."""
    match = re.fullmatch(r"(\d{1,6})([smh])", text)
    seconds = float(int(match[1]) * _SECONDS_OF[match[2]]) if match else 0.0
    return seconds if 0 < seconds <= MAX_SECONDS else None
