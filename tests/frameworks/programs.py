"""The programs of the table: how each is started, what is done to it, what lines it logs.

A kind of line that a program does not have has the reason instead of a pattern. Where a program's
main process never loads the application, its lines are out of reach of two lines there: the table
has a row with them where the main process does read them (a configuration file that is Python, or a
script that starts the server), and one with them in the application, whose reasons say so.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Callable

from .lines import ERROR, Line, Lines
from .running import Program, Running

NOT_THERE = "its main process, which tells, never loads the application"
DAEMONS = "its workers are daemons of multiprocessing, which may have no children"
SILENT = "its main process does not tell"
CAUGHT = "pytest takes it for its own report"
PRINTED = "it prints this, and does not log it"


def nothing(run: Running) -> None:
    """It ends by itself."""


def serve(
    *death: Line, ready: Line | None = None, then: Callable[[Running], None] | None = None
) -> Callable[[Running], None]:
    """What is done to a web server: requests, a worker killed, what is ``then`` done, an end.

    ``ready``: what the console shows when all workers are there. ``death``: what it shows when a
    worker was killed, that of its successor included.
    """

    def steps(run: Running) -> None:
        if ready:
            run.until_told(ready)
        worker = run.until_it_answers()
        status, text = run.get("/say")
        assert status == 200, text
        with contextlib.suppress(OSError, http.client.HTTPException):
            run.get("/fail")
        run.until_told(ERROR)
        if death:
            os.kill(worker, signal.SIGKILL)
            for line in death:
                run.until_told(line)
            run.until_it_answers()
        (then or Running.terminate)(run)

    return steps


def reload(run: Running) -> None:
    """The application's file changes, and then it ends."""
    with open(run.directory / "said.py", "a") as file:
        file.write("\n# changed\n")
    run.until_told(Line("Reloading"))
    run.until_told(Line("Application startup complete", 2))
    run.terminate()


ACCESS = (Line('"GET /say'), Line('"GET /fail'))

GUNICORN: dict[str, Lines] = {
    "start": (Line("Starting gunicorn"), Line("Listening at"), Line("Booting worker", 3)),
    "access": ACCESS,
    "death": (Line(r"Worker \(pid:\d+\) was sent SIGKILL"),),
    "stop": (Line("Handling signal: term"), Line("Shutting down: Master")),
}
_gunicorn = serve(
    Line("was sent SIGKILL"), Line("Booting worker", 3), ready=Line("Booting worker", 2)
)
_GUNICORN = "{python} -m gunicorn -w 2 --access-logfile - -b 127.0.0.1:{port}"

_STARTING = Line("Application startup complete", 2)
_STARTED = Line("Application startup complete", 3)
UVICORN: dict[str, Lines] = {
    "start": (Line("Started parent process"), Line("Started server process", 3), _STARTED),
    "access": ACCESS,
    "death": (Line(r"Child process \[\d+\] died"),),
    "stop": (Line("Received SIGTERM"), Line("Stopping parent process"),
             Line("Finished server process", 2)),
}  # fmt: skip
UVICORN_RELOAD: dict[str, Lines] = {
    "start": (Line("Started reloader process"), Line("StatReload detected changes"),
              Line("Started server process", 2), Line("Application startup complete", 2)),
    "access": ACCESS,
    "death": SILENT,
    "stop": (Line("Stopping reloader process"), Line("Finished server process", 2)),
}  # fmt: skip
_uvicorn = serve(Line(r"Child process \[\d+\] died"), _STARTED, ready=_STARTING)

GRANIAN: dict[str, Lines] = {
    "start": (Line("Starting granian"), Line("Listening at"), Line("Spawning worker-", 3),
              Line("Started worker-", 3)),
    "access": ACCESS,
    "death": (Line("Unexpected exit from worker-"),),
    "stop": (Line("Shutting down granian"), Line("Granian shutdown completed")),
}  # fmt: skip
_granian = serve(
    Line("Unexpected exit from"), Line("Started worker-", 3), ready=Line("Started worker-", 2)
)

