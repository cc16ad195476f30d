"""``loguru-stdbridge send``: send one record the whole way, and say how long each step took."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any

from ..addresses import default_address, log_address, parse_address
from ..exceptions import AddressError, StdbridgeError
from ..record.encode import encode_logrecord
from ..spool.owned import new_sender_id
from .command_line import EXIT_NOBODY_THERE, EXIT_NOT_DONE, ToolParser
from .delivery import Delivery, milliseconds_since
from .finding import NobodyThereError

USAGE_OF_SEND = """\
usage: {prog} [SINK|ADDRESS] TEXT [options]

Send one record to a receiver, wait until it is in the file, and say how long that took.

  SINK|ADDRESS      the log file, or log:///path, unix:///path, tcp://host:port (default:
                    $LOGURU_STDBRIDGE_ADDRESS, else tcp://127.0.0.1:9020)
  --level NAME      its level (default: INFO)
  --timeout SECONDS how long to wait for each answer (default: 10)
  -h, --help        print this

Exit codes: 0 it is in the file; 1 it is not; 2 wrong usage; 3 nobody is there.
"""


def main(argv: Sequence[str] | None = None, program: str = "loguru-stdbridge send") -> int:
    """Run it; return the exit code."""
    parser = ToolParser(program, USAGE_OF_SEND)
    parser.add_argument("words", nargs="+")
    parser.add_argument("--level", default="INFO")
    parser.add_argument("--timeout", type=float, default=10.0)
    options = parser.parse_args(argv)
    if len(options.words) > 2:
        parser.error("put quotes around the text")
    number = logging.getLevelName(options.level.upper())
    if not isinstance(number, int):
        parser.error(f"--level {options.level}: DEBUG, INFO, WARNING, ERROR or CRITICAL")
    try:
        meant = options.words[0] if len(options.words) == 2 else None
        if meant is None:
            address = default_address()
        else:
            address = parse_address(meant) if "://" in meant else log_address(meant)
        return _send(address, options.words[-1], number, options.timeout)
    except (NobodyThereError, ConnectionRefusedError, FileNotFoundError) as error:
        print(f"{program}: nobody is there: {error}", file=sys.stderr)
        return EXIT_NOBODY_THERE
    except AddressError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except TimeoutError:
        text = f"no answer within {options.timeout:g} s: a receiver that is stopped, or a stock one"
        print(f"{program}: {text}", file=sys.stderr)
        return EXIT_NOT_DONE
    except (StdbridgeError, OSError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return EXIT_NOT_DONE


def _send(address: Any, text: str, level: int, timeout: float) -> int:
    record = logging.makeLogRecord({
        "name": "loguru_stdbridge.send", "msg": text, "levelno": level,
        "levelname": logging.getLevelName(level), "funcName": "send",
    })  # fmt: skip
    row = encode_logrecord(record, lambda name: ("", None))
    began = time.perf_counter()
    delivery = Delivery(address, new_sender_id(), None, timeout)
    with contextlib.closing(delivery):
        connected = milliseconds_since(began)
        greeting = delivery.greet(row, 1, 1)
        greeted = milliseconds_since(began)
        delivery.wait_for(1)
        written = milliseconds_since(began)
        delivery.leave(1)
    where = greeting.log.path if greeting.log is not None else "its file"
    print(
        f"in {where} after {written:.1f} ms: connected {connected:.1f}, greeted {greeted:.1f}; "
        f"receiver {greeting.package or 'of an old version'} at {address}"
    )
    return 0
