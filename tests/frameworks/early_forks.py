"""Forks a moment after a process has logged for the first time: can each child deliver while it lives?

    python -m tests.frameworks.early_forks            # 300 forks of each kind, some minutes
    python -m tests.frameworks.early_forks --runs 30

The parent's thread is connecting just then. Whatever it imports, resolves or locks at that moment is
in the child as it was: half done, and nobody there to go on with it. ``encodings.idna``, which
``socket.getaddrinfo`` imports, has left children without delivery for their whole lives.

A process that has loaded everything, and logged nothing, forks the parents, so that each meets its
first log call anew and a run takes milliseconds. The delays go from 0 to 4 ms. A fork is Python's own,
or the C library's, of which Python is told nothing (as uWSGI forks).

After a fork of C's, CPython leaves a few children waiting before their first instruction: those of a
parent of which another thread has wanted the interpreter's lock for over 5 ms (1 of 900, on a machine
with 60 processes that compute). Nothing in Python can help them, with this package or without. They
are killed, and counted apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.processes import ReceiverProcess, log_lines, run_python

ADDRESSES = ("name", "number", "unix")
FORKS = ("python", "c")

NOT_BEGUN = 5
"""The status of a child that never came to its first instruction."""

_CODE = (
    f"NOT_BEGUN = {NOT_BEGUN}\n"
    + """
import ctypes, json, os, signal, sys, time
from loguru import logger
from loguru_stdbridge import install_bridge

address, how, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
assert "encodings.idna" not in sys.modules
logger.remove()
library = ctypes.PyDLL(None)  # its calls keep the interpreter's lock
fork = os.fork if how == "python" else library.fork

def child(number, bridge, begun):
    library.write(begun, b"x", 1)
    logger.info("child {}", number)
    return 0 if bridge.flush(60) else 3

def parent(number):
    bridge = install_bridge(address)
    logger.info("parent {}", number)
    until = time.perf_counter() + number % 41 / 10_000
    while time.perf_counter() < until:
        time.sleep(0)  # the other thread goes on meanwhile
    look, begun = os.pipe()
    pid = fork()
    if pid == 0:
        os._exit(child(number, bridge, begun))
    os.close(begun)
    status, until = None, time.monotonic() + 90
    while status is None:
        ended, code = os.waitpid(pid, os.WNOHANG)
        if ended:
            status = os.waitstatus_to_exitcode(code)
        elif time.monotonic() > until:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            status = 4 if os.read(look, 1) else NOT_BEGUN
        else:
            time.sleep(0.001)
    bridge.flush(30)
    return status

failed = []
for number in range(runs):
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(parent(number) & 0xff)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        failed.append([number, status])
print(json.dumps(failed))
"""
)


def run(directory: Path, address: str, fork: str, runs: int) -> dict[str, Any]:
    """Make ``runs`` early forks; returns the children that did not deliver, and what is missing."""
    listen = {
        "name": "tcp://localhost:0",
        "number": "tcp://127.0.0.1:0",
        "unix": f"unix://{directory}/socket",
    }[address]
    sink = directory / "app.log"
    with ReceiverProcess(sink, "--format", "{message}", listen=listen) as receiver:
        target = receiver.address
        if address == "name":
            target = target.replace("127.0.0.1", "localhost")
        status, out, err = run_python(_CODE, target, fork, str(runs), timeout=30 * runs + 60)
        receiver.stop()
    lines = list(log_lines(sink))
    wanted = [f"{who} {number}\n" for who in ("parent", "child") for number in range(runs)]
    failed = json.loads(out or "[]")
    not_begun = [number for number, code in failed if code == NOT_BEGUN and fork == "c"]
    wanted = [line for line in wanted if line not in {f"child {number}\n" for number in not_begun}]
    return {
        "status": status,
        "undelivered": [each for each in failed if each[0] not in not_begun],
        "not_begun": not_begun,
        "missing": sorted(set(wanted) - set(lines)),
        "more": len(lines) - len(set(lines)),
        "stderr": sorted(set(err.splitlines()))[:10],
    }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.frameworks.early_forks")
    parser.add_argument("--runs", type=int, default=300, help="forks of each kind (%(default)s)")
    options = parser.parse_args(argv)
    wrong = 0
    for address in ADDRESSES:
        for fork in FORKS:
            with tempfile.TemporaryDirectory() as directory:
                found = run(Path(directory), address, fork, options.runs)
            failures = len(found["undelivered"]) + len(found["missing"]) + found["more"]
            wrong += failures + bool(found["status"])
            told = f"{address}, {fork}: {options.runs} forks, {failures} failures"
            if found["not_begun"]:
                told += f", {len(found['not_begun'])} children that CPython kept from beginning"
            print(told, flush=True)
            if failures or found["status"]:
                print(found)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