_SERVERS = (
    Program("gunicorn sync", "{python} -m gunicorn -b 127.0.0.1:{port} wsgi_app:application",
            "gunicorn_conf.py:gunicorn.conf.py wsgi_app.py", _gunicorn, GUNICORN, ("gunicorn",),
            in_suite=True),
    Program("gunicorn sync, lines in the application", f"{_GUNICORN} wsgi_app:application",
            "wsgi_app.py", _gunicorn,
            {**GUNICORN, "start": NOT_THERE, "death": NOT_THERE, "stop": NOT_THERE},
            ("gunicorn",), injected=GUNICORN),
    Program("gunicorn gthread --preload",
            f"{_GUNICORN} -k gthread --threads 4 --preload wsgi_app:application",
            "wsgi_app.py", _gunicorn, GUNICORN, ("gunicorn",), in_suite=True),
    Program("gunicorn with uvicorn's worker",
            "{python} -m gunicorn -b 127.0.0.1:{port} -k uvicorn.workers.UvicornWorker "
            "asgi_app:application",
            "gunicorn_conf.py:gunicorn.conf.py asgi_app.py", serve(Line("was sent SIGKILL"), _STARTED, ready=_STARTING),
            {**GUNICORN, "start": (*GUNICORN["start"], _STARTED)}, ("gunicorn", "uvicorn")),
    Program("uvicorn.run(workers=2)", "{python} uvicorn_app.py {port} workers",
            "uvicorn_app.py asgi_app.py", _uvicorn, UVICORN, ("uvicorn",)),
    Program("uvicorn --workers 2",
            "{python} -m uvicorn --workers 2 --port {port} asgi_app:application",
            "asgi_app.py", _uvicorn,
            {**UVICORN, "start": UVICORN["start"][1:], "death": NOT_THERE,
             "stop": (Line("Finished server process", 2),)},
            ("uvicorn",), injected=UVICORN),
    Program("uvicorn.run(reload=True)", "{python} uvicorn_app.py {port} reload",
            "uvicorn_app.py asgi_app.py", serve(then=reload), UVICORN_RELOAD, ("uvicorn",)),
    Program("uvicorn --reload", "{python} -m uvicorn --reload --port {port} asgi_app:application",
            "asgi_app.py", serve(then=reload),
            {**UVICORN_RELOAD, "start": UVICORN_RELOAD["start"][2:],
             "stop": (Line("Finished server process", 2),)},
            ("uvicorn",), injected=UVICORN_RELOAD),
    Program("hypercorn",
            "{python} -m hypercorn -c file:hypercorn_conf.py -b 127.0.0.1:{port} "
            "asgi_app:application",
            "hypercorn_conf.py asgi_app.py", serve(ready=Line("Running on http", 2)),
            {"start": (Line("Running on http", 2),), "access": ACCESS, "death": SILENT,
             "child": DAEMONS}, ("hypercorn",)),
    Program("granian", "{python} granian_app.py {port}",
            "granian_app.py asgi_app.py", _granian, GRANIAN, ("granian",)),
    Program("granian, lines in the application",
            "{python} -m granian --interface asgi --workers 2 --respawn-failed-workers "
            "--access-log --port {port} asgi_app:application",
            "asgi_app.py", _granian,
            {**GRANIAN, "start": NOT_THERE, "death": NOT_THERE, "stop": NOT_THERE},
            ("granian",), injected=GRANIAN),
    Program("django runserver", "{python} django_app.py runserver {port}",
            "django_app.py", serve(then=Running.interrupt), {"start": PRINTED, "access": ACCESS},
            ("django",)),
    Program("django under gunicorn", "{python} -m gunicorn -b 127.0.0.1:{port} django_app:application",
            "gunicorn_conf.py:gunicorn.conf.py django_app.py", _gunicorn, GUNICORN,
            ("django", "gunicorn")),
    Program("flask", "{python} -m flask --app flask_app:application run --port {port}",
            "flask_app.py", serve(then=Running.interrupt),
            {"start": (Line("Running on http"),), "access": ACCESS}, ("flask",)),
    Program("fastapi", "{python} -m uvicorn --port {port} fastapi_app:application",
            "fastapi_app.py", serve(),
            {"start": (Line("Started server process"), Line("Uvicorn running on")),
             "access": ACCESS,
             "stop": (Line("Shutting down"), Line("Finished server process"))},
            ("fastapi", "uvicorn")),
    Program("http.server with threads", "{python} server_app.py {port}", "server_app.py",
            serve(), {"access": PRINTED, "error": PRINTED}, in_suite=True),
)  # fmt: skip

_SEND = """
import sys
from celery import Celery
application = Celery(broker="filesystem://")
application.conf.broker_transport_options = {
    "data_folder_in": "broker", "data_folder_out": "broker", "control_folder": "broker"}
for name in sys.argv[1:]:
    application.send_task(f"celery_app.{name}")
"""


