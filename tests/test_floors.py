"""The architecture: imports go to a lower floor only, and what must be light is light."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import loguru

import loguru_stdbridge

PACKAGE = Path(loguru_stdbridge.__file__).parent

FLOORS = {
    0: ["_version", "addresses", "exceptions", "forks", "locks"],
    1: ["frames", "styles", "values", "restored", "growth", "rows", "segments", "pickles",
        "opcodes", "strangers", "tracebacks", "stock_records", "odd_records", "records"],
    2: ["protocol", "receiver.protocol", "receiver.complaints", "receiver.internals",
        "receiver.remote_exceptions", "spool",
        "worker.gaps", "worker.mapped", "worker.stats"],
    3: ["orphans", "worker.journal", "worker.transport", "receiver.files", "receiver.entries",
        "receiver.ledger", "receiver.replay", "receiver.archive", "receiver.connection",
        "receiver.listeners", "receiver.blocks", "receiver.sink", "receiver.adoption"],
    4: ["worker.sender", "worker.conversation", "worker.adoption", "worker.channel", "worker.rendering", "receiver.writer", "receiver.admission", "receiver.server"],
    5: ["worker.handler", "receiver.service", "receiver.cli"],
    6: ["worker.install", "worker", "receiver", "receiver.__main__"],
    7: ["", "demo"],
}  # fmt: skip
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names}

WITHIN = {  # imports on one floor, each for a reason
    ("restored", "values"), ("growth", "values"), ("rows", "restored"), ("records", "rows"),
    ("records", "values"), ("records", "odd_records"), ("records", "stock_records"),
    ("records", "tracebacks"), ("odd_records", "rows"), ("odd_records", "stock_records"),
    ("odd_records", "tracebacks"), ("odd_records", "values"), ("stock_records", "restored"),
    ("stock_records", "rows"), ("stock_records", "tracebacks"), ("stock_records", "values"),
    ("tracebacks", "values"), ("strangers", "values"), ("strangers", "restored"),
    ("strangers", "opcodes"), ("receiver.protocol", "protocol"),
    ("receiver.sink", "receiver.archive"), ("receiver.sink", "receiver.ledger"),
    ("receiver.sink", "receiver.files"), ("receiver.sink", "receiver.blocks"),
    ("receiver.archive", "receiver.ledger"),
    ("receiver.archive", "receiver.files"), ("receiver.ledger", "receiver.entries"),
    ("receiver.ledger", "receiver.files"), ("receiver.entries", "receiver.files"),
    ("worker.channel", "worker.sender"), ("worker.sender", "worker.conversation"),
    ("worker.channel", "worker.adoption"), ("worker.adoption", "worker.sender"),
    ("receiver.server", "receiver.writer"), ("receiver.server", "receiver.admission"), ("receiver.cli", "receiver.service"), ("receiver.adoption", "orphans"),
    ("addresses", "exceptions"), ("locks", "forks"), ("receiver.__main__", "receiver"),
}  # fmt: skip


def modules():
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(name, path):
    """Names of the package's modules that a module imports when it runs."""
    package = name.split(".")[:-1] if path.stem != "__init__" else name.split(".") if name else []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            target = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            if target in FLOOR and (PACKAGE / (target.replace(".", "/") + ".py")).exists():
                yield target
            else:
                for alias in node.names:
                    full = f"{target}.{alias.name}".strip(".")
                    yield full if full in FLOOR else target


def test_every_module_has_its_floor():
    """A new module is put on a floor on purpose."""
    assert {name for name, _ in modules()} == set(FLOOR)


def test_imports_go_down():
    """To a lower floor, or to a named neighbour."""
    wrong = [
        (name, target)
        for name, path in modules()
        for target in imports(name, path)
        if target and FLOOR[target] >= FLOOR[name] and (name, target) not in WITHIN
    ]
    assert wrong == []


def test_worker_and_receiver_never_import_each_other():
    """What both need is on a floor below both."""
    for name, path in modules():
        for target in imports(name, path):
            sides = {name.split(".")[0], target.split(".")[0]}
            assert sides != {"worker", "receiver"}, (name, target)


def test_the_lower_floors_know_no_sockets_threads_or_clocks():
    """Floors 1 and 2 of the wire are bytes in, events out."""
    for name in FLOORS[1] + ["protocol", "receiver.protocol"]:
        tree = ast.parse((PACKAGE / (name.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
        imported = {
            alias.name.split(".")[0]
            for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }  # fmt: skip
        assert not imported & {"socket", "threading", "selectors", "os", "io", "mmap"}, name


def test_only_pickles_imports_pickle():
    """It writes; what strangers send is read without an unpickler."""
    users = {
        name for name, path in modules()
        if "import pickle" in path.read_text(encoding="utf-8")
    }  # fmt: skip
    assert users == {"pickles"}


def test_a_worker_loads_no_more_than_it_needs(tmp_path):
    """Neither the receiver nor what only it needs, nor what takes longest to load."""
    code = (
        "import sys, loguru; before = set(sys.modules); "
        "from loguru_stdbridge import install_bridge; import loguru_stdbridge as p; "
        "assert 'install_bridge' in dir(p); install_bridge('tcp://127.0.0.1:1'); "
        "print([m for m in set(sys.modules) - before if m.startswith('loguru_stdbridge.receiver') "
        "or m in ('argparse', 'dataclasses', 'pathlib', 'random', 'socketserver', 'uuid')])"
    )
    places = [str(PACKAGE.parent), str(Path(loguru.__file__).parents[1])]
    environment = {
        **os.environ,
        "LOGURU_STDBRIDGE_SPOOL_DIR": str(tmp_path / "spool"),
        "PYTHONPATH": os.pathsep.join(places),
    }
    done = subprocess.run(  # without site: the hook of an editable install loads much
        [sys.executable, "-S", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
