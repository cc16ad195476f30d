"""The architecture holds: imports only go down, in no circle, and a worker stays light."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import loguru

import loguru_stdbridge

PACKAGE = Path(loguru_stdbridge.__file__).parent

FLOORS = (
    ("__main__",),
    ("demo",),
    ("",),
    ("worker", "receiver", "tools"),
    ("status", "shared", "engine"),
    ("wire",),
    ("sink", "pickles", "spool"),
    ("record",),
    ("system", "addresses", "sink_words"),
    ("exceptions", "_version"),
)
"""The folders and top modules, from the top down. An import goes to a lower floor, or stays in its
own folder. ``""`` is the package's ``__init__``, which nothing below may import."""

SYSTEM_MODULES = {"socket", "threading", "selectors", "os", "io", "mmap"}
"""What the folders without sockets, threads, clocks and files never import."""


def module_paths():
    """Yield each module's name inside the package and its file."""
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(module_paths())


def floor_of(name):
    """Return how far down a module is; 0 is the top."""
    folder = name.split(".")[0]
    return next(index for index, names in enumerate(FLOORS) if folder in names)


def imports(name):
    """Yield the modules of the package that a module imports, for types too."""
    path = MODULES[name]
    folder = name.split(".") if path.stem == "__init__" else name.split(".")[:-1]
    folder = [part for part in folder if part]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [PACKAGE.name, *folder][: len(folder) + 2 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            targets = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            if target.split(".")[0] == PACKAGE.name:
                inner = target.split(".")[1:]
                while ".".join(inner) not in MODULES:  # a name in a module
                    inner.pop()
                yield ".".join(inner)


def test_every_module_has_its_floor():
    """Every folder and every top module of the package stands on a floor of ``FLOORS``."""
    folders = {name.split(".")[0] for name in MODULES}
    assert folders == {name for names in FLOORS for name in names}


def test_imports_go_down():
    """Every import goes to a lower floor or stays in its own folder."""
    wrong = [
        (name, target)
        for name in MODULES
        for target in imports(name)
        if floor_of(target) <= floor_of(name) and target.split(".")[0] != name.split(".")[0]
    ]
    assert wrong == []


def test_no_modules_import_each_other():
    """The graph of the imports, those for types included, has no circle."""
    graph = {name: set(imports(name)) - {name} for name in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {' -> '.join(error.args[1])}") from None


def test_record_pickles_and_wire_know_no_sockets_threads_or_files():
    """The folders that turn bytes into events import nothing of the operating system."""
    for name, path in MODULES.items():
        if name.split(".")[0] not in ("record", "pickles", "wire"):
            continue
        imported = {
            alias.name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert not imported & SYSTEM_MODULES, name


def test_only_one_module_imports_pickle():
    """Only ``pickles.write`` imports pickle: no pickle of a stranger is ever loaded."""
    users = {
        name
        for name, path in MODULES.items()
        if "import pickle" in path.read_text(encoding="utf-8")
    }
    assert users == {"pickles.write"}


def test_a_worker_loads_no_more_than_it_needs(tmp_path):
    """A worker loads neither the receiver nor a module that is slow to load."""
    code = (
        "import sys, loguru; before = set(sys.modules); "
        "from loguru_stdbridge import install_bridge; import loguru_stdbridge as p; "
        "assert 'install_bridge' in dir(p); install_bridge('tcp://127.0.0.1:1'); "
        "print([m for m in set(sys.modules) - before if m.split('.')[1:2] in (['receiver'], ['sink']) and m.startswith('loguru_stdbridge') "
        "or m in ('argparse', 'dataclasses', 'pathlib', 'random', 'socketserver', 'uuid')])"
    )
    places = [str(PACKAGE.parent), str(Path(loguru.__file__).parents[1])]
    environment = {
        **os.environ,
        "LOGURU_STDBRIDGE_SPOOL_DIR": str(tmp_path / "spool"),
        "PYTHONPATH": os.pathsep.join(places),
    }
    done = subprocess.run(  # without site, whose hook for editable installs loads many modules
        [sys.executable, "-S", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


PROBES = re.compile(
    r"\bos\.name\b|\bsys\.platform\b|\bplatform\.system\b"
    r"|\b(?:has|get)attr\((?:os|signal|socket|select|errno|time), *[\"']"
    r"|^\s*(?:import|from) (?:fcntl|pwd|grp|resource|msvcrt|winreg|ctypes|termios)\b",
    re.MULTILINE,
)
"""How a program asks on which system it runs."""

MAY_ASK = {
    "receiver.group_witness": "the witness is a program of its own, and loads nothing of ours",
    "worker.inherited": "it loads nothing of ours before a record comes",
    "worker.transport": "MSG_EOR is a flag that some systems have, and others do without",
}
"""Modules outside ``system`` that ask, with the reason."""


def test_no_folder_but_one_asks_on_which_system_it_runs():
    """What differs between operating systems is in ``system/``, behind one interface."""
    asking = {
        name
        for name, path in MODULES.items()
        if name.split(".")[0] != "system" and PROBES.search(path.read_text(encoding="utf-8"))
    }
    assert asking == set(MAY_ASK)
