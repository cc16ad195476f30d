"""The documents name only what exists: the tests behind each guarantee, files, commands."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent
PAGES = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.rst"))
DOCUMENTS = ("README.rst", "CONTRIBUTING.rst", "CHANGELOG.rst", *PAGES)


def read(document):
    return (ROOT / document).read_text(encoding="utf-8")


def test_every_guarantee_names_a_test_that_exists():
    """Each row of the long table of guarantees names a test file and tests that exist in it."""
    text = read("docs/guarantees.rst")
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


def section_ids(document):
    """Return the names by which links reach a document's sections."""
    titles = re.findall(r"^(\S.*)\n([=~^\"'`*+#.:_-])\2{2,}$", read(document), re.MULTILINE)
    return {re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title, _ in titles}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_section(document):
    """A link in a document leads to a file that is there, and to a section that the file has."""
    for target in re.findall(r"`[^`<>]+\s<([^<>:]+)>`__?", read(document)):
        name, _, section = target.partition("#")
        path = ((ROOT / document).parent / name).resolve() if name else ROOT / document
        assert path.is_file(), target
        if section:
            assert section in section_ids(path.relative_to(ROOT)), target


def test_the_index_lists_every_page():
    """Each page of ``docs/`` is in the index, as a link and in the table of contents."""
    text = read("docs/index.rst")
    for page in PAGES:
        name = Path(page).stem
        if name != "index":
            assert re.search(rf"^   {name}$", text, re.MULTILINE), name
            assert re.search(rf"<(\.\./)?{name}\.rst>", text, re.IGNORECASE), name


def test_the_long_table_s_page_names_every_reason_to_give_a_record_up():
    """Each reason under which ``stats().dropped`` counts is explained beside the guarantees."""
    from loguru_stdbridge.spool import contents, journal, storage
    from loguru_stdbridge.worker import channel

    reasons = (
        storage.SPOOL_FULL, storage.TOO_LARGE, storage.NO_SPACE, contents.DAMAGED, journal.CLOSED,
        channel.OWN,
    )  # fmt: skip
    text = read("docs/guarantees.rst")
    assert [reason for reason in reasons if f"- ``{reason}``: " not in text] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_path_and_module_in_a_document_exists(document):
    """Each path below the package, the tests or ``docs/``, and each ``-m`` module, is there."""
    text = read(document)
    paths = set(re.findall(r"(?<![\w./])(?:loguru_stdbridge|tests|docs)/[\w./]*\w/?", text))
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