def work_celery(run: Running) -> None:
    """Three tasks, the last of which kills its worker; then an end in order."""
    run.until_told(Line(r"celery@.* ready"))
    for name, told in (
        ("say", Line("said by print")),
        ("fail", ERROR),
        ("die", Line("exited with 'signal 9")),
    ):
        subprocess.run([sys.executable, "-c", _SEND, name], cwd=run.directory, check=True)
        run.until_told(told)
    run.terminate()


_REDIS = """
import sys
from fakeredis import TcpFakeServer
TcpFakeServer(("127.0.0.1", int(sys.argv[1])), server_type="redis").serve_forever()
"""


@contextlib.contextmanager
def redis(port: int) -> Iterator[None]:
    """A server that speaks Redis's language, in a process of its own."""
    server = subprocess.Popen([sys.executable, "-c", _REDIS, str(port)])
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
        yield
    finally:
        server.kill()
        server.wait()


_POOLS = (
    Program("celery prefork",
            "{python} -m celery -A celery_app worker -P prefork -c 2 -l INFO "
            "--without-gossip --without-mingle",
            "celery_app.py", work_celery,
            {"start": (Line("Connected to filesystem"), Line(r"celery@.* ready")),
             "access": (Line(r"celery_app\.say\[.*received"), Line(r"celery_app\.say\[.*succeeded"),
                        Line(r"celery_app\.fail\[.*received"), Line("said by print")),
             "death": (Line(r"exited with 'signal 9"),),
             "stop": PRINTED, "child": DAEMONS}, ("celery",)),
    Program("rq", "{python} rq_app.py {port}", "rq_app.py", nothing,
            {"start": (Line("started with PID"), Line(r"Listening on default")),
             "access": (Line(r"default: rq_app\.say\(\)"), Line("Successfully completed")),
             "death": (Line("Work horse killed"),), "stop": (Line("done, quitting"),)},
            ("rq", "fakeredis"), beside=redis),
    Program("apscheduler", "{python} apscheduler_app.py", "apscheduler_app.py", nothing,
            {"start": (Line("Scheduler started"),),
             "access": (Line('Running job "say_all'), Line('Job "say_all.*executed successfully')),
             "death": SILENT, "stop": (Line("Scheduler has been shut down"),)}, ("apscheduler",)),
    *(
        Program(f"ProcessPoolExecutor by {method}", f"{{python}} executor_app.py {method}",
                "executor_app.py", nothing,
                {"error": "it returns it to the main program, which ends by another",
                 "death": (Line("^(.*[.])?BrokenProcessPool: A process"),),
                 "main": (Line("^(.*[.])?BrokenProcessPool: A process"),)}, in_suite=True)
        for method in ("fork", "spawn", "forkserver")
    ),
    *(
        Program(f"multiprocessing.Pool by {method}", f"{{python}} pool_app.py {method}",
                "pool_app.py", nothing,
                {"error": (Line(ERROR.pattern, 2),), "main": (Line(ERROR.pattern, 2),),
                 "death": SILENT}, in_suite=True)
        for method in ("fork", "spawn", "forkserver")
    ),
    Program("joblib", "{python} joblib_app.py", "joblib_app.py", nothing,
            {"error": (Line(ERROR.pattern, 2),), "main": (Line(ERROR.pattern, 2),),
             "death": SILENT}, ("joblib",)),
    Program("dask", "{python} dask_app.py", "dask_app.py", nothing,
            {"death": (Line("Restarting worker"),), "main": (ERROR,)}, ("distributed",)),
    Program("pytest-xdist",
            "{python} -m pytest -n 2 -p no:logging suite_of_xdist.py",
            "conftest_of_xdist.py:conftest.py suite_of_xdist.py", nothing,
            {"error": CAUGHT, "thread": CAUGHT, "warnings": CAUGHT, "death": PRINTED}, ("xdist",),
            ignored=r"/pid|^[.F]*\[gw|^[.F]+$|^(FAILED|=+ .* in )|gw\d"),
    Program("a plain script", "{python} plain_app.py", "plain_app.py", nothing,
            {"error": "it serves no requests",
             "main": (Line(r"^\s*RuntimeError: the main program ends"),)}, in_suite=True),
)  # fmt: skip

PROGRAMS = _SERVERS + _POOLS
