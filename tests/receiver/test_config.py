"""The receiver's configuration file: what it may say, what wins over it, and what is shown of it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from loguru_stdbridge.exceptions import ConfigurationError
from loguru_stdbridge.receiver.cli import main
from loguru_stdbridge.receiver.in_force import show_options
from loguru_stdbridge.receiver.options import read_options
from loguru_stdbridge.receiver.sink_option import read_handlers_of

needs_tomllib = pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.11 reads TOML")


@pytest.fixture
def config(tmp_path):
    """Write a configuration as JSON, and return its path."""

    def write(**options):
        path = tmp_path / "receiver.json"
        path.write_text(json.dumps(options))
        return str(path)

    return write


def read(*arguments):
    return read_options(list(arguments), "receive")


TOML = """
listen = ["tcp://127.0.0.1:0", "unix:///run/shop/log"]
socket-mode = "0660"
fsync = true
grace = 2.5

[[handlers]]
sink = "app.log"
rotation = "100 MB"
retention = 10

[[handlers]]
sink = "errors.log"
level = "ERROR"
"""


@needs_tomllib
def test_a_toml_file_says_all_that_options_say(tmp_path):
    """A TOML file names addresses, switches, times and several sinks in loguru's own words."""
    path = tmp_path / "receiver.toml"
    path.write_text(TOML)
    options = read("--config", str(path))
    assert options.listen == ["tcp://127.0.0.1:0", "unix:///run/shop/log"]
    assert (options.socket_mode, options.fsync, options.grace) == ("0660", True, 2.5)
    assert options.sink == "app.log"
    assert read_handlers_of(options) == [
        {"sink": "app.log", "rotation": "100 MB", "retention": 10},
        {"sink": "errors.log", "level": "ERROR"},
    ]


def test_the_nearer_place_wins(config, monkeypatch):
    """The command line wins over the environment, and both over the file; each is told."""
    path = config(sink="file.log", rotation="1 MB", retention=3, compression="gz")
    monkeypatch.setenv("LOGURU_STDBRIDGE_RETENTION", "4")
    monkeypatch.setenv("LOGURU_STDBRIDGE_CONFIG", path)
    options = read("--rotation", "2 MB")
    shown = list(show_options(options, ["tcp://127.0.0.1:9020"]))
    assert read_handlers_of(options) == [
        {"sink": "file.log", "rotation": "2 MB", "retention": 4, "compression": "gz"}
    ]
    assert f'sink = "file.log"  # {path}' in shown
    assert 'rotation = "2 MB"  # command line' in shown
    assert "retention = 4  # $LOGURU_STDBRIDGE_RETENTION" in shown
    assert f'compression = "gz"  # {path}' in shown
    assert "grace = 5.0  # default" in shown
    assert 'listen = ["tcp://127.0.0.1:9020"]  # default' in shown
    assert "# linger: not given" in shown


@needs_tomllib
def test_what_is_shown_can_be_read_again(tmp_path, config, capsys):
    """The output of ``--print-config`` is a configuration that means the same."""
    handlers = [{"sink": "a.log", "filter": {"": "INFO", "x.y": False}}, {"sink": "b.log"}]
    path = config(handlers=handlers, listen="tcp://127.0.0.1:0", serialize=None, linger=3)
    assert main(["--config", path, "--print-config"]) == 0
    again = tmp_path / "again.toml"
    again.write_text(capsys.readouterr().out)
    first, second = read("--config", path), read("--config", str(again))
    assert read_handlers_of(second) == read_handlers_of(first) == handlers
    assert (second.listen, second.linger) == (first.listen, first.linger)


def test_a_sink_on_the_command_line_replaces_those_of_the_file(config):
    """SINK on the command line is the only sink, whatever the file names."""
    options = read("mine.log", "--config", config(handlers=[{"sink": "a.log"}], fsync=True))
    assert read_handlers_of(options) == [{"sink": "mine.log"}]
    assert options.fsync


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"sinc": "a.log"}, "no option 'sinc'; did you mean sink"),
        ({"check": True, "sink": "a"}, "no option 'check'"),
        ({"sink": "a.log", "handlers": [{"sink": "b.log"}]}, "sink and handlers: name all sinks"),
        ({"handlers": []}, "a list of mappings"),
        ({"handlers": [{"rotation": "1 MB"}]}, "names no sink"),
        ({"sink": "a.log", "fsync": "yes"}, "fsync = 'yes': true or false"),
        ({"sink": "a.log", "grace": "soon"}, "grace = 'soon': a number of seconds"),
        ({"sink": "a.log", "listen": [1]}, "listen = .*a text, or a list of texts"),
        ({"sink": "a.log", "socket-mode": "0600", "socket_mode": "0600"}, "stands there twice"),
    ],
)
def test_a_wrong_option_in_a_file_is_named(config, given, reason):
    """An option that is not there, or whose value is of another kind, is told with the file."""
    path = config(**given)
    with pytest.raises(ConfigurationError, match=reason) as caught:
        read("--config", path)
    assert path in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("x.json", "[1]", "a mapping of options"),
        ("x.json", "{", "cannot be read"),
        ("x.json", "[" * 100_000, "cannot be read"),
        ("x.yaml", "sink: a.log", "ends with .toml or .json"),
        ("x.json", "\xff\xfe", "cannot be read"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path, name, text, reason):
    """A file that is no configuration is refused with the reason."""
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigurationError, match=reason):
        read("--config", str(path))
    with pytest.raises(ConfigurationError, match="No such file"):
        read("--config", str(tmp_path / "none.json"))


def test_words_of_a_sink_beside_handlers_are_refused(config):
    """``--rotation`` beside the handlers of a file is refused: it says not which sink it is for."""
    path = config(handlers=[{"sink": "a.log"}])
    with pytest.raises(ConfigurationError, match=r"rotation is given besides \(command line\)"):
        read("--config", path, "--rotation", "1 MB")


def test_a_bad_configuration_ends_with_78(tmp_path, config):
    """A receiver whose file is wrong ends with the code 78, also where it only checks."""
    assert main(["--config", config(sink=str(tmp_path / "a.log"), rotatoin="1 MB")]) == 78
    path = config(handlers=[{"sink": str(tmp_path / "a.log"), "rotation": "nonsense"}])
    assert main(["--config", path, "--check"]) == 78
    assert not (tmp_path / "a.log").exists()


def test_a_receiver_runs_from_its_file(tmp_path, config):
    """A receiver that is given a file, and nothing else, writes the sinks that stand in it."""
    files = [tmp_path / "app.log", tmp_path / "all.json"]
    path = config(
        handlers=[
            {"sink": str(files[0]), "format": "{message}"},
            {"sink": str(files[1]), "serialize": True},
        ],
        listen="tcp://127.0.0.1:0",
    )
    code = "from loguru_stdbridge import install_bridge; from loguru import logger; "
    code += "install_bridge(); logger.info('hello')"
    command = [sys.executable, "-m", "loguru_stdbridge.receiver", "--config", path]
    subprocess.run(
        [*command, "--", sys.executable, "-c", code], check=True, capture_output=True, timeout=60
    )
    assert files[0].read_text() == "hello\n"
    assert json.loads(files[1].read_text())["record"]["message"] == "hello"
