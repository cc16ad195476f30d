"""The documents name only what exists: the tests behind each guarantee, files, commands."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
DOCUMENTS = ("README.rst", "CONTRIBUTING.rst", "CHANGELOG.rst", "docs/architecture.rst")


def read(document):
    return (ROOT / document).read_text(encoding="utf-8")


def test_every_guarantee_names_a_test_that_exists():
    """Each row of the README's table of guarantees names a test file and tests that exist in it."""
    text = read("README.rst")
    table = text[text.index("   * - What happens") : text.index("Order is kept within")]
    rows = re.split(r"^   \* - ", table, flags=re.MULTILINE)[2:]
    assert len(rows) > 15
    for row in rows:
        shown_by = row.split("\n     - ")[2]
        path, named = None, 0
        for name in re.findall(r"``([\w/.]+)``", shown_by):
            if name.endswith(".py"):
                path = HERE / name
                continue
            assert re.search(rf"^def {name}\(", path.read_text(encoding="utf-8"), re.M), name
            named += 1
        assert named, row


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_and_module_in_a_document_exists(document):
    """Each path below the package, the tests or ``docs/``, and each ``-m`` module, is there."""
    text = read(document)
    paths = set(re.findall(r"\b(?:loguru_stdbridge|tests|docs)/[\w./]*\w/?", text))
    modules = re.findall(r"-m ((?:loguru_stdbridge|tests)[\w.]*\w)", text)
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []
    for module in modules:
        path = ROOT.joinpath(*module.split("."))
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_architecture_shows_every_folder():
    """The architecture names each folder of the package and the module of each step."""
    text = read("docs/architecture.rst")
    folders = [path.parent.name for path in (ROOT / "loguru_stdbridge").glob("*/__init__.py")]
    assert [name for name in folders if f"{name}/" not in text] == []
    assert len(re.findall(r"``loguru_stdbridge/[\w/]+\.py``", text)) > 30


def test_ci_finds_the_test_command_in_the_readme():
    """The ``sed`` of ``.ci/run`` finds one command in the README: the one that runs the tests."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pattern = re.search(r"sed -n '.*' README\.rst", script).group(0)
    found = subprocess.run(["sh", "-c", pattern], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    (command,) = found.stdout.decode().splitlines()
    assert command.startswith("python3 -m venv .venv-test ")
    assert "pytest -q" in command
