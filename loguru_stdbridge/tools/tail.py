"""``loguru-stdbridge tail``: print a log's records as they are written, filtered and coloured.

It costs the receiver what a viewer of the status page costs. A tail that is stopped costs nothing
but its own lines: it is told how many it has missed.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import re
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from ..exceptions import AddressError
from ..status.terminal import Colouring, render_record, tidy_line
from .command_line import EXIT_NOBODY_THERE, ToolParser
from .finding import Endpoint, NobodyThereError, ask, find_targets, read_events
from .query import Query

_RETRY = 1.0  # seconds
_SILENCE = 15.0  # seconds without an event; the heartbeat comes each second
_MAX_BEFORE = 5000
_MAX_READ = 4 * 1024 * 1024  # bytes at the end of a file

USAGE = """\
usage: {prog} [SINK|ADDRESS] [options] [FILTER ...]

Print the records of a log as they are written.

  SINK|ADDRESS      the log file, or where its receiver shows the status: unix:///path,
                    tcp://host:port (default: the only receiver that runs)
  FILTER            words that must all be there: timeout "a phrase" -not level:warning
                    logger:shop process:2817 program:celery has:traceback
  -n COUNT          records from before, of the last 5,000 (default: 10); where nobody has watched
                    the receiver, lines of the file that have the words of the filter
  --no-follow       end with them
  --json            one JSON object a line
  --color, --no-color
                    colours (default: on a terminal without $NO_COLOR)
  -h, --help        print this

A listener that wants a token gets $LOGURU_STDBRIDGE_STATUS_TOKEN.
Exit codes: 0 at the end; 2 wrong usage; 3 nobody is there.
"""


def main(argv: Sequence[str] | None = None, program: str = "loguru-stdbridge tail") -> int:
    """Run it; return the exit code."""
    parser = ToolParser(program, USAGE)
    parser.add_argument("-n", type=int, default=10, dest="count")
    parser.add_argument("--no-follow", action="store_true")
    parser.add_argument("--json", action="store_true", dest="as_json")
    parser.add_argument("--color", action="store_true", default=None)
    parser.add_argument("--no-color", action="store_false", dest="color")
    arguments, words = _split_words(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(arguments)
    meant, words = _split(words)
    query = Query(" ".join(words))
    try:
        tail = _Tail(find_targets(meant), query, options)
        return tail.run()
    except (NobodyThereError, AddressError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_NOBODY_THERE
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        return 0


def _split_words(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the options, and the other words: ``-timeout`` is one of the filter's."""
    options: list[str] = []
    words: list[str] = []
    rest = iter(argv)
    for argument in rest:
        if argument == "-n":
            options += [argument, *islice(rest, 1)]
        elif argument == "--":
            words += rest
        elif argument.startswith("--") or re.fullmatch(r"-h|-n\d+", argument):
            options.append(argument)
        else:
            words.append(argument)
    return options, words


def _split(words: list[str]) -> tuple[str | None, list[str]]:
    """Return what names the log, if the first word does, and the words of the filter."""
    if words and ("/" in words[0] or words[0].endswith((".log", ".json", ".txt"))):
        return words[0], words[1:]
    return None, words


class _Tail:
    def __init__(self, targets: list[Endpoint], query: Query, options: argparse.Namespace) -> None:
        self._targets = targets
        self._query = query
        self._count = min(max(options.count, 0), _MAX_BEFORE)
        self._follows = not options.no_follow
        self._as_json = options.as_json
        self._colours = Colouring(options.color)
        self._last_id = ""

    def run(self) -> int:
        """Print until the end, or for ever."""
        is_first = True
        while True:
            try:
                for line in self._lines(is_first):
                    print(line, flush=True)
                if not self._follows:
                    return 0
            except NobodyThereError:
                if is_first:
                    raise
            except (OSError, http.client.HTTPException) as error:
                if isinstance(error, BrokenPipeError):
                    raise
            if is_first and not self._as_json:
                print(self._colours.paint("-- the connection is lost; trying again --", "yellow"))
            is_first = False
            time.sleep(_RETRY)

    def _lines(self, is_first: bool) -> Iterator[str]:
        """Yield the lines of one connection."""
        count = self._count if self._query.is_asked_whole else _MAX_BEFORE * bool(self._count)
        path = f"/events?{self._query.as_fields(count)}"
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        connection, answer = ask(self._targets, path, _SILENCE, **headers)
        before: deque[dict[str, Any]] | None = deque(maxlen=self._count) if is_first else None
        last, beats = 0, 0
        with contextlib.closing(connection):
            for identifier, name, data in read_events(answer):
                self._last_id = identifier or self._last_id
                reached = False
                if name == "hello":
                    last = data.get("last", 0)
                    reached = not last
                    if reached and before is not None and not self._as_json:
                        yield from self._lines_of_file(data)
                elif name == "records":
                    wanted = list(filter(self._query.takes, data))
                    if before is None:
                        yield from map(self._show, wanted)
                    else:
                        before.extend(wanted)
                elif name == "missed" and before is None:
                    yield self._show_missed(data)
                elif name == "figures":
                    beats += 1
                number = identifier.rpartition("-")[2]
                reached = reached or beats > 1 or (number.isdecimal() and int(number) >= last)
                if before is not None and reached:
                    yield from map(self._show, before)
                    before = None
                    if not self._follows:
                        return

    def _lines_of_file(self, hello: dict[str, Any]) -> Iterator[str]:
        """Yield the last lines of the file: a receiver that nobody has watched keeps no records."""
        if not self._count or not hello.get("size") or not self._targets[0].path:
            return
        try:
            with open(hello["sink"], "rb") as file:
                file.seek(max(hello["size"] - _MAX_READ, 0))
                data = file.read(min(hello["size"], _MAX_READ))
        except OSError:
            return
        lines = data.decode("utf-8", "replace").splitlines()
        wanted = filter(self._query.takes_line, lines[1:] if len(data) == _MAX_READ else lines)
        yield from map(tidy_line, deque(wanted, self._count))

    def _show(self, record: dict[str, Any]) -> str:
        if self._as_json:
            return json.dumps(record)
        return render_record(record, self._colours)

    def _show_missed(self, data: dict[str, Any]) -> str:
        if self._as_json:
            return json.dumps({"missed": data})
        if data["count"] is None:
            return self._colours.paint("-- the receiver was restarted --", "yellow")
        text = f"-- {data['count']:,} left out: {tidy_line(data['why'])} --"
        return self._colours.paint(text, "yellow")
