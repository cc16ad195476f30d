"""How the blocks of each kind are run, and what has to be there afterwards.

What a block logs as a plain text has to be in a log file afterwards, once, and no process may say that
something is wrong. Paths outside the directory of the run (``/var/log``, ``/srv``) are put below it,
and the default port is a free one, so that runs disturb nothing and each other neither.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Callable, NamedTuple

from tests.support.processes import free_port

from .blocks import Group

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 60.0
"""Seconds that one step may take; the slowest takes about 5."""

_OUTSIDE = re.compile(r"(?:(?<=://)|(?<![\w/.]))/(?:var/log|var/lib|srv|etc)/shop")
_SAID = re.compile(r"\.(?:info|warning)\(\s*\"([^\"{%]+)")
_WRONG = re.compile(r"^loguru_stdbridge\[\d+\]: .*|^Traceback.*", re.MULTILINE)

WSGI_APP = """
from loguru import logger


def app(environ, start_response):
    logger.info("a page is asked for")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
"""
"""The application ``shop:app`` where the section does not show one."""


class Run:
    """One group in a directory of its own."""

    def __init__(self, group: Group, directory: Path) -> None:
        self.group = group
        self.directory = directory
        self.port = free_port()
        self.http_port = free_port()
        programs = os.path.dirname(sys.executable)
        self.environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "LOGURU_STDBRIDGE_ADDRESS": f"tcp://127.0.0.1:{self.port}",  # the default's place
        }
        self.said: list[str] = []
        for name in ("var/log/shop", "var/lib/shop", "srv/shop"):
            (directory / name).mkdir(parents=True)
        for name, text in group.files.items():
            if name.endswith(".py"):
                self.add_file(name, text)
        for block in group.blocks:
            self.said += _SAID.findall(block.text)

    def put_inside(self, text: str) -> str:
        """Return a text whose paths, programs and port are those of this run."""
        programs = os.path.dirname(sys.executable)
        text = re.sub(r"(/srv/shop/)?\.venv/bin/", lambda match: f"{programs}/", text)
        text = _OUTSIDE.sub(lambda match: f"{self.directory}{match.group()}", text)
        text = text.replace(f"{self.directory}/srv/shop", str(self.directory))
        text = text.replace("logs.example", "localhost")
        return re.sub(r"\b9020\b", str(self.port), text)

    def add_file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.put_inside(text), encoding="utf-8")
        return path

    def run(self, command: str | Sequence[str], **environment: str) -> str:
        """Run a command to its end; return what it has printed. It must succeed, and say no wrong."""
        with self.start(command, **environment) as process:
            out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, f"{command}: {process.returncode}\n{out}\n{err}"
        assert not _WRONG.findall(out + err), out + err
        return out

    @contextlib.contextmanager
    def start(
        self, command: str | Sequence[str], **environment: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a command in a process group of its own, which is killed if it does not end.

        The group of one that has ended is left alone: a receiver that it has started at its very end
        is not in a session of its own yet.
        """
        words = [command] if isinstance(command, str) else list(command)
        process = subprocess.Popen(
            ["bash", "-c", self.put_inside(words[0])] if isinstance(command, str) else words,
            cwd=self.directory,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()

    @contextlib.contextmanager
    def serve(self, command: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        """Start a server, and end it in order; it must end with the status 0 or by the signal."""
        with self.start(command, **environment) as process:
            yield process
            if process.poll() is None:
                process.terminate()
            out = "\n".join(process.communicate(timeout=PATIENCE))
            assert process.returncode in (0, -signal.SIGTERM), f"{process.returncode}\n{out}"
            assert not _WRONG.findall(out), out

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{what}\n{self.log()}"
            Event().wait(0.02)

    def log(self) -> str:
        """Return the text of all log files of the run."""
        paths = sorted(self.directory.rglob("*.log"))
        return "".join(p.read_text(encoding="utf-8") for p in paths if p.name[0] != ".")

    def check_log(self, *more: str) -> None:
        """Wait until all that was said, and ``more``, is in the log."""
        for text in (*self.said, *more):
            self.wait_for(lambda text=text: text in self.log(), f"{text!r} is in the log")

    def end_receivers(self) -> None:
        """End the receivers that have started by themselves, and wait until they are gone."""
        for pid in self._receivers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self.wait_for(lambda: not self._receivers(), "the receivers end")

    def _receivers(self) -> list[int]:
        found = subprocess.run(["ps", "-eo", "pid,args"], stdout=subprocess.PIPE, check=True)
        lines = found.stdout.decode(errors="replace").splitlines()
        mine = f"loguru_stdbridge.receiver {self.directory}/"
        return [int(line.split()[0]) for line in lines if mine in line]


def run_script(run: Run) -> None:
    """A program that ends by itself."""
    (block,) = run.group.blocks
    path = run.add_file("script.py", block.text)
    run.run([sys.executable, str(path)])
    run.check_log()


def run_commands(run: Run) -> None:
    """Commands that end by themselves, with the files of their section. The log may be stdout."""
    for command in run.group.commands:
        out = run.run(command)
        if ".log" in command:
            run.check_log()
        if " - " in command:
            assert [text for text in run.said if text not in out] == []


def run_config(run: Run) -> None:
    """Commands with a configuration file, which Python reads from 3.11 on."""
    for name, text in run.group.files.items():
        run.add_file(name, text)
    for command in run.group.commands:
        run.run(command)


def run_install(run: Run) -> None:
    """The name is that of this package: pip finds it here, and asks nobody."""
    for command in run.group.commands:
        assert "already satisfied: loguru" in run.run(command, PIP_NO_INDEX="1").lower()


def run_receiver_beside(run: Run) -> None:
    """A receiver that goes on, and a program that logs to it."""
    _run_beside(run, run.group.commands[0])


def _run_beside(run: Run, command: str) -> None:
    ready = run.directory / "ready"
    with run.serve(command, LOGURU_STDBRIDGE_READY_FILE=str(ready)):
        run.wait_for(ready.exists, "the receiver is there")
        for name in run.group.files:
            if name.endswith(".py"):
                run.run([sys.executable, name])
        run.check_log()


def run_tools(run: Run) -> None:
    """A receiver that goes on, and commands beside it, which end."""
    command, *others = run.group.commands
    ready = run.directory / "ready"
    with run.serve(command, LOGURU_STDBRIDGE_READY_FILE=str(ready)):
        run.wait_for(ready.exists, "the receiver is there")
        for other in others:
            run.run(other)


def run_nats(run: Run) -> None:
    """A server and two receivers that go on, and a program that ends."""
    port = free_port()
    with contextlib.ExitStack() as opened:
        *beside, program = run.group.commands
        for number, command in enumerate(beside):
            line = command.replace("localhost:4222", f"localhost:{port}")
            ready = run.directory / f"ready{number}"
            environment = {}
            if line.startswith("nats-server"):
                line += f" --port {port}"
            else:
                environment["LOGURU_STDBRIDGE_READY_FILE"] = str(ready)
            opened.enter_context(run.serve(line, **environment))
            if environment:
                run.wait_for(ready.exists, "the receiver is there")
        run.run(program)
        run.check_log()


def run_tls(run: Run) -> None:
    """A receiver over TLS and a program beside it; their certificates are made here."""
    from tests.support.certificates import Authority

    authority = Authority(run.directory / "etc/shop")
    authority.issue("localhost", name="logs")
    authority.issue("shop.example", name="shop")
    run_receiver_beside(run)


def run_cron(run: Run) -> None:
    """Each line of a crontab is run as cron runs it: in a shell, with little in the environment."""
    lines = [b.text for b in run.group.blocks if b.language == "text"]
    for line in "".join(lines).splitlines():
        if line and not line.startswith("#"):
            run.run(line.split(None, 5)[5])
    run.check_log()


def run_unit(run: Run) -> None:
    """The command of a systemd unit, with its environment; and a program beside it, if there is one."""
    (unit,) = (block.text for block in run.group.blocks if block.language == "ini")
    for name, text in run.group.files.items():
        if name.endswith(".py"):
            run.add_file(name, text)
    for value in re.findall(r"^Environment=(\w+=.*)$", unit, re.MULTILINE):
        name, _, text = value.partition("=")
        run.environment[name] = run.put_inside(text)
    (command,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    if " -- " in command:
        _serve_shop(run, command)
    else:
        _run_beside(run, f"exec {command}")


def run_dockerfile(run: Run) -> None:
    """What the first process of the container is."""
    (text,) = (block.text for block in run.group.blocks)
    for name, value in re.findall(r"^ENV (\w+)=(\S+)$", text, re.MULTILINE):
        run.environment[name] = run.put_inside(value)
    words: list[str] = []
    for instruction in ("ENTRYPOINT", "CMD"):
        (line,) = re.findall(rf"^{instruction} (\[.*\])$", text, re.MULTILINE)
        words += json.loads(line)
    _serve_shop(run, shlex.join(words))


def _serve_shop(run: Run, command: str) -> None:
    run.add_file("shop.py", WSGI_APP)
    run.add_file(
        "gunicorn.conf.py", "from loguru_stdbridge import install_bridge\ninstall_bridge()\n"
    )
    _serve(run, f"exec {command}", _GUNICORN)


class Server(NamedTuple):
    """A web server: what tells it a port, and what is in the log then, and when it has ended."""

    environment: Mapping[str, str] = {}
    arguments: str = ""
    lines: tuple[str, ...] = ()
    last_lines: tuple[str, ...] = ()


_GUNICORN = Server(
    {"GUNICORN_CMD_ARGS": "--bind 127.0.0.1:{port}"},
    lines=("Booting worker", "a page is asked for"),
    last_lines=("Shutting down: Master",),
)


def _serve(run: Run, command: str, server: Server) -> None:
    environment = {k: v.format(port=run.http_port) for k, v in server.environment.items()}
    command += server.arguments.format(port=run.http_port)
    with run.serve(command, **environment) as process:

        def answers() -> bool:
            assert process.poll() is None, process.communicate()
            with contextlib.suppress(OSError):
                url = f"http://127.0.0.1:{run.http_port}/"
                with urllib.request.urlopen(url, timeout=PATIENCE) as response:
                    return bool(response.status == 200)
            return False

        run.wait_for(answers, "the server answers")
        run.check_log(*server.lines)
    run.check_log(*server.last_lines)


def serving(server: Server) -> Callable[[Run], None]:
    """Return the way of a server whose command is in the section."""

    def run_server(run: Run) -> None:
        if "shop.py" not in run.group.files:
            run.add_file("shop.py", WSGI_APP)
        _serve(run, f"exec {run.group.commands[0]}", server)

    return run_server


def run_uvicorn_program(run: Run) -> None:
    """A program that starts uvicorn. It takes no port from its environment: its file gets one."""
    text = run.group.files["serve.py"].replace("workers=2", f"workers=2, port={run.http_port}")
    run.add_file("serve.py", text)
    _serve(run, "exec python serve.py", Server(lines=("Started parent process", "GET /")))


def run_django(run: Run) -> None:
    """A new project, with the lines at the top of its settings."""
    shutil.rmtree(run.directory / "shop")
    run.run("django-admin startproject shop .")
    settings = (run.directory / "shop" / "settings.py").read_text(encoding="utf-8")
    run.add_file("shop/settings.py", run.group.files["shop/settings.py"] + "\n" + settings)
    server = Server(arguments=" --noreload 127.0.0.1:{port}", lines=("GET /",))
    _serve(run, f"exec {run.group.commands[0]}", server)


_SEND = """
import sys
from celery import Celery
application = Celery(broker="filesystem://")
application.conf.broker_transport_options = {"data_folder_in": "data_out", "data_folder_out": "data_in"}
application.send_task("tasks.add", (2, 3))
"""


def run_celery(run: Run) -> None:
    """A worker, whose broker is a directory, and a task for it."""
    for name in ("data_in", "data_out", "control"):
        (run.directory / name).mkdir()
    command = f"exec {run.group.commands[0]} --concurrency 1"
    with run.serve(command, CELERY_BROKER_URL="filesystem://"):
        run.wait_for(lambda: "ready." in run.log(), "the worker is ready")
        run.run([sys.executable, "-c", _SEND])
        run.check_log("2 and 3", "succeeded in")


def run_pytest(run: Run) -> None:
    """A suite whose tests log, in two processes."""
    tests = 'from loguru import logger\n\n\ndef test_logs():\n    logger.info("a test logs")\n'
    run.add_file("test_shop.py", tests)
    command = f"{run.group.commands[0]} -p xdist -p no:cacheprovider"
    run.run(command, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")  # it starts sooner
    run.check_log("a test logs")


def run_demo(run: Run) -> None:
    """The README's main command, without the environment that it makes, and with fewer records.

    Enough of them for each kind, errors among them: the console has the figures alone.
    """
    (block,) = run.group.blocks
    command = block.text.strip().rpartition("&& ")[2]
    out = run.run(f"{command} --records 3000")
    assert "12,000 records of 4 processes delivered and acknowledged" in out
    assert len(list(run.directory.glob("logs/app*.log.gz"))) > 0


def run_tests(run: Run) -> None:
    """The README's test command: ``.ci/run`` runs the whole of it. Here, pytest reads its options."""
    (block,) = run.group.blocks
    words = shlex.split(block.text.strip().rpartition("&& ")[2])[1:]
    words += ["--collect-only", "tests/test_floors.py", "-n", "0"]
    done = subprocess.run([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stdout.decode()


def show(run: Run) -> None:
    """A picture, or what a command prints: nothing to run."""


class Way(NamedTuple):
    """How a group is run, and what has to be importable for that."""

    function: Callable[[Run], None]
    needs: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        return [name for name in self.needs if importlib.util.find_spec(name) is None]


_UVICORN = Server({"UVICORN_PORT": "{port}"}, lines=("Started server process", "GET /"))
_FLASK = Server({"FLASK_RUN_PORT": "{port}"}, lines=("GET /",))

WAYS = {
    "script": Way(run_script),
    "commands": Way(run_commands),
    "inject": Way(run_commands),
    "install": Way(run_install),
    "beside": Way(run_receiver_beside),
    "legacy": Way(run_receiver_beside),
    "listens": Way(run_receiver_beside),
    "volume": Way(run_receiver_beside),
    "tools": Way(run_tools),
    "nats": Way(run_nats, ("nats",)),
    "tls": Way(run_tls, ("trustme",)),
    "config": Way(run_config, ("tomllib",)),
    "setup": Way(run_config),
    "check": Way(run_config),
    "cron": Way(run_cron),
    "systemd": Way(run_unit, ("gunicorn",)),
    "systemd-alone": Way(run_unit),
    "dockerfile": Way(run_dockerfile, ("gunicorn",)),
    "gunicorn": Way(serving(_GUNICORN), ("gunicorn",)),
    "uvicorn": Way(serving(_UVICORN), ("uvicorn", "fastapi")),
    "uvicorn-run": Way(run_uvicorn_program, ("uvicorn", "fastapi")),
    "flask": Way(serving(_FLASK), ("flask",)),
    "django": Way(run_django, ("django",)),
    "celery": Way(run_celery, ("celery",)),
    "joblib": Way(run_script, ("joblib",)),
    "dask": Way(run_script, ("distributed",)),
    "pytest": Way(run_pytest, ("xdist",)),
    "demo": Way(run_demo),
    "tests": Way(run_tests, ("xdist",)),
    "picture": Way(show),
    "output": Way(show),
}
