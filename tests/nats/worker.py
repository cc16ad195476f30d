"""A worker of the proof: logs numbered records at a pace, and notes how many calls returned."""

from __future__ import annotations

import logging
import mmap
import sys
import threading

from loguru import logger

from loguru_stdbridge import install_bridge


def main() -> int:
    name, address, path, rate = sys.argv[1:5]
    with open(path, "r+b") as file:
        notes = memoryview(mmap.mmap(file.fileno(), 24)).cast("Q")
    logger.remove()
    bridge = install_bridge(address, level="DEBUG")
    stdlib = logging.getLogger("std")
    number = 0
    while not notes[1]:
        for _ in range(10):
            if number % 2:
                stdlib.info("worker %s number %d end", name, number)
            else:
                logger.info("worker {} number {} end", name, number)
            number += 1
            notes[0] = number
        threading.Event().wait(10 / int(rate))
    return 0 if bridge.close(200) else 1


if __name__ == "__main__":
    sys.exit(main())
