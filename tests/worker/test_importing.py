"""Functions that are called once a module has been imported."""

from __future__ import annotations

import importlib
import importlib.util
import sys

import pytest

from loguru_stdbridge.worker.importing import AfterImport


@pytest.fixture
def module_path(tmp_path, monkeypatch):
    """The file of a module that can be imported as ``later``."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path / "later.py"
    sys.modules.pop("later", None)


@pytest.fixture
def watch():
    """``watch(name, ...)``: what has been imported of these, and the finder that tells."""
    started = []

    def watch(*names):
        seen = []
        finder = AfterImport(dict.fromkeys(names, lambda module: seen.append(vars(module).copy())))
        finder.start()
        started.append(finder)
        return seen, finder

    yield watch
    for finder in started:
        finder.stop()


def test_a_function_is_called_when_its_module_is_imported(module_path, watch):
    """The module is whole by then, and its loader is as it was."""
    module_path.write_text("value = 1")
    seen, _ = watch("later")
    assert seen == []
    module = importlib.import_module("later")
    assert [each["value"] for each in seen] == [1]
    assert "exec_module" not in vars(module.__spec__.loader)
    importlib.reload(module)
    assert len(seen) == 1


def test_a_function_is_called_at_once_where_its_module_is_loaded(watch):
    """A module that is loaded already is not waited for."""
    assert len(watch("importlib.util")[0]) == 1


def test_nothing_is_called_after_the_end(module_path, watch):
    """``stop`` ends the wait, also in the middle of an import."""
    module_path.write_text("value = 1")
    seen, finder = watch("later")
    spec = importlib.util.find_spec("later")
    finder.stop()
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert seen == [] and finder not in sys.meta_path


def test_two_that_wait_for_one_module_are_both_called(module_path, watch):
    """Another finder of the kind in front of this one changes nothing."""
    module_path.write_text("value = 1")
    first, second = watch("later")[0], watch("later")[0]
    importlib.import_module("later")
    assert len(first) == len(second) == 1


def test_a_module_that_fails_is_waited_for_no_more(module_path, watch):
    """An import that fails fails as ever, and the function is not called."""
    module_path.write_text("1 / 0")
    seen, _ = watch("later")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("later")
    assert seen == []


def test_a_module_without_a_loader_of_its_own_is_imported_as_ever(watch):
    """Modules in the interpreter itself share one loader, which is left alone."""
    name = next(name for name in sys.builtin_module_names if name not in sys.modules)
    watch(name)
    assert importlib.import_module(name) is sys.modules[name]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("nowhere_at_all")
