"""The sink's own loguru, rotations and paths are those of the loguru that is installed."""

from __future__ import annotations

import copy
import datetime
import decimal
import os
import sys
import types
from pathlib import Path

import loguru
import pytest
from loguru import logger

from loguru_stdbridge import ConfigurationError
from loguru_stdbridge.sink.internals import (
    compile_rotation,
    private_logger,
    private_loguru,
    read_sink_path,
)
from tests.support.parameters import name_of
from tests.support.processes import run_python


def test_the_copy_shares_nothing_with_the_application_s():
    """The private loguru shares no handler, level or module with the application's."""
    ours = private_loguru()
    assert ours is private_loguru()
    assert ours is not sys.modules["loguru"]
    assert ours.logger._core is not logger._core
    ours_levels = set(ours.logger._core.levels)
    logger_levels = set(logger._core.levels)
    one = private_logger()
    one.level("OURS ALONE", no=5)
    assert set(ours.logger._core.levels) == ours_levels
    assert set(logger._core.levels) == logger_levels


def test_each_logger_has_handlers_of_its_own():
    """A handler of one private logger does not see what another one logs."""
    one, other = private_logger(), private_logger()
    seen = []
    one.add(lambda message: seen.append(str(message)), format="{message}")
    other.info("other")
    one.info("one")
    assert seen == ["one\n"]


def test_the_copy_is_made_whatever_the_application_does_to_loguru():
    """The private loguru works although the application has broken its own."""
    code = (
        "import loguru\n"
        "loguru.logger.remove()\n"
        "loguru.logger.add = None\n"
        "from loguru_stdbridge.sink.internals import private_logger\n"
        "one = private_logger(); seen = []\n"
        "one.add(lambda message: seen.append(str(message)), format='{message}')\n"
        "one.info('x'); print(seen)"
    )
    assert run_python(code)[:2] == (0, "['x\\n']\n")


def test_an_import_that_fails_leaves_no_half_copy(monkeypatch):
    """An import that fails leaves no half copy, and the next attempt works."""
    kept = {
        name: module
        for name, module in sys.modules.items()
        if name.startswith("_loguru_of_stdbridge")
    }
    for name in kept:
        monkeypatch.delitem(sys.modules, name)

    class Loader:
        def get_code(self, name):
            return compile("raise ImportError('broken')", name, "exec")

    with monkeypatch.context() as patch:
        patch.setattr(loguru.__spec__, "loader", Loader())
        with pytest.raises(ImportError, match="broken"):
            private_loguru()
    assert "_loguru_of_stdbridge" not in sys.modules
    assert private_loguru().logger is not logger
    for name in [name for name in sys.modules if name.startswith("_loguru_of_stdbridge")]:
        del sys.modules[name]
    sys.modules.update(kept)


@pytest.mark.parametrize(
    ("rotation", "kind"),
    [
        ("1 MB", "size"), ("0.5 GiB", "size"), (1000, "size"), (0.5, "size"), (decimal.Decimal(5), "size"),
        ("00:00", "time"), ("daily", "time"), ("1 week", "time"), ("monday at 12:00", "time"),
        (datetime.timedelta(1), "time"), (datetime.time(5), "time"), (lambda message, file: True, "user"),
    ],
    ids=name_of,
)  # fmt: skip
def test_a_rotation_is_known_by_its_kind(rotation, kind):
    """A rotation is known as one by size, by time or by a function of the user's."""
    compiled = compile_rotation(rotation)
    assert compiled.kind == kind
    assert callable(compiled.decide)
    assert (compiled.decide is rotation) == (kind == "user")


def test_no_rotation_is_none():
    """No rotation compiles to ``None``."""
    assert compile_rotation(None) is None


@pytest.mark.parametrize(
    ("rotation", "error"),
    [
        ("nonsense", ValueError),
        ("1 parsec", ValueError),
        (object(), TypeError),
        (b"1 MB", TypeError),
    ],
)
def test_a_rotation_that_loguru_cannot_read_is_its_error(rotation, error):
    """A rotation that loguru cannot read is loguru's error."""
    with pytest.raises(error):
        compile_rotation(rotation)


