"""``--inject``: every Python process below the command has the bridge, without a line of its own."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import venv
from collections import Counter
from pathlib import Path

import pytest

import loguru_stdbridge.worker.startup as startup_folder
from loguru_stdbridge.system.startup import INJECTED, STARTUP, inject

SAY = (
    "import logging, sys; from loguru import logger; "
    "logger.info('loguru of ' + sys.argv[1]); logging.info('logging of ' + sys.argv[1])"
)
PROGRAM = """
import multiprocessing, os, subprocess, sys, logging
from loguru import logger

SAY = {say!r}

def say(who):
    logger.info("loguru of " + who)
    logging.info("logging of " + who)

if __name__ == "__main__":
    subprocess.run([sys.executable, "-c", SAY, "a silent parent's child"])
    say("the program")
    subprocess.run([sys.executable, "-c", SAY, "a child"])
    subprocess.run(["sh", "-c", '"$0" -c "$1" "$2"; true', sys.executable, SAY, "a shell's child"])
    for method in multiprocessing.get_all_start_methods():
        child = multiprocessing.get_context(method).Process(target=say, args=(method,))
        child.start()
        child.join()
    os.execv(sys.executable, [sys.executable, "-c", SAY, "what it becomes"])
"""


def receive(directory: Path, *command: str, **environment: str):
    return subprocess.run(
        [sys.executable, "-m", "loguru_stdbridge.receiver", "app.log", "--format", "{message}",
         "--inject", "--", *command],
        cwd=directory, env={**os.environ, **environment}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_each_python_below_a_command_has_the_bridge(tmp_path):
    """A program's processes, however they are started, have each record in the file once."""
    (tmp_path / "program.py").write_text(PROGRAM.format(say=SAY))
    done = receive(tmp_path, sys.executable, "program.py")
    assert done.returncode == 0, done.stderr
    who = ["a silent parent's child", "the program", "a child", "a shell's child", "fork", "spawn",
           "forkserver", "what it becomes"]  # fmt: skip
    wanted = Counter(f"{library} of {each}" for each in who for library in ("loguru", "logging"))
    assert Counter((tmp_path / "app.log").read_text().splitlines()) == wanted


def test_an_uncaught_exception_of_an_injected_program_is_in_the_file(tmp_path):
    """A program that imports neither library has its uncaught exception in the file, and on stderr."""
    done = receive(tmp_path, sys.executable, "-c", "raise RuntimeError('it ends')")
    assert done.returncode == 1
    assert done.stderr.count("RuntimeError: it ends") == 1
    assert (tmp_path / "app.log").read_text().count("RuntimeError: it ends") == 1


def test_a_command_that_logs_nothing_is_told(tmp_path):
    """The receiver says which Python it reaches, where no process of the command has logged."""
    done = receive(tmp_path, "true")
    assert (
        f"no process of true has logged anything: --inject reaches each Python of {sys.prefix}"
        in (done.stderr)
    )


def run(*arguments, python=sys.executable, prefix=None, **environment):
    """Run Python in an injected environment; return what it prints, as JSON."""
    injected = inject({**os.environ, **environment})
    if prefix is not None:
        injected[INJECTED] = prefix
    done = subprocess.run(
        [python, *arguments], env=injected, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


SHOW = "import json, sys; print(json.dumps([sorted(sys.modules), sys.path]))"


def loaded(*arguments, **options):
    modules, path = run(*arguments, "-c", SHOW, **options)
    assert STARTUP not in path
    return {name for name in modules if name.startswith("loguru_stdbridge")}


def test_a_process_that_never_logs_loads_a_few_small_modules():
    """A process that imports neither library loads four modules of ours, and nothing else."""
    plain = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, check=True)
    before = set(json.loads(plain.stdout)[0])
    after = set(run("-c", SHOW)[0])
    more = {name for name in after - before if "__editable__" not in name}
    ours = {name for name in more if name.startswith("loguru_stdbridge")}
    assert {name.rpartition(".")[2] for name in ours} == {
        "loguru_stdbridge", "worker", "importing", "inherited"
    }  # fmt: skip
    assert more - ours <= {"sitecustomize"}


@pytest.fixture(scope="module")
def other_python(tmp_path_factory):
    """Make a Python of another prefix that has neither this package nor loguru."""
    place = tmp_path_factory.mktemp("other")
    venv.create(place, with_pip=False, symlinks=True)
    return place


def version():
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def test_another_prefix_runs_untouched(other_python):
    """A Python of another virtual environment loads nothing of ours and has its own path."""
    assert loaded(python=str(other_python / "bin" / "python")) == set()


def test_a_python_without_loguru_runs_untouched(other_python):
    """A Python that finds no loguru loads nothing of ours, and says nothing."""
    python = str(other_python / "bin" / "python")
    assert loaded(python=python, prefix=f"{version()} {other_python}") == set()


def test_another_version_runs_untouched():
    """A Python of another version loads nothing of ours."""
    assert loaded(prefix=f"2.7 {sys.prefix}") == set()


def test_a_prefix_by_another_name_is_the_same(tmp_path):
    """A prefix that is reached through a link is the same."""
    (tmp_path / "link").symlink_to(sys.prefix)
    assert loaded(prefix=f"{version()} {tmp_path}/link") != set()


@pytest.mark.parametrize("flag", ["-I", "-E", "-S"])
def test_what_cannot_be_reached_runs_untouched(flag):
    """A Python that ignores its environment, or runs no ``sitecustomize``, has no bridge."""
    modules, _ = run(flag, "-c", SHOW)
    assert not [name for name in modules if name.startswith("loguru_stdbridge.")]


def test_the_sitecustomize_of_the_user_runs(tmp_path):
    """The user's own ``sitecustomize`` runs, is the one in ``sys.modules``, and sees its path."""
    (tmp_path / "sitecustomize.py").write_text("import sys; mine, seen = 1, list(sys.path)\n")
    code = "import json, sitecustomize as s; print(json.dumps([s.mine, s.__file__, s.seen]))"
    mine, file, seen = run("-c", code, PYTHONPATH=str(tmp_path))
    assert (mine, file) == (1, str(tmp_path / "sitecustomize.py"))
    assert str(tmp_path) in seen and STARTUP not in seen


def test_what_is_started_by_an_injected_process_has_the_same_environment():
    """An injected process hands its environment on as it is."""
    show = "import json, os; print(json.dumps(dict(os.environ)))"
    environment = run("-c", show)
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == STARTUP
    assert environment[INJECTED] == f"{version()} {sys.prefix}"


@pytest.mark.parametrize("feature_version", [(3, 4), (3, 7)])
def test_an_old_python_can_read_the_sitecustomize(feature_version):
    """The file is read by whatever Python is started: it has no syntax of later versions."""
    path = Path(startup_folder.__file__).with_name("sitecustomize.py")
    text = path.read_text(encoding="ascii")
    tree = ast.parse(text, feature_version=feature_version)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]
    assert not [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns
    ]
