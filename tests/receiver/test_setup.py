"""``--setup``: a function of the user's says what no option can, and harms no record."""

from __future__ import annotations

import sys
import threading

import pytest

from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver.cli import main
from loguru_stdbridge.receiver.service import Service
from loguru_stdbridge.receiver.setup_hook import run_setup
from loguru_stdbridge.sink_words import check_handlers
from loguru_stdbridge.worker.channel import Channel
from loguru_stdbridge.worker.options import check_options
from tests.support.scripted import a_row


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module, and return what ``--setup`` calls its function."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(body, name="log_setup"):
        (tmp_path / f"{name}.py").write_text(body)
        sys.modules.pop(name, None)
        return f"{name}:set_up"

    yield write
    sys.modules.pop("log_setup", None)


class Running:
    """A receiver of these handlers in a thread."""

    def __init__(self, handlers):
        self.told = []
        self.service = Service(handlers, ["tcp://127.0.0.1:0"], report=self.told.append)
        self.thread = threading.Thread(target=self.service.serve)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.service.stop()
        self.thread.join()

    def log(self, *texts):
        channel = Channel(check_options(self.service.addresses[0]))
        for text in texts:
            channel.emit(a_row(text))
        assert channel.close(30.0)


ALL = """
lines = []

class Collected:
    def write(self, message):
        lines.append(str(message))

def call(message):
    lines.append(f"{message.record['level'].name} {message}")
    if "bad" in message:
        raise ValueError("no good")

def set_up(config):
    first = config["handlers"][0]
    first["filter"] = lambda record: "noisy" not in record["message"]
    first["format"] = lambda record: "{extra[site]} {message}\\n"
    config["handlers"] += [
        {"sink": call, "format": "called {message}"},
        {"sink": Collected(), "format": "object {message}", "filter": lambda r: "one" in r["message"]},
    ]
    config["patcher"] = lambda record: record["extra"].update(site="north")
"""


def test_a_function_sets_up_what_no_option_says(tmp_path, module):
    """Filter, format, patcher, a function and an object as further sinks do what they should."""
    told = []
    handlers = run_setup(module(ALL), [{"sink": str(tmp_path / "app.log")}], told.append)
    with Running(handlers) as running:
        running.log("one", "a noisy one", "bad")
    assert (tmp_path / "app.log").read_text().splitlines() == ["north one", "north bad"]
    lines = sys.modules["log_setup"].lines
    assert [line for line in lines if line.startswith("INFO")] == [
        "INFO called one\n", "INFO called a noisy one\n", "INFO called bad\n"
    ]  # fmt: skip
    assert [line for line in lines if line.startswith("object")] == [
        "object one\n", "object a noisy one\n"
    ]  # fmt: skip
    assert any("call has raised ValueError: no good" in text for text in running.told)
    assert told == []


def test_a_function_is_told_each_record_once(tmp_path, module):
    """A worker that sends its records again, after a restart, has none handed over twice."""
    handlers = run_setup(module(ALL), [{"sink": str(tmp_path / "app.log")}], lambda text: None)
    channel = None
    for text in ("first", "second"):
        with Running(handlers) as running:
            channel = Channel(check_options(running.service.addresses[0]))
            channel.emit(a_row(text))
            assert channel.flush(30.0)
            assert channel.close(30.0)
    lines = sys.modules["log_setup"].lines
    assert lines == ["INFO called first\n", "INFO called second\n"]


def test_a_patcher_that_raises_loses_no_record(tmp_path, module):
    """A patcher that raises is told once, and the record is written without it."""
    told = []
    name = module("def set_up(config):\n    config['patcher'] = lambda record: 1 / 0\n")
    handlers = run_setup(
        name, [{"sink": str(tmp_path / "app.log"), "format": "{message}"}], told.append
    )
    with Running(handlers) as running:
        running.log("one", "two")
    assert (tmp_path / "app.log").read_text().splitlines() == ["one", "two"]
    assert len(told) == 1
    assert "has raised ZeroDivisionError" in told[0]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def other(config): pass", "AttributeError"),
        ("def set_up(config): raise KeyError('x')", "has raised KeyError"),
        ("1 / 0", "ZeroDivisionError"),
        ("def set_up(config): config['handler'] = []", "'handler' is neither handlers nor patcher"),
        ("def set_up(config): config['handlers'] = []", "a list of mappings"),
        ("def set_up(config): config['handlers'] = [{'sink': print}]", "the path of a file"),
        ("def set_up(config): config['patcher'] = 5", "patcher=5 is no function"),
    ],
)
def test_a_setup_that_fails_is_a_bad_configuration(tmp_path, module, body, reason):
    """What is wrong in the user's module is told as a bad configuration, with its name."""
    name = module(body)
    with pytest.raises(ConfigurationError, match=reason):
        run_setup(name, [{"sink": str(tmp_path / "app.log")}], lambda text: None)
    assert main([str(tmp_path / "app.log"), "--setup", name, "--check"]) == 78


def test_the_name_of_a_setup_has_two_parts():
    """``--setup`` without a module or a function says how it is written."""
    for name in ("module", "module:", ":function"):
        with pytest.raises(ConfigurationError, match="use MODULE:FUNCTION"):
            run_setup(name, [], lambda text: None)
    with pytest.raises(ConfigurationError, match="ModuleNotFoundError"):
        run_setup("no_such_module_here:f", [], lambda text: None)


def test_a_function_is_no_sink_without_setup():
    """A function in ``handlers`` is refused where another process would have to call it."""
    with pytest.raises(ConfigurationError, match="the path of a file"):
        check_handlers([{"sink": "a.log"}, {"sink": print}])


def test_an_option_of_files_is_refused_for_a_function(tmp_path, module):
    """``rotation`` for a sink that is no file is refused, by ``--check`` and at the start."""
    name = module(
        "def set_up(config):\n    config['handlers'].append({'sink': print, 'rotation': '1 MB'})\n"
    )
    assert main([str(tmp_path / "app.log"), "--setup", name, "--check"]) == 78
    handlers = run_setup(name, [{"sink": str(tmp_path / "app.log")}], lambda text: None)
    with pytest.raises(ConfigurationError, match="is no file"):
        Service(handlers, ["tcp://127.0.0.1:0"])