@pytest.mark.parametrize("change", ["another result", "another name", "no class", "no module"])
def test_a_loguru_that_has_changed_is_refused(monkeypatch, change):
    """A loguru that compiles rotations in another way is refused, but for a user's function."""
    import loguru._file_sink as module

    if change == "another result":
        monkeypatch.setattr(
            module.FileSink, "_make_rotation_function", lambda rotation: lambda m, f: True
        )
    elif change == "another name":
        monkeypatch.delattr(module.FileSink, "_make_rotation_function")
    elif change == "no class":
        monkeypatch.delattr(module, "FileSink")
    else:
        monkeypatch.setitem(sys.modules, "loguru._file_sink", types.ModuleType("loguru._file_sink"))
    with pytest.raises(ConfigurationError, match="'1 MB'.*does not know"):
        compile_rotation("1 MB")
    assert compile_rotation(print).kind == "user"


@pytest.mark.parametrize(
    ("path", "directory", "name", "pattern"),
    [
        ("/var/log/app.log", "/var/log", "app.log", "/var/log"),
        ("/var/log/app_{time}.log", "/var/log", "app_{time}.log", "/var/log"),
        ("/var/{time:YYYY}/app.log", "/var", "app.log", "/var/*"),
        ("/var/x{time:YYYY}/y/app.log", "/var", "app.log", "/var/x*/y"),
        ("/var/{{x}}/app.log", "/var/{x}", "app.log", "/var/{x}"),
        ("/var/{{{time.datetime}}}/app.log", "/var", "app.log", "/var/{*}"),
        ("/var/[x]*?/app.log", "/var/[x]*?", "app.log", "/var/[[]x][*][?]"),
        ("/var/a/../log//app.log", "/var/log", "app.log", "/var/log"),
        ("/app.log", "/", "app.log", "/"),
    ],
)
def test_a_sink_s_path_is_read_as_loguru_reads_it(path, directory, name, pattern):
    """A sink's path is split into directory and name where loguru would write."""
    read = read_sink_path(path)
    assert (read.directory, read.name, read.glob_directory) == (Path(directory), name, pattern)
    assert read_sink_path(Path(path)).directory == read.directory


@pytest.mark.parametrize("name", ["app.log", "app_{time}.log", "{{x}}.log", "{time:YYYY}/app.log"])
def test_links_above_a_sink_are_followed(tmp_path, name):
    """A sink in a linked directory has the path that it has in the real one."""
    (tmp_path / "real {dir}").mkdir()
    (tmp_path / "link").symlink_to("real {dir}")
    (tmp_path / "again").symlink_to(tmp_path / "link")
    read = read_sink_path(tmp_path / "again" / name)
    assert read == read_sink_path(tmp_path / "real {{dir}}" / name)
    assert read.directory == tmp_path / "real {dir}"
    assert (read.file is None) == ("{time" in name)
    assert read.file in (None, read.template.replace("{{", "{").replace("}}", "}"))


def test_a_link_to_a_sink_is_followed(tmp_path):
    """A sink that is a link is the file that the link names, there or not."""
    (tmp_path / "current.log").symlink_to("logs/app.log")
    for _ in range(2):
        assert read_sink_path(tmp_path / "current.log") == read_sink_path(tmp_path / "logs/app.log")
        (tmp_path / "logs").mkdir(exist_ok=True)
        (tmp_path / "logs" / "app.log").touch()


def test_a_relative_path_begins_where_the_program_is(tmp_path, monkeypatch):
    """A relative path begins in the working directory, whose name may have braces."""
    here = tmp_path / "{odd} [x]"
    here.mkdir()
    monkeypatch.chdir(here)
    read = read_sink_path("logs/{time}/app.log")
    assert read.directory == here / "logs"
    assert read.template.format(time="now") == f"{here}/logs/now/app.log"
    assert os.fspath(read.directory) == read.template.format(time="").split("//")[0]


@pytest.mark.parametrize(
    "path", ["{user}/app.log", "{}.log", "{0}.log", "a{.log", "a}.log", "{timer}.log", "{time"]
)
def test_a_path_that_loguru_could_not_fill_in_is_refused(path):
    """A path that loguru could not fill in is refused, with the path and the way out."""
    with pytest.raises(ConfigurationError, match="{time} may stand in it") as caught:
        read_sink_path(path)
    assert repr(path) in str(caught.value)


def test_a_private_logger_copies_without_its_handlers():
    """A copy of the private logger has no handlers."""
    assert private_logger()._core.handlers == {}
    assert copy.deepcopy(private_loguru().logger)._core.handlers == {}
