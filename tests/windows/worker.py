"""A program that logs through both libraries, and notes how many of its calls have returned.

``worker.py NAME COUNT PAUSE_MS NOTES WHERE [SINK_WORD=VALUE ...]``: WHERE is an address, or a log
file, which it opens with ``install_bridge(sink=...)`` and the words. COUNT 0 goes on until the file
``stop`` lies beside NOTES.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from loguru import logger

from loguru_stdbridge import install_bridge


def main() -> int:
    name, count, pause, notes, where, *words = sys.argv[1:]
    stop = Path(notes).with_name("stop")
    logger.remove()
    options = dict(word.split("=", 1) for word in words)
    if "://" in where:
        bridge = install_bridge(where, level="DEBUG")
    else:
        bridge = install_bridge(sink=where, level="DEBUG", linger=2, **options)
    stdlib = logging.getLogger("std")
    number, limit = 0, int(count)
    with open(notes, "wb", buffering=0) as file:
        while number < limit if limit else not stop.exists():
            for _ in range(10):
                if number % 2:
                    stdlib.info("worker %s number %d end", name, number)
                else:
                    logger.info("worker {} number {} end", name, number)
                number += 1
                file.seek(0)
                file.write(b"%012d" % number)
            time.sleep(float(pause) / 1000)
    return 0 if bridge.close(60) else 3


if __name__ == "__main__":
    sys.exit(main())
