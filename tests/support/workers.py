"""Start worker processes that log step by step and report their counts after each step."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.processes import Account, start_python

PRELUDE = """
import json, logging, os, sys, threading, time
from loguru import logger
from loguru_stdbridge import install_bridge

name, address, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
logger.remove()
bridge = install_bridge(address, level="INFO", **options)
stdlib = logging.getLogger("std")

weight = []  # one string, or none: makes each stdlib record heavier that goes whole, unseen in the file

def log(first, last):
    for number in range(first, last):
        if number % 2:
            more = {"weight": weight[0]} if weight else None
            stdlib.info("worker %s number %d end", name, number, extra=more)
        else:
            logger.info("worker {} number {} end", name, number)

def anonymous():  # kilobytes of this process's own memory, without the journal's pages
    with open("/proc/self/status") as status:
        return int(next(line for line in status if line.startswith("RssAnon")).split()[1])

def tell(**more):
    stats = bridge.stats()
    print(json.dumps({"accepted": stats.accepted, "pending": stats.pending,
                      "acknowledged": stats.acknowledged, "dropped": stats.dropped,
                      "anonymous": anonymous(), **more}), flush=True)
"""


class Worker:
    """One worker process, which is killed at the end of the ``with`` block if it still runs."""

    def __init__(
        self, code: str, address: str, *arguments: object, name: str = "a", **options: Any
    ):
        """Start it: ``code`` runs after ``PRELUDE``; ``options`` go to ``install_bridge``."""
        self.process = start_python(
            PRELUDE + code, name, address, json.dumps(options), *map(str, arguments), stdin=True
        )

    def stands(self) -> dict[str, Any]:
        """Return the worker's next report; fail with its stderr if it has ended instead."""
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1].decode()
        return json.loads(line)

    def go_on(self, word: str = "") -> None:
        self.process.stdin.write(f"{word}\n".encode())
        self.process.stdin.flush()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def given_up(account: Account) -> list[int]:
    """Return the numbers of missing records that the log itself reports, line by line."""
    told = (re.match(r"(\d+) records (of sender .*)?were given up", line) for line in account.torn)
    return [int(match.group(1)) for match in told if match]


def check_counts(account: Account, ends: list[dict[str, Any]], total: int) -> int:
    """Assert that each of ``total`` records is in the file once, or counted as dropped.

    The log itself has to report the same number of dropped records. Returns that number.
    """
    told = given_up(account)
    dropped = sum(sum(end["dropped"].values()) for end in ends)
    assert all(end["flushed"] == (not end["dropped"]) for end in ends)
    assert [sum(end[key] for end in ends) for key in ("accepted", "pending")] == [total, 0]
    assert sum(end["acknowledged"] for end in ends) == len(account.found) == total - dropped
    assert sum(told) == dropped
    assert len(account.torn) == len(told), [line for line in account.torn if "given" not in line]
    assert not account.out_of_order and set(account.found.values()) == {1}
    return dropped
