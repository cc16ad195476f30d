"""Measures the longest tasks of the page under 5,000 records a second: ``python -m tests.browser.tasks``.

A task that takes long on the clock may only have waited for a processor: two workers, a receiver and
a browser without a graphics card share them. So the processor's time of each task is shown, too.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from .scene import Scene, open_browser

CATEGORIES = ["toplevel", "devtools.timeline", "v8", "blink"]


def longest(trace: Path) -> dict[str, list[float]]:
    """Return the longest tasks of the pages in a trace, in milliseconds, the longest first."""
    events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    tasks = [
        event
        for event in events
        if event["ph"] == "X"
        and event["name"].endswith("RunTask")
        and (event["pid"], event["tid"]) in mains
    ]
    return {
        name: sorted((task.get(key, 0) / 1e3 for task in tasks), reverse=True)[:5]
        for name, key in (("clock", "dur"), ("processor", "tdur"))
    }


def main() -> None:
    """Measure, and print."""
    with tempfile.TemporaryDirectory() as place, open_browser() as browser:
        trace = Path(place) / "trace.json"
        scene = Scene(Path(place) / "scene")
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(scene.url)
            scene.start_worker()
            scene.start_worker()
            browser.start_tracing(page=page, path=str(trace), categories=CATEGORIES)
            for worker in range(2):
                scene.order(worker, text="fast {number}", count=12_500, rate=2500)
            for worker in range(2):
                scene.wait(worker)
            page.wait_for_timeout(500)
            browser.stop_tracing()
        finally:
            scene.close()
        for name, times in longest(trace).items():
            print(f"longest tasks by the {name}: {', '.join(f'{ms:.0f}' for ms in times)} ms")


if __name__ == "__main__":
    main()
