"""A receiver that shows its status, workers that log on demand, and a page that looks at it."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.processes import ReceiverProcess, free_port

AXE = Path("axe_playwright_python") / "axe.min.js"

WORKER = """
import json, sys, time
from loguru import logger
from loguru_stdbridge import install_bridge

logger.remove()
bridge = install_bridge(sys.argv[1], level=0, stdlib=False)
for order in sys.stdin:
    order = json.loads(order)
    began = time.monotonic()
    for number in range(order.get("count", 1)):
        to = logger.patch(lambda record: record.update(name=order.get("logger", "shop.cart")))
        if order.get("fails"):
            try:
                {}["key"]
            except KeyError:
                to.opt(exception=True).error(order["text"], number=number)
        else:
            to.log(order.get("level", "INFO"), order["text"], number=number)
        if "rate" in order:
            time.sleep(max(began + number / order["rate"] - time.monotonic(), 0))
    if not bridge.flush(60):
        sys.exit(1)
    print("done", flush=True)
"""
"""Reads orders, one JSON object a line, and says when their records are in the file."""


def find_chromium() -> str | None:
    """Return the path of a Chromium; ``""`` for Playwright's own, ``None`` where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        path = shutil.which(name)
        if path is not None:
            return path
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as play:
        return "" if os.path.exists(play.chromium.executable_path) else None


class Scene:
    """One receiver, and its workers."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.sink = directory / "logs" / "app.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        status = ("--status", f"tcp://127.0.0.1:{self.port}", "--status-files")
        self.receiver = ReceiverProcess(self.sink, "--rotation", "20 MB", *status, *options)
        self.receiver.wait_ready()
        self.workers: list[subprocess.Popen[str]] = []

    def start_worker(self) -> None:
        """Start one more worker."""
        self.workers.append(
            subprocess.Popen(
                [sys.executable, "-c", WORKER, f"log://{self.sink}"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip

    def order(self, worker: int = 0, **order: Any) -> None:
        """Have a worker log, and do not wait."""
        import json

        while len(self.workers) <= worker:
            self.start_worker()
        pipe = self.workers[worker].stdin
        assert pipe is not None
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()

    def wait(self, worker: int = 0) -> None:
        """Wait until the records of a worker's oldest order are in the file."""
        pipe = self.workers[worker].stdout
        assert pipe is not None
        assert pipe.readline() == "done\n"

    def log(self, text: str, **order: Any) -> None:
        """Have a worker log, and wait until that is in the file."""
        self.order(text=text, **order)
        self.wait()

    def close(self) -> None:
        """End all."""
        for worker in self.workers:
            worker.kill()
            worker.communicate()
        self.receiver.kill()


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """Start a headless Chromium."""
    from playwright.sync_api import sync_playwright

    path = find_chromium()
    with sync_playwright() as play:
        options: dict[str, Any] = {"args": ["--no-sandbox", "--disable-dev-shm-usage"]}
        if path:
            options["executable_path"] = path
        browser = play.chromium.launch(**options)
        try:
            yield browser
        finally:
            browser.close()
