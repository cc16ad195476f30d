"""The rules of the house that a program can check: unique names, docstrings, short modules."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import loguru_stdbridge
from loguru_stdbridge import install_bridge, start_receiver
from loguru_stdbridge.sink_words import SINK_WORDS

PACKAGE = Path(loguru_stdbridge.__file__).parent
TESTS = Path(__file__).parent
MODULES = {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}
TEST_FILES = {str(path.relative_to(TESTS)): path for path in sorted(TESTS.rglob("*.py"))}

SAME_MEANING = {
    "_ThreadLocal": "the threading.local that holds a module's state of each thread",
    "TYPE_CHECKING": "typing's, for modules that a child process loads before it needs typing",
    "__all__": "every package's own",
    "main": "the entry point of each command line",
}
"""Names that more than one module defines, with the reason why they cannot be confused."""

MAX_LINES = 460

LONGER = {
    "sink/rotating.py": "writing, rotating, cutting and following other options share one file's state",
}
"""Modules of the package that may be longer, with the reason."""


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def names_defined_by(module):
    """Yield a module's constants, classes and public functions, without what it imports."""
    for node in module.body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if not node.name.startswith("_"):
                yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def test_a_name_is_defined_in_one_module():
    """No two modules of the package define the same name, unless ``SAME_MEANING`` says why."""
    homes = defaultdict(set)
    for name, path in MODULES.items():
        # A module of system/windows has the interface of the one of its name above it.
        home = name.replace("system/windows/", "system/")
        for defined in names_defined_by(parse(path)):
            homes[defined].add(home)
    shared = {name: sorted(found) for name, found in homes.items() if len(found) > 1}
    assert {name: found for name, found in shared.items() if name not in SAME_MEANING} == {}
    assert set(SAME_MEANING) <= set(shared), "a reason that is no longer needed"


def test_no_module_is_too_long():
    """No module of the package has over ``MAX_LINES`` lines, unless ``LONGER`` says why."""
    lengths = {
        name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()
    }
    long = {name: length for name, length in lengths.items() if length > MAX_LINES}
    assert {name: length for name, length in long.items() if name not in LONGER} == {}
    assert set(LONGER) <= set(long), "a reason that is no longer needed"


def test_every_module_says_what_it_is_for():
    """Every module of the package, every test file and every tool of the tests has a docstring."""
    recipes = "support/recipes"  # shown to users as they are
    without = [
        name
        for name, path in [*MODULES.items(), *TEST_FILES.items()]
        if not name.startswith(recipes)
        and path.stat().st_size
        and not ast.get_docstring(parse(path))
    ]
    assert without == []


def test_every_test_says_in_one_sentence_what_it_shows():
    """The docstring of every test begins with one sentence, which ends its paragraph."""
    wrong = []
    for name, path in TEST_FILES.items():
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            paragraph = (ast.get_docstring(node) or "").split("\n\n")[0]
            sentence = " ".join(paragraph.split())
            if not sentence.endswith(".") or re.search(r"[.?!] +[A-Z`]", sentence):
                wrong.append(f"{name}, {node.name}: {sentence!r}")
    assert wrong == []


OPTIONS_PAGE = TESTS.parent / "docs" / "options.rst"


def options_section(begin, end):
    """Return the part of ``docs/options.rst`` between two of its titles."""
    text = OPTIONS_PAGE.read_text(encoding="utf-8")
    return text[text.index(f"{begin}\n---") : text.index(f"{end}\n---") if end else None]


def test_the_options_page_has_every_option_of_install_bridge():
    """Each parameter of ``install_bridge``, and each word for its file, is an entry of the page."""
    text = options_section("In a program: install_bridge", "In a program: start_receiver")
    names = [*inspect.signature(install_bridge).parameters, *SINK_WORDS, "linger"]
    names = [name for name in names if name not in ("address", "sink_words")]
    assert [name for name in names if not re.search(rf"^(.*, )?``{name}=``", text, re.M)] == []
    assert re.search("^``address`` ", text, re.M)


def test_the_options_page_has_every_option_of_start_receiver():
    """Each parameter of ``start_receiver`` is an entry of the page."""
    text = options_section("In a program: start_receiver", "On the command line")
    names = [name for name in inspect.signature(start_receiver).parameters if name != "options"]
    assert [name for name in names if not re.search(rf"^``{name}=?``", text, re.M)] == []


def test_the_options_page_has_every_option_of_the_command_line_and_no_other():
    """The page and ``--help`` have the same options."""
    text = options_section("On the command line", None)
    entries = re.findall(r"^``.*$", text, re.M)
    shown = {name for entry in entries for name in re.findall(r"``(--[\w-]+)", entry)}
    command = [sys.executable, "-m", "loguru_stdbridge.receiver", "--help"]
    told = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    known = set(re.findall(r"^ +(?:-h, )?(--[a-z][\w-]*)", told, re.M))
    assert len(known) > 15
    assert shown == known


def leads_to_a_module(reference, name, modules):
    """Whether a reference in the module ``name`` names a module: in full, or below a folder."""
    target = reference.lstrip("~")
    inside = target.replace(".", "/")
    for stem in (inside, (Path(name).parent / inside).as_posix()):
        if {f"{stem}.py", f"{stem}/__init__.py"} & set(modules):
            return True
    try:
        return importlib.util.find_spec(target) is not None
    except ImportError:
        return False


def test_every_module_that_a_text_refers_to_exists():
    """Every module reference in a docstring of the package and its tests leads to a module."""
    wrong = []
    for modules in (MODULES, TEST_FILES):
        for name, path in modules.items():
            for reference in re.findall(r"[:]mod:`([^`]+)`", path.read_text(encoding="utf-8")):
                if not leads_to_a_module(reference, name, modules):
                    wrong.append(f"{name}: {reference}")
    assert wrong == []
