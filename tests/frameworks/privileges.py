"""Gunicorn and Celery for real, started by root and becoming another user under root's receiver.

    python -m pip install gunicorn celery
    python -m tests.frameworks.privileges              # as root, some 20 seconds

The other user has to be able to read this Python and its packages: one below ``/root`` will not do. Each
program is asked, has workers killed, and ends; then every record has to be in the file once. One run is
without ``--spool-group``: there a message has to name it.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import log_lines

from .lines import Line
from .running import PATIENCE, Running, free_port

USER, GROUP = "www-data", "www-data"
REQUESTS = 40

_WSGI = """
import os
from loguru import logger
from loguru_stdbridge import install_bridge

install_bridge()

def application(environ, start_response):
    for number in range(5):
        logger.info("request {} line {} of user {}", environ["QUERY_STRING"], number, os.getuid())
    start_response("200 OK", [("Content-Type", "text/plain"), ("Connection", "close")])
    return [str(os.getpid()).encode()]
"""
_CELERY = """
import os
from celery import Celery
from loguru import logger
from loguru_stdbridge import install_bridge

install_bridge()
application = Celery("celery_app", broker="filesystem://")
application.conf.broker_transport_options = {
    "data_folder_in": "broker", "data_folder_out": "broker", "control_folder": "broker"}
application.conf.task_ignore_result = True

@application.task
def work(number):
    for line in range(5):
        logger.info("request {} line {} of user {}", number, line, os.getuid())
    if number == 20:
        os.kill(os.getpid(), 9)
"""
_SEND = "import os, pwd\nuser = pwd.getpwnam({!r})\nos.setgid(user.pw_gid); os.setuid(user.pw_uid)\nimport celery_app\nfor number in range({}): celery_app.work.delay(number)"


@contextlib.contextmanager
def receiving(directory: Path, options: list[str], command: list[str]) -> Iterator[Running]:
    """Run a command under a receiver."""
    port = free_port()
    words = [word.format(port=port) for word in command]
    receiver = [sys.executable, "-m", "loguru_stdbridge.receiver", "log/app.log"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LOGURU_STDBRIDGE")}
    environment.update(PYTHONDONTWRITEBYTECODE="1", HOME="/nonexistent")
    receiver += ["--format", "{message}", "--spool-dir", str(directory / "spool"), *options]
    with Running([*receiver, "--", *words], directory, environment, port) as running:
        yield running


def gunicorn(directory: Path, options: list[str]) -> str:
    """Ask Gunicorn's workers, kill two of them, end it; return the console."""
    (directory / "wsgi_app.py").write_text(_WSGI, encoding="utf-8")
    command = [sys.executable, "-m", "gunicorn", "-w", "3", "-u", USER, "-g", GROUP,
               "-b", "127.0.0.1:{port}", "wsgi_app:application"]  # fmt: skip
    with receiving(directory, options, command) as running:
        running.until(lambda: _answers(running, "/?warm"), "it answers")
        for number in range(REQUESTS):
            worker = int(running.get(f"/?{number}")[1])
            if number in (10, 20):
                os.kill(worker, signal.SIGKILL)
                threading.Event().wait(0.5)  # else a request may be the dead one's
        running.terminate()
        running.until_its_end()
    return running.console


def _answers(running: Running, path: str) -> bool:
    with contextlib.suppress(OSError, http.client.HTTPException):
        return running.get(path)[0] == 200
    return False


def celery(directory: Path, options: list[str]) -> str:
    """Give Celery tasks, one of which kills its worker; end it; return the console."""
    (directory / "celery_app.py").write_text(_CELERY, encoding="utf-8")
    for name in ("broker", "broker/processed"):
        (directory / name).mkdir()
        os.chmod(directory / name, 0o777)
    command = [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "-c", "2", "-l", "INFO",
               "--uid", USER, "--gid", GROUP, "--without-gossip", "--without-mingle"]  # fmt: skip
    with receiving(directory, options, command) as running:
        running.until_told(Line(r"celery@.* ready"))
        send = Running([sys.executable, "-c", _SEND.format(USER, REQUESTS)], directory,
                       {**os.environ, "LOGURU_STDBRIDGE_ADDRESS": "tcp://127.0.0.1:1"}, 0)  # fmt: skip
        with send:
            send.process.wait(PATIENCE)
        running.until(lambda: running.console.count("line 4 of") >= REQUESTS - 2, "the tasks")
        running.terminate()
        running.until_its_end()
    return running.console


def count(directory: Path) -> str:
    """Return what is wrong with the records in the file; nothing, if all is right."""
    lines = Counter(
        line for line in log_lines(directory / "log" / "app.log") if line.startswith("request ")
    )
    users = {line.split()[-1] for line in lines}
    doubled = sum(times - 1 for times in lines.values())
    missing = {
        (number, line) for number in range(REQUESTS) for line in range(5)
    } - {(int(p[1]), int(p[3])) for p in (line.split() for line in lines) if p[1].isdigit()}  # fmt: skip
    print(f"  {sum(lines.values())} records of user {' '.join(users)}: {len(missing)} missing, "
          f"{doubled} doubled", flush=True)  # fmt: skip
    return f"missing {sorted(missing)[:5]}, doubled {doubled}" if missing or doubled else ""


def main() -> int:
    if os.geteuid() != 0:
        raise SystemExit("this needs root, who can become another user")
    wrong = 0
    for program in (gunicorn, celery):
        for options in (["--spool-group", GROUP], []):
            with tempfile.TemporaryDirectory(dir="/tmp", ignore_cleanup_errors=True) as name:
                os.chmod(name, 0o755)
                print(f"{program.__name__} {' '.join(options)}", flush=True)
                console = program(Path(name), options)
                if options:
                    wrong += bool(count(Path(name)))
                else:
                    told = "--spool-group GROUP" in console
                    print(f"  the message names --spool-group: {told}", flush=True)
                    wrong += not told
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
