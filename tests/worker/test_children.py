"""Processes that a program with the bridge starts: they have it, without a line of theirs."""

from __future__ import annotations

import json
import multiprocessing.spawn
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import loguru
import pytest

import loguru_stdbridge
from loguru_stdbridge.system.startup import INHERITED
from loguru_stdbridge.worker import children
from tests.support.processes import ReceiverProcess, log_lines

METHODS = ("fork", "spawn", "forkserver")
PACKAGE = str(Path(loguru_stdbridge.__file__).parents[1])

HEAD = """
import asyncio, concurrent.futures, json, logging, multiprocessing, os, subprocess, sys

def say(name="child"):
    from loguru import logger
    logger.info("{} by loguru at INFO", name)
    logging.getLogger("shop").info("%s by logging at INFO", name)
    logging.getLogger("shop").warning("%s by logging at WARNING", name)

def install(**options):
    from loguru_stdbridge import install_bridge
    return install_bridge(sys.argv[1], **options)

SAY = "import program; program.say()"
"""


def said(name="child"):
    """Return what ``say(name)`` puts into the file."""
    return Counter(
        f"{name} by {by}\n" for by in ("loguru at INFO", "logging at INFO", "logging at WARNING")
    )


class Program:
    """A script in a file of its own, as ``spawn`` needs it."""

    def __init__(self, directory):
        self.directory = directory
        self.sink = directory / "app.log"

    def run(self, main, *arguments, **options):
        """Run ``main`` beside a receiver, after ``HEAD`` and ``functions``; returns its stdout.

        It has to tell nothing of ours on stderr.
        """
        out, err = self.run_anyhow(main, *arguments, **options)
        assert "stdbridge" not in err
        return out

    def run_anyhow(self, main, *arguments, functions="", flags=(), **environment):
        """The same; returns stdout and stderr, whatever is there."""
        parts = [HEAD, textwrap.dedent(functions), 'if __name__ == "__main__":\n']
        script = self.directory / "program.py"
        script.write_text("".join([*parts, textwrap.indent(textwrap.dedent(main), "    ")]))
        with ReceiverProcess(self.sink, "--format", "{message}") as receiver:
            done = subprocess.run(
                [sys.executable, *flags, str(script), receiver.address, *arguments],
                env={**os.environ, **environment},
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            receiver.stop()
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    def lines(self):
        return Counter(log_lines(self.sink))


@pytest.fixture
def program(tmp_path):
    return Program(tmp_path)


PROCESS = """
    child = multiprocessing.get_context(sys.argv[2]).Process(target=say)
    child.start()
    child.join()
"""
EXECUTOR = """
    context = multiprocessing.get_context(sys.argv[2])
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(say).result()
"""
POOL = """
    with multiprocessing.get_context(sys.argv[2]).Pool(1) as pool:
        pool.apply(say)
"""


@pytest.mark.parametrize("code", [PROCESS, EXECUTOR, POOL], ids=["process", "executor", "pool"])
@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_multiprocessing_has_the_bridge(program, method, code):
    """Each record of a child that multiprocessing starts by any method is in the file once."""
    program.run(f"bridge = install()\n{textwrap.dedent(code)}", method)
    assert program.lines() == said()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_childs_children_have_the_bridge(program, method):
    """A child that logs nothing hands the bridge on to its own children, of another kind, too."""
    functions = """
    def between(method):
        child = multiprocessing.get_context(method).Process(target=say, args=("grandchild",))
        child.start()
        child.join()
        subprocess.run([sys.executable, "-c", SAY])
    """
    main = """
    bridge = install()
    child = multiprocessing.get_context(sys.argv[2]).Process(target=between, args=sys.argv[2:3])
    child.start()
    child.join()
    """
    program.run(main, method, functions=functions)
    assert program.lines() == said("grandchild") + said()


SUBPROCESSES = {
    "list": "subprocess.run([sys.executable, '-c', SAY])",
    "script": "subprocess.run([sys.executable, 'said.py'])",
    "name": "subprocess.run(['python', '-c', SAY], env={**os.environ, 'PATH': os.path.dirname(sys.executable)})",
    "environment": "subprocess.run([sys.executable, '-c', SAY], env={})",
    "iterator": "subprocess.run(map(str, [sys.executable, '-c', SAY]))",
    "bytes": "subprocess.run([sys.executable, '-c', SAY], env={b'PYTHONPATH': os.fsencode(os.getcwd())})",
    "executable": "subprocess.run([os.path.join(os.path.dirname(sys.executable), 'odd'), '-c', SAY], executable=sys.executable)",
    "asyncio": """
async def run():
    child = await asyncio.create_subprocess_exec(sys.executable, '-c', SAY)
    await child.wait()
asyncio.run(run())
""",
}


@pytest.mark.parametrize("code", SUBPROCESSES.values(), ids=SUBPROCESSES)
def test_a_child_of_subprocess_with_this_python_has_the_bridge(program, code):
    """However the program names its own Python, the child's records are in the file once."""
    (program.directory / "said.py").write_text("import program; program.say()")
    program.run(f"bridge = install()\n{code}", PYTHONDONTWRITEBYTECODE="1")
    assert program.lines() == said()


def test_a_child_of_subprocess_sees_nothing_of_it(program):
    """Its environment, its path and its own ``sitecustomize`` are those that the parent named."""
    (program.directory / "sitecustomize.py").write_text("import sys; sys.is_mine = True")
    show = (
        "import json, os, sys; print(json.dumps([sys.is_mine, sys.modules['sitecustomize'].__file__,"
        "os.environ.get('PYTHONPATH'), sys.path, sorted(os.environ)]))"
    )
    main = f"""
    command = [sys.executable, "-c", {show!r}]
    plain = subprocess.run(command, capture_output=True, check=True).stdout
    bridge = install()
    print(plain == subprocess.run(command, capture_output=True, check=True).stdout)
    print(plain.decode())
    """
    out = program.run(main, PYTHONPATH=str(program.directory)).splitlines()
    assert out[0] == "True"
    is_mine, place, path, _, _ = json.loads(out[1])
    assert (is_mine, place) == (True, str(program.directory / "sitecustomize.py"))
    assert path == str(program.directory)


def test_the_receiver_and_other_programs_are_started_as_ever(program):
    """Neither a receiver nor a program that is no Python gets anything into its environment."""
    main = """
    bridge = install()
    for command in (["env"], ["sh", "-c", "env"], [sys.executable, "-m", "loguru_stdbridge.receiver"]):
        show = subprocess.Popen(command, executable="/usr/bin/env", stdout=subprocess.PIPE, text=True)
        print(show.communicate()[0])
    subprocess.run("env", shell=True)
    """
    assert "LOGURU_STDBRIDGE_INHERITED" not in program.run(main)


def test_a_child_that_never_logs_loads_neither_library(program):
    """It loads a few small modules of ours, and of the standard library what they begin with."""
    quiet = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    main = f"""
    subprocess.run([sys.executable, "-c", {quiet!r}])
    bridge = install()
    subprocess.run([sys.executable, "-c", {quiet!r}])
    """
    without, loaded = map(json.loads, program.run(main).splitlines())
    more = {name for name in set(loaded) - set(without) if "__editable__" not in name}
    ours = {name for name in more if name.startswith("loguru_stdbridge")}
    assert more - ours <= {"sitecustomize", "__future__"}
    assert {name.rpartition(".")[2] for name in ours} == {
        "loguru_stdbridge", "worker", "importing", "inherited"
    }  # fmt: skip


def test_after_uninstall_children_have_no_bridge(program):
    """The functions that were changed are the standard library's own again."""
    main = """
    import multiprocessing.spawn
    before = multiprocessing.spawn.get_preparation_data, subprocess.Popen.__init__
    bridge = install()
    print(multiprocessing.spawn.get_preparation_data is before[0])
    bridge.close()
    print((multiprocessing.spawn.get_preparation_data, subprocess.Popen.__init__) == before)
    print([finder for finder in sys.meta_path if "stdbridge" in type(finder).__module__])
    subprocess.run([sys.executable, "-c", SAY])
    child = multiprocessing.get_context("spawn").Process(target=say)
    child.start()
    child.join()
    """
    assert program.run(main) == "False\nTrue\n[]\n"
    assert not program.lines()


def test_children_false_hands_nothing_down(program):
    """``install_bridge(children=False)`` leaves processes that begin anew to themselves."""
    main = """
    install().close()
    bridge = install(children=False)
    subprocess.run([sys.executable, "-c", SAY])
    child = multiprocessing.get_context("spawn").Process(target=say)
    child.start()
    child.join()
    """
    program.run(main)
    assert not program.lines()


def test_options_are_handed_down(program):
    """The level and the libraries that the parent named are the child's, too."""
    main = """
    bridge = install(level="WARNING", loguru=False)
    subprocess.run([sys.executable, "-c", SAY])
    """
    program.run(main)
    assert program.lines() == Counter(["child by logging at WARNING\n"])


def test_a_child_that_installs_the_bridge_itself_gets_what_it_asks_for(program):
    """Its own options stand in place of its parent's."""
    functions = """
    def own(address):
        from loguru_stdbridge import install_bridge
        bridge = install_bridge(address, stdlib=False)
        say()
    """
    main = """
    bridge = install()
    child = multiprocessing.get_context("spawn").Process(target=own, args=sys.argv[1:2])
    child.start()
    child.join()
    """
    program.run(main, functions=functions)
    assert program.lines() == Counter(["child by loguru at INFO\n"])


def test_a_module_that_a_forkserver_preloads_may_install_the_bridge(program):
    """The forkserver has the bridge then, and its children do not get it twice."""
    (program.directory / "preloaded.py").write_text(
        "import os; from loguru_stdbridge import install_bridge; install_bridge(os.environ['PLACE'])"
    )
    main = """
    os.environ["PLACE"] = sys.argv[1]
    multiprocessing.set_forkserver_preload(["preloaded"])
    bridge = install()
    with multiprocessing.get_context("forkserver").Pool(1) as pool:
        pool.apply(say)
    """
    program.run(main)
    assert program.lines() == said()


RECORDS = {
    "loguru": "from loguru import logger; logger.opt(raw=True).info('the first\\n')",
    "handle": "import logging; logging.getLogger().handle(logging.makeLogRecord({'msg': 'the first', 'levelno': 20, 'levelname': 'INFO'}))",
    "two threads": """
import threading
from loguru import logger
threads = [threading.Thread(target=logger.info, args=("the first",)) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""",
    "removed sinks": "from loguru import logger; logger.remove(); logger.info('the first')",
    "intercepted": """
import logging
from loguru import logger
class Handler(logging.Handler):
    def emit(self, record):
        logger.opt(depth=6).log(record.levelname, record.getMessage())
logging.basicConfig(handlers=[Handler()], level=0)
logging.getLogger("x").info("the first")
""",
    "configured": """
import logging.config
logging.config.dictConfig({"version": 1, "root": {"level": "INFO"}})
logging.getLogger("x").info("the first")
""",
}


@pytest.mark.parametrize("code", RECORDS.values(), ids=RECORDS)
def test_the_first_record_of_a_child_is_in_the_file_once(program, code):
    """Whatever its way, the record for which the bridge is installed is sent like the others."""
    program.run(f"bridge = install()\nsubprocess.run([sys.executable, '-c', {code!r}])")
    assert program.lines() == Counter(["the first\n"] * (2 if "threads" in code else 1))


def test_the_first_record_of_a_child_tells_its_place(program, tmp_path):
    """The light hooks are no callers: the file, function and line are the application's."""
    (tmp_path / "placed.py").write_text(
        "import logging\nfrom loguru import logger\n\ndef log(first):\n    if first == 'loguru':\n"
        "        logger.info('by loguru')\n    logging.getLogger('x').warning('by logging')\n"
        "    logging.getLogger('x').handle(logging.getLogger('x').makeRecord('x', 30, 'placed.py', 9, 'made', (), None, 'there'))\n"
    )
    main = """
    bridge = install()
    for first in ("loguru", "logging"):
        subprocess.run([sys.executable, "-c", f"import placed; placed.log({first!r})"])
    """
    with ReceiverProcess(
        program.sink, "--format", "{file.name} {function} {line} {message}"
    ) as receiver:
        program.sink = tmp_path / "other.log"
        program.run(
            main.replace(
                "install()", f"__import__('loguru_stdbridge').install_bridge({receiver.address!r})"
            )
        )
        receiver.stop()
    assert Counter(log_lines(tmp_path / "app.log")) == Counter(
        ["placed.py log 6 by loguru\n"]
        + ["placed.py log 7 by logging\n", "placed.py there 9 made\n"] * 2
    )


BARE = """
    sys.path += json.loads(sys.argv[3])  # without site, no child finds anything by itself
    bridge = install()
    if sys.argv[4:]:
        from loguru_stdbridge.worker import children
        children._PLACE = sys.argv[4]
    child = multiprocessing.get_context(sys.argv[2]).Process(target=work)
    child.start()
    child.join()
"""
WORK = """
def work():
    say()
    print("worked", flush=True)
"""
PLACES = json.dumps([PACKAGE, str(Path(loguru.__file__).parents[1])])


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_finds_the_package_where_its_parent_has_it(program, method):
    """A package that only the parent's own code has put on its path is found for the child."""
    program.run(BARE, method, PLACES, functions=WORK, flags=["-S"])
    assert program.lines() == said()


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_child_that_cannot_find_the_package_works_all_the_same(program, method):
    """It tells so on stderr once, and has no bridge."""
    out, err = program.run_anyhow(BARE, method, PLACES, "/nowhere", functions=WORK, flags=["-S"])
    assert out == "worked\n"
    assert err.count("loguru_stdbridge: this child process has no bridge: ModuleNotFoundError") == 1
    assert not program.lines()


def test_a_child_that_cannot_install_the_bridge_works_all_the_same(program):
    """What is wrong is told on stderr once, and records go where they went without the bridge."""
    main = """
    from loguru_stdbridge.worker import children
    bridge = install()
    children.hand_down(None, ("logging", "loguru"), {"address": "ftp://nowhere"})
    child = multiprocessing.get_context("spawn").Process(target=say)
    child.start()
    child.join()
    print(child.exitcode)
    """
    out, err = program.run_anyhow(main)
    assert out == "0\n"
    assert err.count("the parent's bridge could not be installed: AddressError") == 1
    assert err.count("by logging at WARNING") == err.count("by loguru at INFO") == 1
    assert not program.lines()


def test_functions_that_others_have_covered_meanwhile_stay_theirs(monkeypatch):
    """``withdraw`` takes away what is on top, and lets all through where something else is."""
    original = multiprocessing.spawn.get_preparation_data
    children.hand_down(None, ("logging",), {})
    ours = multiprocessing.spawn.get_preparation_data
    monkeypatch.setattr(
        multiprocessing.spawn, "get_preparation_data", lambda name: {**ours(name), "mine": 1}
    )
    assert children.PREPARATION_KEY in multiprocessing.spawn.get_preparation_data("x")
    children.withdraw()
    data = multiprocessing.spawn.get_preparation_data("x")
    assert children.PREPARATION_KEY not in data and data["mine"] == 1
    monkeypatch.setattr(multiprocessing.spawn, "get_preparation_data", original)


@pytest.mark.parametrize(
    ("words", "is_extended"),
    [
        (["-c", "pass"], True),
        (["-m", "loguru_stdbridge.demo"], True),
        (["-m", "loguru_stdbridge.receiver", "app.log"], False),
        (["-m", "loguru_stdbridge", "receive", "app.log"], False),
        (["/usr/bin/loguru-stdbridge", "receive", "app.log"], False),
    ],
    ids=str,
)
def test_a_receiver_is_not_given_the_bridge_however_it_is_called(words, is_extended):
    """A command of this Python gets the variable, unless it is the receiver's by any of its names."""
    environment = children._extended([sys.executable, *words], {"env": {}}, (20, ("loguru",), "{}"))
    assert (environment is not None) == is_extended
    assert not is_extended or INHERITED in environment
