"""Several processes with a rotating sink of loguru's on one file, as without this package.

``alone.py NAME COUNT PAUSE_MS NOTES SINK`` logs as ``worker.py`` does.
"""

from __future__ import annotations

import os
import sys
import time

from loguru import logger


def main() -> int:
    name, count, pause, notes, sink = sys.argv[1:]
    logger.remove()
    sys.stderr = open(os.devnull, "w", encoding="utf-8")  # each failed rotation is told
    logger.add(sink, rotation="200 KB", compression="gz", format="{message}", encoding="utf-8")
    for number in range(int(count)):
        logger.info("worker {} number {} end", name, number)
        if number % 10 == 9:
            time.sleep(float(pause) / 1000)
    with open(notes, "wb") as file:
        file.write(b"%012d" % int(count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
