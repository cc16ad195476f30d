"""uWSGI for real, which loads the application and then forks in C, without telling Python.

    python -m pip install uwsgi                  # it compiles
    python -m tests.frameworks.uwsgi             # 20 starts
    python -m tests.frameworks.uwsgi --starts 3

Each start: the application is loaded in the master, two workers are forked, without
``--enable-threads``. The lines of every request have to be in the file while uWSGI runs, and it has
to end when it is told to.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import ReceiverProcess

from .running import PATIENCE, Running, copy_apps, free_port

REQUESTS = 6


def start_once(directory: Path) -> str:
    """Start uWSGI once, and return what went wrong; nothing, if all was right."""
    port = free_port()
    copy_apps(directory, "wsgi_app.py", bridge=True)
    program = str(Path(sys.executable).with_name("uwsgi"))
    command = [
        program, "--http-socket", f"127.0.0.1:{port}", "--module", "wsgi_app:application",
        "--master", "--processes", "2", "--need-app", "--die-on-term", "--home", sys.prefix,
    ]  # fmt: skip
    sink = directory / "app.log"
    with ReceiverProcess(sink, LOGURU_STDBRIDGE_SPOOL_DIR=str(directory / "spool")) as receiver:
        environment = {
            **os.environ,
            "LOGURU_STDBRIDGE_ADDRESS": receiver.address,
            "LOGURU_STDBRIDGE_SPOOL_DIR": str(directory / "spool"),
        }
        with Running(command, directory, environment, port) as running:
            try:
                running.until_it_answers()
                for _ in range(REQUESTS):
                    running.get("/lines")
                deadline = time.monotonic() + 15
                found = 0
                while found < REQUESTS and time.monotonic() < deadline:
                    threading.Event().wait(0.05)
                    found = sink.read_text().count("a request by loguru") if sink.exists() else 0
                if found != REQUESTS:
                    return f"{found} of {REQUESTS} requests are in the file while it runs"
                running.terminate()
                running.process.wait(PATIENCE)
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"it hangs: {error!r}"[:300]
    return ""


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.frameworks.uwsgi")
    parser.add_argument("--starts", type=int, default=20, help="how many starts (%(default)s)")
    wrong = []
    starts = parser.parse_args(argv).starts
    for number in range(starts):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
            failure = start_once(Path(directory))
        if failure:
            wrong.append(failure)
            print(f"start {number}: {failure}", flush=True)
    print(f"uwsgi: {starts} starts, {len(wrong)} failures")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
