"""Has a receiver of two sinks read its configuration again and again, and counts what is written.

``tests/receiver/test_reload.py`` plays this in a short form. The whole::

    python -m tests.support.reloads --hangups 50 --seed 1

Four workers log at full speed. Before each SIGHUP one option of one sink is changed: its rotation,
its compression, its retention, its format or its level. The exit status is 1 where a record is
lost, doubled, torn or out of order in a file, or where a worker has lost its connection.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.support.kills import Figures, Scene
from tests.support.processes import Account, log_files
from tests.support.waiting import wait_until

CHANGES: tuple[tuple[str, Sequence[Any]], ...] = (
    ("rotation", ("200 KB", "300 KB", "1 MB")),
    ("compression", ("gz", None)),
    ("retention", (1000, 2000, "1 day")),
    ("format", ("{message}", "| {message}", "| {level} {message}")),
    ("level", ("DEBUG", "INFO", 5)),
)
"""Options that are changed in turn, and values for them. Each lets every record through."""

_AHEAD = re.compile(r"\| (?:INFO )?")


def reloads(directory: Path, seed: int, hangups: int, workers: str = "abcd") -> Figures:
    """Change one option, send SIGHUP, wait until it is followed; again and again under load."""
    chance = random.Random(seed)
    config = directory.parent / f"{directory.name}.json"
    second = directory / "logs" / "second.log"
    first = {"sink": str(directory / "logs" / "app.log"), "format": "{message}"}
    handlers: list[dict[str, Any]] = [first, {"sink": str(second), "format": "{message}"}]
    for handler in handlers:
        handler.update(rotation="200 KB", retention=1000)

    def write() -> None:
        given = [{k: v for k, v in each.items() if v is not None} for each in handlers]
        config.write_text(json.dumps({"handlers": given}))

    write()
    environment = {"LOGURU_STDBRIDGE_CONFIG": str(config)}
    with Scene("reloads", directory, seed, environment=environment) as scene:
        for name in workers:
            scene.add_worker(name, "--ahead", "20000")
        for worker in scene.workers:
            worker.began()
        for number in range(hangups):
            name, values = CHANGES[number % len(CHANGES)]
            handler = handlers[chance.randrange(len(handlers))]
            handler[name] = chance.choice([v for v in values if v != handler.get(name)])
            write()
            scene.receiver.process.send_signal(signal.SIGHUP)
            scene.receiver.process.send_signal(signal.SIGUSR2)  # it is told after the reload
            wait_until(
                lambda told=number + 1: scene.told().count("state of process") >= told,
                60,
                "the receiver has followed",
            )
            scene.pause(0.2)
        connected = re.findall(r"state: worker (\w+) .* since (.*?): ", scene.told())
        ids = {worker for worker, _ in connected}
        moments = Counter(worker for worker, _ in set(connected))
        assert len(ids) == len(workers), f"a worker has connected anew: {sorted(set(connected))}"
        assert all(count <= 2 for count in moments.values()), moments  # a second's end is rounded
        figures = scene.finish(lambda line: _AHEAD.sub("", line, count=1), is_archived=False)
        account = Account(second, lambda line: _AHEAD.sub("", line, count=1))
        expected = {worker.name: worker.returned for worker in scene.workers}
        figures.verdicts.append(account.verdict(expected))
        figures.files += len(log_files(second))
        figures.notes.append(f"{hangups} reloads under {len(workers)} workers, none reconnected")
        refused = [line for line in scene.told().splitlines() if "not taken over" in line]
        assert not refused, refused
        return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Play it; return 1 where anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.reloads")
    parser.add_argument("--seed", type=int, default=None, help="any number; default: a random one")
    parser.add_argument("--hangups", type=int, default=50, help="how many SIGHUPs (50)")
    options = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    with tempfile.TemporaryDirectory(prefix="reloads-") as base:
        figures = reloads(Path(base) / "scene", seed, options.hangups)
        print(figures)
    return 0 if figures.clean else 1


if __name__ == "__main__":
    sys.exit(main())
