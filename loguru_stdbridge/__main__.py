"""``loguru-stdbridge`` and ``python -m loguru_stdbridge``: choose a program by its first word.

Owns the words and the overview. Each program reads its own options, and is imported when its word
is said.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Sequence
from typing import Callable

from ._version import __version__

OVERVIEW = """\
usage: {prog} WORD ...

One rotated log file for many Python processes.

Words:
  receive SINK [options] [-- COMMAND ...]
            write the records of other processes to one rotated file; run COMMAND beside it
  check SINK [options]
            check the options and the log file, and leave nothing behind
  status [SINK|ADDRESS]
            show whether a receiver writes, how much, and who its workers are
  tail [SINK|ADDRESS] [FILTER ...]
            print the records of a log as they are written
  spool list|deliver|export|discard
            see to what waits on disk
  level [SINK|ADDRESS] NAME=LEVEL
            have workers send records of lower levels for a while
  send [SINK|ADDRESS] TEXT
            send one record the whole way, and say how long it took
  demo      count the lines that rotation loses, and the bridge keeps (half a minute)

{prog} WORD --help tells the rest. python -m loguru_stdbridge.receiver is receive, and
python -m loguru_stdbridge.demo is demo.

Examples:
  {prog} receive logs/app.log --inject -- gunicorn -w 4 shop:app
            run a program without a line of ours: all that its processes log is in the file
  {prog} receive logs/app.log --rotation "100 MB" --retention 10 --compression gz
            run beside programs that call install_bridge("log:///path/of/logs/app.log")
  {prog} demo

Nothing has to run beside programs that say
  from loguru_stdbridge import install_bridge
  install_bridge(sink="logs/app.log", rotation="100 MB")
"""

_USAGE = 2  # the exit code of wrong usage


def _receive(arguments: Sequence[str], program: str) -> int:
    from .receiver.cli import main as receive

    return receive(arguments, program)


def _check(arguments: Sequence[str], program: str) -> int:
    from .receiver.cli import main as receive

    return receive(["--check", *arguments], program)


def _status(arguments: Sequence[str], program: str) -> int:
    from .tools.status_command import main as status

    return status(arguments, program)


def _tail(arguments: Sequence[str], program: str) -> int:
    from .tools.tail import main as tail

    return tail(arguments, program)


def _spool(arguments: Sequence[str], program: str) -> int:
    from .tools.spool_command import main as spool

    return spool(arguments, program)


def _send(arguments: Sequence[str], program: str) -> int:
    from .tools.send import main as send

    return send(arguments, program)


def _level(arguments: Sequence[str], program: str) -> int:
    from .tools.level import main as level

    return level(arguments, program)


def _demo(arguments: Sequence[str], program: str) -> int:
    from .demo import main as demo

    return demo(arguments, program)


WORDS: dict[str, Callable[[Sequence[str], str], int]] = {
    "receive": _receive,
    "check": _check,
    "status": _status,
    "tail": _tail,
    "spool": _spool,
    "send": _send,
    "level": _level,
    "demo": _demo,
}
"""Each word, and what runs it: it takes the arguments behind the word, and how it was called. A
program that comes later has its word here and its lines in :data:`OVERVIEW`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program of the first word; return the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    program = os.path.basename(sys.argv[0])
    if program == "__main__.py":
        program = "python -m loguru_stdbridge"
    word = arguments[0] if arguments else "--help"
    if word in ("-h", "--help", "help"):
        print(OVERVIEW.format(prog=program), end="")
        return 0
    if word == "--version":
        print(f"loguru_stdbridge {__version__}")
        return 0
    run = WORDS.get(word)
    if run is None:
        print(f"{program}: {_explain(word, arguments, program)}", file=sys.stderr)
        return _USAGE
    return run(arguments[1:], f"{program} {word}")


def _explain(word: str, arguments: list[str], program: str) -> str:
    if "." in word or os.sep in word:
        return f"say receive before the log file: {program} receive {' '.join(arguments)}"
    close = difflib.get_close_matches(word, WORDS, 1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(WORDS)}"
    return f"there is no word {word!r}; {meant}"


if __name__ == "__main__":
    sys.exit(main())
